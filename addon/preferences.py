"""The extension's preferences: which Python runs the engine, and whether that works."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import bpy

from . import engine

PACKAGE = __package__.rpartition(".")[0]  # of the extension's root: what Blender knows the preferences by
PATIENCE = 120.0  # seconds, in background mode: importing torch from a cold disk takes long
_answer: dict[str, Any] = {}


def _answered(result: dict[str, Any]) -> None:
    _answer.clear()
    _answer.update(result)
    for window in bpy.context.window_manager.windows if bpy.context.window_manager else ():
        for area in window.screen.areas:
            area.tag_redraw()


def _pump() -> float | None:
    return 0.2 if engine.poll(_answered) else None


class ELOCUTE_OT_check_engine(bpy.types.Operator):
    """Ask the engine what works on this machine and what is missing"""

    bl_idname = "elocute.check_engine"
    bl_label = "Check Engine"

    def execute(self, context: bpy.types.Context) -> set[str]:
        chosen = context.preferences.addons[PACKAGE].preferences.engine_python
        python = Path(bpy.path.abspath(chosen)) if chosen else engine.default_python()
        if python is None:
            self.report({"ERROR"}, "Choose the Python that has the engine installed")
            return {"CANCELLED"}
        try:
            engine.start(python, ["doctor", "--json"])
        except OSError as error:
            self.report({"ERROR"}, f"Can't start {python}: {error.strerror}")
            return {"CANCELLED"}
        _answer.clear()
        if not bpy.app.background:
            bpy.app.timers.register(_pump, persistent=True)  # survives opening another file
            return {"FINISHED"}
        end = time.monotonic() + PATIENCE  # timers never fire in background mode
        while engine.poll(_answered):
            if time.monotonic() > end:
                engine.stop()
                self.report({"ERROR"}, "The engine did not answer in time")
                return {"CANCELLED"}
            time.sleep(0.05)
        for line in summary(_answer):
            self.report({"INFO"}, line)
        return {"FINISHED"} if _answer.get("ok") else {"CANCELLED"}


class ElocutePreferences(bpy.types.AddonPreferences):
    bl_idname = PACKAGE

    engine_python: bpy.props.StringProperty(
        name="Engine Python",
        description="The Python program of the environment in which the engine's libraries are installed",
        subtype="FILE_PATH",
    )  # type: ignore[valid-type]

    def draw(self, context: bpy.types.Context) -> None:
        self.layout.prop(self, "engine_python")
        self.layout.operator(ELOCUTE_OT_check_engine.bl_idname)
        for line in ["Checking…"] if engine.running() else summary(_answer):
            self.layout.label(text=line)


def summary(answer: dict[str, Any]) -> list[str]:
    """What to show of the doctor's answer: the version and devices, then only what is missing."""
    if not answer:
        return []
    if "error" in answer:
        return [str(answer["error"]["message"])]
    head = f"Elocute {answer['version']} on {', '.join(answer['devices'])}"
    missing = [f"{check['name']}: {check['fix']}" for check in answer["checks"] if check["needed"] and not check["ok"]]
    return [head, *(missing or ["Everything needed is there"])]


_CLASSES = (ELOCUTE_OT_check_engine, ElocutePreferences)


def register() -> None:
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    if bpy.app.timers.is_registered(_pump):
        bpy.app.timers.unregister(_pump)
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
