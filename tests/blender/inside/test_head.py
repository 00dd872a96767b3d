"""The head as an object: its keys move the face, its and the camera's matrices frame it."""

import json
import math
import os
import shutil
import subprocess

import bpy
import pytest
from conftest import bytes_of, changed, part, render
from mathutils import Matrix, Vector

LAST = 35


@pytest.fixture
def head(scene):
    assert bpy.ops.elocute.add_head() == {"FINISHED"}
    return scene.elocute.shots[0].head


def frames(tmp_path, name, shot, **settings):
    shot.folder = f"//{name}"
    for key, value in settings.items():
        setattr(shot, key, value)
    render()
    return bytes_of(tmp_path / name)


def array_of(data, tmp_path):
    import numpy

    path = tmp_path / "one.png"
    path.write_bytes(data)
    image = bpy.data.images.load(str(path))
    out = numpy.array(image.pixels[:])
    bpy.data.images.remove(image)
    return out


def difference(a, b, tmp_path):
    """Mean difference of two pictures, of a range of 255."""
    return float(abs(array_of(a, tmp_path) - array_of(b, tmp_path)).mean() * 255)


def test_the_head_is_a_head(scene, head):
    units = part("core.elocute.units").ARKIT_NAMES
    keys = head.data.shape_keys.key_blocks
    assert [key.name for key in keys[1:]] == list(units)
    low, high = (Vector(f(co[i] for co in head.bound_box) for i in range(3)) for f in (min, max))
    size = high - low
    assert 0.25 < size.z < 0.5 > size.x > size.y, f"head and shoulders, in metres: {size}"
    height = {name: middle_of_motion(head, name).z for name in ("browInnerUp", "noseSneerLeft", "jawOpen")}
    assert height["browInnerUp"] > height["noseSneerLeft"] > height["jawOpen"], "upright"
    assert middle_of_motion(head, "noseSneerLeft").y < middle_of_motion(head, "browInnerUp").y + 0.05 < 0.05, "faces -Y"
    assert middle_of_motion(head, "mouthSmileLeft").x > 0 > middle_of_motion(head, "mouthSmileRight").x
    assert head.location == Vector((0, 0, 0))
    shot = scene.elocute.shots[0]
    to_camera = shot.camera.matrix_world.inverted() @ head.matrix_world
    assert to_camera.translation.z < -0.3 and abs(to_camera.translation.x) < 0.15, "the camera looks at it"
    materials = {material.name for material in head.data.materials}
    assert len(materials) > 1 and head.data.uv_layers
    assert not any(part("addon.drafts").MARK in block for block in (head, *bpy.data.images))


@pytest.mark.parametrize("is_saved", [True, False])
def test_each_head_keeps_its_own_portrait_in_the_file(tmp_path, is_saved):
    """Two photos, one shot: right at once, and after opening the file again with the engine's folder gone."""
    if is_saved:
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    scene, shots = bpy.context.scene, part("addon.shots")
    shot = part("addon.shotlist").add(scene, "Anna")
    temporary = part("addon.operators").work_folder(shots.ref(scene, shot), "head")
    work = shots.folder(shot) / part("addon.rendering").JOB_FOLDER / "head" if is_saved else temporary
    shot.portrait_source, wanted = "RANDOM", {}
    for shot.identity in (1, 2):
        assert bpy.ops.elocute.add_head() == {"FINISHED"}
        wanted[shot.head.name, shot.camera.name] = (work / "texture.png").read_bytes()
    assert len(set(wanted.values())) == 2

    def check():
        for (head, camera), content in wanted.items():
            shown = {
                node.image
                for material in bpy.data.objects[head].data.materials
                for node in material.node_tree.nodes
                if node.type == "TEX_IMAGE"
            } | {background.image for background in bpy.data.objects[camera].data.background_images}
            (image,) = shown
            image.reload()
            assert bytes(image.packed_file.data) == content
            assert array_of(content, tmp_path).tolist() == list(image.pixels)

    check()
    assert len({image.filepath for image in bpy.data.images if image.packed_file}) == 2, "where unpacking puts them"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "saved.blend"))
    shutil.rmtree(work)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "saved.blend"))
    check()


@pytest.mark.parametrize("keys", [0, 20])
def test_a_head_that_is_stopped_leaves_nothing(scene, tmp_path, keys):
    def things():
        names = ("objects", "meshes", "materials", "shape_keys", "images", "cameras")
        return [list(getattr(bpy.data, name).keys()) for name in names]

    before, motion = things(), scene.elocute.shots[0].motion
    shots, tasks = part("addon.shots"), part("addon.tasks")
    ref, at = shots.ref(scene, scene.elocute.shots[0]), Vector((0, 0, 0))
    steps = lambda task: part("addon.head").add(ref, tmp_path / "head", scene.name, at, task)  # noqa: E731
    task = tasks.add(part("addon.task").Task("head", "Add Head", steps))
    while not task.over and (things() == before or task.done < keys):
        tasks.pump(budget=0)  # a step: the first thing that is made is the image
    tasks.cancel(task)
    assert task.state == "cancelled" and things() == before and scene.elocute.shots[0].motion == motion


