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
from ..rendering.raster import rasterise
from ..rendering.shells import project
from ..spaces import to_camera
from ..values import ARKIT_NAMES, HeadFit

ROWS = ("teeth_upper", "teeth_lower")
FRONT = 0.22  # of the mouth's width to either side of its middle: the incisors
LIMIT = 0.008  # metres; a row further off than this was not what the photo shows
UPPER_BELOW_LIP = 0.0022  # metres: what incisors show under an upper lip that speaks
HIGHER = 0.0015  # metres above that a laugh may have them: more is the lip's fit, and speech would show no teeth
# Metres of both rows that the camera is to see at least, and at most, and the most that they are lowered for it.
UPPER_SEEN, LOWER_SEEN, LOWERED = 0.0015, 0.0025, 0.0024
TALKING = 0.4  # of jawOpen: a mouth that shows the upper row if any does
LOWER_BELOW_LIP = 0.0025  # the lower row's edge hides behind the lower lip
# Metres that the incisors lie behind where the lips meet, and that the lower ones lie behind the upper ones; the most
# that a row is moved forward for it. Seen from above, what lies farther back shows its lower row instead of its upper.
BEHIND_LIPS, OVERJET, FORWARD = 0.007, 0.0025, (0.002, 0.006)
SKIN_DEPTH, PIXELS = 0.0025, 128  # metres from a row to the skin before it, at least; what it is measured in is so wide
STRAINS = (
    {"jawOpen": 0.7}, {"jawOpen": 0.6, "mouthSmileLeft": 0.6, "mouthSmileRight": 0.6},
    {"mouthRollUpper": 0.6, "mouthRollLower": 0.6}, {"mouthPressLeft": 0.7, "mouthPressRight": 0.7},
)  # fmt: skip
# Metres by which the rows overlap at most while the jaw is shut. Teeth that a photo shows clenched between parted lips
# would be seated higher, as its jaw passes for open, and hide the upper row of a mouth that talks.
OVERBITE = 0.003


def seat_teeth(scene: Scene, model: HeadModel) -> HeadFit:
    """The fit with both rows of teeth moved forward, and up or down: behind closed lips where anatomy has them, and a
    row that the photo shows so that its edge projects on the photo's, as far as a mouth that talks then shows the
    upper row."""
    relaxed = AvatarHead(model, scene.fit).vertices(np.zeros(len(scene.fit.expression), np.float32))
    lips = model.landmarks(relaxed)
    stomion, half_width = lips[STOMION], FRONT * np.linalg.norm(np.subtract(*lips[list(MOUTH_CORNERS)]))
    rows = [model.part(name) for name in ROWS]
    edges = np.array([_edge(relaxed[row], stomion, half_width, end) for row, end in zip(rows, (min, max), strict=True)])
    up = np.clip(stomion[1] - (UPPER_BELOW_LIP, LOWER_BELOW_LIP) - edges, -LIMIT, LIMIT)  # metres, of each row
    had = np.array([scene.fit.offsets[row, 2].mean() for row in rows])
    forward = _forward(relaxed[rows[0]], relaxed[rows[1]], had, stomion, half_width)

    def seated() -> HeadFit:
        offsets = scene.fit.offsets.copy()
        for row, *way in zip(rows, up, forward, strict=True):
            offsets[row, 1:] += way
        return replace(scene.fit, offsets=offsets)

    xy = scene.landmarks[:, :2]
    own = unmix(scene.photo, scene.matte, scene.background)
    shown = visible_teeth(own, polygon_mask(xy[list(INNER_LIPS)], scene.side, scene.side), xy)
    if shown is not None:
        at = replace(scene, fit=seated())
        upper, lower = (_missing(at, model, name, row) for name, row in zip(ROWS, shown, strict=True))
        up -= max(upper, -HIGHER), lower
    seen = _seen(replace(scene, fit=seated()), model, half_width / 2)
    up[0] -= np.clip(UPPER_SEEN - seen[0], 0, LOWERED)
    if shown is None or not shown[1].any():
        up[1] -= np.clip(seen[1] - LOWER_SEEN, 0, LOWERED)
    up[1] = min(up[1], edges[0] + up[0] + OVERBITE - edges[1])
    head = AvatarHead(model, seated())
    forward -= np.clip([SKIN_DEPTH - _room(head, model, name) for name in ROWS], 0, forward)
    return seated()


