"""Official files come in whole and unchanged, from every container and in parts, and a later change is noticed."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import official
import pytest
import torch
from import_checks import refused, same
from safetensors.numpy import save_file
from scipy.io import loadmat, savemat

from elocute import doctor, jobs
from elocute.errors import EnvironmentProblem
from elocute.files import Temporary
from elocute.head import basel, basel_parts
from elocute.models import layouts, matlab
from elocute.models.importing import import_files
from elocute.models.inert import Tensor
from elocute.models.official import OFFICIAL, imported, missing_roles, official_folder
from elocute.models.torch_files import read_legacy, read_tar, read_zip
from elocute.portrait import deep3d, parsing
from elocute.values import BASEL_NAMES

pytestmark = pytest.mark.usefixtures("models")


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


def test_what_a_killed_import_left_half_written_goes(tmp_path):
    old, new = (Temporary(official_folder() / f"{role}.safetensors").path for role in ("generator", "mouth"))
    os.utime(old, (1e9, 1e9))
    official.write_mouth(tmp_path / "LipaintNet.pt")
    import_files([tmp_path / "LipaintNet.pt"])
    assert {path.name for path in official_folder().iterdir()} == {"mouth.safetensors", "mouth.json", new.name}


def test_batch_counters_may_be_missing(tmp_path):
    weights = official.random_weights(layouts.segmentation())
    fewer = {name: value for name, value in weights.items() if not name.endswith("num_batches_tracked")}
    official.write_torch(tmp_path / "seg.pth", official.tensors(fewer))
    import_files([tmp_path / "seg.pth"])
    assert same("segmentation", weights)


def test_a_face_has_the_same_numbers_for_everybody():
    """Layouts are read without torch, so that they don't ask the modules whose networks they describe."""
    heads = deep3d.HEADS
    assert layouts.COEFFICIENTS == heads and sum(heads) == basel.COEFFICIENTS
    parts = (basel.IDENTITY, basel.EXPRESSION, basel.TEXTURE, basel.ANGLES, basel.LIGHT, basel.TRANSLATION)
    assert [part.stop - part.start for part in parts] == [*heads[:5], sum(heads[5:])]
    assert [part.start for part in parts] == [0, *(part.stop for part in parts[:-1])]
    assert (basel_parts.IDENTITIES, basel_parts.EXPRESSIONS, basel_parts.TEXTURES) == heads[:3]
    assert len(BASEL_NAMES) == heads[1] and layouts.FACE_CLASSES == parsing.CLASSES
    assert sorted(matlab.FACE_MODEL) == sorted(basel.MAT_FIELDS)


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
