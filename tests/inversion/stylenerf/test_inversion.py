"""Projection and tuning on a tiny generator: they approach the photo, stop, go on, keep their neighbourhood."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stylenerf_samples import tiny_config, tiny_state

from elocute.errors import BadInput
from elocute.generators.stylenerf.camera import look_from
from elocute.inversion.stylenerf.perceptual import Lpips, PyramidDistance, distance
from elocute.inversion.stylenerf.projection import Pivot, ProjectionSettings, noise_at, project, rate_at
from elocute.inversion.stylenerf.tuning import REFERENCE_TUNING, TuningSettings, least_step_mb, step_memory_mb, tune
from elocute.models import load_generator

CAMERA = look_from(torch.tensor([0.1]), torch.tensor([1.6]), torch.ones(1))
QUICK = replace(REFERENCE_TUNING, steps=6, rate=3e-3, save_every=2)
PERCEPTUAL = PyramidDistance()


@pytest.fixture
def generator() -> Any:
    return load_generator(tiny_config("pixelshuffle"), tiny_state("pixelshuffle"))


def picture_of(generator: Any, seed: int) -> tuple[Pivot, torch.Tensor]:
    """A latent and its picture."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        ws = generator.mapping(torch.randn(1, 16, generator=random))
        code = torch.randn(1, 4, generator=random)
        return Pivot(ws[:, :1], code, ()), generator.render(ws, CAMERA, code, freeze_background=True).image


def test_a_slope_is_no_detail() -> None:
    """In no band of the substitute for LPIPS, but at its ends, where the coarser picture is held."""
    slope = torch.linspace(-1, 1, 128).expand(1, 3, 128, 128)
    *bands, coarsest = PERCEPTUAL.features(slope)
    assert len(bands) == PERCEPTUAL.levels and coarsest.shape[-1] == 4
    for band in bands:
        assert band[..., 2:-2].abs().max() < 1e-3 * band[..., 0].abs().min()


def arrays(generator: Any) -> list[torch.Tensor]:
    return [p.detach().clone() for p in generator.parameters()]


def test_projection_finds_a_latent(generator: Any) -> None:
    _, target = picture_of(generator, 5)
    pixels = (target + 1) * 127.5
    settings = ProjectionSettings(steps=30, rate=0.1, samples=50)

    def features(picture: torch.Tensor) -> list[torch.Tensor]:
        return PERCEPTUAL.features(picture / 127.5 - 1)

    before = arrays(generator)
    pivots = list(project(generator, pixels, CAMERA, features, settings))
    assert len(pivots) == 30 and pivots[-1].ws(generator).shape == (1, generator.config.num_ws, 16)
    assert np.mean(pivots[-1].distances[-5:]) < 0.7 * pivots[-1].distances[0]
    for a, b in zip(before, generator.parameters(), strict=True):
        assert torch.equal(a, b) and b.requires_grad
    again = list(project(generator, pixels, CAMERA, features, settings))
    assert torch.equal(again[-1].w, pivots[-1].w)


def test_the_numbers_stay_the_same() -> None:
    generator = load_generator(tiny_config("nn_cat"), tiny_state("nn_cat")).double()
    _, target = picture_of(generator, 5)

    def features(picture: torch.Tensor) -> list[torch.Tensor]:
        return PERCEPTUAL.features(picture / 127.5 - 1)

    settings = ProjectionSettings(steps=4, rate=0.1, samples=50)
    *_, pivot = project(generator, (target + 1) * 127.5, CAMERA, features, settings)
    np.testing.assert_allclose(pivot.distances, [0.001392084, 0.001367422, 0.000856186, 0.000633409], rtol=1e-4)
    plan = replace(TuningSettings(), steps=4, locality_every=2)
    steps = list(tune(generator, pivot, target, CAMERA, PERCEPTUAL, plan))
    squares = [0.001148568, 0.000717070, 0.000460177, 0.000344621]
    apart = [0.000559760, 0.000422547, 0.000334783, 0.000288939]
    np.testing.assert_allclose([step.square for step in steps], squares, rtol=1e-4)
    np.testing.assert_allclose([step.perceptual for step in steps], apart, rtol=1e-4)


def test_schedules_begin_and_end_at_nothing() -> None:
    settings = ProjectionSettings()
    rates = [rate_at(settings, step) for step in range(settings.steps)]
    assert rates[0] == 0 and max(rates) == settings.rate and rates[-1] < 1e-5
    assert noise_at(settings, 0) == settings.noise and noise_at(settings, 750) == 0


