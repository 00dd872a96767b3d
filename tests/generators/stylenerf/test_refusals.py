"""Arguments, options and arrays that a generator can't compute are refused by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from stylenerf_samples import CAMERA, inputs, tiny_config, tiny_state

from elocute.errors import BadInput
from elocute.generators.stylenerf.generator import FoldedGenerator
from elocute.generators.stylenerf.mixing import FeatureMix
from elocute.generators.stylenerf.volume import Positions
from elocute.models import load_generator


def wrong(call: Any) -> str:
    """What is said about an argument that doesn't fit."""
    with pytest.raises(BadInput) as caught:
        call()
    assert caught.value.code == "generator_input_wrong"
    return caught.value.message


@pytest.mark.parametrize("plain", [False, True])
def test_arguments_that_do_not_fit_are_named(plain: bool) -> None:
    generator = load_generator(tiny_config("nn_cat"), tiny_state("nn_cat"))
    ws, camera, code = inputs(generator, 2, torch.float32)
    features, side = generator.config.features, generator.config.volume_resolution

    def render(w: torch.Tensor = ws, c: torch.Tensor = camera, b: torch.Tensor = code, **more: Any) -> str:
        return wrong(lambda: generator.render(w, c, b, plain=plain, **more))

    for nothing in (ws[:0], torch.tensor(1.0)):
        assert "ws has the shape" in render(nothing) and "camera has the shape" in render(c=nothing)
        assert "background has the shape" in render(b=nothing)
    assert "which is for no picture" in render(ws[:0], camera[:0])
    assert "ws is float64 and the generator float32" in render(ws.double())
    assert "background has the shape [2, 3], not [2, 4]" in render(b=code[:, :-1])
    assert "camera is for 2 pictures and not for 3" in render(ws.repeat(2, 1, 1)[:3])
    assert "deform is for 1 pictures and not for 2" in render(deform=[lambda points, fine: points])
    for shape in ((2, features + 1, side, side), (2, features, side, side + 1), (features, side, side)):
        assert "mix.features has the shape" in render(mix=FeatureMix(torch.zeros(shape)))
    fitting = torch.zeros(2, features, side, side)
    assert "mix.features is for 3" in render(mix=FeatureMix(fitting.repeat(2, 1, 1, 1)[:3]))
    assert "mix.mask has the shape" in render(mix=FeatureMix(fitting, torch.zeros(2, 64, 64)))
    places = torch.zeros(2, generator.config.rays, 3)
    assert "positions.coarse is for 3" in render(positions=Positions(places.repeat(2, 1, 1)[:3]))
    assert "positions.fine has the shape" in render(positions=Positions(places, places[:, 1:]))
    assert "positions.coarse has the shape" in render(positions=Positions(places[..., None]))
    assert "z has the shape [2, 15], not [2, 16]" in wrong(lambda: generator.mapping(torch.zeros(2, 15)))
    assert "z has the shape" in wrong(lambda: generator.mapping(torch.zeros(16)))


def test_a_folded_generator_names_them_too() -> None:
    generator = load_generator(tiny_config("nn_cat"), tiny_state("nn_cat"))
    ws, camera, code = inputs(generator, 1, torch.float32)
    assert "float64" in wrong(lambda: FoldedGenerator(generator, ws.double()))
    folded = FoldedGenerator(generator, ws, code)
    assert "mix.features" in wrong(lambda: folded.render(camera, mix=FeatureMix(torch.zeros(1, 3, 8, 8))))


@pytest.mark.parametrize(("synthesis", "code"), [
    ({"upsample_mode": "nearest_up"}, "generator_option_unknown"),
    ({"upsample_mode": "nn_cat"}, "generator_config_mismatch"),
    ({"rgb_out_dim": 5}, "generator_config_mismatch"),
    ({"use_noise": True}, "generator_option_unknown"),
    ({"renderer_kwargs": {"n_ray_samples": 1}}, "generator_option_wrong"),
    ({"renderer_kwargs": {"n_ray_samples": 2}}, "generator_option_wrong"),  # nothing to draw between
    ({"camera_kwargs": {**CAMERA, "fov": float("nan")}}, "generator_option_wrong"),
    ({"background_kwargs": {"n_freq_posenc": 30}}, "generator_option_wrong"),  # more than the layer's inputs
    ({"background_kwargs": {"n_freq_posenc": 0}}, "generator_option_wrong"),
    ({"camera_kwargs": {**CAMERA, "depth_transform": "LogWarp"}}, "generator_option_unknown"),
    ({"camera_kwargs": {**CAMERA, "range_u": 0.3}}, "generator_option_wrong"),
    ({"resolution_vol": "large"}, "generator_option_wrong"),
])  # fmt: skip
def test_refuses_other_options(synthesis: dict[str, Any], code: str) -> None:
    with pytest.raises(BadInput) as error:
        load_generator(tiny_config("pixelshuffle", **synthesis), tiny_state("pixelshuffle"))
    assert error.value.code == code


def test_a_size_that_is_not_told_is_asked_for() -> None:
    config = tiny_config("pixelshuffle", resolution_vol=None)
    del config["img_resolution"]
    with pytest.raises(BadInput, match="img_resolution") as error:
        load_generator(config, tiny_state("pixelshuffle"))
    assert error.value.code == "generator_option_wrong"


@pytest.mark.parametrize(("change", "code"), [
    (lambda s: s.pop("synthesis.b32.torgb.bias"), "generator_arrays_missing"),
    (lambda s: s.pop("mapping.w_avg"), "generator_arrays_missing"),
    (lambda s: s.update({"synthesis.b32.extra": torch.ones(2)}), "generator_arrays_unknown"),
    (lambda s: s.update({"synthesis.b32.conv1.weight": torch.ones(8, 7, 1, 1)}), "generator_arrays_wrong"),
    (lambda s: s.update({"synthesis.alpha": torch.tensor(0.5)}), "generator_unfinished"),
    (lambda s: s.update({"synthesis.b32.conv1.resample_filter": torch.ones(4, 4)}), "generator_option_unknown"),
])  # fmt: skip
def test_refuses_other_arrays(change: Any, code: str) -> None:
    state = tiny_state("pixelshuffle")
    change(state)
    with pytest.raises(BadInput) as error:
        load_generator(tiny_config("pixelshuffle"), state)
    assert error.value.code == code


def test_inputs_of_the_wrong_shape(tiny: Any) -> None:
    generator = tiny.double()
    ws, camera, code = inputs(generator)
    with pytest.raises(BadInput, match="ws"):
        generator.render(ws[:, :3], camera, code)
    with pytest.raises(BadInput, match="camera"):
        generator.render(ws, camera[:, :3], code)
    with pytest.raises(BadInput, match="precision"):
        generator.render(ws, camera, code, precision="double")
