"""Speech to Keys on a bare head, without the engine: what people keyed stays, whatever becomes of the job."""

import time
from array import array
from pathlib import Path

import bpy
import pytest
from conftest import part

PATH = 'key_blocks["jawOpen"].value'


@pytest.fixture
def keys():
    """The shape keys of a cube with two of the units."""
    cube = bpy.data.objects["Cube"]
    for name in ("Basis", "jawOpen", "mouthClose"):
        cube.shape_key_add(name=name).value = 0.0
    return cube.data.shape_keys


def speak(curve, frames, value=0.5):
    count = frames[1] - frames[0] + 1
    keys = part("addon.keys")
    keys._key(curve, keys._keys_for(array("d", [value * (i % 2) for i in range(count)]), frames[0]), frames)


def told(key):
    names = {*part("addon.keys").PARTS, "select_control_point", "select_left_handle", "select_right_handle"}
    return {name: (value if isinstance(value, (str, float, bool)) else tuple(value))
            for name in names for value in [getattr(key, name)]}  # fmt: skip


def test_keys_outside_the_spoken_frames_stay_as_they_are(keys):
    action = bpy.data.actions.new("Speech")
    ours = part("addon.compat").Curves(action, keys, create=True)
    ours.assign()
    curve = ours.ensure(PATH, "Speech")
    speak(curve, (10, 20))
    for frame, value in ((1, 0.2), (100, 0.3), (120, 0.6)):
        curve.keyframe_points.insert(frame, value)
    first, sine, free = (next(k for k in curve.keyframe_points if k.co.x == frame) for frame in (1, 100, 120))
    first.interpolation, first.easing, first.back = "BACK", "EASE_OUT", 2.5
    sine.interpolation, sine.type = "SINE", "BREAKDOWN"
    free.interpolation, free.handle_left_type, free.handle_right_type = "BEZIER", "FREE", "FREE"
    free.handle_left, free.handle_right = (110.0, 0.1), (140.0, 3.0)
    first.select_control_point = sine.select_left_handle = free.select_right_handle = False
    sine.select_control_point = free.select_control_point = True
    curve.update()
    before = {key.co.x: told(key) for key in curve.keyframe_points if not 9 <= key.co.x <= 21}

    speak(curve, (10, 20), 0.8)
    after = {key.co.x: told(key) for key in curve.keyframe_points if not 9 <= key.co.x <= 21}
    assert after == before and len(before) == 3
    spoken = [key for key in curve.keyframe_points if 9 <= key.co.x <= 21]
    assert [round(key.co.y, 5) for key in spoken] == [0, *[0, 0.8] * 5, 0, 0]
    assert {key.interpolation for key in spoken} == {"LINEAR"}


@pytest.fixture
def spoken(keys, monkeypatch):
    """spoken(value, last=20) queues Speech to Keys of a voice on frames 10 to `last` that moves the units so far, or on
    every second frame when it is `moving`."""
    rendering, shots, tasks = part("addon.rendering"), part("addon.shots"), part("addon.tasks")
    scene = bpy.context.scene
    shot = part("addon.shotlist").add(scene, "Anna")
    shot.head = bpy.data.objects["Cube"]
    ref = shots.ref(scene, shot)

    def begin(value, last=20, existing="ASK", moving=False, units=("jawOpen", "mouthClose")):
        values = array("d", [value * (i % 2 == 0 or not moving) for i in range(last - 9)])
        said = dict.fromkeys(units, values)
        plan = rendering.Plan(None, 10, (10, last), (10, last), (10, last), 25, False)

        def listen(*_):
            yield
            return plan, said

        monkeypatch.setattr(rendering, "listen", listen)
        steps = lambda task: part("addon.keys").write(ref, existing, Path(), task)  # noqa: E731
        return tasks.add(part("addon.task").Task("keys", "Speech to Keys", steps))

    return begin


def jaw(keys, frame):
    bpy.context.scene.frame_set(frame)
    return round(keys.key_blocks["jawOpen"].value, 5)


def test_speech_takes_the_place_of_speech(keys, spoken):
    tasks = part("addon.tasks")
    for value, last in ((0.5, 20), (0.8, 20), (0.3, 15)):
        assert tasks.run(spoken(value, last)).state == "done"
        assert [action.name for action in bpy.data.actions] == ["Anna Speech"]
        assert [jaw(keys, frame) for frame in (9, 10, last, last + 1)] == [0, value, value, 0]
    assert keys.animation_data.action.name == "Anna Speech"
    assert part("addon.drafts").MARK not in keys.animation_data.action


def test_the_whole_voice_becomes_keys_whatever_range_is_rendered(scene, keys):
    shot = scene.elocute.shots[0]
    shot.head = bpy.data.objects["Cube"]
    shot.range, shot.frame_start, shot.frame_end = "CUSTOM", 1, 5
    assert bpy.ops.elocute.speech_to_keys() == {"FINISHED"}
    (action,) = bpy.data.actions
    times = [key.co.x for curve in part("addon.compat").Curves(action, keys) for key in curve.keyframe_points]
    assert (min(times), max(times)) == (10, 36), "the voice's 11 to 35, at rest before and after"


