"""The background completed behind the person."""

import cv2
import numpy as np
import pytest

from elocute.portrait.background import complete_background

SIDE = 200
Y, X = np.mgrid[0:SIDE, 0:SIDE]


def disc(radius, x=100, y=110):
    return np.hypot(X - x, Y - y) < radius


def grey(values):
    return np.repeat(np.clip(values, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def without(photo, person, colour=(250, 0, 0)):
    """The photo with a person of one colour in it, completed."""
    seen = np.where(person[..., None], np.uint8(colour), photo)
    return complete_background(seen, person.astype(np.float32)).astype(int)


def test_background_is_exact_outside_and_different_inside(portrait):
    background = complete_background(portrait.rgb, portrait.matte)
    unsure = cv2.dilate((portrait.matte > 0.02).astype(np.uint8), np.ones((25, 25), np.uint8)) > 0
    changed = (background != portrait.rgb).any(axis=2)
    assert changed[portrait.matte > 0.5].mean() > 0.95
    assert (changed & ~unsure).mean() < 0.004  # what might be stray hair
    far = cv2.dilate(unsure.astype(np.uint8), np.ones((101, 101), np.uint8)) == 0
    assert far.any() and not changed[far].any()
    assert np.array_equal(background, complete_background(portrait.rgb, portrait.matte))  # the same every time
    # Beside the head on the right is plain sky: so it is behind the head's right half.
    sky = portrait.rgb[150:250, 420:500].reshape(-1, 3).mean(axis=0)
    assert np.abs(background[150:250, 345:370].reshape(-1, 3).mean(axis=0) - sky).max() < 30


def test_stripes_go_on_in_step():
    photo = grey(np.where((X // 8) % 2, 60, 200))
    person = disc(50)
    error = np.abs(without(photo, person) - photo)
    assert error[person & ~disc(40)].mean() < 25
    assert error[~disc(60)].max() == 0


def test_what_is_behind_is_what_is_beside():
    """A grey wall, and near the head, but not at it, a red curtain: none of it gets behind the head."""
    rng = np.random.default_rng(0)
    photo = grey(rng.normal(120, 12, (SIDE, SIDE)))
    photo[:, 170:] = (200, 30, 30)
    filled = without(photo, disc(50), (20, 200, 20))
    behind = filled[disc(50)]
    assert np.abs(behind.mean(axis=0) - 120).max() < 6
    assert ((behind[:, 0] - behind[:, 1]) > 60).mean() < 0.01


def test_the_deep_inside_is_as_grainy_as_the_rest():
    rng = np.random.default_rng(0)
    photo = grey(100 + X / 4 + rng.normal(0, 10, (SIDE, SIDE)))
    filled = without(photo, disc(60))[..., 0].astype(np.float32)
    grain = filled - cv2.GaussianBlur(filled, (0, 0), 2)
    assert 0.5 < grain[disc(20)].std() / grain[~disc(75)].std() < 1.3


def test_stray_hair_that_the_matte_missed_does_not_stay():
    rng = np.random.default_rng(0)
    photo = grey(100 + X / 4 + rng.normal(0, 3, (SIDE, SIDE)))
    strand = (np.abs(Y - 95) < 1) & (X > 140) & (X < 160)
    seen = np.where(strand[..., None], np.uint8([250, 240, 220]), photo)
    person = disc(45)
    filled = without(seen, person, (250, 240, 220))
    assert np.abs(filled - photo)[strand].max() < 40


def test_lines_of_the_background_are_no_stray_hair():
    """A wire as thin as a hair, but not of the person's colour, and a fence as sharp as any."""
    rng = np.random.default_rng(0)
    photo = grey(160 + rng.normal(0, 3, (SIDE, SIDE)))
    photo[Y == 95] = 40
    away = ~disc(56)
    assert np.array_equal(without(photo, disc(45), (250, 240, 220))[away], photo[away])
    fence = grey(np.where(X % 9 < 2, 240, 60))
    assert np.array_equal(without(fence, disc(45), (250, 240, 220))[away], fence[away])


def test_a_gap_in_the_matte_is_no_background():
    photo = grey(np.full((SIDE, SIDE), 90))
    person = disc(45)
    gap = disc(6)
    seen = np.where(person[..., None], np.uint8([250, 0, 0]), photo)
    filled = complete_background(seen, (person & ~gap).astype(np.float32))
    assert np.abs(filled[gap].astype(int) - 90).max() < 20


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("shape", [(90, 70), (20, 300), (3, 3)])
def test_without_or_with_nothing_but_a_person(value, shape):
    photo = np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8)
    background = complete_background(photo, np.full(shape, value, np.float32))
    assert background.shape == photo.shape and background.dtype == np.uint8
    assert value or np.array_equal(background, photo)


@pytest.mark.parametrize("shape", [(40, 300), (64, 48), (33, 33)])
def test_any_shape_is_filled(shape):
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 255, (*shape, 3), np.uint8)
    matte = np.zeros(shape, np.float32)
    matte[shape[0] // 3 :, shape[1] // 4 : -shape[1] // 4] = 1
    background = complete_background(photo, matte)
    assert background.shape == photo.shape
    assert (background[matte == 1] != photo[matte == 1]).any()
    assert np.array_equal(background[:, 0], photo[:, 0])
