"""The person beyond the portrait's edges, for pictures that show more than the photo did: seen smaller, moved up or
aside. Nothing is known there, so it is what one expects and no eye-catcher: shoulders round off at a usual width and
go straight down, a neckline closes in a V, a cut-off hat or head in a dome, and colours run on from the edge, softer
and softer, into the cloth's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import cKDTree

from ..ramps import runs, smooth_step
from ..rendering.shells import RELIEF, Shells, project
from ..spaces import to_head
from .canonical import HAIR_THICKNESS
from .motion import FieldMotion, turn_about, turn_weights

EXTENT = 3  # pictures: the painted canvas is one picture wider than the portrait on every side
LARGEST_CANVAS = 1536  # pixels: what lies beyond the edges is soft
FARTHEST_BELOW = 5.0  # pictures: the smallest head that is shown has its body down to the picture's lower edge
CELLS = 48  # of the canvas's grid to a picture
HALF_SHOULDERS = 0.235  # metres from the middle to the outside of the upper arm, dressed
LEAST_ROUNDING = 0.04  # of the picture: a shoulder ends no more abruptly than this
STEEPEST, TANGENT = 6.0, 0.08  # outward per downward run at the edge; share of the picture that it is measured over
DOME, TALLEST_DOME = 0.35, 0.25  # height of a dome over its width; of the picture
NECKLINE = 0.5  # pictures below the edge where a neckline has closed
SOFT = ((0.15, 8), (0.4, 32))  # distance from the picture, in pictures, at which colours are averaged over so many px
CLOTH_FROM = 0.7  # ... and at which they have become the cloth's
STILL_FROM = 0.15  # pictures beside the portrait: from there no shoulder follows the head
UNDERLAP = 0.12  # of the picture: so far it reaches under the portrait, where that is opaque
OPAQUE = 0.9


@dataclass(frozen=True)
class Bust:
    """`shells` of the outside on a canvas EXTENT pictures wide; `weights` [V] how far each point takes a turn about
    `joint` [3]."""

    shells: Shells
    weights: np.ndarray
    joint: np.ndarray

    def moved(self, rotation: np.ndarray, move: tuple[float, float, float]) -> np.ndarray:
        """float32 [V, 3] in camera space for a turn in the viewer's axes and a move in metres."""
        out = self.shells.rest.copy()
        turn_about(out, self.weights, self.joint, rotation)
        return out + np.asarray(move, np.float32)


def build_bust(shells: Shells, motion: FieldMotion, rgba: np.ndarray, depth: np.ndarray) -> Bust:
    """rgba float32 [R, R, 4], premultiplied, and depth [R, R] in metres: the person as the portrait shows it, of any
    resolution R."""
    side = min(LARGEST_CANVAS, EXTENT * rgba.shape[0]) // EXTENT
    small = cv2.resize(rgba, (side, side), interpolation=cv2.INTER_AREA)
    scale = side / shells.planes.shape[1]
    lens = (shells.focal * scale, shells.cx * scale, shells.cy * scale)
    away = float(motion.joint[2])
    middle = float(lens[0] * motion.joint[0] / away + lens[1])
    alpha = outside(small[..., 3], middle, HALF_SHOULDERS * lens[0] / away)
    plane = np.concatenate([_colours(small, middle), alpha[..., None]], 2).astype(np.float32)
    solid = cv2.resize(depth, (side, side), interpolation=cv2.INTER_NEAREST)
    rest, faces = _grid(alpha, lens, np.where(small[..., 3] > OPAQUE, solid, 0))
    uv = project(rest, *lens)[:, :2]
    there = _sample(plane, uv[:, 0] + side, uv[:, 1] + side).reshape(-1, 4)
    out = Shells(
        rest=rest, faces=faces, layer=np.full(len(faces), RELIEF, np.uint8), seen=np.ones(len(rest), np.float32),
        grain=np.zeros((len(rest), 3), np.float32), rim=np.zeros(len(rest), np.float32),
        fill=there[:, :3], solid=there[:, 3],
        thickness=np.full(len(rest), HAIR_THICKNESS, np.float32),
        normal=-rest / np.linalg.norm(rest, axis=1, keepdims=True), planes=plane[None],
        shadow=np.full((1, 1), np.inf, np.float32), foreign=np.zeros((2, 2), np.float32), focal=lens[0],
        cx=lens[1] + side, cy=lens[2] + side, extent=EXTENT, painted=True,
    )  # fmt: skip
    weights = turn_weights(to_head(rest, motion.camera_to_world), motion.chin)
    aside = np.maximum(-uv[:, 0], uv[:, 0] - side) / side
    weights *= 1 - smooth_step(aside, 0, STILL_FROM) * (1 - weights)
    return Bust(out, weights, motion.joint)


