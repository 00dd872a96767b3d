"""What the engine's process and its caller say to each other: one JSON object a line (standard library only).

From the worker: `hello` first, then for each job `progress`, `frame`, `warning`, perhaps `failed`, and `done` last.
To the worker: a job, `{"job": "speak", "shot": {...}}`, or `{"cancel": true}`; the end of the stream ends the worker.
Unknown keys of a message are ignored and unknown types skipped, so that an older reader survives a newer worker;
a change that such a reader would misread raises `PROTOCOL`.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .errors import BadInput

PROTOCOL = 1
JOBS = ("speak", "fit", "head", "curves", "models", "doctor")


@dataclass(frozen=True)
class Hello:
    """First line of a worker."""

    type: ClassVar[str] = "hello"
    version: str
    protocol: int = PROTOCOL


@dataclass(frozen=True)
class Progress:
    """How far a stage is: `done` of `total` (0 when not known), `fps` while frames are made."""

    type: ClassVar[str] = "progress"
    stage: str
    done: int
    total: int
    fps: float | None = None
    message: str | None = None


@dataclass(frozen=True)
class Frame:
    """Frame `index`, counted from 1 as in its file's name, is complete at `path`."""

    type: ClassVar[str] = "frame"
    index: int
    path: str


@dataclass(frozen=True)
class Warned:
    """Something the user should know; the job goes on."""

    type: ClassVar[str] = "warning"
    message: str


@dataclass(frozen=True)
class Failed:
    """The job stopped: a stable `code` for programs, a sentence for people. `done` still follows."""

    type: ClassVar[str] = "failed"
    code: str
    message: str


@dataclass(frozen=True)
class Done:
    """Last line of a job. `ok` tells whether it did what was asked; `result` is the job's own report."""

    type: ClassVar[str] = "done"
    job: str
    ok: bool = True
    result: dict[str, Any] = field(default_factory=dict)


Message = Hello | Progress | Frame | Warned | Failed | Done
_TYPES: dict[str, type[Message]] = {kind.type: kind for kind in (Hello, Progress, Frame, Warned, Failed, Done)}


@dataclass(frozen=True)
class Job:
    """A request: which job, and its settings as JSON values (a `Shot`, `FitSettings`, `HeadSettings`, ...)."""

    job: str
    shot: dict[str, Any] = field(default_factory=dict)


class BadShot(BadInput):
    """A request whose settings are none; its `done` names the `job` all the same."""

    def __init__(self, job: str) -> None:
        super().__init__("shot_type", 'the job\'s shot has to be a JSON object. Send {"job": ..., "shot": {...}}.')
        self.job = job


@dataclass(frozen=True)
class Cancel:
    """Stop the running job; finished frames stay."""


def encode(message: Message | Job | Cancel) -> str:
    """One line, without the line end. NaN has no JSON form and is refused (ValueError)."""
    if isinstance(message, Cancel):
        return '{"cancel": true}'
    values = dataclasses.asdict(message)
    if not isinstance(message, Job):
        values = {"type": message.type, **values}
    return json.dumps(values, ensure_ascii=True, allow_nan=False)  # ASCII: survives any console encoding


def decode_message(line: str) -> Message | None:
    """The worker's line as a message; None for a type this version doesn't know.

    Raises BadInput protocol_line when the line is not one of the protocol's at all.
    """
    values = _object(line)
    kind = _TYPES.get(str(values.get("type")))
    if kind is None:
        return None
    known = {item.name for item in dataclasses.fields(kind)}
    try:
        return kind(**{key: value for key, value in values.items() if key in known})
    except TypeError:
        raise BadInput("protocol_line", f"a {kind.type} message lacks a field: {line[:200]}") from None


def decode_request(line: str) -> Job | Cancel:
    """The caller's line. Raises BadInput protocol_line or unknown_job, BadShot."""
    values = _object(line)
    if values.get("cancel") is True:
        return Cancel()
    job, shot = values.get("job"), values.get("shot", {})
    if job not in JOBS:
        raise BadInput("unknown_job", f"unknown job {str(job)[:60]!r}. Known: {', '.join(JOBS)}.")
    if not isinstance(shot, dict):
        raise BadShot(job)
    return Job(job, shot)


def _object(line: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise BadInput("protocol_line", f"not a line of the protocol: {line[:200]!r}. Send one JSON object a line.")
    return values
