"""Official files come in whole and unchanged; whatever is wrong with one is said once, by name, and nothing is kept."""

from __future__ import annotations

import errno
import json
import math
import pickle
import zipfile
from pathlib import Path

import numpy as np
import official
import pytest
import torch
from safetensors.numpy import save_file
from scipy.io import loadmat, savemat

from elocute import doctor, jobs
from elocute.errors import BadInput, EnvironmentProblem
from elocute.models import layouts, matlab, snapshot
from elocute.models.importing import import_files
from elocute.models.inert import Tensor
from elocute.models.official import OFFICIAL, imported, missing_roles, official_folder
from elocute.models.torch_files import read_legacy, read_tar, read_zip


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    """A models folder of the test's own."""
    monkeypatch.setenv("ELOCUTE_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def refused(*paths):
    """The code with which files are refused; nothing may be left behind."""
    before = sorted(official_folder().rglob("*")) if official_folder().exists() else []
    with pytest.raises(BadInput) as caught:
        import_files(paths)
    after = sorted(official_folder().rglob("*")) if official_folder().exists() else []
    assert after == before
    assert "\n" not in caught.value.message and caught.value.message.endswith(".")
    return caught.value.code


def same(role, weights):
    kept = imported(role).arrays()
    assert kept.keys() == weights.keys()
    for name, value in weights.items():
        assert np.array_equal(kept[name], value), name
    return True


# What comes in --------------------------------------------------------------------------------------------------------
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


@pytest.mark.parametrize("container", ["zip", "legacy", "tar"])
def test_every_container_that_torch_has_had(tmp_path, container):
    state = official.tensors({"a": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.ones((), np.float32)})
    official.write_torch(tmp_path / "x.pt", state, container)
    theirs = torch.load(tmp_path / "x.pt", weights_only=container != "tar")  # the writer of this test is right
    reader = {"zip": read_zip, "legacy": read_legacy, "tar": read_tar}[container]
    ours = reader(memoryview((tmp_path / "x.pt").read_bytes()))
    for name, value in theirs.items():
        assert np.array_equal(ours[name].array(), value.numpy())


@pytest.mark.parametrize("legacy", [True, False])
def test_tensors_are_views_of_every_type(legacy, tmp_path):
    base = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    state = {"sliced": base[1:4, ::2], "turned": base.t(), "half": base.half(), "brain": base.bfloat16(),
             "whole": torch.arange(5), "flags": torch.tensor([True, False]), "none": torch.zeros(0, 3),
             "parameter": torch.nn.Parameter(base)}  # fmt: skip
    torch.save(state, tmp_path / "x.pt", _use_new_zipfile_serialization=not legacy)
    ours = (read_legacy if legacy else read_zip)(memoryview((tmp_path / "x.pt").read_bytes()))
    for name, value in state.items():
        assert isinstance(ours[name], Tensor)
        plain = value.detach().float() if value.dtype == torch.bfloat16 else value.detach()
        assert np.array_equal(ours[name].array(), plain.numpy()), name


def test_everything_in_one_command(tmp_path):
    files = official.write_all(tmp_path / "files", official.generator_arguments(), lpips=True)
    filled = import_files(files)
    assert {entry.role for entry in filled} == {entry.role for entry in OFFICIAL}
    assert missing_roles() == []
    assert same("face_regressor", official.regressor_weights())
    assert same("speech_expression", official.random_weights(layouts.speech_expression()))
    assert same("segmentation", official.random_weights(layouts.segmentation()))
    vgg = imported("lpips_vgg").arrays()
    backbone = official.random_weights(layouts.vgg16())
    assert np.array_equal(vgg["net.slice5.28.weight"], backbone["features.28.weight"])
    assert vgg["lin4.model.1.weight"].shape == (1, 512, 1, 1) and len(vgg) == 2 * 13 + 5
    kept = {path.name for path in official_folder().iterdir()}
    assert kept == {f"{entry.role}.{kind}" for entry in OFFICIAL for kind in ("json", "safetensors")}
    note = json.loads((official_folder() / "lpips_alex.json").read_text())
    assert [source["file"] for source in note["sources"]] == ["backbone-alex.pth", "alex.pth"]
    assert note["licence"] and note["source"] and len(note["sources"][0]["sha256"]) == 64
    rows = jobs.models(False, lambda message: None)["official"]
    assert all(row["present"] and row["imported_from"] for row in rows)
    assert all(check["ok"] for check in doctor.examine()["checks"] if check["name"].startswith("official"))


def test_names_of_a_network_that_was_trained_on_several_devices(tmp_path):
    def parallel(weights):
        return official.tensors({f"module.{name}": value for name, value in weights.items()})

    mouth, regressor = official.random_weights(layouts.mouth()), official.regressor_weights()
    official.write_torch(tmp_path / "m.pt", {"model_state_dict": parallel(mouth)})
    official.write_torch(tmp_path / "r.pth", {"net_recon": parallel(regressor)})
    import_files([tmp_path / "m.pt", tmp_path / "r.pth"])
    assert same("mouth", mouth) and same("face_regressor", regressor)


def test_a_file_that_was_packed_again(tmp_path):
    weights = official.write_mouth(tmp_path / "m.pt")
    with zipfile.ZipFile(tmp_path / "m.pt") as there:
        with zipfile.ZipFile(tmp_path / "again.pt", "w", zipfile.ZIP_DEFLATED) as made:
            for name in there.namelist():
                made.writestr(name, there.read(name))
    import_files([tmp_path / "again.pt"])
    assert same("mouth", weights)


def test_sadtalker_brings_the_face_regressor_unless_there_is_one(tmp_path):
    official.write_sadtalker(tmp_path / "sad.safetensors")
    official.write_face_regressor(tmp_path / "epoch_20.pth")
    both = import_files([tmp_path / "sad.safetensors"])
    assert {entry.role for entry in both} == {"speech_expression", "face_regressor"}
    import_files([tmp_path / "sad.safetensors"])  # again: it may replace itself
    import_files([tmp_path / "epoch_20.pth"])
    (speech,) = import_files([tmp_path / "sad.safetensors"])
    assert speech.role == "speech_expression"
    assert imported("face_regressor").note["sources"][0]["file"] == "epoch_20.pth"


def test_a_face_model_s_vectors_may_stand_or_lie(tmp_path):
    model = official.face_model()
    turned = {name: model[name].reshape(-1, 1) for name in ("meantex", "keypoints", "skinmask")}
    official.write_face_model(tmp_path / "m.mat", meanshape=model["meanshape"].reshape(-1, 3), **turned)
    import_files([tmp_path / "m.mat"])
    kept = imported("face_model").arrays()
    for name in ("meanshape", "meantex", "keypoints", "skinmask"):
        assert np.array_equal(kept[name].reshape(-1), model[name].reshape(-1)), name


@pytest.mark.parametrize("compressed", [True, False])
def test_a_face_model(tmp_path, compressed):
    content = official.write_face_model(tmp_path / "m.mat", compressed)
    import_files([tmp_path / "m.mat"])
    kept = imported("face_model").arrays()
    assert kept["tri"].dtype == np.int32 and kept["idBase"].dtype == np.float32
    for name, value in content.items():
        assert np.array_equal(kept[name], value), name


def test_the_face_model_s_parts(tmp_path, monkeypatch):
    files, model = official.write_face_parts(tmp_path)
    monkeypatch.setattr(matlab, "EXPRESSION_VERTICES", model["skinmask"].size + 24)
    assert refused(*files[1:]) == "import_incomplete"
    (filled,) = import_files(files)
    assert filled.role == "face_model" and len(filled.sources) == 6
    kept = imported("face_model").arrays()
    assert kept.keys() == model.keys()
    for name, value in model.items():
        assert np.allclose(kept[name].reshape(value.shape), value, rtol=1e-5, atol=1e-5), name
    for file, name, value in ((files[3], "idx", 0), (files[4], "trimIndex", 1.5)):
        whole = file.read_bytes()
        changed = loadmat(file)[name].astype(float)
        changed.flat[0] = value
        savemat(file, {name: changed})
        assert refused(*files) == "import_values", name
        file.write_bytes(whole)
    monkeypatch.setattr(matlab, "EXPRESSION_VERTICES", model["skinmask"].size)
    assert refused(*files) == "import_unknown"  # the binary part is known by its length


# What is refused ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "import_damaged"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 193000000\n", "import_lfs_pointer"),
        (b"\n<!DOCTYPE html><html><title>Sign in</title>", "import_html"),
        (b"hello", "import_unknown"),
        (b"\x89HDF\r\n\x1a\n" + bytes(600), "import_unknown"),
        (b"MATLAB 5.0 MAT-file" + bytes(300), "import_damaged"),
        (b"\x80\x04", "import_damaged"),
        (b"PK\x03\x04" + bytes(100), "import_damaged"),
        ((8).to_bytes(8, "little") + b"{}      " + b"junk", "import_damaged"),
        ((2).to_bytes(8, "little") + b"{}", "import_unknown"),
    ],
)
def test_what_is_no_official_file(tmp_path, content, code):
    (tmp_path / "file").write_bytes(content)
    assert refused(tmp_path / "file") == code


