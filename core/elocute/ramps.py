"""Ramps between two values, and stretches of a row."""

from __future__ import annotations

import numpy as np


def ramp(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 at `low`, 1 at `high` (which may be the smaller), straight between."""
    return np.clip((x - low) / (high - low), 0, 1)


def smooth_step(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """`ramp` without corners: no slope at its ends."""
    t = ramp(x, low, high)
    return t * t * (3 - 2 * t)


def hann_mean(curve: np.ndarray, width: int) -> np.ndarray:
    """A curve [T] smoothed by a Hann window of `width` (odd) frames; its ends go on beyond it."""
    window = np.hanning(width + 2)[1:-1]
    return np.convolve(np.pad(curve, width // 2, mode="edge"), window / window.sum(), "valid")


def runs(row: np.ndarray) -> np.ndarray:
    """First and past the last place, int [R, 2], of each stretch of True in bool [N]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(np.int8), [0]])))
    return edges.reshape(-1, 2)
