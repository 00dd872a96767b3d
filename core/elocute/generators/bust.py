"""The person beyond the portrait's edges, for pictures that show more than the portrait did: seen smaller, moved up
or aside. As far as the photo goes, it is what the photo shows around the portrait. Where that ends nothing is known, so
it is what one expects and no eye-catcher: shoulders round off at a usual width and go straight down, a neckline closes
in a V, a cut-off hat or head in a dome, and colours run on from the edge, softer and softer, into the cloth's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import cKDTree

from ..ramps import smooth_step
from ..rendering.shells import FAR, RELIEF, Shells, project
from ..spaces import to_head
from ..values import SURROUNDINGS_SIDE, Surroundings
from .canonical import HAIR_THICKNESS
from .motion import FieldMotion, turn_about, turn_weights
from .silhouette import EXTENT, OPAQUE, Known, dome_height, outside, stretches

LARGEST_CANVAS = EXTENT * SURROUNDINGS_SIDE
FARTHEST_BELOW = 5.0  # pictures: the smallest head that is shown has its body down to the picture's lower edge
CELLS = 48  # of the canvas's grid to a picture
HALF_SHOULDERS = 0.235  # metres from the middle to the outside of the upper arm, dressed
NECKLINE = 0.5  # pictures below the edge where a neckline has closed
SOFT = ((0.15, 8), (0.4, 32))  # distance from the picture, in pictures, at which colours are averaged over so many px
CLOTH_FROM = 0.7  # ... and at which they have become the cloth's
CANVAS_ENDS = (1.96, 2.0)  # pictures from the portrait's top: below there is cloth alone
STILL_FROM = 0.15  # pictures beside the portrait: from there no shoulder follows the head
NOT_THE_HEADS = (0.35, 0.6)  # pictures beside it, over which what is as high as the head comes to be no part of it
PRESENT = 0.1  # coverage that has a depth; what is seen of hair and cloth lies half a shell behind their surface
EDGE = 0.015  # of the picture: so far in from a photo's edge is the colour that goes on; the last pixels are often pale
CUT_WITHIN, HEADS = 0.01, 0.8  # of the picture, from its edge; of a turn: what takes so much of it is the head's


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


def build_bust(
    shells: Shells, motion: FieldMotion, rgba: np.ndarray, depth: np.ndarray, inner: np.ndarray,
    around: Surroundings | None = None,
) -> Bust:  # fmt: skip
    """rgba float32 [R, R, 4], premultiplied, and depth [R, R] in metres: the person as the portrait shows it, of any
    resolution R; inner [R, R]: coverage by the triangles that lie `within` it; `around`: what the photo shows
    beyond."""
    side = min(LARGEST_CANVAS, EXTENT * rgba.shape[0]) // EXTENT
    small = cv2.resize(rgba, (side, side), interpolation=cv2.INTER_AREA)
    scale = side / shells.planes.shape[1]
    lens = (shells.focal * scale, shells.cx * scale, shells.cy * scale)
    away = float(motion.joint[2])
    middle = float(lens[0] * motion.joint[0] / away + lens[1])
    known = Known(small, side) if around is None else _amid(small, around)
    inner = cv2.resize(inner, (side, side), interpolation=cv2.INTER_AREA)
    alpha = outside(known, middle, HALF_SHOULDERS * lens[0] / away, inner)
    cloth = _cloth(known)
    plane = np.concatenate([_colours(known, middle, cloth), alpha[..., None]], 2).astype(np.float32)
    solid = cv2.resize(depth, (side, side), interpolation=cv2.INTER_NEAREST)
    rest, faces = _grid(alpha, lens, np.where((small[..., 3] > PRESENT) & (solid > 0), solid - HAIR_THICKNESS / 2, 0))
    uv = project(rest, *lens)[:, :2]
    there = _sample(plane, uv[:, 0] + side, uv[:, 1] + side).reshape(-1, 4)
    past = smooth_step(uv[:, 1] / side, *CANVAS_ENDS)
    out = Shells(
        rest=rest, faces=faces, layer=np.full(len(faces), RELIEF, np.uint8), seen=(1 - past).astype(np.float32),
        grain=np.zeros((len(rest), 3), np.float32), rim=np.zeros(len(rest), np.float32),
        fill=there[:, :3] + past[:, None] * (cloth - there[:, :3]), solid=there[:, 3],
        thickness=np.full(len(rest), HAIR_THICKNESS, np.float32),
        normal=-rest / np.linalg.norm(rest, axis=1, keepdims=True), planes=plane[None],
        shadow=np.array([[[FAR, 0]]], np.float32), foreign=np.zeros((2, 2), np.float32), focal=lens[0],
        cx=lens[1] + side, cy=lens[2] + side, extent=EXTENT, painted=True,
    )  # fmt: skip
    weights = turn_weights(to_head(rest, motion.camera_to_world), motion.chin)
    aside = np.maximum(-uv[:, 0], uv[:, 0] - side) / side
    weights *= 1 - smooth_step(aside, 0, STILL_FROM) * (1 - weights)
    weights *= 1 - smooth_step(aside, *NOT_THE_HEADS)
    return Bust(out, weights, motion.joint)


def _amid(small: np.ndarray, around: Surroundings) -> Known:
    """The portrait `small` [S, S, 4] amid what the photo shows around it."""
    side = small.shape[0]
    scale = side / around.side
    height, width = around.rgba.shape[:2]
    left, top = int(around.left * scale), int(around.top * scale)  # whole pixels, whatever the photo's are
    size = max(int(width * scale), left + side), max(int(height * scale), top + side)
    rgba = around.rgba
    if scale < 1:
        rgba = cv2.resize(rgba, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    x, y = rgba.shape[1] / width, rgba.shape[0] / height  # of the surroundings' pixels
    matrix = np.array([[scale / x, 0, left - around.left * scale], [0, scale / y, top - around.top * scale]])
    matrix[:, 2] += (np.diag(matrix) - 1) / 2  # OpenCV's pixels have their centres at whole numbers
    rgba = cv2.warpAffine(rgba, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    rgba = rgba.astype(np.float32) / 255
    rgba[..., :3] *= rgba[..., 3:]
    rgba[top : top + side, left : left + side] = small
    x0, y0 = max(left - side, 0), max(top - side, 0)  # as far as the canvas goes
    rgba = rgba[y0 : top + 2 * side, x0 : left + 2 * side]
    return Known(np.ascontiguousarray(rgba), side, left - x0, top - y0)


def turns_at_edge(shells: Shells, motion: FieldMotion, around: Surroundings) -> bool:
    """Whether a turn of the head brings in what the photo shows beyond the portrait: its left, right or top edge cuts
    hair or a hat. What neck and shoulders bring in is too little to be seen."""
    side = shells.planes.shape[1]
    x, y = project(shells.rest, shells.focal, shells.cx, shells.cy)[:, :2].T / side
    beyond = np.array([around.left, around.rgba.shape[1] - around.left - around.side, around.top]) / around.side
    cut = ((np.stack([x, 1 - x, y]) < CUT_WITHIN) & (beyond > CUT_WITHIN)[:, None]).any(0)
    cut &= (x > 0) & (x < 1) & (y > 0) & (y < 1) & (shells.solid > 0.5) & (motion.weights > HEADS)
    return bool(cut[len(motion.rest_head) :].any())


def _cloth(known: Known) -> np.ndarray:
    """The colour [3] of what the person wears where the photo ends."""
    low = known.rgba[-max(2, known.side // 16) :]
    for part in (low, known.portrait):
        person = part[part[..., 3] > OPAQUE]
        if len(person):
            return np.asarray(np.median(person[:, :3], axis=0), np.float32)
    return np.zeros(3, np.float32)  # nobody is there


def _colours(known: Known, middle: float, cloth: np.ndarray) -> np.ndarray:
    """[3 S, 3 S, 3], beyond what is known running on outwards softer and softer into the `cloth`'s [3]."""
    rgba, side = known.rgba, known.side
    height, width = rgba.shape[:2]
    sharp = _sample(rgba, *_sources(known, middle + known.left))
    aside = np.maximum(np.maximum(-known.across, known.across - width), 0) / side
    below = np.maximum(np.maximum(-known.down, known.down - height), 0) / side
    distance = np.hypot(below[:, None], aside[None, :])[..., None].astype(np.float32)
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


