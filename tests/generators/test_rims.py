"""What only the view from the front puts into a photo."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from elocute.generators.rims import bare_neck, foreign_light, other_than_skin, outline_rim, sides_of
from elocute.generators.scene import Scene
from elocute.head.model import load_head_model

SIDE = 200
SKIN = np.array([0.7, 0.5, 0.42], np.float32)


def disc(radius: float) -> np.ndarray:
    """A round face's matte, three pixels soft."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    return np.clip((radius - np.hypot(x - 100, y - 100)) / 3 + 0.5, 0, 1).astype(np.float32)


@pytest.fixture
def scene() -> Scene:
    """A round face of bare skin, 120 pixels wide, before blue."""
    matte = disc(60)
    photo = np.where(matte[..., None] > 0.5, SKIN, np.array([0.1, 0.2, 0.9], np.float32)).astype(np.float32)
    none = np.zeros_like(matte)
    regions = {"skin": matte, "hair": none, "neck_shoulders": none, "background": 1 - matte}
    landmarks = np.zeros((478, 3), np.float32)
    landmarks[10], landmarks[152] = [100, 45, 0], [100, 155, 0]
    fit: Any = None  # nothing here looks at the head
    return Scene(photo, photo, matte, regions, landmarks, fit)


def test_beyond_the_outline_is_what_is_nearest_inside(scene: Scene) -> None:
    np.testing.assert_allclose(scene.outward(scene.photo), np.broadcast_to(SKIN, scene.photo.shape))
    assert scene.outward(scene.regions["skin"]).min() >= 0.9
    soft = Scene(scene.photo, scene.photo, 0.5 * scene.matte, scene.regions, scene.landmarks, scene.fit)
    np.testing.assert_array_equal(soft.outward(scene.photo)[100, 100], SKIN)  # nowhere wholly there, and itself yet
    np.testing.assert_array_equal(
        soft.outward(np.arange(SIDE)[:, None] + np.zeros((1, SIDE)))[95:105, 100], range(95, 105)
    )


def test_soft_outline_and_light_from_behind_are_foreign_and_the_face_is_not(scene: Scene) -> None:
    own = foreign_light(scene)
    assert own[100, 44:156].max() < 0.05, "the face"
    assert own[100, 40] > 0.9 and own[100, 159] > 0.9, "where the matte is half"
    lit = scene.photo.copy()
    lit[:, 145:] *= 1.5  # from the right, up to 15 pixels in
    glare = foreign_light(Scene(lit, lit, scene.matte, scene.regions, scene.landmarks, scene.fit))
    assert glare[100, 154:158].min() > 0.5 and glare[100, 44:140].max() < 0.05


def test_only_a_narrow_strip_of_skin_is_rim(scene: Scene) -> None:
    """The head's surface ends 3 pixels inside the outline; or 30, and then what is beyond it is shape."""
    points = np.array([[42.0, 100], [158, 100], [100, 42.5]])
    below = np.full((SIDE, SIDE), np.inf, np.float32)
    for radius, expected in ((57, 1), (30, 0)):
        depth = np.where(disc(radius) > 0.5, 1.0, np.inf)
        np.testing.assert_allclose(outline_rim(scene, depth, below, points), expected, atol=0.02)
    nowhere = outline_rim(scene, np.full_like(below, np.inf), below, points)
    np.testing.assert_array_equal(nowhere, 0)


def test_a_bare_neck_is_where_the_head_has_its_own_and_broad(scene: Scene) -> None:
    """A strip along the cheek, what is narrow beside the column, and what is far from it are none."""
    regions = {name: np.zeros((SIDE, SIDE), np.float32) for name in scene.regions}
    for rows, columns in ((slice(120, 200), slice(70, 130)), (slice(80, 110), slice(41, 45)),
                          (slice(100, 118), slice(122, 125)), (slice(150, 200), slice(0, 40))):  # fmt: skip
        regions["neck_shoulders"][rows, columns] = 1
    whole = np.ones((SIDE, SIDE), np.float32)
    photo = np.broadcast_to(SKIN, (SIDE, SIDE, 3))
    regions["skin"][60:115, 60:140] = 1
    person = replace(scene, photo=photo, matte=whole, regions=regions)
    column = np.array([[80.0, 112], [120, 112], [80, 199], [120, 199]])
    at = np.array([[127.0, 160], [74, 160], [100, 150], [43, 95], [123.5, 105], [20, 170], [100, 90]])
    np.testing.assert_allclose(bare_neck(person, column, at), [1, 1, 1, 0, 0, 0, 0], atol=0.05)


