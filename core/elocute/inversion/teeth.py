"""Seating the teeth: the model's upper row at the height where the photo shows the real one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..generators.headfield import Scene
from ..generators.motion import to_camera
from ..generators.planes import INNER_LIPS, unmix, visible_teeth
from ..head.avatar import AvatarHead
from ..head.model import HeadModel
from ..portrait.regions import polygon_mask
from ..rendering.shells import project
from ..values import HeadFit

FRONT = 0.22  # of the mouth's width to either side of its middle: the incisors
LIMIT = 0.007  # metres; a tooth row further off than this was not what the photo shows


def seat_teeth(scene: Scene, model: HeadModel) -> HeadFit:
    """The fit with the upper teeth moved up or down so that their edge projects on the photo's. Unchanged when the
    photo shows no teeth."""
    xy = scene.landmarks[:, :2]
    own = unmix(scene.photo, scene.matte, scene.background)
    teeth = visible_teeth(own, polygon_mask(xy[list(INNER_LIPS)], scene.side, scene.side), xy)
    if teeth is None:
        return scene.fit
    middle, width = (xy[78] + xy[308]) / 2, np.linalg.norm(xy[78] - xy[308])
    columns = np.arange(int(middle[0] - FRONT * width), int(middle[0] + FRONT * width) + 1)
    shown = [np.flatnonzero(teeth[:, c]).max() + 1 for c in columns if teeth[:, c].any()]
    head = AvatarHead(model, scene.fit)
    points = to_camera(head.vertices(scene.fit.expression), scene.fit.camera.camera_to_world)
    row = model.part("teeth_upper")
    uv = project(points[row], *scene.lens)
    front = np.abs(uv[:, 0] - middle[0]) < FRONT * width
    if not shown or not front.any():
        return scene.fit
    missing = float(np.median(shown)) - float(uv[front, 1].max())  # pixels, downwards
    down = np.clip(missing * float(np.median(uv[front, 2])) / scene.lens[0], -LIMIT, LIMIT)
    offsets = scene.fit.offsets.copy()
    offsets[row, 1] -= down
    return replace(scene.fit, offsets=offsets)
