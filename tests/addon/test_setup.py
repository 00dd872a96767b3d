"""Which environment of its own the extension takes for ready."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


def test_an_environment_is_ready_for_the_version_and_libraries_it_was_made_for(
    load: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bpy", ModuleType("bpy"))
    setup = load("setup")
    monkeypatch.setattr(setup, "folder", lambda: tmp_path)
    program = tmp_path / setup.ENVIRONMENT / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.touch()
    assert setup.own_python() is None and not setup.is_outdated(), "set-up has not ended"
    for said, found in (
        (setup.needs(setup.__version__), program),
        (setup.needs("0.0.9"), None),
        (setup.needs(setup.__version__) + "another-library>=1\n", None),
    ):
        (tmp_path / setup.READY).write_text(said, encoding="utf-8")
        assert setup.own_python() == found
        assert setup.is_outdated() == (found is None)
