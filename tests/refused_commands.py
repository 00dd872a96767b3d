"""Commands that are refused, what they said and that they left nothing behind."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from elocute.cli import app
from elocute.models.store import verify

ROOT = Path(__file__).resolve().parents[1]
PORTRAIT, VOICE = ROOT / "examples" / "portrait.jpg", ROOT / "examples" / "voice.wav"
needs_models = pytest.mark.skipif(not verify("face"), reason="models not fetched: elocute models --fetch")
posix = pytest.mark.skipif(os.name == "nt", reason="POSIX files and signals")


def told(*arguments: object) -> tuple[int, str]:
    """Exit code and error code; checks on the way that stdout is JSON lines and stderr the same sentence."""
    before = set(Path().rglob("*"))
    done = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
    error = [json.loads(line) for line in done.stdout.splitlines()][-1]["error"]
    assert done.stderr == f"error: {error['message']}\n"
    assert "\n" not in error["message"] and error["message"].endswith(".")
    assert set(Path().rglob("*")) == before, "something was left behind"
    return done.exit_code, error["code"]
