"""What Elocute keeps in a .blend: a scene's shots, and on a strip the shot that made it."""

from __future__ import annotations

import uuid
from typing import Any

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    FloatVectorProperty,
    IntProperty,
    IntVectorProperty,
    PointerProperty,
    StringProperty,
)

from ..core.elocute.limits import EXPRESSION_SCALES, FRAMINGS, SEEDS, SIZES, USUAL_FRAMING
from . import compat
from .curves import LONGEST_SMOOTHING

LARGEST_INT = 2**31 - 1  # Blender's integers are signed
MOVED = {"ANIMATABLE"}
FIXED: set[str] = set()


def new_id() -> str:
    """A name for a shot or strip that nobody changes."""
    return uuid.uuid4().hex[:12]


def _sound_names(self: Any, context: bpy.types.Context, text: str) -> list[str]:
    return [strip.name for strip in compat.all_strips(self.id_data) if strip.type == "SOUND"]


def _voice_chosen(self: Any, context: bpy.types.Context) -> None:
    """Mark the chosen strip with an id of its own. A cut or copied strip brings the id along: that stays with the part
    which another shot has by its name, or with none when it can't be told which part is the other's."""
    marks = {strip.name: strip.elocute for strip in compat.all_strips(self.id_data) if strip.type == "SOUND"}
    if self.voice_strip not in marks:
        return
    own = marks[self.voice_strip].voice_id
    parts = [name for name, mark in marks.items() if mark.voice_id == own] if own else [self.voice_strip]
    others = [shot for shot in self.id_data.elocute.shots if shot != self]
    theirs = [shot.voice_strip for shot in others if own and shot.voice_id == own and len(parts) > 1]
    keeper = next((name for name in theirs if name in parts), "" if theirs else self.voice_strip)
    for name in parts:
        if name != keeper or not own:
            marks[name].voice_id = new_id()
    self.voice_id = marks[self.voice_strip].voice_id
    for shot in others:
        if not shot.voice_id and shot.voice_strip == self.voice_strip:
            shot.voice_id = self.voice_id


def _is_camera(self: Any, found: bpy.types.Object) -> bool:
    return found.type == "CAMERA"


