"""Writes a .blend with a shot and renders it as the panel does, as a script: arguments ZIP FOLDER VOICE.

The result is FOLDER/shot.blend and FOLDER/panel/*.png.
"""

import os
import sys
import traceback

import bpy

MODULE = "bl_ext.user_default.elocute"


def main():
    package, folder, voice = sys.argv[-3:]
    bpy.ops.extensions.package_install_files(filepath=package, repo="user_default", enable_on_install=True)
    addon = sys.modules[MODULE].addon
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = 25, 1.0
    if hasattr(bpy.context.workspace, "sequencer_scene"):
        bpy.context.workspace.sequencer_scene = scene
    strips = addon.shots.compat.strips(scene.sequence_editor_create())
    strips.new_sound(name="Anna.wav", filepath=voice, channel=1, frame_start=5)
    bpy.ops.wm.save_as_mainfile(filepath=os.path.join(folder, "shot.blend"))
    shot = addon.shotlist.add(scene, "Anna")
    shot.portrait = bpy.data.images.load(os.path.join(os.environ["ELOCUTE_EXAMPLES"], "portrait.jpg"))
    shot.voice_strip, shot.size, shot.folder = "Anna.wav", 96, "//panel"
    assert bpy.ops.elocute.render() == {"FINISHED"}, addon.tasks.tasks[-1].message
    bpy.ops.wm.save_mainfile()
    bpy.ops.preferences.addon_disable(module=MODULE)


try:
    main()
    code = 0
except BaseException:  # noqa: BLE001 - some Blenders would end with 0
    traceback.print_exc()
    code = 1
sys.stdout.flush()
sys.stderr.flush()
os._exit(code)
