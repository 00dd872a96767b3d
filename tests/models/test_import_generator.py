"""A training snapshot comes in whatever way its generator was described, and is refused where no run could load it."""

from __future__ import annotations

import json
import math
import pickle

import numpy as np
import official
import pytest
import torch
from import_checks import refused, same

from elocute.errors import BadInput
from elocute.models import snapshot
from elocute.models.importing import import_files
from elocute.models.official import imported

pytestmark = pytest.mark.usefixtures("models")


@pytest.mark.parametrize("protocol", [2, 3, 4])  # of Python 3.7, which the official files come from, and later
@pytest.mark.parametrize("layout", ["nested", "flat", "defaults"])
def test_a_training_snapshot(tmp_path, protocol, layout):
    arguments = official.generator_arguments(mode="nn_cat" if layout == "flat" else "pixelshuffle", layout=layout)
    weights = official.write_generator(tmp_path / "g.pkl", arguments, protocol=protocol)
    (filled,) = import_files([tmp_path / "g.pkl"])
    assert filled.role == "generator" and same("generator", weights)
    assert imported("generator").config == json.loads(json.dumps(arguments))


def test_buffers_that_a_file_leaves_out_are_those_of_a_new_generator(tmp_path):
    arguments = official.generator_arguments()
    weights = official.generator_weights(official.generator_layout(arguments))
    fewer = {name: v for name, v in weights.items() if not name.endswith(("resample_filter", "conv0.w_avg"))}
    assert len(fewer) < len(weights)
    official.write_generator(tmp_path / "g.pkl", arguments, fewer)
    import_files([tmp_path / "g.pkl"])
    assert same("generator", weights)


def left_out(group, *names):
    """Generator arguments without options of a group, whose classes then decide."""
    arguments = official.generator_arguments()
    options = arguments["synthesis_kwargs"] if group is None else arguments["synthesis_kwargs"][group]
    for name in names:
        del options[name]
    return arguments


def test_a_generator_without_a_background(tmp_path):
    arguments = official.generator_arguments()
    weights = official.generator_weights(official.generator_layout(arguments))
    fewer = {name: value for name, value in weights.items() if ".bg_nerf." not in name}
    arguments["synthesis_kwargs"]["renderer_kwargs"]["no_background"] = True
    official.write_generator(tmp_path / "g.pkl", arguments, fewer)
    import_files([tmp_path / "g.pkl"])
    assert same("generator", fewer)


@pytest.mark.parametrize(
    "arguments",
    [left_out(None, "channel_base", "channel_max"), left_out(None, "z_dim_bg"), left_out(None, "kernel_size"),
     left_out("foreground_kwargs", "hidden_size"), left_out("background_kwargs", "hidden_size", "n_blocks")],
)  # fmt: skip
def test_what_the_arguments_leave_out_the_arrays_tell(tmp_path, arguments):
    weights = official.generator_weights(official.generator_layout(official.generator_arguments()))
    official.write_generator(tmp_path / "g.pkl", arguments, weights)
    import_files([tmp_path / "g.pkl"])
    assert same("generator", weights)


def test_channels_in_a_group_of_their_own(tmp_path):
    whole = official.generator_arguments(sizes={**official.SMALL, "base": 2, "channels": 24})
    weights = official.generator_weights(official.generator_layout(whole))
    synthesis = dict(whole["synthesis_kwargs"])
    del synthesis["channel_base"], synthesis["channel_max"]
    official.write_generator(tmp_path / "g.pkl", {**whole, "synthesis_kwargs": synthesis}, weights)
    import_files([tmp_path / "g.pkl"])
    assert same("generator", weights)


def test_arguments_that_were_given_by_position(tmp_path):
    arguments = official.generator_arguments()
    weights = official.generator_weights(official.generator_layout(arguments))
    rest = {name: value for name, value in arguments.items() if name not in snapshot.POSITIONS}
    with official.training_modules() as code:
        made = official.network(code.reconstruct, "Generator", weights, "", _init_kwargs=rest,
                                _init_args=tuple(arguments[name] for name in snapshot.POSITIONS))  # fmt: skip
        (tmp_path / "g.pkl").write_bytes(pickle.dumps({"G_ema": made}))
    import_files([tmp_path / "g.pkl"])
    assert imported("generator").config == json.loads(json.dumps(arguments))