def outside(alpha: np.ndarray, middle: float, half_shoulders: float) -> np.ndarray:
    """Coverage [3 R, 3 R] of the person around the picture `alpha` [R, R] 0..1, which it only underlaps. `middle` of
    the body and `half_shoulders` in pixels."""
    side = alpha.shape[0]
    at = np.arange(EXTENT * side) + 0.5 - side
    x, y = at[None, :], at[:, None]
    cover = np.zeros((EXTENT * side,) * 2, np.float32)
    solid = alpha > 0.5
    edges = {"top": solid[:3].mean(0) > 0.5, "left": solid[:, :3].mean(1) > 0.5, "right": solid[:, -3:].mean(1) > 0.5}
    bottom = solid[-3:].mean(0) > 0.5
    if bottom.any():
        left = side - _outline(solid[:, ::-1], side - middle, half_shoulders, at)
        right = _outline(solid, middle, half_shoulders, at)
        apart = x - left[:, None], right[:, None] - x
        inside = np.where(y > side, np.minimum(*apart), np.where(x < side / 2, *apart))
        cover = np.clip(inside + 0.5, 0, 1).astype(np.float32)
    for name, run in edges.items():
        for start, stop in _stretches(run):
            if name != "top" and stop == side and bottom.any():
                continue  # a shoulder
            along, away = (x, -y) if name == "top" else (y, -x if name == "left" else x - side)
            cover = np.maximum(cover, _dome(along, away, start, stop, side))
    return _framed(cover, alpha)


