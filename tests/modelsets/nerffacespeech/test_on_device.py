"""The published pipeline on a device that isn't the CPU, pretended: nothing mixes, and it shows what the CPU shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import official
import pytest
import torch
from pretend_device import DEVICE, OnDevice, pretend_device
from published_shots import PORTRAIT, shot
from stylenerf_samples import drawn, inputs, mixed_options, tiny_config, tiny_state

from elocute.drive import read_inputs
from elocute.generators.face_points import torso_points
from elocute.generators.stylenerf.deformation import VertexDeformation
from elocute.generators.stylenerf.generator import FoldedGenerator, StyleNerf
from elocute.generators.stylenerf.mixing import FeatureMix
from elocute.head import basel
from elocute.head.basel import BaselFace
from elocute.head.basel_fit import FitSchedule, fit_basel
from elocute.head.spaces import front_camera
from elocute.inversion.stylenerf.perceptual import ALEX, VGG, Lpips, PyramidDistance
from elocute.inversion.stylenerf.projection import Pivot, ProjectionSettings, project
from elocute.inversion.stylenerf.tuning import TuningSettings, tune
from elocute.models import load_generator
from elocute.models.store import verify
from elocute.modelsets import model_set
from elocute.modelsets.nerffacespeech import weights
from elocute.modelsets.nerffacespeech.guide import coefficients_of
from elocute.modelsets.nerffacespeech.prepare import random_person
from elocute.modelsets.nerffacespeech.weights import Networks
from elocute.portrait.image import load_image

KERNELS = {ALEX: ((11, 11), (3, 3)), VGG: ((3, 3), (3, 3))}  # of the first layer and the others


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Arrays this small take longer with several."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def device() -> Iterator[str]:
    with pretend_device() as name:
        yield name


def close(found: torch.Tensor, wanted: torch.Tensor, atol: float = 1e-5) -> None:
    """Found on the device, wanted from the CPU."""
    assert isinstance(found, OnDevice) and not isinstance(wanted, OnDevice)
    torch.testing.assert_close(found.detach().cpu(), wanted.detach(), rtol=0, atol=atol)


def tiny(mode: str = "pixelshuffle", where: str = "cpu") -> StyleNerf:
    return load_generator(tiny_config(mode), tiny_state(mode)).to(where).requires_grad_(False)


# The generator --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("mode", ["pixelshuffle", "nn_cat"])
def test_a_bent_and_mixed_picture(device: str, mode: str, plain: bool) -> None:
    here, there = tiny(mode), tiny(mode, device)
    given, options = inputs(here, dtype=torch.float32), mixed_options(here)
    bend, other = options["deform"], options["mix"]
    bends = bend, VertexDeformation(*(each.to(device) for each in vars(bend).values()))
    mixes = [FeatureMix(*(each.float().to(where) for each in (other.features, other.mask)), other.size)
             for where in ("cpu", device)]  # fmt: skip
    wanted = here.render(*given, plain=plain, deform=bends[0], mix=mixes[0])
    found = there.render(given[0].to(device), *given[1:], plain=plain, deform=bends[1], mix=mixes[1])
    close(found.image, wanted.image, 2e-4)
    close(found.volume.features, wanted.volume.features)


def test_latents_and_frames_of_one_person(device: str) -> None:
    z = torch.randn(1, 16, generator=torch.Generator().manual_seed(1))
    here, there = tiny(), tiny(where=device)
    ws = here.mapping(z, 0.7, 3)
    close(there.mapping(z, 0.7, 3), ws)
    camera = inputs(here, dtype=torch.float32)[1]
    wanted, found = FoldedGenerator(here, ws), FoldedGenerator(there, ws.to(device))
    for frozen in (False, True, False):
        picture = found.render(camera.to(device), freeze_background=frozen, memory_mb=0.01).image
        close(picture, wanted.render(camera, freeze_background=frozen).image, 1e-4)


@pytest.mark.usefixtures("official_set")
def test_half_precision() -> None:
    """What `--reference` does on CUDA: blocks of 128 pixels and more in float16."""
    pictures = []
    for where in ("cpu", DEVICE):
        with pretend_device():
            person = random_person(Networks(where), 3, True)
            field = FoldedGenerator(person.generator, person.ws, person.background)
            pictures.append(field.render(person.camera, precision="mixed").image)
    assert torch.isfinite(pictures[0]).all()
    close(pictures[1], pictures[0], 1e-2)


# Inversion ------------------------------------------------------------------------------------------------------------
def pivot_and_target(generator: StyleNerf) -> tuple[Pivot, torch.Tensor, torch.Tensor]:
    """A latent, another one's picture, and the camera; on the CPU."""
    (ws, camera, code), other = inputs(generator, dtype=torch.float32), torch.Generator().manual_seed(2)
    target = generator.render(generator.mapping(torch.randn(1, 16, generator=other)), camera, code).image
    return Pivot(ws[:, :1], code, ()), target, camera


