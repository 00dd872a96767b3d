"""Lids and brows of a followed face, straight from its landmarks.

The scores of the landmark network call a shut eye half shut, a wink half a blink, and a person's brows raised or not
whatever they do. The landmarks themselves move, and where they rest is known from the rest of the video.
"""

from __future__ import annotations

import numpy as np

from ..head.fit import Estimate, Problem, residuals
from ..landmarks import LEFT_LIDS, RIGHT_LIDS
from ..values import ARKIT_NAMES, BLINK

BROW_UNITS = tuple(i for i, name in enumerate(ARKIT_NAMES) if name.startswith("brow"))
INNER_UP = ARKIT_NAMES.index("browInnerUp")
OUTER_UP = (ARKIT_NAMES.index("browOuterUpLeft"), ARKIT_NAMES.index("browOuterUpRight"))
DOWN = (ARKIT_NAMES.index("browDownLeft"), ARKIT_NAMES.index("browDownRight"))
# What else is seen of an eye, left and right: gaze, squint, wide.
OF_EYE = tuple(
    tuple(i for i, name in enumerate(ARKIT_NAMES) if name.startswith("eye") and name.endswith(side) and i not in BLINK)
    for side in ("Left", "Right")
)

# Landmarks of the left brow's inner and outer part, then the right one's.
_BROW_PARTS = ((285, 336, 295, 296), (282, 334, 293, 283), (55, 107, 65, 66), (52, 105, 63, 53))
_STEADY = (33, 133, 362, 263, 168, 6, 197, 195)  # corners of the eyes and bridge of the nose
OPEN = 70  # percentile of the gap over a video at which an eye counts as open: blinks and looks down take the rest
TOUCHING = 0.13  # share of the gap that landmarks keep between lids that touch
WAVERS = 0.06  # share of the gap by which it changes without a lid that moves
HIDDEN = 0.5  # so far shut, the network sees the lid's crease for gaze, squint and brow
# How much of an eye's closing the network draws in that eye, and in the other one, which it draws alike. This and
# BROW_TRAVEL are means over renders of six people with known blinks, winks and brows.
OWN, OTHER = 0.65, 0.22
BROW_TRAVEL = 0.0026  # metres by which a brow's landmarks follow a whole unit, beyond those by which they waver
BROW_WAVERS = 0.0007, 0.006  # metres by which they move with a head that turns, and more for each radian of its nod
FEWEST = 5  # frames that tell where brows rest


def lid_gaps(landmarks: np.ndarray) -> np.ndarray:
    """Left and right gap over the eye's width, [2], of landmarks [478, 3]. In three dimensions, so that a head that
    turns or tilts keeps it."""
    gaps = []
    for ring in (LEFT_LIDS, RIGHT_LIDS):
        points = landmarks[list(ring)].astype(float)
        lower, upper = points[3:6], points[13:10:-1]  # the middle three pairs; 0 and 8 are the corners
        width = np.linalg.norm(points[8] - points[0])
        gaps.append(np.linalg.norm(upper - lower, axis=1).mean() / max(width, 1e-6))
    return np.array(gaps)


def brow_heights(problem: Problem, estimate: Estimate) -> np.ndarray:
    """How far the landmarks of brows lie above those of the fitted model, against the corners of the eyes and the
    bridge of the nose: metres [4], inner and outer part of the left brow, then the right one's. `estimate` has the
    model's brows at rest."""
    error, _ = residuals(problem, estimate, 0)  # image: y down
    up = estimate.turn[:2, 1] * [1, -1]  # of the head, as the picture shows it
    pixels_per_metre = np.exp(estimate.log_focal) / -estimate.shift[2]
    height = -error @ up / max(up @ up, 1e-6) / pixels_per_metre
    return np.array([height[list(part)].mean() for part in _BROW_PARTS]) - height[list(_STEADY)].mean()


def shut(gaps: np.ndarray, missing: tuple[int, ...] = ()) -> np.ndarray:
    """Gaps [T, 2] over a video -> how far each eye is shut, [T, 2] in 0..1. Frames in `missing` say nothing of how
    far the eyes open."""
    usual = np.percentile(np.delete(gaps, list(missing), axis=0), OPEN, axis=0)
    seen = np.clip((1 - gaps / np.maximum(usual, 1e-6)) / (1 - TOUCHING), 0, 1)
    told = (OWN * seen - OTHER * seen[:, ::-1]) / (OWN**2 - OTHER**2)
    return np.clip((told - WAVERS) / (1 - WAVERS), 0, 1)


def raised(heights: np.ndarray, pitch: np.ndarray, missing: tuple[int, ...] = ()) -> np.ndarray:
    """Heights [T, 4] over a video and the head's pitch [T] in radians -> units by which the brows are raised, below 0
    lowered, [T, 4]. They rest where they are half of the time; fewer than FEWEST frames don't tell."""
    known = np.delete(np.arange(len(heights)), list(missing))
    if len(known) < FEWEST:
        return np.zeros_like(heights)
    moved = heights - np.median(heights[known], axis=0)
    least, more = BROW_WAVERS
    wavers = (least + more * np.abs(pitch - np.median(pitch[known])))[:, None]
    return np.clip(np.sign(moved) * np.maximum(np.abs(moved) - wavers, 0) / BROW_TRAVEL, -1, 1)


def with_upper_face(expression: np.ndarray, closed: np.ndarray, brows: np.ndarray) -> np.ndarray:
    """Curves [T, 52] with lids `closed` [T, 2], left and right, and `brows` [T, 4] as `raised` tells them. What is told
    of an eye and its brow while its lid is down goes on from before to after."""
    out, brows = expression.copy(), brows.copy()
    out[:, BLINK] = closed
    for side, units in enumerate(OF_EYE):
        down = closed[:, side] > HIDDEN
        out[:, units] = _through(out[:, units], down)
        brows[:, 2 * side : 2 * side + 2] = _through(brows[:, 2 * side : 2 * side + 2], down)
    inner, outer = brows[:, 0::2], brows[:, 1::2]
    out[:, INNER_UP] = np.maximum(inner.mean(1), 0)
    out[:, OUTER_UP] = np.maximum(outer, 0)
    out[:, DOWN] = np.maximum(-(inner + outer) / 2, 0)
    return out


def _through(columns: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Columns [T, K], straight from the last frame before those that are `hidden` [T] to the first one after."""
    seen = np.flatnonzero(~hidden)
    if not len(seen):
        return columns
    return np.stack([np.interp(np.arange(len(columns)), seen, column[seen]) for column in columns.T], 1)
