"""Strips that people cut, copy and trim, and paths as they type them, without the engine."""

import importlib.util
import os
import time
from pathlib import Path
from types import SimpleNamespace

import bpy
import pytest
from conftest import EXAMPLES, add_sound, part


def cut(strip, frame):
    """The part behind the cut."""
    return strip.split(frame=frame, split_method="SOFT")


def sound(scene):
    return next(strip for strip in part("addon.compat").all_strips(scene) if strip.type == "SOUND")


def test_a_shot_of_a_cut_strip_keeps_to_its_part_whatever_that_is_called(scene):
    shots, compat, add = part("addon.shots"), part("addon.compat"), part("addon.shotlist").add
    left, right = sound(scene), cut(sound(scene), 20)
    add(scene, "Also left"), add(scene, "Right")
    first, same, second = scene.elocute.shots
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


@pytest.mark.parametrize("method", ["SOFT", "HARD"])
def test_the_part_behind_a_cut_says_what_its_file_has_there(scene, method):
    """After a hold split, the content of that part begins at the cut."""
    shots, compat = part("addon.shots"), part("addon.compat")
    (shot,) = scene.elocute.shots
    before = shots.voice(scene, shot)
    right = sound(scene).split(frame=20, split_method=method)
    shot.voice_strip = right.name
    after = shots.voice(scene, shot)
    assert compat.span(right) == (20, 35) == (after.first, after.last)
    assert (after.origin, after.shift) == (before.origin, before.shift) and before.origin == 11


@pytest.mark.parametrize("chosen", [0, 1])
def test_a_shot_that_lost_its_strip_to_a_cut_does_not_take_the_part_that_no_other_chose(scene, chosen):
    shots, strip = part("addon.shots"), sound(scene)
    strip.name = "Renamed"
    parts = strip, cut(strip, 20)
    part("addon.shotlist").add(scene, "Second")
    lost, second = scene.elocute.shots
    second.voice_strip = parts[chosen].name
    assert shots.voice_strip(scene, second) == parts[chosen] and shots.voice_strip(scene, lost) is None
    parts[chosen].name = "Renamed again"
    assert shots.voice_strip(scene, second) == parts[chosen] and shots.voice_strip(scene, lost) is None


def test_all_voices_speak_though_the_active_shot_has_a_head_with_keys(scene, voice):
    scene.elocute.shots[0].face_source = "KEYS"
    activate = add_sound(scene, voice, "Bert", 5, 60)
    for strip in part("addon.compat").all_strips(scene):
        strip.select = strip == activate
    bpy.ops.elocute.all_voices("EXEC_DEFAULT", use_active=True, render=False)
    made = scene.elocute.shots[1]
    assert made.face_source == "AUTO" and "head" not in str(part("addon.checks").first(scene, made))


def test_all_voices_are_one_step_to_undo(scene, voice):
    add_sound(scene, voice, "Bert", 5, 60)
    for strip in part("addon.compat").all_strips(scene):
        strip.select = True
    bpy.ops.ed.undo_push(message="before")
    assert bpy.ops.elocute.all_voices("EXEC_DEFAULT", True, use_active=True, render=False) == {"FINISHED"}
    assert len(bpy.context.scene.elocute.shots) == 2
    bpy.ops.ed.undo()
    assert [shot.name for shot in bpy.context.scene.elocute.shots] == ["Anna"]


def test_what_tells_the_names_of_strips_apart_is_in_their_shots_names(scene, voice):
    names = "sc010 v2.1", "sc010 v2.2", "Mr. Jones intro", "Bert.WAV"
    strips = [add_sound(scene, voice, name, channel, 60) for channel, name in enumerate(names, 5)]
    for strip in part("addon.compat").all_strips(scene):
        strip.select = strip in strips
    bpy.ops.elocute.all_voices("EXEC_DEFAULT", use_active=True, render=False)
    assert {shot.name for shot in scene.elocute.shots} == {"Anna", *names[:3], "Bert"}
    scene.sequence_editor.active_strip = add_sound(scene, voice, "sc010 v2.3", 10, 60)
    bpy.ops.elocute.shot_add()
    assert scene.elocute.shots[-1].name == "sc010 v2.3"


