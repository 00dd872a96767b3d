"""The queue of jobs, at module level because opening a file drops everything else.

`pump` moves the queue on for a few milliseconds; a window calls it from a timer, a background run in a loop, so both do
the very same.
"""

from __future__ import annotations

import errno
import os
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..core.elocute.errors import ElocuteError, EnvironmentProblem
from ..core.elocute.protocol import PROTOCOL, Cancel, Done, Failed, Frame, Hello, Job, Message, Progress, Warned
from . import engine
from .process import Process
from .task import CANCELLED, DONE, FAILED, RUNNING, Ask, Task

BUDGET_SECONDS = 0.01  # of the main thread per pump, and what the last step takes beyond it
CANCEL_SECONDS = 5.0  # for the engine to stop by itself; afterwards it is killed
KEPT = 50  # finished tasks that the panel can show

tasks: list[Task] = []
worker: Process | None = None
_python: Path | None = None  # that the worker runs in
version = 0  # counts changes, so that a window redraws when there is something new
on_frame: Callable[[Task, int, str], None] | None = None  # a background run prints each frame
_find_python: Callable[[], Path] | None = None
_log: Callable[[], Path] | None = None
_used = 0.0


def configure(find_python: Callable[[], Path], log: Callable[[], Path]) -> None:
    """`find_python` tells the engine's Python or raises ElocuteError; `log` tells the file for defects."""
    global _find_python, _log
    _find_python, _log = find_python, log


def add(task: Task) -> Task:
    """Put a task at the end of the queue."""
    tasks.append(task)
    over = [task for task in tasks if task.over]
    for old in over[:-KEPT]:
        tasks.remove(old)
    _changed()
    return task


def current() -> Task | None:
    """The task that runs, or would run next."""
    return next((task for task in tasks if not task.over), None)


def busy() -> bool:
    return current() is not None


def idle_seconds() -> float:
    """How long the engine has had nothing to do."""
    return 0.0 if busy() else time.monotonic() - _used


def cancel(task: Task) -> None:
    """Stop a task: at once when it waits, as soon as the engine has stopped when it runs."""
    if task.over:
        return
    if task.asked and worker is not None:
        if task.cancelled_at is None:
            worker.send(Cancel())
            task.cancelled_at = time.monotonic()
            task.stage = "Stopping"
    else:
        if task.running is not None:
            try:
                task.running.close()
            except Exception:  # noqa: BLE001 - what it couldn't put away: those after it have to be stopped too
                _note(traceback.format_exc())
        _end(task, CANCELLED, "Stopped")
    _changed()


def cancel_all() -> None:
    for task in reversed(list(tasks)):
        cancel(task)


def clear() -> None:
    """Forget what is over."""
    tasks[:] = [task for task in tasks if not task.over]
    _changed()


def stop_engine(patience: float = 0.0) -> None:
    """End the worker and whatever it does; within `patience` seconds it may put away what it has begun."""
    global worker
    gone, worker = worker, None
    if gone is not None:
        gone.stop(patience)


def pump(budget: float = BUDGET_SECONDS, only_listen: bool = False) -> bool:
    """Move the queue on for `budget` seconds at most, or only take in what the engine says. Whether there is more to
    do."""
    global _used
    end = time.perf_counter() + budget
    _listen()
    while (task := current()) is not None:
        _used = time.monotonic()
        if task.asked:
            _watch_cancel(task)
            break  # the engine works; there is nothing to do here
        if only_listen:
            break
        _step(task)
        if time.perf_counter() >= end:
            break
    return busy()


def run(task: Task, interrupted: Callable[[], bool] = lambda: False) -> Task:
    """Run the queue until a task is over, in a background run where timers never fire."""
    while not task.over:
        pump()
        if interrupted():
            cancel_all()
        if task.asked:
            time.sleep(0.01)
    return task


def _step(task: Task) -> None:
    """Run a task up to its next yield."""
    if task.running is None:
        task.running, task.state = task.steps(task), RUNNING
    answer, task.answer = task.answer, None
    failure, task.failure = task.failure, None
    try:
        ask = task.running.throw(failure) if failure is not None else task.running.send(answer)  # type: ignore[arg-type]
        if ask is not None:
            _ask(task, ask)
    except StopIteration as end:
        task.result = end.value
        _end(task, DONE, task.message)
    except ElocuteError as error:
        _end(task, CANCELLED if error.code == "cancelled" else FAILED, str(error), error.code)
    except Exception as error:  # noqa: BLE001 - the outermost border of a task: the queue has to go on
        refused = _refused(error) if isinstance(error, OSError) else None
        if refused is not None:
            _end(task, FAILED, str(refused), refused.code)
        else:
            _end(task, FAILED, f"{type(error).__name__}: {error}. This is a defect of Elocute; see the log", "internal")
            _note(traceback.format_exc())
    _changed()


