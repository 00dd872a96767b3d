"""Errors a user can meet: one sentence that says what is wrong and what to do, a stable code, an exit code.

Raise one of the two kinds with a code of its own::

    raise BadInput("no_face", "no face in portrait.png. Use a photo where the face is at least 128 px wide.")

Programs read `code` (it never changes once released), people read the sentence, shells read `exit_code`.
"""

from __future__ import annotations


class ElocuteError(Exception):
    """Anything Elocute refuses to do. `code` is stable; `str(error)` is for people."""

    exit_code = 1

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def message(self) -> str:
        return str(self)


class BadInput(ElocuteError):
    """What the user gave can't be used: portrait, voice, poses, curves, settings."""

    exit_code = 2


class EnvironmentProblem(ElocuteError):
    """What the machine lacks: a model file, a device, disk space, a writable folder."""

    exit_code = 3


class Cancelled(ElocuteError):
    """The user stopped the job. Finished frames in a folder stay."""

    exit_code = 130

    def __init__(self, message: str = "stopped") -> None:
        super().__init__("cancelled", message)
