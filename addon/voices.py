"""All Voices: one shot for every selected sound strip, queued one after the other."""

from __future__ import annotations

import os
from typing import Any

import bpy
from bpy.props import BoolProperty, StringProperty

from ..core.elocute.errors import BadInput, ElocuteError
from ..core.elocute.limits import portrait_seed
from . import checks, compat, operators, rendering, shotlist, shots
from .casting import match, plain_name, read_mapping

# What a new shot takes over from the active one: not what moves its face, as it has no head whose keys could.
COPIED = ("expression", "blinks", "gaze", "smoothing", "framing", "size", "background", "color", "model_set", "device",
          "keep_colors")  # fmt: skip


class ELOCUTE_OT_all_voices(bpy.types.Operator):
    """Make a shot of every selected sound strip and render them one after the other; one that fails stops no other"""

    bl_idname = "elocute.all_voices"
    bl_label = "All Voices"
    bl_options = {"UNDO"}  # not to be repeated with other settings: it would render twice

    folder: StringProperty(
        name="Portraits", subtype="DIR_PATH",
        description="Folder of photos: each strip gets the one with its name, or the one its name begins with",
    )  # type: ignore[valid-type]
    mapping: StringProperty(
        name="Mapping", subtype="FILE_PATH",
        description="Text file with lines such as: strip name, portrait.jpg. Takes precedence over the folder",
    )  # type: ignore[valid-type]
    use_active: BoolProperty(
        name="Fall Back to Active Shot", default=True,
        description="Strips for which nothing is found speak with the portrait of the active shot",
    )  # type: ignore[valid-type]
    render: BoolProperty(name="Render", description="Render the shots at once", default=True)  # type: ignore[valid-type]

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not any(strip.type == "SOUND" for strip in compat.selected_strips(context)):
            cls.poll_message_set("Select the sound strips in the sequencer")
            return False
        return True

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_props_dialog(self, width=420)

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split, layout.use_property_decorate = True, False
        count = sum(strip.type == "SOUND" for strip in compat.selected_strips(context))
        layout.label(text=f"{count} sound strips selected" if count > 1 else "1 sound strip selected", icon="SOUND")
        for name in ("folder", "mapping", "use_active", "render"):
            layout.prop(self, name)

    def execute(self, context: bpy.types.Context) -> set[str]:
        scene = compat.sequencer_scene(context)
        before = shots.active(scene)
        model = before.uid if before is not None else ""
        folder = shots.absolute(self.folder) if self.folder else None
        try:
            mapping = self._mapping()
            strips = [strip for strip in compat.selected_strips(context) if strip.type == "SOUND"]
            portraits = [match(strip.name, mapping, folder) for strip in strips]
        except ElocuteError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        made, without = [], []
        for strip, portrait in zip(strips, portraits, strict=True):
            if portrait is None and not (self.use_active and model):
                without.append(strip.name)
                continue
            if portrait is not None and portrait_seed(portrait) is None and not os.path.isfile(portrait):
                self.report({"WARNING"}, f"{strip.name}: there is no portrait {portrait}. Correct the mapping")
                continue
            made.append(_shot(scene, strip, portrait, model))
        if without:
            self.report({"WARNING"}, f"No portrait for {', '.join(without)}")
        if not made:
            return {"CANCELLED"}
        failed = [uid for uid in made if self.render and not self._queue(scene, uid)]
        return {"CANCELLED"} if failed and len(failed) == len(made) else {"FINISHED"}

    def _queue(self, scene: bpy.types.Scene, uid: str) -> bool:
        """Whether the shot could be queued, or in a background run rendered."""
        shot = next(shot for shot in scene.elocute.shots if shot.uid == uid)
        why = checks.first(scene, shot)
        if why:
            self.report({"WARNING"}, f"{shot.name}: {why}")
            return False
        return operators.queue_render(self, scene, shot, rendering.Order()) == {"FINISHED"}

    def _mapping(self) -> dict[str, str]:
        if not self.mapping:
            return {}
        path = shots.absolute(self.mapping)
        try:
            return read_mapping(path.read_text(encoding="utf-8-sig"), path.parent)
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput("mapping_unreadable", f"Can't read {path} ({error}). Choose another mapping") from None


def _shot(scene: bpy.types.Scene, strip: Any, portrait: str | None, model: str) -> str:
    """The strip's shot, the one it has already or a new one; returns its uid."""
    data = scene.elocute
    shot = next((s for s in data.shots if s.voice_source == "STRIP" and shots.voice_strip(scene, s) == strip), None)
    if shot is None:
        shot = shotlist.add(scene, plain_name(strip.name))
        shot.voice_strip = strip.name
        source = next((other for other in data.shots if other.uid == model), None)
        for name in COPIED if source is not None else ():
            setattr(shot, name, getattr(source, name))
        if source is not None and portrait is None:
            for name in ("portrait_source", "portrait", "identity"):
                setattr(shot, name, getattr(source, name))
    if portrait is not None:
        seed = portrait_seed(portrait)
        shot.portrait_source = "IMAGE" if seed is None else "RANDOM"
        if seed is not None:
            shot.identity = seed
        else:
            shot.portrait = bpy.data.images.load(portrait, check_existing=True)
    return str(shot.uid)


def register() -> None:
    bpy.utils.register_class(ELOCUTE_OT_all_voices)


def unregister() -> None:
    bpy.utils.unregister_class(ELOCUTE_OT_all_voices)
