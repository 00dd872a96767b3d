"""Ramps and stretches: their ends, their directions, their slopes."""

from __future__ import annotations

import numpy as np
import pytest

from elocute.ramps import hann_mean, ramp, runs, smooth_step


@pytest.mark.parametrize(("low", "high"), [(1.0, 3.0), (3.0, 1.0)])
def test_ramps_go_from_0_to_1_in_either_direction(low: float, high: float) -> None:
    x = np.linspace(0, 4, 401)
    for rise in (ramp, smooth_step):
        y = rise(x, low, high)
        assert y[np.isclose(x, low)] == pytest.approx(0, abs=1e-9) and y[np.isclose(x, high)] == pytest.approx(1)
        assert y[np.isclose(x, 2)] == pytest.approx(0.5) and (0 <= y).all() and (y <= 1).all()
        assert (np.diff(y) * (high - low) >= 0).all()
    assert np.abs(np.diff(smooth_step(x, low, high), 2)).max() < 0.1 * np.abs(np.diff(ramp(x, low, high), 2)).max()


def test_a_mean_keeps_what_is_level_and_what_there_is_of_a_peak() -> None:
    np.testing.assert_allclose(hann_mean(np.full(40, 3.0), 9), 3.0)
    peak = np.zeros(41)
    peak[20] = 1
    smooth = hann_mean(peak, 9)
    assert len(smooth) == 41 and smooth.sum() == pytest.approx(1) and smooth.argmax() == 20
    assert np.count_nonzero(smooth > 1e-12) == 9


@pytest.mark.parametrize("text", ["", "0", "1", "111", "0110100", "1001"])
def test_runs_are_the_stretches(text: str) -> None:
    row = np.array([c == "1" for c in text], bool)
    found = runs(row)
    again = np.zeros(len(row), bool)
    for first, past in found:
        assert past > first and row[first:past].all()
        again[first:past] = True
    np.testing.assert_array_equal(again, row)
    assert len(found) == len([part for part in text.split("0") if part])
