"""What the head looks like where no pixel of the photo shows it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from elocute.generators.appearance import PARTS
from elocute.generators.colouring import (
    BACK_SHADE,
    NECK_SHADE,
    _fill_neck,
    _fill_scalp,
    _hair_colours,
    _jaw,
    room_below,
)
from elocute.generators.geometry import Geometry
from elocute.generators.planes import Layers, split_layers
from elocute.generators.scene import Scene
from elocute.head.model import HeadModel

SEED, SIDE = 7, 256
BEARD, CLOTH, GREY = (np.array(c, np.float32) for c in ([0.2, 0.12, 0.05], [0.1, 0.2, 0.6], [0.6, 0.63, 0.66]))


def layers_of(scene: Scene) -> Layers:
    return split_layers(scene.photo, scene.matte, scene.background, scene.regions["skin"], scene.landmarks)


def neck_of(scene: Scene, geometry: Geometry, model: HeadModel) -> np.ndarray:
    """Colour [3] that the hidden neck is given."""
    count = len(model.vertex_part)
    fill = np.full((count, 3), 0.5, np.float32)
    _fill_neck(scene, geometry, model, layers_of(scene), np.zeros(count), fill)
    cloth = geometry.members[:count, PARTS.index("clothes")]
    collar, skin = (model.regions["neck"] > 0.9) & (cloth > 0.99), (model.regions["neck"] > 0.9) & (cloth < 0.01)
    assert collar.any() and np.abs(fill[collar] - 0.5).max() < 0.01, "no skin on it"
    return np.median(fill[skin], axis=0)


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
    colours = _hair_colours(bald, np.ones((SIDE, SIDE), np.float32), layers_of(bald))
    assert colours is not None
    np.testing.assert_allclose(
        colours[scene.matte > 0.5], np.broadcast_to(GREY, (int((scene.matte > 0.5).sum()), 3)), atol=0.05
    )
    count = len(model.vertex_part)
    fill, shown = np.zeros((count, 3), np.float32), np.zeros(count)
    _fill_scalp(geometry, shown, colours, fill)
    hairy = geometry.members[:count, PARTS.index("hair")] > 0.99
    np.testing.assert_allclose(fill[hairy], np.broadcast_to(BACK_SHADE * GREY, fill[hairy].shape), atol=0.05)
    assert hairy.sum() > 50 and fill[geometry.members[:count, PARTS.index("hair")] == 0].max() == 0
    before = fill.copy()
    _fill_scalp(geometry, shown, None, fill)
    np.testing.assert_array_equal(fill, before)  # nothing to paint with, nothing painted


def test_without_hair_there_are_no_hair_colours(scene: Scene) -> None:
    none = replace(scene, regions=scene.regions | {"hair": np.zeros((SIDE, SIDE), np.float32)})
    assert _hair_colours(none, np.ones((SIDE, SIDE), np.float32), layers_of(none)) is None