def _framed(cover: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The outside's coverage without what lies in the picture, which it only underlaps, as covered as the picture."""
    side = alpha.shape[0]
    rim = np.arange(side) + 0.5
    rim = np.minimum(rim, side - rim)
    depth = np.minimum(rim[:, None], rim[None, :])
    solid = ((alpha - OPAQUE) / (1 - OPAQUE)).clip(0, 1)
    cover[side : 2 * side, side : 2 * side] = solid * (depth < UNDERLAP * side)
    return cover


def _stretches(row: np.ndarray) -> np.ndarray:
    """`runs` that are more than noise."""
    found = runs(row)
    return found[found[:, 1] - found[:, 0] > 2]


def _dome(along: np.ndarray, away: np.ndarray, start: int, stop: int, side: int) -> np.ndarray:
    """Coverage of half an ellipse that stands on a stretch of an edge."""
    half = (stop - start) / 2
    height = _dome_height(stop - start, side)
    radius = np.sqrt(((along - (start + half)) / half) ** 2 + (away / height) ** 2)
    return np.where(away > 0, np.clip((1 - radius) * height + 0.5, 0, 1), 0).astype(np.float32)


def _dome_height(width: int, side: int) -> float:
    return min(width * DOME, TALLEST_DOME * side)


def _outline(solid: np.ndarray, middle: float, half_shoulders: float, y: np.ndarray) -> np.ndarray:
    """x [N] of the body's right outline beyond the picture `solid` [R, R] at rows y [N], -inf above its start.

    It leaves the picture where and how the person's own outline does, and nears the shoulders' width exponentially.
    """
    side = len(solid)
    back = np.arange(max(2, round(TANGENT * side)))
    if solid[-3:, -3:].all():  # through the side
        tops = [_last_gap(solid[:, -1 - k]) for k in back]
        start, top = float(side), float(tops[0])
        run = 1 / max(-float(np.polyfit(back, tops, 1)[0]), 1 / STEEPEST)
    else:  # through the bottom
        ends = [side - _first(solid[-1 - k, ::-1]) for k in back]
        start, top = float(ends[0]), float(side)
        run = float(np.clip(-np.polyfit(back, ends, 1)[0], 0, STEEPEST))
    width = max(half_shoulders - (start - middle), LEAST_ROUNDING * side)
    out = start + width * (1 - np.exp(-np.maximum(y - top, 0) * run / width))
    return np.where(y >= top, out, -np.inf)


def _last_gap(column: np.ndarray) -> int:
    """First row of the stretch of True that reaches the end."""
    gaps = np.flatnonzero(~column)
    return int(gaps[-1]) + 1 if len(gaps) else 0


def _first(row: np.ndarray) -> int:
    inside = np.flatnonzero(row)
    return int(inside[0]) if len(inside) else len(row) // 2


def _colours(small: np.ndarray, middle: float) -> np.ndarray:
    """[3 R, 3 R, 3] of a premultiplied picture [R, R, 4], running on outwards softer and softer into the cloth's."""
    side = small.shape[0]
    low = small[-max(2, side // 16) :].reshape(-1, 4)
    person = low[low[:, 3] > OPAQUE] if (low[:, 3] > OPAQUE).any() else small.reshape(-1, 4)
    cloth = np.median(person[:, :3], axis=0).astype(np.float32)
    at = (np.arange(EXTENT * side) + 0.5 - side).astype(np.float32)
    sharp = _sample(small, *_sources(small[..., 3] > 0.5, middle, at))
    off = np.maximum(np.maximum(-at, at - side), 0) / side
    distance = np.hypot(off[:, None], off[None, :])[..., None]
    out = _over(sharp, cloth)
    begin = 0.0
    for reach, block in SOFT:
        level = cv2.resize(sharp, (max(1, len(sharp) // block),) * 2, interpolation=cv2.INTER_AREA)
        level = cv2.GaussianBlur(level, (0, 0), 1.0)
        soft = _over(cv2.resize(level, (len(sharp),) * 2, interpolation=cv2.INTER_LINEAR), cloth)
        out += smooth_step(distance, begin, reach) * (soft - out)
        begin = reach
    out += smooth_step(distance, begin, CLOTH_FROM) * (cloth - out)
    return np.asarray(out.clip(0, 1))


def _sources(solid: np.ndarray, middle: float, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixel x and y [3 R, 3 R] of the picture whose colour each point of the canvas continues: the nearest, but drawn
    together towards the middle below and the top of a dome above. `at` [3 R] where the canvas's pixels are."""
    side = len(solid)
    x, y = (np.array(part) for part in np.meshgrid(at, at))
    below = 1 - ((y - side) / (NECKLINE * side)).clip(0, 0.98)
    x = middle + (x - middle) / below
    for start, stop in _stretches(solid[:3].mean(0) > 0.5):
        half, height = (stop - start) / 2, _dome_height(stop - start, side)
        rows = at < 0
        narrow = np.sqrt((1 - (at[rows] / height) ** 2).clip(0.01, 1))[:, None]
        there = (at >= start - 1) & (at <= stop + 1)
        x[np.ix_(rows, there)] = (start + half + (at[there] - start - half) / narrow).clip(start, stop - 1)
    return x.clip(0, side), y.clip(0, side)


def _sample(picture: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A picture [R, R, C] at pixel coordinates, its border beyond it."""
    at = (part.astype(np.float32) - np.float32(0.5) for part in (x, y))
    return cv2.remap(picture, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _over(premultiplied: np.ndarray, cloth: np.ndarray) -> np.ndarray:
    """Straight colours; where hardly anybody is, the cloth's."""
    alpha = premultiplied[..., 3:]
    return (premultiplied[..., :3] + 0.02 * cloth) / (alpha + 0.02)


def _grid(alpha: np.ndarray, lens: tuple[float, float, float], depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points [V, 3] camera space and triangles [F, 3] over what `alpha` [3 R, 3 R] covers; each has the depth of the
    person's nearest point in the picture, `depth` [R, R], 0 where nobody is. `lens` in those pixels."""
    side = len(depth)
    columns = np.arange(-CELLS, 2 * CELLS + 1) * side / CELLS
    rows = np.concatenate([columns, [FARTHEST_BELOW * side]])
    covered = cv2.resize(cv2.dilate(alpha, np.ones((3, 3))), (EXTENT * CELLS,) * 2, interpolation=cv2.INTER_AREA) > 0
    covered = np.concatenate([covered, covered[-1:]])  # the body goes on below
    u, v = np.meshgrid(columns, rows)
    at = np.stack([u, v], -1).reshape(-1, 2)
    ys, xs = np.nonzero(depth)
    far, near = cKDTree(np.stack([xs, ys], 1) + 0.5).query(at.clip(0, side), 4)
    weight = 1 / (far + 0.1)
    away = (weight * depth[ys[near], xs[near]]).sum(1) / weight.sum(1)
    points = np.stack([(at[:, 0] - lens[1]) / lens[0], (at[:, 1] - lens[2]) / lens[0], np.ones(len(at))], 1)
    points *= away[:, None]
    index = np.arange(len(at)).reshape(u.shape)
    a, b, c, d = (part[covered] for part in (index[:-1, :-1], index[1:, :-1], index[:-1, 1:], index[1:, 1:]))
    faces = np.concatenate([np.stack([a, b, c], -1), np.stack([b, d, c], -1)])
    used, faces = np.unique(faces, return_inverse=True)
    return points[used].astype(np.float32), faces.reshape(-1, 3).astype(np.int32)
