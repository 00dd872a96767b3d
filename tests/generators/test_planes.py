"""The photo taken apart: what shows stays as it is, what hides is continued, and mixed colours come apart."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from elocute.generators.planes import (
    IRISES,
    LASH,
    Layers,
    complete_eyes,
    fill_openings,
    find_teeth,
    lid_skin,
    split_layers,
    unmix,
    visible_teeth,
)
from elocute.landmarks import INNER_LIPS, OUTER_LIPS
from elocute.portrait.regions import polygon_mask
from elocute.rendering.shells import CAVITY, EYES, PLANES, RELIEF, SKIN, TEETH

SIDE = 256
LIP, TOOTH, TONGUE, DARK = (
    np.array(colour, np.float32)
    for colour in ([0.7, 0.4, 0.4], [0.85, 0.82, 0.76], [0.6, 0.3, 0.3], [0.1, 0.04, 0.04])
)

LIT = np.array([0.8, 0.62, 0.53], np.float32)  # lit skin


def smooth_noise(seed: int, side: int = SIDE) -> np.ndarray:
    coarse = np.random.default_rng(seed).random((6, 6, 3)).astype(np.float32)
    return np.clip(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC), 0, 1)


def mouth(gap: float) -> np.ndarray:
    """Landmarks [478, 2] of a mouth 100 px wide whose lips are `gap` px apart; the eyes are out of the way."""
    xy = np.full((478, 2), 10.0)
    for ring, thick in ((INNER_LIPS, 0.0), (OUTER_LIPS, 14.0)):
        # both rings start at the right corner and run along the lower lip to the left corner, then back along the upper
        for k, index in enumerate(ring):
            angle = np.pi - 2 * np.pi * k / len(ring)
            across, down = 50 + thick / 2, gap / 2 + thick
            xy[index] = 128 + across * np.cos(angle), 128 + down * np.sin(angle)
    return xy


def painted(xy: np.ndarray, inside: np.ndarray, band: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Own colour and mouth mask: lips on skin, `inside` in the opening, a `band` of another colour in its top."""
    own = np.full((SIDE, SIDE, 3), LIT, np.float32)
    lips = polygon_mask(xy[list(OUTER_LIPS)], SIDE, SIDE)[..., None]
    opening = polygon_mask(xy[list(INNER_LIPS)], SIDE, SIDE)
    own = own * (1 - lips) + LIP * lips
    own += 0.02 * np.random.default_rng(0).normal(size=own.shape).astype(np.float32)
    fill = np.broadcast_to(inside, own.shape).copy()
    if band is not None:
        fill[:136] = band
    return (own * (1 - opening[..., None]) + fill * opening[..., None]).astype(np.float32), opening


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


def test_a_lid_is_not_as_grey_as_the_paint_around_the_eye() -> None:
    """Grey paint, and darker grey lashes in a part of it: the lid has its light, and half of the face's hue."""
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
    assert (lid.mean(1) > 0.9 * paint.mean()).all() and lid.max() <= 1


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


def test_an_eyeball_is_as_dark_under_the_lid_as_at_its_rim() -> None:
    xy, masks = round_eyes(128, 16)
    light = np.clip((np.arange(SIDE) - 108) / 20, 0.3, 1)[:, None, None]  # the upper lid's shadow
    own = np.broadcast_to(0.9 * light, (SIDE, SIDE, 3)).astype(np.float32)
    plane = complete_eyes(own, xy, masks)
    assert np.abs(plane - own)[np.maximum(*masks) > 0.99].max() < 0.05, "what the photo shows stays"
    assert plane[104:110, 60].mean() < 0.5 and plane[146:152, 60].mean() > 0.7


def test_closed_eyes_are_left_alone() -> None:
    own = smooth_noise(3)
    nothing = [np.zeros((SIDE, SIDE), np.float32)] * 2
    xy = np.random.default_rng(0).uniform(100, 150, (478, 2))
    np.testing.assert_array_equal(complete_eyes(own, xy, nothing), own)


