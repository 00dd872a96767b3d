"""Prepare once: an avatar is found again exactly when it would come out the same."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from elocute import pipeline
from elocute.errors import BadInput, EnvironmentProblem
from elocute.models.store import verify
from elocute.modelsets import embedded
from elocute.settings import FitSettings

ROOT = Path(__file__).resolve().parents[1]
PORTRAIT = ROOT / "examples" / "portrait.jpg"
pytestmark = [
    pytest.mark.skipif(not verify("speech_encoder"), reason="models not fetched: elocute models --fetch"),
    pytest.mark.usefixtures("avatars"),
]


def fit(portrait: Path | str, **more: Any) -> Any:
    return pipeline.prepare(str(portrait), FitSettings(str(portrait), device="cpu", **more), lambda message: None)


@pytest.fixture
def inversions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys that would be inverted; nothing is."""
    keys: list[str] = []

    def instead(portrait: str, settings: FitSettings, side: int, key: str, *rest: Any) -> Any:
        keys.append(key)
        return SimpleNamespace(report={})

    monkeypatch.setattr(embedded, "_invert", instead)
    return keys


def test_the_same_photo_is_found_again(example: Any, inversions: list[str], tmp_path: Path) -> None:
    again = fit(PORTRAIT)
    assert again.key == example.avatar.key and again.path == example.avatar.path
    assert again.report == example.avatar.report | {"cached": True}
    copy = tmp_path / "other name.jpg"
    copy.write_bytes(PORTRAIT.read_bytes())
    assert fit(copy).key == again.key
    assert fit(copy).report["portrait"] == str(copy), "another photo's name is told"
    assert inversions == []


def test_anything_else_is_inverted(
    example: Any, inversions: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = tmp_path / "portrait.jpg"
    changed.write_bytes(PORTRAIT.read_bytes() + b"\0")
    fit(changed)
    pipeline.prepare(str(PORTRAIT), FitSettings(str(PORTRAIT), device="cpu", size=1024), lambda message: None)
    fit("seed:1")
    fit("seed:2")
    hashes = embedded._model_hashes()
    monkeypatch.setattr(embedded, "_model_hashes", lambda: hashes | {"face": "0" * 64})
    fit(PORTRAIT)
    assert len(set(inversions)) == 5 and example.avatar.key not in inversions


def test_refit_inverts_although_there_is_one(example: Any, inversions: list[str]) -> None:
    fit(PORTRAIT, refit=True)
    assert inversions == [example.avatar.key]


def test_small_and_odd_sizes_share_an_avatar(inversions: list[str]) -> None:
    keys = {
        pipeline.prepare(str(PORTRAIT), FitSettings(str(PORTRAIT), device="cpu", size=size), lambda message: None).key
        for size in (64, 255, 512)
    }
    assert len(keys) == 1 and inversions == []


def test_a_damaged_avatar_is_made_anew(
    example: Any, inversions: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = example.avatar.key
    monkeypatch.setenv("ELOCUTE_AVATARS", str(tmp_path))
    for suffix, damage in ((".json", b"{"), (".safetensors", example.avatar.path.read_bytes()[:5000])):
        for each in (".json", ".safetensors"):
            (tmp_path / (key + each)).write_bytes((example.folder / (key + each)).read_bytes())
        assert fit(PORTRAIT).key == key
        (tmp_path / (key + suffix)).write_bytes(damage)
        fit(PORTRAIT)
    assert inversions == [key, key]


def test_portraits_that_are_none_are_refused(inversions: list[str], tmp_path: Path) -> None:
    for path in (tmp_path / "none.jpg", tmp_path):
        with pytest.raises(BadInput):
            fit(path)
    with pytest.raises(EnvironmentProblem) as problem:
        fit(PORTRAIT, model_set="nerffacespeech")
    assert problem.value.code == "model_not_imported" and inversions == []


def test_a_cached_fit_is_quick_and_needs_no_torch(example: Any) -> None:
    program = (
        "import sys; from elocute import pipeline; from elocute.settings import FitSettings; "
        f"a = pipeline.prepare({str(PORTRAIT)!r}, FitSettings({str(PORTRAIT)!r}), print); "
        "print(a.report['cached'], sorted({'torch', 'numba', 'scipy', 'onnxruntime'} & set(sys.modules)))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "core"), "ELOCUTE_AVATARS": str(example.folder)}
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=60)
    assert done.stdout.strip() == "True []", done.stderr
    assert time.monotonic() - started < 20  # seconds, where one is enough: machines are busy
