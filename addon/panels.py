"""The sidebar "Elocute" of the Video Sequencer and the 3D Viewport, in the order of the work."""

from __future__ import annotations

import textwrap
from typing import Any

import bpy

from . import checks, compat, head_operators, operators, preview, shots, tasks
from .task import CANCELLED, DONE, FAILED, RUNNING, WAITING, Task
from .voices import ELOCUTE_OT_all_voices

CATEGORY = "Elocute"
LETTER_PIXELS = 6.6  # of the interface's font at a scale of 1, on average: for breaking lines
MARGIN_PIXELS = 70  # of a panel: borders, icon
SHOWN_WARNINGS = 5
STATE_ICONS = {
    WAITING: "TIME", RUNNING: "RENDER_ANIMATION", DONE: "CHECKMARK", FAILED: "ERROR", CANCELLED: "CANCEL",
}  # fmt: skip


def paragraph(context: bpy.types.Context, layout: bpy.types.UILayout, text: str, icon: str = "NONE") -> None:
    """A sentence in as many lines as the sidebar is narrow."""
    scale = context.preferences.system.ui_scale
    width = context.region.width / scale if context.region else 260
    column = layout.column(align=True)
    column.scale_y = 0.8
    for line in textwrap.wrap(text, max(20, int((width - MARGIN_PIXELS) / LETTER_PIXELS)), break_on_hyphens=False):
        column.label(text=line, icon=icon)
        icon = "BLANK1" if icon != "NONE" else "NONE"


def fix_button(layout: bpy.types.UILayout, problem: checks.Problem) -> None:
    if problem.fix:
        layout.operator(problem.fix, text=problem.label, icon=problem.icon)


def tabs(layout: Any, shot: Any, name: str) -> None:
    """The choices of an enumeration side by side, as wide as the panel."""
    row = layout.row()
    row.use_property_split = False
    row.prop(shot, name, expand=True)


class _Panel:
    bl_region_type = "UI"
    bl_category = CATEGORY
    name = ""  # of the panel in both editors, without their prefix

    @staticmethod
    def shot(context: bpy.types.Context) -> tuple[bpy.types.Scene, Any]:
        scene = shots.scene_of(context)
        return scene, shots.active(scene)


