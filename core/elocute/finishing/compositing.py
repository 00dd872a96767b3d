"""The last step from light to bytes: a rendered person over a backdrop, or with straight alpha for a later one."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

_FAST: dict[str, Any] = {"cache": True, "nogil": True, "fastmath": True, "error_model": "numpy", "parallel": True}
_CLEAR = np.float32(1e-4)  # alpha under which a colour can't be told


def over(rgba: np.ndarray, backdrop: np.ndarray) -> np.ndarray:
    """Premultiplied float32 [H, W, 4] over float32 [H, W, 3] in 0..1 -> uint8 [H, W, 3]."""
    out = np.empty(backdrop.shape, np.uint8)
    _over(rgba, backdrop, out)
    return out


def plain_colour(setting: str) -> np.ndarray:
    """"#rrggbb" as float32 [3] in 0..1."""
    return np.array([int(setting[i : i + 2], 16) for i in (1, 3, 5)], np.float32) / 255


def straight(rgba: np.ndarray) -> np.ndarray:
    """Premultiplied float32 [H, W, 4] -> uint8 [H, W, 4] with straight alpha, as PNG has it."""
    out = np.empty(rgba.shape, np.uint8)
    _straight(rgba, out)
    return out


# Cubic look-ups overshoot, and no light exceeds its coverage: every colour is held within 0..alpha.


@numba.njit(**_FAST)
def _over(rgba, backdrop, out):  # type: ignore[no-untyped-def]
    for y in numba.prange(rgba.shape[0]):
        for x in range(rgba.shape[1]):
            alpha = min(max(rgba[y, x, 3], np.float32(0.0)), np.float32(1.0))
            for k in range(3):
                colour = min(max(rgba[y, x, k], np.float32(0.0)), alpha) + (np.float32(1.0) - alpha) * backdrop[y, x, k]
                out[y, x, k] = np.uint8(colour * np.float32(255.0) + np.float32(0.5))


@numba.njit(**_FAST)
def _straight(rgba, out):  # type: ignore[no-untyped-def]
    for y in numba.prange(rgba.shape[0]):
        for x in range(rgba.shape[1]):
            alpha = min(max(rgba[y, x, 3], np.float32(0.0)), np.float32(1.0))
            for k in range(3):
                colour = min(max(rgba[y, x, k], np.float32(0.0)), alpha) / max(alpha, _CLEAR)
                out[y, x, k] = np.uint8(colour * np.float32(255.0) + np.float32(0.5))
            out[y, x, 3] = np.uint8(alpha * np.float32(255.0) + np.float32(0.5))
