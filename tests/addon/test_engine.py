"""Blender's child process, without Blender: answers come back, nothing blocks, little is inherited."""

from __future__ import annotations

import importlib.util
import os
import stat
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def engine() -> ModuleType:
    spec = importlib.util.spec_from_file_location("addon_engine", ROOT / "addon" / "engine.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    module.stop()


def program(folder: Path, text: str) -> Path:
    """A stand-in for a Python program: a script that gets the same arguments."""
    path = folder / "python"
    path.write_text(f"#!{sys.executable}\nimport json, os, sys, time\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def wait(engine: ModuleType) -> dict:
    answers: list[dict] = []
    end = time.monotonic() + 60
    while engine.poll(answers.append) and time.monotonic() < end:
        time.sleep(0.01)
    return answers[0]


def test_the_real_engine_answers(engine: ModuleType) -> None:
    started = time.monotonic()
    engine.start(Path(sys.executable), ["doctor", "--json"])
    assert time.monotonic() - started < 0.5, "starting must not wait for the engine"
    assert engine.running()
    answer = wait(engine)
    assert answer["version"] and {"name", "ok", "needed", "fix"} <= set(answer["checks"][0])
    assert not engine.running()


def test_environments_are_kept_apart(engine: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/of/blender")
    monkeypatch.setenv("LD_PRELOAD", "")
    code = "print(json.dumps({'arguments': sys.argv[1:], 'environment': dict(os.environ)}))"
    engine.start(program(tmp_path, code), ["doctor"])
    answer = wait(engine)
    assert answer["arguments"] == ["-m", "elocute", "doctor"]
    seen = {key for key in answer["environment"] if key.startswith("PYTHON")}
    assert seen == {"PYTHONPATH", "PYTHONUTF8"} and "LD_PRELOAD" not in answer["environment"]
    assert answer["environment"]["PYTHONPATH"] == str(ROOT / "core")


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("sys.exit('No module named elocute')", "No module named elocute"),
        ("sys.exit(7)", "exit code 7"),
        ("print('no json')", "exit code 0"),
        ("print(3)", "exit code 0"),
    ],
)
def test_an_engine_that_fails_is_told(engine: ModuleType, tmp_path: Path, code: str, told: str) -> None:
    engine.start(program(tmp_path, code), [])
    assert told in wait(engine)["error"]["message"]


def test_a_talkative_engine_does_not_stall(engine: ModuleType, tmp_path: Path) -> None:
    code = "sys.stderr.write('x' * 10**6); print('y' * 10**6); print(json.dumps({'ok': True}))"
    engine.start(program(tmp_path, code), [])
    assert wait(engine) == {"ok": True}


def test_stopping_ends_the_child(engine: ModuleType, tmp_path: Path) -> None:
    child = engine.start(program(tmp_path, "time.sleep(60)"), [])
    engine.stop()
    assert child.process.poll() is not None and not engine.running()


def test_what_is_no_program_is_an_os_error(engine: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(OSError):
        engine.start(tmp_path / "nothing", [])


def test_the_environment_beside_the_sources_is_found(
    engine: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "ROOT", tmp_path)
    assert engine.default_python() is None
    folder = tmp_path / "build/venv" / ("Scripts" if os.name == "nt" else "bin")
    folder.mkdir(parents=True)
    (folder / ("python.exe" if os.name == "nt" else "python")).touch()
    assert engine.default_python() is not None
