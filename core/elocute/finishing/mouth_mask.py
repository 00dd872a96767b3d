"""Where a frame keeps its own features and where the mouth's inside is painted in, and pixels of generator pictures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

SPAN = 7  # frames of NeRFFaceSpeech's mean over time
CENTRED = (0.25, 0.5, 0.25)  # takes the flicker of a mask that is in step with its frame


def keep_mask(is_mouth: Tensor) -> Tensor:
    """Whether pixels [B, H, W] are the mouth's (lips and inside), bool -> weight of the frame's own features, float32
    [B, 1, H, W]: 0 in the mouth, 1 elsewhere."""
    return 1 - is_mouth[:, None].float()


def mask_window(frame: int, frames: int, reference: bool = False) -> tuple[range, np.ndarray]:
    """The frames whose masks make that of `frame`, and their weights, which sum to 1.

    `reference`: the mean of the last seven, as in NeRFFaceSpeech; it lags three frames behind the mouth. By default a
    narrow window around the frame, cut off at the ends of the shot, so that a frame depends on its neighbours alone
    and comes out the same wherever a run begins.
    """
    if reference:
        window = range(max(0, frame - SPAN + 1), frame + 1)
        weights = np.ones(len(window))
    else:
        window = range(max(0, frame - 1), min(frames, frame + 2))
        weights = np.array([CENTRED[other - frame + 1] for other in window])
    return window, weights / weights.sum()


def smooth_mask(own: Callable[[int], Tensor], frame: int, frames: int, reference: bool = False) -> Tensor:
    """The mask of `frame` in a shot of `frames`, smoothed over time as `mask_window` says; `own` gives any frame's."""
    window, weights = mask_window(frame, frames, reference)
    masks = torch.stack([own(other) for other in window])
    return torch.tensordot(torch.from_numpy(weights).to(masks), masks, 1)


def to_pixels(pictures: Tensor) -> Tensor:
    """Generator pictures [B, 3, H, W], -1..1 and a little beyond -> uint8 [B, H, W, 3], rounded half up."""
    return (pictures * 127.5 + 128).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
