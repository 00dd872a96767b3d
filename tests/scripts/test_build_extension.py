"""The extension's package is refused when something is missing in it or doesn't belong there."""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("blender_manifest.toml", "__init__.py", "addon/__init__.py", "core/elocute/__init__.py", "pyproject.toml")


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_extension", ROOT / "scripts" / "build_extension.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def package(path: Path, names: tuple[str, ...], size: int = 1) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"x" * size)
    return path


def test_a_whole_package_passes(script: ModuleType, tmp_path: Path) -> None:
    script.check(package(tmp_path / "a.zip", NEEDED))


def test_a_package_without_the_engine_is_refused(script: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(script.Problem, match="core/elocute/__init__.py"):
        script.check(package(tmp_path / "a.zip", tuple(name for name in NEEDED if "core" not in name)))


def test_a_stray_file_is_refused(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "kept_files", lambda: set(NEEDED))
    with pytest.raises(script.Problem, match="secret.txt"):
        script.check(package(tmp_path / "a.zip", (*NEEDED, "secret.txt")))


def test_a_package_that_is_far_too_large_is_refused(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "LARGEST_MB", 0)
    with pytest.raises(script.Problem, match="MB"):
        script.check(package(tmp_path / "a.zip", NEEDED))


def test_without_a_blender_the_way_to_one_is_told(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("ELOCUTE_BLENDERS", str(tmp_path))
    with pytest.raises(script.Problem, match="get_blender.py"):
        script.find_tool(None)
