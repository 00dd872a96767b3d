"""Getting the engine ready: an environment of its own is made, or one is examined, by a child process.

What happens is kept at module level, because opening another file drops everything else.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import bpy

from ..core.elocute import __version__
from ..core.elocute.errors import EnvironmentProblem
from ..core.elocute.installation import ENVIRONMENT, LOG, READY, needs
from ..core.elocute.protocol import Cancel, Done, Failed, Job, Progress, Warned
from . import engine
from .process import Process

SET_UP, CHECK = "Setting up the engine", "Checking the engine"
STOPPED = "Stopped; what was finished is kept"
CANCEL_SECONDS = 5.0  # for the child to stop by itself; then it is killed


@dataclass
class Activity:
    """A set-up or a check, running or over."""

    title: str
    process: Process
    stage: str = ""
    factor: float = 0.0
    warnings: list[str] = field(default_factory=list)
    problem: str = ""  # why it failed, a sentence
    answer: dict[str, Any] = field(default_factory=dict)  # what `elocute doctor` found
    cancelled_at: float | None = None
    over: bool = False

    def pump(self) -> bool:
        """Take in what the child has said. Whether there is something new."""
        if self.over:
            return False
        alive = self.process.running()  # asked before the messages: nothing comes after them
        messages = self.process.messages()
        for message in messages:
            self._take(message)
        if not alive and not self.over:
            self._end(STOPPED if self.cancelled_at else f"{self.title} failed: {self.process.last_words()}")
        elif self.cancelled_at and time.monotonic() - self.cancelled_at > CANCEL_SECONDS:
            self.process.stop()
        return bool(messages) or not alive

    def cancel(self) -> None:
        """Ask it to stop. What it has finished is kept."""
        if self.cancelled_at is None:
            self.cancelled_at, self.stage = time.monotonic(), "Stopping"
            self.process.send(Cancel())
            self.process.close()  # a check doesn't heed a cancel; the end of its input ends it

    def _take(self, message: object) -> None:
        if isinstance(message, Progress):
            self.factor = message.done / message.total if message.total else 0.0
            self.stage = message.message if message.message and not self.cancelled_at else self.stage
        elif isinstance(message, Warned):
            self.warnings.append(message.message)
        elif isinstance(message, Failed):
            self.problem = STOPPED if message.code == "cancelled" else message.message
        elif isinstance(message, Done):
            self.answer = message.result.get("doctor", message.result)
            self._end(self.problem)

    def _end(self, problem: str) -> None:
        self.problem = engine.in_blender(problem[:1].upper() + problem[1:])
        self.over = True
        self.process.close()


latest: Activity | None = None


def folder() -> Path:
    """Where the extension's own environment is, and the log of its making."""
    try:
        return Path(bpy.utils.extension_path_user(engine.PACKAGE, path="engine"))
    except ValueError:  # run from a checkout, not installed as an extension
        return engine.ROOT / "build" / "engine"


def own_python() -> Path | None:
    """The program of the extension's own environment, when there is one and it is complete for this version."""
    with suppress(OSError):
        if (folder() / READY).read_text(encoding="utf-8") == _needs():
            return engine.program_in(folder() / ENVIRONMENT)
    return None


def is_outdated() -> bool:
    """Whether a set-up has ended well, for another version or other libraries than this extension's."""
    return (folder() / READY).is_file() and own_python() is None


@cache
def _needs() -> str:
    return needs(__version__)  # preferences ask at every redraw


def log_path() -> Path:
    return folder() / LOG


def running() -> bool:
    return latest is not None and not latest.over


def start_setup(python: str, torch: str) -> Activity:
    """Make the environment, from Blender's Python when `python` is "". Raises EnvironmentProblem."""
    command = [sys.executable, "-m", "elocute.installation", "--into", str(folder()), "--torch", torch]
    return _start(SET_UP, command + (["--python", python] if python else []))


def start_check(python: Path) -> Activity:
    """Ask the engine in an environment what works. Raises EnvironmentProblem."""
    activity = _start(CHECK, [str(python), "-m", "elocute", "worker"])
    activity.process.send(Job("doctor"))
    return activity


def _start(title: str, command: list[str]) -> Activity:
    global latest
    stop()
    try:
        process = Process(command, engine.environment(), Path(command[0]).parent)
    except OSError as error:
        raise EnvironmentProblem("engine_missing", f"Can't start {command[0]}: {error.strerror}") from error
    latest = Activity(title, process)
    return latest


def stop() -> None:
    """End the child and forget what it found."""
    global latest
    if latest is not None:
        latest.process.stop()
        latest = None
