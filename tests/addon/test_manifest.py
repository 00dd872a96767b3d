"""The extension's manifest, by the rules that Blender's own validation holds it to."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

from elocute import __version__

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = tomllib.loads((ROOT / "blender_manifest.toml").read_text(encoding="utf-8"))
PERMISSIONS = {"files", "network", "clipboard", "camera", "microphone"}


def test_names_and_versions() -> None:
    assert MANIFEST["schema_version"] == "1.0.0" and MANIFEST["type"] == "add-on"
    assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", MANIFEST["id"])
    assert MANIFEST["version"] == __version__ and re.fullmatch(r"\d+\.\d+\.\d+", MANIFEST["version"])
    assert MANIFEST["license"] == ["SPDX:GPL-3.0-or-later"]
    assert all(re.match(r"\d{4} ", line) for line in MANIFEST["copyright"])


def test_sentences_fit_the_panels() -> None:
    for text in (MANIFEST["tagline"], *MANIFEST["permissions"].values()):
        assert 0 < len(text) <= 64 and not text.endswith(".")
    assert set(MANIFEST["permissions"]) <= PERMISSIONS


def test_the_package_leaves_the_workshop_at_home() -> None:
    left_out = MANIFEST["build"]["paths_exclude_pattern"]
    assert "paths" not in MANIFEST["build"]
    assert {"/build/", "/tests/", "/.*", "__pycache__/"} <= set(left_out)
    assert not {"/core/", "/addon/"} & set(left_out)
    scripts = {f"/scripts/{path.name}" for path in (ROOT / "scripts").glob("*.py")}
    kept = {name for name in scripts if not any(fnmatch(name, pattern) for pattern in left_out)}
    assert kept == {"/scripts/render.py"}, "the others are for a checkout"
