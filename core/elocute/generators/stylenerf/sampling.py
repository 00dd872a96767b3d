"""Where rays are sampled and how samples add up (NeRF, Mildenhall et al. 2020, sections 4 and 5.2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

FLOOR = 1e-5  # of a bin's probability, and of a denominator worth dividing by
CLEAR = 1e-10  # what a solid sample lets through


def encode(points: Tensor, frequencies: int) -> Tensor:
    """[..., D] -> [..., 2 D frequencies]: for each octave the sines of all coordinates, then the cosines (eq. 4)."""
    parts = []
    for octave in range(frequencies):
        angle = (2**octave * math.pi) * points
        parts += [angle.sin(), angle.cos()]
    return torch.cat(parts, -1)


def transmittance(alpha: Tensor) -> Tensor:
    """[..., N] opacities -> [..., N]: the light that reaches each sample (eq. 3)."""
    clear = 1 - alpha + CLEAR
    return torch.cumprod(torch.cat([torch.ones_like(clear[..., :1]), clear[..., :-1]], -1), -1)


def volume_weights(density: Tensor, depth: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Weights [B, R, N] of samples at `depth` and what is left for the background [B, R, 1].

    density [B, R, N]; length [B, R, 1] of the ray's direction. The last sample only receives: it hides nothing.
    """
    gap = (depth[..., 1:] - depth[..., :-1]) * length
    alpha = 1 - torch.exp(-density * torch.cat([gap, torch.zeros_like(gap[..., :1])], -1))
    reached = transmittance(alpha)
    return alpha * reached, reached[..., -1:]


def background_weights(density: Tensor, step: float) -> Tensor:
    """Weights [B, R, N] of evenly spaced background samples; the last one is solid."""
    alpha = 1 - torch.exp(-density[..., :-1] * step)
    alpha = torch.cat([alpha, torch.ones_like(density[..., :1])], -1)
    return alpha * transmittance(alpha)


def fine_positions(positions: Tensor, weights: Tensor, count: int) -> Tensor:
    """Positions [B, R, count] along the rays drawn evenly from the coarse samples' weights [B, R, N] (section 5.2).

    The inverse cumulative distribution is read between bin edges; a bin too thin to divide by counts as 1 wide, so a
    last digit of `weights` may move a position by a whole bin.
    """
    edges = (positions[..., 1:] + positions[..., :-1]) / 2  # [B, R, N - 1]
    mass = weights[..., 1:-1] + FLOOR
    mass = mass / mass.sum(-1, keepdim=True)
    cumulative = torch.cumsum(mass, -1)
    cumulative = torch.cat([torch.zeros_like(cumulative[..., :1]), cumulative], -1)
    wanted = torch.linspace(0, 1, count, dtype=mass.dtype, device=mass.device).expand(*mass.shape[:2], -1).contiguous()
    index = torch.searchsorted(cumulative, wanted)
    below, above = (index - 1).clamp_min(0), index.clamp_max(cumulative.shape[-1] - 1)
    low, high = cumulative.gather(-1, below), cumulative.gather(-1, above)
    width = high - low
    width = torch.where(width < FLOOR, torch.ones_like(width), width)
    first, last = edges.gather(-1, below), edges.gather(-1, above)
    return first + (wanted - low) / width * (last - first)
