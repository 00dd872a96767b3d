"""What else there is in a scene: formats and cameras, other shots and scenes, meta strips, physics, muted animation."""

import math
import os
from pathlib import Path

import bpy
import pytest
from bpy_extras.object_utils import world_to_camera_view
from conftest import EXAMPLES, add_sound, part, render
from mathutils import Vector


def look(scene, head, camera):
    bpy.context.view_layer.update()
    return part("addon.sampling").look(bpy.context.evaluated_depsgraph_get(), head, camera)


FORMATS = [(1920, 1080, 1), (1080, 1920, 1), (800, 800, 1), (720, 576, 1.5)]


@pytest.mark.parametrize("fit", ["AUTO", "HORIZONTAL", "VERTICAL"])
@pytest.mark.parametrize(("width", "height", "aspect"), FORMATS)
def test_frames_lie_on_what_the_camera_shows(scene, width, height, aspect, fit):
    """A point of the head, in pixels from the middle: of the picture of Blender's camera, and of the square that the
    sequencer fits into it."""
    head, camera = bpy.data.objects["Cube"], bpy.data.objects["Camera"]
    render, lens = scene.render, camera.data
    render.resolution_x, render.resolution_y, render.pixel_aspect_x = width, height, aspect
    lens.sensor_fit, lens.sensor_width, lens.sensor_height = fit, 36, 20
    lens.shift_x, lens.shift_y = 0.1, -0.2
    seen = look(scene, head, camera)
    point = Vector((0.4, 0.2, 0.7))
    rows = [seen.head_to_camera[i : i + 4] for i in range(0, 12, 4)]
    x, y, z = (sum(row[k] * point[k] for k in range(3)) + row[3] for row in rows)
    focal = 0.5 / math.tan(math.radians(seen.fov_y_deg) / 2)
    side = min(width * aspect, height)
    found = [side * (-focal * value / z - shift) for value, shift in zip((x, y), seen.shift, strict=True)]
    there = world_to_camera_view(scene, camera, head.matrix_world @ point)
    assert found == pytest.approx([(there.x - 0.5) * width * aspect, (there.y - 0.5) * height], abs=0.01)


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (1080, 1920)])
def test_the_camera_of_a_new_head_shows_the_whole_photo_in_every_format(scene, width, height):
    scene.render.resolution_x, scene.render.resolution_y = width, height
    shot = scene.elocute.shots[0]
    assert bpy.ops.elocute.add_head() == {"FINISHED"}
    seen, lens = look(scene, shot.head, shot.camera), shot.camera.data
    focal = 24 / 2 / math.tan(math.radians(seen.fov_y_deg) / 2)
    assert focal == pytest.approx(lens.lens, rel=1e-5) and seen.shift == pytest.approx((lens.shift_x, lens.shift_y))


def test_a_strip_knows_its_portrait_whatever_else_gets_its_name(scene, tmp_path):
    """The shot is gone, and so would be the photo, which nothing else uses."""
    shotlist, compat, shot = part("addon.shotlist"), part("addon.compat"), scene.elocute.shots[0]
    shot.portrait.name = "Anna"
    shot.head, shot.camera = bpy.data.objects["Cube"], bpy.data.objects["Camera"]
    (strip,) = compat.all_strips(scene)
    shotlist.store(shot, strip.elocute)
    scene.elocute.shots.clear()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "later.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "later.blend"))
    scene = bpy.context.scene
    bpy.data.images["Anna"].name = "Anna of before"
    bpy.data.objects["Cube"].name = "Head"
    bpy.data.images.new("Anna", 8, 8)
    (strip,) = compat.all_strips(scene)
    shot = shotlist.restore(scene, strip.elocute)
    assert Path(bpy.path.abspath(shot.portrait.filepath)) == EXAMPLES / "portrait.jpg"
    assert (shot.head.name, shot.camera.name) == ("Head", "Camera")
    shotlist.store(shot, strip.elocute)
    strip.elocute.head = strip.elocute.camera = None  # as after copying and pasting the strip
    shot = shotlist.restore(scene, strip.elocute)
    assert (shot.head.name, shot.camera.name) == ("Head", "Camera")


def test_frames_are_square_where_the_scenes_pixels_are_not(scene):
    scene.render.resolution_x, scene.render.resolution_y, scene.render.pixel_aspect_x = 720, 576, 1.5
    render()
    (strip,) = (strip for strip in part("addon.compat").all_strips(scene) if strip.type == "IMAGE")
    shown = 64 * strip.transform.scale_x * 1.5, 64 * strip.transform.scale_y
    assert shown == pytest.approx((576, 576))


def test_an_action_in_two_nla_strips_follows_its_shot_once(scene):
    shotlist, compat = part("addon.shotlist"), part("addon.compat")
    for name in ("Ada", "Grace", "Joan"):
        shotlist.add(scene, name)
    scene.elocute.shots[3].keyframe_insert("expression", frame=1)
    animation = scene.animation_data
    action, slot = animation.action, getattr(animation, "action_slot", None)
    for start in (1, 50):
        track = animation.nla_tracks.new()
        strip = track.strips.new("keys", start, action)
        if slot is not None:
            strip.action_slot = slot
    animation.action = None
    for gone, left in ((1, 2), (0, 1)):
        scene.elocute.active = gone
        shotlist.remove(scene)
        (curves,) = compat.all_curves(scene)
        assert [curve.data_path for curve in curves] == [f"elocute.shots[{left}].expression"]


