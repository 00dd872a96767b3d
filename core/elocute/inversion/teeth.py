"""Seating the teeth: where the photo shows them, else where teeth are behind relaxed lips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..generators.planes import unmix
from ..generators.scene import Scene
from ..generators.visible_teeth import mouth_axes, visible_teeth
from ..head.avatar import AvatarHead
from ..head.model import HeadModel
from ..landmarks import INNER_LIPS, MOUTH_CORNERS, STOMION
from ..portrait.regions import polygon_mask
from ..rendering.shells import project
from ..spaces import to_camera
from ..values import ARKIT_NAMES, HeadFit

ROWS = ("teeth_upper", "teeth_lower")
FRONT = 0.22  # of the mouth's width to either side of its middle: the incisors
LIMIT = 0.008  # metres; a row further off than this was not what the photo shows
UPPER_BELOW_LIP = 0.0022  # metres: what incisors show under an upper lip that speaks
HIGHER = 0.0015  # metres above that a laugh may have them: more is the lip's fit, and speech would show no teeth
SEEN, LOWERED = 0.0015, 0.0016  # metres of them that the camera is to see, and the most they are lowered for it
TALKING = 0.4  # of jawOpen: a mouth that shows the upper row if any does
LOWER_BELOW_LIP = 0.0025  # the lower row's edge hides behind the lower lip
# Metres by which the rows overlap at most while the jaw is shut. Teeth that a photo shows clenched between parted lips
# would be seated higher, as its jaw passes for open, and hide the upper row of a mouth that talks.
OVERBITE = 0.003


def seat_teeth(scene: Scene, model: HeadModel) -> HeadFit:
    """The fit with both rows of teeth moved up or down: behind closed lips where anatomy has them, and a row that the
    photo shows so that its edge projects on the photo's, as far as a mouth that talks then shows the upper row."""
    relaxed = AvatarHead(model, scene.fit).vertices(np.zeros(len(scene.fit.expression), np.float32))
    lips = model.landmarks(relaxed)
    stomion, half_width = lips[STOMION], FRONT * np.linalg.norm(np.subtract(*lips[list(MOUTH_CORNERS)]))
    rows = [model.part(name) for name in ROWS]
    edges = np.array([_edge(relaxed[row], stomion, half_width, end) for row, end in zip(rows, (min, max), strict=True)])
    up = np.clip(stomion[1] - (UPPER_BELOW_LIP, LOWER_BELOW_LIP) - edges, -LIMIT, LIMIT)  # metres, of each row

    def seated() -> HeadFit:
        offsets = scene.fit.offsets.copy()
        for row, way in zip(rows, up, strict=True):
            offsets[row, 1] += way
        return replace(scene.fit, offsets=offsets)

    xy = scene.landmarks[:, :2]
    own = unmix(scene.photo, scene.matte, scene.background)
    shown = visible_teeth(own, polygon_mask(xy[list(INNER_LIPS)], scene.side, scene.side), xy)
    if shown is not None:
        at = replace(scene, fit=seated())
        upper, lower = (_missing(at, model, name, row) for name, row in zip(ROWS, shown, strict=True))
        up -= max(upper, -HIGHER), lower
    up[0] -= _hidden(replace(scene, fit=seated()), model, half_width)
    up[1] = min(up[1], edges[0] + up[0] + OVERBITE - edges[1])
    return seated()


def _edge(row: np.ndarray, stomion: np.ndarray, half_width: float, end: Callable[[np.ndarray], float]) -> float:
    """Height of the incisors' edge: the lowest or highest (`end`) of the front of a row of teeth [N, 3], head space."""
    front = row[np.abs(row[:, 0] - stomion[0]) < half_width]
    return end(front[front[:, 2] > np.quantile(front[:, 2], 0.5), 1])


def _hidden(scene: Scene, model: HeadModel, half_width: float) -> float:
    """Metres by which the upper incisors have to be lower for the portrait's camera to see something of them in a mouth
    that talks: from above, a lip hides them."""
    talking = np.zeros(len(scene.fit.expression), np.float32)
    talking[ARKIT_NAMES.index("jawOpen")] = TALKING
    shape = AvatarHead(model, scene.fit).vertices(talking)
    _, middle, axes = mouth_axes(scene.landmarks[:, :2])
    lowest = []
    for part in (model.seams["lips"].upper, model.part("teeth_upper")):
        front = part[np.abs(shape[part, 0] - model.landmarks(shape)[STOMION, 0]) < half_width]
        uv = project(to_camera(shape[front], scene.fit.camera.camera_to_world), *scene.lens)
        lowest.append(((uv[:, :2] - middle) @ axes)[:, 1].max())
    seen = (lowest[1] - lowest[0]) * float(np.median(uv[:, 2])) / scene.lens[0]
    return float(np.clip(SEEN - seen, 0, LOWERED))


def _missing(scene: Scene, model: HeadModel, name: str, teeth: np.ndarray) -> float:
    """Metres by which the edge of a row of the photo's teeth, pixels `teeth` [R, R], lies below the model's, at right
    angles to the mouth, however the head is tilted; 0 when the photo shows none."""
    width, middle, axes = mouth_axes(scene.landmarks[:, :2])
    points = to_camera(AvatarHead(model, scene.fit).vertices(scene.fit.expression), scene.fit.camera.camera_to_world)
    uv = project(points[model.part(name)], *scene.lens)
    along, down = ((np.argwhere(teeth)[:, ::-1] + 0.5 - middle) @ axes).T
    own_along, own_down = ((uv[:, :2] - middle) @ axes).T
    near, front = np.abs(along) < FRONT * width, np.abs(own_along) < FRONT * width
    if not near.any() or not front.any():
        return 0.0
    lower = 1 if name == "teeth_upper" else -1  # towards the row's edge
    place = along[near].round().astype(int)
    ends = [(lower * down[near][place == k]).max() for k in np.unique(place)]
    missing = lower * (np.median(ends) + 0.5 - (lower * own_down[front]).max())  # pixels, downwards
    return float(np.clip(missing * float(np.median(uv[front, 2])) / scene.lens[0], -LIMIT, LIMIT))