class ElocuteShot(bpy.types.PropertyGroup):
    """One talking head: who, what is said, where the head looks, how the face moves, where the frames go."""

    uid: StringProperty(options={"HIDDEN"})  # type: ignore[valid-type]

    portrait_source: EnumProperty(
        name="Portrait",
        description="Who speaks",
        items=[
            ("IMAGE", "Image", "A photo: one face looking roughly into the camera, at least 128 pixels high, sharp"),
            ("RANDOM", "Random", "A person who doesn't exist; each number is another one"),
        ],
        options=FIXED,
    )  # type: ignore[valid-type]
    portrait: PointerProperty(name="Image", description="The photo of who speaks", type=bpy.types.Image)  # type: ignore[valid-type]
    identity: IntProperty(
        name="Identity", description="Number of the random person", default=7, min=0, max=min(SEEDS[1], LARGEST_INT),
        options=FIXED,
    )  # type: ignore[valid-type]

    voice_source: EnumProperty(
        name="Voice",
        description="Where the voice comes from",
        items=[
            ("STRIP", "Strip", "A sound strip of the Video Sequencer: the frames are in sync with it"),
            ("FILE", "File", "A sound or video file"),
            ("NONE", "None", "No voice: only the shape keys, the head and the camera move"),
        ],
        options=FIXED,
    )  # type: ignore[valid-type]
    voice_strip: StringProperty(
        name="Sound", description="The sound strip with the voice", search=_sound_names, update=_voice_chosen,
        options=FIXED,
    )  # type: ignore[valid-type]
    voice_id: StringProperty(options={"HIDDEN"})  # type: ignore[valid-type]
    voice_file: StringProperty(
        name="File", description="The sound or video file with the voice", subtype="FILE_PATH",
        options=FIXED | compat.PATH_OPTIONS,
    )  # type: ignore[valid-type]
    voice_start: IntProperty(
        name="Start Frame", description="The frame of the scene on which the file's sound begins", default=1,
        options=FIXED,
    )  # type: ignore[valid-type]

    motion: EnumProperty(
        name="Motion",
        description="What moves the head",
        items=[
            ("VOICE", "Natural", "Small motion that follows the voice; no objects needed"),
            ("OBJECTS", "Head and Camera", "The head object as the camera sees it: keys, constraints, parents"),
            ("STILL", "Still", "The head stays as in the portrait"),
        ],
        options=FIXED,
    )  # type: ignore[valid-type]
    head: PointerProperty(
        name="Head", description="The object that is the head: it looks along its -Y axis, Z is up",
        type=bpy.types.Object,
    )  # type: ignore[valid-type]
    camera: PointerProperty(
        name="Camera", description="The camera that looks at the head; the scene's active camera when left empty",
        type=bpy.types.Object, poll=_is_camera,
    )  # type: ignore[valid-type]

    face_source: EnumProperty(
        name="Face",
        description="What moves the face",
        items=[
            ("AUTO", "Automatic", "The shape keys of the head where they are animated, else the voice"),
            ("VOICE", "Voice", "What is said, whatever the shape keys of the head do"),
            ("KEYS", "Shape Keys", "What the shape keys of the head evaluate to on each frame"),
        ],
        options=FIXED,
    )  # type: ignore[valid-type]
    framing: FloatProperty(
        name="Framing",
        description="How much of the photo is shown: the frame's side in face heights. A change needs a new head",
        default=USUAL_FRAMING, min=FRAMINGS[0], max=FRAMINGS[1], step=10, precision=2, options=FIXED,
    )  # type: ignore[valid-type]
    expression: FloatProperty(
        name="Expression", description="How strongly mouth, cheeks and brows move; 1 is as strong as it was said",
        default=1.0, min=EXPRESSION_SCALES[0], max=EXPRESSION_SCALES[1], soft_max=2.0, step=5, options=MOVED,
    )  # type: ignore[valid-type]
    blinks: FloatProperty(
        name="Blinks", description="How far the lids close; 0 keeps the eyes open", default=1.0, min=0.0, max=2.0,
        soft_max=1.0, step=5, options=MOVED,
    )  # type: ignore[valid-type]
    gaze: FloatProperty(
        name="Gaze", description="How far the eyes wander; 0 keeps them as in the portrait", default=1.0, min=0.0,
        max=4.0, soft_max=2.0, step=5, options=MOVED,
    )  # type: ignore[valid-type]
    smoothing: FloatProperty(
        name="Smoothing", description="Time over which the motion of mouth and brows is averaged; blinks stay quick",
        default=0.0, min=0.0, max=LONGEST_SMOOTHING, soft_max=0.2, step=1, precision=2, unit="TIME_ABSOLUTE",
        options=MOVED,
    )  # type: ignore[valid-type]
    variation: IntProperty(
        name="Variation", description="Another number gives other blinks, glances and natural head motion",
        default=0, min=0, max=min(SEEDS[1], LARGEST_INT), options=FIXED,
    )  # type: ignore[valid-type]

    folder: StringProperty(
        name="Folder", description="Where the frames go; // is the folder of the .blend file", subtype="DIR_PATH",
        options=FIXED | compat.PATH_OPTIONS,
    )  # type: ignore[valid-type]
    size: IntProperty(
        name="Size", description="Width and height of the frames", subtype="PIXEL", default=512, min=SIZES[0],
        max=SIZES[1], step=64, options=FIXED,
    )  # type: ignore[valid-type]
    range: EnumProperty(
        name="Range",
        description="Which frames to render",
        items=[
            ("VOICE", "Whole Voice", "From the beginning to the end of the voice"),
            ("SCENE", "Scene Range", "What the scene's frame range, or its preview range, shows of the voice"),
            ("CUSTOM", "Custom", "Only some frames; they replace those in the strip that is there already"),
        ],
        options=FIXED,
    )  # type: ignore[valid-type]
    frame_start: IntProperty(name="Start", description="First frame to render", default=1, options=FIXED)  # type: ignore[valid-type]
    frame_end: IntProperty(name="End", description="Last frame to render", default=250, options=FIXED)  # type: ignore[valid-type]
    background: EnumProperty(
        name="Background",
        description="What is behind the person",
        items=[
            ("KEEP", "Portrait", "The portrait's own background"),
            ("TRANSPARENT", "Transparent", "Nothing: frames with an alpha channel"),
            ("COLOR", "Color", "A plain color"),
        ],
        options=FIXED,
    )  # type: ignore[valid-type]
    color: FloatVectorProperty(
        name="Color", description="Color of the background", subtype="COLOR_GAMMA", size=3, min=0, max=1,
        default=(0.0, 0.69, 0.25), options=FIXED,
    )  # type: ignore[valid-type]
    model_set: EnumProperty(
        name="Model Set",
        description="Which models do the work",
        items=[
            ("embedded", "Embedded", "Works after set-up on any machine"),
            ("nerffacespeech", "NeRFFaceSpeech", "The published weights, which you supply. Their own network hears "
             "the voice, unless shape keys or the sliders of the face say something else"),
        ],
        options=FIXED,
    )  # type: ignore[valid-type]
    device: EnumProperty(
        name="Device",
        description="What computes the frames",
        items=[
            ("auto", "Automatic", "A graphics card with CUDA when there is one, else the processor"),
            ("cpu", "CPU", "The processor"),
            ("cuda", "CUDA", "A graphics card by NVIDIA, or one with ROCm"),
            ("mps", "Metal", "The graphics processor of a Mac"),
        ],
        options=FIXED,
    )  # type: ignore[valid-type]
    keep_colors: BoolProperty(
        name="Keep Colors",
        description="Set the scene's view transform to Standard when the strip is added, as Blender does for images, "
        "or to Un-tone-mapped where there is none: AgX or Filmic would change the colors of the frames",
        default=True, options=FIXED,
    )  # type: ignore[valid-type]


