"""Closed lids and hidden hair: what no pixel of the photo shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from elocute.generators.appearance import PARTS, Appearance, mean_appearance
from elocute.generators.canonical import sample
from elocute.generators.geometry import Geometry
from elocute.generators.hidden import hidden_grain
from elocute.generators.lids import Lids, closed_lids
from elocute.generators.motion import to_camera
from elocute.generators.planes import Layers, split_layers
from elocute.generators.scene import Scene
from elocute.head.model import HeadModel
from elocute.landmarks import OUTER_LIPS
from elocute.portrait.regions import polygon_mask
from elocute.rendering.gradients import stretch
from elocute.rendering.shells import SKIN
from elocute.values import BLINK

SEED, SIDE = 3, 256


@pytest.fixture(scope="module")
def layers(scene: Scene) -> Layers:
    return split_layers(scene.photo, scene.matte, scene.background, scene.regions["skin"], scene.landmarks)


@pytest.fixture(scope="module")
def lids(scene: Scene, geometry: Geometry, model: HeadModel, layers: Layers) -> Lids:
    return closed_lids(scene, geometry, mean_appearance(), model, layers)


def test_a_shut_lid_has_the_colour_of_skin_and_dark_lashes_at_its_rim(
    lids: Lids, scene: Scene, model: HeadModel
) -> None:
    rim = np.isin(lids.at, np.concatenate([model.seams[f"lids_{side}"].upper for side in ("left", "right")]))
    skin = np.median(scene.photo[scene.regions["skin"] > 0.8], axis=0)
    assert rim.any()
    assert (lids.fill[rim].mean(0) < 0.5 * skin).all()
    body = lids.fill[~rim & (lids.weight > 0.9)]
    assert np.abs(np.median(body, axis=0) / skin - 1).max() < 0.35


def test_pores_come_from_the_cheek_and_lashes_have_none(lids: Lids, scene: Scene, model: HeadModel) -> None:
    rim = np.isin(lids.at, np.concatenate([model.seams[f"lids_{side}"].upper for side in ("left", "right")]))
    assert (lids.grain[rim, 2] == 0).all() and lids.grain[~rim, 2].max() > 0.5
    eyes, mouth = scene.landmarks[[33, 263], 1].mean() / SIDE, scene.landmarks[13, 1] / SIDE
    lid = lids.grain[lids.weight > 0.9]
    assert ((lid[:, 1] > eyes) & (lid[:, 1] < mouth)).mean() > 0.95


def test_light_from_the_side_shades_the_lids(
    scene: Scene, geometry: Geometry, model: HeadModel, layers: Layers, lids: Lids
) -> None:
    light = mean_appearance().light.copy()
    light[3] = 0.5  # brighter for normals to the viewer's right
    lit = closed_lids(scene, geometry, Appearance(mean_appearance().albedo, light), model, layers)
    brighter = (lit.fill - lids.fill).mean(1)
    lid = (lids.weight > 0.9) & (np.abs(brighter) > 1e-3)  # not lashes nor the fold, which look as in the photo
    assert lid.sum() > 50 and np.corrcoef(brighter[lid], geometry.normal[lids.at, 0][lid])[0, 1] > 0.3


def test_what_a_blink_does_not_stretch_looks_as_in_the_photo(
    scene: Scene, geometry: Geometry, model: HeadModel, layers: Layers, lids: Lids
) -> None:
    shut = scene.fit.expression.copy()
    shut[list(BLINK)] = 1
    points = to_camera(geometry.motion.head.surface(shut), scene.fit.camera.camera_to_world)
    grown = np.empty((2, len(points)), np.float32)
    stretch(geometry.motion.rest_head, points, model.faces, *grown)
    still = (grown[0][lids.at] < 1.2) & (lids.grain[:, 2] > 0.5)
    own = sample(layers.planes[SKIN, ..., :3], geometry.uv[lids.at])
    bright = still & (own.mean(1) > 0.7 * lids.fill.mean(1))
    assert bright.sum() > 20 and np.abs(lids.fill - own)[bright].max(1).mean() < 0.05


def test_no_lid_repeats_the_frame_of_glasses(
    scene: Scene, geometry: Geometry, model: HeadModel, layers: Layers, lids: Lids
) -> None:
    x, y = np.clip((lids.grain[:, :2] * SIDE).astype(int), 0, SIDE - 1).T
    photo = scene.photo.copy()
    middle = int(np.median(y[lids.grain[:, 2] > 0.5]))
    photo[middle - 2 : middle + 3] = 0.1, 0.1, 0.3
    framed = closed_lids(replace(scene, photo=photo), geometry, mean_appearance(), model, layers)
    on_it = (np.abs(y - middle) <= 2) & (scene.photo.mean(2)[y, x] > 0.4)  # on lit skin
    assert lids.grain[on_it, 2].max() > 0.5 and framed.grain[on_it, 2].max() == 0


def test_hidden_hair_finds_strands_inside_the_outline(scene: Scene, geometry: Geometry) -> None:
    grain = hidden_grain(scene, geometry)
    hair = grain[:, 2] > 0.5
    assert hair.any()
    inside = np.clip((grain[hair, :2] * SIDE).astype(int), 0, SIDE - 1)
    assert (scene.matte[inside[:, 1], inside[:, 0]] > 0.5).mean() > 0.9
    face = np.flatnonzero((geometry.shown > 0.5) & (geometry.facing > 0.7))
    face = face[face < len(geometry.motion.rest_head)]
    moved = np.linalg.norm(grain[face, :2] * SIDE - geometry.uv[face], axis=1)
    assert np.quantile(moved, 0.95) < 6  # what faces us finds its grain where it is


def test_hidden_skin_repeats_no_eye_and_no_mouth(scene: Scene, geometry: Geometry) -> None:
    """As of a face that is turned so far that its outline runs past them."""
    at = scene.landmarks.copy()
    at[:, 0] += 0.9 * (scene.matte.shape[1] / 2 - at[:, 0].min())
    grain, near = (hidden_grain(one, geometry) for one in (scene, replace(scene, landmarks=at)))
    mouth = polygon_mask(at[list(OUTER_LIPS), :2], SIDE, SIDE) > 0.5
    x, y = np.clip((grain[:, :2] * SIDE).astype(int), 0, SIDE - 1).T
    skin = geometry.members[:, PARTS.index("skin")] > 0.99
    copies = mouth[y, x] & (grain[:, 2] > 0.3) & skin
    assert copies.sum() > 20 and near[copies, 2].max() < 0.1
