"""Filling what is not known in an image from what is, smoothly and without seams."""

from __future__ import annotations

import cv2
import numpy as np


def push_pull(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Spread `values` float32 [H, W, C] from where `weight` float32 [H, W] in 0..1 is high to where it is low.

    Where the weight is 1 the value stays exactly; where it is 0 it comes from ever coarser averages of the
    neighbourhood (push: average down a pyramid; pull: fill on the way up). Returns float32 [H, W, C].
    """
    height, width = weight.shape
    if min(height, width) <= 1 or weight.min() >= 1:
        mean = (values * weight[..., None]).sum(axis=(0, 1)) / max(float(weight.sum()), 1e-9)
        return _blend(values, np.broadcast_to(mean, values.shape), weight)
    half = ((width + 1) // 2, (height + 1) // 2)
    weighted = np.concatenate([values * weight[..., None], weight[..., None]], axis=2)
    small = cv2.resize(weighted, half, interpolation=cv2.INTER_AREA)
    small_weight = small[..., -1]
    small_values = small[..., :-1] / np.maximum(small_weight, 1e-6)[..., None]
    # Doubling the weight lets a cell that is half known count as known: sharper than plain averages.
    coarse = push_pull(small_values, np.minimum(small_weight * 2, 1))
    filled = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR).reshape(values.shape)
    return _blend(values, filled, weight)


def _blend(values: np.ndarray, filled: np.ndarray, weight: np.ndarray) -> np.ndarray:
    known = weight[..., None]
    return (values * known + filled * (1 - known)).astype(np.float32)
