"""Fixtures inside Blender. Standard library, pytest and bpy only: this Python has nothing else."""

import importlib
import os
import wave
from pathlib import Path

import bpy
import pytest

MODULE = "bl_ext.user_default.elocute"
EXAMPLES = Path(os.environ["ELOCUTE_EXAMPLES"])


def part(name):
    """A module of the extension: part("addon.tasks")."""
    return importlib.import_module(f"{MODULE}.{name}")


@pytest.fixture(autouse=True)
def new_file():
    """Blender's own start-up file, the extension enabled, nothing queued."""
    bpy.ops.wm.read_homefile(use_factory_startup=True)
    assert MODULE in bpy.context.preferences.addons
    yield
    tasks = part("addon.tasks")
    if tasks.busy():  # what a failed test left behind
        tasks.cancel_all()
        tasks.stop_engine()
    tasks.tasks.clear()


@pytest.fixture
def addon():
    return part


@pytest.fixture
def voice(tmp_path):
    """One second of the example voice, from where somebody speaks."""
    return cut_voice(tmp_path / "voice.wav", 0.4, 1.0)


def cut_voice(path, start, seconds):
    with wave.open(str(EXAMPLES / "voice.wav")) as source:
        source.setpos(int(start * source.getframerate()))
        data = source.readframes(int(seconds * source.getframerate()))
        with wave.open(str(path), "wb") as out:
            out.setparams(source.getparams())
            out.writeframes(data)
    return path


@pytest.fixture
def scene(voice, tmp_path):
    """The active scene, saved, at 25 frames a second, with a sound strip from frame 11 and a small shot."""
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = 25, 1.0
    add_sound(scene, voice, "Anna.001", 2, 11)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    shot = part("addon.shotlist").add(scene, "Anna")
    shot.portrait = bpy.data.images.load(str(EXAMPLES / "portrait.jpg"))
    shot.voice_strip = "Anna.001"
    shot.folder, shot.size = "//frames", 64
    return scene


def add_sound(scene, path, name, channel, frame):
    if not bpy.app.build_options.audaspace:
        pytest.skip("this Blender is built without sound")
    strips = part("addon.compat").strips(scene.sequence_editor_create())
    strip = strips.new_sound(name=name, filepath=str(path), channel=channel, frame_start=frame)
    if hasattr(bpy.context.workspace, "sequencer_scene"):
        bpy.context.workspace.sequencer_scene = scene
    return strip


def render(expected="done", **order):
    """Render the active shot as the button does; the task that did it."""
    tasks = part("addon.tasks")
    result = bpy.ops.elocute.render()
    task = tasks.tasks[-1]
    assert task.state == expected and (result == {"FINISHED"}) == (expected == "done"), (task.message, task.code)
    return task


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in sorted(Path(folder).glob("*.png"))}


def changed(before, after):
    """Numbers of the frames that differ."""
    assert before.keys() == after.keys()
    return [int(Path(name).stem) for name in before if before[name] != after[name]]
