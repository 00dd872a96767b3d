"""The list of shots: adding, removing and naming them, and keeping one as text on its strip."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from typing import Any

import bpy

from ..core.elocute.errors import BadInput
from . import compat
from .properties import ElocuteShot, ElocuteStrip, new_id

# Stored with a strip, to make the shot anew when it has been removed: what it points at, which a name would lose to
# another data-block of that name, and the rest as text.
POINTERS = ("portrait", "head", "camera")
SETTINGS = tuple(name for name in ElocuteShot.__annotations__ if name not in ("uid", *POINTERS))

FOLDERS = "//elocute/"  # where shots get folders of their own

_ANIMATED = re.compile(r"elocute\.shots\[(\d+)\](.*)")


def add(scene: bpy.types.Scene, name: str) -> Any:
    """A new shot with a name and folder of its own, made the active one."""
    data = scene.elocute
    taken = {shot.name for shot in data.shots}
    shot = data.shots.add()
    shot.name = unused(name, taken)
    shot.uid = new_id()
    own_folder(shot)
    others = {other.variation for each in bpy.data.scenes for other in each.elocute.shots if other != shot}
    shot.variation = next(i for i in range(len(others) + 1) if i not in others)  # two people don't blink together
    shot.frame_start, shot.frame_end, shot.voice_start = scene.frame_start, scene.frame_end, scene.frame_start
    data.active = len(data.shots) - 1
    return shot


def remove(scene: bpy.types.Scene) -> None:
    """Remove the active shot; what is animated of the shots after it moves up with them."""
    data = scene.elocute
    gone = data.active
    data.shots.remove(gone)
    data.active = max(0, min(gone, len(data.shots) - 1))
    animation = scene.animation_data
    if animation is None:
        return
    for curves in compat.all_curves(scene):
        _renumber(curves, gone)
    _renumber(animation.drivers, gone)


def _renumber(curves: Any, gone: int) -> None:
    """Have F-curves or drivers follow the shots that moved up; those of the one that is gone go with it."""
    for curve in list(curves):
        found = _ANIMATED.match(curve.data_path)
        if found and int(found[1]) > gone:
            curve.data_path = f"elocute.shots[{int(found[1]) - 1}]{found[2]}"
        elif found and int(found[1]) == gone:
            curves.remove(curve)


def unused(name: str, taken: set[str]) -> str:
    """`name`, or with a number as Blender does. "Anna" takes "anna" too: on Windows and macOS they are one folder."""
    count, found, folded = 0, name, {other.casefold() for other in taken}
    while found.casefold() in folded:
        count += 1
        found = f"{name}.{count:03d}"
    return found


def own_folder(shot: Any) -> None:
    """Give a shot a folder that no other has, nor frames of a shot that was removed or of another .blend file there."""
    folders = {other.folder for each in bpy.data.scenes for other in each.elocute.shots if other != shot}
    taken = {folder.rstrip("/\\") for folder in folders}
    if bpy.data.filepath:
        with suppress(OSError):
            taken |= {f"{FOLDERS}{name}" for name in os.listdir(bpy.path.abspath(FOLDERS))}
    shot.folder = unused(f"{FOLDERS}{folder_name(shot)}", taken)


def folder_name(shot: Any) -> str:
    """A shot's name as a folder's, which has one even where somebody cleared the shot's."""
    return bpy.path.clean_name(shot.name) or "Shot"


def store(shot: Any, strip: ElocuteStrip) -> None:
    """Everything about a shot, with the strip that shows it."""
    values: dict[str, Any] = {"name": shot.name, "uid": shot.uid}
    for name in SETTINGS:
        value = getattr(shot, name)
        values[name] = list(value) if name == "color" else value
    for name in POINTERS:
        found = getattr(shot, name)
        setattr(strip, name, found)
        values[name] = found.name if found else None  # Blender's clipboard forgets which objects a strip points at
    strip.job = json.dumps(values)


def restore(scene: bpy.types.Scene, strip: ElocuteStrip) -> Any:
    """The shot that a strip was made by, made anew. Raises BadInput job_unreadable."""
    shot, active = None, scene.elocute.active
    try:
        values = dict(json.loads(strip.job))
        shot = add(scene, str(values.pop("name")))
        for name in SETTINGS:
            if name in values:
                setattr(shot, name, values[name])
        shot.uid = values["uid"]
        for name in POINTERS:
            others = bpy.data.images if name == "portrait" else bpy.data.objects
            setattr(shot, name, getattr(strip, name) or others.get(values.get(name) or ""))
    except (ValueError, KeyError, TypeError) as error:
        if shot is not None:  # half of it is of no use
            remove(scene)
            scene.elocute.active = active
        raise BadInput("job_unreadable", f"The strip does not say how it was made ({error})") from None
    return shot
