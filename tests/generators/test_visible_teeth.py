"""Rows of teeth and gums in a photo, told from lips, tongue and the dark."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from mouths import DARK, LIP, LIT, SIDE, TONGUE, TOOTH, mouth, painted

from elocute.generators.visible_teeth import find_teeth, visible_teeth


def test_teeth_are_seen_in_a_bright_band() -> None:
    xy = mouth(40)
    own, opening = painted(xy, DARK, TOOTH)
    seen = visible_teeth(own, opening, xy)
    assert seen is not None and not seen[1].any(), "upper ones"
    teeth = seen[0]
    rows, columns = np.nonzero(teeth)
    assert rows.max() <= 136 and rows.min() > 105 and np.ptp(columns) > 60
    colour, crowns = find_teeth(own, opening, xy, LIT)
    assert (crowns[cv2.erode(teeth.astype(np.uint8), np.ones((7, 7))) > 0] > 0.9).all()
    assert crowns[(opening > 0.9) & (np.arange(SIDE) > 142)[:, None]].max() < 0.1, "the dark is no tooth"
    np.testing.assert_allclose(colour, TOOTH, atol=0.03)


@pytest.mark.parametrize(("lower_from", "upper"), [(140, True), (138, False)], ids=["both rows", "the lower alone"])
def test_rows_apart_are_told_apart(lower_from: int, upper: bool) -> None:
    xy = mouth(56)
    own, opening = painted(xy, DARK)
    inside, row = opening > 0.9, np.arange(SIDE)[:, None]
    upper_row, lower_row = inside & (row < 118) & upper, inside & (row > lower_from)
    own[upper_row | lower_row] = TOOTH
    seen = visible_teeth(own, opening, xy)
    assert seen is not None
    np.testing.assert_array_equal(seen[0], upper_row)
    np.testing.assert_array_equal(seen[1], lower_row)
    colour, crowns = find_teeth(own, opening, xy, LIT)
    np.testing.assert_allclose(colour, TOOTH, atol=0.03)
    assert crowns[lower_row & (row > lower_from + 5)].max() < 0.1, "no texture of the upper row"
    assert bool(crowns.any()) == upper


@pytest.mark.parametrize("tilt", [-30, 0, 30])
@pytest.mark.parametrize("dark", [True, False], ids=["a line between", "none"])
def test_rows_that_touch_are_told_apart_by_the_line_between_them(tilt: float, dark: bool) -> None:
    """Both rows of a laugh, above and below a bent line, of a head that is tilted."""
    xy = mouth(44)
    own, opening = painted(xy, TOOTH)
    row, column = np.indices(opening.shape)
    line = 134 - 0.004 * (column - 128) ** 2
    if dark:
        own[(opening > 0.5) & (np.abs(row - line) < 1.5)] = 0.4 * TOOTH
    turn = cv2.getRotationMatrix2D((127.5, 127.5), tilt, 1)
    own, opening, below = (
        cv2.warpAffine(a, turn, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
        for a in (own, opening, (row > line).astype(np.float32))
    )
    xy = (xy - 0.5) @ turn[:, :2].T + turn[:, 2] + 0.5
    seen = visible_teeth(own, opening, xy)
    assert seen is not None
    if not dark:
        assert not seen[1].any(), "one row"
        return
    upper, lower = (cv2.erode((mask & (opening > 0.95)).astype(np.uint8), np.ones((7, 7))) > 0 for mask in
                    (below < 0.1, below > 0.9))  # fmt: skip
    assert seen[0][upper].mean() > 0.95 and seen[1][lower].mean() > 0.95
    assert not seen[0][lower].any() and not seen[1][upper].any()


@pytest.mark.parametrize("shade", [0.6, 0.85])
def test_a_wire_across_upper_teeth_makes_no_second_row(shade: float) -> None:
    xy = mouth(40)
    own, opening = painted(xy, DARK, TOOTH)
    own[123:125] = np.where((opening > 0.9)[123:125, :, None], shade * TOOTH, own[123:125])
    seen = visible_teeth(own, opening, xy)
    assert seen is not None and seen[0].any() and not seen[1].any()


def test_no_lips_no_teeth() -> None:
    own, opening = painted(mouth(40), DARK, TOOTH)
    assert visible_teeth(own, opening, mouth(40) + 10 * SIDE) is None


def test_gums_above_teeth_belong_to_them() -> None:
    xy = mouth(40)
    own, opening = painted(xy, DARK, TOOTH)
    inside = opening > 0.9
    own[inside & (np.arange(SIDE) < 118)[:, None]] = TONGUE
    own[inside & (np.arange(SIDE) > 142)[:, None]] = TONGUE
    _, crowns = find_teeth(own, opening, xy, LIT)
    gums, tongue = inside & (np.arange(SIDE) < 115)[:, None], inside & (np.arange(SIDE) > 146)[:, None]
    middle = np.abs(np.arange(SIDE) - 128) < 20
    gums = cv2.erode(gums.astype(np.uint8), np.ones((3, 3))) > 0
    assert (crowns[gums & middle] > 0.8).all() and crowns[tongue].max() < 0.1


@pytest.mark.parametrize(
    ("gap", "inside", "band"), [(2, TOOTH, None), (40, DARK, None), (40, TONGUE, None), (40, LIP, None)],
    ids=["closed lips", "dark mouth", "tongue", "lips only"],
)  # fmt: skip
def test_no_teeth_where_there_are_none(gap: float, inside: np.ndarray, band: np.ndarray | None) -> None:
    xy = mouth(gap)
    own, opening = painted(xy, inside, band)
    assert visible_teeth(own, opening, xy) is None
    colour, crowns = find_teeth(own, opening, xy, LIT)
    assert crowns.max() == 0
    assert colour.min() > 0.3 and np.ptp(colour) < 0.2, "assumed teeth are pale"
