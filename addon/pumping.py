"""The clock of the queue in a window: a persistent timer, which survives opening another file."""

from __future__ import annotations

import time
from pathlib import Path

import bpy
from bpy.app.handlers import persistent

from . import checks, tasks
from .task import DONE, Task

WORKING, LISTENING, IDLE = 0.01, 0.05, 1.0  # seconds to the next tick
REDRAW_SECONDS = 0.1
IDLE_LIMIT = 600.0  # an engine that nobody has needed for so long gives its memory back
LAST_SECONDS = 1.0  # for the engine to note which frames are finished when Blender ends
_drawn = (-1, 0.0)


def log_path() -> Path:
    """Where defects are noted, the engine's too; the folder is there."""
    try:
        folder = bpy.utils.extension_path_user(checks.PACKAGE, path="logs", create=True)
    except ValueError:  # run from a checkout, not installed as an extension
        folder = bpy.app.tempdir
    return Path(folder) / "elocute.log"


def start(task: Task) -> Task:
    """Queue a task. In a background run it is over when this returns."""
    tasks.add(task)
    if bpy.app.background:
        return tasks.run(task)
    if not bpy.app.timers.is_registered(_tick):
        bpy.app.timers.register(_tick, persistent=True)
    return task


def _tick() -> float | None:
    """One turn. A timer that raises is dropped by Blender; `tasks` lets nothing of a task out."""
    taken = _scene_is_taken()
    busy = tasks.pump(only_listen=taken)
    if not taken:
        _remember_changes()
    _redraw(at_once=not busy)
    if busy:
        task = tasks.current()
        return LISTENING if taken or (task is not None and task.asked) else WORKING
    if tasks.worker is not None and tasks.idle_seconds() < IDLE_LIMIT:
        return IDLE
    tasks.stop_engine()
    return None


def _scene_is_taken() -> bool:
    """Whether Blender itself renders or bakes, on a thread of its own: what it reads must not change, nor go to another
    frame."""
    manager = bpy.context.window_manager
    return bpy.app.is_job_running("RENDER") or bool(manager and manager.is_interface_locked)


def _remember_changes() -> None:
    """One undo step for what a finished task has put into the file."""
    for task in tasks.tasks:
        if task.state == DONE and not task.about.get("undo"):
            task.about["undo"] = True
            manager = bpy.context.window_manager
            if task.kind != "preview" and manager and manager.windows:
                with bpy.context.temp_override(window=manager.windows[0]):
                    bpy.ops.ed.undo_push(message=task.title)


def _redraw(at_once: bool) -> None:
    global _drawn
    now = time.monotonic()
    if tasks.version == _drawn[0] or (not at_once and now - _drawn[1] < REDRAW_SECONDS):
        return
    _drawn = tasks.version, now
    manager = bpy.context.window_manager
    for window in manager.windows if manager else ():
        for area in window.screen.areas:
            for region in area.regions if area.type in {"SEQUENCE_EDITOR", "VIEW_3D"} else ():
                if region.type == "UI" or at_once:  # the sidebar alone: a viewport can be slow
                    region.tag_redraw()


@persistent
def _opening(*_: object) -> None:
    """Another file is about to be opened: what reads this one can't go on, what the engine is at can."""
    for task in list(tasks.tasks):
        if not task.over and not task.asked:
            tasks.cancel(task)
            task.message = "Stopped: another file was opened"


def register() -> None:
    tasks.configure(checks.engine_python, log_path)
    bpy.app.handlers.load_pre.append(_opening)


def unregister() -> None:
    bpy.app.handlers.load_pre.remove(_opening)
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
    tasks.cancel_all()
    tasks.stop_engine(LAST_SECONDS)
    tasks.tasks.clear()
