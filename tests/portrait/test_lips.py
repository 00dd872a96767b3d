"""Inner lips that lie over the teeth are moved to where these end, and no others are."""

from __future__ import annotations

import numpy as np
import pytest

from elocute.portrait.lips import FARTHEST, LOWER, UPPER, settle_lips
from elocute.portrait.regions import polygon_mask
from elocute.values import Face

SIDE, CENTRE, WIDE, THICK = 240, 120, 80, 30
LIP, TOOTH, DARK, SKIN = (np.array(c) for c in ([180, 90, 95], [225, 215, 200], [30, 12, 12], [215, 170, 150]))


def ellipse(down: float, up: float, ring: tuple[int, ...], sign: int) -> np.ndarray:
    """Points along the lower (sign 1) or upper half of an opening that is `down` and `up` pixels high."""
    angle = np.pi * (1 - (np.arange(len(ring)) + 1) / (len(ring) + 1))
    return np.stack([CENTRE + WIDE * np.cos(angle), CENTRE + sign * (down if sign > 0 else up) * np.sin(angle)], 1)


def face(gap: float) -> Face:
    """Lips whose rims the landmarks see `gap` pixels below and above the middle, each THICK pixels high."""
    landmarks = np.zeros((478, 3))
    for (inner, outer), sign in ((LOWER, 1), (UPPER, -1)):
        landmarks[list(inner), :2] = ellipse(gap, gap, inner, sign)
        landmarks[list(outer), :2] = ellipse(gap + THICK, gap + THICK, outer, sign)
    landmarks[[78, 308], :2] = [CENTRE - WIDE, CENTRE], [CENTRE + WIDE, CENTRE]
    return Face(landmarks, np.zeros(52), (0.0, 0.0, float(SIDE), float(SIDE)), 1.0)


def picture(seen: Face, opening: float, inside: np.ndarray) -> np.ndarray:
    """uint8 [SIDE, SIDE, 3]: lips as the landmarks have them, with an opening that really is so many pixels high."""
    outline = np.concatenate([seen.landmarks[list(LOWER[1]), :2], seen.landmarks[list(UPPER[1]), :2][::-1]])
    angle = np.linspace(0, 2 * np.pi, 60)
    hole = np.stack([CENTRE + WIDE * np.cos(angle), CENTRE + opening * np.sin(angle)], 1)
    rgb = np.broadcast_to(SKIN, (SIDE, SIDE, 3)).astype(float)
    for polygon, colour in ((outline, LIP), (hole, inside)):
        mask = polygon_mask(polygon, SIDE, SIDE)[..., None]
        rgb = rgb * (1 - mask) + colour * mask
    noise = np.random.default_rng(0).normal(0, 3, rgb.shape)
    return np.clip(rgb + noise, 0, 255).round().astype(np.uint8)


@pytest.mark.parametrize("more", [0, 3, 6, 9])
def test_rims_go_to_the_teeths_end(more: float) -> None:
    seen = face(12)
    settled = settle_lips(picture(seen, 12 + more, TOOTH), seen)
    shift = (settled.landmarks - seen.landmarks)[[14, 87, 317], 1]
    np.testing.assert_allclose(shift, more, atol=1.5)
    np.testing.assert_allclose((settled.landmarks - seen.landmarks)[[13, 82, 312], 1], -more, atol=1.5)
    others = np.setdiff1d(np.arange(478), LOWER[0] + UPPER[0])
    np.testing.assert_array_equal(settled.landmarks[others], seen.landmarks[others])


@pytest.mark.parametrize(
    ("gap", "more", "inside"), [(12, 6, DARK), (12, 6, LIP), (12, FARTHEST * THICK + 8, TOOTH), (2, 6, TOOTH)],
    ids=["dark mouth", "nothing inside", "too far", "closed"],
)  # fmt: skip
def test_other_mouths_stay(gap: float, more: float, inside: np.ndarray) -> None:
    seen = face(gap)
    settled = settle_lips(picture(seen, gap + more, inside), seen)
    assert np.abs(settled.landmarks - seen.landmarks).max() < 1.5


@pytest.mark.parametrize("shift", [(0, SIDE), (0, -SIDE), (SIDE, 0), (-SIDE, 0), (0, SIDE / 2)])
def test_a_mouth_that_the_picture_cuts_off_stays(shift: tuple[float, float]) -> None:
    """Landmarks are seen beyond the picture too."""
    seen = face(12)
    rgb = picture(seen, 12, DARK)
    seen.landmarks[:, :2] += shift
    settled = settle_lips(rgb, seen)
    np.testing.assert_allclose(settled.landmarks, seen.landmarks, atol=1.5)
