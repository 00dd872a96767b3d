"""The painted head of the random identity that a test module names: SEED, in a picture of SIDE pixels."""

from __future__ import annotations

import pytest

from elocute.generators.geometry import Geometry, build_geometry
from elocute.generators.identity import random_scene
from elocute.generators.scene import Scene
from elocute.head.avatar import AvatarHead
from elocute.head.model import HeadModel, load_head_model


@pytest.fixture(scope="module")
def scene(request: pytest.FixtureRequest) -> Scene:
    return random_scene(request.module.SEED, request.module.SIDE)


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return load_head_model()


@pytest.fixture(scope="module")
def geometry(scene: Scene, model: HeadModel) -> Geometry:
    return build_geometry(scene, AvatarHead(model, scene.fit), model)
