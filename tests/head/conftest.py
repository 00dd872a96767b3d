from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from elocute.head.model import HeadModel, load_head_model
from elocute.head.projection import camera_at, pose_rotation, project
from elocute.values import ARKIT_NAMES, Camera, Face


@pytest.fixture(scope="session")
def model() -> HeadModel:
    return load_head_model()


def _units(**named: float) -> np.ndarray:
    """52 ARKit values from names; `Both` at the end of a name means left and right."""
    values = np.zeros(len(ARKIT_NAMES), np.float32)
    for name, value in named.items():
        for side in ("Left", "Right") if name.endswith("Both") else ("",):
            values[ARKIT_NAMES.index(name.removesuffix("Both") + side)] = value
    return values


def _random_identity(model: HeadModel, seed: int, size: float = 0.25) -> np.ndarray:
    rng = np.random.default_rng(seed)
    chosen = rng.random(len(model.identity_names)) < 0.2
    return (rng.normal(0, size, len(chosen)) * chosen).astype(np.float32)


def _photographed(
    model: HeadModel,
    vertices: np.ndarray,
    expression: np.ndarray,
    pose_deg: tuple[float, float, float],
    side: int = 640,
    noise: float = 0.0,
) -> tuple[Face, Camera]:
    """What a perfect landmark network would see of `vertices` from 2 m away."""
    camera = camera_at(pose_rotation(*np.radians(pose_deg)), np.array([0.01, 0.02, -2.0]), 5.8 * side, (side, side))
    points = project(model.landmarks(vertices).astype(float), camera)
    points[:, 2] *= camera.focal / 2.0
    points[:, :2] += np.random.default_rng(5).normal(0, noise, (len(points), 2))
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    return Face(points, expression.astype(np.float32), (*low, *high), 1.0), camera


@pytest.fixture(scope="session")
def units() -> Callable[..., np.ndarray]:
    return _units


@pytest.fixture(scope="session")
def random_identity() -> Callable[..., np.ndarray]:
    return _random_identity


@pytest.fixture(scope="session")
def photographed() -> Callable[..., tuple[Face, Camera]]:
    return _photographed
