"""Regions of expressions that have none."""

from __future__ import annotations

import numpy as np
import pytest

from elocute.modelsets.nerffacespeech.regions import EYES, MOUTH, mixed, region_matrices


@pytest.fixture
def moves():
    """20 coefficients that move the mouth, 20 the eyes, 10 the brows, 14 nothing that a landmark shows."""
    draw = np.random.default_rng(0)
    out = np.zeros((64, 68, 3))
    for rows, landmarks in ((range(20), MOUTH), (range(20, 40), EYES), (range(40, 50), range(17, 27))):
        for row in rows:
            out[row, list(landmarks)] = 20 * draw.standard_normal((len(landmarks), 3))
    return out.reshape(64, 204)


def test_the_parts_are_the_whole(moves):
    assert np.allclose(region_matrices(moves).sum(0), np.eye(64), atol=1e-9)


def test_each_share_acts_on_its_own_region(moves):
    said, seen = np.zeros((2, 64), np.float32), np.ones((2, 64), np.float32)
    assert np.array_equal(mixed(said, seen, (1, 1, 1), moves), seen)
    assert np.allclose(mixed(said, seen, (0, 0, 0), moves), said)
    eyes = mixed(said, seen, (0, 1, 0), moves)
    assert np.allclose(eyes[:, 20:40], 1, atol=0.02) and np.allclose(eyes[:, :20], 0, atol=0.02)
    half = mixed(said, seen, (0.5, 0, 0), moves)
    assert np.allclose(half[:, :20], 0.5, atol=0.02) and np.allclose(half[:, 40:50], 0, atol=0.02)
