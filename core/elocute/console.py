"""How a command talks to its user: progress on a terminal, JSON lines for machines, one sentence for an error."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, ClassVar

from elocute.errors import BadInput, Cancelled, ElocuteError, EnvironmentProblem
from elocute.files import discard_all, is_disk_full
from elocute.limits import named_place
from elocute.protocol import Frame, Message, Progress, Warned

if TYPE_CHECKING:
    import rich.progress

# What an operating system answers about a file or folder that is none of Elocute's doing.
_REFUSALS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.EIO, errno.ENOTDIR)
# How torch says that memory ran out, when it does so by a bare RuntimeError: a CPU's on Linux and on Windows, MPS.
_NO_MEMORY = ("DefaultCPUAllocator: can't allocate memory", "not enough memory", "out of memory")
PATIENCE = 5.0  # seconds for a stopped job to unwind before another Ctrl-C ends it by force


class Console:
    """Receives a job's messages. With `as_json`, stdout carries `{"progress": ...}` and `{"warning": ...}` lines and
    last one object, the result or `{"error": {"code", "message"}}`; otherwise results go to stdout for people, and
    warnings, errors and the progress bars of a terminal to stderr."""

    told_error: ClassVar[bool] = False  # of this process: Typer turns a Ctrl-C while it parses into a bare exit code

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json
        self._bars: rich.progress.Progress | None = None
        self._tasks: dict[str, rich.progress.TaskID] = {}
        self._warned: set[str] = set()

    def __call__(self, message: Message) -> None:
        if isinstance(message, Warned):
            self.warn(message.message)
        elif self.as_json and isinstance(message, (Progress, Frame)):
            self._line({message.type: dataclasses.asdict(message)})
        elif isinstance(message, Progress) and sys.stderr.isatty():
            self._bar(message)

    def warn(self, text: str) -> None:
        """Say it once, however often it is reported."""
        if text in self._warned:
            return
        self._warned.add(text)
        if self.as_json:
            self._line({"warning": {"message": text}})
        else:
            self._above_bars(f"warning: {text}")

    def result(self, values: dict[str, Any], text: str) -> None:
        """The end of a command: one JSON object for machines, `text` for people."""
        self.close()
        if self.as_json:
            self._line(values)
        else:
            print(text, flush=True)

    def error(self, error: ElocuteError) -> None:
        """One sentence on stderr; with `as_json` also one object on stdout."""
        self.close()
        Console.told_error = True
        with contextlib.suppress(OSError):
            print(f"error: {error.message}", file=sys.stderr, flush=True)
        if self.as_json:
            try:
                self._line({"error": {"code": error.code, "message": error.message}})
            except OSError:  # a full disk behind stdout: stderr has said it
                _silence_stdout()

    def close(self) -> None:
        """Leave the terminal as it was found."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def _line(self, values: dict[str, Any]) -> None:
        print(json.dumps(values, allow_nan=False), flush=True)

    def _above_bars(self, text: str) -> None:
        if self._bars is not None:
            self._bars.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def _bar(self, message: Progress) -> None:
        if self._bars is None:
            self._bars = _new_bars()
        total = message.total or None
        if message.stage not in self._tasks:
            for earlier in self._bars.tasks:  # stages follow each other: a new one means that the others are done
                self._bars.update(earlier.id, completed=earlier.total or earlier.completed)
                self._bars.stop_task(earlier.id)
            self._tasks[message.stage] = self._bars.add_task(message.stage, total=total, note="")
        note = f"{message.fps:.1f} frames/s" if message.fps else message.message or ""
        self._bars.update(self._tasks[message.stage], completed=message.done, total=total, note=note)


def _new_bars() -> rich.progress.Progress:
    import rich.console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<20}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("{task.fields[note]}"))  # fmt: skip
    bars = Progress(*columns, console=rich.console.Console(stderr=True))
    bars.start()
    return bars


@contextlib.contextmanager
def reporting(as_json: bool = False) -> Iterator[Console]:
    """Run a command's body: whatever it raises becomes one sentence and the right exit code, never a traceback."""
    console = Console(as_json)
    try:
        with terminated_like_interrupted():
            yield console
    except BrokenPipeError:  # the reader of stdout went away, as in `elocute models | head -1`
        _silence_stdout()
        raise SystemExit(1) from None
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the outermost border: nothing may pass it
        known = as_known_error(error)
        console.error(known)
        raise SystemExit(known.exit_code) from None
    finally:
        console.close()


