"""The cut-out, its colour, and the regions inside it."""

from dataclasses import replace

import numpy as np
import pytest

from elocute.landmarks import OUTER_LIPS, OVAL
from elocute.portrait.analyse import analyse
from elocute.portrait.face import face_height
from elocute.portrait.fill import push_pull
from elocute.portrait.matting import _clean, _decided, foreground_colour, matte
from elocute.portrait.regions import along_face, find_regions, polygon_mask
from elocute.values import REGION_NAMES


def test_person_and_background_are_told_apart(portrait):
    matte = portrait.matte
    height, width = matte.shape
    assert matte.dtype == np.float32 and 0 <= matte.min() and matte.max() <= 1
    oval = polygon_mask(portrait.face.landmarks[list(OVAL), :2], height, width) > 0.99
    assert np.quantile(matte[oval], 0.01) > 0.9
    assert matte[:15].max() < 0.05  # flag and sky above the hat
    assert matte[: height // 3, -60:].max() < 0.05
    assert matte[60:140, 200:330].mean() > 0.97  # the hat is worn, so it is person
    assert matte[-1, 30:-30].min() > 0.9  # the body reaches the lower edge
    soft = (matte > 0.05) & (matte < 0.95)
    assert 0.001 < soft.mean() < 0.05  # hair is soft, the rest is not


def test_a_person_whom_the_edge_cuts_is_solid_up_to_it(portrait):
    alpha, _ = matte(np.ascontiguousarray(portrait.rgb[:, 130:400]), None)
    for edge, inner in ((alpha[:, 0], alpha[:, 4]), (alpha[:, -1], alpha[:, -5])):
        cut = inner > 0.97
        assert cut.sum() > 40 and np.quantile(edge[cut], 0.1) > 0.93


def test_a_pictures_own_alpha_wins(tmp_path, portrait):
    from PIL import Image

    alpha = np.zeros(portrait.matte.shape, np.uint8)
    alpha[40:, 60:460] = 255
    alpha[40:, 100] = 128
    hidden = portrait.rgb.copy()
    hidden[alpha == 0] = (255, 0, 255)  # whatever a paint program leaves under full transparency
    Image.fromarray(np.dstack([hidden, alpha])).save(tmp_path / "cut.png")
    cut = analyse(tmp_path / "cut.png")
    assert np.allclose(cut.matte, alpha / 255, atol=1e-6)
    assert np.linalg.norm((cut.face.landmarks - portrait.face.landmarks)[:, :2], axis=1).mean() < 2


def test_what_does_not_hang_together_with_the_face_goes(portrait):
    alpha = portrait.matte.copy()
    alpha[5:20, 5:20] = 1  # an island in the background
    alpha[460:464, 300:304] = 0  # a pinhole in the body
    alpha[520:580, 200:260] = 0  # a real gap
    clean = _clean(alpha, portrait.face)
    assert clean[:25, :25].max() == 0
    assert clean[460:464, 300:304].min() == 1
    assert clean[530:570, 210:250].max() == 0


def test_what_is_half_seen_and_of_another_colour_than_the_background_is_solid():
    person, wall = np.array([60, 40, 30]), np.array([190, 200, 210])
    alpha = np.zeros((200, 200), np.float32)
    alpha[60:, 60:140] = 1
    alpha[60:, 54:60] = alpha[60:, 140:146] = 0.5  # soft edges
    rgb = (wall + alpha[..., None] * (person - wall)).astype(np.uint8)
    brim, haze = (slice(80, 110), slice(150, 180)), (slice(120, 150), slice(150, 180))
    rgb[brim] = person + 10
    alpha[brim] = alpha[haze] = 0.5
    decided = _decided(rgb, alpha, size=100)
    assert decided[85:105, 155:175].min() > 0.99
    decided[75:115, 146:185] = alpha[75:115, 146:185]
    assert np.allclose(decided, alpha, atol=0.01)  # haze over the wall and soft edges stay


def test_where_no_background_is_sure_nothing_is_decided():
    rgb, alpha = np.full((200, 200, 3), 150, np.uint8), np.full((200, 200), 0.3, np.float32)
    alpha[50:150, 50:150] = 1
    alpha[:, :2] = 0  # a strip too slim to tell a colour
    assert np.array_equal(_decided(rgb, alpha, size=100), alpha)


def test_foreground_colour_is_free_of_the_old_background():
    """A red disc with a wide soft edge on blue: the colour under the edge is red again."""
    y, x = np.mgrid[0:200, 0:200]
    alpha = np.clip((80 - np.hypot(x - 100, y - 100)) / 20 + 0.5, 0, 1).astype(np.float32)
    red, blue = np.array([200, 40, 30]), np.array([20, 60, 210])
    mixed = np.round(alpha[..., None] * red + (1 - alpha[..., None]) * blue).astype(np.uint8)
    colour = foreground_colour(mixed, alpha).astype(int)
    assert np.abs(colour - red)[alpha > 0.15].mean() < 6
    assert np.abs(colour - red).mean() < 25  # also carried outward, where there is no person
    assert np.array_equal(colour[alpha == 1], mixed[alpha == 1])


def test_solid_pixels_keep_the_photos_colour(portrait):
    solid = portrait.matte >= 1
    assert np.array_equal(portrait.foreground[solid], portrait.rgb[solid])


def test_push_pull_keeps_what_is_known_and_fills_the_rest():
    rng = np.random.default_rng(0)
    values = rng.uniform(0, 1, (37, 53, 3)).astype(np.float32)
    weight = (rng.uniform(0, 1, (37, 53)) > 0.7).astype(np.float32)
    filled = push_pull(values, weight)
    assert np.allclose(filled[weight == 1], values[weight == 1], atol=1e-6)
    assert np.isfinite(filled).all() and 0 <= filled.min() and filled.max() <= 1
    constant = push_pull(np.full((37, 53, 3), 0.25, np.float32), weight)
    assert np.allclose(constant, 0.25, atol=1e-5)
    assert np.isfinite(push_pull(values, np.zeros_like(weight))).all()


def test_regions_add_up_and_lie_where_they_belong(portrait, yy_xx):
    regions = portrait.regions
    assert tuple(regions) == REGION_NAMES
    total = sum(regions.values())
    assert np.allclose(total, 1, atol=1e-5)
    assert all(mask.min() >= 0 and mask.max() <= 1 for mask in regions.values())
    assert np.allclose(regions["background"], 1 - portrait.matte, atol=1e-5)

    def middle(name):
        mask = regions[name]
        return np.array([(mask * axis).sum() / mask.sum() for axis in yy_xx[::-1]])

    points = portrait.face.landmarks[:, :2]
    assert np.linalg.norm(middle("lips") - (points[13] + points[14]) / 2) < 4
    assert np.linalg.norm(middle("eyes") - (points[33] + points[263]) / 2) < 6
    assert middle("hair")[1] < points[10, 1] < points[152, 1] < middle("neck_shoulders")[1]
    assert regions["skin"][round(points[4, 1]), round(points[4, 0])] > 0.95  # nose
    assert regions["hair"][110, 260] > 0.95  # the hat
    assert regions["neck_shoulders"][550, 150] > 0.95  # the coat
    assert regions["mouth_interior"].sum() < 0.3 * regions["lips"].sum()  # the mouth is closed


def test_regions_do_not_need_hair_or_clothes(portrait):
    """A head cut out tightly: nothing above the face, nothing below the chin."""
    x0, y0, x1, y1 = (round(edge) for edge in portrait.face.box)
    points = portrait.face.landmarks[:, :2]
    oval = polygon_mask(points[list(OVAL)], *portrait.matte.shape)
    regions = find_regions(portrait.rgb, oval, portrait.face)
    assert np.allclose(sum(regions.values()), 1, atol=1e-5)
    assert regions["skin"].sum() > 0.8 * oval.sum()


def test_a_high_forehead_that_shines_is_no_hair(portrait):
    """Above the landmarks, paler and greyer little by little, up to where black hair begins."""
    points, (height, width) = portrait.face.landmarks[:, :2], portrait.matte.shape
    rgb, down = portrait.rgb.copy(), along_face(points, height, width)
    skin = np.median(rgb[polygon_mask(points[list(OVAL)], height, width) > 0.9], axis=0)
    person = portrait.matte > 0.5
    shine = np.clip((0.25 - down) / 0.45, 0, 1)[..., None]
    painted = skin + shine * (np.array([235, 235, 240]) - skin)
    painted[down < -0.2] = 18
    above = person & (down < 0.25)
    rgb[above] = (painted + np.random.default_rng(3).normal(0, 3, painted.shape))[above].clip(0, 255)
    regions = find_regions(rgb, portrait.matte, portrait.face)
    middle = person & (np.abs(np.arange(width) - points[10, 0]) < 0.25 * np.ptp(points[:, 0]))
    assert regions["skin"][middle & (down > -0.12) & (down < 0)].mean() > 0.8
    assert regions["hair"][middle & (down < -0.24)].mean() > 0.9


def test_a_beard_as_dark_as_the_hair_leaves_the_hair_hair(portrait):
    """In black and white, where light alone tells them apart; and dark spots within a forehead are none of it."""
    points, (height, width) = portrait.face.landmarks[:, :2], portrait.matte.shape
    down, oval = along_face(points, height, width), polygon_mask(points[list(OVAL)], height, width) > 0.5
    mouth = polygon_mask(points[list(OUTER_LIPS)], height, width) > 0.5
    grey = 90 + 0.6 * portrait.rgb.mean(-1)
    hair = (portrait.matte > 0.5) & ~oval & (down < 0.6)
    dark = hair | oval & (down > 0.72) & ~mouth
    spot = np.hypot(*(np.indices(oval.shape)[::-1] - points[151][:, None, None])) < 0.02 * height
    noise = np.random.default_rng(5).normal(0, 1, oval.shape)
    grey = np.where(dark | spot, 45 + 16 * noise, grey + 3 * noise).clip(0, 255)
    regions = find_regions(np.repeat(grey[..., None], 3, 2).astype(np.uint8), portrait.matte, portrait.face)
    beside = hair & (down > 0.1) & (down < 0.5) & (portrait.matte > 0.95)
    assert regions["hair"][beside].mean() > 0.8
    assert regions["skin"][spot].mean() > 0.9 and regions["skin"][oval & (down > 0.8) & ~mouth].mean() > 0.9


@pytest.mark.parametrize("shift", [0.0, 0.25, 0.5])
def test_polygon_masks_have_subpixel_area(shift):
    square = np.array([[10, 10], [30, 10], [30, 25], [10, 25]]) + shift
    assert polygon_mask(square, 50, 50).sum() == pytest.approx(300, rel=0.04)


@pytest.mark.parametrize("above", [0.15, 0.25])
def test_a_photo_that_cuts_the_hair_keeps_what_it_shows(portrait, above):
    """`above` the forehead, in face heights; the hat counts as hair."""
    face = portrait.face
    top = round(face.landmarks[10, 1] - above * face_height(face))
    cut = replace(face, landmarks=face.landmarks - np.array([0, top, 0], np.float32))
    whole = find_regions(portrait.rgb, portrait.matte, face)["hair"][top:] > 0.5
    regions = find_regions(portrait.rgb[top:].copy(), portrait.matte[top:].copy(), cut)
    assert (regions["skin"][whole] > 0.5).mean() < 0.12
