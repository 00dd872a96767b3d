"""The output square and the background behind the person."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from elocute.limits import USUAL_FRAMING
from elocute.portrait.analyse import analyse
from elocute.portrait.face import detect_faces, face_height, roll_of
from elocute.portrait.framing import EYE_LEVEL, choose_square, frame_portrait
from elocute.values import REGION_NAMES, SURROUNDINGS_SIDE


def cropped(portrait, x0, y0, x1, y1):
    """The portrait as if the photo had been only this part."""
    part = np.s_[y0:y1, x0:x1]
    x, y = x0, y0
    landmarks = portrait.face.landmarks - [x, y, 0]
    box = tuple(value - start for value, start in zip(portrait.face.box, (x, y, x, y), strict=True))
    return replace(
        portrait,
        rgb=portrait.rgb[part],
        matte=portrait.matte[part],
        foreground=portrait.foreground[part],
        regions={name: mask[part] for name, mask in portrait.regions.items()},
        face=replace(portrait.face, landmarks=landmarks, box=box),
    )


@pytest.fixture(scope="module")
def framed(portrait):
    return frame_portrait(portrait, 256)


def test_shapes_types_and_sums(framed):
    for picture in (framed.rgb, framed.background):
        assert picture.shape == (256, 256, 3) and picture.dtype == np.uint8
    assert framed.matte.shape == (256, 256) and 0 <= framed.matte.min() and framed.matte.max() <= 1
    assert tuple(framed.regions) == REGION_NAMES
    assert np.allclose(sum(framed.regions.values()), 1, atol=1e-5)


def test_the_face_sits_where_it_should(framed, portrait):
    eyes = framed.face.landmarks[[33, 133, 362, 263], 1].mean() / 256
    assert eyes == pytest.approx(EYE_LEVEL, abs=0.02)
    assert 256 / face_height(framed.face) == pytest.approx(USUAL_FRAMING, rel=0.02)
    assert roll_of(framed.face.landmarks) == pytest.approx(roll_of(portrait.face.landmarks), abs=1e-6)


@pytest.mark.parametrize("framing", [1.6, 1.7, 2.1])
def test_a_looser_frame_shows_more_of_the_photo(portrait, framing):
    framed = frame_portrait(portrait, 256, framing=framing)
    assert 256 / face_height(framed.face) == pytest.approx(framing, rel=0.03)
    assert not framed.notes
    eyes = framed.face.landmarks[[33, 133, 362, 263], 1].mean() / 256
    assert 0.35 < eyes < EYE_LEVEL + 0.02


def test_a_frame_is_no_looser_than_the_photo(portrait):
    framed = frame_portrait(portrait, 256, framing=4.0)
    shown = 256 / face_height(framed.face)
    assert 2 < shown < 3.5
    assert framed.notes == (f"the photo has room for a framing of {shown:.1f} and not of 4",)
    assert choose_square(portrait, 3.5) == choose_square(portrait, 4.0)


def test_landmarks_move_with_the_picture(framed):
    (seen,) = detect_faces(framed.rgb)
    assert np.linalg.norm((seen.landmarks - framed.face.landmarks)[:, :2], axis=1).mean() < 1.0


def test_square_and_scale_lead_back_to_the_photo(framed, portrait):
    back = framed.face.landmarks[:, :2] / framed.scale + choose_square(portrait)[:2]
    assert np.allclose(back, portrait.face.landmarks[:, :2])


def test_the_background_is_the_photo_s_where_nobody_is(framed):
    empty = framed.matte < 0.001
    assert np.abs(framed.background.astype(float) - framed.rgb)[empty].mean() < 1


@pytest.mark.parametrize(
    "part", [(0, 0, 512, 330), (90, 60, 420, 430), (140, 100, 512, 600), (0, 110, 380, 600), (150, 120, 380, 350)]
)
def test_a_tight_photo_still_gives_a_full_square(portrait, part):
    tight = cropped(portrait, *part)
    left, top, length = choose_square(tight)
    assert top + length <= tight.matte.shape[0]  # the body reaches the lower edge
    framed = frame_portrait(tight, 192)
    assert framed.rgb.shape == (192, 192, 3)
    inside = framed.face.landmarks[[33, 263, 61, 291], :2]
    assert (inside > 0).all() and (inside < 192).all()
    assert framed.matte[-1].max() > 0.9
    assert np.allclose(sum(framed.regions.values()), 1, atol=1e-5)


def test_a_photo_that_cuts_the_forehead_is_not_continued_upwards(portrait):
    x, y = portrait.face.landmarks[:, 0], portrait.face.landmarks[:, 1]
    unit = face_height(portrait.face)
    tight = cropped(
        portrait, int(x.min() - 0.15 * unit), int(y.min() + 0.1 * unit), int(x.max() + 0.15 * unit), len(portrait.rgb)
    )
    left, top, length = choose_square(tight)
    height, width = tight.matte.shape
    assert left >= 0 and top >= 0 and left + length <= width and top + length <= height


def test_a_photo_lying_on_its_side_is_used_upright(tmp_path, portrait):
    from PIL import Image

    Image.fromarray(np.ascontiguousarray(np.rot90(portrait.rgb))).save(tmp_path / "lying.png")
    lying = analyse(tmp_path / "lying.png")
    assert np.array_equal(lying.rgb, portrait.rgb)
    assert any("side" in note for note in lying.notes)


@pytest.mark.parametrize("part", [(110, 150, 400, 380), (150, 160, 380, 365), (0, 140, 330, 600), (60, 150, 512, 350)])
def test_a_photo_that_cuts_the_head_is_not_continued_beyond_the_cut(portrait, part):
    tight = cropped(portrait, *part)
    height, width = tight.matte.shape
    left, top, length = choose_square(tight)
    assert left >= 0 and top >= 0 and left + length <= width and top + length <= height
    x, y = tight.face.landmarks[:, 0], tight.face.landmarks[:, 1]
    assert left <= max(x.min(), 0) and min(x.max(), width) <= left + length  # from ear to ear
    assert top <= max(y.min(), 0) and y.max() < top + length  # from the cut to the chin


def test_a_tight_crop_is_nearly_the_whole_photo(portrait):
    left, top, length = choose_square(cropped(portrait, 150, 140, 380, 360))
    assert top == 0 and length == 220 and 0 <= left <= 10


def test_a_photo_narrower_than_the_head_is_continued_no_farther_than_needed(portrait):
    narrow = cropped(portrait, 185, 150, 340, 380)
    left, top, length = choose_square(narrow)
    chin = narrow.face.landmarks[:, 1].max()
    assert top == 0 and chin < length < chin + 0.05 * face_height(narrow.face)
    assert left < 0 and left + length > 155


def test_what_is_continued_beyond_a_cut_loses_its_detail(portrait):
    """Pulled-out edge rows would be streaks."""
    tight = cropped(portrait, 185, 150, 340, 380)
    framed = frame_portrait(tight, 191)
    sharp = np.abs(np.diff(framed.rgb.astype(float), axis=0)).mean((0, 2))  # along each column
    edge = round(-choose_square(tight)[0] * framed.scale)
    assert edge > 10
    assert sharp[:4].mean() < 0.6 * sharp[edge + 2 : edge + 12].mean()


@pytest.mark.parametrize("side", [256, 1024])
def test_around_the_frame_is_the_rest_of_the_photo(portrait, side):
    framed = frame_portrait(portrait, side)
    around = framed.around
    assert around.side == min(side, SURROUNDINGS_SIDE, side / framed.scale)
    corner = np.array([around.left, around.top])
    left, top = corner * side / around.side / framed.scale  # in photo pixels: the frame within what is kept
    x, y, _ = choose_square(portrait)
    assert x - left == pytest.approx(max(x - side / framed.scale, 0), abs=1.5)
    assert y - top == pytest.approx(max(y - side / framed.scale, 0), abs=1.5)
    inner = cv2.getRectSubPix(around.rgba[..., 3], (100, 100), tuple(corner + around.side / 2))
    scale = side / around.side
    wide = cv2.resize(framed.matte, None, fx=1 / scale, fy=1 / scale, interpolation=cv2.INTER_AREA)
    same = cv2.getRectSubPix(wide, (100, 100), (wide.shape[1] / 2, wide.shape[0] / 2))
    assert np.abs(inner / 255 - same).mean() < 0.02


def test_where_the_frame_reaches_beyond_the_photo_its_edge_goes_on(portrait):
    tight = cropped(portrait, 180, 60, 420, 600)
    left, top, length = choose_square(tight)
    assert left < 0 < top and left + length <= 240 and top + length < 540, "beyond the left edge"
    around = frame_portrait(tight, 192).around
    height, width = around.rgba.shape[:2]
    assert around.left == 0 and width == pytest.approx(around.side, abs=1)
    assert height == pytest.approx(540 / length * around.side, abs=1)
    beyond = int(-left * around.side / length)
    assert beyond > 10 and np.ptp(around.rgba[:, : beyond - 1].astype(int), axis=1).max() <= 2  # the edge, drawn out


def test_a_photo_no_larger_than_the_frame_has_nothing_around(portrait):
    left, top, length = choose_square(portrait)
    tight = cropped(portrait, left, top, left + length, top + length)
    assert frame_portrait(tight, 192, whole=True).around is None
