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
    stretches = part("addon.stretches")
    wanted = stretches.keys_for(array("d", [value * (i % 2) for i in range(count)]), frames[0])
    stretches.put(curve, wanted, stretches.Change([], frames, "Anna"))


def told(key):
    names = {*part("addon.stretches").PARTS, "select_control_point", "select_left_handle", "select_right_handle"}
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
def shot(keys):
    """shot(name) is a shot of the head; each has a voice of its own."""
    made = {}

    def of(name="Anna"):
        scene = bpy.context.scene
        if name not in made:
            shot = part("addon.shotlist").add(scene, name)
            shot.head = bpy.data.objects["Cube"]
            made[name] = part("addon.shots").ref(scene, shot)
        return made[name]

    return of


@pytest.fixture
def spoken(keys, shot, monkeypatch):
    """spoken(value, last=20) queues Speech to Keys of a voice on frames 10, or `first`, to `last` that moves the units
    so far, or on every second frame when it is `moving`."""
    rendering, tasks = part("addon.rendering"), part("addon.tasks")

    def begin(value, last=20, existing="ASK", moving=False, units=("jawOpen", "mouthClose"), first=10, of="Anna"):
        values = array("d", [value * (i % 2 == 0 or not moving) for i in range(last - first + 1)])
        said = dict.fromkeys(units, values)
        plan = rendering.Plan(None, first, (first, last), (first, last), (first, last), 25, False)

        def listen(*_):
            yield
            return plan, said

        monkeypatch.setattr(rendering, "listen", listen)
        steps = lambda task: part("addon.keys").write(shot(of), existing, Path(), task)  # noqa: E731
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


@pytest.fixture
def pushed_down(keys):
    """A person's keys in an NLA strip on frames 1 to 30; nothing else moves the head."""
    for frame in (1, 30):
        keys.key_blocks["jawOpen"].value = 0.2
        keys.key_blocks["jawOpen"].keyframe_insert("value", frame=frame)
    animation = keys.animation_data
    mine = animation.action
    slot = getattr(animation, "action_slot", None)
    strip = animation.nla_tracks.new().strips.new("Hand", 1, mine)
    if slot is not None:
        strip.action_slot = slot
    animation.action = None
    assert jaw(keys, 5) == 0.2
    return strip


def test_keys_that_were_pushed_down_stay_below_the_speech(keys, spoken, pushed_down):
    tasks, mine = part("addon.tasks"), pushed_down.action
    assert part("addon.keys").hand_made(keys, (10, 20)) == "OTHERS"
    assert tasks.run(spoken(0.5)).code == "keys_exist" and keys.animation_data.action is None
    for value in (0.5, 0.6):
        assert tasks.run(spoken(value, existing="LAYER")).state == "done"
        assert keys.animation_data.action is None and pushed_down.blend_type == "REPLACE"
        assert [strip.action.name for track in keys.animation_data.nla_tracks for strip in track.strips] == [
            mine.name, "Anna Speech"
        ]  # fmt: skip
        assert [jaw(keys, frame) for frame in (5, 10, 20, 25)] == [0.2, *[round(0.2 + value, 5)] * 2, 0.2]


@pytest.mark.parametrize(("blend", "before"), [("REPLACE", 0.3), ("ADD", 0.5)])
def test_keys_above_strips_give_what_they_gave(keys, spoken, pushed_down, blend, before):
    animation = keys.animation_data
    keys.key_blocks["jawOpen"].value = 0.3
    keys.key_blocks["jawOpen"].keyframe_insert("value", frame=1)
    for point in part("addon.compat").fcurves_of(keys)[0].keyframe_points:
        point.co.y = 0.3
    animation.action_blend_type = blend
    assert [jaw(keys, frame) for frame in (5, 15, 25)] == [before] * 3
    for value in (0.5, 0.4):
        assert part("addon.tasks").run(spoken(value, existing="LAYER")).state == "done"
        assert [jaw(keys, frame) for frame in (5, 15, 25)] == [before, round(before + value, 5), before]


@pytest.mark.parametrize("what", ["off", "solo"])
def test_speech_that_the_nla_would_not_play_is_refused(keys, spoken, pushed_down, what):
    animation = keys.animation_data
    if what == "off":
        keys.key_blocks["jawOpen"].keyframe_insert("value", frame=1)
        animation.use_nla = False
    else:
        animation.nla_tracks[0].is_solo = True
    task = part("addon.tasks").run(spoken(0.5, existing="LAYER"))
    assert task.code == "nla_off" and not [action for action in bpy.data.actions if "Speech" in action.name]


def test_speech_can_take_the_place_of_keys_that_were_pushed_down(keys, spoken, pushed_down):
    assert part("addon.tasks").run(spoken(0.5, existing="REPLACE")).state == "done"
    assert keys.animation_data.action.name == "Anna Speech" and not pushed_down.mute
    assert pushed_down.action.use_fake_user
    assert [jaw(keys, frame) for frame in (5, 10, 25)] == [0, 0.5, 0]


