"""The engine's child process. State lives at module level, because opening a file drops everything else."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
Finished = Callable[[dict[str, Any]], None]

_child: Child | None = None


class Child:
    """`python -m elocute ...` with its output collected in the background. Never blocks whoever polls it."""

    def __init__(self, python: Path, arguments: list[str]) -> None:
        """Raises OSError when the program can't be started."""
        self.process = subprocess.Popen(
            [str(python), "-m", "elocute", *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment(), cwd=python.parent, creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )  # fmt: skip
        self._output = [b"", b""]
        streams = enumerate((self.process.stdout, self.process.stderr))
        self._readers = [threading.Thread(target=self._read, args=(i, s), daemon=True) for i, s in streams]
        for reader in self._readers:  # both pipes have to be drained, or the child stops at a full one
            reader.start()

    def _read(self, index: int, stream: Any) -> None:
        with stream:
            self._output[index] = stream.read()

    def result(self) -> dict[str, Any] | None:
        """The last JSON object the command printed, or {"error": ...}; None while it runs."""
        if self.process.poll() is None or any(reader.is_alive() for reader in self._readers):
            return None
        lines = self._output[0].decode("utf-8", "replace").strip().splitlines()
        try:
            return dict(json.loads(lines[-1]))
        except (IndexError, ValueError, TypeError):
            told = self._output[1].decode("utf-8", "replace").strip().splitlines()
            why = told[-1] if told else f"exit code {self.process.returncode}"
            return {"error": {"code": "engine", "message": f"the engine did not answer: {why}"}}

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def default_python() -> Path | None:
    """The environment that `make` builds beside the sources, if this is a checkout."""
    for place in ("build/venv/bin/python", "build/venv/Scripts/python.exe"):
        if (ROOT / place).exists():
            return ROOT / place
    return None


def environment() -> dict[str, str]:
    """Blender ignores PYTHONPATH and its like, a child would inherit them. The engine runs from this extension's own
    sources, so that both sides always have the same version."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("PYTHON") and key not in ("LD_PRELOAD", "__PYVENV_LAUNCHER__")
    }
    return kept | {"PYTHONPATH": str(ROOT / "core"), "PYTHONUTF8": "1"}


def start(python: Path, arguments: list[str]) -> Child:
    """Run one command; a running one is stopped. Raises OSError."""
    global _child
    stop()
    _child = Child(python, arguments)
    return _child


def stop() -> None:
    """Stop the running command, if any."""
    global _child
    if _child is not None:
        _child.stop()
        _child = None


def running() -> bool:
    """Whether a command has not answered yet."""
    return _child is not None and _child.result() is None


def poll(finished: Finished) -> bool:
    """Hand the answer to `finished` once it is there. False when there is nothing to wait for any more."""
    global _child
    result = _child.result() if _child is not None else None
    if result is not None:
        _child = None
        finished(result)
    return _child is not None
