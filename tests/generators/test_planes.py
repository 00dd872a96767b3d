"""The photo taken apart: what shows stays as it is, what hides is continued, and mixed colours come apart."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from mouths import DARK, LIP, SIDE, TOOTH, mouth, painted

from elocute.generators.planes import (
    IRISES,
    LASH,
    Layers,
    complete_eyes,
    fill_openings,
    lid_skin,
    split_layers,
    unmix,
)
from elocute.landmarks import INNER_LIPS
from elocute.portrait.regions import polygon_mask
from elocute.rendering.shells import CAVITY, EYES, PLANES, RELIEF, SKIN, TEETH


def smooth_noise(seed: int, side: int = SIDE) -> np.ndarray:
    coarse = np.random.default_rng(seed).random((6, 6, 3)).astype(np.float32)
    return np.clip(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC), 0, 1)


def test_unmix_takes_composites_apart() -> None:
    own, behind = 0.2 + 0.6 * smooth_noise(1), smooth_noise(2)
    ramp = np.clip((np.arange(SIDE) - 60) / 100, 0, 1)
    matte = np.broadcast_to(ramp, (SIDE, SIDE)).astype(np.float32)
    photo = matte[..., None] * own + (1 - matte[..., None]) * behind
    found = unmix(photo, matte, behind)
    error = np.abs(found - own).max(2)
    assert error[matte > 0.95].max() < 1e-4
    assert error[matte > 0.3].mean() < 0.06 and error.max() < 0.4  # continued from the strong side
    assert found.min() >= 0 and found.max() <= 1
    assert np.isfinite(found).all()
    again = matte[..., None] * found + (1 - matte[..., None]) * behind
    assert np.abs(again - photo)[matte > 0.9].max() < 1e-4


def test_unmix_does_not_let_the_background_shine_through() -> None:
    """Dark hair before a bright window: no bright rim in the person's own colour."""
    matte = cv2.GaussianBlur((np.hypot(*(np.mgrid[:SIDE, :SIDE] - 128)) < 80).astype(np.float32), (0, 0), 4)
    own, behind = np.full((SIDE, SIDE, 3), 0.15, np.float32), np.full((SIDE, SIDE, 3), 0.95, np.float32)
    found = unmix(matte[..., None] * own + (1 - matte[..., None]) * behind, matte, behind)
    assert np.abs(found - own).max() < 0.02


def test_planes_are_pictures(example: Any, layers: Layers) -> None:
    assert layers.planes.shape[0] == PLANES and layers.planes.dtype == np.float32
    assert np.isfinite(layers.planes).all()
    assert layers.planes.min() >= -1e-6 and layers.planes.max() <= 1 + 1e-6
    assert (layers.planes[EYES, ..., 3] == 1).all()
    side = example.scene.side
    opening = polygon_mask(example.scene.landmarks[list(INNER_LIPS), :2], side, side)
    for layer in (TEETH, CAVITY):
        shown = layers.planes[layer, ..., 3]
        assert (shown[opening > 0.5] > 0.45).all() and shown.max() <= 0.5, "the example shows no teeth"
        assert (shown > 0).sum() < 4 * (opening > 0).sum()


def test_skin_is_the_photo_where_the_photo_shows_skin(example: Any, layers: Layers) -> None:
    scene = example.scene
    xy = scene.landmarks[:, :2]
    openings = [polygon_mask(xy[list(ring)], scene.side, scene.side) for _, _, ring in IRISES]
    openings.append(polygon_mask(xy[list(INNER_LIPS)], scene.side, scene.side))
    reach = 2 * round(LASH * float(np.linalg.norm(xy[33] - xy[263]))) + 3
    near = cv2.dilate(np.maximum.reduce(openings), np.ones((reach, reach)))
    bare = (scene.regions["skin"] > 0.95) & (scene.matte > 0.999) & (near == 0)
    assert bare.mean() > 0.08
    assert np.abs(layers.planes[SKIN, ..., :3] - scene.photo)[bare].max() < 2e-3
    assert (layers.planes[SKIN, ..., 3][bare] > 0.998).all()


def test_the_matte_is_the_outline(example: Any, layers: Layers) -> None:
    np.testing.assert_array_equal(layers.planes[RELIEF, ..., 3], example.scene.matte)
    assert (layers.planes[SKIN, ..., 3] >= example.scene.matte).all()


