"""The pivot: the appearance latents that explain a portrait best.

Identity, expression and camera come from the head fit; albedo and light are found here by alternating least squares.
"""

from __future__ import annotations

import numpy as np

from ..generators.appearance import AMBIENT, PARTS, Appearance, as_vivid, harmonics, mean_appearance

ROUNDS = 4
RIDGE = 0.02  # pulls the eight directional coefficients to zero where few normals constrain them
LIPS_LIGHT = 0.8, 1.25  # times the usual brightness: so far the tongue goes with the lips, beyond it they are painted
LIGHT = 0.4  # of how skin differs from the mean's is the photo's light; the rest is the person's own colour


def fit_appearance(colours: np.ndarray, parts: np.ndarray, normals: np.ndarray) -> Appearance:
    """colours [N, 3] sRGB of photo samples, parts [N, PARTS] their memberships, normals [N, 3] in camera space.

    Parts that no sample shows keep the mean's albedo in the photo's light, without its hue in a black and white photo;
    without any sample it is the mean. The scale between albedo and light is fixed by a mean shading of 1 over the
    samples.
    """
    start = mean_appearance()
    if not len(colours):  # a half-transparent cut-out is nowhere solid enough to be sure of its colour
        return start
    skin = parts[:, PARTS.index("skin")] > 0.5
    tint = np.median(colours[skin if skin.any() else ...], axis=0)
    usual = as_vivid(start.albedo, tint)
    usual *= (tint / usual[PARTS.index("skin")]) ** LIGHT
    light = start.light.copy()
    albedo = usual.copy()
    basis = harmonics(normals)
    mass = parts.sum(0)
    present = mass > 1e-3 * len(parts)
    penalty = RIDGE * len(colours) * np.diag([0.0] + [1.0] * 8)
    for _ in range(ROUNDS):
        shading = np.maximum(basis @ light, AMBIENT)
        for c in range(3):
            weighted = parts[:, present] * shading[:, c : c + 1]
            gram = weighted.T @ weighted + 1e-3 * mass[present].max() * np.eye(int(present.sum()))
            pull = 1e-3 * mass[present].max() * usual[present, c]
            albedo[present, c] = np.linalg.solve(gram, weighted.T @ colours[:, c] + pull)
        albedo = np.clip(albedo, 0.02, 1.2)
        for c in range(3):
            design = basis * (parts @ albedo[:, c])[:, None]
            light[:, c] = np.linalg.solve(design.T @ design + penalty, design.T @ colours[:, c])
        mean = np.maximum(basis @ light, AMBIENT).mean(0)
        light, albedo[present] = light / mean, albedo[present] * mean
    lips, tongue = PARTS.index("lips"), PARTS.index("tongue")
    brighter = albedo[lips].mean() / max(float(usual[lips].mean()), 1e-3)
    albedo[tongue] = usual[tongue] * np.clip(brighter, *LIPS_LIGHT)  # photos show teeth and shade where it lies
    return Appearance(albedo.astype(np.float32), light.astype(np.float32))
