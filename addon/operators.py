"""What the buttons do. Work that takes time is put into the queue; see `pumping`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.props import EnumProperty

from ..core.elocute.errors import ElocuteError
from . import checks, compat, head, keys, preview, pumping, rendering, shots, tasks
from .tasks import Task

Result = set[str]


def queue(operator: bpy.types.Operator, kind: str, title: str, ref: shots.Ref, steps: Any) -> Result:
    """Queue a task, and in a background run report what came of it."""
    task = pumping.start(Task(kind, title, steps, {"scene": ref.scene, "shot": ref.uid}))
    if not bpy.app.background:
        return {"FINISHED"}
    for warning in task.warnings:
        operator.report({"WARNING"}, warning)
    operator.report({"INFO"} if task.state == tasks.DONE else {"WARNING"}, task.message or task.state)
    return {"FINISHED"} if task.state == tasks.DONE else {"CANCELLED"}


def queue_render(operator: bpy.types.Operator, scene: bpy.types.Scene, shot: Any, order: rendering.Order) -> Result:
    ref = shots.ref(scene, shot)
    return queue(operator, "render", f"Render {shot.name}", ref, lambda task: rendering.render(ref, order, task))


def is_rendering(shot: Any, task: Task) -> bool:
    """Whether a task renders this shot, or is going to."""
    return task.kind == "render" and not task.over and task.about.get("shot") == shot.uid


def work_folder(ref: shots.Ref, name: str) -> Path:
    """For what is only needed for a while."""
    return Path(bpy.app.tempdir) / "elocute" / f"{name}-{ref.uid}"


class _ShotOperator:
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
        strip = compat.active_strip(context)
        if strip is None or strip.type != "SOUND":
            strip = sounds[0] if len(sounds) == 1 else None
        before = shots.active(scene)
        portrait = (before.portrait_source, before.portrait, before.identity) if before else None
        shot = shots.add(scene, Path(strip.name).stem if strip else "Shot")
        if portrait:
            shot.portrait_source, shot.portrait, shot.identity = portrait
        if strip is not None:
            shot.voice_strip = strip.name
        return {"FINISHED"}


class ELOCUTE_OT_shot_remove(_ShotOperator, bpy.types.Operator):
    """Remove the shot from the list; its frames and its strip stay"""

    bl_idname = "elocute.shot_remove"
    bl_label = "Remove Shot"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> Result:
        shots.remove(shots.scene_of(context))
        return {"FINISHED"}


class ELOCUTE_OT_own_folder(_ShotOperator, bpy.types.Operator):
    """Choose a folder beside the .blend file that no other shot has"""

    bl_idname = "elocute.own_folder"
    bl_label = "Own Folder"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> Result:
        shots.own_folder(shots.active(shots.scene_of(context)))
        return {"FINISHED"}


class ELOCUTE_OT_render(_ShotOperator, bpy.types.Operator):
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

    def execute(self, context: bpy.types.Context) -> Result:
        tasks.cancel_all()
        return {"FINISHED"}


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
        strip = compat.active_strip(context)
        if strip is None or not strip.elocute.shot:
            cls.poll_message_set("Select an image strip that Elocute made")  # type: ignore[attr-defined]
            return False
        return True

    @staticmethod
    def open(context: bpy.types.Context) -> tuple[bpy.types.Scene, Any]:
        """The strip's shot, made anew when it was removed. Raises BadInput."""
        scene, strip = compat.sequencer_scene(context), compat.active_strip(context)
        for index, shot in enumerate(scene.elocute.shots):
            if shot.uid == strip.elocute.shot:
                scene.elocute.active = index
                return scene, shot
        return scene, shots.restore(scene, strip.elocute.job)


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

    def execute(self, context: bpy.types.Context) -> Result:
        try:
            scene, shot = self.open(context)
            why = checks.first(scene, shot)
        except ElocuteError as error:
            why = str(error)
        if why:
            self.report({"ERROR"}, why)
            return {"CANCELLED"}
        strip = compat.active_strip(context)
        return queue_render(self, scene, shot, rendering.Order(frames=compat.span(strip)))


class ELOCUTE_OT_add_head(_ShotOperator, bpy.types.Operator):
    """Add the portrait's head as an object with 52 shape keys, and a camera that frames it as the photo does"""

    bl_idname = "elocute.add_head"
    bl_label = "Add Head"
    bl_options = {"REGISTER"}

    location: EnumProperty(
        name="Location",
        description="Where the head goes",
        items=[("ORIGIN", "World Origin", "At the world's origin"), ("CURSOR", "3D Cursor", "At the 3D cursor")],
    )  # type: ignore[valid-type]

    @classmethod
    def missing(cls, scene: bpy.types.Scene, shot: Any) -> str:
        return next((problem.text for problem in checks.portrait_problems(shot)), "")

    def execute(self, context: bpy.types.Context) -> Result:
        scene = shots.scene_of(context)
        ref, shot = shots.ref(scene, shots.active(scene)), shots.active(scene)
        at = context.scene.cursor.location.copy() if self.location == "CURSOR" else head.Vector((0, 0, 0))
        folder = shots.folder(shot)
        folder = folder / rendering.JOB_FOLDER / "head" if folder else work_folder(ref, "head")
        stage = context.scene.name  # of the window: since 5.0 the sequencer can be another scene's
        return queue(self, "head", "Add Head", ref, lambda task: head.add(ref, folder, stage, at, task))


