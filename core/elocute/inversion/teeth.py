"""Seating the teeth: where the photo shows them, else where teeth are behind relaxed lips."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..generators.planes import INNER_LIPS, unmix, visible_teeth
from ..generators.scene import Scene
from ..head.avatar import AvatarHead
from ..head.model import HeadModel
from ..portrait.regions import polygon_mask
from ..rendering.shells import project
from ..spaces import to_camera
from ..values import HeadFit

FRONT = 0.22  # of the mouth's width to either side of its middle: the incisors
LIMIT = 0.008  # metres; a row further off than this was not what the photo shows
UPPER_BELOW_LIP = 0.0022  # metres: what incisors show under an upper lip that speaks
LOWER_BELOW_LIP = 0.0025  # the lower row's edge hides behind the lower lip
STOMION = 13  # landmark in the middle of the upper lip's inner edge


def seat_teeth(scene: Scene, model: HeadModel) -> HeadFit:
    """The fit with both rows of teeth moved up or down: behind closed lips where anatomy has them, and the upper row
    so that its edge projects on the photo's when the photo shows it."""
    head = AvatarHead(model, scene.fit)
    relaxed = head.vertices(np.zeros(len(scene.fit.expression), np.float32))
    lips = model.landmarks(relaxed)
    stomion, half_width = lips[STOMION], FRONT * np.linalg.norm(lips[78] - lips[308])
    offsets = scene.fit.offsets.copy()
    for name, below, edge in (("teeth_upper", UPPER_BELOW_LIP, np.min), ("teeth_lower", LOWER_BELOW_LIP, np.max)):
        row = model.part(name)
        front = row[np.abs(relaxed[row, 0] - stomion[0]) < half_width]
        front = front[relaxed[front, 2] > np.quantile(relaxed[front, 2], 0.5)]
        offsets[row, 1] += np.clip(stomion[1] - below - edge(relaxed[front, 1]), -LIMIT, LIMIT)
    fit = replace(scene.fit, offsets=offsets)
    down = _missing(replace(scene, fit=fit), model)
    offsets[model.part("teeth_upper"), 1] -= down
    return replace(fit, offsets=offsets)


def _missing(scene: Scene, model: HeadModel) -> float:
    """Metres by which the photo's upper teeth reach further down than the model's; 0 when it shows none."""
    xy = scene.landmarks[:, :2]
    own = unmix(scene.photo, scene.matte, scene.background)
    teeth = visible_teeth(own, polygon_mask(xy[list(INNER_LIPS)], scene.side, scene.side), xy)
    if teeth is None:
        return 0.0
    middle, width = (xy[78] + xy[308]) / 2, np.linalg.norm(xy[78] - xy[308])
    first, last = (int(np.clip(middle[0] + k * FRONT * width, 0, scene.side - 1)) for k in (-1, 1))
    columns = np.arange(first, last + 1)
    shown = [np.flatnonzero(teeth[:, c]).max() + 1 for c in columns if teeth[:, c].any()]
    points = to_camera(AvatarHead(model, scene.fit).vertices(scene.fit.expression), scene.fit.camera.camera_to_world)
    uv = project(points[model.part("teeth_upper")], *scene.lens)
    front = np.abs(uv[:, 0] - middle[0]) < FRONT * width
    if not shown or not front.any():
        return 0.0
    missing = float(np.median(shown)) - float(uv[front, 1].max())  # pixels, downwards
    return float(np.clip(missing * float(np.median(uv[front, 2])) / scene.lens[0], -LIMIT, LIMIT))
