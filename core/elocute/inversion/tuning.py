"""Pivotal tuning: the field's own parameters, moved from the pivot until the field renders the portrait.

As in PTI (Roich et al. 2022) the pivot stays fixed and the generator changes. Here the parameters are the texels of
the feature planes, and at the portrait's own view each pixel is a convex mix of few of them, so gradient descent
with the diagonal preconditioner 1 / sum(w^2) (SIRT) converges in a dozen steps through the real renderer, on any
device, with no second renderer to keep in step. Locality: a texel moves only as far as it is visible in the photo
(w), and no further than `REACH` from where it started, so views the photo doesn't show keep the pivot's picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from ..rendering.shells import PLANES, SKIN, Shells

STEPS = 12
DAMPING = 0.05  # texels seen through less than a fifth of a pixel's opacity move slowly
# sRGB. More would be a layer's colour in another's texels, where the mesh is a pixel off the photo: a dashed line as
# soon as the layers move apart.
REACH = 0.1
RELAXATION = 0.9

Render = Callable[[Shells], np.ndarray]  # premultiplied rgba [R, R, 4] at the portrait's own view


def tune(
    shells: Shells, photo: np.ndarray, background: np.ndarray, render: Render,
    held: np.ndarray | float = 0.0,
) -> Iterator[tuple[int, Shells]]:  # fmt: skip
    """Yields (step, shells) after each step; the last is the tuned field.

    photo, background: float32 [R, R, 3] sRGB 0..1 at the planes' own resolution; held [R, R] or one number,
    0..1: how far the skin's texels stay what they are.
    """
    influence = layer_influence(shells, render)  # [PLANES, R, R]
    norm = (influence**2).sum(0) + DAMPING
    start = shells.planes[..., :3]
    reach = np.full((*influence.shape, 1), REACH, np.float32)
    reach[SKIN, ..., 0] *= 1 - held
    planes = shells.planes.copy()
    for step in range(1, STEPS + 1):
        rgba = render(replace(shells, planes=planes))
        error = photo - (rgba[..., :3] + (1 - rgba[..., 3:]) * background)
        move = influence[..., None] * (RELAXATION * error / norm[..., None])
        colour = np.clip(planes[..., :3] + move, start - reach, start + reach)
        planes[..., :3] = np.clip(colour, 0, 1)
        yield step, replace(shells, planes=planes.copy())


def layer_influence(shells: Shells, render: Render) -> np.ndarray:
    """[PLANES, R, R]: how much of each pixel at the portrait's view comes from each layer's plane, 0..1.

    Found by rendering the field with one layer's colour 1 and everything else 0.
    """
    out = np.zeros(shells.planes.shape[:3], np.float32)
    dark = replace(shells, fill=np.zeros_like(shells.fill))
    for first in range(0, PLANES, 3):  # three layers at once, one in each colour channel
        planes = shells.planes.copy()
        planes[..., :3] = 0
        layers = range(first, min(first + 3, PLANES))
        for channel, layer in enumerate(layers):
            planes[layer, ..., channel] = 1
        rgba = render(replace(dark, planes=planes))
        for channel, layer in enumerate(layers):
            out[layer] = rgba[..., channel]
    return out


def psnr(photo: np.ndarray, picture: np.ndarray, weight: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of [R, R, 3] pictures in 0..1 over the pixels where `weight` [R, R] is half or
    more (of a faint cut-out: where it is largest)."""
    error = ((photo - picture) ** 2).mean(-1)[weight >= min(0.5, float(weight.max()))].mean()
    return float(-10 * np.log10(max(float(error), 1e-10)))
