"""What the head looks like where no pixel of the photo shows it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from elocute.generators.appearance import PARTS, mean_appearance
from elocute.generators.canonical import OVERHANG
from elocute.generators.colouring import _without_spans, latent_shells, room_below
from elocute.generators.geometry import JAW_SLIT, Geometry, model_layers, sight_depth
from elocute.generators.hidden import (
    BACK_SHADE,
    EDGE_ON,
    GRAIN_BAND,
    NECK_SHADE,
    TEETH_IN_ROW,
    UNDER_JAW,
    _jaw,
    fill_neck,
    fill_scalp,
    fill_teeth,
    fill_under_jaw,
    hair_colours,
    hidden_grain,
)
from elocute.generators.identity import random_scene
from elocute.generators.members import ears_of, near_ears
from elocute.generators.planes import Layers, split_layers
from elocute.generators.scene import Scene
from elocute.head.model import HeadModel
from elocute.ramps import smooth_step
from elocute.rendering.shells import FAR, SKIN

SEED, SIDE = 7, 256
BEARD, CLOTH, GREY = (np.array(c, np.float32) for c in ([0.2, 0.12, 0.05], [0.1, 0.2, 0.6], [0.6, 0.63, 0.66]))


def layers_of(scene: Scene) -> Layers:
    return split_layers(scene.photo, scene.matte, scene.background, scene.regions["skin"], scene.landmarks)


def neck_of(scene: Scene, geometry: Geometry, model: HeadModel) -> np.ndarray:
    """Colour [3] that the hidden neck is given."""
    count = len(model.vertex_part)
    fill = np.full((count, 3), 0.5, np.float32)
    fill_neck(scene, geometry, model, layers_of(scene), np.zeros(count), fill)
    cloth = geometry.members[:count, PARTS.index("clothes")]
    collar, skin = (model.regions["neck"] > 0.9) & (cloth > 0.99), (model.regions["neck"] > 0.9) & (cloth < 0.01)
    assert collar.any() and np.abs(fill[collar] - 0.5).max() < 0.01, "no skin on it"
    throat = (model.regions["neck"] > 0.2) & (model.vertex_part == model.parts.index("mouth_cavity"))
    assert throat.any() and (fill[throat] == 0.5).all(), "an open mouth is no window on the neck"
    return np.median(fill[skin & (model.vertex_part == model.parts.index("skin"))], axis=0)


def test_beside_the_chin_the_photo_goes_on_below_for_longer(scene: Scene) -> None:
    room = room_below(scene)
    chin, cheeks = scene.landmarks[152], scene.landmarks[[234, 454]]
    assert room[int(chin[0])] < 1 - chin[1] / SIDE, "its mirror image ends before the chin's"
    apart = np.r_[: int(cheeks[:, 0].min() - 0.06 * SIDE), int(cheeks[:, 0].max() + 0.06 * SIDE) : SIDE]
    assert room[apart].min() > 0.9
    assert (np.diff(room[int(chin[0]) : int(cheeks[:, 0].max())]) > -0.01).all(), "more of it farther from the chin"


def test_a_neck_behind_a_full_beard_is_beard(scene: Scene, geometry: Geometry, model: HeadModel) -> None:
    photo = scene.photo.copy()
    photo[scene.regions["neck_shoulders"] > 0.2] = CLOTH
    dressed = replace(scene, photo=photo)
    photo[_jaw(scene)] = BEARD
    np.testing.assert_allclose(neck_of(dressed, geometry, model), NECK_SHADE * BEARD, atol=0.05)


def test_a_bare_neck_stays_the_neck_it_was(scene: Scene, geometry: Geometry, model: HeadModel) -> None:
    photo = scene.photo.copy()
    skin = np.median(photo[scene.regions["skin"] > 0.9], axis=0)
    photo[scene.regions["neck_shoulders"] > 0.2] = 0.8 * skin
    photo[_jaw(scene)] = BEARD
    bare = replace(scene, photo=photo)
    np.testing.assert_allclose(neck_of(bare, geometry, model), NECK_SHADE * 0.8 * skin, atol=0.05)


def test_a_grey_fringe_is_grey_all_around_a_bald_head(scene: Scene, geometry: Geometry, model: HeadModel) -> None:
    """What passes for hair is bald skin on one side and grey on the other."""
    photo, hair = scene.photo.copy(), scene.regions["hair"] > 0.2
    left = np.arange(SIDE) < SIDE // 2
    photo[hair & left] = np.median(photo[scene.regions["skin"] > 0.9], axis=0)
    photo[hair & ~left] = GREY
    bald = replace(scene, photo=photo)
    colours = hair_colours(bald, np.ones((SIDE, SIDE), np.float32), layers_of(bald))
    assert colours is not None
    np.testing.assert_allclose(
        colours[scene.matte > 0.5], np.broadcast_to(GREY, (int((scene.matte > 0.5).sum()), 3)), atol=0.05
    )
    count = len(model.vertex_part)
    fill, shown = np.zeros((count, 3), np.float32), np.zeros(count)
    fill_scalp(geometry, model, shown, colours, fill)
    hairy = (geometry.members[:count, PARTS.index("hair")] > 0.99) & (model.regions["scalp"] > 0.99)
    np.testing.assert_allclose(fill[hairy], np.broadcast_to(BACK_SHADE * GREY, fill[hairy].shape), atol=0.05)
    assert hairy.sum() > 50 and fill[geometry.members[:count, PARTS.index("hair")] == 0].max() == 0
    before = fill.copy()
    fill_scalp(geometry, model, shown, None, fill)
    np.testing.assert_array_equal(fill, before)  # nothing to paint with, nothing painted


def test_a_line_of_hair_along_a_cheek_is_none(scene: Scene, geometry: Geometry, model: HeadModel) -> None:
    count = len(model.vertex_part)
    members = geometry.members.copy()
    members[:count] = np.eye(len(PARTS), dtype=np.float32)[PARTS.index("hair")]
    fill = np.zeros((count, 3), np.float32)
    fill_scalp(replace(geometry, members=members), model, np.zeros(count), np.ones((SIDE, SIDE, 3)), fill)
    facing, scalp = geometry.facing[:count], model.regions["scalp"]
    ears = ears_of(model)
    line = (facing > 0) & (facing < 0.1 * EDGE_ON) & (scalp == 0)
    edge, behind = line & (near_ears(model) == 0), (facing < 0) | (scalp == 1) | ears
    assert edge.sum() > 20 and fill[edge].max() < 0.15
    assert fill[behind].min() > BACK_SHADE - 0.01, "hair over ears and all of the scalp"
    members[np.flatnonzero(ears)[::3]] = members[np.flatnonzero(ears)[1::3][: len(np.flatnonzero(ears)[::3])]] = 0
    fill[:] = 0
    fill_scalp(replace(geometry, members=members), model, np.zeros(count), np.ones((SIDE, SIDE, 3)), fill)
    rim = ears & (facing > 0) & (facing < EDGE_ON)
    most = BACK_SHADE * (1 - (1 - facing / EDGE_ON) * (1 - scalp))
    assert rim.sum() > 20 and (fill[rim].max(1) <= most[rim] + 1e-3).all(), "nor on the rim of free ears"


def test_what_a_jaw_uncovers_of_a_bare_neck_is_the_neck(scene: Scene, geometry: Geometry, model: HeadModel) -> None:
    """Jaw and stubble over it stay with the jaw."""
    layers = layers_of(scene)
    layers.planes[SKIN, ..., :3] = 1
    layers.planes[SKIN, np.abs(geometry.below_jaw) < 0.012, :3] = BEARD
    skin = np.flatnonzero(model_layers(model)[model.vertex_part] == SKIN)
    fill = np.full((len(geometry.uv), 3), 0.5, np.float32)
    geometry = replace(geometry, hangs=(np.abs(geometry.below_jaw) < OVERHANG[1]).astype(np.float32))
    fill_under_jaw(scene, geometry, layers, skin, fill)
    x, y = np.clip(geometry.uv, 0, SIDE - 1).astype(int).T
    below = geometry.below_jaw[y, x]
    near = np.isin(np.arange(len(fill)), skin) & (below >= 0) & (below < 0.8 * OVERHANG[0])
    assert near.sum() > 20 and np.abs(np.median(fill[near], 0) - NECK_SHADE).max() < 0.01


def test_what_a_jaw_uncovers_begins_as_its_outline_is(scene: Scene, geometry: Geometry, model: HeadModel) -> None:
    geometry = replace(geometry, hangs=np.zeros((SIDE, SIDE), np.float32))
    layers = layers_of(scene)
    layers.planes[SKIN, ..., :3] = 1
    layers.planes[SKIN, np.abs(geometry.below_jaw) < 0.012, :3] = BEARD
    skin = np.flatnonzero(model_layers(model)[model.vertex_part] == SKIN)
    fill = np.full((len(geometry.uv), 3), 0.5, np.float32)
    fill_under_jaw(scene, geometry, layers, skin, fill)
    x, y = np.clip(geometry.uv, 0, SIDE - 1).astype(int).T
    away = ndimage.distance_transform_edt(geometry.below_jaw != 0)[y, x] / SIDE
    hidden = np.isin(np.arange(len(fill)), skin) & (geometry.shown < 0.5) & (geometry.below_jaw[y, x] < 0)
    share = 1 - smooth_step(away / UNDER_JAW, 0, 1)[:, None]
    for near, far in ((0, 0.2), (0.3, 0.7)):  # farther in, too, it is the outline's colour and not that of the place
        part = hidden & (away > near * UNDER_JAW) & (away < far * UNDER_JAW)
        off = np.abs(fill[part] - (0.5 + share[part] * (BEARD - 0.5))).max(1)
        assert part.sum() > 5 and np.median(off) < 0.02, "but where it ends"
    assert (fill[~hidden | (away > UNDER_JAW)] == 0.5).all()


def test_a_little_of_the_neck_behind_a_jaw_counts_as_seen() -> None:
    side, edge = 200, 100
    row = np.arange(side)[:, None] * np.ones(side)
    depth = np.where(row < edge, 0.5, 0.56).astype(np.float32)
    depth[:, :20] = np.inf
    shadow = sight_depth(depth, np.where(np.isfinite(depth), (row - edge + 1) / side, np.inf))
    slit = round(JAW_SLIT * side)
    np.testing.assert_allclose(shadow[edge - slit + 1 :, 40:, 0], 0.56)
    np.testing.assert_allclose(shadow[: edge - slit - 1, 40:, 0], 0.5)
    turned = shadow[..., 0] - shadow[..., 1]
    np.testing.assert_allclose(turned[: edge - 2, 40:], 0.5)
    assert (turned[:, :20] == FAR).all()


def test_a_cheek_edge_on_has_its_grain_from_beside_it_and_no_streaks(scene: Scene, geometry: Geometry) -> None:
    """As a point lies deeper by a pixel its grain comes from a pixel farther in, again and again within a band."""
    count, band = len(geometry.motion.rest_head), GRAIN_BAND * SIDE

    def shift(deeper: float) -> np.ndarray:
        at = replace(geometry, shadow=geometry.shadow - (deeper, 0))
        return np.linalg.norm(hidden_grain(scene, at)[:count, :2] * SIDE - geometry.uv[:count], axis=1)

    within = (np.abs(geometry.uv[:count] / SIDE - 0.5) < 0.4).all(1)
    pixel = float(np.median(geometry.motion.rest[:count, 2])) / scene.lens[0]  # metres
    once, farther, again = (shift(n * pixel) for n in (0, 1, 2 * band))
    between = within & (once > 2) & (once < band - 2)
    assert between.sum() > 100 and np.median(np.abs(farther - once)[between]) == pytest.approx(1, abs=0.1)
    assert np.median(np.abs(again - once)[between]) < 1 and once[within].max() <= band + 1e-3
    hidden = within & (geometry.shown[:count] < 0.5) & (geometry.members[:count, PARTS.index("skin")] > 0.9)
    assert np.quantile(once[hidden], 0.9) > 0.8 * band and np.quantile(once[hidden], 0.1) < 0.2 * band


def test_teeth_are_single_teeth_and_molars_lie_in_the_shade(
    scene: Scene, geometry: Geometry, model: HeadModel
) -> None:
    fill = np.zeros((len(model.vertex_part), 3), np.float32)
    fill_teeth(scene, geometry, mean_appearance(), model, layers_of(scene), fill)
    for row in ("teeth_upper", "teeth_lower"):
        part = model.part(row)
        along, up = model.uv[part].T
        light = fill[part].mean(1)
        front = np.isclose(up, 0.25)
        tooth, within = np.divmod(along[front] * TEETH_IN_ROW + 1e-4, 1)
        crown, gap, side = (light[front][np.isclose(within, w, atol=0.01)] for w in (0.5, 0.0, 0.93))
        incisors = slice(5, 9)
        assert (gap[incisors] < 0.8 * crown[incisors]).all() and (side[incisors] < 0.96 * crown[incisors]).all()
        molar = 0.6 if row == "teeth_upper" else 0.35  # a laugh shows the one, a wide open mouth the other
        assert crown[[0, -1]].max() < molar * crown[6:8].min(), "molars"
        inner = light[np.isclose(up, 0.8, atol=0.05) & (np.abs(along - 0.5) < 0.2)]
        assert len(inner) and inner.max() < 0.6 * crown[6:8].min(), "the side towards the tongue"
        gum = fill[part][np.isclose(up, 0) & (np.abs(along - 0.5) < 0.2)]
        assert (gum[:, 0] > 1.3 * gum[:, 1]).all()


def test_a_mouth_in_a_hazy_photo_is_no_darker_than_the_haze(scene: Scene, geometry: Geometry, model: HeadModel) -> None:
    haze = np.array([0.4, 0.35, 0.3], np.float32)
    hazy = replace(scene, photo=haze + (1 - haze) * scene.photo)
    inside = np.concatenate([model.part(name) for name in ("mouth_cavity", "tongue")])
    clear, dull = (latent_shells(s, geometry, mean_appearance(), layers_of(s)).fill[inside] for s in (scene, hazy))
    assert scene.black.max() < 0.02 and (hazy.black > 0.5 * haze).all()
    assert random_scene(22, 512).black.max() < 0.05, "white hair, but black pupils"
    paler = dull - clear
    assert (paler.max(0) > 0.7 * (hazy.black - scene.black)).all() and paler.min() >= 0
    assert (dull.min(0) > hazy.black).all()


def test_the_tongue_is_darker_at_its_sides(geometry: Geometry, model: HeadModel) -> None:
    tongue = model.part("tongue")
    aside, depth, light = np.abs(model.base[tongue, 0]), model.base[tongue, 2], geometry.mouth_light[tongue]
    lit = np.abs(depth - np.quantile(depth, 0.65)) < 0.003
    outer, inner = (lit & (aside > 0.8 * aside[lit].max()), lit & (aside < 0.3 * aside[lit].max()))
    assert outer.sum() > 3 and light[outer].mean() < 0.9 * light[inner].mean()


def test_without_hair_there_are_no_hair_colours(scene: Scene) -> None:
    none = replace(scene, regions=scene.regions | {"hair": np.zeros((SIDE, SIDE), np.float32)})
    assert hair_colours(none, np.ones((SIDE, SIDE), np.float32), layers_of(none)) is None


def test_a_shoulders_long_edges_span_no_background() -> None:
    """Between the person and what isn't there; short edges, and a scalp's, keep their soft rim."""
    faces = np.array([[0, 1, 2]])
    long = np.array([[0, -0.2, 0], [0.1, -0.2, 0], [0, -0.2, 0.01]], np.float32)
    solid = np.array([1, 0, 0.8], np.float32)
    np.testing.assert_array_equal(_without_spans(solid, long, faces), np.zeros(3, np.float32))
    for kept in (0.1 * long - [0, 0.2, 0], long + [0, 0.3, 0]):
        np.testing.assert_array_equal(_without_spans(solid, kept, faces), solid)
    np.testing.assert_array_equal(_without_spans(np.ones(3, np.float32), long, faces), np.ones(3, np.float32))
