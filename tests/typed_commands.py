"""Commands as they are typed, run in this process, whose models and caches a test has chosen."""

from __future__ import annotations

import json
from typing import Any

from typer.testing import CliRunner

from elocute.cli import app


def run(arguments: list[Any]) -> dict[str, Any]:
    """What the command says last, as machines read it. It has to succeed."""
    done = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout.splitlines()[-1]))