@pytest.mark.parametrize("existing", ["LAYER", "REPLACE"])
def test_a_strip_that_is_being_edited_is_no_hindrance(keys, spoken, pushed_down, existing):
    animation = keys.animation_data
    animation.nla_tracks.active, pushed_down.select = animation.nla_tracks[0], True
    animation.use_tweak_mode = True
    assert animation.action == pushed_down.action
    assert part("addon.tasks").run(spoken(0.5, existing=existing)).state == "done"
    heard = [0, 0.5, 0] if existing == "REPLACE" else [0.2, 0.7, 0.2]
    assert [jaw(keys, frame) for frame in (5, 10, 25)] == heard and not animation.use_tweak_mode


@pytest.mark.parametrize("what", ["strip", "track", "another key"])
def test_strips_that_do_not_move_the_face_are_in_nobodys_way(keys, spoken, pushed_down, what):
    if what == "another key":
        bpy.data.objects["Cube"].shape_key_add(name="Ears").value = 0.0
        (curve,) = part("addon.compat").Curves(pushed_down.action, keys)
        curve.data_path = 'key_blocks["Ears"].value'
    else:
        (pushed_down if what == "strip" else keys.animation_data.nla_tracks[0]).mute = True
    assert part("addon.tasks").run(spoken(0.5)).state == "done" and jaw(keys, 12) == 0.5
    assert keys.animation_data.action.name == "Anna Speech" and not pushed_down.action.use_fake_user


def test_keys_made_just_before_and_after_the_speech_stay(keys, spoken):
    tasks = part("addon.tasks")
    tasks.run(spoken(0.5, last=12))
    action = keys.animation_data.action
    for frame, value in ((40, 0.3), (51, 0.4)):
        keys.key_blocks["jawOpen"].value = value
        keys.key_blocks["jawOpen"].keyframe_insert("value", frame=frame)
    assert keys.animation_data.action == action
    for value in (0.6, 0.7):
        assert tasks.run(spoken(value, first=41, last=50, of="Ben")).state == "done"
        assert [jaw(keys, frame) for frame in (12, 13, 40, 41, 50, 51)] == [0.5, 0, 0.3, value, value, 0.4]
    assert tasks.run(spoken(0.8, first=31, last=40, of="Cleo")).code == "keys_exist", "there it would be overwritten"


def test_stretches_that_touch_keep_all_of_their_frames(keys, spoken):
    tasks = part("addon.tasks")
    for values in ((0.5, 0.8), (0.3, 0.6), (0.0, 0.4)):
        for value, first, last, of in ((values[0], 10, 20, "Anna"), (values[1], 21, 30, "Ben")) * 2:
            task = tasks.run(spoken(value, first=first, last=last, of=of))
            assert task.state == "done", task.message
        heard = [0, values[0], values[0], values[0], values[1], values[1], 0]
        assert [jaw(keys, frame) for frame in (9, 10, 19, 20, 21, 30, 31)] == heard


def test_speech_over_a_part_of_another_leaves_the_rest_of_it(keys, spoken):
    tasks = part("addon.tasks")
    tasks.run(spoken(0.5, first=10, last=30))
    tasks.run(spoken(0.8, first=20, last=22, of="Ben"))
    assert [jaw(keys, frame) for frame in (9, 10, 19, 20, 22, 23, 30, 31)] == [0, 0.5, 0.5, 0.8, 0.8, 0.5, 0.5, 0]
    assert tasks.run(spoken(0.6, first=10, last=30)).state == "done", "nobody edited anything"
    assert [jaw(keys, frame) for frame in range(9, 32)] == [0, *[0.6] * 21, 0]


def test_a_voice_that_was_moved_leaves_nothing_behind(keys, spoken, shot):
    tasks, hand_made = part("addon.tasks"), part("addon.keys").hand_made
    tasks.run(spoken(0.8, first=21, last=30, of="Ben"))
    for first, last in ((10, 20), (50, 60), (45, 70), (50, 52)):
        assert tasks.run(spoken(0.5, first=first, last=last)).state == "done"
        (curve,) = (curve for curve in part("addon.compat").fcurves_of(keys) if curve.data_path == PATH)
        times = [key.co.x for key in curve.keyframe_points]
        assert times == sorted({*([9, 10, 20, 21, 30, 31] if first == 10 else [20, 21, 30, 31]),
                                *([] if first == 10 else [first - 1, first, last, last + 1])})  # fmt: skip
        assert [jaw(keys, frame) for frame in (first, last, 21, 30)] == [0.5, 0.5, 0.8, 0.8]
    keys.key_blocks["jawOpen"].value = 0.1
    keys.key_blocks["jawOpen"].keyframe_insert("value", frame=51)
    assert hand_made(keys, (80, 90), shot("Anna").find()[1]) == "EDITED"
    assert hand_made(keys, (80, 90), shot("Ben").find()[1]) == ""
    assert tasks.run(spoken(0.5, first=80, last=90)).code == "keys_exist"
    assert tasks.run(spoken(0.6, first=32, last=40, of="Cleo")).state == "done", "another voice touches none of it"
    assert tasks.run(spoken(0.5, first=80, last=90)).code == "keys_exist", "it is still edited"
    assert tasks.run(spoken(0.5, first=80, last=90, existing="REPLACE")).state == "done"
    assert [jaw(keys, frame) for frame in (51, 80, 90)] == [0, 0.5, 0.5]


