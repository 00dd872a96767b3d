"""What can only be tested inside Blender, in every Blender of this machine: the files of inside/."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

FILES = sorted(path.name for path in (Path(__file__).parent / "inside").glob("test_*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_inside(blender: Any, inside: Any, file: str) -> None:
    inside.run(blender, file)
