"""Reading a shot: which scene, strip, objects, frames and files its properties mean; `shotlist` keeps the list.

Nothing of Blender's is held from one moment to the next: undo and opening a file make every reference invalid. A `Ref`
finds a shot again.
"""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from array import array
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import bpy

from ..core.elocute.errors import BadInput
from ..core.elocute.limits import FRAME_RATES, USUAL_FRAMING, parse_fps
from ..core.elocute.units import ARKIT_NAMES
from . import compat, moving, playing, stretches

SEEN_SECONDS = 1.0
_seen: dict[Path, tuple[float, bool]] = {}  # when a file was asked for, and whether it was there


@dataclass(frozen=True)
class Ref:
    """A shot by names; `title` is what people call it. `session` is Blender's number of the scene, which another scene
    or file never has, and `file` the .blend file, which may be opened again, also under a name that it gets after so
    many `saves`: copies of both have a shot of this uid."""

    scene: str
    uid: str
    title: str
    session: int
    file: str
    saves: int

    def find(self) -> tuple[bpy.types.Scene, Any]:
        """Raises BadInput shot_gone."""
        for scene in self._scenes():
            for shot in scene.elocute.shots:
                if shot.uid == self.uid:
                    return scene, shot
        raise BadInput("shot_gone", f"The shot {self.title} is not in this file any more. Finished frames are kept")

    def _scenes(self) -> list[bpy.types.Scene]:
        """Where to look: the scene itself, whatever its name and the file's are now, or the file opened again."""
        same = [scene for scene in bpy.data.scenes if scene.session_uid == self.session]
        if same or bpy.data.filepath not in moving.names_of(self.file, self.saves):
            return same
        return sorted(bpy.data.scenes, key=lambda scene: scene.name != self.scene)

    def is_of(self, shot: Any) -> bool:
        """Whether it finds this shot."""
        try:
            scene, found = self.find()
        except BadInput:
            return False
        return scene == shot.id_data and found.uid == shot.uid


@dataclass(frozen=True)
class Voice:
    """What is heard and when. `origin`: timeline frame on which the sound begins, `shift` of a frame later in truth;
    `first` and `last` timeline frame on which it is heard, None where only the file knows; `frames` how long the
    sequencer takes it for, where only that tells a retimed strip."""

    sound: Any  # bpy.types.Sound, or None
    path: Path | None
    origin: int
    shift: float = 0.0
    first: int | None = None
    last: int | None = None
    frames: int | None = None


def active(scene: bpy.types.Scene) -> Any:
    """The shot that the panels show, or None."""
    data = scene.elocute
    return data.shots[data.active] if 0 <= data.active < len(data.shots) else None


def scene_of(context: bpy.types.Context) -> bpy.types.Scene:
    """The scene whose shots a sidebar shows: the one that is edited; in the 3D Viewport its own if it has shots."""
    if context.area is not None and context.area.type == "VIEW_3D" and len(context.scene.elocute.shots):
        return context.scene
    return compat.sequencer_scene(context)


def ref(scene: bpy.types.Scene, shot: Any) -> Ref:
    return Ref(scene.name, shot.uid, shot.name, scene.session_uid, bpy.data.filepath, moving.count())


def fps_of(scene: bpy.types.Scene) -> Fraction:
    """The scene's frame rate, exact: 24 with a base of 1.001 is 24000/1001. Raises BadInput shot_range."""
    rate = scene.render.fps / scene.render.fps_base
    try:
        return parse_fps(f"{rate:.3f}")
    except BadInput as error:
        low, high = FRAME_RATES
        text = f"The scene has {rate:.4g} frames a second: choose between {low} and {high} in the Output properties"
        raise BadInput(error.code, text) from None


def voice_strip(scene: bpy.types.Scene, shot: Any) -> Any:
    """The shot's sound strip: by its id, as it may have been renamed and another have its name now; by its name among
    several with the id, which were cut off it or copied, and where none has it. None when it isn't there, or can't be
    told from the others."""
    sounds = [strip for strip in compat.all_strips(scene) if strip.type == "SOUND"]
    same = [strip for strip in sounds if shot.voice_id and strip.elocute.voice_id == shot.voice_id]
    if len(same) == 1:
        return same[0]
    return next((strip for strip in same or sounds if strip.name == shot.voice_strip), None)