def test_teeth_are_seen_in_a_bright_band() -> None:
    xy = mouth(40)
    own, opening = painted(xy, DARK, TOOTH)
    seen = visible_teeth(own, opening, xy)
    assert seen is not None and not seen[1].any(), "upper ones"
    teeth = seen[0]
    rows, columns = np.nonzero(teeth)
    assert rows.max() <= 136 and rows.min() > 105 and np.ptp(columns) > 60
    colour, crowns = find_teeth(own, opening, xy, LIT)
    assert (crowns[cv2.erode(teeth.astype(np.uint8), np.ones((7, 7))) > 0] > 0.9).all()
    assert crowns[(opening > 0.9) & (np.arange(SIDE) > 142)[:, None]].max() < 0.1, "the dark is no tooth"
    np.testing.assert_allclose(colour, TOOTH, atol=0.03)


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


@pytest.mark.parametrize(("lower_from", "upper"), [(140, True), (138, False)], ids=["both rows", "the lower alone"])
def test_rows_apart_are_told_apart(lower_from: int, upper: bool) -> None:
    xy = mouth(56)
    own, opening = painted(xy, DARK)
    inside, row = opening > 0.9, np.arange(SIDE)[:, None]
    upper_row, lower_row = inside & (row < 118) & upper, inside & (row > lower_from)
    own[upper_row | lower_row] = TOOTH
    seen = visible_teeth(own, opening, xy)
    assert seen is not None
    np.testing.assert_array_equal(seen[0], upper_row)
    np.testing.assert_array_equal(seen[1], lower_row)
    colour, crowns = find_teeth(own, opening, xy, LIT)
    np.testing.assert_allclose(colour, TOOTH, atol=0.03)
    assert crowns[lower_row & (row > lower_from + 5)].max() < 0.1, "no texture of the upper row"
    assert bool(crowns.any()) == upper


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


def test_gums_above_teeth_belong_to_them() -> None:
    xy = mouth(40)
    own, opening = painted(xy, DARK, TOOTH)
    inside = opening > 0.9
    own[inside & (np.arange(SIDE) < 118)[:, None]] = TONGUE
    own[inside & (np.arange(SIDE) > 142)[:, None]] = TONGUE
    _, crowns = find_teeth(own, opening, xy, LIT)
    gums, tongue = inside & (np.arange(SIDE) < 115)[:, None], inside & (np.arange(SIDE) > 146)[:, None]
    middle = np.abs(np.arange(SIDE) - 128) < 20
    gums = cv2.erode(gums.astype(np.uint8), np.ones((3, 3))) > 0
    assert (crowns[gums & middle] > 0.8).all() and crowns[tongue].max() < 0.1


@pytest.mark.parametrize(
    ("gap", "inside", "band"), [(2, TOOTH, None), (40, DARK, None), (40, TONGUE, None), (40, LIP, None)],
    ids=["closed lips", "dark mouth", "tongue", "lips only"],
)  # fmt: skip
def test_no_teeth_where_there_are_none(gap: float, inside: np.ndarray, band: np.ndarray | None) -> None:
    xy = mouth(gap)
    own, opening = painted(xy, inside, band)
    assert visible_teeth(own, opening, xy) is None
    colour, crowns = find_teeth(own, opening, xy, LIT)
    assert crowns.max() == 0
    assert colour.min() > 0.3 and np.ptp(colour) < 0.2, "assumed teeth are pale"


def test_the_example_has_its_lips_together(layers: Layers) -> None:
    assert not layers.shows_teeth


def test_skin_fills_the_openings_and_keeps_the_rest() -> None:
    xy = mouth(40)
    own, opening = painted(xy, DARK)
    none = [np.zeros((SIDE, SIDE), np.float32)] * 2
    filled = fill_openings(own, own, none, opening, 4.0)
    np.testing.assert_array_equal(filled[opening == 0], own[opening == 0])
    assert np.abs(filled[opening > 0.9] - LIP).max() < 0.25, "the mouth's darkness is not skin"
