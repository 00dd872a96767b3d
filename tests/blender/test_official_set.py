"""Blender with the official set, on random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from published_shots import import_random_set


@pytest.mark.slow
def test_add_head_with_the_official_set(bpy45: Any, inside: Any, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    import_random_set(models, tmp_path / "official")
    inside.environment["ELOCUTE_MODELS"] = str(models)
    inside.run(bpy45, "with_official_set.py")