def test_one_shot_can_say_one_voice_after_the_other(keys, spoken, shot):
    for name, first in (("Hello.wav", 10), ("Bye.wav", 30)):
        shot().find()[1].voice_strip = name
        part("addon.tasks").run(spoken(0.5, first=first, last=first + 5))
    assert [jaw(keys, frame) for frame in (12, 20, 32)] == [0.5, 0, 0.5]


def test_stretches_of_older_files_are_known(keys, spoken):
    tasks, stretches = part("addon.tasks"), part("addon.stretches")
    tasks.run(spoken(0.5))
    action = keys.animation_data.action
    (now,) = stretches.of(action)
    action[stretches.WRITTEN] = f'[[10, 20, "{now.checksum}"]]'
    assert stretches.of(action) == [(10, 20, now.checksum, "")]
    assert tasks.run(spoken(0.8)).state == "done" and jaw(keys, 12) == 0.8
    assert [stretch.voice for stretch in stretches.of(keys.animation_data.action)] == [now.voice]


@pytest.fixture
def linked(keys, tmp_path):
    """linked(*parts) has the Cube of another file in a new one, with overrides of "object" or "mesh" too."""
    path = str(tmp_path / "head.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)

    def link(*overridden):
        bpy.ops.wm.read_homefile(use_factory_startup=True)
        bpy.data.objects.remove(bpy.data.objects["Cube"])
        with bpy.data.libraries.load(path, link=True) as (_, wanted):
            wanted.objects = ["Cube"]
        (head,) = wanted.objects
        bpy.context.scene.collection.objects.link(head)
        if "object" in overridden:
            head = head.override_create(remap_local_usages=True)
        if "mesh" in overridden:
            head.data.override_create(remap_local_usages=True)
        return head

    return link


@pytest.mark.parametrize("overridden", [(), ("object",), ("object", "mesh")])
@pytest.mark.parametrize("existing", ["ASK", "LAYER"])
def test_a_linked_head_is_keyed_where_that_lasts(linked, spoken, shot, tmp_path, overridden, existing):
    head = linked(*overridden)
    shot().find()[1].head = head
    keys = head.data.shape_keys
    if existing == "LAYER" and keys.library is None:
        keys.key_blocks["jawOpen"].keyframe_insert("value", frame=1)
    task = part("addon.tasks").run(spoken(0.5, existing=existing))
    if "mesh" not in overridden:
        assert task.code == "head_linked" and not bpy.data.actions
        return
    assert task.state == "done", task.message
    path = str(tmp_path / "shot.blend")
    for _ in range(2):
        bpy.ops.wm.save_as_mainfile(filepath=path)
        bpy.ops.wm.open_mainfile(filepath=path)
    head = bpy.context.scene.elocute.shots[0].head
    assert "Anna Speech" in bpy.data.actions and [jaw(head.data.shape_keys, frame) for frame in (12, 21)] == [0.5, 0]


def test_keys_between_known_stretches_are_found():
    stretches = part("addon.stretches")

    def among(known, times, frames, value=0.0):
        points = array("f", [number for time in times for number in (time, value)])
        known = [stretches.Stretch(*stretch) for stretch in known]
        return stretches.are_between(known, stretches.rests(known), points, frames)

    times = [5, 9, 10, 20, 21, 30, 31, 40]
    known = [(10, 20), (22, 30)]
    assert among(known, times, (1, 8)) and not among(known, times, (6, 31)) and among(known, times, (6, 40))
    assert among(known, times, (6, 31), value=0.2) and not among(known, times, (10, 20), value=0.2)
    assert among([(9, 10), (22, 40)], times, (9, 40)) and not among([(9, 10), (22, 40)], times, (11, 19))
    assert among([], [5], (5, 5)) and not among([], [5, 9], (6, 8))


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


def test_driven_keys_are_named_and_only_what_is_keyed_is_counted(keys, spoken):
    keys.driver_add(PATH).driver.expression = "0.5"
    tasks = part("addon.tasks")
    task = tasks.run(spoken(0.5, units=("jawOpen", "mouthClose", "mouthPucker")))
    assert task.state == "done" and task.message.startswith("2 curves on frames")
    assert task.warnings == ["Drivers move jawOpen: the keys show when the drivers are deleted or muted"]
    keys.animation_data.drivers[0].mute = True
    assert tasks.run(spoken(0.4)).warnings == []
