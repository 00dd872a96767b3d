"""A .blend that is saved under another name or elsewhere: jobs that began before know it again, and sound files named
from it (//) stay where they are, as Blender sees to with its own paths alone.

The frames' folder is left as it is: like Blender's own output, it is where the .blend file is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import bpy
from bpy.app.handlers import persistent

from . import compat

_renamed: list[tuple[str, str]] = []  # .blend files and what they were saved as in this session
_path = ""  # of the file that is being saved
_before: list[tuple[Any, str, str]] = []  # for that moment: whose, the name of the property, and what it was


def count() -> int:
    """How often a file got another name so far."""
    return len(_renamed)


def names_of(file: str, since: int) -> set[str]:
    """A .blend file, and what it was saved as since a `count`: before that, it was another file."""
    found = {file}
    for old, new in _renamed[since:]:
        if old in found:
            found.add(new)
    return found


@persistent
def _saving(path: str, *_: object) -> None:
    global _path
    _path = bpy.data.filepath
    _before.clear()
    if not path or not _path:
        return
    old, new = os.path.dirname(_path), os.path.dirname(os.path.abspath(path))
    for owner, name, text in _texts() if old != new else ():
        with suppress(ValueError):  # on another drive of Windows, or no job of ours
            moved = _job_moved(text, new) if name == "job" else _moved(text, new)
            if moved != text:
                _before.append((owner, name, text))
                setattr(owner, name, moved)


def _texts() -> Iterator[tuple[Any, str, str]]:
    """Properties that name sound files: of shots, and of strips, which have their shot as text."""
    for scene in bpy.data.scenes:
        if scene.library is None:
            for shot in scene.elocute.shots:
                yield shot, "voice_file", shot.voice_file
            for strip in compat.all_strips(scene):
                if strip.elocute.job:
                    yield strip.elocute, "job", strip.elocute.job


def _moved(file: str, folder: str) -> str:
    """The name of a sound file from `folder`; as it is where one was brought along."""
    if not file.startswith("//") or os.path.isfile(os.path.join(folder, file[2:])):
        return file
    return bpy.path.relpath(bpy.path.abspath(file), start=folder)


def _job_moved(text: str, folder: str) -> str:
    job = json.loads(text)
    moved = _moved(job.get("voice_file", ""), folder)
    return text if moved == job.get("voice_file", "") else json.dumps({**job, "voice_file": moved})


@persistent
def _saved(path: str, *_: object) -> None:
    if not path or os.path.abspath(path) != bpy.data.filepath:  # a copy, or it couldn't be written
        for owner, name, text in _before:
            setattr(owner, name, text)
    elif _path != bpy.data.filepath:
        _renamed.append((_path, bpy.data.filepath))
    _before.clear()


HANDLERS = (("save_pre", _saving), ("save_post", _saved), ("save_post_fail", _saved))


def register() -> None:
    for name, handler in HANDLERS:
        getattr(bpy.app.handlers, name).append(handler)


def unregister() -> None:
    for name, handler in HANDLERS:
        getattr(bpy.app.handlers, name).remove(handler)