def test_speech_that_is_an_asset_stays_one(keys, spoken):
    tasks = part("addon.tasks")
    tasks.run(spoken(0.5))
    speech = keys.animation_data.action
    speech.asset_mark()
    speech.asset_data.description = "Anna's greeting"
    speech.asset_data.tags.new("greeting")
    assert tasks.run(spoken(0.8)).state == "done" and jaw(keys, 12) == 0.8
    (renewed,) = bpy.data.actions
    assert renewed.asset_data.description == "Anna's greeting" and renewed.asset_data.tags.keys() == ["greeting"]


def test_a_job_that_is_stopped_leaves_the_keys_as_they_were(keys, spoken):
    tasks, actions = part("addon.tasks"), bpy.data.actions
    for before in (0.0, 0.5):
        if before:
            assert tasks.run(spoken(before)).state == "done"
        task = spoken(0.8)
        while task.done < 1:
            tasks._step(task)
        assert len(actions) == 1 + bool(before)
        tasks.cancel(task)
        assert len(actions) == bool(before) and jaw(keys, 12) == before
    assert tasks.run(spoken(0.9)).state == "done", "nobody edited anything"


@pytest.mark.parametrize("stopped", [False, True])
def test_speech_that_redo_brings_back_is_not_taken_for_the_draft(keys, spoken, stopped):
    tasks, actions = part("addon.tasks"), bpy.data.actions
    tasks.run(spoken(0.5))
    speech = actions["Anna Speech"]
    speech.name, keys.animation_data.action = "Undone", None
    task = spoken(0.8)
    while task.done < 1:
        tasks._step(task)
    actions.remove(actions["Anna Speech"])  # redo: the data is as it was after the first run
    speech.name = "Anna Speech"
    part("addon.compat").Curves(speech, keys).assign()
    tasks.cancel(task) if stopped else tasks.run(task)
    assert (task.state, task.code) == (("cancelled", "") if stopped else ("failed", "head_missing"))
    assert list(actions) == [speech] and jaw(keys, 12) == 0.5


def test_a_draft_that_already_moves_the_head_goes_on_doing_so(keys, spoken):
    tasks = part("addon.tasks")
    task = spoken(0.8)
    while task.done < 1:
        tasks._step(task)
    part("addon.compat").Curves(bpy.data.actions["Anna Speech"], keys).assign()
    assert tasks.run(task).state == "done" and jaw(keys, 12) == 0.8
    assert list(bpy.data.actions) == [keys.animation_data.action]


def test_edited_speech_stays_in_the_file(keys, spoken):
    tasks = part("addon.tasks")
    tasks.run(spoken(0.5))
    keys.key_blocks["jawOpen"].value = 0.1
    keys.key_blocks["jawOpen"].keyframe_insert("value", frame=14)
    assert tasks.run(spoken(0.8)).code == "keys_exist" and jaw(keys, 14) == 0.1
    assert tasks.run(spoken(0.8, existing="REPLACE")).state == "done" and jaw(keys, 14) == 0.8
    assert sorted(action.name for action in bpy.data.actions) == ["Anna Speech", "Anna Speech Edited"]
    edited = bpy.data.actions["Anna Speech Edited"]
    curve = part("addon.compat").Curves(edited, keys).find(PATH)
    assert edited.use_fake_user and round(curve.evaluate(14), 5) == 0.1


def test_speech_below_the_hands_keys_is_renewed_there(keys, spoken):
    tasks = part("addon.tasks")
    keys.key_blocks["jawOpen"].keyframe_insert("value", frame=1)
    mine = keys.animation_data.action
    assert tasks.run(spoken(0.5)).code == "keys_exist"
    for value, last in ((0.5, 20), (0.8, 30)):
        assert tasks.run(spoken(value, last, existing="LAYER")).state == "done"
        assert keys.animation_data.action == mine and len(bpy.data.actions) == 2
        ((strip,),) = [track.strips for track in keys.animation_data.nla_tracks]
        assert (strip.action.name, strip.frame_start, strip.frame_end) == ("Anna Speech", 9, last + 1)
        assert [jaw(keys, frame) for frame in (10, last)] == [value, value]


def test_keys_between_known_stretches_are_found(keys):
    among = part("addon.keys")._are_between
    times = array("f", [5, 9, 10, 20, 21, 30, 40])
    known = [(9, 21), (21, 30)]
    assert among(known, times, (1, 8)) and not among(known, times, (6, 30)) and among(known, times, (6, 40))
    assert among([(9, 10), (21, 40)], times, (9, 40)) and not among([(9, 10), (21, 40)], times, (11, 19))
    assert among([], times, (5, 5)) and not among([], times, (6, 8))


def test_long_speech_is_keyed_in_short_steps(keys, spoken):
    """Ten minutes in which every unit moves on every frame."""
    tasks, units = part("addon.tasks"), part("core.elocute.units").ARKIT_NAMES
    for name in {*units} - {*keys.key_blocks.keys()}:
        bpy.data.objects["Cube"].shape_key_add(name=name).value = 0.0
    for _ in range(2):
        task, lengths = spoken(0.5, 15009, moving=True, units=units), []
        while not task.over:
            began = time.thread_time()  # a busy machine makes no step longer
            tasks._step(task)
            lengths.append(time.thread_time() - began)
        # Each step comes once for every unit: two long ones are no hiccup of the machine.
        assert task.state == "done" and sorted(lengths)[-2] < 0.1
        curve = part("addon.compat").Curves(keys.animation_data.action, keys).find(PATH)
        assert len(curve.keyframe_points) == 15002
