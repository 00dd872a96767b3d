"""Feature mixing: another render's features inside a mask, the mouth's inside (NeRFFaceSpeech, Kim et al. 2024).

The mask's size M is larger than the feature map's S, so the mix is defined at M: both maps are enlarged, mixed and made
small again, bicubically. Only four of every M / S rows and columns have any weight in the small map, and enlarging and
shrinking are matrices on rows and columns, so `mix` gives the same without the large maps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class FeatureMix:
    """features [B, F, S, S] replace the render's where mask [B, 1, M, M] is 0; at 1 the render stays.

    Without a mask they replace the render's everywhere.
    """

    features: Tensor
    mask: Tensor | None = None
    size: int = 512  # at which the two are mixed; a mask of another size is resized, bicubically


def mix_plainly(x: Tensor, other: FeatureMix) -> Tensor:
    """x [B, F, S, S] mixed with `other`, by its definition. 268 MB for each map of 256 channels."""
    if other.mask is None:
        return other.features
    size, small = (other.size, other.size), x.shape[-2:]
    mask = _bicubic(other.mask.to(x), size)
    return _bicubic(mask * _bicubic(x, size) + (1 - mask) * _bicubic(other.features, size), small)


def mix(x: Tensor, other: FeatureMix) -> Tensor:
    """The same as `mix_plainly`, at a sixteenth of the pixels."""
    if other.mask is None:
        return other.features
    side, size = x.shape[-1], other.size
    enlarge, shrink, rows = _matrices(side, size, x.dtype, x.device)  # [T, S], [S, T], [T]
    mask = _bicubic(other.mask.to(x), (size, size))[:, :, rows][..., rows]
    kept = (1 - mask) * (enlarge @ (other.features - x) @ enlarge.T)  # [B, F, T, T]
    both = shrink @ enlarge
    return both @ x @ both.T + shrink @ kept @ shrink.T


@lru_cache(maxsize=8)
def _matrices(side: int, size: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Bicubic enlarging `side` -> the rows of `size` that count [T, side], shrinking back [side, T], their numbers."""
    enlarge = _bicubic(torch.eye(side, dtype=dtype)[None, None], (size, side))[0, 0]
    shrink = _bicubic(torch.eye(size, dtype=dtype)[None, None], (side, size))[0, 0]
    rows = shrink.abs().sum(0).nonzero()[:, 0]
    return enlarge[rows].to(device), shrink[:, rows].contiguous().to(device), rows.to(device)


def _bicubic(x: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    return F.interpolate(x, size=tuple(size), mode="bicubic", align_corners=False)
