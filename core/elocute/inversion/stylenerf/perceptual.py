"""How different two pictures look: LPIPS from the user's files, or a stated substitute that needs none.

A perceptual distance has `features(picture)`, a list of arrays whose squared differences, summed, are the distance.
The target's features are computed once; a step then costs one picture, not two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ...errors import BadInput

SHIFT = (-0.030, -0.088, -0.188)  # LPIPS's own scaling of pictures in -1..1
SCALE = (0.458, 0.448, 0.450)


class Perceptual(Protocol):
    """`name` says which distance it is."""

    name: str

    def features(self, picture: Tensor) -> list[Tensor]:
        """picture [1, 3, H, W] in -1..1."""


def distance(a: list[Tensor], b: list[Tensor]) -> Tensor:
    """[] between two pictures' features."""
    return torch.stack([((x - y) ** 2).sum() for x, y in zip(a, b, strict=True)]).sum()


@dataclass(frozen=True)
class _Network:
    """Convolutions (number in torchvision's `features`, stride, padding, pooling before) and which are compared."""

    layers: tuple[tuple[int, int, int, tuple[int, int] | None], ...]
    taps: tuple[int, ...]


ALEX = _Network(
    ((0, 4, 2, None), (3, 1, 2, (3, 2)), (6, 1, 1, (3, 2)), (8, 1, 1, None), (10, 1, 1, None)), (0, 3, 6, 8, 10)
)
VGG_CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
VGG = _Network(
    tuple((k, 1, 1, (2, 2) if k in (5, 10, 17, 24) else None) for k in VGG_CONVOLUTIONS), (2, 7, 14, 21, 28)
)


class Lpips(nn.Module):
    """LPIPS 0.1 (Zhang et al., CVPR 2018) on AlexNet or VGG-16; `features` are weighted channel vectors of length 1."""

    shift: Tensor
    scale: Tensor

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        """state: LPIPS's own names (net.slice1.0.weight, lin0.model.1.weight) or torchvision's (features.0.weight)
        with LPIPS's lin*. Raises BadInput perceptual_arrays_missing."""
        super().__init__()
        convolutions = {}
        for name, array in state.items():
            parts = name.split(".")
            if parts[-1] in ("weight", "bias") and parts[-2].isdigit() and parts[0] in ("net", "features"):
                convolutions[f"{parts[-2]}.{parts[-1]}"] = array
        first = convolutions.get("0.weight")
        if first is None:
            raise _missing("the first convolution")
        self.network = ALEX if first.shape[-1] == 11 else VGG
        self.name = "LPIPS-Alex" if self.network is ALEX else "LPIPS-VGG"
        self.weights, self.biases, self.scales = (nn.ParameterList() for _ in range(3))
        for number, *_ in self.network.layers:
            for kind, kept in (("weight", self.weights), ("bias", self.biases)):
                if f"{number}.{kind}" not in convolutions:
                    raise _missing(f"convolution {number}'s {kind}")
                kept.append(nn.Parameter(convolutions[f"{number}.{kind}"].float().clone(), requires_grad=False))
        for k in range(len(self.network.taps)):
            name = next((n for n in (f"lin{k}.model.1.weight", f"lins.{k}.model.1.weight") if n in state), None)
            if name is None:
                raise _missing(f"lin{k}")
            scale = state[name].float().clamp_min(0).sqrt()
            self.scales.append(nn.Parameter(scale, requires_grad=False))
        for name, values in (("shift", SHIFT), ("scale", SCALE)):
            self.register_buffer(name, torch.tensor(values)[:, None, None])

    def features(self, picture: Tensor) -> list[Tensor]:
        x = ((picture - self.shift) / self.scale).contiguous(memory_format=torch.channels_last)
        out: list[Tensor] = []
        for k, (number, stride, padding, pool) in enumerate(self.network.layers):
            if pool is not None:
                x = F.max_pool2d(x, *pool)
            weight, bias = self.weights[k], self.biases[k]
            x = F.relu(F.conv2d(x, weight, bias, stride, padding), inplace=True)
            if number in self.network.taps:
                size = math.sqrt(x.shape[2] * x.shape[3])
                unit = x / ((x**2).sum(1, keepdim=True).sqrt() + 1e-10)
                out.append(unit * (self.scales[len(out)] / size))
        return out


class PyramidDistance:
    """The substitute where there is no LPIPS: the normalised Laplacian pyramid distance (Laparra et al. 2016), with
    means of 2 x 2 pixels for its coarser pictures, whose centres are where bilinear doubling looks for them (of sides
    that are powers of two).

    Each band of detail is divided by the contrast around it, as early vision does; no learned weights. It sees
    structure as LPIPS does but not meaning: expect softer teeth and hair than with the LPIPS files.
    """

    name = "normalised Laplacian pyramid distance"
    levels = 5

    def features(self, picture: Tensor) -> list[Tensor]:
        x, out = (picture + 1) / 2, []
        for _ in range(self.levels):
            if min(x.shape[-2:]) < 8:
                break
            coarse = F.avg_pool2d(x, 2, ceil_mode=True)
            band = x - F.interpolate(coarse, size=x.shape[-2:], mode="bilinear")
            contrast = F.avg_pool2d(band.abs(), 5, 1, 2, count_include_pad=False) + CONTRAST
            out.append(band / contrast / math.sqrt(self.levels * band.numel()))
            x = coarse
        out.append(x / math.sqrt(x.numel()))
        return out


CONTRAST = 0.17  # of a band too faint to be seen (Laparra et al., table 1)


def recomputed(features: Callable[[Tensor], list[Tensor]], picture: Tensor) -> list[Tensor]:
    """`features(picture)` whose gradient computes it again instead of keeping what it needs."""
    return checkpoint(features, picture, use_reentrant=False)


def _missing(what: str) -> BadInput:
    return BadInput(
        "perceptual_arrays_missing", f"the LPIPS file has no {what}. Give LPIPS's own file and the network's, or none."
    )