@pytest.mark.parametrize("memory", [None, 0])
def test_tuning_approaches_the_photo(generator: Any, memory: int | None) -> None:
    pivot, _ = picture_of(generator, 1)
    _, target = picture_of(generator, 2)
    mapping = [p.clone() for p in generator.mapping.parameters()]
    steps = list(tune(generator, pivot, target, CAMERA, PERCEPTUAL, replace(QUICK, steps=20, memory_mb=memory)))
    assert [step.number for step in steps] == list(range(20))
    assert steps[-1].total < 0.5 * steps[0].total
    for a, b in zip(mapping, generator.mapping.parameters(), strict=True):
        assert torch.equal(a, b)  # the pivot stays what it is


def test_less_memory_makes_the_same_steps() -> None:
    results = []
    for memory in (None, 0):
        generator = load_generator(tiny_config("nn_cat"), tiny_state("nn_cat"))
        pivot, _ = picture_of(generator, 1)
        target = picture_of(generator, 2)[1]
        results.append(
            [s.total for s in tune(generator, pivot, target, CAMERA, PERCEPTUAL, replace(QUICK, memory_mb=memory))]
        )
    np.testing.assert_allclose(*results, rtol=1e-4)
    assert 0 < step_memory_mb(generator.config) < 1 and 300 < least_step_mb(generator.config) < 301


def test_a_gpu_without_memory_computes_blocks_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    results, asked = [], []
    for short in (False, True):
        generator = load_generator(tiny_config("nn_cat"), tiny_state("nn_cat"))
        pivot, _ = picture_of(generator, 1)
        target = picture_of(generator, 2)[1]
        render = generator.render

        def limited(*inputs: Any, made: Any = render, fails: bool = short, recompute: bool = False, **more: Any) -> Any:
            asked.append(recompute)
            if fails and not recompute:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory")
            return made(*inputs, recompute=recompute, **more)

        monkeypatch.setattr(generator, "render", limited)
        results.append([s.total for s in tune(generator, pivot, target, CAMERA, PERCEPTUAL, QUICK)])
    np.testing.assert_allclose(*results, rtol=1e-4)
    assert asked == [False] * 6 + [False] + [True] * 6
    assert len(results[0]) == 6


def test_an_interrupted_tuning_goes_on(generator: Any, tmp_path: Path) -> None:
    settings = replace(TuningSettings(), steps=6, save_every=2, locality_every=1)
    pivot, _ = picture_of(generator, 1)
    _, target = picture_of(generator, 2)
    start = {name: value.clone() for name, value in generator.state_dict().items()}
    whole = list(tune(generator, pivot, target, CAMERA, PERCEPTUAL, settings))
    wanted = arrays(generator)

    generator.load_state_dict(start)
    checkpoint = tmp_path / "tuning.safetensors"
    for step in tune(generator, pivot, target, CAMERA, PERCEPTUAL, settings, checkpoint):
        if step.number == 4:  # the fifth step is lost
            break
    generator.load_state_dict(start)
    roomy = replace(settings, memory_mb=65536)  # how much memory there is doesn't make it other work
    rest = list(tune(generator, pivot, target, CAMERA, PERCEPTUAL, roomy, checkpoint))
    assert [step.number for step in rest] == [4, 5]
    np.testing.assert_allclose([s.total for s in rest], [s.total for s in whole[4:]], rtol=1e-6)
    for a, b in zip(arrays(generator), wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-7)

    generator.load_state_dict(start)  # other work begins anew, and so does one whose file is damaged
    other = replace(settings, rate=1e-3)
    assert next(tune(generator, pivot, target, CAMERA, PERCEPTUAL, other, checkpoint)).number == 0
    generator.load_state_dict(start)
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    assert next(tune(generator, pivot, target, CAMERA, PERCEPTUAL, settings, checkpoint)).number == 0


