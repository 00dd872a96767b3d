"""The generator's own rules: fast and clear versions agree, pictures stay the same, memory decides nothing.

`PYTHONPATH=core:tests python tests/generators/stylenerf/test_generator.py` writes the golden arrays anew, from the
clear version in float64.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stylenerf_samples import inputs, mixed_options, tiny_config, tiny_state

from elocute.errors import BadInput
from elocute.generators.stylenerf import folded
from elocute.generators.stylenerf.camera import camera_at, pixel_rays, random_camera
from elocute.generators.stylenerf.enlarge import enlarge, enlarge_rgb
from elocute.generators.stylenerf.folded import FoldedNerf, fold_blocks, upsample
from elocute.generators.stylenerf.generator import FoldedGenerator, with_fallback
from elocute.generators.stylenerf.mixing import FeatureMix, mix, mix_plainly
from elocute.generators.stylenerf.plain import enlarge_rgb as enlarge_rgb_plainly
from elocute.generators.stylenerf.plain import filtered
from elocute.models import load_generator

GOLDEN = Path(__file__).resolve().parents[2] / "data" / "stylenerf_golden.npz"


@pytest.mark.parametrize("plain", [False, True])
def test_a_background_of_one_sample_is_that_sample(plain: bool) -> None:
    """It is solid, wherever it is dense: what it shows doesn't depend on its density."""
    config, state = tiny_config("nn_cat"), tiny_state("nn_cat")
    config["synthesis_kwargs"]["renderer_kwargs"]["n_bg_samples"] = 1
    pictures = []
    for density in (1.0, 50.0):
        state["synthesis.bg_nerf.sigma_out.bias"] = torch.full((1,), density)
        generator = load_generator(config, state)
        with torch.no_grad():
            pictures.append(generator.render(*inputs(generator, 1, torch.float32), plain=plain).image)
    assert torch.isfinite(pictures[0]).all() and torch.equal(*pictures)


def golden(mode: str) -> dict[str, np.ndarray]:
    generator = load_generator(tiny_config(mode), tiny_state(mode)).double()
    with torch.no_grad():
        out = generator.render(*inputs(generator), freeze_background=True, plain=True, **mixed_options(generator))
    return {f"{mode}.image": out.image.numpy(), f"{mode}.features": out.volume.features.numpy()}


@pytest.mark.parametrize("mode", ["pixelshuffle", "nn_cat"])
def test_pictures_stay_the_same(mode: str) -> None:
    kept = np.load(GOLDEN)
    for name, value in golden(mode).items():
        np.testing.assert_allclose(value, kept[name], atol=1e-7)  # kept in float32


def test_fast_equals_plain(tiny: Any) -> None:
    generator = tiny.double()
    with torch.no_grad():
        options = mixed_options(generator)
        fast, plain = (generator.render(*inputs(generator, 2), plain=p, **options) for p in (False, True))
    assert fast.image.shape == (2, 3, 32, 32) and fast.volume.features.shape == (2, 8, 8, 8)
    torch.testing.assert_close(fast.image, plain.image, rtol=0, atol=1e-10)
    torch.testing.assert_close(fast.volume.features, plain.volume.features, rtol=0, atol=1e-10)
    assert float(plain.image.std()) > 0.1


@pytest.mark.parametrize("mode", ["pixelshuffle", "nn_cat"])
def test_larger_kernels(mode: str) -> None:
    generator = load_generator(tiny_config(mode), tiny_state(mode, kernel=3)).double()
    assert generator.config.kernel == 3
    with torch.no_grad():
        fast, plain = (generator.render(*inputs(generator), plain=p).image for p in (False, True))
        strips = generator.render(*inputs(generator), memory_mb=0.01).image
    torch.testing.assert_close(fast, plain, rtol=0, atol=1e-10)
    torch.testing.assert_close(strips, plain, rtol=0, atol=1e-10)