def test_projection(device: str, tmp_path: Path) -> None:
    here, there = tiny(), tiny(where=device)
    _, target, camera = pivot_and_target(here)
    settings = ProjectionSettings(steps=4, samples=20, compared=16, save_every=2)
    pixels, features = (target + 1) * 127.5, PyramidDistance().features
    wanted = list(project(here, pixels, camera, features, settings))[-1]
    for stop in (3, 9):  # it goes on after its second step
        search = project(there, pixels, camera, features, settings, checkpoint=tmp_path / "pivot")
        found = [pivot for pivot, _ in zip(search, range(stop), strict=False)]
    assert [len(pivot.distances) for pivot in found] == [2, 3, 4]
    close(found[-1].w, wanted.w, 1e-4)
    close(found[-1].background, wanted.background, 1e-4)
    np.testing.assert_allclose(found[-1].distances, wanted.distances, rtol=1e-3)


def test_tuning_goes_on_from_its_checkpoint(device: str, tmp_path: Path) -> None:
    """With the locality term, and blocks computed again for the gradient."""
    plan = TuningSettings(steps=4, locality_every=2, save_every=2, memory_mb=0)
    pivot, target, camera = pivot_and_target(tiny())
    steps, arrays = [], []
    for where in ("cpu", device):
        there = Pivot(pivot.w.to(where), pivot.background.to(where), ())
        for stop in (2, None):
            generator = tiny(where=where).requires_grad_(True)
            run = tune(
                generator, there, target.to(where), camera.to(where), PyramidDistance(), plan, tmp_path / where[:4]
            )
            made = [step for step, _ in zip(run, range(stop or 9), strict=False)]
        assert [step.number for step in made] == [2, 3]
        steps.append([step.total for step in made])
        arrays.append(torch.cat([p.flatten() for p in generator.parameters()]))
    np.testing.assert_allclose(steps[1], steps[0], rtol=1e-3)
    close(arrays[1], arrays[0], 1e-3)


@pytest.mark.parametrize("network", [ALEX, VGG])
def test_perceptual_distances(device: str, network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(3)) * 2 - 1
    state, channels = {}, 3
    for number, *_ in network.layers:
        state[f"features.{number}.weight"] = drawn(f"{number}.weight", (8, channels, *KERNELS[network][number > 0]))
        state[f"features.{number}.bias"] = drawn(f"{number}.bias", (8,))
        channels = 8
    state |= {f"lin{k}.model.1.weight": torch.full((1, 8, 1, 1), 0.5) for k in range(len(network.taps))}
    arrays = {name: array.numpy() for name, array in state.items()}
    monkeypatch.setattr(weights, "imported_if_any", lambda role: SimpleNamespace(arrays=lambda: arrays))
    here, there = (weights.perceptual("lpips", where, []) for where in ("cpu", device))
    assert isinstance(here, Lpips) and here.network is network
    for found, wanted in zip(there.features(picture.to(device)), here.features(picture), strict=True):
        close(found, wanted)


# The face -------------------------------------------------------------------------------------------------------------
def test_the_face_is_fitted(device: str) -> None:
    arrays, random = official.face_model(), np.random.default_rng(0)
    landmarks, picture = random.uniform(60, 160, (68, 2)), random.integers(0, 255, (224, 224, 3), np.uint8)
    plan = FitSchedule(rigid_steps=3, nonrigid_steps=3)
    fits = [
        fit_basel(BaselFace.from_arrays(arrays, where, torch.float64), landmarks, picture, schedule=plan)
        for where in ("cpu", device)
    ]
    np.testing.assert_allclose(fits[1].coefficients, fits[0].coefficients, rtol=0, atol=1e-6)


@pytest.mark.usefixtures("official_set")
def test_coefficients_are_read(device: str) -> None:
    rgb = load_image(PORTRAIT).rgb
    read = [coefficients_of(Networks(where), rgb, None) for where in ("cpu", device)]
    for found, wanted in zip(*read[::-1], strict=True):  # type: ignore[arg-type]
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_cameras_and_points_of_the_front_view(device: str) -> None:
    turn = basel.rotations(torch.tensor([[0.1, -0.2, 0.05]]))
    close(front_camera(turn.to(device)), front_camera(turn))
    shown = torch.arange(400).view(20, 20) % 3 > 0
    for reference in (False, True):
        close(torso_points(shown.to(device), reference), torso_points(shown, reference))


# Shots ----------------------------------------------------------------------------------------------------------------
@pytest.mark.skipif(not verify("face"), reason="models not fetched: elocute models --fetch")
@pytest.mark.usefixtures("official_set")
@pytest.mark.parametrize("reference", [False, True])
def test_frames_of_a_shot(second: Path, tmp_path: Path, reference: bool) -> None:
    """The voice's expressions, the bent field, the painted mouth in its mask over frames around."""
    job, models = shot(tmp_path, voice=second, reference=reference), model_set("nerffacespeech")
    avatar = models.prepare(job.portrait, shot(tmp_path, voice=second).fit, lambda message: None, job.size)
    given = read_inputs(job, None, models.reading(job))
    here = models.perform(avatar, job, given, "cpu")
    wanted = [here.frame(at) for at in (0, 1)]
    assert np.abs(wanted[0].astype(int) - wanted[1]).max() > 0
    with pretend_device() as device:
        there = models.perform(avatar, job, given, device)
        found = [there.frame(at) for at in (0, 1)]
    np.testing.assert_allclose(there.drive.expression, here.drive.expression, rtol=0, atol=1e-5)
    for one, other in zip(found, wanted, strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1
