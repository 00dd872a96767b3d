"""Inversion against what the original programs recorded: LPIPS, schedules, random codes, 40 + 10 steps.

Tolerances: LPIPS 1e-5 relative; the run's distances and losses 1e-3 relative, the pivot 1e-3, arrays after ten steps
1e-3, its picture 5e-3 (one and two threads differ by a tenth of that).
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from stylenerf_samples import RECORDED, drawn, recorded

from elocute.inversion.stylenerf.perceptual import SCALE, SHIFT, Lpips, distance
from elocute.inversion.stylenerf.projection import (
    REFERENCE_PROJECTION,
    ProjectionSettings,
    draw_background,
    latent_statistics,
    noise_at,
    project,
    rate_at,
)
from elocute.inversion.stylenerf.tuning import REFERENCE_TUNING, TuningSettings, tune

FOLDER = RECORDED / "pti"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="no recorded arrays of the original programs here")


@pytest.fixture(scope="module")
def io() -> dict[str, np.ndarray]:
    return dict(np.load(FOLDER / "pti_io.npz"))


@pytest.fixture(scope="module")
def lpips() -> Lpips:
    shapes = json.loads((FOLDER / "lpips_alex_state_dict.json").read_text())
    state = {name: drawn(name, tuple(shape)) for name, (shape, _) in shapes.items() if name.startswith("net.")}
    for k in range(5):
        name = f"lins.{k}.model.1.weight"
        state[name] = 0.02 * drawn(name, tuple(shapes[name][0])).abs()
    return Lpips(state)


def test_lpips(io: Any, lpips: Lpips) -> None:
    assert lpips.name == "LPIPS-Alex" and len(SHIFT) == len(SCALE) == 3
    a, b = (lpips.features(torch.from_numpy(io[f"lpips.{name}"])) for name in "ab")
    layers = [float(((x - y) ** 2).sum()) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(layers, io["lpips.per_layer"], rtol=1e-4)
    np.testing.assert_allclose(float(distance(a, b)), io["lpips.value"].item(), rtol=1e-5)
    np.testing.assert_allclose(((io["lpips.a"] - io["lpips.b"]) ** 2).mean(), io["l2.value"], rtol=1e-5)


def test_schedules(io: Any) -> None:
    settings = ProjectionSettings()
    np.testing.assert_allclose([rate_at(settings, k) for k in range(1000)], io["sched.lr_1000"], atol=1e-12)
    np.testing.assert_allclose([noise_at(settings, k) for k in range(1000)], io["sched.noise_factor_1000"], atol=1e-12)
    small = F.interpolate(torch.from_numpy(io["area.in"]), size=(16, 16), mode="area")
    np.testing.assert_allclose(small, io["area.out"], atol=1e-5)


def test_statistics_and_codes(io: Any) -> None:
    generator = recorded("nncat").generator
    mean, spread = latent_statistics(generator)
    np.testing.assert_allclose(mean, io["wstat.w_avg"], atol=1e-5)
    np.testing.assert_allclose(spread, io["wstat.w_std"], rtol=1e-5)
    wide = SimpleNamespace(config=SimpleNamespace(background_code=32))  # of the full-size generators
    for owner, *codes in (
        (generator, "rng.seed0_z_shape_bg8", "run.z_app_bg"),
        (wide, "rng.seed0_z_shape_bg32", "rng.seed0_z_app_bg32"),
    ):
        random = torch.Generator().manual_seed(0)
        for name in codes:  # the second is the appearance code, which nothing moves or uses
            np.testing.assert_array_equal(draw_background(owner, random), io[name])


@pytest.mark.slow
def test_the_recorded_run(io: Any, lpips: Lpips) -> None:
    generator = recorded("nncat").generator
    pixels = torch.from_numpy(io["run.target_u8"]).permute(2, 0, 1)[None].float()
    camera = torch.from_numpy(io["run.pose"])

    def features(picture: torch.Tensor) -> list[torch.Tensor]:
        return [F.avg_pool2d(picture / 255, 8).flatten() * 2]

    settings = ProjectionSettings(steps=40, size=REFERENCE_PROJECTION.size)
    *_, pivot = project(generator, pixels, camera, features, settings)
    np.testing.assert_allclose(pivot.distances, io["run.proj_dist"], rtol=1e-3)
    np.testing.assert_allclose(pivot.w, io["run.w_pivot"], atol=1e-3)
    np.testing.assert_allclose(pivot.background, io["run.z_shape_bg"], atol=1e-3)

    tuning = TuningSettings(**{**vars(REFERENCE_TUNING), "steps": 10, "stop_at": None})
    steps = list(tune(generator, pivot, pixels / 127.5 - 1, camera, lpips, tuning))
    losses = [[step.total, step.square, step.perceptual] for step in steps]
    np.testing.assert_allclose(losses, io["run.pti_losses"], rtol=1e-3)
    arrays = dict(generator.named_parameters())
    for name in (n for n in io if n.startswith("run.after.")):
        np.testing.assert_allclose(arrays[name.removeprefix("run.after.")].detach(), io[name], atol=1e-3)
    with torch.no_grad():
        image = generator.render(pivot.ws(generator), camera, pivot.background, freeze_background=True).image
    error = np.abs(image.numpy() - io["run.after_img"])
    print("distances", np.abs(np.array(pivot.distances) / io["run.proj_dist"] - 1).max(),
          "w", np.abs(pivot.w.numpy() - io["run.w_pivot"]).max(),
          "losses", np.abs(np.array(losses) / io["run.pti_losses"] - 1).max(), "image", error.max())  # fmt: skip
    assert error.max() <= 5e-3
