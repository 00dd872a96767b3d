"""Ears go to where the photo shows them, as far as it does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from elocute.generators.scene import Scene
from elocute.head.avatar import AvatarHead
from elocute.head.model import HeadModel, load_head_model
from elocute.inversion.ears import fit_ears
from elocute.rendering.raster import rasterise
from elocute.rendering.shells import project
from elocute.spaces import to_camera
from elocute.values import HeadFit


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return load_head_model()


@pytest.fixture(scope="module")
def bald(example: Any, model: HeadModel) -> Scene:
    """A photo of nothing but the example's head, straight before the camera."""
    return painted(example.raw, model, example.raw.fit)


def silhouette(scene: Scene, model: HeadModel, fit: HeadFit) -> np.ndarray:
    points = to_camera(AvatarHead(model, fit).vertices(fit.expression), fit.camera.camera_to_world)
    skin = np.ascontiguousarray(model.faces[model.part_faces("skin")])
    return np.asarray(rasterise(project(points, *scene.lens), skin, scene.side, scene.side)[0] >= 0)


def painted(scene: Scene, model: HeadModel, fit: HeadFit) -> Scene:
    solid = silhouette(scene, model, fit).astype(np.float32)
    regions = {name: np.zeros_like(solid) for name in scene.regions} | {"skin": solid, "background": 1 - solid}
    return replace(scene, matte=solid, regions=regions)


def moved(fit: HeadFit, model: HeadModel, **coefficients: float) -> HeadFit:
    """The fit with other ears, both alike."""
    names = {f"{side}-ear-{name.replace('_', '-')}": value for name, value in coefficients.items() for side in "lr"}
    shift = sum(value * model.identity[model.identity_names.index(name)] for name, value in names.items())
    return replace(fit, offsets=fit.offsets + shift)


def difference(scene: Scene, model: HeadModel, fit: HeadFit) -> int:
    return int((silhouette(scene, model, fit) != (scene.matte > 0.5)).sum())


@pytest.mark.parametrize(
    "ears", [{"trans_up": 0.5}, {"trans_down": 0.3}, {"scale_vert_incr": 0.8}, {"trans_up": 0.4, "wing_incr": 0.4}]
)
def test_ears_are_found_again(bald: Scene, model: HeadModel, ears: dict[str, float]) -> None:
    other = painted(bald, model, moved(bald.fit, model, **ears))
    before, after = (difference(other, model, fit) for fit in (bald.fit, fit_ears(other, model)))
    assert after < 0.4 * before, (before, after)


def test_ears_that_are_right_stay(bald: Scene, model: HeadModel) -> None:
    assert np.abs(fit_ears(bald, model).offsets - bald.fit.offsets).max() < 1.5e-3


def test_ears_under_hair_stay(bald: Scene, model: HeadModel) -> None:
    other = painted(bald, model, moved(bald.fit, model, trans_up=0.5))
    no_ears = silhouette(bald, model, moved(bald.fit, model, wing_decr=1.5)).astype(np.float32)
    hair = np.maximum(other.matte, bald.matte) * (1 - no_ears)
    covered = replace(other, regions={**other.regions, "skin": no_ears, "hair": hair})
    np.testing.assert_array_equal(fit_ears(covered, model).offsets, bald.fit.offsets)


def test_nothing_but_ears_and_what_they_hang_on_moves(bald: Scene, model: HeadModel) -> None:
    other = painted(bald, model, moved(bald.fit, model, trans_up=0.5))
    shift = np.abs(fit_ears(other, model).offsets - bald.fit.offsets).max(1)
    landmarks = model.landmarks(shift[:, None].repeat(3, 1))
    inner = np.r_[0:9, 13:20, 33, 133, 263, 362, 61, 291, 152]  # nose, lips, eyes, chin
    assert shift.max() > 3e-3 and landmarks[inner].max() < 2e-4


def test_a_head_that_the_photo_cuts_keeps_its_ears(bald: Scene, model: HeadModel) -> None:
    nobody = replace(bald, matte=np.zeros_like(bald.matte), regions={k: v * 0 for k, v in bald.regions.items()})
    np.testing.assert_array_equal(fit_ears(nobody, model).offsets, bald.fit.offsets)
