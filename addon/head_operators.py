"""What the buttons for the head do: add it, key it, look at one frame of it."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import EnumProperty

from ..core.elocute.errors import ElocuteError
from . import checks, head, keys, preview, rendering, shots, tasks
from .operators import Result, ShotOperator, queue, work_folder


class ELOCUTE_OT_add_head(ShotOperator, bpy.types.Operator):
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


class ELOCUTE_OT_speech_to_keys(ShotOperator, bpy.types.Operator):
    """Write what the voice makes the face do as keyframes on the head's shape keys, in an Action of their own"""

    bl_idname = "elocute.speech_to_keys"
    bl_label = "Speech to Keys"
    bl_options = {"REGISTER"}

    existing: EnumProperty(
        name="Existing Keys",
        description="What becomes of the keys that were made or edited by hand",
        items=[
            ("ASK", "Ask", "Ask when there are any"),
            ("LAYER", "Keep", "Keep them and add the speech to them, in the NLA"),
            ("REPLACE", "Replace", "Put the speech in their place; the old Action stays in the file"),
        ],
        default="ASK",
        options={"SKIP_SAVE"},
    )  # type: ignore[valid-type]

    @classmethod
    def missing(cls, scene: bpy.types.Scene, shot: Any) -> str:
        if shots.shape_keys(shot.head) is None or shots.is_deleted(shot.head):
            return "Add a head first: its shape keys get the keys"
        if shot.voice_source == "NONE":
            return "Choose a voice first"
        return ""

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        scene = shots.scene_of(context)
        shot = shots.active(scene)
        self.theirs = keys.hand_made(shots.shape_keys(shot.head), _voice_frames(scene, shot), shot)
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


class ELOCUTE_OT_preview(ShotOperator, bpy.types.Operator):
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
        shown = preview.editors()
        if not shown:
            bpy.ops.wm.window_new()
            areas = context.window_manager.windows[-1].screen.areas
            shown = [max(areas, key=lambda area: area.width * area.height)]
            shown[0].type = "IMAGE_EDITOR"
        shown[0].spaces.active.image = image
        return {"FINISHED"}


CLASSES = (ELOCUTE_OT_add_head, ELOCUTE_OT_speech_to_keys, ELOCUTE_OT_preview, ELOCUTE_OT_show_preview)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
