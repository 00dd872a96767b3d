"""Getting Blenders: what is missing is told by a sentence, and nothing half-made is taken for one."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("get_blender", ROOT / "scripts" / "get_blender.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "get_blender", module)  # dataclasses look their module up
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "host_packages", lambda: None)
    return module


def test_the_mirror_of_this_machine_is_used(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    lists = {"debian.sources": "Types: deb\n# URIs: no\nURIs: http://mirror/debian\nSuites: x\n"}
    monkeypatch.setattr(script, "_text", lambda file: lists["debian.sources"])
    assert script.mirror() == ["http://mirror/debian"]
    monkeypatch.setattr(script, "_text", lambda file: "deb [signed-by=/k] http://other/debian/ stable main")
    assert script.mirror() == ["http://other/debian/"]
    monkeypatch.setattr(script, "_text", lambda file: "deb http://archive/ubuntu jammy main")
    assert script.mirror() == []


def test_a_python_is_taken_only_at_its_exact_version(script: ModuleType) -> None:
    own = "{}.{}".format(*sys.version_info[:2])
    assert script.find_python(own) == Path(sys.executable)
    with pytest.raises(script.Missing, match="Python 2.6"):
        script.find_python("2.6")


def test_what_cannot_be_had_leaves_its_reason_and_nothing_else(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(folder: Path, log: Path) -> Path:
        folder.mkdir()
        (folder / "half").touch()
        raise script.Missing("needs a bigger machine")

    monkeypatch.setitem(script.BLENDERS, "bpy45", script.Blender("4.5.15", "bin/python", make))
    assert script.get("bpy45", tmp_path) == "needs a bigger machine"
    assert (tmp_path / "bpy45.missing").read_text() == "needs a bigger machine\n" and not (tmp_path / "bpy45").exists()


@pytest.mark.parametrize(("user", "programs"), [(0, ()), (1000, ("apt-get",))])
def test_a_machine_that_installs_no_packages_is_not_asked_which_it_has(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, user: int, programs: tuple[str, ...]
) -> None:
    script.__loader__.exec_module(script)  # the fixture leaves this function out
    monkeypatch.setattr(script.os, "geteuid", lambda: user)
    monkeypatch.setattr(script.shutil, "which", lambda name: name if name in programs else None)
    monkeypatch.setattr(script.subprocess, "run", lambda *a, **k: pytest.fail("a macOS has no ldconfig"))
    script.host_packages()


def test_another_release_is_not_taken_for_it(script: ModuleType, tmp_path: Path) -> None:
    blender = script.Blender("4.3", "blender", lambda folder, log: folder)
    (tmp_path / "blender").write_text("#!/bin/sh\necho Blender 4.31\n")
    (tmp_path / "blender").chmod(0o755)
    assert not blender.answers(tmp_path)
    (tmp_path / "blender").write_text("#!/bin/sh\necho Blender 4.3.2\n")
    assert blender.answers(tmp_path) and not blender.answers(tmp_path / "elsewhere")


@pytest.mark.parametrize(("arguments", "code"), [([], 3), (["--optional"], 0)])
def test_exit_codes(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: list[str], code: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(script, "get", lambda name, into: None if name == "bpy45" else "needs root")
    monkeypatch.setattr(sys, "argv", ["get_blender.py", "--into", str(tmp_path), *arguments])
    assert script.main() == code
    said = capsys.readouterr().out
    assert "blender43: needs root" in said and f"bpy45: {tmp_path / 'bpy45/bin/python'}" in said
    assert "blender52" not in said, "it moves, and comes only when named"