def test_the_voice_moves_a_face_whose_keys_are_muted_or_gone(scene):
    shots, shot = part("addon.shots"), scene.elocute.shots[0]
    head = bpy.data.objects["Cube"]
    for name in ("Basis", "jawOpen", "collar"):
        head.shape_key_add(name=name)
    shot.head, keys = head, head.data.shape_keys
    jaw, collar = keys.key_blocks["jawOpen"], keys.key_blocks["collar"]
    assert not shots.face_from_keys(shot)
    collar.keyframe_insert("value", frame=1)
    assert not shots.face_from_keys(shot), "it moves no face"
    jaw.keyframe_insert("value", frame=1)
    assert shots.face_from_keys(shot)
    animation = keys.animation_data
    (curve,) = (curve for curve in part("addon.compat").fcurves_of(keys) if "jawOpen" in curve.data_path)
    curve.mute = True
    assert not shots.face_from_keys(shot)
    curve.mute = False
    action, slot = animation.action, getattr(animation, "action_slot", None)
    if slot is not None:
        animation.action_slot = None
        assert not shots.face_from_keys(shot), "nothing is chosen of the Action"
    animation.action = None
    track = animation.nla_tracks.new()
    strip = track.strips.new("speech", 1, action)
    if slot is not None:
        strip.action_slot = slot
    assert shots.face_from_keys(shot)
    for muted in (strip, track):
        muted.mute = True
        assert not shots.face_from_keys(shot)
        muted.mute = False
    animation.nla_tracks.remove(track)
    driver = jaw.driver_add("value")
    assert shots.face_from_keys(shot)
    driver.mute = True
    assert not shots.face_from_keys(shot)
    shot.face_source = "KEYS"
    assert shots.face_from_keys(shot), "whoever says so gets them"


def test_selected_strips_are_those_on_screen(scene, voice):
    compat = part("addon.compat")
    owner = compat.strips(scene.sequence_editor)
    inner = compat.all_strips(scene)[0]
    meta = owner.new_meta("Scene 1", channel=5, frame_start=1)
    inner.move_to_meta(meta)
    outer = add_sound(scene, voice, "Grace", 3, 11)
    inner.select, meta.select, outer.select = True, False, True
    assert [strip.name for strip in compat.selected_strips(bpy.context)] == ["Grace"]
    meta.select, inner.select = True, False
    assert {strip.name for strip in compat.selected_strips(bpy.context)} == {"Grace", "Scene 1", "Anna.001"}


def test_reading_leaves_the_cameras_of_markers_alone(scene):
    shot, other = scene.elocute.shots[0], bpy.data.objects.new("Chosen", bpy.data.cameras.new("Chosen"))
    scene.collection.objects.link(other)
    shot.keyframe_insert("expression", frame=1)
    marker = scene.timeline_markers.new("cut", frame=1)
    marker.camera = bpy.data.objects["Camera"]
    scene.frame_set(5)
    scene.camera = other
    list(part("addon.sampling").sample(part("addon.shots").ref(scene, shot), range(1, 5)))
    assert scene.camera == other and scene.frame_current == 5


def test_physics_that_would_stand_still_is_told(scene):
    sampling, shot = part("addon.sampling"), scene.elocute.shots[0]
    head, handle = bpy.data.objects["Cube"], bpy.data.objects["Light"]
    shot.head, shot.camera, shot.motion = head, bpy.data.objects["Camera"], "OBJECTS"
    ball = bpy.data.objects.new("Ball", bpy.data.meshes.new("Ball"))
    scene.collection.objects.link(ball)
    bpy.ops.rigidbody.world_add()
    bpy.context.view_layer.objects.active = ball
    ball.select_set(True)
    bpy.ops.rigidbody.object_add()
    assert sampling.unbaked(scene, shot) == []
    handle.parent, head.parent = ball, handle
    (told,) = sampling.unbaked(scene, shot)
    assert told.startswith("Ball: ") and "baked" in told
    for still in ({"type": "PASSIVE"}, {"type": "ACTIVE", "kinematic": True}):
        for name, value in still.items():
            setattr(ball.rigid_body, name, value)
        assert sampling.unbaked(scene, shot) == [], "which only gets in others' way"
    ball.rigid_body.kinematic = False
    scene.rigidbody_world.enabled = False
    assert sampling.unbaked(scene, shot) == []


def test_a_shot_without_a_name_has_a_folder_of_its_own(scene):
    shot = scene.elocute.shots[0]
    shot.name = ""
    assert bpy.ops.elocute.own_folder() == {"FINISHED"} and shot.folder == "//elocute/Shot"


def test_a_new_shot_speaks_with_the_sound_of_its_own_scene(scene, voice):
    if not hasattr(bpy.context.workspace, "sequencer_scene"):
        pytest.skip("up to 4.5 the sequencer shows the active scene")
    other = bpy.data.scenes.new("Edit")
    strips = part("addon.compat").strips(other.sequence_editor_create())
    strips.new_sound(name="line", filepath=str(voice), channel=1, frame_start=1)
    other.sequence_editor.active_strip = strips["line"]
    bpy.context.workspace.sequencer_scene = other
    area = bpy.context.window_manager.windows[0].screen.areas[0]
    area.type = "VIEW_3D"
    with bpy.context.temp_override(window=bpy.context.window_manager.windows[0], area=area):
        assert bpy.ops.elocute.shot_add() == {"FINISHED"}
    assert scene.elocute.shots[-1].voice_strip == "Anna.001"


def test_the_engine_is_named_by_a_folder_or_from_the_working_folder(scene, tmp_path, monkeypatch):
    checks, program = part("addon.checks"), Path(os.environ["ELOCUTE_PYTHON"])
    monkeypatch.chdir(program.parents[2])
    for named in (program.parents[1], program.relative_to(program.parents[2])):
        monkeypatch.setenv("ELOCUTE_PYTHON", str(named))
        assert checks.engine_python() == program
    monkeypatch.setenv("ELOCUTE_PYTHON", str(tmp_path))
    assert "--python" in checks.first(scene, scene.elocute.shots[0])