@pytest.mark.parametrize("broad", [False, True])
def test_hair_that_looks_like_skin_is_no_rim_where_it_is_broad(scene: Scene, broad: bool) -> None:
    """Beside the right cheek the person goes on, 5 or 40 pixels from the head's surface, in the skin's colour."""
    matte = scene.matte.copy()
    matte[60:, 100 : 160 + 35 * broad] = 1
    hairy = replace(scene, matte=matte, regions=scene.regions | {"skin": matte})
    depth = np.where(disc(55) > 0.5, 1.0, np.inf)
    below = np.full((SIDE, SIDE), np.inf, np.float32)
    beside = outline_rim(hairy, depth, below, np.array([[41.5, 100], [157, 100]]))
    assert beside[0] == pytest.approx(1, abs=0.05), "the left cheek's own rim"
    assert beside[1] < 0.05 if broad else beside[1] > 0.95


def test_thin_hair_beside_the_cheek_is_rim_and_hair_above_is_not(scene: Scene) -> None:
    ring = cv2.GaussianBlur(disc(60) - disc(55), (0, 0), 0.5)
    regions = scene.regions | {"skin": scene.matte - ring, "hair": ring}
    hairy = Scene(scene.photo, scene.photo, scene.matte, regions, scene.landmarks, scene.fit)
    depth = np.where(disc(57) > 0.5, 1.0, np.inf)
    below = np.full((SIDE, SIDE), np.inf, np.float32)
    at = np.array([[41.5, 105], [158.5, 105], [100, 41.5]])
    got = outline_rim(hairy, depth, below, at)
    assert got[:2].min() > 0.6 and got[2] < 0.1


def test_hair_above_is_rim_where_it_is_but_a_film_on_the_head_and_a_hat_is_none(scene: Scene) -> None:
    """A millimetre of it, before whose pixels, half the background's, the head's own surface goes on as hair."""
    ring = cv2.GaussianBlur(disc(60) - disc(50), (0, 0), 0.5)
    depth = np.where(disc(59) > 0.5, 1.0, np.inf)
    below = np.full((SIDE, SIDE), np.inf, np.float32)
    got = {}
    for name in ("hair", "neck_shoulders"):
        regions = scene.regions | {"skin": scene.matte - ring, name: ring}
        photo = np.where(ring[..., None] > 0.3, np.float32([0.1, 0.3, 0.2]), scene.photo)
        covered = Scene(photo, photo, scene.matte, regions, scene.landmarks, scene.fit)
        got[name] = outline_rim(covered, depth, below, np.array([[100, 40.5]]))[0]
    assert got["hair"] > 0.6 and got["neck_shoulders"] < 0.1


def test_bright_strands_within_hair_are_no_rim(scene: Scene) -> None:
    """Five pixels beside the cheek that look like skin, and hair beyond them out to the outline, or none."""
    depth = np.where(disc(50) > 0.5, 1.0, np.inf)
    below = np.full((SIDE, SIDE), np.inf, np.float32)
    beside = np.array([[48.0, 103]])
    for radius in (55, 60):
        regions = scene.regions | {"skin": disc(radius), "hair": disc(60) - disc(radius)}
        rim = outline_rim(replace(scene, regions=regions), depth, below, beside)
        assert rim[0] > 0.5 if radius == 60 else rim[0] < 0.05


