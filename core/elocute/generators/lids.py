"""Closed lids: what covers the eye in a blink, which an open-eyed photo never shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from ..head.model import HeadModel
from ..head.surface import vertex_normals
from ..rendering.shells import project
from ..values import ARKIT_NAMES
from .appearance import Appearance, harmonics
from .canonical import sample
from .geometry import Geometry, Scene
from .motion import to_camera
from .planes import Layers

REGIONS = ("lid_upper_l", "lid_upper_r")
BLINKS = [ARKIT_NAMES.index(f"eyeBlink{side}") for side in ("Left", "Right")]
SHADING = (0.85, 1.12)  # light on the closed lid's own curve, of that on the flat skin whose colour it takes
LASHES = (0.0010, 0.0028)  # metres from the rim that are lashes wholly, and not at all
FOLD = (0.0012, 0.0036)  # metres from the rim over which the lid goes into its fold's shadow
FOLD_SHADE = 0.96
# The cheek lends the lid its pores: so far below the eye, and away from the fold beside the nose, in distances between
# the outer eye corners.
GRAIN_BELOW, GRAIN_BESIDE, GRAIN = 0.38, 0.1, 0.8


@dataclass(frozen=True)
class Lids:
    """at [N] vertices; fill [N, 3] sRGB and weight [N] 0..1 of it against what was there; grain [N, 3] as in Shells."""

    at: np.ndarray
    fill: np.ndarray
    weight: np.ndarray
    grain: np.ndarray


def closed_lids(scene: Scene, geometry: Geometry, appearance: Appearance, model: HeadModel, layers: Layers) -> Lids:
    """The upper lids as they look when shut: the socket's skin, lit as the closed lid's curve is, lashes at its rim."""
    shut = scene.fit.expression.copy()
    shut[BLINKS] = 1
    points = to_camera(geometry.motion.head.surface(shut), scene.fit.camera.camera_to_world)
    weight = np.clip(3 * np.maximum(*(model.regions[name] for name in REGIONS)), 0, 1)
    at = np.flatnonzero(weight > 0)
    uv = project(points[at], *scene.lens)[:, :2]
    light = harmonics(vertex_normals(points, model.faces)[at]) @ appearance.light.mean(1, keepdims=True)
    shading = np.clip(light / np.median(light, axis=0), *SHADING)
    fill = np.clip(sample(layers.lid, uv) * shading, 0, 1)
    rims = geometry.motion.rest[np.concatenate([model.seams[f"lids_{side}"].upper for side in ("left", "right")])]
    away = cKDTree(rims).query(geometry.motion.rest[at])[0]
    fill *= 1 - (1 - FOLD_SHADE) * np.clip((away - FOLD[0]) / (FOLD[1] - FOLD[0]), 0, 1)[:, None]
    lash = np.clip((LASHES[1] - away) / (LASHES[1] - LASHES[0]), 0, 1)[:, None]
    fill += lash * (np.minimum(layers.lash, fill) - fill)
    return Lids(at, fill, weight[at], np.concatenate([_cheeks(scene, uv), GRAIN * (1 - lash)], 1).astype(np.float32))


def _cheeks(scene: Scene, uv: np.ndarray) -> np.ndarray:
    """Places [N, 2], in 0..1 of the side, of the bare skin under the eye for image points uv [N, 2] on the lid."""
    eyes, chin = scene.landmarks[[33, 263], :2], scene.landmarks[152, :2]
    across, middle = eyes[1] - eyes[0], eyes.mean(0)
    down = (chin - middle) * np.linalg.norm(across) / np.linalg.norm(chin - middle)
    beside = np.sign((uv - middle) @ across)[:, None] * across
    return (uv + GRAIN_BELOW * down + GRAIN_BESIDE * beside) / scene.side
