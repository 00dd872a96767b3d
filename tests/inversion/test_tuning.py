"""Tuning: the portrait comes back, step by step, and what the portrait doesn't show stays as it was."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from elocute.inversion.tuning import REACH, STEPS, layer_influence, psnr, tune
from elocute.rendering.renderer import Renderer
from elocute.rendering.shells import RELIEF, SKIN, Shells


@pytest.fixture(scope="module")
def portrait_view(example: Any) -> Any:
    """Renders shells as the portrait's camera sees them."""
    return lambda shells: Renderer(shells, example.scene.side).render(shells.rest)[0]


@pytest.fixture(scope="module")
def steps(example: Any, untuned: Shells, portrait_view: Any) -> list[Shells]:
    scene = example.scene
    return [shells for _, shells in tune(untuned, scene.photo, scene.background, portrait_view)]


@pytest.fixture(scope="module")
def influence(untuned: Shells, portrait_view: Any) -> np.ndarray:
    return layer_influence(untuned, portrait_view)


def quality(example: Any, rgba: np.ndarray) -> float:
    scene = example.scene
    return psnr(scene.photo, rgba[..., :3] + (1 - rgba[..., 3:]) * scene.background, scene.matte)


def test_every_step_is_better_than_the_one_before(
    example: Any, untuned: Shells, steps: list[Shells], portrait_view: Any
) -> None:
    assert len(steps) == STEPS
    chosen = [untuned, steps[0], steps[1], steps[3], steps[-1]]
    values = [quality(example, portrait_view(shells)) for shells in chosen]
    assert (np.diff(values) > 0).all(), values
    assert values[-1] >= 33


def test_no_texel_wanders(untuned: Shells, steps: list[Shells]) -> None:
    moved = np.abs(steps[-1].planes[..., :3] - untuned.planes[..., :3])
    assert moved.max() <= REACH + 1e-6
    np.testing.assert_array_equal(steps[-1].planes[..., 3], untuned.planes[..., 3])  # opacity stays the matte's
    assert steps[-1].planes[..., :3].min() >= 0 and steps[-1].planes[..., :3].max() <= 1
    for name in ("rest", "faces", "seen", "fill", "solid"):
        assert getattr(steps[-1], name) is getattr(untuned, name)


def test_held_texels_of_the_skin_stay_and_others_do_not(example: Any, untuned: Shells, portrait_view: Any) -> None:
    scene, held = example.scene, np.zeros(untuned.planes.shape[1:3], np.float32)
    held[: len(held) // 2] = 1
    held[:, : len(held) // 2] *= 0.5
    *_, (_, tuned) = tune(untuned, scene.photo, scene.background, portrait_view, held)
    moved = np.abs(tuned.planes - untuned.planes)[SKIN].max(-1)
    assert moved[held == 1].max() == 0
    assert 0.4 * REACH < moved[held == 0.5].max() <= 0.5 * REACH + 1e-6 < moved[held == 0].max()


def test_texels_that_the_portrait_does_not_show_stay(
    untuned: Shells, steps: list[Shells], influence: np.ndarray
) -> None:
    moved = np.abs(steps[-1].planes[..., :3] - untuned.planes[..., :3]).max(-1)
    assert moved[influence <= 0].max() == 0
    under = (influence < 0.01) & (influence.sum(0) > 0.8)  # beneath something that the portrait shows
    assert moved[under].max() < 0.05
    assert (influence <= 0).mean() > 0.5  # most of the layers are hidden at any pixel
    shares = influence.sum(0)
    assert influence.min() >= -1e-3 and shares.max() < 1.02  # cubic taps may overshoot a little


def test_influence_is_where_layers_show(example: Any, influence: np.ndarray) -> None:
    scene = example.scene
    bare = (scene.regions["skin"] > 0.98) & (scene.matte > 0.999)
    assert np.median(influence[SKIN][bare]) > 0.9
    assert influence[:, scene.matte == 0].sum(0).mean() < 0.05
    cloth = (scene.regions["neck_shoulders"] > 0.98) & (scene.matte > 0.999)
    assert np.median((influence[SKIN] + influence[RELIEF])[cloth]) > 0.8


def test_steps_do_not_share_their_planes(steps: list[Shells]) -> None:
    assert len({id(shells.planes) for shells in steps}) == STEPS
    assert np.abs(steps[0].planes - steps[-1].planes).max() > 0


@pytest.mark.parametrize("yaw", [-0.35, 0.35])
def test_a_turned_view_keeps_the_pivots_picture_where_the_photo_shows_nothing(
    example: Any, untuned: Shells, steps: list[Shells], influence: np.ndarray, yaw: float
) -> None:
    moved = example.field.motion.moved(example.scene.fit.expression, (yaw, 0.0, 0.0))

    def turned(shells: Shells) -> np.ndarray:
        return Renderer(shells, 256).render(moved)[0]

    told = untuned.planes.copy()
    told[..., :3] = influence[..., None]  # a picture of how much the portrait says about each place
    say = turned(replace(untuned, planes=told, fill=np.zeros_like(untuned.fill)))
    before, after = turned(untuned), turned(steps[-1])
    change = np.abs(after - before)[..., :3].max(-1)
    unseen = (say[..., 3] > 0.9) & (say[..., 0] < 0.05)
    assert unseen.sum() > 100
    assert change[unseen].max() < REACH / 3 and change[unseen].mean() < 0.01
    np.testing.assert_array_equal(after[..., 3], before[..., 3])


def test_psnr_is_the_textbooks() -> None:
    black, grey = np.zeros((4, 4, 3)), np.full((4, 4, 3), 0.1)
    everywhere = np.ones((4, 4))
    assert psnr(black, grey, everywhere) == pytest.approx(20)
    assert psnr(black, black, everywhere) == pytest.approx(100)
    half = np.zeros((4, 4))
    half[:2] = 1
    grey[2:] = 1
    assert psnr(black, grey, half) == pytest.approx(20)
