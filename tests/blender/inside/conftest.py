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
    part("addon.tasks").cancel_all()
    part("addon.tasks").tasks.clear()


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
    compat = part("addon.compat")
    sequencer = scene.sequence_editor_create()
    strips = sequencer.strips if hasattr(sequencer, "strips") else sequencer.sequences
    strips.new_sound(name="Anna.001", filepath=str(voice), channel=2, frame_start=11)
    compat.set_sequencer_scene(scene) if hasattr(compat, "set_sequencer_scene") else None
    if hasattr(bpy.context, "workspace") and hasattr(bpy.context.workspace, "sequencer_scene"):
        bpy.context.workspace.sequencer_scene = scene
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    shot = part("addon.shots").add(scene, "Anna")
    shot.portrait = bpy.data.images.load(str(EXAMPLES / "portrait.jpg"))
    shot.voice_strip = "Anna.001"
    shot.folder, shot.size = "//frames", 128
    return scene
