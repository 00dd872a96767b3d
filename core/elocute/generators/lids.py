"""Closed lids: what covers the eye in a blink, which an open-eyed photo never shows."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import cKDTree

from ..head.model import HeadModel
from ..head.surface import vertex_normals
from ..landmarks import CHIN, OUTER_EYE_CORNERS
from ..ramps import ramp
from ..rendering.gradients import stretch
from ..rendering.shells import SKIN, project
from ..spaces import to_camera
from ..values import BLINK
from .appearance import Appearance, harmonics
from .canonical import sample
from .geometry import Geometry
from .planes import Layers
from .scene import Scene

REGIONS = ("lid_upper_l", "lid_upper_r")
SHADING = (0.85, 1.12)  # light on the closed lid's own curve, of that on the flat skin whose colour it takes
LASHES = (0.0014, 0.0045)  # metres from the shut lid's rim that are lashes wholly, and not at all
FOLD_SHADE = 0.75  # of the lid's light: what is darker around an open eye are lashes or paint
FOLD_BLUR = 0.006  # of the side
# Times a blink has stretched skin that looks as in the photo yet, and that is all lid. What the photo shows itself ends
# in between (`kernels.STRETCH` is of its cube), so that no edge is left around the lid.
UNROLLED = (1.4, 5.0)
# The cheek lends the lid its pores: so far below the eye, and away from the fold beside the nose, in distances between
# the outer eye corners.
GRAIN_BELOW, GRAIN_BESIDE, GRAIN = 0.38, 0.1, 0.8
FRAME, FRAME_EDGE = 0.04, 0.008  # of the side: how broad a frame of glasses is at most, and how near to it is it yet
FRAME_DARK = 0.35, 0.5  # of the light beside it, that it lacks


@dataclass(frozen=True)
class Lids:
    """at [N] vertices; fill [N, 3] sRGB and weight [N] 0..1 of it against what was there; grain [N, 3] as in Shells."""

    at: np.ndarray
    fill: np.ndarray
    weight: np.ndarray
    grain: np.ndarray


def closed_lids(scene: Scene, geometry: Geometry, appearance: Appearance, model: HeadModel, layers: Layers) -> Lids:
    """The upper lids as they look when shut: the skin around the eye, lit as the closed lid's curve is, that goes over
    into what the photo shows of the fold, and lashes at the rim."""
    shut = scene.fit.expression.copy()
    shut[list(BLINK)] = 1
    points = to_camera(geometry.motion.head.surface(shut), scene.fit.camera.camera_to_world)
    weight = np.clip(3 * np.maximum(*(model.regions[name] for name in REGIONS)), 0, 1)
    at = np.flatnonzero(weight > 0)
    uv = project(points[at], *scene.lens)[:, :2]
    light = harmonics(vertex_normals(points, model.faces)[at]) @ appearance.light.mean(1, keepdims=True)
    shading = np.clip(light / np.median(light, axis=0), *SHADING)
    skin = np.clip(sample(layers.lid, uv) * shading, 0, 1)
    grown = np.empty((2, len(points)), np.float32)
    stretch(geometry.motion.rest_head, points, model.faces, *grown)
    unrolled = ramp(grown[0][at, None], *UNROLLED)
    fold = _fold(layers.planes[SKIN, ..., :3], geometry.uv[at], skin)
    fill = fold + unrolled * (skin - fold)
    rims = points[np.concatenate([model.seams[f"lids_{side}"].upper for side in ("left", "right")])]
    away = cKDTree(rims).query(points[at])[0]
    lash = 1 - ramp(away, *LASHES)[:, None]
    fill += lash * (np.minimum(layers.lash, fill) - fill)
    cheeks = _cheeks(scene, uv)
    pores = GRAIN * (1 - lash) * (1 - sample(_frames(scene.photo), cheeks * scene.side)[:, None])
    return Lids(at, fill, weight[at], np.concatenate([cheeks, pores], 1).astype(np.float32))


def _fold(photo: np.ndarray, uv: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """[N, 3] of what photo [R, R, 3] shows at image points uv [N, 2] around the open eye, no darker than a fold in
    the lid's skin [N, 3] is."""
    own = sample(cv2.GaussianBlur(photo, (0, 0), FOLD_BLUR * photo.shape[0]), uv)
    level, lit = (colour.mean(1, keepdims=True) for colour in (own, skin))
    return own + np.clip((FOLD_SHADE * lit - level) / np.maximum(lit - level, 1e-3), 0, 1) * (skin - own)


def _frames(photo: np.ndarray) -> np.ndarray:
    """[R, R] 0..1 of photo [R, R, 3]: dark and narrow like the frame of a pair of glasses, which no lid repeats."""
    side, level = len(photo), photo.mean(2)
    wide, beside = (np.ones((2 * round(share * side) + 1,) * 2, np.uint8) for share in (FRAME / 2, FRAME_EDGE))
    around = cv2.morphologyEx(level, cv2.MORPH_CLOSE, wide)
    return cv2.dilate(ramp(1 - level / np.maximum(around, 1e-3), *FRAME_DARK), beside)


def _cheeks(scene: Scene, uv: np.ndarray) -> np.ndarray:
    """Places [N, 2], in 0..1 of the side, of the bare skin under the eye for image points uv [N, 2] on the lid."""
    eyes, chin = scene.landmarks[list(OUTER_EYE_CORNERS), :2], scene.landmarks[CHIN, :2]
    across, middle = eyes[1] - eyes[0], eyes.mean(0)
    down = (chin - middle) * np.linalg.norm(across) / np.linalg.norm(chin - middle)
    beside = np.sign((uv - middle) @ across)[:, None] * across
    return (uv + GRAIN_BELOW * down + GRAIN_BESIDE * beside) / scene.side
