"""The extension's modules that need no Blender, importable as Blender would: below a package of any name."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "extension_under_test"


@pytest.fixture
def load() -> Iterator[Callable[[str], ModuleType]]:
    """load("process") imports addon/process.py, but not addon/__init__.py, which registers things in Blender."""
    for name, folder in ((PACKAGE, ROOT), (f"{PACKAGE}.addon", ROOT / "addon")):
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    yield lambda name: importlib.import_module(f"{PACKAGE}.addon.{name}")
    for name in [name for name in sys.modules if name.startswith(PACKAGE)]:
        del sys.modules[name]
