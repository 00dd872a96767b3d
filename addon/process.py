"""A child process that speaks the worker's protocol, seen from a main thread that must not wait for it."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from ..core.elocute.errors import BadInput
from ..core.elocute.protocol import Cancel, Job, Message, decode_message, encode

KEPT_LINES = 40  # of what the child says on stderr: enough to tell why it ended
WORDS_SECONDS = 1.0  # for the rest of it to come when the child has ended: a program that it left may hold the pipe


class Process:
    """A running child. Two threads drain its pipes, so that it never stops at a full one; only `stop` waits.

    On POSIX the child has a session of its own, so that `stop` reaches what it started in turn, but for what has made
    itself a session: the engine's video encoder, which ends when nobody feeds it any more.
    """

    def __init__(self, command: Sequence[str | Path], environment: Mapping[str, str], folder: Path) -> None:
        """Raises OSError when the program can't be started."""
        self._process = subprocess.Popen(
            [str(part) for part in command], env=dict(environment), cwd=folder,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=os.name == "posix", creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )  # fmt: skip
        self.pid = self._process.pid
        self._ended_at: float | None = None  # when it was first seen
        self._messages: queue.Queue[Message] = queue.Queue()
        self._said: deque[str] = deque(maxlen=KEPT_LINES)
        self._outgoing: queue.Queue[str | None] = queue.Queue()
        tasks = (self._read_messages, self._read_errors, self._write)
        self._threads = [threading.Thread(target=task, name="elocute", daemon=True) for task in tasks]
        for thread in self._threads:
            thread.start()

    def send(self, request: Job | Cancel) -> None:
        """Ask for a job, or for the running one to be cancelled. A child that has ended doesn't hear it."""
        self._outgoing.put(encode(request))

    def messages(self) -> list[Message]:
        """What has come since the last call, oldest first."""
        found = []
        with suppress(queue.Empty):
            while True:
                found.append(self._messages.get_nowait())
        return found

    def running(self) -> bool:
        """Whether more messages may come: the child lives, or its last words are not read yet."""
        if not self._ended() or self._threads[0].is_alive():
            return True
        assert self._ended_at is not None
        return self._threads[1].is_alive() and time.monotonic() - self._ended_at < WORDS_SECONDS

    def last_words(self) -> str:
        """The last line on stderr, or the exit code: why a child ended that should not have."""
        told = [line for line in list(self._said) if line.strip()]
        return told[-1].strip() if told else f"exit code {self._process.returncode}"

    def close(self) -> None:
        """End the child's input, which tells it to end in its own time."""
        self._outgoing.put(None)

    def stop(self, patience: float = 0.0) -> None:
        """End the child. It has `patience` seconds to end by itself, as the end of its input asks it to, then it is
        killed with what it started."""
        self.close()
        if patience:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)
        if not self._ended():
            self._kill()
            self._process.wait()
            self._ended_at = time.monotonic()

    def _ended(self) -> bool:
        """Whether the child has ended; what is left of its session is then ended too, once: later its number may be
        another's."""
        if self._ended_at is None and self._process.poll() is not None:
            self._ended_at = time.monotonic()
            if os.name == "posix":
                self._kill()
        return self._ended_at is not None

    def _kill(self) -> None:
        if os.name == "posix":
            with suppress(ProcessLookupError, PermissionError):  # already gone
                os.killpg(self.pid, signal.SIGKILL)
        else:
            subprocess.run(["taskkill", "/T", "/F", "/PID", str(self.pid)], capture_output=True)

    def _read_messages(self) -> None:
        for line in _lines(self._process.stdout):
            try:
                message = decode_message(line)
            except BadInput:
                self._said.append(line)  # no protocol line: a library printed something
                continue
            if message is not None:
                self._messages.put(message)
        self._outgoing.put(None)  # nobody is there any more to write to

    def _read_errors(self) -> None:
        self._said.extend(_lines(self._process.stderr))

    def _write(self) -> None:
        assert self._process.stdin is not None
        if hasattr(signal, "pthread_sigmask"):  # some builds of Blender would die of a pipe that nobody reads
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
        with suppress(OSError, ValueError), self._process.stdin as stream:  # the child may have ended
            while (line := self._outgoing.get()) is not None:
                stream.write(f"{line}\n".encode())
                stream.flush()


def _lines(stream: IO[bytes] | None) -> Iterator[str]:
    assert stream is not None
    with stream:
        for line in stream:
            yield line.decode("utf-8", "replace").rstrip("\r\n")
