"""Sound files named from the .blend file (//) when that is saved elsewhere: Blender follows with its own paths alone.

The frames' folder is left as it is: like Blender's own output, it is where the .blend file is.
"""

from __future__ import annotations

import os
from typing import Any

import bpy
from bpy.app.handlers import persistent

_before: list[tuple[Any, str]] = []  # shots, for the moment of saving, and what they had


@persistent
def _saving(path: str, *_: object) -> None:
    _before.clear()
    if not path or not bpy.data.filepath:
        return
    old, new = os.path.dirname(bpy.data.filepath), os.path.dirname(os.path.abspath(path))
    for scene in bpy.data.scenes if old != new else ():
        for shot in scene.elocute.shots:
            if shot.voice_file.startswith("//") and scene.library is None:
                _before.append((shot, shot.voice_file))
                shot.voice_file = _from(new, bpy.path.abspath(shot.voice_file))


def _from(folder: str, file: str) -> str:
    try:
        return bpy.path.relpath(file, start=folder)
    except ValueError:  # on another drive of Windows
        return file


@persistent
def _saved(path: str, *_: object) -> None:
    if not path or os.path.abspath(path) != bpy.data.filepath:  # a copy, or it couldn't be written
        for shot, file in _before:
            shot.voice_file = file
    _before.clear()


HANDLERS = (("save_pre", _saving), ("save_post", _saved), ("save_post_fail", _saved))


def register() -> None:
    for name, handler in HANDLERS:
        getattr(bpy.app.handlers, name).append(handler)


def unregister() -> None:
    for name, handler in HANDLERS:
        getattr(bpy.app.handlers, name).remove(handler)