def _sources(known: Known, middle: float) -> tuple[np.ndarray, np.ndarray]:
    """Pixel x and y [3 S, 3 S] of what is known whose colour each point of the canvas continues: the nearest, but drawn
    together towards the `middle` below and the top of a dome above."""
    solid, side = known.solid, known.side
    height, width = solid.shape
    at, rows = (part.astype(np.float32) for part in (known.across, known.down))
    x, y = (np.array(part) for part in np.meshgrid(at, rows))
    below = 1 - ((y - height) / (NECKLINE * side)).clip(0, 0.98)
    x = middle + (x - middle) / below
    for start, stop in stretches(solid[:3].mean(0) > 0.5):
        half, high = (stop - start) / 2, dome_height(stop - start, side)
        above = rows < 0
        narrow = np.sqrt((1 - (rows[above] / high) ** 2).clip(0.01, 1))[:, None]
        there = (at >= start - 1) & (at <= stop + 1)
        x[np.ix_(above, there)] = (start + half + (at[there] - start - half) / narrow).clip(start, stop - 1)
    return _back_in(x, width, EDGE * side), _back_in(y, height, EDGE * side)


def _back_in(at: np.ndarray, length: int, farthest: float) -> np.ndarray:
    """Positions within 0..length; those beyond are mirrored into it, to `farthest` from its end."""
    low, high = np.minimum(-at, farthest), np.maximum(2 * length - at, length - farthest)
    return np.where(at < 0, low, np.where(at > length, high, at))


def _sample(picture: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A picture [H, W, C] at pixel coordinates, its border beyond it."""
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