@pytest.fixture
def script():
    """scripts/render.py as a module."""
    spec = importlib.util.spec_from_file_location("render", EXAMPLES.parent / "scripts" / "render.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def farm(script, monkeypatch):
    """What scripts/render.py would render, without the engine: scene, shot and folder of each."""

    def run(*words):
        orders = []
        take = lambda _, scene, shot, order, of_all: orders.append((scene.name, shot.name, order.folder)) or True  # noqa: E731
        monkeypatch.setattr(script, "_render_one", take)
        assert script._render(script.Elocute(script._extension()), script._arguments(words, None)) == 0
        return orders

    return run


def test_a_farm_gives_every_shot_a_folder_of_its_own(scene, tmp_path, script, farm):
    for name in ("A/B", "A:B", "Anna", "anna", "anna"):
        part("addon.shotlist").add(scene, "Other")
        scene.elocute.shots[-1].name = name
    names = "Anna", "A_B", "A_B.001", "Anna.001", "anna.002", "anna.003"
    assert [folder for *_, folder in farm("--all", "--output", str(tmp_path))] == [tmp_path / name for name in names]
    for option in ("--output", "--movie"):  # one would be written over the other
        with pytest.raises(script.Refused, match=r"2 shots are called 'Anna'\. Rename one"):
            farm("--shot", "Anna", option, str(tmp_path / "out.mp4"))


def test_a_farm_renders_the_scene_of_the_sequencer_or_names_those_with_shots(scene, script, farm):
    other, workspace = bpy.data.scenes.new("Stage"), bpy.context.workspace
    apart = hasattr(workspace, "sequencer_scene")  # since 5.0
    with bpy.context.temp_override(scene=other):
        if apart:
            assert [of[:2] for of in farm()] == [("Scene", "Anna")]
            workspace.sequencer_scene = other
        with pytest.raises(script.Refused, match=r"'Stage' has no shots\. Name another with --scene: Scene,"):
            farm()
        assert [of[:2] for of in farm("--scene", "Scene")] == [("Scene", "Anna")]
        scene.elocute.shots.clear()
        with pytest.raises(script.Refused, match="'Stage' has no shots. Add one in the sidebar, or"):
            farm()


def test_a_farm_tells_once_that_drivers_are_blocked_and_can_allow_them(scene, tmp_path, script, capfd):
    """A head that they move stands still otherwise, and nothing fails."""
    text = "bpy.context.scene.frame_current * 0.5"
    bpy.data.objects["Cube"].driver_add("location", 0).driver.expression = text
    bpy.ops.wm.save_mainfile()
    printer = script._Printer(part("addon.task").Task("render", "Render", None))
    told = []
    for allowed, place in ((False, 0.0), (True, 7.0)):
        script._open(tmp_path / "shot.blend", allowed)
        bpy.context.scene.frame_set(14)
        assert bpy.data.objects["Cube"].location.x == place
        for _ in range(3):
            printer.tick()
        told += [line for line in capfd.readouterr().out.splitlines() if line.startswith("Warning: ")]
    bpy.ops.wm.open_mainfile(filepath=bpy.data.filepath, use_scripts=False)  # for the tests that follow
    (said,) = told
    assert f"Driver '{text}'" in said and ("-y" if bpy.app.binary_path else "--enable-autoexec") in said


def test_shots_that_differ_only_in_case_have_different_folders_on_every_system(scene):
    added = [part("addon.shotlist").add(scene, name).folder for name in ("Bert", "bert", "BERT")]
    assert added == [f"//elocute/{name}" for name in ("Bert", "bert_001", "BERT_002")]
    scene.elocute.shots[-1].folder = "//elocute/clara"
    assert part("addon.shotlist").add(scene, "Clara").folder == "//elocute/Clara.001"


def test_a_photo_that_a_mapping_names_and_nobody_has_is_told(scene, tmp_path, capfd):
    sound(scene).select = True
    before = scene.elocute.shots[0].portrait
    (tmp_path / "map.csv").write_text("Anna.001, nobody.jpg\n")
    assert bpy.ops.elocute.all_voices(mapping=str(tmp_path / "map.csv")) == {"CANCELLED"}
    assert str(tmp_path / "nobody.jpg") in capfd.readouterr().out
    assert scene.elocute.shots[0].portrait == before and not part("addon.tasks").tasks


def steps(scene, folder, rendered, whole=(11, 110), width=64):
    """What the steps of a render end with, of files that begin on frame 11."""
    folder.mkdir(exist_ok=True)
    for frame in range(rendered[0], rendered[1] + 1):
        header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + 2 * width.to_bytes(4, "big")
        (folder / f"{frame - 10:06d}.png").write_bytes(header)
    sequencer, shots = part("addon.sequencer"), part("addon.shots")
    ref, there = shots.ref(scene, scene.elocute.shots[0]), set(os.listdir(folder))
    return sequencer.show(ref, folder, there, 11, whole, rendered, whole)


def show(*args, **kwargs):
    """The same at once. The longest step, in seconds of this thread: a busy machine's other programs don't count."""
    going, longest = steps(*args, **kwargs), 0.0
    while True:
        began, going_on = time.thread_time(), next(going, going) is not going
        longest = max(longest, time.thread_time() - began)
        if not going_on:
            return longest


def images(scene):
    strips = part("addon.sequencer").strips_of(scene, scene.elocute.shots[0].uid)
    return sorted(strips, key=lambda strip: part("addon.compat").span(strip))


def pictures(strip):
    """Frame -> file that a strip shows there."""
    compat = part("addon.compat")
    first, last = compat.span(strip)
    start, files = round(compat.content_start(strip)), [element.filename for element in strip.elements]
    return {frame: files[min(max(frame - start, 0), len(files) - 1)] for frame in range(first, last + 1)}


def in_sync(first, last):
    return {frame: f"{frame - 10:06d}.png" for frame in range(first, last + 1)}


def test_a_strip_grows_with_its_frames_until_somebody_trims_it(scene, tmp_path):
    compat, folder = part("addon.compat"), tmp_path / "frames"
    show(scene, folder, (40, 60))
    assert pictures(*images(scene)) == in_sync(40, 60)
    show(scene, folder, (61, 70))
    assert pictures(*images(scene)) == in_sync(40, 70)
    show(scene, folder, (11, 110))
    assert pictures(*images(scene)) == in_sync(11, 110)

    compat.set_span(images(scene)[0], 20, 80)
    show(scene, folder, (11, 110))
    assert pictures(*images(scene)) == in_sync(20, 80)
    compat.set_content_start(images(scene)[0], 30)  # out of sync by 19 frames
    show(scene, folder, (11, 110))
    assert pictures(*images(scene)) == in_sync(20, 80)
    show(scene, folder, (15, 100), whole=(15, 100))  # the voice was trimmed at both ends
    assert pictures(*images(scene)) == in_sync(20, 80)


@pytest.mark.parametrize("within", [False, True])
def test_a_new_strip_goes_where_it_shows(scene, tmp_path, within):
    """In a meta strip, its channels are meant."""
    voice, owner = sound(scene), scene.sequence_editor
    if within:
        owner = part("addon.compat").strips(owner).new_meta("Meta", 8, 11)
        voice.move_to_meta(owner)
        scene.sequence_editor.channels[voice.channel + 3].mute = True
    free = voice.channel + 3
    owner.channels[free - 2].mute = owner.channels[free - 1].lock = True
    show(scene, tmp_path / "frames", (11, 35), (11, 35))
    assert images(scene)[0].channel == free
    for channel in owner.channels:
        channel.lock = True
    for strip in images(scene):
        strip.elocute.shot = ""  # not of this shot any more
    with pytest.raises(Exception, match="neither muted nor locked"):
        show(scene, tmp_path / "frames", (11, 35), (11, 35))


def test_the_parts_of_a_strip_that_was_cut_stay_where_they_are(scene, tmp_path):
    compat, folder = part("addon.compat"), tmp_path / "frames"
    show(scene, folder, (11, 110))
    cut(images(scene)[0], 50)
    before = [(strip.channel, compat.span(strip)) for strip in images(scene)]
    assert [span for _, span in before] == [(11, 49), (50, 110)]
    for whole, other in (((11, 110), "again"), ((11, 130), "longer"), ((15, 110), "later")):
        show(scene, tmp_path / other, whole, whole)
        assert [(strip.channel, compat.span(strip)) for strip in images(scene)] == before
        assert {strip.directory for strip in images(scene)} == {f"//{other}/"}
    left, right = images(scene)
    assert pictures(right) == in_sync(50, 110)
    assert pictures(left) == in_sync(11, 49) | {frame: "000005.png" for frame in range(11, 15)}, "the first is held"


def broken_off(monkeypatch, *args):
    """The same, stopped when every strip has got some of its files."""
    enough = 100 + max(len(strip.elements) for strip in images(args[0]))
    with monkeypatch.context() as patch:
        patch.setattr(part("addon.sequencer"), "SLICE_SECONDS", 0.0005)
        going = steps(*args)
        while min(len(strip.elements) for strip in images(args[0])) < enough:
            next(going)
        going.close()


def test_a_strip_that_stopped_growing_halfway_grows_with_the_next_render(scene, tmp_path, monkeypatch):
    folder, compat = tmp_path / "frames", part("addon.compat")
    show(scene, folder, (11, 110))
    broken_off(monkeypatch, scene, folder, (11, 5010), (11, 5010))
    assert 110 < compat.span(images(scene)[0])[1] < 5010
    show(scene, folder, (11, 5010), (11, 5010))
    assert pictures(*images(scene)) == in_sync(11, 5010)


def test_a_trimmed_or_cut_strip_stays_where_it_is_when_its_filling_is_stopped(scene, tmp_path, monkeypatch):
    compat, folder = part("addon.compat"), tmp_path / "frames"
    show(scene, folder, (11, 110))
    compat.set_span(images(scene)[0], 20, 80)
    broken_off(monkeypatch, scene, folder, (11, 5010), (11, 5010))
    assert compat.span(*images(scene)) == (20, 80)
    cut(images(scene)[0], 50)
    before = [(strip.channel, compat.span(strip)) for strip in images(scene)]
    broken_off(monkeypatch, scene, tmp_path / "other", (11, 9010), (11, 9010))
    assert [(strip.channel, compat.span(strip)) for strip in images(scene)] == before


def undone(monkeypatch, rounds, *args):
    """The steps of a render to their end, `rounds` times with an undo in the middle back to what was before; the scene
    that is left."""
    bpy.ops.ed.undo_push(message="before")
    with monkeypatch.context() as patch:
        patch.setattr(part("addon.sequencer"), "SLICE_SECONDS", 0.0005)
        going = steps(*args)
        for _ in range(rounds):
            for _ in range(12):  # slices, by far not all
                next(going)
            bpy.ops.ed.undo_push(message="halfway")
            bpy.ops.ed.undo()
        for _ in going:
            pass
    return bpy.context.scene


def test_undo_while_a_strip_grows_does_not_shorten_it(scene, tmp_path, monkeypatch):
    show(scene, tmp_path / "frames", (11, 110))
    scene = undone(monkeypatch, 2, scene, tmp_path / "frames", (11, 9010), (11, 9010))
    assert pictures(*images(scene)) == in_sync(11, 9010)


def test_undo_while_a_strip_gets_other_files_leaves_no_old_ones(scene, tmp_path, monkeypatch):
    """The voice was trimmed, so that as many files as before begin with another one; then that was taken back."""
    show(scene, tmp_path / "frames", (11, 9010), (11, 9010))
    scene = undone(monkeypatch, 1, scene, tmp_path / "frames", (31, 9030), (31, 9030))
    assert pictures(*images(scene)) == in_sync(31, 9030)
    scene = undone(monkeypatch, 1, scene, tmp_path / "other", (31, 9030), (31, 9030))
    assert pictures(*images(scene)) == in_sync(31, 9030) and images(scene)[0].directory == "//other/"


def test_undo_while_the_parts_of_a_strip_are_filled_leaves_none_as_it_was(scene, tmp_path, monkeypatch):
    compat = part("addon.compat")
    show(scene, tmp_path / "frames", (11, 110))
    cut(images(scene)[0], 50)
    bpy.ops.ed.undo_push(message="before")
    going = steps(scene, tmp_path / "other", (11, 3010), (11, 3010))
    while len(images(bpy.context.scene)[1].elements) < 500:  # the first is done
        next(going)
    bpy.ops.ed.undo_push(message="halfway")
    bpy.ops.ed.undo()
    for _ in going:
        pass
    strips = images(bpy.context.scene)
    assert [compat.span(strip) for strip in strips] == [(11, 49), (50, 110)]
    assert [pictures(strip) for strip in strips] == [in_sync(11, 49), in_sync(50, 110)]
    assert {(strip.directory, len(strip.elements)) for strip in strips} == {("//other/", 3000)}


def test_a_strip_that_undo_takes_away_while_it_is_filled_is_told(scene, tmp_path, monkeypatch):
    with pytest.raises(Exception) as caught:
        undone(monkeypatch, 1, scene, tmp_path / "frames", (11, 9010), (11, 9010))
    assert caught.value.code == "strip_gone"


def test_a_strip_that_is_changed_for_ever_ends_the_filling(scene, tmp_path, monkeypatch):
    sequencer = part("addon.sequencer")
    monkeypatch.setattr(sequencer, "SLICE_SECONDS", 0.0005)
    monkeypatch.setattr(sequencer, "BEGINNINGS", 20)
    with pytest.raises(Exception) as caught:
        for _ in steps(scene, tmp_path / "frames", (11, 9010), (11, 9010)):
            for strip in images(scene):
                strip.elements.append("another.png")
    assert caught.value.code == "strip_changed"


@pytest.fixture
def orders(monkeypatch):
    """What Render Again asks for, without the engine."""
    asked = []
    take = lambda operator, scene, shot, order: asked.append(order.frames) or {"FINISHED"}  # noqa: E731
    monkeypatch.setattr(part("addon.operators"), "queue_render", take)
    return asked


def render_again(scene, strip):
    scene.sequence_editor.active_strip = strip
    return bpy.ops.elocute.render_again()


def test_render_again_renders_the_files_that_a_strip_shows_wherever_it_is(scene, tmp_path, orders):
    compat = part("addon.compat")
    show(scene, tmp_path / "frames", (15, 34), (15, 34))  # files 5 to 24
    (strip,) = images(scene)
    compat.set_content_start(strip, 200)
    compat.set_span(strip, 203, 212)
    right = cut(strip, 208)
    compat.set_content_start(right, 500)  # shows from 508 on
    for each in (strip, right):
        render_again(scene, each)
    compat.set_span(right, 495, 530)  # beyond its content at both ends
    render_again(scene, right)
    assert orders == [(18, 22), (23, 27), (15, 34)]


def test_render_again_renders_the_files_of_a_part_that_a_hold_split_made(scene, tmp_path, orders):
    show(scene, tmp_path / "frames", (11, 35), (11, 35))
    right = images(scene)[0].split(frame=20, split_method="HARD")
    part("addon.compat").set_content_start(right, 220)
    render_again(scene, right)
    assert orders == [(20, 35)]


def test_a_strip_comes_back_to_its_voice_though_another_is_in_its_place(scene, tmp_path, voice):
    """Blender 4.5 looked for a place for ever."""
    compat, folder = part("addon.compat"), tmp_path / "frames"
    show(scene, folder, (11, 110))
    (strip,) = images(scene)
    channel = strip.channel
    compat.set_content_start(strip, 300)
    other = add_sound(scene, voice, "Other", channel, 20)
    there = compat.span(other)
    show(scene, folder, (11, 110))
    (strip,) = images(scene)
    assert compat.span(strip) == (11, 110) and strip.channel != channel
    assert compat.span(other) == there and other.channel == channel


def test_render_again_goes_with_a_voice_that_was_moved_together_with_its_strip(scene, tmp_path, orders):
    compat = part("addon.compat")
    show(scene, tmp_path / "frames", (11, 35), (11, 35))
    for strip in (sound(scene), *images(scene)):
        compat.set_content_start(strip, 111)
    render_again(scene, images(scene)[0])
    images(scene)[0].elocute.number = 0  # of an Elocute that didn't store it
    render_again(scene, images(scene)[0])
    assert orders == [(111, 135), (111, 135)]


def test_a_removed_shot_stays_removed_when_render_again_refuses(scene, tmp_path, voice, orders):
    show(scene, tmp_path / "frames", (11, 35), (11, 35))
    shotlist, shots = part("addon.shotlist"), scene.elocute.shots
    (strip,), data = images(scene), scene.elocute
    for name in ("Bert", "Clara"):
        shotlist.add(scene, name)
    data.active = 1
    voice.rename(tmp_path / "elsewhere.wav")
    with pytest.raises(RuntimeError, match="sound strip is missing"):
        render_again(scene, strip)
    assert (shots.keys(), data.active) == (["Anna", "Bert", "Clara"], 1)
    data.active = 0
    shotlist.remove(scene)
    data.active = 1
    with pytest.raises(RuntimeError, match="sound strip is missing"):
        render_again(scene, strip)
    job, strip.elocute.job = strip.elocute.job, "{"
    for operator in (bpy.ops.elocute.render_again, bpy.ops.elocute.open_shot):
        with pytest.raises(RuntimeError, match="does not say how it was made"):
            operator()
    assert (shots.keys(), data.active, orders) == (["Bert", "Clara"], 1, [])
    strip.elocute.job = job
    (tmp_path / "elsewhere.wav").rename(voice)
    assert render_again(scene, strip) == {"FINISHED"}
    assert (shots.keys(), data.active, orders) == (["Bert", "Clara", "Anna"], 2, [(11, 35)])


def test_frames_of_another_size_cover_as_much_of_the_picture(scene, tmp_path):
    show(scene, tmp_path / "frames", (11, 110))
    show(scene, tmp_path / "frames", (30, 90), width=128)
    (strip,) = images(scene)
    assert (strip.transform.scale_x, strip.transform.scale_y) == (0.5, 0.5)
    assert pictures(strip) == in_sync(30, 90), "not those of the old size"


def test_a_long_strip_is_filled_while_blender_goes_on(scene, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(1, 7501):
        (folder / f"{number:06d}.png").touch()
    # A step takes less than 0.05 s on an idle machine; caches shared with other programs may double that.
    assert show(scene, folder, (500, 500), whole=(11, 7510)) < 0.1
    assert pictures(*images(scene)) == in_sync(11, 7510)
    assert show(scene, folder, (500, 500), whole=(11, 110)) < 0.1
    assert len(images(scene)[0].elements) == 100


def test_panels_ask_for_a_file_once_a_second(scene, voice, monkeypatch):
    shots, checks, shot, now = part("addon.shots"), part("addon.checks"), scene.elocute.shots[0], [100.0]
    monkeypatch.setattr(shots.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(shots, "_seen", {})
    shown = SimpleNamespace(app=SimpleNamespace(background=False), path=bpy.path, data=bpy.data, types=bpy.types)
    monkeypatch.setattr(shots, "bpy", shown)
    assert not checks.first(scene, shot)
    voice.unlink()
    assert not checks.first(scene, shot)
    now[0] += 1.5
    assert "sound strip is missing" in checks.first(scene, shot)
    monkeypatch.setattr(shots, "bpy", bpy)  # without a window every answer is of now
    voice.touch()
    assert not checks.first(scene, shot)


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


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("", ""), ("python3.12", "python3.12"), ("bin/python", "{}/bin/python"), ("//python", "{}/python")],
)
def test_a_python_is_named_by_its_command_or_its_path(scene, tmp_path, monkeypatch, typed, meant):
    module = part("addon.preferences")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module.setup, "start_setup", lambda python, torch: python)
    preferences = bpy.context.preferences.addons[part("addon.engine").PACKAGE].preferences
    preferences.base_python = typed
    assert module.ELOCUTE_OT_setup_engine.start(None, preferences) == meant.format(tmp_path)
    preferences.base_python = ""
