"""From a camera to the feature map: sampling, bending, compositing. How points are evaluated is an argument."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .camera import frozen_camera, inverted_sphere, pixel_rays
from .config import Config
from .sampling import background_weights, encode, fine_positions, volume_weights

Deform = Callable[[Tensor, bool], Tensor]  # points [B, P, 3] and whether they are the fine ones -> bent points


class Field(Protocol):
    """Evaluates points. What is linear in a sample's values may be left to `finish`, after compositing."""

    def density(self, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """Encoded points [B, P, E] -> raw density [B, P, 1] and values [B, P, C]."""

    def finish(self, summed: Tensor, weight: Tensor) -> Tensor:
        """Values weighted and summed along rays [B, R, C], and the weights' sums [B, R, 1] -> [B, R, 3 + F]."""


@dataclass(frozen=True)
class Positions:
    """Where rays are sampled, as fractions 0..1 of the depth range: coarse [B, R, N] and fine [B, R, N]."""

    coarse: Tensor
    fine: Tensor | None = None


@dataclass(frozen=True)
class Volume:
    """A rendered feature map and how it came about. R rays row by row, P = R N points with the sample fastest.

    rgb [B, 3, S, S], features [B, F, S, S]; points [B, P, 3] as they were evaluated (bent).
    """

    rgb: Tensor
    features: Tensor
    positions: Positions
    points: Tensor
    fine_points: Tensor | None


def render_volume(
    config: Config,
    camera: Tensor,
    field: Field,
    background: Tensor | None,
    positions: Positions | None = None,
    deform: Deform | None = None,
) -> Volume:
    """The NeRF's picture from `camera` [B, 4, 4]. `background` [B, R, 3 + F] fills what rays leave free."""
    centre, rays = pixel_rays(config, camera)
    length = rays.norm(dim=-1, keepdim=True)
    near, far = config.camera.depth_range

    def depth(at: Tensor) -> Tensor:
        return near * (1 - at) + far * at

    def evaluate(at: Tensor, fine: bool) -> tuple[Tensor, Tensor, Tensor]:
        points = centre[:, :, None] + depth(at)[..., None] * rays[:, :, None]  # [B, R, N, 3]
        points = points.flatten(1, 2)
        if deform is not None:
            points = deform(points, fine)
        return points, *field.density(encode(points, config.frequencies))

    def per_ray(values: Tensor) -> Tensor:
        return values.unflatten(1, (config.rays, -1))  # [B, R, N, C]

    if positions is None:
        line = torch.linspace(0, 1, config.samples, dtype=camera.dtype, device=camera.device)
        coarse = line.expand(len(camera), config.rays, -1)
    else:
        coarse = positions.coarse
    points, raw, values = evaluate(coarse, False)
    density, values, at = per_ray(raw)[..., 0].relu(), per_ray(values), coarse
    fine = fine_points = None
    if config.hierarchical:
        if positions is not None and positions.fine is not None:
            fine = positions.fine
        else:
            weights, _ = volume_weights(density.detach(), depth(at), length)
            fine = fine_positions(at, weights, config.samples)
        fine_points, fine_raw, fine_values = evaluate(fine, True)
        at, order = torch.sort(torch.cat([fine, coarse], -1), -1)
        density = torch.cat([per_ray(fine_raw)[..., 0].relu(), density], -1).gather(-1, order)
        both = torch.cat([per_ray(fine_values), values], 2)
        weights, left = volume_weights(density, depth(at), length)
        unsorted = torch.zeros_like(weights).scatter(-1, order, weights)  # the weights move instead of the values
        summed = (unsorted[..., None, :] @ both)[..., 0, :]
    else:
        weights, left = volume_weights(density, depth(at), length)
        summed = (weights[..., None, :] @ values)[..., 0, :]
    out = field.finish(summed, weights.sum(-1, keepdim=True))
    if background is not None:
        out = out + left * background
    side = config.volume_resolution
    picture = out.transpose(1, 2).unflatten(2, (side, side))
    return Volume(picture[:, :3], picture[:, 3:], Positions(coarse, fine), points, fine_points)


def render_background(config: Config, camera: Tensor, field: Field, code: Tensor, frozen: bool) -> Tensor:
    """What rays see behind the head, [B, R, 3 + F]: an inverted sphere (NeRF++). code [B, Z]; `frozen` looks from one
    fixed camera whatever `camera` is."""
    centre, rays = pixel_rays(config, frozen_camera(config.camera, camera) if frozen else camera)
    count, start = config.background_samples, config.camera.bg_start
    inverse_depth = -start * torch.linspace(-1, 0, count, dtype=camera.dtype, device=camera.device)
    points = inverted_sphere(centre, rays, inverse_depth).flatten(1, 2)  # [B, R N, 4]
    codes = code.to(camera)[:, None].expand(-1, points.shape[1], -1)
    frequencies = config.background_frequencies
    raw, values = field.density(torch.cat([encode(points, frequencies), codes], -1))
    density = raw.unflatten(1, (config.rays, -1))[..., 0].relu()
    weights = background_weights(density, start / max(count - 1, 1))
    summed = (weights[..., None, :] @ values.unflatten(1, (config.rays, -1)))[..., 0, :]
    return field.finish(summed, weights.sum(-1, keepdim=True))