@pytest.mark.parametrize("colour", [(0.08, 0.06, 0.05), (0.9, 0.95, 1.0)], ids=["hair", "light"])
def test_a_narrow_strip_beside_the_jaw_is_no_skin_and_a_beard_is(scene: Scene, colour: tuple[float, ...]) -> None:
    depth = np.where(disc(60) > 0.5, 1.0, np.inf).astype(np.float32)
    depth[95:105, 80:120] = np.inf  # an open mouth is no outline
    strips = {}
    for name, inner in (("narrow", 55), ("beard", 25)):
        photo = scene.photo.copy()
        photo[(disc(60) > 0.5) & (disc(inner) < 0.5)] = colour
        photo[93:107, 78:122] = colour
        strips[name] = other_than_skin(replace(scene, photo=photo), depth)
    x = 100 + round(57 * np.cos(np.arcsin(0.55)))  # down the face by 0.8, 3 pixels inside the outline
    assert strips["narrow"][131, x] > 0.9 and strips["narrow"][131, 199 - x] > 0.9
    assert strips["narrow"][131, 60:140].max() < 0.1 and strips["narrow"][:100].max() < 0.01, "cheeks, brow and mouth"
    assert strips["beard"][131, x] < 0.1
    assert other_than_skin(scene, np.ones((SIDE, SIDE), np.float32)).max() == 0, "no outline, no strip"


def test_a_strip_that_is_a_little_broader_at_one_place_is_one_all_the_same(scene: Scene) -> None:
    depth = np.where(disc(60) > 0.5, 1.0, np.inf).astype(np.float32)
    photo = scene.photo.copy()
    photo[(disc(60) > 0.5) & (disc(56) < 0.5)] = 0.1
    x = 100 + round(57 * np.cos(np.arcsin(0.55)))
    photo[126:136, x - 7 : x + 1] = 0.1  # a disc of the strip's greatest breadth just fits in
    strips = other_than_skin(replace(scene, photo=photo), depth)
    assert strips[131, x - 3] > 0.9


@pytest.mark.parametrize("times", [1, 3])
def test_a_strip_somewhat_unlike_skin_is_found_at_every_size(scene: Scene, times: int) -> None:
    def larger(values: np.ndarray) -> np.ndarray:
        return np.repeat(np.repeat(values, times, 0), times, 1)

    depth = np.where(disc(60) > 0.5, 1.0, np.inf).astype(np.float32)
    photo = scene.photo.copy()
    photo[(disc(60) > 0.5) & (disc(56) < 0.5)] = SKIN * 0.27  # in between: bare by 0.3
    grown = replace(
        scene, photo=larger(photo), background=larger(photo), matte=larger(scene.matte),
        regions={name: larger(mask) for name, mask in scene.regions.items()}, landmarks=times * scene.landmarks,
    )  # fmt: skip
    strips = other_than_skin(grown, larger(depth))
    x = 100 + round(57 * np.cos(np.arcsin(0.55)))
    assert strips[131 * times, x * times] > 0.9 and strips.dtype == np.float32


def test_the_rim_is_the_same_at_every_size(scene: Scene) -> None:
    """Four times the pixels, a quarter of a picture each."""
    ring = cv2.GaussianBlur(disc(60) - disc(55), (0, 0), 0.5)
    regions = scene.regions | {"skin": scene.matte - ring, "hair": ring}
    depth, below = np.where(disc(57) > 0.5, 1.0, np.inf), np.full((SIDE, SIDE), np.inf, np.float32)
    at = np.stack(np.meshgrid(np.arange(30, 171, 2.0), np.arange(30, 171, 2.0)), -1).reshape(-1, 2)
    small = outline_rim(replace(scene, regions=regions), depth, below, at)

    def larger(values: np.ndarray) -> np.ndarray:
        return np.repeat(np.repeat(values, 2, 0), 2, 1)

    twice = replace(
        scene, photo=larger(scene.photo), background=larger(scene.photo), matte=larger(scene.matte),
        regions={name: larger(mask) for name, mask in regions.items()}, landmarks=2 * scene.landmarks,
    )  # fmt: skip
    large = outline_rim(twice, larger(depth), larger(below), 2 * at)
    off = np.abs(large - small)
    assert small.max() > 0.9 and off.mean() < 0.02
    beside = at[:, 1] > 95  # of hair above, half a pixel decides here
    assert off[beside].mean() < 0.01 and np.quantile(off[beside], 0.98) < 0.15


def test_the_sides_are_ears_and_temples_and_not_the_face() -> None:
    model = load_head_model()
    sides, aside = sides_of(model), np.abs(model.base[:, 0])
    assert sides[aside > 0.06].min() == 1 and sides[aside < 0.045].max() == 0
    face = model.landmarks(model.base)[[33, 263, 61, 291, 1, 152]]
    assert (np.abs(face[:, 0]) < 0.05).all(), "eyes, mouth, nose and chin lie inside"
