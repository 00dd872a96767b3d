"""Ears go to where the photo shows them, as far as it does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from elocute.generators.scene import Scene
from elocute.head.avatar import AvatarHead
from elocute.head.model import HeadModel, load_head_model
from elocute.inversion.ears import LIMIT, fit_ears
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
    shift: np.ndarray = sum(value * model.identity[model.identity_names.index(name)] for name, value in names.items())
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


def kept(scene: Scene, model: HeadModel) -> bool:
    return bool(np.array_equal(fit_ears(scene, model).offsets, scene.fit.offsets))


def with_hair(scene: Scene, hair: np.ndarray) -> Scene:
    """The same person with hair where `hair` [R, R] says so, over skin and background."""
    skin = scene.regions["skin"] * ~hair
    regions = scene.regions | {"skin": skin, "hair": hair.astype(np.float32)}
    return replace(scene, matte=np.maximum(scene.matte, hair.astype(np.float32)), regions=regions)


def test_ears_that_are_right_stay(bald: Scene, model: HeadModel) -> None:
    assert np.abs(fit_ears(bald, model).offsets - bald.fit.offsets).max() < 1.5e-3


@pytest.mark.parametrize("wider", [0.01, 0.02, 0.03])
@pytest.mark.parametrize("guard", [{"LIMIT": 1.0}, {"UNCUT": -9.0}])
def test_a_wider_skull_is_no_ear(
    bald: Scene, model: HeadModel, wider: float, guard: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Skin beside the model's head, from the ear up to the crown: a bald head's, or hair taken for skin. It has no end
    near the ear, and an ear on its way there is stopped: each guard holds without the other."""
    for name, value in guard.items():
        monkeypatch.setattr(f"elocute.inversion.ears.{name}", value)
    reach = 2 * round(wider * bald.side) + 1
    rows = np.arange(bald.side)[:, None] < ears(bald, model)[1].mean()
    wide = np.where(rows, cv2.dilate(bald.matte, np.ones((1, reach), np.uint8)), bald.matte)
    other = replace(bald, matte=wide, regions=bald.regions | {"skin": wide})
    assert np.linalg.norm(fit_ears(other, model).offsets - bald.fit.offsets, axis=1).max() < 0.5 * LIMIT


def ears(scene: Scene, model: HeadModel) -> np.ndarray:
    """x, y [2, N] of the pixels that the ears alone cover."""
    without = silhouette(scene, model, moved(scene.fit, model, wing_decr=1.5))
    return np.stack(np.nonzero((scene.matte > 0.5) & ~without)[::-1])


def test_ears_under_hair_lie_flat(bald: Scene, model: HeadModel) -> None:
    x, y = ears(bald, model)
    face = cv2.erode(bald.matte, np.ones((1, 2 * round(0.08 * bald.side) + 1), np.uint8)) > 0
    flat = fit_ears(with_hair(bald, (bald.matte > 0.5) & ~face), model)
    left = silhouette(bald, model, flat)
    assert left[y, x].mean() < 0.2, "what stuck out of the head"
    moves = np.linalg.norm(flat.offsets - bald.fit.offsets, axis=1)
    assert 0.01 < moves.max() < 0.05 and (np.abs(model.base[moves > 0, 0]) > 0.05).all(), "ears alone"
    one = fit_ears(with_hair(bald, (bald.matte > 0.5) & ~face & (np.arange(bald.side) > bald.side / 2)), model)
    moved_on = np.linalg.norm(one.offsets - bald.fit.offsets, axis=1) > 0.01
    assert moved_on.any() and len(set(np.sign(model.base[moved_on, 0]))) == 1, "the one under hair"


def test_a_hidden_ear_lies_flat_where_hair_touches_the_other_one(bald: Scene, model: HeadModel) -> None:
    rows = ears(bald, model)[1]
    y, x = np.indices(bald.matte.shape)
    right = x < bald.side / 2
    beside = (bald.matte > 0.5) & ~(cv2.erode(bald.matte, np.ones((1, 2 * round(0.08 * bald.side) + 1), np.uint8)) > 0)
    hides = replace(bald, matte=bald.matte * ~(beside & right))
    for share, flat in ((0.55, True), (0.2, False)):
        over = beside & ~right & (y < rows.min() + share * np.ptp(rows)) & (y >= rows.min())
        fit = fit_ears(with_hair(hides, over), model)
        moves = np.linalg.norm(fit.offsets - bald.fit.offsets, axis=1)
        gone = (model.base[:, 0] < 0) & (moves > 0.01)
        assert gone.any() == flat and not ((model.base[:, 0] > 0) & (moves > 0.01)).any()


def test_a_lobe_alone_is_no_ear(bald: Scene, model: HeadModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elocute.inversion.ears.COVERED", 1.0)  # not even where nothing is laid flat
    other = painted(bald, model, moved(bald.fit, model, trans_up=0.3))
    rows = ears(other, model)[1]
    y = np.arange(bald.side)[:, None] * np.ones(bald.side)
    over = (y < rows.max() - 0.25 * np.ptp(rows)) & ~silhouette(bald, model, moved(bald.fit, model, wing_decr=1.5))
    assert kept(with_hair(other, over & (other.matte > 0.5)), model)


def test_hair_over_its_top_makes_no_ear_shorter(bald: Scene, model: HeadModel) -> None:
    rows = ears(bald, model)[1]
    y = np.arange(bald.side)[:, None] * np.ones(bald.side)
    top = y < rows.min() + 0.4 * np.ptp(rows)
    wide = cv2.dilate(bald.matte, np.ones((25, 25), np.uint8)) > 0.5
    covered = with_hair(bald, top & wide & ~silhouette(bald, model, moved(bald.fit, model, wing_decr=1.5)))
    fitted = replace(bald, fit=fit_ears(covered, model))
    assert ears(fitted, model)[1].min() == pytest.approx(rows.min(), abs=0.1 * np.ptp(rows))


def test_an_ear_that_the_photo_cuts_stays(bald: Scene, model: HeadModel) -> None:
    columns = ears(bald, model)[0]
    edge = round(columns.min() + 0.1 * (columns.max() - columns.min()) / 2)
    left, camera = columns.min(), bald.fit.camera
    shift = left + round(0.3 * (edge - left)) + 3
    near = replace(bald, fit=replace(bald.fit, camera=replace(camera, cx=camera.cx - shift)))
    near = painted(near, model, moved(near.fit, model, trans_up=0.4))
    change = np.abs(fit_ears(near, model).offsets - near.fit.offsets).max(1)
    assert change[model.base[:, 0] < -0.06].max() < 1e-3 < change[model.base[:, 0] > 0.06].max()


def test_nothing_but_ears_and_what_they_hang_on_moves(bald: Scene, model: HeadModel) -> None:
    other = painted(bald, model, moved(bald.fit, model, trans_up=0.5))
    shift = np.abs(fit_ears(other, model).offsets - bald.fit.offsets).max(1)
    landmarks = model.landmarks(shift[:, None].repeat(3, 1))
    inner = np.r_[0:9, 13:20, 33, 133, 263, 362, 61, 291, 152]  # nose, lips, eyes, chin
    assert shift.max() > 3e-3 and landmarks[inner].max() < 2e-4


def test_nobody_has_no_ears(bald: Scene, model: HeadModel) -> None:
    assert kept(replace(bald, matte=0 * bald.matte, regions={k: 0 * v for k, v in bald.regions.items()}), model)
