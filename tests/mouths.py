"""Painted mouths, for tests of what a photo shows between its lips."""

from __future__ import annotations

import numpy as np

from elocute.landmarks import INNER_LIPS, OUTER_LIPS
from elocute.portrait.regions import polygon_mask

SIDE = 256
LIP, TOOTH, TONGUE, DARK = (
    np.array(colour, np.float32)
    for colour in ([0.7, 0.4, 0.4], [0.85, 0.82, 0.76], [0.6, 0.3, 0.3], [0.1, 0.04, 0.04])
)

LIT = np.array([0.8, 0.62, 0.53], np.float32)  # lit skin


def mouth(gap: float) -> np.ndarray:
    """Landmarks [478, 2] of a mouth 100 px wide whose lips are `gap` px apart; the eyes are out of the way."""
    xy = np.full((478, 2), 10.0)
    for ring, thick in ((INNER_LIPS, 0.0), (OUTER_LIPS, 14.0)):
        # both rings start at the right corner and run along the lower lip to the left corner, then back along the upper
        for k, index in enumerate(ring):
            angle = np.pi - 2 * np.pi * k / len(ring)
            across, down = 50 + thick / 2, gap / 2 + thick
            xy[index] = 128 + across * np.cos(angle), 128 + down * np.sin(angle)
    return xy


def painted(xy: np.ndarray, inside: np.ndarray, band: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Own colour and mouth mask: lips on skin, `inside` in the opening, a `band` of another colour in its top."""
    own = np.full((SIDE, SIDE, 3), LIT, np.float32)
    lips = polygon_mask(xy[list(OUTER_LIPS)], SIDE, SIDE)[..., None]
    opening = polygon_mask(xy[list(INNER_LIPS)], SIDE, SIDE)
    own = own * (1 - lips) + LIP * lips
    own += 0.02 * np.random.default_rng(0).normal(size=own.shape).astype(np.float32)
    fill = np.broadcast_to(inside, own.shape).copy()
    if band is not None:
        fill[:136] = band
    return (own * (1 - opening[..., None]) + fill * opening[..., None]).astype(np.float32), opening
