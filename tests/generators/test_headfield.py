"""The field of the example portrait: its latents, its record on disk, and what it looks like from elsewhere."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from elocute.generators.appearance import mean_appearance
from elocute.generators.colouring import latent_shells
from elocute.generators.headfield import HeadField
from elocute.head.model import load_head_model
from elocute.rendering.renderer import Renderer
from elocute.rendering.shells import EYES, SKIN, Shells

TURNS = [(0.35, 0.0, 0.0), (-0.35, 0.0, 0.0), (0.0, 0.26, 0.0), (0.0, -0.26, 0.0), (0.2, -0.1, 0.15)]


def check_shells(shells: Shells) -> None:
    count = len(shells.rest)
    for field in fields(shells):
        assert np.isfinite(getattr(shells, field.name)).all() or field.name == "shadow", field.name
    for name in ("seen", "fill", "solid"):
        values = getattr(shells, name)
        assert len(values) == count and values.dtype == np.float32, name
        assert values.min() >= 0 and values.max() <= 1, name
    assert shells.faces.min() >= 0 and shells.faces.max() < count
    assert len(shells.layer) == len(shells.faces)
    np.testing.assert_allclose(np.linalg.norm(shells.normal, axis=1), 1, atol=1e-3)
    assert not np.isnan(shells.shadow).any()


def test_shells_are_whole(example: Any, untuned: Shells) -> None:
    check_shells(untuned)
    check_shells(example.field.shells)


def test_members_and_sight(example_geometry: Any) -> None:
    np.testing.assert_allclose(example_geometry.members.sum(1), 1, atol=1e-5)
    assert set(np.unique(example_geometry.shown)) <= {0.0, 1.0}
    assert 0 < example_geometry.mouth_light.min() < 1 and example_geometry.mouth_light.max() == 1
    model = load_head_model()
    nose = model.faces[model.landmark_faces[1]][0]
    nape = model.base[:, 2].argmin()
    assert example_geometry.shown[nose] == 1 and example_geometry.facing[nose] > 0.8
    assert example_geometry.shown[nape] == 0 and example_geometry.facing[nape] < 0


def test_latents_hold_no_texel_of_the_photo(example: Any, example_geometry: Any, layers: Any) -> None:
    shells = latent_shells(example.scene, example_geometry, mean_appearance(), layers)
    check_shells(shells)
    inked = replace(shells, planes=np.random.default_rng(0).random(shells.planes.shape).astype(np.float32))
    pictures = [Renderer(s, 128).render(s.rest)[0] for s in (shells, inked)]
    np.testing.assert_array_equal(*pictures)


def test_arrays_make_the_same_field(example: Any) -> None:
    field = example.field
    again = HeadField.from_arrays(field.to_arrays())
    check_shells(again.shells)
    for item in fields(Shells):
        if item.name != "planes":
            np.testing.assert_array_equal(getattr(again.shells, item.name), getattr(field.shells, item.name), item.name)
    assert np.abs(again.shells.planes - field.shells.planes).max() < 1 / 2000  # half floats
    np.testing.assert_array_equal(again.motion.weights, field.motion.weights)
    np.testing.assert_array_equal(again.background, field.background)
    assert again.fit.pose == field.fit.pose and again.fit.residual == field.fit.residual
    assert again.fit.camera.focal == field.fit.camera.focal


def test_arrays_make_the_same_bytes(example: Any, stored: HeadField, speaking: np.ndarray) -> None:
    """What was read from a file and written again renders the same bytes; the half floats of the first writing cost
    less than a level."""
    again = HeadField.from_arrays(stored.to_arrays())
    for pose in ((0.0, 0.0, 0.0), (0.3, -0.1, 0.1)):
        moved = [f.motion.moved(speaking, pose) for f in (example.field, stored, again)]
        np.testing.assert_array_equal(moved[1], moved[0])
        np.testing.assert_array_equal(moved[2], moved[1])
        first, second, third = (
            Renderer(f.shells, 256).render(m, presence=f.motion.head.presence(speaking))[0]
            for f, m in zip((example.field, stored, again), moved, strict=True)
        )
        np.testing.assert_array_equal(third, second)
        off = np.abs(second - first)
        assert np.quantile(off, 0.9999) < 0.5 / 255 and off.max() < 16 / 255  # opacity's last thousandth is a step


def test_a_missing_array_is_an_error(example: Any) -> None:
    whole = example.field.to_arrays()
    for name in whole:
        with pytest.raises(KeyError):
            HeadField.from_arrays({key: value for key, value in whole.items() if key != name})


@pytest.mark.parametrize("pose", TURNS)
def test_a_turned_head_has_no_holes(stored: HeadField, speaking: np.ndarray, pose: tuple[float, float, float]) -> None:
    moved = stored.motion.moved(speaking, pose)
    renderer = Renderer(stored.shells, 256)
    rgba, depth = renderer.render(moved)
    assert np.isfinite(rgba).all() and np.isfinite(depth).all()
    assert rgba[..., 3].min() >= -1e-6 and rgba[..., 3].max() <= 1 + 1e-6
    points = load_head_model().landmarks(moved[: len(stored.motion.rest_head)])
    focal, cx, cy = renderer.cam
    uv = np.stack([focal * points[:, 0] / points[:, 2] + cx, focal * points[:, 1] / points[:, 2] + cy], 1)
    inner = points[:, 2] < np.quantile(points[:, 2], 0.6)  # the nearer part of the face is surely in view
    x, y = uv[inner].astype(int).T
    assert rgba[y, x, 3].min() > 0.98
    distance = depth[y, x] - points[inner, 2]
    assert np.abs(np.median(distance)) < 0.003


def test_the_frame_of_the_portrait_is_the_portrait(example: Any, stored: HeadField) -> None:
    scene = example.scene
    rgba, _ = Renderer(stored.shells, scene.side).render(stored.motion.rest)
    face = (scene.regions["skin"] > 0.9) & (scene.matte > 0.99)
    picture = rgba[..., :3] + (1 - rgba[..., 3:]) * stored.background / 255
    assert np.abs(picture - scene.photo)[face].mean() < 0.01
    ids = np.abs(rgba[..., 3] - scene.matte)
    assert ids.mean() < 0.02


def test_eyes_are_in_the_field(example: Any) -> None:
    layer = example.field.shells.layer
    assert (layer == EYES).sum() > 100 and (layer == SKIN).sum() > 5000


def test_the_photos_mouth_fades_in_the_mouth_only(example: Any, stored: HeadField) -> None:
    """What fades while the mouth moves may not reach the rims of the eyes: they would flicker with every syllable."""
    moved = stored.motion.moved(stored.fit.expression)
    side = stored.shells.planes.shape[1]
    here, gone = (Renderer(stored.shells, side).render(moved, presence=p)[0] for p in (1.0, 0.0))
    changed = np.argwhere(np.abs(here - gone).max(2) > 1e-6)  # (y, x); less is rounding
    lips = example.scene.landmarks[[61, 291, 0, 17], :2]
    low, high = lips.min(0) - 4, lips.max(0) + 4
    assert len(changed) and ((changed[:, ::-1] >= low) & (changed[:, ::-1] <= high)).all()
