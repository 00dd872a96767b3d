"""Lids and brows out of gaps and heights over a video, without any picture."""

from __future__ import annotations

import numpy as np
import pytest

from elocute.driving.upper_face import (
    _BROW_PARTS,
    BROW_UNITS,
    DOWN,
    FEWEST,
    INNER_UP,
    OUTER_UP,
    brow_heights,
    lid_gaps,
    raised,
    shut,
    with_upper_face,
)
from elocute.head.fit import Estimate, Problem, residuals
from elocute.head.model import load_head_model
from elocute.head.projection import rotation_from_vector
from elocute.landmarks import ON_SKIN
from elocute.values import ARKIT_NAMES, BLINK

LEVEL = np.zeros(10)


def unit(name: str) -> int:
    return ARKIT_NAMES.index(name)


def test_gaps_of_lids_dont_change_with_the_head() -> None:
    rng = np.random.default_rng(3)
    landmarks = rng.normal(size=(478, 3))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    np.testing.assert_allclose(lid_gaps(2.5 * landmarks @ turn + 7), lid_gaps(landmarks), rtol=1e-9)


def test_eyes_that_never_close_are_open_and_missing_frames_say_nothing_of_them() -> None:
    steady = np.full((10, 2), 0.3)
    assert not shut(steady).any()
    steady[:2] = 0.03
    assert not shut(steady, missing=(0, 1))[2:].any()
    assert (shut(steady)[:2] > 0.9).all()
    steady[:8] = 0.03  # mostly shut: that is how far they open
    assert not shut(steady).any()
    assert (shut(steady, missing=(0, 1, 2, 3, 4, 5))[6:8] > 0.9).all()


def test_one_eye_closes_alone_though_the_network_draws_both() -> None:
    gaps = np.full((10, 2), 0.3)
    gaps[4] = 0.3 * (1 - 0.87 * np.array([0.65, 0.22]))
    np.testing.assert_allclose(shut(gaps)[4], [1, 0], atol=0.01)


def test_an_eye_that_opens_wide_doesnt_close_the_other() -> None:
    gaps = np.full((10, 2), 0.3)
    gaps[4, 0] = 0.45
    assert not shut(gaps).any()


def test_brows_rest_where_they_mostly_are_and_little_is_nothing() -> None:
    heights = np.full((10, 4), 0.004)
    heights[:2] += 0.0035
    heights[2:4] -= 0.0035
    heights[4] += 0.0005
    found = raised(heights, LEVEL)
    np.testing.assert_allclose(raised(heights + 0.01, LEVEL), found)
    assert (found[:2] == 1).all() and (found[2:4] == -1).all() and not found[4:].any()
    assert not raised(heights[:9], LEVEL[:9], missing=(0, 1, 2, 3))[4:].any()
    assert not raised(heights[: FEWEST - 1], LEVEL[: FEWEST - 1]).any()


def test_a_nod_allows_more_than_a_level_head() -> None:
    heights, pitch = np.zeros((10, 4)), LEVEL.copy()
    heights[3:5] = 0.0018
    pitch[4] = np.radians(15)
    found = raised(heights, pitch)
    assert (found[3] > 0.4).all() and not found[4].any()


def test_each_brow_gets_its_own_units() -> None:
    brows = np.array([[0.6, 0, 0, 0], [0, 0.6, 0, 0], [0, 0, 0, 0.6], [-0.6, -0.6, 0, 0], [0, 0, -0.6, -0.6]])
    out = with_upper_face(np.full((5, 52), 0.1), np.zeros((5, 2)), brows)[:, list(BROW_UNITS)]
    want = np.zeros((5, 52))
    want[0, INNER_UP], want[1, OUTER_UP[0]], want[2, OUTER_UP[1]], want[3, DOWN[0]], want[4, DOWN[1]] = (
        0.3, 0.6, 0.6, 0.6, 0.6
    )  # fmt: skip
    np.testing.assert_allclose(out, want[:, list(BROW_UNITS)])
    assert ARKIT_NAMES[DOWN[0]].endswith("Left") and ARKIT_NAMES[OUTER_UP[1]].endswith("Right")


def test_gaze_and_brow_go_on_under_a_lid_that_is_down_and_stay_in_the_other_eye() -> None:
    """What the network makes of a shut eye shows neither in it, nor without the blink in an open one."""
    expression = np.zeros((5, 52))
    expression[:, unit("eyeLookInLeft")] = expression[:, unit("eyeLookInRight")] = [0.2, 0.3, 0.9, 0.5, 0.6]
    closed = np.zeros((5, 2))
    closed[1:4, 1] = [0.3, 1, 0.4]
    brows = np.zeros((5, 4))
    brows[2] = -0.8
    out = with_upper_face(expression, closed, brows)
    np.testing.assert_array_equal(out[:, list(BLINK)], closed)
    np.testing.assert_allclose(out[:, unit("eyeLookInLeft")], [0.2, 0.3, 0.9, 0.5, 0.6])
    np.testing.assert_allclose(out[:, unit("eyeLookInRight")], [0.2, 0.3, 0.4, 0.5, 0.6])
    assert out[2, DOWN[0]] == 0.8 and out[2, DOWN[1]] == 0
    np.testing.assert_allclose(with_upper_face(expression, np.ones((5, 2)), brows)[:, unit("eyeLookInLeft")],
                               expression[:, unit("eyeLookInLeft")])  # fmt: skip


@pytest.mark.parametrize("pitch", [-25, 0, 25])
def test_a_brows_height_is_in_metres_of_the_head_however_it_nods(pitch: float) -> None:
    model = load_head_model()
    rest = model.landmarks(model.base)[:ON_SKIN].astype(float)
    raised_by = np.zeros_like(rest)
    for part, height in zip(_BROW_PARTS, (0.003, 0.004, -0.002, 0), strict=True):
        raised_by[list(part), 1] = height
    estimate = Estimate(rotation_from_vector(np.radians([pitch, 0, 0])), np.array([0, 0, -2.0]), 7.0, np.zeros(0))
    none = np.zeros(0)
    seen = Problem(rest + raised_by, np.zeros((0, ON_SKIN, 3)), rest, np.zeros((ON_SKIN, 2)), (512, 512), none, none, 0,
                   np.zeros(ON_SKIN, bool))  # fmt: skip
    seen.seen = residuals(seen, estimate, 0)[0]  # where they are
    seen.base = rest
    found = brow_heights(seen, estimate)
    np.testing.assert_allclose(found, [0.003, 0.004, -0.002, 0], atol=3e-4)
