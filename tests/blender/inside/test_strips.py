"""Strips that people cut, copy and trim, and paths as they type them, without the engine."""

import os
from pathlib import Path

import bpy
from conftest import part


def cut(strip, frame):
    """The part behind the cut."""
    return strip.split(frame=frame, split_method="SOFT")


def sound(scene):
    return next(strip for strip in part("addon.compat").all_strips(scene) if strip.type == "SOUND")


def test_a_shot_of_a_cut_strip_keeps_to_its_part_whatever_that_is_called(scene):
    shots, compat = part("addon.shots"), part("addon.compat")
    left, right = sound(scene), cut(sound(scene), 20)
    first, same, second = scene.elocute.shots[0], shots.add(scene, "Also left"), shots.add(scene, "Right")
    first, same, second = scene.elocute.shots  # which a new one moves in memory
    same.voice_strip, second.voice_strip = left.name, right.name
    left.name, right.name = "One", "Two"
    assert shots.voice_strip(scene, second) == right and compat.span(right) == (20, 35)
    assert shots.voice_strip(scene, first) == shots.voice_strip(scene, same) == left

    cut(right, 30)
    right.name = "Three"
    assert shots.voice_strip(scene, second) is None, "better none than the wrong one"
    second.voice_strip = "Three"
    right.name = "Four"
    assert shots.voice_strip(scene, second) == right


def test_a_path_that_begins_anywhere_is_one_folder(scene, tmp_path, monkeypatch):
    shots, shot = part("addon.shots"), scene.elocute.shots[0]
    monkeypatch.chdir(tmp_path)
    for typed, meant in (("renders", "renders"), ("a/../b/", "b"), ("//c", "c")):
        shot.folder = typed
        assert shots.folder(shot) == tmp_path / meant
    preferences = bpy.context.preferences.addons[part("addon.engine").PACKAGE].preferences
    preferences.source = "EXISTING"
    preferences.engine_python = os.path.relpath(os.environ["ELOCUTE_PYTHON"], tmp_path)
    assert part("addon.preferences").chosen_python() == Path(os.environ["ELOCUTE_PYTHON"])
    preferences.source, preferences.engine_python = "OWN", ""
