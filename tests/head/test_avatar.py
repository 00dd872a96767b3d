from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from elocute.head.avatar import BESIDE, LIFTED, PRESSED, AvatarHead
from elocute.head.fit import fit_head
from elocute.head.model import HeadModel
from elocute.landmarks import CHIN

Make = Callable[..., np.ndarray]

PHOTOS = {
    "closed": {},
    "toothy smile": {"jawOpen": 0.2, "mouthSmileBoth": 0.7, "mouthUpperUpBoth": 0.6, "mouthLowerDownBoth": 0.2},
    "speaking": {"jawOpen": 0.5, "mouthFunnel": 0.2},
    "squinting": {"eyeSquintBoth": 0.6, "mouthStretchBoth": 0.3},
}


@pytest.fixture(scope="module", params=list(PHOTOS))
def avatar(
    request: pytest.FixtureRequest, model: HeadModel, units: Make, random_identity: Make, photographed: Make
) -> AvatarHead:
    shown = units(**PHOTOS[request.param])
    shape = model.vertices(random_identity(model, 11), shown)
    face, _ = photographed(model, shape, shown, (12, -5, 4), noise=0.7)
    return AvatarHead(model, fit_head(model, face, (640, 640)))


def widest(avatar: AvatarHead, seam: str, vertices: np.ndarray) -> float:
    """Widest opening of a seam in metres."""
    return max(float(np.linalg.norm(gap, axis=1).max()) for gap in avatar.model.seams[seam].openings(vertices))


def deepest(avatar: AvatarHead, seam: str, vertices: np.ndarray) -> float:
    """How far lips or lids pass through each other, metres."""
    return max(float(-gap[:, 1].min()) for gap in avatar.model.seams[seam].openings(vertices))


def test_zero_closes_the_lips_whatever_the_photo_shows(avatar: AvatarHead, units: Make) -> None:
    assert widest(avatar, "lips", avatar.vertices(units())) < 3e-4


def test_photo_expression_reproduces_the_photo(avatar: AvatarHead) -> None:
    fit = avatar.fit
    expected = avatar.model.vertices(fit.identity, fit.expression, fit.offsets + fit.expression_offsets)
    lacking = (1 - avatar.photo_share(fit.expression)) * np.abs(fit.expression_offsets)
    assert lacking.max() < 1e-3, "where the whole of the photo's offsets isn't there, they hardly matter"
    assert (np.abs(avatar.vertices(fit.expression) - expected) < 3e-4 + lacking).all()


@pytest.mark.parametrize("opened", [0.1, 0.4, 1.0])
def test_mouth_close_undoes_jaw_open(avatar: AvatarHead, opened: float, units: Make) -> None:
    shut = avatar.vertices(units(jawOpen=opened, mouthClose=opened))
    assert widest(avatar, "lips", shut) < 5e-4
    assert widest(avatar, "lips", avatar.vertices(units(jawOpen=opened))) > 0.02 * opened


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_blink_shuts_the_lids_over_the_eyeball(avatar: AvatarHead, side: str, units: Make) -> None:
    shut = avatar.vertices(units(eyeBlinkBoth=1.0))
    assert widest(avatar, f"lids_{side}", shut) < 5e-4
    model = avatar.model
    ball = model.eyeballs[("left", "right").index(side)]
    centre = model.eye_centres(shut)[("left", "right").index(side)]
    radius = np.linalg.norm(shut[ball[0]] - centre)
    seam = model.seams[f"lids_{side}"]
    assert np.linalg.norm(shut[seam.upper] - centre, axis=1).min() > radius - 3e-4


@pytest.mark.parametrize("shut", [0.0, 0.4, 0.75])
def test_half_shut_eyes_blink_where_they_are(model: HeadModel, avatar: AvatarHead, units: Make, shut: float) -> None:
    offsets = model.vertices(avatar.fit.identity, units(eyeBlinkBoth=shut), avatar.fit.offsets)
    offsets -= model.vertices(avatar.fit.identity, None, np.zeros_like(offsets))
    tired = AvatarHead(model, replace(avatar.fit, offsets=offsets))
    seam = model.seams["lids_left"]
    rest, blink = tired.vertices(units()), tired.vertices(units(eyeBlinkBoth=1.0))
    sunk = (rest - blink)[seam.lower, 1].max()
    assert widest(tired, "lids_left", blink) < 5e-4
    assert sunk < 0.0025, "the lower lid stays"


