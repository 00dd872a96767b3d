"""Appearance latents of the embedded generator: what a head looks like before any photo detail.

One albedo for each part of the person and nine spherical-harmonic coefficients of light for each colour channel
(Ramamoorthi & Hanrahan 2001): colour = albedo[part] * (SH(normal) @ light).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PARTS = ("skin", "lips", "hair", "clothes", "sclera", "iris", "teeth", "tongue")
# sRGB of an average adult in even light: the mean of the latent space, where the pivot's search starts
MEAN_ALBEDO = np.array(
    [[.72, .55, .47], [.66, .40, .38], [.28, .21, .17], [.35, .36, .40], [.80, .77, .75], [.30, .24, .20],
     [.82, .81, .795], [.60, .38, .37]], np.float32)  # fmt: skip
VIVID = 0.2  # (max - min) / max of the skin's channels from which on a photo has its full colours; less is paler
AMBIENT = 0.12  # light every normal gets at least; keeps a photo lit from one side from a black other side


@dataclass(frozen=True)
class Appearance:
    """albedo [PARTS, 3] and light [9, 3], sRGB units."""

    albedo: np.ndarray
    light: np.ndarray

    def colour(self, parts: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """parts [N, PARTS] memberships, normals [N, 3] in camera space -> sRGB [N, 3] in 0..1."""
        shading = np.maximum(harmonics(normals) @ self.light, AMBIENT)
        return np.clip((parts @ self.albedo) * shading, 0, 1).astype(np.float32)


def as_vivid(colours: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """Colours, or exponents of colours, [..., 3] with as much hue as a photo has whose skin is `skin` [3]: with none
    in black and white."""
    chroma = float(skin.max() - skin.min()) / max(float(skin.max()), 1e-6)
    grey = colours.mean(-1, keepdims=True)
    return (grey + min(chroma / VIVID, 1.0) * (colours - grey)).astype(np.float32)


def harmonics(normals: np.ndarray) -> np.ndarray:
    """First nine real spherical harmonics up to constants, [N, 9], of unit normals [N, 3]."""
    x, y, z = normals.T
    one = np.ones_like(x)
    return np.stack([one, y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y], 1)


def mean_appearance() -> Appearance:
    """The latent mean: average albedo in even light."""
    light = np.zeros((9, 3), np.float32)
    light[0] = 1
    return Appearance(MEAN_ALBEDO.copy(), light)
