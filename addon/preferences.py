"""The extension's preferences: set the engine up, or choose an environment that has it, and see whether it works."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import bpy
from bpy.props import EnumProperty, StringProperty

from ..core.elocute.errors import EnvironmentProblem
from . import engine, setup, shots, tasks

TICK_SECONDS = 0.1
LONGEST_PATH = 64  # letters of a path that are shown; its end says most
NEEDS = "Needs 2 GB of disk space, several more with CUDA"


def _forget(self: Any, context: bpy.types.Context) -> None:
    """What was found of one environment says nothing of another."""
    if not setup.running():
        setup.stop()


class ElocutePreferences(bpy.types.AddonPreferences):
    bl_idname = engine.PACKAGE

    source: EnumProperty(
        name="Engine",
        description="Which Python environment runs the engine",
        items=[
            ("OWN", "Own Environment", "An environment that this extension sets up in its own folder"),
            ("EXISTING", "Existing Environment", "An environment that has the engine's libraries"),
        ],
        update=_forget,
    )  # type: ignore[valid-type]
    engine_python: StringProperty(
        name="Environment", description="The environment's folder, or its Python program", subtype="FILE_PATH",
        update=_forget,
    )  # type: ignore[valid-type]
    base_python: StringProperty(
        name="Python",
        description="The Python program (3.11 to 3.13) to make the environment from. Empty: Blender's own, or another "
        "one of this machine where Blender's can't make environments",
        subtype="FILE_PATH",
    )  # type: ignore[valid-type]
    torch: EnumProperty(
        name="PyTorch",
        description="Which build of PyTorch computes the frames",
        items=[
            ("auto", "Automatic", "The build for CUDA when there is an NVIDIA card, else the one for the processor"),
            ("cpu", "CPU", "The build for the processor, which is the smallest"),
            ("cuda", "CUDA", "The build for NVIDIA cards"),
            ("CUSTOM", "Custom", "Any other build"),
        ],
    )  # type: ignore[valid-type]
    torch_custom: StringProperty(
        name="Arguments", description="What pip install is given for PyTorch, options included", default="torch"
    )  # type: ignore[valid-type]

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split, layout.use_property_decorate = True, False
        layout.row().prop(self, "source", expand=True)
        column = layout.column()
        column.enabled = not setup.running()
        if self.source == "EXISTING":
            column.prop(self, "engine_python")
        else:
            column.prop(self, "base_python", placeholder="Blender's own")
            column.prop(self, "torch")
            if self.torch == "CUSTOM":
                column.prop(self, "torch_custom")
        _draw_buttons(layout, self.source)
        if setup.latest is not None:
            _draw_activity(layout, setup.latest)


def _draw_buttons(layout: bpy.types.UILayout, source: str) -> None:
    row = layout.row(align=True)
    if source == "OWN":
        text = "Set Up Again" if setup.own_python() else "Set Up Engine"
        row.operator(ELOCUTE_OT_setup_engine.bl_idname, text=text, icon="IMPORT")
    row.operator(ELOCUTE_OT_check_engine.bl_idname, icon="CHECKMARK")
    if source == "OWN":
        row.operator(ELOCUTE_OT_open_setup_log.bl_idname, icon="TEXT")
    if source == "OWN" and not bpy.app.online_access:
        box = layout.box()
        box.label(text="Set-up downloads libraries and models, which needs online access", icon="INTERNET_OFFLINE")
        if bpy.app.online_access_override:
            box.label(text="Start Blender without --offline-mode to allow it", icon="BLANK1")
        else:
            box.operator("extensions.userpref_allow_online", text="Allow Online Access", icon="INTERNET")
    elif source == "OWN" and not setup.running() and not setup.own_python():
        layout.label(text=NEEDS, icon="INFO")


def _draw_activity(layout: bpy.types.UILayout, activity: setup.Activity) -> None:
    box = layout.box()
    if not activity.over:
        row = box.row(align=True)
        row.progress(factor=activity.factor, text=activity.stage or activity.title)
        row.operator(ELOCUTE_OT_cancel_setup.bl_idname, text="", icon="X")
    column = box.column(align=True)
    for icon, text in report(activity):
        column.label(text=text, icon=icon)


def report(activity: setup.Activity) -> list[tuple[str, str]]:
    """What a set-up or check has found, line by line: (icon, text), what is wrong first."""
    lines = [("ERROR", activity.problem)] if activity.problem else []
    lines += [("INFO", warning) for warning in activity.warnings]
    if not activity.answer.get("checks"):
        return lines
    if activity.answer["ok"]:
        devices = ", ".join(activity.answer["devices"])
        lines.append(("CHECKMARK", f"Elocute {activity.answer['version']} is ready. Devices: {devices}"))
    for check in sorted(activity.answer["checks"], key=lambda check: check["ok"] or not check["needed"]):
        icon = "CHECKMARK" if check["ok"] else "ERROR" if check["needed"] else "INFO"
        fix = "" if check["ok"] else f". {'Fix' if check['needed'] else 'Optional'}: {check['fix']}"
        lines.append((icon, engine.in_blender(f"{check['name']}: {_shortened(check['detail'])}{fix}")))
    return lines


def _shortened(detail: str) -> str:
    is_path = detail.startswith(("/", "\\")) or detail[1:2] == ":"
    return detail if len(detail) <= LONGEST_PATH or not is_path else "…" + detail[-LONGEST_PATH:]


def chosen_python() -> Path:
    """The Python of the chosen environment. Raises EnvironmentProblem engine_missing."""
    addon = bpy.context.preferences.addons.get(engine.PACKAGE)
    if addon is not None and addon.preferences.source == "EXISTING":
        named = addon.preferences.engine_python
        python = engine.program_in(shots.absolute(named)) if named else None
        if python is None:
            words = f"There is no Python at {shots.absolute(named)}" if named else "No environment is chosen"
            raise EnvironmentProblem("engine_missing", f"{words}. Choose the engine's environment in the preferences")
        return python
    python = setup.own_python() or engine.default_python()
    if python is None:
        words = "Elocute was updated: set up the engine again" if setup.is_outdated() else "The engine is not set up"
        raise EnvironmentProblem("engine_missing", f"{words}. The preferences have a button for it")
    return python


class _Activity:
    """Starts a child; in a background run, waits for it."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        why = cls.missing()
        if why:
            cls.poll_message_set(why)  # type: ignore[attr-defined]
        return not why

    @classmethod
    def missing(cls) -> str:
        if setup.running():
            return "Wait until it is done, or cancel it"
        return "The engine is rendering: wait until it is done" if tasks.busy() else ""

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            activity = self.start(context.preferences.addons[engine.PACKAGE].preferences)
        except EnvironmentProblem as error:
            setup.stop()
            self.report({"ERROR"}, str(error))  # type: ignore[attr-defined]
            return {"CANCELLED"}
        if not bpy.app.background:
            if not bpy.app.timers.is_registered(_tick):
                bpy.app.timers.register(_tick, persistent=True)  # survives opening another file
            return {"FINISHED"}
        while not activity.over:  # timers never fire in a background run
            activity.pump()
            time.sleep(TICK_SECONDS)
        for icon, text in report(activity):
            self.report({"WARNING"} if icon == "ERROR" else {"INFO"}, text)  # type: ignore[attr-defined]
        return {"CANCELLED"} if activity.problem or not activity.answer.get("ok") else {"FINISHED"}

    def start(self, preferences: Any) -> setup.Activity:
        raise NotImplementedError