def voice(scene: bpy.types.Scene, shot: Any) -> Voice:
    """Raises BadInput when the strip or file isn't there, or can't be followed."""
    if shot.voice_source == "NONE":
        return Voice(None, None, scene.frame_start, 0.0, scene.frame_start, scene.frame_end)
    if shot.voice_source == "FILE":
        path = absolute(shot.voice_file, shot.id_data.library)
        if not shot.voice_file or not is_there(path):
            raise BadInput("voice_missing", f"There is no sound file {path}. Choose another")
        return Voice(None, path, shot.voice_start)
    strip = voice_strip(scene, shot)
    if strip is None or strip.sound is None:
        raise BadInput("voice_missing", "The sound strip is not in the sequencer. Choose another")
    path = absolute(strip.sound.filepath, strip.sound.library)
    if not strip.sound.packed_file and not is_there(path):
        raise BadInput("voice_missing", f"The file of the sound strip is missing: {path}")
    retimed = compat.is_retimed(strip)
    if retimed:
        text = "The sound strip is retimed: lips can't follow it. Use Retiming > Reset, or bake its sound into a file"
        raise BadInput("voice_retimed", text)
    start = compat.content_start(strip) - compat.held_start(strip)
    late = getattr(strip, "sound_offset", 0.0) * float(fps_of(scene))
    first, last = compat.span(strip)
    frames = compat.file_length(strip) if retimed is None else None
    return Voice(strip.sound, path, round(start), start + late - round(start), first, last, frames)


def is_there(path: Path) -> bool:
    """Whether a file is there; in a window, whether it was within the last second, because panels ask on every redraw
    and a network drive is slow."""
    if bpy.app.background:
        return path.is_file()
    now = time.monotonic()
    if path not in _seen or now - _seen[path][0] > SEEN_SECONDS:
        _seen[path] = now, path.is_file()
    return _seen[path][1]


def absolute(path: str, library: Any = None) -> Path:
    """Blender's path as the system's, without detours: // is the .blend file's folder, any other beginning Blender's
    own working folder, which is not the engine's."""
    return Path(os.path.abspath(bpy.path.abspath(path, library=library)))


def packed(data: Any, path: Path, folder: Path) -> Path:
    """The file of an image or sound; when it is packed, a copy in `folder` with the very same bytes."""
    if not data.packed_file:
        return path
    name = f"{bpy.path.clean_name(Path(data.name).stem)}{path.suffix or '.png'}"
    return _kept(folder, name, bytes(data.packed_file.data))


def _kept(folder: Path, name: str, content: bytes) -> Path:
    """A file in `folder` with this content: written whole or not at all, as another run may read it, and left alone
    where it has it already."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    if not file.is_file() or file.read_bytes() != content:
        part = folder / f".{uuid.uuid4().hex}.part"
        try:
            part.write_bytes(content)
            part.replace(file)
        finally:
            with suppress(OSError):  # a virus scanner may hold it
                part.unlink(missing_ok=True)
    return file


def image_path(image: bpy.types.Image) -> Path:
    return absolute(image.filepath_raw, image.library)


def framing(shot: Any) -> float:
    """Face heights in the frame's side. Random identities and the official models have one of their own."""
    free = shot.portrait_source == "IMAGE" and shot.model_set == "embedded"
    return round(shot.framing, 3) if free else USUAL_FRAMING


def portrait(shot: Any, folder: Path) -> str:
    """What the engine takes: a photo's path or "seed:7". Raises BadInput portrait_missing."""
    if shot.portrait_source == "RANDOM":
        return f"seed:{shot.identity}"
    image = shot.portrait
    if image is None:
        raise BadInput("portrait_missing", "Choose a portrait image")
    if image.source == "GENERATED" or image.is_dirty:
        return str(_saved(image, folder))
    path = packed(image, image_path(image), folder)
    if not path.is_file():
        raise BadInput("portrait_missing", f"The file of the portrait is missing: {path}")
    return str(path)


def _saved(image: Any, folder: Path) -> Path:
    """A picture that was painted or changed in Blender and not saved, as a file. Image.copy() would leave out what was
    painted, and before 4.5 an image can't save a copy of itself."""
    width, height = image.size
    if not image.has_data or not width * height:
        raise BadInput("portrait_missing", f"The portrait {image.name} has no pixels. Choose another image")
    pixels = array("f", bytes(4 * 4 * width * height))
    copy: Any = bpy.data.images.new(image.name, width, height, alpha=True, float_buffer=image.is_float)
    try:
        copy.colorspace_settings.name, copy.alpha_mode = image.colorspace_settings.name, image.alpha_mode
        image.pixels.foreach_get(pixels)
        copy.pixels.foreach_set(pixels)
        with tempfile.TemporaryDirectory(dir=bpy.app.tempdir) as place:
            path = Path(place) / "painted.png"
            copy.save(filepath=str(path))
            content = path.read_bytes()
    except (RuntimeError, OSError) as error:
        text = f"The painted portrait {image.name} can't be written ({error}). Save it as a file"
        raise BadInput("portrait_missing", text) from None
    finally:
        bpy.data.images.remove(copy)
    return _kept(folder, f"{bpy.path.clean_name(image.name)}.png", content)


