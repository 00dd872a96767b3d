"""What the photo shows of the person beyond the framed portrait, for pictures that show more than it did."""

from __future__ import annotations

import cv2
import numpy as np

from elocute.values import SURROUNDINGS_SIDE, Portrait, Surroundings

REACH = 1  # frames to each side of the frame: as far as a field is painted around it
MORE = 0.02  # of the frame's side that the photo has to reach beyond it to be worth keeping


def surroundings(portrait: Portrait, left: int, top: int, length: int, side: int) -> Surroundings | None:
    """The person up to a frame's side around the frame (`left`, `top`, `length`, in photo pixels), no finer than where
    the frame is `side` or SURROUNDINGS_SIDE pixels wide; None where the photo ends with the frame. Where the frame
    reaches beyond the photo, the photo's edge goes on there."""
    height, width = portrait.matte.shape
    x0, x1 = max(left - REACH * length, 0), min(left + (1 + REACH) * length, width)
    y0, y1 = max(top - REACH * length, 0), min(top + (1 + REACH) * length, height)
    right, bottom = left + length, top + length
    if max(left - x0, x1 - right, top - y0, y1 - bottom) < MORE * length:
        return None
    pads = (max(y0 - top, 0), max(bottom - y1, 0), max(x0 - left, 0), max(right - x1, 0))
    alpha = np.round(portrait.matte[y0:y1, x0:x1, None] * 255).astype(np.uint8)
    rgba = np.concatenate([portrait.foreground[y0:y1, x0:x1], alpha], 2)
    rgba = cv2.copyMakeBorder(rgba, *pads, borderType=cv2.BORDER_REPLICATE)
    scale = min(min(side, SURROUNDINGS_SIDE) / length, 1)
    if scale < 1:
        size = (round(rgba.shape[1] * scale), round(rgba.shape[0] * scale))
        rgba = cv2.resize(rgba, size, interpolation=cv2.INTER_AREA)
    return Surroundings(rgba, (left - x0 + pads[2]) * scale, (top - y0 + pads[0]) * scale, length * scale)
