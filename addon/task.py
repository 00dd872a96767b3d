"""One job: steps of Blender's and of the engine's, and how they are doing.

The steps are a generator: it yields None where Blender may have its turn, and `Ask` where the engine has to work; the
engine's report comes back as the value of that yield.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from ..core.elocute.errors import ElocuteError


@dataclass(frozen=True)
class Ask:
    """A job for the engine: its name in the protocol and its settings as JSON values."""

    job: str
    settings: dict[str, Any]


Steps = Generator[Ask | None, dict[str, Any], Any]
WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"


@dataclass
class Task:
    """One entry of the queue and how it is doing."""

    kind: str  # "render", "preview", "head", "keys"
    title: str
    steps: Callable[[Task], Steps]
    about: dict[str, Any] = field(default_factory=dict)  # whose it is, a shot's Ref, and what its steps note
    state: str = WAITING
    stage: str = ""
    done: int = 0
    total: int = 0
    fps: float | None = None
    warnings: list[str] = field(default_factory=list)
    frames: dict[int, str] = field(default_factory=dict)  # number -> file, of this run
    code: str = ""  # why it failed, for programs and for buttons
    message: str = ""  # what came of it, a sentence
    result: Any = None  # what its steps returned
    cancelled_at: float | None = None
    running: Steps | None = None
    asked: bool = False  # the engine is at it
    answer: dict[str, Any] | None = None  # the engine's, for the next step
    failure: ElocuteError | None = None  # the same when it failed

    @property
    def over(self) -> bool:
        return self.state in (DONE, FAILED, CANCELLED)

    @property
    def factor(self) -> float:
        return self.done / self.total if self.total else 0.0

    def at(self, stage: str, done: int = 0, total: int = 0) -> None:
        """Tell how far it is."""
        self.stage, self.done, self.total, self.fps = stage, done, total, None

    def seconds_left(self) -> float | None:
        return (self.total - self.done) / self.fps if self.fps else None