def test_an_interrupted_search_goes_on_to_the_same_pivot(generator: Any, tmp_path: Path) -> None:
    _, target = picture_of(generator, 2)
    target = (target + 1) * 127.5

    def search(settings: ProjectionSettings, path: Path | None = None, by: str = "all") -> Iterator[Pivot]:
        features = PERCEPTUAL.features
        return project(
            generator, target, CAMERA, lambda x: features(x / 127.5 - 1), settings, checkpoint=path, compared_by=by
        )

    settings = ProjectionSettings(steps=5, samples=50, save_every=2)
    wanted = list(search(settings))
    path = tmp_path / "pivot.safetensors"
    for pivot in search(settings, path):
        if len(pivot.distances) == 3:  # the third is lost
            break
    rest = list(search(settings, path))
    assert [len(pivot.distances) for pivot in rest] == [2, 3, 4, 5]
    for _ in range(2):  # the second time, the result is there
        assert rest[-1].distances == wanted[-1].distances
        assert torch.equal(rest[-1].w, wanted[-1].w) and torch.equal(rest[-1].background, wanted[-1].background)
        rest = list(search(settings, path))
        assert len(rest) == 1
    for other in (search(replace(settings, rate=0.02), path), search(settings, path, "another")):
        assert len(next(other).distances) == 1
    path.write_bytes(path.read_bytes()[:-1])
    assert len(next(search(settings, path)).distances) == 1


def test_stops_on_a_plateau(generator: Any) -> None:
    pivot, target = picture_of(generator, 1)
    settings = replace(QUICK, steps=100, rate=1e-9, plateau=3)
    _, other = picture_of(generator, 2)
    assert len(list(tune(generator, pivot, other, CAMERA, PERCEPTUAL, settings))) == 6


def test_stops_before_the_step_when_close_enough(generator: Any) -> None:
    class Close(PyramidDistance):
        name = "LPIPS-Alex"

    pivot, target = picture_of(generator, 1)
    before = arrays(generator)
    assert len(list(tune(generator, pivot, target, CAMERA, Close(), replace(QUICK, stop_at=0.06)))) == 1
    assert all(torch.equal(a, b) for a, b in zip(before, arrays(generator), strict=True))
    assert len(list(tune(generator, pivot, target, CAMERA, PERCEPTUAL, replace(QUICK, stop_at=0.06)))) == QUICK.steps


def test_locality_keeps_other_faces_and_views() -> None:
    drift = []
    for weight in (0.0, 2.0):
        generator = load_generator(tiny_config("pixelshuffle"), tiny_state("pixelshuffle"))
        pivot, _ = picture_of(generator, 1)
        _, target = picture_of(generator, 2)
        side = look_from(torch.tensor([-0.3]), torch.tensor([1.5]), torch.ones(1))
        near = torch.lerp(pivot.ws(generator), picture_of(generator, 3)[0].ws(generator), 0.3)

        def view() -> torch.Tensor:
            with torch.no_grad():
                return generator.render(near, side, freeze_background=True).image  # noqa: B023

        before = view()
        settings = replace(QUICK, steps=25, locality_weight=weight, locality_every=1)
        for _ in tune(generator, pivot, target, CAMERA, PERCEPTUAL, settings):
            pass
        drift.append(float((view() - before).abs().mean()))
    assert drift[1] < 0.8 * drift[0]


def test_the_substitute_sees_structure_more_than_light() -> None:
    random = torch.Generator().manual_seed(0)
    picture = torch.nn.functional.interpolate(torch.randn(1, 3, 16, 16, generator=random) / 3, 64, mode="bicubic")
    noisy = picture + 0.05 * torch.randn(picture.shape, generator=random)
    features = PERCEPTUAL.features
    same, shift, noise = (float(distance(features(picture), features(p))) for p in (picture, picture + 0.05, noisy))
    assert same == 0 and 0 < shift < noise


@pytest.mark.parametrize("names", ["lpips", "torchvision"])
def test_lpips_of_vgg(names: str) -> None:
    widths = {0: (64, 3), 2: (64, 64), 5: (128, 64), 7: (128, 128), 10: (256, 128), 12: (256, 256), 14: (256, 256)}
    widths |= {17: (512, 256), **dict.fromkeys((19, 21, 24, 26, 28), (512, 512))}
    prefix = "net.slice1" if names == "lpips" else "features"
    state = {}
    for number, shape in widths.items():
        state[f"{prefix}.{number}.weight"] = torch.randn(*shape, 3, 3) / (3 * shape[1] ** 0.5)
        state[f"{prefix}.{number}.bias"] = torch.zeros(shape[0])
    for k, channels in enumerate((64, 128, 256, 512, 512)):
        state[f"lin{k}.model.1.weight"] = torch.rand(1, channels, 1, 1)
    lpips = Lpips(state)
    features = lpips.features(torch.rand(1, 3, 32, 32))
    assert lpips.name == "LPIPS-VGG" and [f.shape[1] for f in features] == [64, 128, 256, 512, 512]
    assert [f.shape[2] for f in features] == [32, 16, 8, 4, 2]
    del state["lin3.model.1.weight"]
    with pytest.raises(BadInput, match="lin3"):
        Lpips(state)
