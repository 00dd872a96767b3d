"""The silhouette carves the head."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from elocute.head.avatar import AvatarHead
from elocute.head.model import HeadModel, load_head_model
from elocute.inversion.outline import shrink_to_outline
from elocute.rendering.shells import project
from elocute.spaces import to_camera
from elocute.values import HeadFit


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return load_head_model()


def outer_on_picture(scene: Any, model: HeadModel, fit: HeadFit) -> np.ndarray:
    """Pixels [N, 2] of the skin's vertices that lie in the picture."""
    points = to_camera(AvatarHead(model, fit).vertices(fit.expression), fit.camera.camera_to_world)
    uv = project(points[np.unique(model.faces[model.part_faces("skin")])], *scene.lens)[:, :2]
    return uv[((uv >= 0) & (uv < scene.side)).all(1)]


def strays(scene: Any, model: HeadModel, fit: HeadFit) -> int:
    x, y = outer_on_picture(scene, model, fit).astype(int).T
    return int((scene.matte[y, x] <= 0.5).sum())


def test_a_head_inside_its_outline_stays_as_it_is(example: Any, model: HeadModel) -> None:
    roomy = replace(example.raw, matte=np.ones_like(example.raw.matte))
    assert np.abs(shrink_to_outline(roomy, model).offsets - roomy.fit.offsets).max() < 2e-3  # the border's own margin
    nobody = replace(example.raw, matte=np.zeros_like(example.raw.matte))
    assert shrink_to_outline(nobody, model) is nobody.fit


def test_the_example_ends_inside_its_matte(example: Any, model: HeadModel) -> None:
    fits = example.raw.fit, shrink_to_outline(example.raw, model)
    before, after = (strays(example.raw, model, fit) for fit in fits)
    assert after <= max(0.2 * before, 5), (before, after)


def test_a_narrower_person_pulls_the_head_in_and_leaves_the_face(example: Any, model: HeadModel) -> None:
    scene = example.raw
    uv = outer_on_picture(scene, model, scene.fit)
    middle = uv[:, 0].mean()
    half = 0.92 * np.ptp(scene.landmarks[:, 0]) / 2 + 6
    narrow = scene.matte.copy()
    narrow[:, np.abs(np.arange(scene.side) + 0.5 - middle) > half] = 0
    tight = replace(scene, matte=narrow)
    fit = shrink_to_outline(tight, model)
    before, after = (strays(tight, model, f) for f in (scene.fit, fit))
    assert before > 200 and after < 0.1 * before, (before, after)
    shift = np.linalg.norm(fit.offsets - scene.fit.offsets, axis=1)
    nose = model.faces[model.landmark_faces[[1, 4, 13, 168]]].ravel()
    assert shift[nose].max() < 1e-3
    assert 2e-3 < shift.max() < 0.05 and np.isfinite(fit.offsets).all()


def test_only_skin_moves_and_parallel_to_the_picture(example: Any, model: HeadModel) -> None:
    fit = shrink_to_outline(example.raw, model)
    shift = fit.offsets - example.raw.fit.offsets
    inner = np.setdiff1d(np.arange(len(shift)), np.unique(model.faces[model.part_faces("skin")]))
    assert np.abs(shift[inner]).max() == 0
    along = shift @ fit.camera.camera_to_world[:3, 2]
    assert np.abs(along).max() < 1e-6