def test_what_is_no_file(tmp_path):
    assert refused(tmp_path / "nowhere.pkl") == "import_not_found"
    assert refused(tmp_path) == "import_not_a_file"


@pytest.mark.parametrize("part", [0.02, 0.5, 0.995])
@pytest.mark.parametrize("kind", ["generator", "mouth", "legacy", "tar", "safetensors", "mat", "compressed mat"])
def test_a_file_that_was_cut_off(tmp_path, kind, part):
    path = tmp_path / "file"
    weights = official.random_weights(layouts.mouth())
    if kind == "generator":
        official.write_generator(path, official.generator_arguments())
    elif kind == "mouth":
        official.write_mouth(path)
    elif kind in ("legacy", "tar"):
        official.write_torch(path, official.tensors(weights), kind)
    elif kind == "safetensors":
        official.write_sadtalker(path, with_regressor=False)
    else:
        official.write_face_model(path, kind == "compressed mat")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    assert refused(path) == "import_damaged"


def changed(path, change):
    weights = official.random_weights(layouts.mouth())
    change(weights)
    official.write_torch(path, {"model_state_dict": official.tensors(weights)})
    return refused(path)


def test_another_network(tmp_path):
    path = tmp_path / "LipaintNet.pt"
    assert changed(path, lambda w: w.pop("fc2.bias")) == "import_missing_keys"
    assert changed(path, lambda w: w.update(fc9=np.zeros(3))) == "import_extra_keys"
    assert changed(path, lambda w: w.update({"fc2.bias": np.zeros(511)})) == "import_shapes"
    assert changed(path, lambda w: w.update({"fc2.bias": np.full(512, np.nan)})) == "import_values"
    official.write_torch(path, {"model_state_dict": {"fc1.weight": torch.zeros(1), "fc4.weight": "no tensor"}})
    assert refused(path) == "import_unknown"
    official.write_torch(path, torch.zeros(3))
    assert refused(path) == "import_unknown"


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


