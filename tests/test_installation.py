"""Set-up of an environment: real environments, real pip, tiny packages from a folder; no network."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from elocute import installation, installing, machine
from elocute.errors import BadInput, Cancelled, EnvironmentProblem
from elocute.installation import Installation
from elocute.machine import explain, find_python, torch_arguments
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


@pytest.fixture
def without_pip_upgrade(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip itself is not in the folder of packages."""
    pip = Installation._pip
    monkeypatch.setattr(Installation, "_pip", lambda self, *a: None if "--upgrade" in a else pip(self, *a))


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


def fake_python(folder: Path, version: tuple[int, int], able: bool) -> str:
    path = folder / "python"
    path.write_text(f"#!/bin/sh\necho '[[{version[0]}, {version[1]}], \"{path}\", {str(able).lower()}]'\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.skipif(os.name != "posix", reason="the stand-ins are POSIX programs")
@pytest.mark.parametrize(
    ("version", "able", "told"),
    [((3, 10), True, "is Python 3.10"), ((3, 14), True, "is Python 3.14"), ((3, 12), False, "install python3.12-venv")],
)
def test_an_unsuitable_python_is_told(tmp_path: Path, version: tuple[int, int], able: bool, told: str) -> None:
    with pytest.raises(BadInput, match=re.escape(told)) as caught:
        find_python(fake_python(tmp_path, version, able))
    assert caught.value.code == "python_unsuitable"


def test_what_is_no_python_is_told(tmp_path: Path) -> None:
    for named in (str(tmp_path), str(tmp_path / "nothing"), str(ROOT / "README.md")):
        with pytest.raises(BadInput, match="is no Python that starts"):
            find_python(named)


@pytest.mark.skipif(os.name != "posix", reason="the stand-ins are POSIX programs")
def test_another_python_of_the_machine_helps_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crippled = fake_python(tmp_path, (3, 13), able=False)
    monkeypatch.setattr(machine.sys, "executable", crippled)
    good = tmp_path / "bin"
    good.mkdir()
    found = fake_python(good, (3, 12), able=True)
    Path(found).rename(good / "python3.12")
    monkeypatch.setenv("PATH", f"{good}:/usr/bin:/bin")
    monkeypatch.setattr(machine, "VERSIONS", ((3, 12), (3, 12)))
    assert find_python(None) == found
    (good / "python3.12").unlink()
    monkeypatch.setenv("PATH", str(good))
    with pytest.raises(EnvironmentProblem, match="is Python 3.13.*of your own"):
        find_python(None)


@pytest.mark.parametrize(
    ("choice", "platform", "nvidia", "wanted"),
    [
        ("auto", "linux", False, r"torch==[\d.]+\+cpu --extra-index-url \S+/cpu"),
        ("auto", "linux", True, r"torch==[\d.]+"),
        ("cpu", "linux", True, r"torch==[\d.]+\+cpu --extra-index-url \S+/cpu"),
        ("cuda", "linux", False, r"torch==[\d.]+"),
        ("auto", "darwin", False, r"torch==[\d.]+"),
        ("cuda", "win32", True, r"torch==[\d.]+\+cu\d+ --extra-index-url \S+/cu\d+"),
        ("torch==2.9 --pre", "linux", True, r"torch==2\.9 --pre"),
    ],
)
def test_the_build_of_pytorch_fits_the_machine(choice: str, platform: str, nvidia: bool, wanted: str) -> None:
    assert re.fullmatch(wanted, " ".join(torch_arguments(choice, platform, nvidia)))


@pytest.mark.parametrize(
    ("platform", "choice", "wanted"),
    [
        ("linux", r"'/my wheels/torch.whl' --pre # x", ["/my wheels/torch.whl", "--pre", "#", "x"]),
        ("linux", r"/my\ wheels/torch.whl", ["/my wheels/torch.whl"]),
        ("win32", r"C:\wheels\torch.whl", [r"C:\wheels\torch.whl"]),
        ("win32", r'--find-links="C:\my wheels\" torch', ["--find-links=C:\\my wheels\\", "torch"]),
        ("win32", r"C:\O'Neil\torch.whl", [r"C:\O'Neil\torch.whl"]),
    ],
)
def test_arguments_for_pip_are_split_as_the_machine_writes_paths(
    platform: str, choice: str, wanted: list[str]
) -> None:
    assert torch_arguments(choice, platform, nvidia=False) == wanted


@pytest.mark.parametrize("choice", ['"torch', "", "  "])
def test_arguments_that_are_none_are_told_and_nothing_is_made(tmp_path: Path, choice: str) -> None:
    process = started(tmp_path / "engine", "--torch", choice)
    assert process.stdout
    told = [json.loads(line) for line in process.stdout]
    assert process.wait(60) == BadInput.exit_code
    assert [line["type"] for line in told[-2:]] == ["failed", "done"] and told[-2]["code"] == "torch_arguments"
    assert not (tmp_path / "engine" / "environment").exists()


def test_versions_agree_with_the_makefile_and_the_project() -> None:
    assert f"TORCH ?= {machine.TORCH}\n" in (ROOT / "Makefile").read_text()
    project = (ROOT / "pyproject.toml").read_text()
    low, high = machine.VERSIONS
    assert f'requires-python = ">={low[0]}.{low[1]},<{high[0]}.{high[1] + 1}"' in project


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk_full"),
        ("WARNING: Retrying: NewConnectionError('...')\nERROR: No matching distribution found for rich", "network"),
        ("ERROR: No matching distribution found for torch==2.13.0+cpu", "torch_missing"),
        ("ERROR: something else", "setup_failed"),
        ("", "setup_failed"),
    ],
)
def test_failures_of_pip_become_a_sentence(tmp_path: Path, said: str, code: str) -> None:
    problem = explain(said.splitlines(), tmp_path)
    assert problem.code == code and "ERROR" not in str(problem) and ".." not in str(problem)


def test_too_little_disk_is_told_before_anything_is_made(
    packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(installation.DISK_MB, "cpu", 10**9)
    monkeypatch.setattr(installation, "has_nvidia", lambda: False)
    with pytest.raises(EnvironmentProblem, match="Free some space"):
        make(tmp_path / "engine").run()
    assert not (tmp_path / "engine" / "environment").exists()