def _silence_stdout() -> None:
    """Python would complain when it flushes, at exit, what can't be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM and a closed terminal (SIGHUP) unwind as Ctrl-C does, so that temporary files go and finished frames
    stay. Further signals don't disturb the unwinding; when it hangs for PATIENCE seconds, they end the process."""
    first: float | None = None

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if first is None:
            first = time.monotonic()
            raise KeyboardInterrupt
        if time.monotonic() - first > PATIENCE:
            discard_all()
            os._exit(Cancelled.exit_code)

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # What the caller chose to ignore stays ignored: `nohup elocute` outlives its terminal.
    before = {number: signal.getsignal(number) for number in numbers if signal.getsignal(number) != signal.SIG_IGN}
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            # A stopped process is on its way out; it stays deaf until it is gone, to end with its own exit code.
            if signal.getsignal(number) is stop:
                signal.signal(number, handler if first is None else signal.SIG_IGN)


def as_known_error(error: BaseException) -> ElocuteError:
    """Any exception as one with a code and a sentence; what nobody foresaw is written to a log file first."""
    if isinstance(error, ElocuteError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Cancelled(*error.args)
    if hasattr(error, "format_message"):  # the command line's own: a misspelt option, a missing argument
        usage = str(error.format_message()).rstrip(".")
        command = getattr(getattr(error, "ctx", None), "command_path", None) or "elocute"
        end = "" if usage.endswith("?") else "."  # "Did you mean ...?" has its own
        return BadInput("usage", f"{usage[:1].lower()}{usage[1:]}{end} See {command} --help.")
    if isinstance(error, OSError) and is_disk_full(error):
        return EnvironmentProblem("disk_full", "the disk is full. Free some space and run the command again.")
    if isinstance(error, OSError) and error.filename and error.errno in _REFUSALS:
        why = f"can't use {os.fsdecode(error.filename)} ({error.strerror}). Check its rights, or choose another place."
        return EnvironmentProblem("file_refused", why)
    if _is_out_of_memory(error):
        advice = "Use a smaller --size or --memory, or --fit-memory while nerffacespeech fits."
        return EnvironmentProblem("out_of_memory", f"memory ran out. {advice}")
    if isinstance(error, ModuleNotFoundError) and error.name and error.name.partition(".")[0] != "elocute":
        advice = "Run `elocute doctor` to see what is missing and how to get it."
        return EnvironmentProblem("library_missing", f"the library {error.name} is not installed. {advice}")
    summary = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    log = write_log(error)
    where = f"log at {log}" if log else "and no log could be written"
    return ElocuteError("internal", f"internal error ({summary}). Please report it, {where}.")


def _is_out_of_memory(error: BaseException) -> bool:
    """Python's own, or torch's, which is known by its name and text: torch isn't loaded to ask it."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _NO_MEMORY)


def write_log(error: BaseException) -> Path | None:
    """The traceback at the end of the file that ELOCUTE_LOG names, else in one of its own in the temporary folder; None
    when even that fails."""
    text = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {' '.join(sys.argv)}\n{''.join(traceback.format_exception(error))}"
    with contextlib.suppress(OSError, EnvironmentProblem):  # of a home that isn't there: the other way is left
        if named := named_place("ELOCUTE_LOG"):
            with named.open("a", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write(text)
            return named
    try:
        handle, name = tempfile.mkstemp(prefix="elocute-", suffix=".log", text=True)
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(text)
    except OSError:
        return None
    return Path(name)


def table(values: dict[str, Any], indent: str = "", unknown: bool = False) -> str:
    """Nested values as aligned lines for people; what is empty is left out, apart from what is None when `unknown`
    asks for a dash there."""
    told = {key: value for key, value in values.items() if not _empty(value, unknown)}
    width = max((len(str(key)) for key in told), default=0)
    lines = []
    for key, value in told.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key}", table(value, indent + "  ", unknown)]
        else:
            lines.append(f"{indent}{str(key):<{width}}  {_cell(value)}")
    return "\n".join(lines)


def _empty(value: Any, unknown: bool = False) -> bool:
    if isinstance(value, dict):
        return all(_empty(inner, unknown) for inner in value.values())
    return (value is None and not unknown) or (isinstance(value, (list, tuple)) and not value)


def _cell(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_cell(item) for item in value)
    return str(value)