def test_another_face_model(tmp_path):
    path = tmp_path / "m.mat"
    model = official.face_model()
    for name, value, code in (
        ("idBase", model["idBase"][:-1], "import_shapes"), ("keypoints", np.full((1, 68), 577.0), "import_values"),
        ("tri", model["tri"] * 0, "import_values"), ("meanshape", model["meanshape"] * np.nan, "import_values"),
        ("idBase", model["idBase"].T, "import_shapes"), ("exBase", model["exBase"].T, "import_shapes"),
        ("tri", model["tri"].T, "import_shapes"), ("tri_mask2", model["tri_mask2"].T, "import_shapes"),
        ("meanshape", model["meanshape"].reshape(-1, 3).T, "import_shapes"),
        ("keypoints", model["keypoints"] + 0.25, "import_values"), ("tri", model["tri"] + 0.5, "import_values"),
        ("meanshape", model["meanshape"] + 1j, "import_values"), ("tri", model["tri"] + 1j, "import_values"),
        ("skinmask", np.array(["skin"]), "import_damaged"),
    ):  # fmt: skip
        official.write_face_model(path, **{name: value})
        assert refused(path) == code, name
    for name in ("tri", "tri_mask2"):
        official.write_face_model(path, **{name: model[name].T})
        with pytest.raises(BadInput, match=rf"has {name} of shape \[3, \d+\] and not \[\.\.\., 3\]"):
            import_files([path])
    del model["skinmask"]
    savemat(path, model)
    assert refused(path) == "import_missing_keys"
    savemat(path, {"x": np.zeros(3)})
    assert refused(path) == "import_unknown"
    savemat(path, {**official.face_model(), "idBase": np.array([{"a": 1}], object)})
    assert refused(path) == "import_damaged"