class _ShotPanel(_Panel):
    """Shows properties of the active shot."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return shots.active(shots.scene_of(context)) is not None

    def draw(self, context: bpy.types.Context) -> None:
        scene, shot = self.shot(context)
        layout = self.layout  # type: ignore[attr-defined]
        layout.use_property_split, layout.use_property_decorate = True, False
        self.show(context, layout, scene, shot)

    def show(self, context: bpy.types.Context, layout: Any, scene: bpy.types.Scene, shot: Any) -> None:
        raise NotImplementedError


class ELOCUTE_UL_shots(bpy.types.UIList):
    def draw_item(
        self, context: Any, layout: Any, data: Any, item: Any, icon: Any, active_data: Any, active_property: Any,
        index: int = 0, flt_flag: int = 0,
    ) -> None:  # fmt: skip
        task = next((task for task in reversed(tasks.tasks) if operators.renders(item, task)), None)
        layout.prop(item, "name", text="", emboss=False, icon=STATE_ICONS[task.state] if task else "USER")


class Shots(_Panel):
    bl_label = "Shots"
    name = "shots"

    def draw(self, context: bpy.types.Context) -> None:
        scene, shot = self.shot(context)
        layout = self.layout  # type: ignore[attr-defined]
        if shot is None:
            layout.operator(operators.ELOCUTE_OT_shot_add.bl_idname, icon="ADD")
        else:
            row = layout.row()
            row.template_list("ELOCUTE_UL_shots", "", scene.elocute, "shots", scene.elocute, "active", rows=2)
            column = row.column(align=True)
            column.operator(operators.ELOCUTE_OT_shot_add.bl_idname, text="", icon="ADD")
            column.operator(operators.ELOCUTE_OT_shot_remove.bl_idname, text="", icon="REMOVE")
        if context.area.type == "SEQUENCE_EDITOR":
            layout.operator(ELOCUTE_OT_all_voices.bl_idname, text="All Voices…", icon="COMMUNITY")
            strip = compat.active_strip(compat.sequencer_scene(context))
            if strip is not None and strip.elocute.shot:
                row = layout.row(align=True)
                row.operator(operators.ELOCUTE_OT_open_shot.bl_idname)
                row.operator(operators.ELOCUTE_OT_render_again.bl_idname)


class Portrait(_ShotPanel):
    bl_label = "Portrait"
    name = "portrait"

    def show(self, context: bpy.types.Context, layout: Any, scene: bpy.types.Scene, shot: Any) -> None:
        tabs(layout, shot, "portrait_source")
        if shot.portrait_source == "RANDOM":
            layout.prop(shot, "identity")
        else:
            layout.template_ID_preview(shot, "portrait", open="image.open", rows=3, cols=6, hide_buttons=False)
            for problem in checks.portrait_problems(shot) if shot.portrait is not None else ():
                paragraph(context, layout, problem.text, "ERROR")
            if shot.portrait is not None and shots.image_path(shot.portrait).suffix.lower() in (".heic", ".heif"):
                paragraph(context, layout, "Blender can't show this kind of photo; the engine reads it", "INFO")
            if shot.model_set == "embedded":
                layout.prop(shot, "framing")


class Voice(_ShotPanel):
    bl_label = "Voice"
    name = "voice"

    def show(self, context: bpy.types.Context, layout: Any, scene: bpy.types.Scene, shot: Any) -> None:
        tabs(layout, shot, "voice_source")
        if shot.voice_source == "STRIP":
            strip = shots.voice_strip(scene, shot)
            row = layout.row()
            row.alert = bool(shot.voice_strip) and strip is None
            row.prop(shot, "voice_strip", icon="SOUND")
            if strip is not None:
                if strip.name != shot.voice_strip:
                    paragraph(context, layout, f"Renamed to {strip.name}", "INFO")
                first, last = compat.span(strip)
                rate = scene.render.fps / scene.render.fps_base
                layout.label(text=f"Frames {first}–{last}, {rate:.4g} fps", icon="TIME")
        elif shot.voice_source == "FILE":
            layout.prop(shot, "voice_file")
            layout.prop(shot, "voice_start")


class HeadAndCamera(_ShotPanel):
    bl_label = "Head and Camera"
    name = "head"

    def show(self, context: bpy.types.Context, layout: Any, scene: bpy.types.Scene, shot: Any) -> None:
        layout.prop(shot, "motion")
        column = layout.column()
        column.prop(shot, "head")
        row = column.row()
        row.enabled = shots.uses_objects(shot)
        row.prop(shot, "camera")
        row = layout.row(align=True)
        row.operator_menu_enum(head_operators.ELOCUTE_OT_add_head.bl_idname, "location", text="Add Head", icon="ADD")
        layout.operator(head_operators.ELOCUTE_OT_speech_to_keys.bl_idname, icon="KEY_HLT")


class Face(_ShotPanel):
    bl_label = "Face"
    name = "face"

    def show(self, context: bpy.types.Context, layout: Any, scene: bpy.types.Scene, shot: Any) -> None:
        layout.prop(shot, "face_source", text="From")
        if shot.face_source == "AUTO":
            source = f"{shot.head.name}’s shape keys" if shots.face_from_keys(shot) else "the voice"
            row = layout.row()
            row.alignment = "RIGHT"
            row.active = False
            row.label(text=f"Now: {source}")
        column = layout.column()
        column.use_property_decorate = True
        for name in ("expression", "blinks", "gaze", "smoothing"):
            column.prop(shot, name, slider=name != "smoothing")
        layout.prop(shot, "variation")


class Output(_ShotPanel):
    bl_label = "Output"
    name = "output"

    def show(self, context: bpy.types.Context, layout: Any, scene: bpy.types.Scene, shot: Any) -> None:
        layout.prop(shot, "folder")
        layout.prop(shot, "size")
        layout.prop(shot, "range")
        if shot.range == "CUSTOM":
            column = layout.column(align=True)
            column.prop(shot, "frame_start")
            column.prop(shot, "frame_end")
        layout.prop(shot, "background")
        if shot.background == "COLOR":
            layout.prop(shot, "color")
        layout.prop(shot, "model_set")
        layout.prop(shot, "device")
        layout.prop(shot, "keep_colors")


class Render(_ShotPanel):
    bl_label = "Render"
    name = "render"

    def show(self, context: bpy.types.Context, layout: Any, scene: bpy.types.Scene, shot: Any) -> None:
        row = layout.row()  # stays while it renders: what takes the place under the pointer would look pressed
        row.scale_y = 1.4
        row.operator(operators.ELOCUTE_OT_render.bl_idname, icon="RENDER_ANIMATION")
        running = tasks.current()
        if running is not None:
            _progress(layout, running)
        if not any(operators.is_rendering(shot, task) for task in tasks.tasks):
            for problem in checks.problems(scene, shot)[:1]:
                paragraph(context, layout, problem.text, "INFO")
                fix_button(layout, problem)
        for task in reversed([task for task in tasks.tasks if task.over and task.kind != "preview"][-3:]):
            _outcome(context, layout, task)
        if any(task.over and task.kind != "preview" for task in tasks.tasks):
            layout.operator(operators.ELOCUTE_OT_clear.bl_idname, icon="X")


class Preview(_ShotPanel):
    bl_label = "Preview"
    name = "preview"
    closed = True

    def show(self, context: bpy.types.Context, layout: Any, scene: bpy.types.Scene, shot: Any) -> None:
        layout.prop(scene.elocute, "preview_size")
        layout.operator(head_operators.ELOCUTE_OT_preview.bl_idname, icon="IMAGE_DATA")
        failed = next((task for task in reversed(tasks.tasks) if task.kind == "preview"), None)
        if failed is not None and failed.state == FAILED:
            _outcome(context, layout, failed)
        if preview.icon():
            scale = max(4.0, (context.region.width / context.preferences.system.ui_scale - 50) / 20)
            layout.template_icon(preview.icon(), scale=min(scale, 16.0))
            layout.operator(head_operators.ELOCUTE_OT_show_preview.bl_idname, icon="WINDOW")


def _progress(layout: Any, task: Task) -> None:
    """How far the running task is, and what waits."""
    box = layout.column(align=True)
    box.label(text=task.title, icon=STATE_ICONS[RUNNING])
    text = task.stage or "Starting"
    if task.total and task.stage in ("Rendering", "Reading the scene"):
        text = f"{task.done} of {task.total}"
    box.progress(factor=task.factor, text=text)
    if task.fps:
        left = task.seconds_left() or 0
        box.label(text=f"{task.fps:.1f} frames a second, {clock(left)} left", icon="BLANK1")
    waiting = sum(not other.over for other in tasks.tasks) - 1
    if waiting > 0:
        box.label(text=f"{waiting} more to do", icon=STATE_ICONS[WAITING])
    layout.operator(operators.ELOCUTE_OT_cancel.bl_idname, text="Cancel (Esc)", icon="CANCEL")


def clock(seconds: float) -> str:
    """1:05 for 65 seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def _outcome(context: bpy.types.Context, layout: Any, task: Task) -> None:
    """What came of a task: its result, what to know about it, how to mend it."""
    box = layout.box()
    if task.state == FAILED:
        box.alert = True
    told = task.title if not task.message else task.message if task.state == DONE else f"{task.title}: {task.message}"
    paragraph(context, box, told, STATE_ICONS[task.state])
    for warning in task.warnings[:SHOWN_WARNINGS]:
        paragraph(context, box, warning, "INFO")
    problem = checks.fix_of(task.code) if task.state == FAILED else None
    if problem is not None:
        fix_button(box, problem)
    if task.state == DONE and task.about.get("folder"):
        box.operator("wm.path_open", text="Open Folder", icon="FILE_FOLDER").filepath = task.about["folder"]


def _classes() -> list[type]:
    """Each panel once for each editor."""
    made: list[type] = []
    for space, suffix in (("SEQUENCE_EDITOR", "sequencer"), ("VIEW_3D", "view3d")):
        for order, base in enumerate((Shots, Portrait, Voice, HeadAndCamera, Face, Output, Render, Preview)):
            name = f"ELOCUTE_PT_{base.name}_{suffix}"
            values = {"bl_idname": name, "bl_space_type": space, "bl_order": order, "__doc__": base.__doc__}
            if getattr(base, "closed", False):
                values["bl_options"] = {"DEFAULT_CLOSED"}
            made.append(type(name, (base, bpy.types.Panel), values))
    return made


_registered: list[type] = []


def register() -> None:
    _registered.extend([ELOCUTE_UL_shots, *_classes()])
    for cls in _registered:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(_registered):
        bpy.utils.unregister_class(cls)
    _registered.clear()
