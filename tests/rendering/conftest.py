"""Shells that several tests render."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from shell_samples import FOCAL, SIDE, sheet

from elocute.rendering.shells import FAR, PLANES, RELIEF, SKIN, Shells


@pytest.fixture(scope="module")
def shells() -> Shells:
    """A curved soft sheet in front of which a smaller, hard, bulging one stands."""
    rng = np.random.default_rng(0)
    back = sheet(24, 0.30, lambda x, y: 1.10 + 0.5 * (x * x + y * y), RELIEF)
    front = sheet(16, 0.12, lambda x, y: 1.04 + 1.5 * (x * x + y * y), SKIN)
    rest = np.concatenate([back[0], front[0]]).astype(np.float32)
    faces = np.concatenate([back[1], front[1] + len(back[0])]).astype(np.int32)
    layer = np.concatenate([back[2], front[2]]).astype(np.uint8)
    count = len(rest)
    coarse = torch.tensor(rng.random((PLANES, 4, 12, 12)), dtype=torch.float32)
    smooth = torch.nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bicubic")
    planes = smooth.permute(0, 2, 3, 1).numpy().clip(0, 1)
    planes[SKIN, ..., 3] = 1
    thickness = np.where(np.arange(count) < len(back[0]), 0.006, 0.001).astype(np.float32)
    normal = np.tile(np.array([0, 0, -1], np.float32), (count, 1))
    full = np.ones(count, np.float32)
    unlimited = np.stack([np.full((SIDE, SIDE), FAR), np.zeros((SIDE, SIDE))], -1).astype(np.float32)
    grain = np.concatenate([rng.random((count, 2)), full[:, None]], 1).astype(np.float32)
    rim = rng.random(count).astype(np.float32)
    return Shells(
        rest, faces, layer, full, np.full((count, 3), 0.5, np.float32), full, grain, rim, thickness,
        normal, np.ascontiguousarray(planes), unlimited,
        np.zeros((SIDE, SIDE), np.float32), FOCAL, SIDE / 2, SIDE / 2,
    )  # fmt: skip
