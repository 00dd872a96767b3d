"""Whatever is wrong with an official file is said once, by name, and nothing is kept."""

from __future__ import annotations

import errno
import os
import zipfile
from pathlib import Path

import numpy as np
import official
import pytest
import torch
from import_checks import refused, same
from scipy.io import savemat

from elocute.errors import BadInput, EnvironmentProblem
from elocute.models import layouts
from elocute.models.importing import import_files
from elocute.models.official import imported, official_folder

pytestmark = pytest.mark.usefixtures("models")


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


@pytest.mark.parametrize("part", [0.0002, 0.02, 0.5, 0.995])
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
    assert caught.value.code == "disk_full" and not official_folder().exists()


@pytest.mark.parametrize("problem", [PermissionError(errno.EACCES, "Permission denied"), KeyboardInterrupt()])
def test_a_file_that_can_not_be_replaced_leaves_every_role_as_it_was(tmp_path, monkeypatch, problem):
    """As on Windows, where a network that is in use has its file open."""
    official.write_mouth(tmp_path / "LipaintNet.pt")
    import_files([tmp_path / "LipaintNet.pt"])
    before = {path: path.read_bytes() for path in official_folder().iterdir()}
    other = official.tensors(official.random_weights(layouts.mouth()))
    official.write_torch(tmp_path / "other.pt", {"model_state_dict": other})
    official.write_sadtalker(tmp_path / "sad.safetensors", with_regressor=False)
    replace = os.replace
    for held in ("mouth.safetensors", "mouth.json", "speech_expression.safetensors", "speech_expression.json"):

        def refuse(source, target, held=held):
            if Path(target).name == held and Path(source).suffix != ".old":
                raise problem
            replace(source, target)

        with monkeypatch.context() as patch, pytest.raises((EnvironmentProblem, KeyboardInterrupt)):
            patch.setattr(os, "replace", refuse)
            import_files([tmp_path / "other.pt", tmp_path / "sad.safetensors"])
        assert {path: path.read_bytes() for path in official_folder().iterdir()} == before, held
    import_files([tmp_path / "other.pt", tmp_path / "sad.safetensors"])
    kept = {path.name for path in official_folder().iterdir()}
    assert kept == {f"{role}.{kind}" for role in ("mouth", "speech_expression") for kind in ("json", "safetensors")}
    assert same("mouth", official.random_weights(layouts.mouth()))


def test_a_zip_that_is_no_torch_file(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("BFM/readme.txt", "hello")
    assert refused(tmp_path / "x.zip") == "import_unknown"
