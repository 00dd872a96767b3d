"""Enlarging: the photo's content and colour stay, its crispness too."""

import dataclasses

import cv2
import numpy as np
import pytest
from PIL import Image

from elocute.errors import EnvironmentProblem
from elocute.models.store import model_path
from elocute.portrait.enlarge import MODEST, _Span, blockiness, crispness, enlarge
from elocute.portrait.face import detect_faces, face_height
from elocute.portrait.framing import frame_portrait


def lanczos(rgb, size):
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS))


def small(rgb, x0, y0, side, to):
    return lanczos(rgb[y0 : y0 + side, x0 : x0 + side], (to, to))


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


def shrunk(portrait, factor):
    """The portrait as if taken from farther away."""
    height, width = portrait.matte.shape
    size = round(width * factor), round(height * factor)
    masks = {name: cv2.resize(mask, size, interpolation=cv2.INTER_AREA) for name, mask in portrait.regions.items()}
    return dataclasses.replace(
        portrait,
        rgb=lanczos(portrait.rgb, size),
        foreground=lanczos(portrait.foreground, size),
        matte=cv2.resize(portrait.matte, size, interpolation=cv2.INTER_AREA),
        regions=masks,
        face=dataclasses.replace(portrait.face, landmarks=portrait.face.landmarks * factor),
    )


@pytest.mark.parametrize("factor", [1.0, 1.1, 1.5, 2.76, 4.0, 5.3])
def test_sizes(rgb, factor):
    part = rgb[100:149, 150:187]
    result = enlarge(part, factor)
    assert result.shape == (round(49 * factor), round(37 * factor), 3) and result.dtype == np.uint8


def test_factor_one_is_the_photo(rgb):
    result = enlarge(rgb, 1.0)
    assert np.array_equal(result, rgb) and result is not rgb


def test_the_same_every_time(rgb):
    part = small(rgb, 100, 60, 300, 90)
    window = (20.0, 20.0, 70.0, 70.0)
    assert np.array_equal(enlarge(part, 3.0, window), enlarge(part, 3.0, window))


@pytest.mark.parametrize("side", [100, 180])
@pytest.mark.parametrize("window", [None, (0.2, 0.2, 0.8, 0.8)])
def test_made_small_again_it_is_the_photo(rgb, side, window):
    part = small(rgb, 90, 30, 340, side)
    result = enlarge(part, 300 / side, window and tuple(side * value for value in window))
    assert psnr(lanczos(result, (side, side)), part) > 34
    assert np.abs(result.mean(axis=(0, 1)) - part.mean(axis=(0, 1))).max() < 0.5


@pytest.mark.parametrize("level", [0, 17, 128, 200, 255])
@pytest.mark.parametrize("window", [None, (10, 10, 50, 50)])
def test_flat_stays_flat(level, window):
    colour = np.array([level, 128, 255 - level], np.uint8)
    result = enlarge(np.full((60, 60, 3), colour), 2.5, window).astype(int)
    assert np.abs(result - colour).max() <= 1


def test_it_is_nearer_to_the_larger_photo_than_interpolation_is(rgb):
    whole = rgb[40:360, 100:420]
    part = lanczos(whole, (107, 107))
    factor = 320 / 107
    assert psnr(enlarge(part, factor), whole) > psnr(lanczos(part, (320, 320)), whole) + 0.5


def test_no_halo_beside_an_edge():
    picture = np.full((64, 64, 3), 60, np.uint8)
    picture[:, 32:] = 190
    picture[:, 31] = 120  # a photo's edges are a little soft
    for window in (None, (16, 16, 48, 48)):
        result = enlarge(picture, 3.0, window)
        assert 52 <= result.min() and result.max() <= 198


@pytest.mark.parametrize("high", [97, 150])
def test_a_small_face_is_as_crisp_as_in_the_photo(portrait, high):
    distant = shrunk(portrait, high / face_height(portrait.face))
    framed = frame_portrait(distant, 512)

    def seen(rgb, landmarks):
        x0, y0 = landmarks[:, :2].min(axis=0).astype(int)
        x1, y1 = landmarks[:, :2].max(axis=0).astype(int)
        return crispness(rgb[y0:y1, x0:x1].astype(np.float32))

    (found,) = detect_faces(framed.rgb)
    ratio = seen(framed.rgb, found.landmarks) / seen(distant.rgb, distant.face.landmarks)
    assert 0.92 < ratio < 1.25


def test_blocks_of_a_jpeg_are_seen_and_not_exaggerated(rgb):
    part = small(rgb, 90, 30, 340, 170)
    coded = cv2.imdecode(cv2.imencode(".jpg", part, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], cv2.IMREAD_COLOR)
    assert blockiness(part) < 0.25 and blockiness(coded[3:, 5:]) > 0.6
    exact = enlarge(coded, 3.0).astype(int)
    matched = enlarge(coded, 3.0, (40, 40, 130, 130))
    plain = lanczos(coded, (510, 510))
    assert psnr(matched, plain) > psnr(exact, plain) - 0.1


def test_tiles_do_not_show(rgb, monkeypatch):
    network = _Span.load("cpu")
    part = rgb[:90, 100:180]
    whole = network(part)
    monkeypatch.setattr("elocute.portrait.enlarge.TILE", 64)
    tiled = network(part)
    assert np.abs(whole - tiled).max() < 0.01


def test_the_network_is_needed_only_where_it_is_used(rgb, tmp_path, monkeypatch):
    monkeypatch.setenv("ELOCUTE_MODELS", str(tmp_path))
    part = rgb[:40, :40]
    assert enlarge(part, MODEST).shape == (48, 48, 3)
    with pytest.raises(EnvironmentProblem) as caught:
        enlarge(part, 2.0)
    assert caught.value.code == "model_missing"


def test_another_files_weights_are_refused():
    data = model_path("enlarge").read_bytes()
    with pytest.raises(ValueError, match="half-precision"):
        _Span(data[:12] + b"\0" * 4 + data[16:], "cpu")