def middle_of_motion(head, name):
    """The mean place of the vertices that a shape key moves."""
    rest = head.data.shape_keys.reference_key.data
    key = head.data.shape_keys.key_blocks[name].data
    moved = [a.co for a, b in zip(rest, key, strict=True) if (a.co - b.co).length > 5e-4]
    return sum(moved, Vector()) / len(moved)


def test_moving_the_jaw_moves_vertices_of_the_jaw(head):
    mesh = head.data
    key = mesh.shape_keys.key_blocks["jawOpen"]
    rest = mesh.shape_keys.reference_key
    moved = [(a.co - b.co).length for a, b in zip(key.data, rest.data, strict=True)]
    assert max(moved) > 0.003 and sum(length > 1e-5 for length in moved) < len(moved)


def test_the_untouched_head_is_the_still_portrait(scene, head, tmp_path):
    shot = scene.elocute.shots[0]
    still = frames(tmp_path, "still", shot, motion="STILL")
    posed = frames(tmp_path, "posed", shot, motion="OBJECTS")
    assert max(difference(still[name], posed[name], tmp_path) for name in list(still)[::6]) < 0.5


def test_one_raised_key_changes_exactly_its_frames(scene, head, tmp_path):
    shot = scene.elocute.shots[0]
    assert bpy.ops.elocute.speech_to_keys() == {"FINISHED"}
    before = frames(tmp_path, "before", shot)
    key = head.data.shape_keys.key_blocks["browInnerUp"]
    curve = next(curve for curve in curves_of(head.data.shape_keys) if curve.data_path == key.path_from_id("value"))
    values = {frame: curve.evaluate(frame) for frame in range(10, 37)}
    for frame, value in values.items():  # a key on every frame, so that only the raised ones differ
        key.value = min(1.0, value + 0.6) if 20 <= frame <= 26 else value
        key.keyframe_insert("value", frame=frame)
    for point in curve_of(head, key).keyframe_points:
        point.interpolation = "LINEAR"
    after = frames(tmp_path, "after", shot)
    assert changed(before, after) == [frame - 10 for frame in range(20, 27)]


def curves_of(owner):
    return part("addon.compat").fcurves_of(owner)


def curve_of(head, key):
    return next(curve for curve in curves_of(head.data.shape_keys) if curve.data_path == key.path_from_id("value"))


def test_speech_to_keys_moves_the_face_as_the_voice_does(scene, head, tmp_path):
    shot = scene.elocute.shots[0]
    spoken = frames(tmp_path, "spoken", shot, motion="STILL", face_source="VOICE")
    bpy.ops.elocute.speech_to_keys()
    keyed = frames(tmp_path, "keyed", shot, face_source="KEYS")
    assert max(difference(spoken[name], keyed[name], tmp_path) for name in spoken) < 0.5
    assert {round(point.co.x) for curve in curves_of(head.data.shape_keys) for point in curve.keyframe_points} <= set(
        range(10, 37)
    )


def test_what_was_keyed_by_hand_is_kept(scene, head):
    key = head.data.shape_keys.key_blocks["jawOpen"]
    for frame, value in ((12, 0.1), (20, 0.9)):
        key.value = value
        key.keyframe_insert("value", frame=frame)
    mine = curve_of(head, key)
    action = head.data.shape_keys.animation_data.action
    points = [tuple(point.co) for point in mine.keyframe_points]
    bpy.ops.elocute.speech_to_keys(existing="LAYER")
    assert action.name in bpy.data.actions
    found = [tuple(point.co) for point in curve_in(action, head.data.shape_keys, mine.data_path).keyframe_points]
    assert found == points
    scene.frame_set(20)
    assert key.value > 0.85, "the hand's key still shows"


def curve_in(action, owner, path):
    return part("addon.compat").Curves(action, owner).find(path)


POSES = [("yaw", 20, (0, 0, 1)), ("yaw", -20, (0, 0, 1)), ("pitch", 10, (1, 0, 0)), ("pitch", -10, (1, 0, 0))]


@pytest.mark.parametrize(("name", "degrees", "axis"), POSES, ids=[f"{name}{degrees:+}" for name, degrees, _ in POSES])
def test_turning_the_head_or_the_camera_around_it_is_the_same(scene, head, tmp_path, name, degrees, axis):
    shot = scene.elocute.shots[0]
    shot.range, shot.frame_start, shot.frame_end = "CUSTOM", 15, 17
    camera = shot.camera
    rest = frames(tmp_path, "rest", shot)
    pivot = head.matrix_world.copy()
    turn = pivot @ Matrix.Rotation(math.radians(degrees), 4, Vector(axis)) @ pivot.inverted()
    resting = {obj: obj.matrix_world.copy() for obj in (head, camera)}
    head.matrix_world = turn @ resting[head]
    by_head = frames(tmp_path, "by_head", shot)
    head.matrix_world = resting[head]
    camera.matrix_world = turn.inverted() @ resting[camera]
    by_camera = frames(tmp_path, "by_camera", shot)
    for key in rest:
        assert difference(rest[key], by_head[key], tmp_path) > 1.0, "nothing turned"
        assert difference(by_head[key], by_camera[key], tmp_path) < 0.3


