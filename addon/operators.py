"""What the buttons for shots, rendering and strips do. What takes time is put into the queue; see `pumping`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import bpy
from bpy.app.handlers import persistent

from ..core.elocute.errors import ElocuteError
from . import checks, compat, pumping, rendering, sequencer, shotlist, shots, tasks
from .casting import plain_name
from .task import DONE, Steps, Task

Result = set[str]

SAME_KEY_SECONDS = 0.2  # between what one press of a key does in two places; a hand is slower
_playback_ended = 0.0


def queue(operator: bpy.types.Operator, kind: str, title: str, ref: shots.Ref, steps: Any) -> Result:
    """Queue a task, and in a background run report what came of it."""
    task = pumping.start(Task(kind, title, steps, {"ref": ref}))
    if not bpy.app.background:
        return {"FINISHED"}
    for warning in task.warnings:
        operator.report({"WARNING"}, warning)
    operator.report({"INFO"} if task.state == DONE else {"WARNING"}, task.message or task.state)
    return {"FINISHED"} if task.state == DONE else {"CANCELLED"}


def queue_render(operator: bpy.types.Operator, scene: bpy.types.Scene, shot: Any, order: rendering.Order) -> Result:
    ref = shots.ref(scene, shot)

    def steps(task: Task) -> Steps:
        files = yield from rendering.render(ref, order, task)
        task.warnings += sequencer.keep_colors(*ref.find())
        return files

    return queue(operator, "render", f"Render {shot.name}", ref, steps)


def is_rendering(shot: Any, task: Task) -> bool:
    """Whether a task renders this shot, or is going to."""
    return not task.over and renders(shot, task)


def renders(shot: Any, task: Task) -> bool:
    """Whether a task renders this shot, is going to or has done it."""
    ref = task.about.get("ref")
    return task.kind == "render" and ref is not None and ref.uid == shot.uid and ref.is_of(shot)


def work_folder(ref: shots.Ref, name: str) -> Path:
    """For what is only needed for a while."""
    return Path(bpy.app.tempdir) / "elocute" / f"{name}-{ref.uid}"


class ShotOperator:
    """Needs an active shot; what else it needs, `missing` says."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        scene = shots.scene_of(context)
        shot = shots.active(scene)
        why = cls.missing(scene, shot) if shot is not None else "Add a shot first"
        if why:
            cls.poll_message_set(why)  # type: ignore[attr-defined]
        return not why

    @classmethod
    def missing(cls, scene: bpy.types.Scene, shot: Any) -> str:
        return ""


class ELOCUTE_OT_shot_add(bpy.types.Operator):
    """Add a talking head; the active sound strip becomes its voice"""

    bl_idname = "elocute.shot_add"
    bl_label = "New Shot"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> Result:
        scene = shots.scene_of(context)
        sounds = [strip for strip in compat.all_strips(scene) if strip.type == "SOUND"]
        strip = compat.active_strip(scene)  # not of another scene, which the sequencer may show
        if strip is None or strip.type != "SOUND":
            strip = sounds[0] if len(sounds) == 1 else None
        before = shots.active(scene)
        portrait = (before.portrait_source, before.portrait, before.identity) if before else None
        shot = shotlist.add(scene, plain_name(strip.name) if strip else "Shot")
        if portrait:
            shot.portrait_source, shot.portrait, shot.identity = portrait
        if strip is not None:
            shot.voice_strip = strip.name
        return {"FINISHED"}


class ELOCUTE_OT_shot_remove(ShotOperator, bpy.types.Operator):
    """Remove the shot from the list; its frames and its strip stay"""

    bl_idname = "elocute.shot_remove"
    bl_label = "Remove Shot"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> Result:
        shotlist.remove(shots.scene_of(context))
        return {"FINISHED"}


class ELOCUTE_OT_own_folder(ShotOperator, bpy.types.Operator):
    """Choose a folder beside the .blend file that no other shot has"""

    bl_idname = "elocute.own_folder"
    bl_label = "Own Folder"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> Result:
        shotlist.own_folder(shots.active(shots.scene_of(context)))
        return {"FINISHED"}


class ELOCUTE_OT_render(ShotOperator, bpy.types.Operator):
    """Make the portrait speak: frames into the folder, an image strip above the voice. Esc stops it"""

    bl_idname = "elocute.render"
    bl_label = "Render"

    @classmethod
    def missing(cls, scene: bpy.types.Scene, shot: Any) -> str:
        if any(is_rendering(shot, task) for task in tasks.tasks):
            return "This shot is being rendered"
        return checks.first(scene, shot)

    def execute(self, context: bpy.types.Context) -> Result:
        scene = shots.scene_of(context)
        return queue_render(self, scene, shots.active(scene), rendering.Order())


class ELOCUTE_OT_cancel(bpy.types.Operator):
    """Stop everything that runs or waits; finished frames stay, and rendering again goes on from there"""

    bl_idname = "elocute.cancel"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return tasks.busy()

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        """Esc during playback is meant for that, and in a window that Blender opened for a render, for that one. Most
        editors have stopped playback by now, and pass the key on."""
        screen = context.screen
        playing = screen is not None and screen.is_animation_playing
        just_ended = time.monotonic() - _playback_ended < SAME_KEY_SECONDS
        if event.type == "ESC" and (playing or just_ended or _shows_render(context)):
            return {"PASS_THROUGH"}
        return self.execute(context)

    def execute(self, context: bpy.types.Context) -> Result:
        tasks.cancel_all()
        return {"FINISHED"}