class ELOCUTE_OT_setup_engine(_Activity, bpy.types.Operator):
    """Make an environment for the engine in the extension's own folder, with its libraries and models"""

    bl_idname = "elocute.setup_engine"
    bl_label = "Set Up Engine"

    @classmethod
    def missing(cls) -> str:
        if not bpy.app.online_access:
            return "Allow online access first: set-up downloads libraries and models"
        return super().missing()

    def start(self, preferences: Any) -> setup.Activity:
        tasks.stop_engine()  # it would go on with the libraries that are about to be replaced
        torch = preferences.torch_custom if preferences.torch == "CUSTOM" else preferences.torch
        base = preferences.base_python
        is_command = Path(base).name == base  # one to look for, such as python3.12, or none
        return setup.start_setup(base if is_command else str(shots.absolute(base)), torch)


class ELOCUTE_OT_check_engine(_Activity, bpy.types.Operator):
    """Ask the engine what works on this machine and what is missing"""

    bl_idname = "elocute.check_engine"
    bl_label = "Check"

    def start(self, preferences: Any) -> setup.Activity:
        return setup.start_check(chosen_python())


class ELOCUTE_OT_cancel_setup(bpy.types.Operator):
    """Stop; the next set-up goes on from here"""

    bl_idname = "elocute.cancel_setup"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return setup.running()

    def execute(self, context: bpy.types.Context) -> set[str]:
        assert setup.latest is not None
        setup.latest.cancel()
        return {"FINISHED"}


class ELOCUTE_OT_open_setup_log(bpy.types.Operator):
    """Open the log of the latest set-up"""

    bl_idname = "elocute.open_setup_log"
    bl_label = "Open Log"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not setup.log_path().is_file():
            cls.poll_message_set("There is no log yet: set the engine up first")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        bpy.ops.wm.path_open(filepath=str(setup.log_path()))
        return {"FINISHED"}


def _tick() -> float | None:
    """One turn of the clock: take in news, redraw the preferences."""
    if setup.latest is None:
        return None
    if setup.latest.pump():
        manager = bpy.context.window_manager
        for window in manager.windows if manager else ():
            for area in window.screen.areas:
                area.tag_redraw()  # the sidebar says whether the engine is there, too
    return None if setup.latest.over else TICK_SECONDS


_CLASSES = (
    ELOCUTE_OT_setup_engine, ELOCUTE_OT_check_engine, ELOCUTE_OT_cancel_setup, ELOCUTE_OT_open_setup_log,
    ElocutePreferences,
)  # fmt: skip


def register() -> None:
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
    setup.stop()
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