class ElocuteScene(bpy.types.PropertyGroup):
    """The shots of a scene."""

    shots: CollectionProperty(name="Shots", type=ElocuteShot)  # type: ignore[valid-type]
    active: IntProperty(name="Shot", description="The shot that the panels below show", min=0, options=FIXED)  # type: ignore[valid-type]
    preview_size: IntProperty(
        name="Size", description="Width and height of the preview", subtype="PIXEL", default=256, min=SIZES[0],
        max=SIZES[1], step=64, options=FIXED,
    )  # type: ignore[valid-type]


class ElocuteStrip(bpy.types.PropertyGroup):
    """On a sound strip its `voice_id`. On an image strip the shot that made it, its uid, what it points at and the rest
    of it as JSON, `width` of its frames, `number` of its first file, and where Elocute `placed` its first and last
    frame, from its first file."""

    voice_id: StringProperty(options={"HIDDEN"})  # type: ignore[valid-type]
    shot: StringProperty(options={"HIDDEN"})  # type: ignore[valid-type]
    job: StringProperty(options={"HIDDEN"})  # type: ignore[valid-type]
    portrait: PointerProperty(type=bpy.types.Image, options={"HIDDEN"})  # type: ignore[valid-type]
    head: PointerProperty(type=bpy.types.Object, options={"HIDDEN"})  # type: ignore[valid-type]
    camera: PointerProperty(type=bpy.types.Object, options={"HIDDEN"})  # type: ignore[valid-type]
    width: IntProperty(options={"HIDDEN"})  # type: ignore[valid-type]
    number: IntProperty(options={"HIDDEN"})  # type: ignore[valid-type]
    placed: IntVectorProperty(size=2, options={"HIDDEN"})  # type: ignore[valid-type]


CLASSES = (ElocuteShot, ElocuteScene, ElocuteStrip)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.Scene.elocute = PointerProperty(type=ElocuteScene)
    compat.STRIP_TYPE.elocute = PointerProperty(type=ElocuteStrip)


def unregister() -> None:
    del compat.STRIP_TYPE.elocute
    del bpy.types.Scene.elocute
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