def test_a_keyed_pose_is_the_one_that_is_measured(scene, head, tmp_path):
    """Yaw to 20 degrees either way, then pitch to 10, keyed on the head and then on the camera: what the engine's own
    measurement of the videos says of it, and whether the frames are the same."""
    shot = scene.elocute.shots[0]
    count = 25
    yaw = [20 * math.sin(2 * math.pi * i / 12) if i <= 12 else 0.0 for i in range(count)]
    pitch = [10 * math.sin(2 * math.pi * (i - 12) / 12) if i >= 12 else 0.0 for i in range(count)]
    shot.size, shot.face_source, shot.blinks = 320, "VOICE", 0.0
    made = {}
    for obj, sense in ((head, 1), (shot.camera, -1)):
        rest, pivot = obj.matrix_world.copy(), head.matrix_world.copy()
        for i in range(count):  # by the engine's signs: to the viewer's right, and up
            turn = Matrix.Rotation(math.radians(yaw[i]), 4, "Z") @ Matrix.Rotation(math.radians(-pitch[i]), 4, "X")
            turn = pivot @ turn @ pivot.inverted()
            obj.matrix_world = (turn if sense > 0 else turn.inverted()) @ rest
            obj.keyframe_insert("location", frame=11 + i)
            obj.keyframe_insert("rotation_euler", frame=11 + i)
        shot.folder = f"//{sense}"
        check_pose(filmed(scene, shot, tmp_path / f"{sense}.mp4"), yaw, pitch, tmp_path)
        made[sense] = bytes_of(tmp_path / str(sense))
        obj.animation_data_clear()
        obj.matrix_world = rest
    assert len(made[1]) == count
    other = changed(made[1], made[-1])
    assert len(other) <= 1, other  # float32 matrices may put an angle on the other side of the grid


def filmed(scene, shot, video):
    shots, tasks, rendering = part("addon.shots"), part("addon.tasks"), part("addon.rendering")
    ref, order = shots.ref(scene, shot), rendering.Order(movie=video, strip=False)
    task = tasks.add(part("addon.task").Task("render", "Render", lambda task: rendering.render(ref, order, task)))
    assert tasks.run(task).state == "done", task.message
    return video


def check_pose(video, yaw, pitch, tmp_path):
    poses = tmp_path / "poses.json"
    poses.write_text(json.dumps({"fps": 25, "yaw_deg": yaw, "pitch_deg": pitch, "roll_deg": [0.0] * len(yaw)}))
    command = [os.environ["ELOCUTE_PYTHON"], "-m", "elocute", "evaluate", str(video), "--poses", str(poses), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=part("addon.engine").environment())
    error = json.loads(done.stdout.splitlines()[-1])["pose_error_deg"]
    assert error["yaw"]["mae"] < 2.0 and error["roll"]["mae"] < 2.0, error
    low, high = error["pitch"]["got_range"]  # its landmarks over- or understate pitch, but not its direction
    assert low < -4 and high > 4 and error["pitch"]["mae"] < 5.0, error


def test_keys_constraints_drivers_and_parents_count(scene, head, tmp_path):
    shot = scene.elocute.shots[0]
    shot.range, shot.frame_start, shot.frame_end = "CUSTOM", 15, 16
    rest = frames(tmp_path, "rest", shot)
    angle = math.radians(15)
    head.rotation_euler.z = angle
    turned = frames(tmp_path, "turned", shot)
    head.rotation_euler.z = 0

    def same(label):
        pictures = frames(tmp_path, label, shot)
        assert all(difference(pictures[key], turned[key], tmp_path) < 0.3 for key in rest), label
        assert any(difference(pictures[key], rest[key], tmp_path) > 1.0 for key in rest), label

    empty = bpy.data.objects.new("Handle", None)
    scene.collection.objects.link(empty)
    empty.rotation_euler.z = angle
    head.parent = empty
    same("parent")
    head.parent = None
    constraint = head.constraints.new("COPY_ROTATION")
    constraint.target = empty
    same("constraint")
    head.constraints.remove(constraint)
    head.driver_add("rotation_euler", 2).driver.expression = repr(angle)
    same("driver")
    head.driver_remove("rotation_euler", 2)
    head.rotation_euler.z = angle
    head.keyframe_insert("rotation_euler", frame=15)
    head.rotation_euler.z = 0
    same("key")