def _shows_render(context: bpy.types.Context) -> bool:
    """Whether Esc may be meant for a render of Blender's own, wherever that shows, or for another window of its own."""
    if context.screen is not None and context.screen.is_temporary:
        return True
    image = getattr(context.space_data, "image", None)
    return image is not None and image.type == "RENDER_RESULT"


@persistent
def _note_playback_ended(*_: Any) -> None:
    global _playback_ended
    _playback_ended = time.monotonic()


class ELOCUTE_OT_clear(bpy.types.Operator):
    """Forget the jobs that are over"""

    bl_idname = "elocute.clear"
    bl_label = "Clear"

    def execute(self, context: bpy.types.Context) -> Result:
        tasks.clear()
        return {"FINISHED"}


class _StripOperator:
    """Needs an active strip that Elocute made."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        strip = compat.active_strip(compat.sequencer_scene(context))
        if strip is None or not strip.elocute.shot:
            cls.poll_message_set("Select an image strip that Elocute made")  # type: ignore[attr-defined]
            return False
        return True

    @staticmethod
    def open(context: bpy.types.Context) -> tuple[bpy.types.Scene, Any]:
        """The strip's shot, made anew when it was removed. Raises BadInput."""
        scene = compat.sequencer_scene(context)
        strip = compat.active_strip(scene)
        for index, shot in enumerate(scene.elocute.shots):
            if shot.uid == strip.elocute.shot:
                scene.elocute.active = index
                return scene, shot
        return scene, shotlist.restore(scene, strip.elocute)

    @staticmethod
    def leave(scene: bpy.types.Scene, count: int, active: int) -> None:
        """Undo `open`: a shot made anew is the last one, beyond the `count` that there were."""
        if len(scene.elocute.shots) > count:
            scene.elocute.shots.remove(count)
        scene.elocute.active = active


class ELOCUTE_OT_open_shot(_StripOperator, bpy.types.Operator):
    """Show the shot that made the active strip in the panels"""

    bl_idname = "elocute.open_shot"
    bl_label = "Open Shot"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> Result:
        try:
            self.open(context)
        except ElocuteError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


class ELOCUTE_OT_render_again(_StripOperator, bpy.types.Operator):
    """Render the frames of the active strip again; what has not changed is kept"""

    bl_idname = "elocute.render_again"
    bl_label = "Render Again"
    bl_options = {"UNDO"}

    def execute(self, context: bpy.types.Context) -> Result:
        data = compat.sequencer_scene(context).elocute
        before = len(data.shots), data.active
        try:
            scene, shot = self.open(context)
            why = checks.first(scene, shot)
        except ElocuteError as error:
            why = str(error)
        if why:
            self.leave(data.id_data, *before)
            self.report({"ERROR"}, why)
            return {"CANCELLED"}
        frames = sequencer.shown_frames(compat.active_strip(scene), shots.voice(scene, shot).origin)
        return queue_render(self, scene, shot, rendering.Order(frames=frames))


class ELOCUTE_OT_show_preferences(bpy.types.Operator):
    """Open the preferences of Elocute, where the engine is set up"""

    bl_idname = "elocute.show_preferences"
    bl_label = "Set Up Engine"

    def execute(self, context: bpy.types.Context) -> Result:
        bpy.ops.preferences.addon_show(module=checks.PACKAGE)
        return {"FINISHED"}


class ELOCUTE_OT_show_log(bpy.types.Operator):
    """Open the log of what went wrong inside Elocute"""

    bl_idname = "elocute.show_log"
    bl_label = "Open Log"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return pumping.log_path().is_file()

    def execute(self, context: bpy.types.Context) -> Result:
        bpy.ops.wm.path_open(filepath=str(pumping.log_path()))
        return {"FINISHED"}


CLASSES = (
    ELOCUTE_OT_shot_add, ELOCUTE_OT_shot_remove, ELOCUTE_OT_own_folder, ELOCUTE_OT_render, ELOCUTE_OT_cancel,
    ELOCUTE_OT_clear, ELOCUTE_OT_open_shot, ELOCUTE_OT_render_again, ELOCUTE_OT_show_preferences, ELOCUTE_OT_show_log,
)  # fmt: skip
_keymap: list[tuple[Any, Any]] = []


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    bpy.app.handlers.animation_playback_post.append(_note_playback_ended)
    config = bpy.context.window_manager.keyconfigs.addon if bpy.context.window_manager else None
    if config is not None:  # Esc as a key of the window and not of a modal operator, which opening a file would end
        keymap = config.keymaps.new(name="Window", space_type="EMPTY")
        _keymap.append((keymap, keymap.keymap_items.new(ELOCUTE_OT_cancel.bl_idname, "ESC", "PRESS")))


def unregister() -> None:
    for keymap, item in _keymap:
        keymap.keymap_items.remove(item)
    _keymap.clear()
    bpy.app.handlers.animation_playback_post.remove(_note_playback_ended)
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