def folder(shot: Any) -> Path | None:
    """The shot's folder; None when it starts at a .blend file that was never saved."""
    if not shot.folder or shot.folder.startswith("//") and not bpy.data.filepath:
        return None
    return absolute(shot.folder, shot.id_data.library)


def shares_folder(scene: bpy.types.Scene, shot: Any) -> str | None:
    """The name of another shot whose frames would overwrite this one's: a copied scene has the same folders."""
    own = folder(shot)
    for other_scene in bpy.data.scenes:
        for other in other_scene.elocute.shots:
            if (other_scene != scene or other.uid != shot.uid) and folder(other) == own:
                return f"{other.name} of {other_scene.name}" if other_scene != scene else str(other.name)
    return None


def uses_objects(shot: Any) -> bool:
    return shot.motion == "OBJECTS"


def camera(scene: bpy.types.Scene, shot: Any) -> Any:
    """The camera that looks at the head, or None."""
    return shot.camera or stage(scene, shot).camera


def stage(scene: bpy.types.Scene, shot: Any) -> bpy.types.Scene:
    """The scene in which head and camera live: the one with the sequencer, or another."""
    head = shot.head
    if head is None or has(scene.objects, head):
        return scene
    return next((other for other in bpy.data.scenes if has(other.objects, head)), scene)


def picture(scene: bpy.types.Scene) -> tuple[float, float]:
    """Width and height of a scene's pictures; with pixels that aren't square, in such as would be."""
    render: Any = scene.render
    return render.resolution_x * render.pixel_aspect_x, render.resolution_y * render.pixel_aspect_y


def has(objects: Any, obj: bpy.types.Object) -> bool:
    """Whether a collection of objects has one. A linked object may have the name of one of the file's own."""
    found = objects.get(obj.name)
    return found == obj or (found is not None and any(other == obj for other in objects))


def is_deleted(obj: bpy.types.Object) -> bool:
    """Whether an object is in no scene or collection any more; as long as a shot names it, it stays in the file."""
    return not any(has(scene.objects, obj) for scene in bpy.data.scenes) and not obj.users_collection


def shape_keys(head: Any) -> Any:
    """The head's shape keys when some of them are expression units, else None."""
    keys = getattr(head.data, "shape_keys", None) if head is not None else None
    return keys if keys is not None and any(block.name in ARKIT_NAMES for block in keys.key_blocks) else None


def has_animated_sliders(scene: bpy.types.Scene) -> bool:
    """Whether something may move the sliders of a shot; fades of strips are animation of the scene too."""
    animation = scene.animation_data
    if animation is None:
        return False
    moved = [*compat.fcurves_of(scene), *animation.drivers]
    return any(curve.data_path.startswith("elocute.") for curve in moved) or any(
        track.strips for track in animation.nla_tracks
    )


def face_from_keys(shot: Any) -> bool:
    """Whether the head's shape keys move the face, else the voice does."""
    keys = shape_keys(shot.head)
    if keys is None or shot.face_source == "VOICE":
        return False
    if shot.face_source == "AUTO" and is_deleted(shot.head):
        return False
    return shot.face_source == "KEYS" or shot.voice_source == "NONE" or playing.moves(keys, stretches.PATHS)


def chosen_range(scene: bpy.types.Scene, shot: Any, first: int, last: int) -> tuple[int, int]:
    """The timeline frames that the shot asks for, of a voice that is at `first` to `last`."""
    if shot.range == "SCENE" and scene.use_preview_range:
        return scene.frame_preview_start, scene.frame_preview_end
    if shot.range == "SCENE":
        return scene.frame_start, scene.frame_end
    return (shot.frame_start, shot.frame_end) if shot.range == "CUSTOM" else (first, last)


def clip_range(low: int, high: int, first: int, last: int) -> tuple[int, int]:
    """Raises BadInput range_outside when nothing is left."""
    if low > last or high < first or low > high:
        text = f"The range {low}-{high} shows nothing of the voice, which is at {first}-{last}"
        raise BadInput("range_outside", text)
    return max(low, first), min(high, last)