def _forward(
    upper: np.ndarray, lower: np.ndarray, had: np.ndarray, stomion: np.ndarray, half_width: float
) -> np.ndarray:
    """Metres by which both rows, [N, 3] in head space, are to be farther forward than they already are, `had` [2]; none
    is brought back."""
    fronts = np.array([row[np.abs(row[:, 0] - stomion[0]) < half_width, 2].max() for row in (upper, lower)]) - had
    first = np.clip(stomion[2] - BEHIND_LIPS - fronts[0], 0, FORWARD[0])
    return np.maximum([first, np.clip(fronts[0] + first - OVERJET - fronts[1], 0, FORWARD[1])] - had, 0)


def _room(head: AvatarHead, model: HeadModel, row: str) -> float:
    """Metres from a row to the skin before it, at least, while a mouth speaks, laughs and presses its lips."""
    faces = model.faces[model.face_part == model.parts.index("skin")]
    least = np.inf
    for pose in STRAINS:
        values = np.array([pose.get(name, 0) for name in ARKIT_NAMES], np.float32)
        points = head.vertices(values)
        across = np.ptp(points[model.part(row), 0])
        low = points[model.part(row)].min(0) - 0.5 * across
        seen = (points - low) * [1, -1, -1] * PIXELS / (2 * across) + [0, PIXELS, PIXELS]
        seen[:, 2] += 1 - seen[:, 2].min()  # before the eye nothing is
        _, depth = rasterise(seen.astype(np.float32), faces, PIXELS, PIXELS)
        x, y, z = seen[model.part(row)].T
        front = depth[y.astype(int).clip(0, PIXELS - 1), x.astype(int).clip(0, PIXELS - 1)]
        hidden = np.isfinite(front)
        if hidden.any():
            least = min(least, float((z - front)[hidden].min()) * 2 * across / PIXELS)
    return least


def _edge(row: np.ndarray, stomion: np.ndarray, half_width: float, end: Callable[[np.ndarray], float]) -> float:
    """Height of the incisors' edge: the lowest or highest (`end`) of the front of a row of teeth [N, 3], head space."""
    front = row[np.abs(row[:, 0] - stomion[0]) < half_width]
    return end(front[front[:, 2] > np.quantile(front[:, 2], 0.5), 1])


def _seen(scene: Scene, model: HeadModel, half_width: float) -> list[float]:
    """Metres of the upper and of the lower incisors that the portrait's camera sees in a mouth that talks: from above,
    a lip hides the upper ones and uncovers the lower ones. Negative: so much are they hidden."""
    talking = np.zeros(len(scene.fit.expression), np.float32)
    talking[ARKIT_NAMES.index("jawOpen")] = TALKING
    shape = AvatarHead(model, scene.fit).vertices(talking)
    _, middle, axes = mouth_axes(scene.landmarks[:, :2])
    centre = model.landmarks(shape)[STOMION, 0]
    lips, out = model.seams["lips"], []
    for lip, row, towards in zip((lips.upper, lips.lower), ROWS, (1, -1), strict=True):
        ends = []
        for part in (lip, model.part(row)):
            front = part[np.abs(shape[part, 0] - centre) < half_width]
            uv = project(to_camera(shape[front], scene.fit.camera.camera_to_world), *scene.lens)
            ends.append((towards * ((uv[:, :2] - middle) @ axes)[:, 1]).max())
        out.append(float((ends[1] - ends[0]) * np.median(uv[:, 2]) / scene.lens[0]))
    return out


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