def test_parts_and_doubles(tmp_path):
    alex = official.write_lpips(tmp_path, "alex", "zip")
    assert refused(alex[0]) == "import_incomplete"
    assert refused(alex[1]) == "import_incomplete"
    official.write_mouth(tmp_path / "a.pt")
    official.write_torch(tmp_path / "b.pt", official.tensors(official.random_weights(layouts.mouth())))
    assert refused(tmp_path / "a.pt", tmp_path / "b.pt") == "import_twice"
    (filled,) = import_files([tmp_path / "a.pt", tmp_path / "a.pt"])  # the same file twice is one file
    assert filled.role == "mouth"


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")
def test_a_program_is_refused(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "vgg16.pt")
    with pytest.raises(BadInput, match=r"torchvision's vgg16-397923af\.pth .* weights/v0\.1/vgg\.pth") as caught:
        import_files([tmp_path / "vgg16.pt"])
    assert caught.value.code == "import_torchscript"


def test_one_bad_file_keeps_the_others_out_and_what_was_there_in(tmp_path):
    official.write_mouth(tmp_path / "LipaintNet.pt")
    import_files([tmp_path / "LipaintNet.pt"])
    kept = (official_folder() / "mouth.safetensors").read_bytes()
    official.write_sadtalker(tmp_path / "sad.safetensors", with_regressor=False)
    (tmp_path / "seg.pth").write_bytes(b"<html>")
    assert refused(tmp_path / "sad.safetensors", tmp_path / "seg.pth") == "import_html"
    assert (official_folder() / "mouth.safetensors").read_bytes() == kept and imported("mouth")


def test_a_note_that_can_not_be_written_keeps_all_of_the_command_out(tmp_path, monkeypatch):
    official.write_sadtalker(tmp_path / "sad.safetensors", with_regressor=False)
    official.write_mouth(tmp_path / "LipaintNet.pt")
    write = Path.write_bytes

    def full(path, data):
        if "mouth" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(EnvironmentProblem) as caught:
        import_files([tmp_path / "sad.safetensors", tmp_path / "LipaintNet.pt"])
    assert caught.value.code == "disk_full" and not list(official_folder().iterdir())


def test_an_import_that_was_changed_afterwards_is_noticed(tmp_path):
    with pytest.raises(EnvironmentProblem) as caught:
        imported("mouth")
    assert caught.value.code == "model_not_imported" and "elocute models import" in caught.value.message
    official.write_mouth(tmp_path / "LipaintNet.pt")
    import_files([tmp_path / "LipaintNet.pt"])
    save_file({"fc1.weight": np.zeros(3, np.float32)}, official_folder() / "mouth.safetensors")
    for content in (None, "{}", "[]", "no json"):
        if content:
            (official_folder() / "mouth.json").write_text(content)
        with pytest.raises(EnvironmentProblem) as caught:
            imported("mouth")
        assert caught.value.code == "model_hash"
    (check,) = [c for c in doctor.examine()["checks"] if c["name"] == "official mouth"]
    assert not check["ok"] and not check["needed"] and "import" in check["fix"]


def test_batch_counters_may_be_missing(tmp_path):
    weights = official.random_weights(layouts.segmentation())
    fewer = {name: value for name, value in weights.items() if not name.endswith("num_batches_tracked")}
    official.write_torch(tmp_path / "seg.pth", official.tensors(fewer))
    import_files([tmp_path / "seg.pth"])
    assert same("segmentation", weights)


def test_a_zip_that_is_no_torch_file(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("BFM/readme.txt", "hello")
    assert refused(tmp_path / "x.zip") == "import_unknown"


PARITY = Path(__file__).resolve().parents[3] / "shared" / "parity"


@pytest.mark.skipif(not PARITY.is_dir(), reason="the recorded name lists are not here")
def test_layouts_are_the_recorded_ones():
    def recorded(name):
        listed = json.loads((PARITY / name).read_text()).items()
        return {key: tuple(value[0]) if value and isinstance(value[-1], str) else tuple(value) for key, value in listed}

    assert layouts.face_regressor() == recorded("deep3d/net_recon_state_dict.json")
    assert layouts.segmentation() == recorded("nets/bisenet_state_dict.json")
    assert layouts.speech_expression() == recorded("audio/audio2exp_state_dict.json")
    assert layouts.mouth() == recorded("nets/transfer_decoder_state_dict.json")
    kinds = (("pixelshuffle", official.FULL, "likely_pshuf_cb2"), ("nn_cat", official.YAML, "yaml_nncat_cb1"))
    for mode, sizes, name in kinds:
        wanted = recorded(f"stylenerf_1024_{name}_state_dict.json")
        assert official.generator_layout(official.generator_arguments(1024, mode, sizes)) == wanted
