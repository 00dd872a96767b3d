"""The whole inversion: each stage better than the one before, and the same again for the same portrait."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from elocute.inversion.invert import invert
from elocute.inversion.tuning import STEPS, psnr
from elocute.rendering.renderer import Renderer


def test_pivot_and_tuning_each_help(example: Any) -> None:
    quality = example.inverted.psnr
    assert quality["before_pivot"] < quality["after_pivot"] < quality["after_tuning"]
    assert quality["after_tuning"] >= 33
    assert set(example.inverted.seconds) == {"geometry", "pivot", "tuning"}


def test_the_reported_quality_is_the_fields(example: Any, stored: Any) -> None:
    scene = example.scene
    rgba, _ = Renderer(stored.shells, scene.side).render(stored.motion.rest)
    measured = psnr(scene.photo, rgba[..., :3] + (1 - rgba[..., 3:]) * scene.background, scene.matte)
    assert measured == pytest.approx(example.inverted.psnr["after_tuning"], abs=0.1)


def test_the_fit_changes_only_where_teeth_and_outline_say(example: Any) -> None:
    before, after = example.raw.fit, example.scene.fit
    np.testing.assert_array_equal(after.expression, before.expression)
    np.testing.assert_array_equal(after.identity, before.identity)
    assert after.pose == before.pose and after.camera is before.camera


def test_the_background_is_kept_as_it_is(example: Any) -> None:
    background = example.field.background
    assert background.dtype == np.uint8
    assert np.abs(background / 255 - example.scene.background).max() <= 0.5 / 255 + 1e-6


def test_the_same_portrait_makes_the_same_field(example: Any) -> None:
    steps: list[tuple[int, int]] = []
    again = invert(example.raw, "cpu", 512, lambda i, n, text: steps.append((i, n)))
    assert steps == [(i, STEPS) for i in range(1, STEPS + 1)]
    assert again.psnr == example.inverted.psnr
    arrays = example.field.to_arrays()
    for name, value in again.field.to_arrays().items():
        np.testing.assert_array_equal(value, arrays[name], name)


def test_the_run_reported_its_way(example: Any) -> None:
    stages = [message for message in example.messages if message.stage == "fit"]
    done = [message.done for message in stages]
    assert done == sorted(done) and (done[0], done[-1]) == (0, 4)
