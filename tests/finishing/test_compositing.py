from __future__ import annotations

import numpy as np
import pytest

from elocute.finishing.compositing import over, straight


@pytest.fixture
def rgba() -> np.ndarray:
    """Premultiplied, with the overshoots that a cubic look-up makes."""
    rng = np.random.default_rng(0)
    alpha = rng.uniform(-0.1, 1.1, (20, 30, 1))
    return np.concatenate([rng.uniform(-0.1, 1.1, (20, 30, 3)) * alpha, alpha], 2).astype(np.float32)


def test_over_is_porter_and_duff_s(rgba: np.ndarray) -> None:
    backdrop = np.random.default_rng(1).random((20, 30, 3), np.float32)
    alpha = rgba[..., 3:].clip(0, 1)
    wanted = rgba[..., :3].clip(0, alpha) + (1 - alpha) * backdrop
    assert np.abs(over(rgba, backdrop) - wanted * 255).max() <= 0.5 + 1e-4


def test_straight_colours_go_back_over_black(rgba: np.ndarray) -> None:
    out = straight(rgba) / 255
    alpha = rgba[..., 3:].clip(0, 1)
    assert np.abs(out[..., 3:] - alpha).max() <= 0.5 / 255 + 1e-6
    assert np.abs(out[..., :3] * alpha - rgba[..., :3].clip(0, alpha)).max() <= 0.5 / 255 + 1e-6


def test_clear_shows_the_backdrop_and_opaque_does_not() -> None:
    rgba = np.zeros((1, 2, 4), np.float32)
    rgba[0, 1] = 1, 0.5, 0, 1
    backdrop = np.broadcast_to(np.array([0.2, 0.4, 0.6], np.float32), (1, 2, 3))
    assert over(rgba, backdrop).tolist() == [[[51, 102, 153], [255, 128, 0]]]
    assert straight(rgba).tolist() == [[[0, 0, 0, 0], [255, 128, 0, 255]]]