def test_gradients_are_the_same(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = tiny.double()
    grads = []
    monkeypatch.setattr(folded, "TWICE_KB", 1)  # strips of a row
    for options in ({"plain": True}, {}, {"recompute": True}):
        generator.zero_grad()
        ws, camera, code = inputs(generator)
        ws.requires_grad_()
        generator.render(ws, camera, code, **options).image.square().mean().backward()
        grads.append([ws.grad, *(p.grad for n, p in generator.named_parameters() if p.grad is not None)])
    for other in grads[1:]:
        for a, b in zip(grads[0], other, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("memory", [0.001, 0.02, 0.1])
def test_strips_change_nothing(tiny: Any, memory: float) -> None:
    generator = tiny.double()
    with torch.no_grad():
        whole = FoldedGenerator(generator, *inputs(generator)[::2])
        camera = inputs(generator)[1]
        image = whole.render(camera, memory_mb=memory).image
        blocks = fold_blocks(generator.config, generator.synthesis, inputs(generator)[0][0])
        volume = whole.volume(camera)
        torch.testing.assert_close(image, upsample(blocks, volume.features, volume.rgb), rtol=0, atol=1e-11)


def test_other_devices_steps_are_the_compiled_ones() -> None:
    random = torch.Generator().manual_seed(1)
    quarters, near, bias = (torch.randn(s, generator=random).double() for s in ((5, 4, 2, 6), (5, 4, 4), (3,)))
    arrays = [t.requires_grad_() for t in (quarters, near, bias)]
    out = enlarge(*arrays, slice(0, 5), 1.5, True)
    fine = (quarters.unflatten(3, (2, 3)) + near[:, :, None, None, 1:]).transpose(1, 2).reshape(10, 8, 3)
    wanted = filtered(fine.permute(2, 0, 1)[None])[0].permute(1, 2, 0) + bias
    wanted = torch.nn.functional.leaky_relu(wanted, 0.2).clamp(-1.5, 1.5)
    torch.testing.assert_close(out, wanted)
    weight = torch.randn(out.shape, generator=random).double()
    for a, b in zip(torch.autograd.grad((out * weight).sum(), arrays, retain_graph=True),
                    torch.autograd.grad((wanted * weight).sum(), arrays), strict=True):  # fmt: skip
        torch.testing.assert_close(a, b)
    half = enlarge(*(t.detach().half() for t in arrays), slice(1, 3), 1.5, True)
    torch.testing.assert_close(half.double(), wanted[2:6].detach(), rtol=0, atol=1e-2)
    rgb = torch.randn(1, 3, 5, 7, generator=random).double()
    torch.testing.assert_close(enlarge_rgb(rgb), enlarge_rgb_plainly(rgb))


@pytest.mark.parametrize("size", [128, 256])
def test_the_closed_form_of_the_mix(size: int) -> None:
    random = torch.Generator().manual_seed(2)
    x, other = (torch.randn(1, 4, 32, 32, generator=random).double() for _ in range(2))
    mask = torch.rand(1, 1, 64, 64, generator=random).double()
    record = FeatureMix(other, mask, size)
    torch.testing.assert_close(mix(x, record), mix_plainly(x, record), rtol=0, atol=1e-12)
    assert mix(x, FeatureMix(other)) is other


def test_stops_at_a_smaller_size(tiny: Any) -> None:
    generator = tiny.double()
    with torch.no_grad():
        fast, plain = (generator.render(*inputs(generator), size=16, plain=p).image for p in (False, True))
    assert fast.shape == plain.shape == (1, 3, 16, 16)
    torch.testing.assert_close(fast, plain, rtol=0, atol=1e-10)
    for how in (False, True):
        with pytest.raises(BadInput, match="not 24"):
            generator.render(*inputs(generator), size=24, plain=how)


def test_the_background_is_kept_while_it_can_be(tiny: Any) -> None:
    generator = tiny.double()
    with torch.no_grad():
        ws, cameras, code = inputs(generator, 2)
        person = FoldedGenerator(generator, ws[:1], code[:1])
        first = person.background(cameras[:1], True)
        assert person.background(cameras[1:], True) is first
        moving = person.background(cameras[:1], False)
        assert person.background(cameras[1:], False) is not moving
        for frozen in (True, False):
            image = person.render(cameras[1:], freeze_background=frozen).image
            fresh = generator.render(ws[:1], cameras[1:], code[:1], freeze_background=frozen).image
            torch.testing.assert_close(image, fresh, rtol=0, atol=1e-12)


def test_cameras() -> None:
    config = load_generator(tiny_config("nn_cat"), tiny_state("nn_cat")).config
    front = camera_at(config.camera, [0.5, 0.5, 0.5], torch.float64)
    torch.testing.assert_close(front[0, :3], torch.tensor([[0, 0, 1, 1], [1, 0, 0, 0], [0, 1, 0, 0.0]]).double(),
                               atol=1e-7, rtol=0)  # fmt: skip
    centre, rays = pixel_rays(config, front)
    assert rays.shape == (1, 64, 3) and bool((rays[0, 0, 1:] * torch.tensor([-1, 1]) > 0).all())  # top left
    torch.testing.assert_close(rays[..., 0], -torch.ones(1, 64).double(), atol=1e-7, rtol=0)
    drawn = random_camera(config.camera, 500, np.random.RandomState(0), torch.Generator().manual_seed(0))
    azimuth = torch.atan2(drawn[:, 1, 3], drawn[:, 0, 3])
    assert abs(float(azimuth.std()) - 0.3) < 0.03 and float(drawn[:, :3, 3].norm(dim=1).sub(1).abs().max()) < 1e-5


def test_compiling_falls_back_with_a_warning(tiny: Any) -> None:
    def refuse(*arguments: Any) -> Any:
        raise RuntimeError("no compiler\nand much more")

    generator = tiny.double()
    with torch.no_grad():
        person = FoldedGenerator(generator, *inputs(generator)[::2])
        camera = inputs(generator)[1]
        wanted = person.render(camera).image
        person.upsample = with_fallback(refuse, upsample)
        with pytest.warns(UserWarning, match=r"\(no compiler\)"):
            torch.testing.assert_close(person.render(camera).image, wanted)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            person.render(camera)


def test_compiled_pictures_are_the_same() -> None:
    """Where nothing compiles, that is said, and they are the same too."""
    generator = load_generator(tiny_config("pixelshuffle"), tiny_state("pixelshuffle"))
    told: list[str] = []
    with torch.no_grad():
        ws, camera, code = inputs(generator, dtype=torch.float32)
        person = FoldedGenerator(generator, ws, code)
        wanted = person.render(camera).image
        person.compile(tell=told.append)
        for _ in range(2):
            torch.testing.assert_close(person.render(camera).image, wanted, rtol=0, atol=1e-5)
        assert len(told) <= 1 and all("going on without" in line for line in told)
        person.compile(wanted=False)
        assert person.upsample is upsample


def test_out_of_memory_is_answered_by_smaller_strips(tiny: Any) -> None:
    generator = tiny.double()
    asked: list[int | None] = []

    def small(blocks: Any, features: Any, rgb: Any, strip: int | None, save: bool) -> Any:
        asked.append(strip)
        if strip is None or strip > 4096:
            raise torch.cuda.OutOfMemoryError
        return upsample(blocks, features, rgb, strip, save)

    with torch.no_grad():
        person = FoldedGenerator(generator, *inputs(generator)[::2])
        wanted = person.render(inputs(generator)[1]).image
        person.upsample = small
        for memory in (None, None, 16):
            found = person.render(inputs(generator)[1], memory_mb=memory).image
            torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
    assert asked == [16384, 8192, 4096, 4096, 2048]


def test_out_of_memory_in_the_volume_is_answered_by_fewer_points(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = tiny.double()
    evaluate = FoldedNerf._density

    def small(nerf: FoldedNerf, encoded: Any) -> Any:
        if encoded.shape[1] > 100:
            raise torch.cuda.OutOfMemoryError
        return evaluate(nerf, encoded)

    monkeypatch.setattr(folded, "POINTS", 256)
    with torch.no_grad():
        wanted = generator.render(*inputs(generator)).image
        monkeypatch.setattr(FoldedNerf, "_density", small)
        person = FoldedGenerator(generator, *inputs(generator)[::2])
        found = person.render(inputs(generator)[1]).image
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
    assert person.foreground.points.size == 64


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["full", "mixed"])
def test_a_gpu_makes_the_same_picture(tiny: Any, precision: str) -> None:
    generator = tiny.float()
    with torch.no_grad():
        arguments = inputs(generator, dtype=torch.float32)
        positions = generator.render(*arguments).volume.positions
        wanted = generator.render(*arguments, positions=positions, precision=precision).image
        on_gpu = type(positions)(*(t.cuda() for t in (positions.coarse, positions.fine)))
        try:
            found = generator.cuda().render(*(t.cuda() for t in arguments), positions=on_gpu, precision=precision)
        finally:
            generator.cpu()
    torch.testing.assert_close(found.image.cpu(), wanted, rtol=0, atol=2e-3 if precision == "full" else 2e-2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_compiled_for_a_gpu(tiny: Any) -> None:
    generator = tiny.float()
    with torch.no_grad():
        ws, camera, code = (t.cuda() for t in inputs(generator, dtype=torch.float32))
        try:
            person = FoldedGenerator(generator.cuda(), ws, code)
        finally:
            generator.cpu()
        wanted = person.render(camera)
        person.compile()
        found = person.render(camera, positions=wanted.volume.positions)
    torch.testing.assert_close(found.image, wanted.image, rtol=0, atol=2e-3)


if __name__ == "__main__":
    arrays = {k: v.astype(np.float32) for mode in ("pixelshuffle", "nn_cat") for k, v in golden(mode).items()}
    np.savez_compressed(GOLDEN, **arrays)
