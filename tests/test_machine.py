"""What set-up knows of a machine: its Pythons, the build of PyTorch, what pip means."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from elocute import machine
from elocute.errors import BadInput, EnvironmentProblem
from elocute.machine import explain, find_python, torch_arguments

ROOT = Path(__file__).resolve().parents[1]


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


@pytest.mark.parametrize("writable", [True, False])
def test_compiled_code_has_room_where_nothing_can_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, writable: bool
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    monkeypatch.setattr(machine.os, "access", lambda place, mode: writable)
    monkeypatch.setattr(machine.tempfile, "tempdir", str(tmp_path))
    with machine.room_for_compiled_code():
        assert [str(place) for place in tmp_path.iterdir()] == ([] if writable else [os.environ["NUMBA_CACHE_DIR"]])
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="a locked folder is POSIX")
def test_a_home_that_cannot_be_entered_ends_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def locked(**options: str) -> str:
        raise PermissionError(13, "locked")

    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "locked" / "cache"))
    monkeypatch.setattr(machine.os, "access", lambda place, mode: False)
    monkeypatch.setattr(machine.tempfile, "mkdtemp", locked)
    with machine.room_for_compiled_code():
        assert not os.environ["NUMBA_CACHE_DIR"]
