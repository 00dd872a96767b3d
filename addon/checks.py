"""What keeps a shot from being rendered, each with a sentence and, where there is one, the button that helps."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

from ..core.elocute.errors import BadInput, EnvironmentProblem
from . import engine, preferences, shots

PACKAGE = engine.PACKAGE


@dataclass(frozen=True)
class Problem:
    """`fix` is an operator that helps, `label` what its button says."""

    text: str
    fix: str = ""
    label: str = ""
    icon: str = "NONE"
    of_output: bool = False  # only about where the frames go


PREFERENCES = ("elocute.show_preferences", "Set Up Engine", "PREFERENCES")
SAVE = ("wm.save_as_mainfile", "Save As", "FILE_TICK")
FOLDER = ("elocute.own_folder", "Own Folder", "NEWFOLDER")
# What a failed job's code asks for.
FIXES: dict[str, tuple[str, str, str]] = {
    **{code: PREFERENCES for code in (
        "engine_missing", "engine_ended", "library_missing", "model_missing", "model_hash", "model_not_imported",
        "device_missing",
    )},
    "internal": ("elocute.show_log", "Open Log", "TEXT"),
    "folder_missing": SAVE,
}  # fmt: skip


def engine_python() -> Path:
    """The Python that runs the engine. Raises EnvironmentProblem engine_missing."""
    named = os.environ.get("ELOCUTE_PYTHON")
    if not named:
        return preferences.chosen_python()
    program = engine.program_in(Path(named).absolute())
    if program is None:
        text = f"There is no Python at {named}, which --python or ELOCUTE_PYTHON names for the engine"
        raise EnvironmentProblem("engine_missing", f"{text}. Name an environment's folder or its Python")
    return program


def fix_of(code: str) -> Problem | None:
    """The button that helps after a failure."""
    found = FIXES.get(code)
    return Problem("", *found) if found else None


def problems(scene: bpy.types.Scene, shot: Any) -> list[Problem]:
    """Everything that is missing, most basic first."""
    return list(_problems(scene, shot))


def first(scene: bpy.types.Scene, shot: Any) -> str:
    """The first problem's sentence, "" when there is none: what a disabled button says."""
    return next((problem.text for problem in _problems(scene, shot)), "")


def _problems(scene: bpy.types.Scene, shot: Any) -> Iterator[Problem]:
    try:
        engine_python()
    except EnvironmentProblem as error:
        yield Problem(error.message, *PREFERENCES)
    yield from portrait_problems(shot)
    try:
        shots.fps_of(scene)
    except BadInput as error:
        yield Problem(error.message)
    yield from _voice_problems(scene, shot)
    if shots.uses_objects(shot) or shot.face_source == "KEYS":
        yield from _head_problems(scene, shot)
    if not shot.folder:
        yield Problem("Choose an output folder", *FOLDER, of_output=True)
    elif shots.folder(shot) is None:
        text = "The folder starts at the .blend file (//): save the file, or choose another folder"
        yield Problem(text, *SAVE, of_output=True)
    elif (other := shots.shares_folder(scene, shot)) is not None:
        yield Problem(f"The shot {other} has the same folder: choose another", *FOLDER, of_output=True)
    if shot.range == "CUSTOM" and shot.frame_end < shot.frame_start:
        yield Problem("The range ends before it starts")


def portrait_problems(shot: Any) -> Iterator[Problem]:
    """What keeps the portrait from being used."""
    if shot.portrait_source == "RANDOM":
        return
    image = shot.portrait
    if image is None:
        yield Problem("Choose a portrait image")
    elif image.source in {"MOVIE", "VIEWER"}:
        yield Problem("The portrait has to be a still image")
    elif image.source == "FILE" and not image.packed_file and not image.is_dirty:
        if not shots.is_there(shots.image_path(image)):
            yield Problem(f"The file of the portrait is missing: {shots.image_path(image).name}")


def _voice_problems(scene: bpy.types.Scene, shot: Any) -> Iterator[Problem]:
    if shot.voice_source == "STRIP" and not shot.voice_strip:
        yield Problem("Choose a sound strip")
    elif shot.voice_source == "FILE" and not shot.voice_file:
        yield Problem("Choose a sound file")
    elif shot.voice_source == "NONE" and not shots.face_from_keys(shot) and not shots.uses_objects(shot):
        yield Problem("Nothing moves the face: choose a voice, or a head with shape keys")
    else:
        try:
            shots.voice(scene, shot)
        except BadInput as error:
            yield Problem(error.message)


def _head_problems(scene: bpy.types.Scene, shot: Any) -> Iterator[Problem]:
    add = ("elocute.add_head", "Add Head", "ADD")
    if shot.head is None:
        yield Problem("Choose the object that is the head, or add one", *add)
    elif shots.is_deleted(shot.head):
        yield Problem(f"The head {shot.head.name} was deleted. Choose another, or add one", *add)
    elif shot.face_source == "KEYS" and shots.shape_keys(shot.head) is None:
        yield Problem(f"{shot.head.name} has none of the 52 shape keys. Choose another head, or let the voice move it")
    if not shots.uses_objects(shot):
        return
    camera = shots.camera(scene, shot)
    if camera is None:
        yield Problem("Choose the camera that looks at the head")
    elif shots.is_deleted(camera):
        yield Problem(f"The camera {camera.name} was deleted. Choose another")
    elif camera.type != "CAMERA" or camera.data.type != "PERSP":  # a scene's camera may be any object
        yield Problem(f"{camera.name} is not a perspective camera")
