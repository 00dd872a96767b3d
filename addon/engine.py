"""Where the engine is: its source beside this folder, and the environment that its process sees."""

from __future__ import annotations

import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = __package__.rpartition(".")[0]  # of the extension's root: what Blender knows the preferences by
WEIGHTS = ROOT / "docs" / "weights.md"
# What the engine says to those who have its command, and what does the same in Blender.
_SAID = (
    (r" \(docs/weights\.md\) and run `elocute models import FILE( \.\.\.)?`", f" and import them as {WEIGHTS} says"),
    (r"elocute models import FILE, see docs/weights\.md", f"see {WEIGHTS}"),
    (r"`?elocute models --fetch`?", "Set Up Engine in the preferences"),
    (r"`?elocute doctor`?", "Check in the preferences"),
)


def in_blender(text: str) -> str:
    """A sentence of the engine's without the command `elocute`, which set-up doesn't make."""
    for said, meant in _SAID:
        text = re.sub(said, meant.replace("\\", r"\\"), text)
    return text


def default_python() -> Path | None:
    """The environment that `make` builds beside the sources, if this is a checkout."""
    return program_in(ROOT / "build" / "venv")


def program_in(place: Path) -> Path | None:
    """The Python program of an environment's folder; a path that is a program already is taken as it is."""
    if place.is_file():
        return place
    found = (place / "bin" / "python", place / "Scripts" / "python.exe", place / "python.exe")
    return next((program for program in found if program.is_file()), None)


def environment() -> dict[str, str]:
    """Blender ignores PYTHONPATH and its like, a child would inherit them. The engine runs from this extension's own
    sources, so that both sides always have the same version."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("PYTHON") and key not in ("LD_PRELOAD", "__PYVENV_LAUNCHER__")
    }
    return kept | {"PYTHONPATH": str(ROOT / "core"), "PYTHONUTF8": "1"}
