"""The engine as a child process: JSON lines in on stdin, JSON lines out on stdout (see `elocute.protocol`).

The main thread works; a second thread reads stdin, so that a cancel or the end of the stream is seen mid-job. When
stdin ends (the parent died or closed it) the running job is cancelled, and after a short grace the process ends
whatever the job is doing: no orphan keeps a GPU busy behind a closed Blender.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Iterator
from typing import IO

from elocute import __version__, jobs
from elocute.console import as_known_error, terminated_like_interrupted
from elocute.errors import BadInput, Cancelled, ElocuteError
from elocute.files import discard_all
from elocute.protocol import BadShot, Cancel, Done, Failed, Hello, Job, Message, decode_request, encode

GRACE_SECONDS = 0.6  # for a job to unwind by itself after stdin ended; the whole has to end within a second


class Stream:
    """The protocol's way out. A message is one write under a lock, so lines never mix."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        with self._lock:
            try:
                self._out.write(encode(message) + "\n")
                self._out.flush()
            except (BrokenPipeError, ValueError) as error:  # ValueError: closed, or a number that JSON doesn't have
                if isinstance(error, ValueError) and not self._out.closed:
                    raise
                raise Cancelled("nobody reads the results any more") from None


class Requests:
    """Reads stdin in its own thread: jobs queue up, `cancelled` tells whether the running one should stop."""

    def __init__(self, lines: IO[str]) -> None:
        self._jobs: queue.Queue[Job | BadInput | None] = queue.Queue()
        self._cancel = threading.Event()
        self._ended = threading.Event()
        self._left: list[Job | BadInput] = []  # taken from the queue and not handed out, as stdin had ended
        self._told = threading.Event()  # nothing is left to do or to say
        self._running = False  # a job, handed out and not done
        self._waiting = 0  # jobs that have come and are not done: a cancel while there is none means nothing
        self._lock = threading.Lock()  # of these
        threading.Thread(target=self._read, args=(lines,), name="requests", daemon=True).start()

    def cancelled(self) -> bool:
        return self._cancel.is_set() or self._ended.is_set()

    def cut(self) -> bool:
        """Whether it was the end of stdin, and no cancel, that stopped the running job."""
        return self._ended.is_set() and not self._cancel.is_set()

    def __iter__(self) -> Iterator[Job | BadInput]:
        """Jobs as they come, and lines that are none; ends with stdin."""
        while True:
            request = self._jobs.get()
            with self._lock:  # so that the end of stdin comes before a job, which then doesn't begin, or ends it
                if request is None or self._ended.is_set():
                    self._left += [] if request is None else [request]
                    return
                self._running = isinstance(request, Job)
            yield request
            with self._lock:
                self._running = False
                self._waiting -= 1
                self._cancel.clear()  # a late cancel was for the job that just ended

    def left(self) -> list[Job | BadInput]:
        """What came and was never handed out, after stdin has ended."""
        while not self._jobs.empty():
            request = self._jobs.get()
            self._left += [] if request is None else [request]
        return self._left

    def jobs_left(self) -> bool:
        """Whether there is a job among `left`."""
        return any(isinstance(request, Job) for request in self.left())

    def told(self) -> None:
        """Everything is said: the process ends by itself."""
        self._told.set()

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            if not line.strip():
                continue
            request: Job | Cancel | BadInput
            try:
                request = decode_request(line)
            except BadInput as error:
                request = error
            with self._lock:
                if not isinstance(request, Cancel):
                    self._waiting += 1
                    self._jobs.put(request)
                elif self._waiting:
                    self._cancel.set()
        with self._lock:
            self._ended.set()
            self._jobs.put(None)
        if not self._told.wait(GRACE_SECONDS):
            discard_all()  # half-written videos and their encoders
            # The job sits in native code and can't be asked, or nobody reads what is told.
            os._exit(Cancelled.exit_code if (self._running and self.cut()) or self.jobs_left() else 0)


def serve() -> int:
    """Serve jobs until stdin ends; returns the exit code, 130 when a job was cut or never began. The process has to end
    at once then, without taking apart what libraries have loaded."""
    stream = Stream(_take_stdout())
    stream.send(Hello(__version__))
    if hasattr(sys.stdin, "reconfigure"):  # bytes that are no text make a bad line, not a dead reader
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")
    requests = Requests(sys.stdin)
    cut = False
    try:
        with terminated_like_interrupted():
            for request in requests:
                cut = not _serve_one(request, stream, requests)
            for request in requests.left():
                late = Cancelled("stdin ended before this job began; keep it open until its `done`")
                problem = request if isinstance(request, BadInput) else late
                stream.send(Failed(problem.code, problem.message))
                stream.send(Done(_name(request), False))
            requests.told()
    except (Cancelled, KeyboardInterrupt):  # the reader went away between two messages, or a signal came
        return Cancelled.exit_code
    return Cancelled.exit_code if cut or requests.jobs_left() else 0


def _name(request: Job | BadInput) -> str:
    """What its `done` calls it."""
    return request.job if isinstance(request, (Job, BadShot)) else ""


def _serve_one(request: Job | BadInput, stream: Stream, requests: Requests) -> bool:
    """One job from its line to its `done`. Returns False when the end of stdin cut it."""
    name = _name(request)
    try:
        if isinstance(request, BadInput):
            raise request
        done = Done(name, True, jobs.run(request, stream.send, requests.cancelled))
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the outermost border of a job
        known: ElocuteError = as_known_error(error)
        cut = isinstance(known, Cancelled) and requests.cut()
        stream.send(Failed(known.code, known.message))
        stream.send(Done(name, False))
        if isinstance(error, KeyboardInterrupt):  # a signal is meant for the whole worker
            raise
        return not cut
    stream.send(done)
    return True


def _take_stdout() -> IO[str]:
    """The real stdout for this module alone; everybody else's prints, also of native libraries, go to stderr."""
    sys.stdout.flush()
    own = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return os.fdopen(own, "w", encoding="ascii", newline="\n")
