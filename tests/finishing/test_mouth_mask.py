from __future__ import annotations

from typing import Any

import numpy as np
import torch

from elocute.finishing.mouth_mask import keep_mask, mask_window, smooth_mask, to_pixels


def smooth_masks(masks: torch.Tensor, reference: bool = False) -> torch.Tensor:
    """Those of a whole shot."""
    return torch.stack([smooth_mask(masks.__getitem__, i, len(masks), reference) for i in range(len(masks))])


def test_the_reference_is_met(recorded: Any) -> None:
    wanted = recorded("nets/helpers_io.npz")
    smoothed = smooth_masks(torch.from_numpy(wanted["smooth_in"]), reference=True)
    assert np.abs(smoothed.numpy() - wanted["smooth_out"]).max() < 1e-6
    assert np.array_equal(to_pixels(torch.from_numpy(wanted["proc_in"])).numpy(), wanted["proc_out"])


def test_pixels_are_rounded_and_stay_in_their_range() -> None:
    levels = torch.arange(256)
    picture = (levels / 127.5 - 1)[None, None, :, None].expand(1, 3, 256, 1)
    assert torch.equal(to_pixels(picture)[0, :, 0, 0], levels.to(torch.uint8))
    assert (
        to_pixels(torch.full((1, 3, 1, 1), 9.0)).max() == 255 and to_pixels(torch.full((1, 3, 1, 1), -9.0)).max() == 0
    )


def test_the_mouth_is_what_is_replaced() -> None:
    mouth = torch.tensor([[[False, True]]])
    assert keep_mask(mouth).tolist() == [[[[1.0, 0.0]]]]


def test_the_mask_follows_the_mouth_without_lag() -> None:
    """A mouth that opens at frame 10 is, by default, half seen there and not before 9; the reference's comes late."""
    masks = torch.ones(20, 1, 1, 1)
    masks[10:] = 0
    here, there = smooth_masks(masks).flatten(), smooth_masks(masks, reference=True).flatten()
    middle = float((here * 1.0).sum()), float(there.sum())
    assert middle[0] == 10 and abs(middle[1] - 13) < 0.01  # three frames late
    assert here[8] == 1 and here[11] == 0 and there[15] > 0


def test_weights_sum_to_one_at_the_ends_too() -> None:
    for frames in (1, 2, 9):
        for frame in range(frames):
            for reference in (False, True):
                window, weights = mask_window(frame, frames, reference)
                assert len(window) == len(weights) and abs(weights.sum() - 1) < 1e-12
                assert frame in window and window.start >= 0 and window.stop <= frames
    assert list(mask_window(3, 9, reference=True)[0]) == [0, 1, 2, 3]