def test_no_eye_and_no_mouth_in_the_skin(example: Any, layers: Layers) -> None:
    """Under opened lids there is skin: nothing as dark as a pupil, nothing as white as an eye."""
    scene = example.scene
    xy = scene.landmarks[:, :2]
    face = np.median(scene.photo[scene.regions["skin"] > 0.9], axis=0).mean()
    for _, _, ring in IRISES:
        deep = cv2.erode(polygon_mask(xy[list(ring)], scene.side, scene.side), np.ones((5, 5))) > 0.9
        assert deep.sum() > 20
        level = layers.planes[SKIN, ..., :3].mean(2)[deep]
        photo = scene.photo.mean(2)[deep]
        assert level.min() > 0.35 * face and level.max() < 1.1 * face
        assert np.ptp(level) < 0.6 * np.ptp(photo)


def test_visible_iris_pixels_stay(example: Any, layers: Layers) -> None:
    scene = example.scene
    xy = scene.landmarks[:, :2]
    for centre, ring, opening in IRISES:
        radius = np.linalg.norm(xy[list(ring)] - xy[centre], axis=1).mean()
        y, x = np.mgrid[: scene.side, : scene.side] + 0.5
        inner = cv2.erode(polygon_mask(xy[list(opening)], scene.side, scene.side), np.ones((7, 7))) > 0.9
        iris = inner & (np.hypot(x - xy[centre, 0], y - xy[centre, 1]) < radius)
        assert iris.sum() > 15
        assert np.abs(layers.planes[EYES, ..., :3] - scene.photo)[iris].max() < 0.03


def round_eyes(level: float, height: float) -> tuple[np.ndarray, list[np.ndarray]]:
    """Landmarks [478, 2] of two irises of radius 14 at (80, 128) and (180, 128), and masks of the openings around
    them: ellipses 68 wide, their middle at `level`, `height` up and down."""
    xy, masks = np.full((478, 2), 30.0), []
    for (centre, ring, opening), at in zip(IRISES, (80.0, 180.0), strict=True):
        xy[centre] = at, 128
        for k, index in enumerate(ring):
            xy[index] = at + 14 * np.cos(k * np.pi / 2), 128 + 14 * np.sin(k * np.pi / 2)
        for k, index in enumerate(opening):
            angle = 2 * np.pi * k / len(opening)
            xy[index] = at + 34 * np.cos(angle), level + height * np.sin(angle)
        masks.append(polygon_mask(xy[list(opening)], SIDE, SIDE))
    return xy, masks


def test_a_lid_is_between_skin_and_the_paint_around_the_eye() -> None:
    """Grey paint, and darker grey lashes in a part of it: the lid has the paint's light, and a hue between."""
    skin, paint, lash = (np.array(c, np.float32) for c in ([0.8, 0.56, 0.44], [0.6, 0.6, 0.6], [0.1, 0.1, 0.1]))
    xy, masks = round_eyes(128, 12)
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    around = [np.hypot((x - at) / 50, (y - 128) / 28) for at in (80, 180)]
    own = np.where((np.minimum(*around) < 1)[..., None], paint, skin)
    own = np.where(((np.minimum(*around) < 1) & (y > 134))[..., None], lash, own).astype(np.float32)
    landmarks = np.concatenate([xy, np.zeros((478, 1))], 1)
    lid = lid_skin(own, np.ones((SIDE, SIDE), np.float32), masks, landmarks, 5)[128, [80, 180]]
    warmth = lid[:, 0] / lid[:, 2]
    assert (warmth > 1.2).all() and (warmth < 0.9 * skin[0] / skin[2]).all()
    assert (lid.mean(1) > 0.8 * paint.mean()).all() and lid.max() <= 1


def test_a_lid_hides_a_round_iris() -> None:
    """Half of a synthetic iris is under the lid: the plane completes it in its own colours, the white around it too."""
    iris, white, lid = (np.array(c, np.float32) for c in ([0.3, 0.4, 0.5], [0.85, 0.82, 0.8], [0.75, 0.55, 0.45]))
    xy, masks = round_eyes(130, 12)  # lids cover the upper and lower iris
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    round_iris = (np.minimum(np.hypot(x - 80, y - 128), np.hypot(x - 180, y - 128)) < 14)[..., None]
    shown = np.maximum(*masks)[..., None]
    own = (np.where(round_iris, iris, white) * shown + lid * (1 - shown)).astype(np.float32)
    plane = complete_eyes(own, xy, masks)
    for at in (80, 180):
        np.testing.assert_allclose(plane[128, at], iris, atol=0.02)
        np.testing.assert_allclose(plane[128 - 12, at], iris, atol=0.08)  # hidden by the lid
        np.testing.assert_allclose(plane[128 - 24, at], white, atol=0.08)
        np.testing.assert_allclose(plane[128, at + 24], white, atol=0.02)


