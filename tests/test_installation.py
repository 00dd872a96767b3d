"""Set-up of an environment: real environments, real pip, tiny packages from a folder; no network."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from elocute import installation, installing
from elocute.errors import BadInput, Cancelled, EnvironmentProblem
from elocute.installation import Installation
from elocute.protocol import Message, Progress

ROOT = Path(__file__).resolve().parents[1]


def wheel(folder: Path, name: str, code: str, version: str = "1.0") -> Path:
    """A package of one module, as pip takes it."""
    files = {
        f"{name}.py": code,
        f"{name}-{version}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{name}-{version}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digests = {path: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()) for path, text in files.items()}
    record = "".join(f"{path},sha256={digest.decode().rstrip('=')},\n" for path, digest in digests.items())
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inner, text in {**files, f"{name}-{version}.dist-info/RECORD": record}.items():
            archive.writestr(inner, text)
    return path


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is all that pip knows. The engine's only library is `tinylib`, and `elocute` is a stand-in."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    wheel(folder, "tinytorch", "")
    wheel(folder, "tinylib", "")
    source = tmp_path / "source"
    (source / "core" / "elocute").mkdir(parents=True)
    (source / "pyproject.toml").write_text('[project]\ndependencies = ["tinylib"]\n')
    answer = {"ok": True, "version": "1", "devices": ["cpu"], "checks": []}
    (source / "core/elocute/__init__.py").touch()
    code = f"import tinylib, tinytorch, json\nprint(json.dumps({answer!r}))\n"
    (source / "core/elocute/__main__.py").write_text(code)
    monkeypatch.setattr(installation, "ROOT", source)
    yield folder


def steps_of(said: list[Message]) -> list[str]:
    return list(dict.fromkeys(message.stage for message in said if isinstance(message, Progress)))


def make(into: Path, said: list[Message] | None = None, **options: Any) -> Installation:
    heard = said if said is not None else []
    return Installation(into, heard.append, torch="tinytorch", **options)


@pytest.mark.slow
def test_an_environment_is_made_resumed_and_mended(packages: Path, tmp_path: Path) -> None:
    into = tmp_path / "with space" / "engine"
    (packages / "tinylib-1.0-py3-none-any.whl").rename(tmp_path / "away.whl")
    with pytest.raises(EnvironmentProblem, match="tinylib"):
        make(into).run()
    assert not (into / installation.READY).exists()
    assert set(json.loads((into / "steps.json").read_text())) == {"environment", "pip", "torch"}

    (tmp_path / "away.whl").rename(packages / "tinylib-1.0-py3-none-any.whl")
    (packages / "tinytorch-1.0-py3-none-any.whl").unlink()  # resuming has no need of it any more
    said: list[Message] = []
    result = make(into, said).run()
    assert result["doctor"]["ok"] and steps_of(said) == list(installing.STEPS)
    shares = [message.done for message in said if isinstance(message, Progress)]
    assert shares == sorted(shares) and max(shares) <= installing.PARTS
    assert (into / installation.READY).read_text() == installation.needs("1")
    assert "tinylib" in (into / installation.LOG).read_text()

    # The environment finds the engine's source by itself, whatever the caller's PYTHONPATH.
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    found = subprocess.run([result["python"], "-m", "elocute"], capture_output=True, text=True, env=clean)
    assert json.loads(found.stdout)["ok"]

    Path(result["python"]).unlink()  # a Blender that was updated takes its Python along
    wheel(packages, "tinytorch", "")
    assert make(into).run()["doctor"]["ok"]


@pytest.mark.slow
def test_another_build_of_pytorch_takes_the_place_of_the_first(packages: Path, tmp_path: Path) -> None:
    """Also when pip would be content with the first, and when the change is stopped and taken back."""
    into, first = tmp_path / "engine", wheel(packages, "tinytorch", "BUILD = 'cpu'", "1.0+cpu")
    other = packages / "tinytorch-1.0-py3-none-any.whl"

    def build(torch: str) -> str:
        python = Installation(into, lambda message: None, torch=torch).run()["python"]
        code = "import tinytorch; print(getattr(tinytorch, 'BUILD', 'cuda'))"
        return subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.strip()

    assert build("tinytorch==1.0+cpu") == "cpu"
    first.rename(tmp_path / first.name)
    assert build("tinytorch==1.0") == "cuda"
    other.unlink()
    with pytest.raises(EnvironmentProblem):
        build("tinytorch==2.0")
    (tmp_path / first.name).rename(first)
    assert build("tinytorch==1.0") == "cpu", "what a failed change may have left is not taken for whole"


def test_another_build_of_pytorch_needs_its_room(
    packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    into = tmp_path / "engine"
    into.mkdir()
    (into / "steps.json").write_text(json.dumps({"torch": "torch==1+cpu", "libraries": "tinylib"}))
    monkeypatch.setitem(installation.DISK_MB, "cuda", 10**9)
    with pytest.raises(EnvironmentProblem, match="Free some space"):
        Installation(into, lambda message: None, torch="cuda").run()
    monkeypatch.setitem(installation.DISK_MB, "cpu", 10**9)
    Installation(into, lambda message: None, torch="cpu")._check_disk(False, "torch==2+cpu")  # about as large


def test_an_engine_that_lacks_something_is_not_ready(packages: Path, tmp_path: Path) -> None:
    check = {"name": "model face", "fix": "elocute models --fetch", "needed": True, "ok": False}
    answer = {"ok": False, "version": "1", "devices": ["cpu"], "checks": [check]}
    code = f"import json, sys\nprint(json.dumps({answer!r}))\nsys.exit('models' not in sys.argv and 3)\n"
    (installation.ROOT / "core/elocute/__main__.py").write_text(code)
    made = make(tmp_path / "engine")
    (tmp_path / "engine").mkdir()
    made.python = Path(sys.executable)
    with pytest.raises(EnvironmentProblem, match="model face: elocute models --fetch"):
        made._doctor(cuda=False)


def test_the_bar_moves_by_what_pip_says_of_pytorch_alone() -> None:
    said: list[Message] = []
    bar = installing.Bar(said.append)
    bar.begin("torch")
    assert bar.heard("Progress 1000 of 2000\n"), "a small package"
    assert bar.heard(f"Progress {2**26} of {2**27}\n")
    assert not bar.heard("  Downloading https://host/torch-2.13.0%2Bcpu-cp311.whl (190.2 MB)\n")
    assert not bar.heard("Installing collected packages: torch\n")
    dones = [message.done for message in said if isinstance(message, Progress)]
    begin, length = (installing.PARTS * seconds / sum(installing.STEPS.values()) for seconds in (12, 60))
    assert dones == [int(begin), int(begin + length / 2), int(begin + length / 2), int(begin + 0.8 * length)]
    assert [m.message for m in said if isinstance(m, Progress)][2] == "Installing PyTorch: torch, 190.2 MB"


def started(into: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "elocute.installation", "--into", str(into), *arguments], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT / "core")},
    )  # fmt: skip


@pytest.mark.parametrize("how", ["cancel", "close"])
def test_it_stops_when_told_and_when_its_parent_is_gone(tmp_path: Path, how: str) -> None:
    process = started(tmp_path / "engine", "--torch", "no-such-package-anywhere")
    assert process.stdin and process.stdout
    while "environment" not in process.stdout.readline():
        pass
    began = time.monotonic()
    if how == "cancel":
        process.stdin.write('{"cancel": true}\n')
        process.stdin.flush()
    else:
        process.stdin.close()
    lines = process.stdout.read().strip().splitlines()
    assert process.wait(10) == Cancelled.exit_code and time.monotonic() - began < 5
    assert json.loads(lines[-2])["code"] == "cancelled" and json.loads(lines[-1]) == {
        "type": "done", "job": "installation", "ok": False, "result": {}
    }  # fmt: skip


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    with installation.only_one(tmp_path / "lock"):
        process = started(tmp_path)
        assert process.stdout and '"setup_runs"' in process.stdout.read()  # its stdin stays open: an end would stop it
        assert process.wait(60) == EnvironmentProblem.exit_code


@pytest.mark.parametrize("choice", ['"torch', "", "  "])
def test_arguments_that_are_none_are_told_and_nothing_is_made(tmp_path: Path, choice: str) -> None:
    process = started(tmp_path / "engine", "--torch", choice)
    assert process.stdout
    told = [json.loads(line) for line in process.stdout]
    assert process.wait(60) == BadInput.exit_code
    assert [line["type"] for line in told[-2:]] == ["failed", "done"] and told[-2]["code"] == "torch_arguments"
    assert not (tmp_path / "engine" / "environment").exists()


def test_too_little_disk_is_told_before_anything_is_made(
    packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(installation.DISK_MB, "cpu", 10**9)
    monkeypatch.setattr(installation, "has_nvidia", lambda: False)
    with pytest.raises(EnvironmentProblem, match="Free some space"):
        make(tmp_path / "engine").run()
    assert not (tmp_path / "engine" / "environment").exists()
