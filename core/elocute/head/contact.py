"""Where lips and lids meet that the photo shows apart: the line between them, which no part of the photo has in it.

Light hardly reaches the fold of two surfaces in contact (ambient occlusion), so lips that close, and lashes and lids,
have a dark line between them. A photo of closed lips brings its own.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from elocute.head.model import HeadModel

NEAR = 0.0015  # metres between two rims from which on the fold darkens
WIDTHS = {"lips": 0.0012}  # metres from the rim at which the line is 1/e as dark
LASHES = 0.002  # the same for lids, below which lashes throw their shade
DARKEST = 0.65  # of the light, in the middle of the line
LEAST = 0.02  # nearer than in the photo by less is none: corners of mouth and eyes nearly touch always
FARTHEST = 2.5  # of that width: nothing of the line is left there


class Contact:
    """Of one head, which the photo shows as `rest` [V, 3] (metres, any axes)."""

    def __init__(self, model: HeadModel, rest: np.ndarray) -> None:
        self._seams = tuple(model.seams.values())
        self._count = len(rest)
        rims = np.concatenate([chain for seam in self._seams for chain in (seam.upper, seam.lower)])
        skin = np.flatnonzero(model.vertex_part == model.parts.index("skin"))
        width = np.concatenate([
            np.full(len(seam.upper) + len(seam.lower), WIDTHS.get(name, LASHES)) for name, seam in model.seams.items()
        ])  # fmt: skip
        away, nearest = cKDTree(rest[rims]).query(rest[skin])
        away /= width[nearest]
        near = away < FARTHEST
        self._vertices, self._nearest = skin[near], nearest[near]
        self._share = DARKEST * np.exp(-(away[near] ** 2))
        self._in_photo = self._closeness(rest)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """float32 [V] 0..1: the share of its light in the photo that each vertex of the moved head [V, 3] lacks."""
        out = np.zeros(self._count, np.float32)
        closer = np.maximum(self._closeness(points) - self._in_photo - LEAST, 0)
        out[self._vertices] = self._share * closer[self._nearest]
        return out

    def _closeness(self, points: np.ndarray) -> np.ndarray:
        """[R] 0..1 of all rims' vertices: 1 touches the other rim."""
        gaps = [np.linalg.norm(way, axis=1) for seam in self._seams for way in seam.openings(points)]
        return np.clip(1 - np.concatenate(gaps) / NEAR, 0, 1)