def test_an_eyeball_is_dark_at_the_lid_s_rim_and_white_farther_under_it() -> None:
    """A glance brings out what lies there: as dark, it would be a grey wedge."""
    xy, masks = round_eyes(128, 16)
    light = np.clip((np.arange(SIDE) - 108) / 20, 0.3, 1)[:, None, None]  # the upper lid's shadow
    own = np.broadcast_to(0.9 * light, (SIDE, SIDE, 3)).astype(np.float32)
    plane = complete_eyes(own, xy, masks)
    assert np.abs(plane - own)[np.maximum(*masks) > 0.99].max() < 0.05, "what the photo shows stays"
    top = int(np.flatnonzero(np.maximum(*masks)[:, 60] > 0.5)[0])
    assert plane[top - 1, 60].mean() < 0.62 < 0.65 < plane[top - 8, 60].mean() < 0.9
    assert plane[146:152, 60].mean() > 0.7


def test_closed_eyes_are_left_alone() -> None:
    own = smooth_noise(3)
    nothing = [np.zeros((SIDE, SIDE), np.float32)] * 2
    xy = np.random.default_rng(0).uniform(100, 150, (478, 2))
    np.testing.assert_array_equal(complete_eyes(own, xy, nothing), own)


def test_lips_keep_nothing_of_the_teeth() -> None:
    """A light line along the lower lip and tops of teeth in the upper one go; lips, their dark line and skin stay."""
    xy = mouth(40)
    own, opening = painted(xy, DARK, TOOTH)
    column = np.arange(SIDE)
    lips = (opening < 0.01) & (np.abs(column - 128) < 30)
    line = lips & (np.roll(opening, 2, axis=0) > 0.5)
    tops = lips & (np.roll(opening, -2, axis=0) > 0.5) & (column % 10 < 5)
    own[line], own[tops] = TOOTH, 0.7 * TOOTH
    whole, behind = np.ones((SIDE, SIDE), np.float32), np.zeros_like(own)
    layers = split_layers(own, whole, behind, whole, np.pad(xy, ((0, 0), (0, 1))))
    skin = layers.planes[SKIN, ..., :3]
    assert layers.shows_teeth and layers.lip_rim[line].min() > 0.4
    for teeth in (line, tops):
        assert np.ptp(skin[teeth], axis=1).mean() > 2 * np.ptp(own[teeth], axis=1).mean(), "as red as lips"
    far = (layers.lip_rim < 0.01) & (opening == 0)
    np.testing.assert_allclose(skin[far], own[far], atol=0.01)


def test_what_a_mouth_shows_is_told_to_the_pixel() -> None:
    """Upper teeth for good, the dark below them as long as the mouth is the photo's, lips never."""
    xy = mouth(40)
    own, opening = painted(xy, DARK, TOOTH)
    whole, behind = np.ones((SIDE, SIDE), np.float32), np.zeros_like(own)
    planes = split_layers(own, whole, behind, whole, np.pad(xy, ((0, 0), (0, 1)))).planes
    row, middle = np.arange(SIDE)[:, None], np.abs(np.arange(SIDE) - 128) < 20
    inside = opening > 0.9
    teeth, dark = inside & (row < 132) & (row > 112) & middle, inside & (row > 140) & middle
    lips = (opening == 0) & (np.abs(row - 128) > 28) & middle
    np.testing.assert_allclose(planes[TEETH, ..., 3][teeth], 1, atol=0.05)
    np.testing.assert_allclose(planes[TEETH, ..., 3][dark], 0.5, atol=0.02)
    np.testing.assert_allclose(planes[CAVITY, ..., 3][inside & middle], 0.5, atol=0.02)
    assert planes[[TEETH, CAVITY]][:, lips, 3].max() == 0
    np.testing.assert_array_equal(planes[TEETH, ..., :3][inside], unmix(own, whole, behind)[inside])


def test_the_example_has_its_lips_together(layers: Layers) -> None:
    assert not layers.shows_teeth


def test_skin_fills_the_openings_and_keeps_the_rest() -> None:
    xy = mouth(40)
    own, opening = painted(xy, DARK)
    none = [np.zeros((SIDE, SIDE), np.float32)] * 2
    filled = fill_openings(own, own, none, opening, 4.0)
    np.testing.assert_array_equal(filled[opening == 0], own[opening == 0])
    assert np.abs(filled[opening > 0.9] - LIP).max() < 0.25, "the mouth's darkness is not skin"