def test_zero_keeps_the_photos_eyes_open(avatar: AvatarHead, units: Make) -> None:
    at_rest = avatar.vertices(units())
    in_photo = avatar.vertices(avatar.fit.expression)
    for seam in ("lids_left", "lids_right"):
        assert widest(avatar, seam, at_rest) == pytest.approx(widest(avatar, seam, in_photo), rel=0.3)


@pytest.mark.parametrize("seed", range(5))
def test_lips_and_lids_never_pass_through_each_other(avatar: AvatarHead, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = avatar.vertices((rng.random(52) * (rng.random(52) < 0.25)).astype(np.float32))
    for seam in ("lids_left", "lids_right"):
        assert deepest(avatar, seam, shape) < 6e-4


def test_pressing_draws_the_lips_together(avatar: AvatarHead, units: Make) -> None:
    parted = units(jawOpen=0.2, mouthFunnel=0.3, mouthUpperUpBoth=0.2)
    open_width = widest(avatar, "lips", avatar.vertices(parted))
    pressed, half = (parted + units(mouthPressBoth=press) for press in (PRESSED[1], sum(PRESSED) / 2))
    assert widest(avatar, "lips", avatar.vertices(pressed)) < 5e-4
    assert 0.3 * open_width < widest(avatar, "lips", avatar.vertices(half)) < 0.7 * open_width


def test_motion_is_continuous(avatar: AvatarHead, units: Make) -> None:
    start, end = units(), units(jawOpen=0.5, mouthSmileBoth=0.6, eyeBlinkBoth=1.0, eyeLookUpBoth=0.4)
    steps = [avatar.vertices(start + t * (end - start)) for t in np.linspace(0, 1, 41)]
    jumps = [np.abs(b - a).max() for a, b in zip(steps, steps[1:], strict=False)]
    assert max(jumps) < 2.5e-3


def test_a_frame_takes_little_time(avatar: AvatarHead, units: Make) -> None:
    values = units(jawOpen=0.3, eyeBlinkBoth=0.5)
    avatar.vertices(values)
    times = []
    for _ in range(20):
        started = time.thread_time()
        avatar.vertices(values)
        times.append(time.thread_time() - started)
    assert min(times) < 0.005


def test_pressed_lips_are_together_even_in_a_remnant_of_the_photos_smile(avatar: AvatarHead, units: Make) -> None:
    shape = avatar.vertices(0.35 * avatar.fit.expression + units(jawOpen=0.05, mouthPressBoth=0.35))
    assert widest(avatar, "lips", shape) < 5e-4


def test_a_blink_shuts_the_lids_and_leaves_brows_and_cheeks(avatar: AvatarHead, units: Make) -> None:
    model = avatar.model
    opened, shut = avatar.vertices(units()), avatar.vertices(units(eyeBlinkBoth=1))
    assert max(widest(avatar, f"lids_{side}", shut) for side in ("left", "right")) < 5e-4
    seams = [model.seams[f"lids_{side}"] for side in ("left", "right")]
    rims = avatar.neutral[np.concatenate([chain for seam in seams for chain in (seam.upper, seam.lower)])]
    skin = np.flatnonzero(model.vertex_part == model.parts.index("skin"))
    away = np.linalg.norm(avatar.neutral[skin, None] - rims, axis=2).min(1)
    moved = np.abs(shut - opened)[skin[away > 0.01]]
    assert moved.max() < 1e-5  # the skin under the brow is drawn out, the brow is not


def test_a_neck_is_uncovered_where_the_chin_is_higher_than_in_the_photo(avatar: AvatarHead, units: Make) -> None:
    own, model = avatar.fit.expression, avatar.model
    assert not avatar.uncovered(own).any()
    assert not avatar.uncovered(np.maximum(own, units(jawOpen=1.0))).any(), "a chin that is lower hides more"
    chin = model.faces[model.landmark_faces[CHIN]][0]
    higher = float((avatar.vertices(units()) - avatar.vertices(own))[chin, 1])
    bare = avatar.uncovered(units())
    if higher > LIFTED[1] + 0.001:
        below = (model.regions["neck"] > 0.4) & (np.abs(model.base[:, 0]) < BESIDE[0]) & (model.base[:, 2] > 0.02)
        assert np.median(bare[below]) > 0.9, "but for a few that the jaw draws along"
    elif higher < LIFTED[0] - 0.001:
        assert not bare.any()
    elsewhere = (model.regions["neck"] == 0) | (np.abs(model.base[:, 0]) > BESIDE[1])
    assert bare[chin] == 0 and not bare[elsewhere].any()