def _refused(error: OSError) -> EnvironmentProblem | None:
    """What the operating system answers about a disk, file or folder, as a sentence; None for anything else."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return EnvironmentProblem("disk_full", "The disk is full. Free some space and try again")
    if not error.filename:
        return None
    text = f"Can't use {os.fsdecode(error.filename)}: {error.strerror}. Check its rights, or choose another place"
    return EnvironmentProblem("file_refused", text)


def _ask(task: Task, ask: Ask) -> None:
    global worker, _python
    assert _find_python is not None
    python = _find_python()
    if worker is None or python != _python:  # another engine was chosen
        stop_engine()
        worker, _python = _start(python), python
    task.asked = True
    worker.send(Job(ask.job, ask.settings))


def _start(python: Path) -> Process:
    """Raises EnvironmentProblem engine_missing."""
    environment = engine.environment()
    if _log is not None:
        environment["ELOCUTE_LOG"] = str(_log())
    try:
        return Process([python, "-m", "elocute", "worker"], environment, python.parent)
    except OSError as error:
        raise EnvironmentProblem(
            "engine_missing", f"Can't start {python}: {error.strerror}. Set the engine up again in the preferences"
        ) from error


def _listen() -> None:
    """Take in what the engine has said."""
    if worker is None:
        return
    alive = worker.running()  # asked before the messages: nothing comes after them
    for message in worker.messages():
        task = current()
        if isinstance(message, Hello) and message.protocol != PROTOCOL:
            _engine_ended(f"The engine speaks protocol {message.protocol}, this add-on {PROTOCOL}: set it up again")
            return
        if task is not None and task.asked:
            _told(task, message)
            _changed()
    if not alive:
        _engine_ended(f"The engine ended: {worker.last_words()}")


def _told(task: Task, message: Message) -> None:
    if isinstance(message, Progress):
        words = message.message or _STAGES.get(message.stage, message.stage)
        task.stage = task.stage if task.cancelled_at else words[:1].upper() + words[1:]
        task.done, task.total, task.fps = message.done, message.total, message.fps
    elif isinstance(message, Frame):
        task.frames[message.index] = message.path
        if on_frame is not None:
            on_frame(task, message.index, message.path)
    elif isinstance(message, Warned):
        if sentence(message.message) not in task.warnings:
            task.warnings.append(sentence(message.message))
    elif isinstance(message, Failed):
        task.failure = ElocuteError(message.code, sentence(message.message))
    elif isinstance(message, Done):
        task.asked = False
        task.answer = message.result
        if task.cancelled_at is not None:  # also when it was done before it heard: nothing may follow
            task.failure = ElocuteError("cancelled", "Stopped; finished frames are kept")
        elif message.ok:
            task.failure = None
        elif task.failure is None:
            task.failure = ElocuteError("internal", "The engine failed and didn't say why")


def sentence(text: str) -> str:
    """What the engine says as Blender says it: with a capital letter, unless it begins with a file's name."""
    text = engine.in_blender(text)
    first = text.partition(" ")[0]
    return text[:1].upper() + text[1:] if first.isalpha() else text


_STAGES = {
    "fit": "Preparing the portrait", "drive": "Listening to the voice", "render": "Rendering",
    "curves": "Listening to the voice", "head": "Fitting the head",
}  # fmt: skip


def _engine_ended(why: str) -> None:
    stop_engine()
    task = current()
    if task is not None and task.asked:
        task.asked = False
        if task.cancelled_at is not None:
            task.failure = ElocuteError("cancelled", "Stopped; finished frames are kept")
        else:
            words = why.rstrip(".")
            text = f"{words}. Finished frames are kept: render again to go on"
            task.failure = EnvironmentProblem("engine_ended", text)
    _changed()


def _watch_cancel(task: Task) -> None:
    if task.cancelled_at is not None and time.monotonic() - task.cancelled_at > CANCEL_SECONDS:
        _engine_ended("The engine did not stop")


def _end(task: Task, state: str, message: str, code: str = "") -> None:
    task.state, task.message, task.code = state, message, code
    task.running, task.fps = None, None


def _note(text: str) -> None:
    """Add to the log that the panel opens."""
    if _log is not None:
        with suppress(OSError), _log().open("a", encoding="utf-8") as log:
            log.write(text)


def _changed() -> None:
    global version
    version += 1
