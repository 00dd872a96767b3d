"""Where the engine's Python is, and what its process inherits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def engine(load: Callable[[str], ModuleType]) -> ModuleType:
    return load("engine")


def test_environments_are_kept_apart(engine: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/of/blender")
    monkeypatch.setenv("LD_PRELOAD", "")
    monkeypatch.setenv("ELOCUTE_MODELS", "/kept")
    seen = engine.environment()
    assert {key for key in seen if key.startswith("PYTHON")} == {"PYTHONPATH", "PYTHONUTF8"}
    assert "LD_PRELOAD" not in seen and seen["ELOCUTE_MODELS"] == "/kept"
    assert seen["PYTHONPATH"] == str(ROOT / "core")


@pytest.mark.parametrize("program", ["bin/python", "Scripts/python.exe", "python.exe"])
def test_a_folder_or_its_program_names_an_environment(engine: ModuleType, tmp_path: Path, program: str) -> None:
    assert engine.program_in(tmp_path) is None and engine.program_in(tmp_path / program) is None
    path = tmp_path / program
    path.parent.mkdir(exist_ok=True)
    path.touch()
    assert engine.program_in(tmp_path) == path and engine.program_in(path) == path


def test_the_environment_beside_the_sources_is_found(
    engine: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "ROOT", tmp_path)
    assert engine.default_python() is None
    (tmp_path / "build/venv/bin").mkdir(parents=True)
    (tmp_path / "build/venv/bin/python").touch()
    assert engine.default_python() == tmp_path / "build/venv/bin/python"