class ELOCUTE_OT_speech_to_keys(_ShotOperator, bpy.types.Operator):
    """Write what the voice makes the face do as keyframes on the head's shape keys, in an Action of their own"""

    bl_idname = "elocute.speech_to_keys"
    bl_label = "Speech to Keys"
    bl_options = {"REGISTER"}

    existing: EnumProperty(
        name="Existing Keys",
        description="What becomes of the keys that were made or edited by hand",
        items=[
            ("ASK", "Ask", "Ask when there are any"),
            ("LAYER", "Keep on Top", "Keep them in place and put the speech below them, in the NLA"),
            ("REPLACE", "Replace", "Put the speech in their place; the old Action stays in the file"),
        ],
        default="ASK",
        options={"SKIP_SAVE"},
    )  # type: ignore[valid-type]

    @classmethod
    def missing(cls, scene: bpy.types.Scene, shot: Any) -> str:
        if shots.shape_keys(shot.head) is None:
            return "Add a head first: its shape keys get the keys"
        if shot.voice_source == "NONE":
            return "Choose a voice first"
        return ""

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        scene = shots.scene_of(context)
        shot = shots.active(scene)
        self.theirs = keys.hand_made(shots.shape_keys(shot.head), _voice_frames(scene, shot))
        if self.existing == "ASK" and self.theirs:
            self.existing = "LAYER" if self.theirs == keys.OTHERS else "REPLACE"
            return context.window_manager.invoke_props_dialog(self, width=380)
        return self.execute(context)

    def draw(self, context: bpy.types.Context) -> None:
        self.layout.label(text=keys.SAID[self.theirs], icon="QUESTION")
        if self.theirs == keys.EDITED:
            self.layout.label(text="Replace them? The edited Action stays in the file", icon="BLANK1")
        for item in ("LAYER", "REPLACE") if self.theirs == keys.OTHERS else ():
            self.layout.prop_enum(self, "existing", item)

    def execute(self, context: bpy.types.Context) -> Result:
        scene = shots.scene_of(context)
        ref, existing = shots.ref(scene, shots.active(scene)), self.existing
        folder = work_folder(ref, "keys")
        return queue(self, "keys", "Speech to Keys", ref, lambda task: keys.write(ref, existing, folder, task))


def _voice_frames(scene: bpy.types.Scene, shot: Any) -> tuple[int, int]:
    """As far as they are known before the engine has listened."""
    try:
        voice = shots.voice(scene, shot)
    except ElocuteError:
        return scene.frame_start, scene.frame_end
    first = voice.first if voice.first is not None else voice.origin
    return first, voice.last if voice.last is not None else max(scene.frame_end, first)


class ELOCUTE_OT_preview(_ShotOperator, bpy.types.Operator):
    """Render the current frame alone and show it here and in the Image Editor"""

    bl_idname = "elocute.preview"
    bl_label = "Preview Frame"

    @classmethod
    def missing(cls, scene: bpy.types.Scene, shot: Any) -> str:
        if tasks.busy():
            return "The engine is busy"
        return next((problem.text for problem in checks.problems(scene, shot) if not problem.of_output), "")

    def execute(self, context: bpy.types.Context) -> Result:
        scene = shots.scene_of(context)
        ref, size = shots.ref(scene, shots.active(scene)), scene.elocute.preview_size
        in_view = context.area is not None and context.area.type == "VIEW_3D"
        frame = (context.scene if in_view else scene).frame_current
        folder = work_folder(ref, "preview")
        return queue(
            self, "preview", "Preview", ref, lambda task: preview.make(ref, frame, size, folder, task)
        )


class ELOCUTE_OT_show_preview(bpy.types.Operator):
    """Open the preview in a window with an Image Editor"""

    bl_idname = "elocute.show_preview"
    bl_label = "Open in Image Editor"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return bpy.data.images.get(preview.IMAGE) is not None

    def execute(self, context: bpy.types.Context) -> Result:
        image = bpy.data.images[preview.IMAGE]
        open_editors = preview.editors()
        if not open_editors:
            bpy.ops.wm.window_new()
            area = max(context.window_manager.windows[-1].screen.areas, key=lambda area: area.width * area.height)
            area.type = "IMAGE_EDITOR"
            open_editors = [area.spaces.active]
        for editor in open_editors[:1]:
            editor.image = image
        return {"FINISHED"}


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
    ELOCUTE_OT_clear, ELOCUTE_OT_open_shot, ELOCUTE_OT_render_again, ELOCUTE_OT_add_head, ELOCUTE_OT_speech_to_keys,
    ELOCUTE_OT_preview, ELOCUTE_OT_show_preview, ELOCUTE_OT_show_preferences, ELOCUTE_OT_show_log,
)  # fmt: skip
_keymap: list[tuple[Any, Any]] = []


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    config = bpy.context.window_manager.keyconfigs.addon if bpy.context.window_manager else None
    if config is not None:  # Esc as a key of the window and not of a modal operator, which opening a file would end
        keymap = config.keymaps.new(name="Window", space_type="EMPTY")
        _keymap.append((keymap, keymap.keymap_items.new(ELOCUTE_OT_cancel.bl_idname, "ESC", "PRESS")))


def unregister() -> None:
    for keymap, item in _keymap:
        keymap.keymap_items.remove(item)
    _keymap.clear()
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)