def test_another_generator(tmp_path):
    path, arguments = tmp_path / "g.pkl", official.generator_arguments()
    weights = official.generator_weights(official.generator_layout(arguments))

    def write(**instead):
        official.write_generator(path, arguments, {**weights, **instead})
        return refused(path)

    assert write(**{"synthesis.alpha": np.float32(-1)}) == "import_alpha"
    assert write(**{"synthesis.b64.conv1.bias": np.zeros(31, np.float32)}) == "import_shapes"
    assert write(**{"synthesis.b64.conv2.bias": np.zeros(32, np.float32)}) == "import_extra_keys"
    official.write_generator(path, arguments, {n: v for n, v in weights.items() if n != "mapping.fc7.bias"})
    assert refused(path) == "import_missing_keys"
    official.write_generator(path, {**arguments, "img_resolution": 256}, weights)
    assert refused(path) == "import_damaged"
    official.write_generator(path, {"z_dim": 64}, weights)
    assert refused(path) == "import_damaged"


@pytest.mark.parametrize(
    ("group", "option", "value", "code"),
    [("camera_kwargs", "depth_transform", "LogWarp", "import_unsupported"),
     ("renderer_kwargs", "sigma_type", "softplus", "import_unsupported"),
     ("camera_kwargs", "range_u", "wide", "import_damaged"), ("camera_kwargs", "range_u", 3, "import_damaged"),
     ("camera_kwargs", "range_v", [1, 2, 3], "import_damaged"), ("camera_kwargs", "fov", "wide", "import_damaged"),
     ("renderer_kwargs", "n_ray_samples", "many", "import_damaged"),
     *(("renderer_kwargs", "n_ray_samples", count, "import_damaged") for count in (-3, 0, 1, 10**30)),
     ("renderer_kwargs", "n_bg_samples", 0, "import_damaged"),
     *(("camera_kwargs", "fov", angle, "import_damaged") for angle in (math.nan, math.inf, 0, 180)),
     ("camera_kwargs", "range_u", [0, math.nan], "import_damaged"),
     ("camera_kwargs", "depth_range", [-math.inf, 1], "import_damaged"),
     ("camera_kwargs", "bg_start", math.nan, "import_damaged"),
     (None, "conv_clamp", -1, "import_damaged"), (None, "conv_clamp", math.nan, "import_damaged"),
     (None, "upsample_mode", "nn_cat", "import_damaged"), (None, "upsample_mode", "deconv", "import_unsupported")],
)  # fmt: skip
def test_a_generator_that_no_run_could_load_is_refused_at_once(tmp_path, group, option, value, code):
    arguments = official.generator_arguments()
    weights = official.generator_weights(official.generator_layout(arguments))
    synthesis = arguments["synthesis_kwargs"]
    (synthesis if group is None else synthesis[group])[option] = value
    official.write_generator(tmp_path / "g.pkl", arguments, weights)
    assert refused(tmp_path / "g.pkl") == code


@pytest.mark.parametrize(("group", "option"), [("background_kwargs", "n_blocks"), ("mapping_kwargs", "num_layers")])
def test_a_generator_of_endless_layers_is_refused_at_once(tmp_path, group, option):
    arguments = official.generator_arguments()
    weights = official.generator_weights(official.generator_layout(arguments))
    (arguments if group in arguments else arguments["synthesis_kwargs"])[group][option] = 10**6
    official.write_generator(tmp_path / "g.pkl", arguments, weights)
    assert refused(tmp_path / "g.pkl") == "import_damaged"


@pytest.mark.parametrize("error", [RuntimeError, IndexError])
def test_a_generator_that_fails_while_it_is_tried_is_damaged(tmp_path, monkeypatch, error):
    def fail(*_):
        raise error("no such size")

    official.write_generator(tmp_path / "g.pkl", official.generator_arguments())
    monkeypatch.setattr("elocute.models.load_generator", fail)
    assert refused(tmp_path / "g.pkl") == "import_damaged"


@pytest.mark.parametrize("group", ["mapping_kwargs", "synthesis_kwargs", "renderer_kwargs", "camera_kwargs",
                                   "upsampler_kwargs", "foreground_kwargs", "background_kwargs"])  # fmt: skip
def test_what_should_be_a_group_of_options_is_named(tmp_path, group):
    arguments = official.generator_arguments()
    weights = official.generator_weights(official.generator_layout(arguments))
    (arguments if group in arguments else arguments["synthesis_kwargs"])[group] = [1]
    official.write_generator(tmp_path / "g.pkl", arguments, weights)
    with pytest.raises(BadInput, match=f"{group} are no group of options") as caught:
        import_files([tmp_path / "g.pkl"])
    assert caught.value.code == "import_damaged"


def test_a_person_s_own_generator_is_no_official_one(tmp_path):
    weights = official.generator_weights(official.generator_layout(official.generator_arguments()))
    with official.training_modules() as code:
        torch.save(official.network(code.reconstruct, "Generator", weights, ""), tmp_path / "G_PTI.pt")
    assert refused(tmp_path / "G_PTI.pt") == "import_unknown"
