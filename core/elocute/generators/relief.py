"""Hair, shoulders and whatever else the person wears: a relief whose depth is a prior, not a measurement.

One photo says nothing sure about the depth of hair. The relief continues the fitted head's surface outward over the
matte as a membrane, is drawn weakly towards a plane through the ears (silhouettes of round things lie near their
middle), and bends back towards the matte's edge, as round things do.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import linalg
from scipy.spatial import cKDTree

from ..ramps import ramp

CELLS = 128  # relief cells along the picture's side: 4 px at 512; the matte carries the finer shape
BEYOND = 14  # cells beyond the picture: what a turn brings in from there is the edge continued, not a hole
OVERLAP = 1.6  # cells inside the head's outline from which its depth is the relief's: no seam opens between them
# Cells that the relief goes on under the head's surface: around eyes and mouth, which open, and elsewhere, where a chin
# that turns away by 15 degrees would uncover a hole beside a neck.
UNDER = 3.2, 8.0
PRIOR_WEIGHT = 0.004  # membrane against ear plane: the surface's own depth reaches about 1/sqrt(weight) = 16 cells
DIP = (0.3, 2.9)  # cells inside the head's outline: from which, and up to which, the relief dips under its surface
BEHIND = 0.006  # metres the relief dips under the head's surface where both exist, so that the surface wins
ROUNDING = 0.022  # metres the relief's rim bends back
ROUNDING_REACH = 0.03  # metres from the rim over which it does
FALLOFF = 0.025  # metres over which facial motion dies away outside the head's surface
NEIGHBOURS = 6


@dataclass(frozen=True)
class Relief:
    """points [N, 3] camera space (x right, y down, z forward, metres); faces [M, 3]; bound [N, NEIGHBOURS] indices
    of head vertices whose motion it follows, with weights [N, NEIGHBOURS] (rows sum to the fall-off, 0..1)."""

    points: np.ndarray
    faces: np.ndarray
    bound: np.ndarray
    weights: np.ndarray


def build_relief(
    matte: np.ndarray, head_depth: np.ndarray, lens: tuple[float, float, float], plane: tuple[np.ndarray, np.ndarray],
    head_points: np.ndarray, openings: np.ndarray,
) -> Relief:  # fmt: skip
    """matte [R, R] 0..1; head_depth [R + 2 M, R + 2 M] metres, with a margin of M >= 0 pixels around the picture, inf
    where the head's surface isn't seen; lens (focal, cx, cy) in the picture's pixels; plane: a point and the normal of
    the ear plane in camera space; head_points [K, 3] outer head vertices; openings [R, R] around eyes and mouth."""
    side, full = matte.shape[0], head_depth.shape[0]
    step = side / CELLS
    at = np.arange(-BEYOND, CELLS + BEYOND + 1) * step
    u, v = np.meshgrid(at, at)
    pick = np.clip(np.round(at).astype(int), 0, side - 1)
    person = cv2.dilate((matte > 0.02).astype(np.uint8), np.ones((3, 3), np.uint8), iterations=int(2 * step))[
        np.ix_(pick, pick)
    ]
    wide = np.clip(np.round(at).astype(int) + (full - side) // 2, 0, full - 1)
    finite = np.isfinite(head_depth)
    covered = ndimage.binary_fill_holes(finite)  # an open mouth and the eyes belong to other layers
    inside = ndimage.distance_transform_edt(covered)[np.ix_(wide, wide)] / step  # cells inside the head's outline
    below = v > side  # there it is clothes that go on, whatever the head's neck does
    known = (inside > OVERLAP) & finite[np.ix_(wide, wide)] & ~below
    rays = np.stack([(u - lens[1]) / lens[0], (v - lens[2]) / lens[0], np.ones_like(u)], -1)
    prior = (plane[0] @ plane[1]) / (rays @ plane[1])
    own = np.where(known, np.where(finite, head_depth, 0)[np.ix_(wide, wide)], 0.0)
    depth = _membrane(own, known, prior, person > 0)
    cell = step / lens[0] * float(np.median(prior))  # metres
    rim = ndimage.distance_transform_edt(np.pad(person, 1, mode="edge"))[1:-1, 1:-1] * cell
    rim = np.full_like(rim, np.inf) if person.all() else rim  # a person who fills the picture has no rim in it
    depth = depth + np.where(known, 0, ROUNDING * (1 - np.sqrt(np.clip(rim / ROUNDING_REACH, 0, 1))))
    depth += np.where(below, 0, BEHIND * ramp(inside, *DIP))
    # At the photo's lower edge too, where what lies below it takes over.
    narrow = (openings[np.ix_(pick, pick)] > 0) | (v > side - UNDER[1] * step)
    keep = (person > 0) & ((inside < np.where(narrow, *UNDER)) | below)
    points = (rays * depth[..., None])[keep]
    index = np.full(keep.shape, -1)
    index[keep] = np.arange(keep.sum())
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[:-1, 1:], index[1:, 1:]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)])
    faces = faces[(faces >= 0).all(1)]
    distance, bound = cKDTree(head_points).query(points, NEIGHBOURS)
    weights = 1 / (distance + 1e-4) ** 2
    weights *= np.exp(-((distance[:, :1] / FALLOFF) ** 2)) / weights.sum(1, keepdims=True)
    return Relief(points.astype(np.float32), faces.astype(np.int32), bound, weights.astype(np.float32))


def _membrane(depth: np.ndarray, known: np.ndarray, prior: np.ndarray, domain: np.ndarray) -> np.ndarray:
    """Depth over `domain`: given where `known`, elsewhere the least |grad d|^2 + w (d - prior)^2."""
    rows, cols = depth.shape
    free = domain & ~known
    number = np.full(depth.shape, -1)
    number[free] = np.arange(free.sum())
    n = int(free.sum())
    diagonal = np.full(n, PRIOR_WEIGHT)
    right = PRIOR_WEIGHT * prior[free]
    entries: list[tuple[np.ndarray, np.ndarray]] = []
    ys, xs = np.nonzero(free)
    for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        y, x = ys + dy, xs + dx
        valid = (y >= 0) & (y < rows) & (x >= 0) & (x < cols)
        y, x = y.clip(0, rows - 1), x.clip(0, cols - 1)
        to_free = valid & free[y, x]
        to_known = valid & known[y, x]
        diagonal += to_free + to_known
        right = right + np.where(to_known, depth[y, x], 0)
        entries.append((np.flatnonzero(to_free), number[y, x][to_free]))
    i = np.concatenate([e[0] for e in entries] + [np.arange(n)])
    j = np.concatenate([e[1] for e in entries] + [np.arange(n)])
    values = np.concatenate([np.full(len(i) - n, -1.0), diagonal])
    solved = linalg.spsolve(sparse.csr_matrix((values, (i, j)), (n, n)), right) if n else np.zeros(0)
    out = np.where(known, depth, prior)
    out[free] = solved
    return out
