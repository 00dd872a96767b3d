"""A sound strip becomes an image strip in sync with it, now and after saving and opening the file again."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from unittest.mock import Mock

import bpy
import pytest
from conftest import EXAMPLES, add_sound, bytes_of, changed, cut_voice, part, render

FRAMES = range(1, 26)  # of the strip, as the files are numbered


def images(scene):
    return [strip for strip in part("addon.compat").all_strips(scene) if strip.type == "IMAGE"]


def sound(scene):
    return next(strip for strip in part("addon.compat").all_strips(scene) if strip.type == "SOUND")


def activate(scene, strip):
    for other in part("addon.compat").all_strips(scene):
        other.select = other == strip
    scene.sequence_editor.active_strip = strip


def test_the_strip_is_above_the_sound_with_its_start_length_and_colours(scene, tmp_path):
    compat = part("addon.compat")
    scene.render.resolution_x = scene.render.resolution_y = 64
    scene.render.resolution_percentage = 100
    scene.render.image_settings.file_format = "PNG"
    render()
    files = sorted((tmp_path / "frames").glob("*.png"))
    assert [path.name for path in files] == [f"{number:06d}.png" for number in FRAMES]
    (strip,) = images(scene)
    assert strip.channel > sound(scene).channel and compat.span(strip) == compat.span(sound(scene)) == (11, 35)
    assert [element.filename for element in strip.elements] == [path.name for path in files]
    assert strip.directory == "//frames/" and json.loads(strip.elocute.job)["name"] == "Anna"

    for frame in (11, 20, 35):
        scene.frame_set(frame)
        scene.render.filepath = str(tmp_path / f"again{frame}.png")
        bpy.ops.render.render(write_still=True)
        shown, made = pixels(tmp_path / f"again{frame}.png"), pixels(files[frame - 11])
        assert max(abs(a - b) for a, b in zip(shown, made, strict=True)) < 0.5 / 255, f"colours change at {frame}"


def pixels(path):
    image = bpy.data.images.load(str(path))
    out = list(image.pixels)
    bpy.data.images.remove(image)
    return out


def test_it_can_be_rendered_again_after_saving_and_opening(scene, tmp_path):
    render()
    before = bytes_of(tmp_path / "frames")
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.read_homefile(use_factory_startup=True)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    scene = bpy.context.scene
    (strip,) = images(scene)
    activate(scene, strip)
    for number in (3, 4, 25):
        (tmp_path / "frames" / f"{number:06d}.png").unlink()
    kept = (tmp_path / "frames" / "000001.png").stat().st_mtime_ns
    assert bpy.ops.elocute.render_again() == {"FINISHED"}
    assert bytes_of(tmp_path / "frames") == before
    assert (tmp_path / "frames" / "000001.png").stat().st_mtime_ns == kept, "a finished frame was rendered again"
    assert len(images(scene)) == 1

    scene.elocute.shots.clear()
    assert bpy.ops.elocute.open_shot() == {"FINISHED"}
    (shot,) = scene.elocute.shots
    assert (shot.name, shot.size, shot.voice_strip, shot.portrait.name) == ("Anna", 64, "Anna.001", "portrait.jpg")


def test_a_range_goes_into_the_same_strip(scene, tmp_path):
    compat, shot = part("addon.compat"), scene.elocute.shots[0]
    render()
    before, span = bytes_of(tmp_path / "frames"), compat.span(images(scene)[0])
    shot.range, shot.frame_start, shot.frame_end, shot.expression = "CUSTOM", 20, 24, 0.0
    render()
    assert set(changed(before, bytes_of(tmp_path / "frames"))) <= set(range(10, 15))
    assert changed(before, bytes_of(tmp_path / "frames"))
    (strip,) = images(scene)
    assert compat.span(strip) == span and len(strip.elements) == 25
    assert {path.name for path in (tmp_path / "frames" / "job").iterdir()} == {"curves.json", "shot.json"}


def test_the_same_shot_makes_the_same_bytes_in_another_folder(scene, tmp_path):
    render()
    scene.elocute.shots[0].folder = "//other"
    render()
    assert not changed(bytes_of(tmp_path / "frames"), bytes_of(tmp_path / "other"))


@pytest.mark.parametrize(("fps", "base"), [(24, 1.001), (30, 1.0), (50, 1.0)])
def test_other_frame_rates_stay_in_sync(scene, tmp_path, voice, fps, base):
    compat, strips = part("addon.compat"), part("addon.compat").strips(scene.sequence_editor)
    strips.remove(sound(scene))
    scene.render.fps, scene.render.fps_base = fps, base
    add_sound(scene, voice, "Anna.001", 2, 11)
    render()
    (strip,) = images(scene)
    assert compat.span(strip) == compat.span(sound(scene))
    assert abs(len(list((tmp_path / "frames").glob("*.png"))) - fps / base) <= 1


@pytest.mark.parametrize(("fps", "base"), [(300, 1.0), (1, 2.0)])
def test_a_frame_rate_of_no_film_is_told_and_the_panel_still_draws(scene, fps, base):
    shot = scene.elocute.shots[0]
    assert part("addon.checks").first(scene, shot) == ""
    scene.render.fps, scene.render.fps_base = fps, base
    why = part("addon.checks").first(scene, shot)
    assert why.startswith("The scene has ") and "--" not in why
    layout = Mock()
    part("addon.panels").Voice().show(None, layout, scene, shot)
    assert layout.label.call_args.kwargs["text"].endswith(f"{fps / base:g} fps")


def test_the_framing_of_a_photo_goes_to_the_engine_and_that_of_others_does_not(scene, tmp_path):
    shot = scene.elocute.shots[0]
    shot.framing = 2.1
    render()
    job = json.loads((tmp_path / "frames" / "job" / "shot.json").read_text())
    assert job["framing"] == 2.1
    shots = part("addon.shots")
    shot.model_set = "nerffacespeech"
    assert shots.framing(shot) == 1.7
    shot.model_set, shot.portrait_source = "embedded", "RANDOM"
    assert shots.framing(shot) == 1.7


def test_each_shot_has_a_variation_of_its_own(scene):
    """Two people in one film don't blink together."""
    shotlist = part("addon.shotlist")
    other = bpy.data.scenes.new("Other")
    shots = [scene.elocute.shots[0], shotlist.add(scene, "Grace"), shotlist.add(other, "Anna")]
    assert [shot.variation for shot in shots] == [0, 1, 2]
    scene.elocute.active = 0
    shotlist.remove(scene)
    assert shotlist.add(scene, "Ada").variation == 0


def test_a_shot_that_a_strip_tells_wrongly_leaves_no_half_of_it(scene):
    shotlist = part("addon.shotlist")
    shotlist.add(scene, "Grace")
    scene.elocute.active = 0
    strip = sound(scene).elocute
    shotlist.store(scene.elocute.shots[0], strip)
    told = json.loads(strip.job)
    for wrong in ({"size": "big"}, {"motion": "NEVER"}, {"color": [1]}):
        strip.job = json.dumps({**told, **wrong})
        with pytest.raises(Exception) as caught:
            shotlist.restore(scene, strip)
        assert caught.value.code == "job_unreadable"
        assert scene.elocute.shots.keys() == ["Anna", "Grace"] and scene.elocute.active == 0
    strip.job = json.dumps(told)
    assert shotlist.restore(scene, strip).name == "Anna.001"


def test_a_missing_sound_and_a_portrait_without_a_face_are_told(scene, tmp_path, voice):
    shot = scene.elocute.shots[0]
    empty = bpy.data.images.new("Nobody", 256, 256)
    shot.portrait = empty
    task = render("failed")
    assert task.code == "no_face" and len(task.message) > 20 and not images(scene)
    voice.unlink()
    with pytest.raises(RuntimeError, match="sound"):
        bpy.ops.elocute.render()


def test_all_voices_are_rendered_and_a_failing_one_stops_no_other(scene, tmp_path):
    shot = scene.elocute.shots[0]
    folder = tmp_path / "portraits"
    folder.mkdir()
    (folder / "bert.jpg").write_bytes((EXAMPLES / "portrait.jpg").read_bytes())
    (folder / "clara.jpg").write_bytes(b"no picture at all")
    strips = [sound(scene)]
    for index, name in enumerate(("clara_01", "bert_01")):
        path = cut_voice(tmp_path / f"{name}.wav", 0.5 + index, 0.4)
        strips.append(add_sound(scene, path, name, 5 + index, 60 * (index + 1)))
    for strip in part("addon.compat").all_strips(scene):
        strip.select = strip.type == "SOUND"
    scene.sequence_editor.active_strip = strips[0]
    shot.size = 64
    bpy.ops.elocute.all_voices(folder=str(folder), use_active=True)
    states = {task.title: task.state for task in part("addon.tasks").tasks}
    assert sorted(states.values()) == ["done", "done", "failed"], states
    variations = [shot.variation for shot in scene.elocute.shots]
    assert len(set(variations)) == len(variations) == 3, "nobody blinks with another"
    assert {strip.name.partition(".")[0] for strip in images(scene)} == {"Anna", "bert_01"} or len(images(scene)) == 2


def test_an_iphone_s_photo_that_blender_cannot_show_speaks(scene, tmp_path):
    shot, photo = scene.elocute.shots[0], tmp_path / "IMG_0001.HEIC"
    convert = "import sys; from PIL import Image; from pillow_heif import register_heif_opener as r; r(); "
    convert += "Image.open(sys.argv[1]).save(sys.argv[2], format='HEIF')"
    names = (str(EXAMPLES / "portrait.jpg"), str(photo))
    subprocess.run([os.environ["ELOCUTE_PYTHON"], "-c", convert, *names], check=True)
    shot.portrait = bpy.data.images.load(str(photo))
    assert not shot.portrait.has_data
    render()
    assert len(bytes_of(tmp_path / "frames")) == len(FRAMES)


def test_scenes_hold_different_shots(scene, tmp_path, voice):
    other = bpy.data.scenes.new("Second")
    other.render.fps = 25
    add_sound(other, voice, "Bert.001", 1, 1)
    second = part("addon.shotlist").add(other, "Bert")
    second.portrait_source, second.identity, second.voice_strip, second.size = "RANDOM", 3, "Bert.001", 64
    assert Path(second.folder) != Path(scene.elocute.shots[0].folder)
    window = bpy.context.window_manager.windows[0]
    window.scene = other
    with bpy.context.temp_override(window=window, scene=other):
        render()
    assert len(images(other)) == 1 and not images(scene)
    assert images(other)[0].directory != "//frames/"


def test_transparent_and_coloured_backgrounds(scene, tmp_path):
    shot = scene.elocute.shots[0]
    shot.range, shot.frame_start, shot.frame_end, shot.background = "CUSTOM", 11, 11, "TRANSPARENT"
    render()
    image = pixels(tmp_path / "frames" / "000001.png")
    alphas = image[3::4]
    assert min(alphas) == 0.0 and max(alphas) == 1.0
    shot.background, shot.color = "COLOR", (1.0, 0.0, 1.0)
    render()
    corner = pixels(tmp_path / "frames" / "000001.png")[-4:]  # of the last row: the top right
    assert [round(value, 2) for value in corner] == [1.0, 0.0, 1.0, 1.0]


def test_a_portrait_that_was_painted_and_not_saved_is_used_as_it_is(scene, tmp_path):
    shots, shot = part("addon.shots"), scene.elocute.shots[0]
    painted = bpy.data.images.new("Painted", 8, 8)
    painted.pixels = [1, 0, 0, 1] * 64
    painted.update()
    edited = bpy.data.images.load(str(EXAMPLES / "portrait.jpg"))
    edited.pixels[:4] = [0, 0, 1, 1]
    edited.update()
    for image, wanted in ((painted, [1, 0, 0, 1]), (edited, [0, 0, 1, 1])):
        shot.portrait, count = image, len(bpy.data.images)
        found = Path(shots.portrait(shot, tmp_path / "job"))
        assert image.is_dirty and len(bpy.data.images) == count and found.parent == tmp_path / "job"
        kept = found.stat().st_mtime_ns
        assert pixels(found)[:4] == pytest.approx(wanted, abs=0.01)
        assert len(pixels(found)) == 4 * image.size[0] * image.size[1]
        assert Path(shots.portrait(shot, tmp_path / "job")) == found and found.stat().st_mtime_ns == kept


def test_a_renamed_voice_gives_its_shot_to_no_strip_that_takes_its_name(scene, voice):
    shots, shot, mine = part("addon.shots"), scene.elocute.shots[0], sound(scene)
    mine.name = "Anna take 1"
    other = add_sound(scene, voice, "Anna.001", 4, 200)
    assert other.name == shot.voice_strip == "Anna.001"
    assert shots.voice_strip(scene, shot) == mine
    ben = part("addon.shotlist").add(scene, "Ben")
    ben.voice_strip = "Anna.001"
    shot = scene.elocute.shots[0]
    assert (shots.voice_strip(scene, shot), shots.voice_strip(scene, ben)) == (mine, other)
    layout = Mock()
    part("addon.panels").Voice().show(bpy.context, layout, scene, shot)
    assert "Anna take 1" in layout.column().label.call_args_list[0].kwargs["text"]


def test_another_shot_s_choice_of_a_part_leaves_a_voice_its_id(scene):
    """By which Speech to Keys knows what it wrote before."""
    shots, shot, left = part("addon.shots"), scene.elocute.shots[0], sound(scene)
    known = shot.voice_id
    right = left.split(frame=20, split_method="SOFT")
    ben = part("addon.shotlist").add(scene, "Ben")
    ben.voice_strip = right.name
    shot = scene.elocute.shots[0]
    assert shot.voice_id == known == left.elocute.voice_id != ben.voice_id
    assert (shots.voice_strip(scene, shot), shots.voice_strip(scene, ben)) == (left, right)


def test_a_voice_that_was_removed_is_found_again_by_its_name(scene, voice):
    part("addon.compat").strips(scene.sequence_editor).remove(sound(scene))
    other = add_sound(scene, voice, "Anna.001", 4, 200)
    assert part("addon.shots").voice_strip(scene, scene.elocute.shots[0]) == other


def test_a_new_shot_takes_no_folder_that_is_there(scene, tmp_path):
    """Another .blend file beside this one may have made it, or a shot that was removed."""
    (tmp_path / "elocute" / "Bert").mkdir(parents=True)
    assert part("addon.shotlist").add(scene, "Bert").folder == "//elocute/Bert.001"
    assert part("addon.shotlist").add(scene, "Carl").folder == "//elocute/Carl"


def test_a_head_or_camera_that_was_deleted_is_told(scene):
    checks, shot = part("addon.checks"), scene.elocute.shots[0]
    shot.motion, shot.head, shot.camera = "OBJECTS", bpy.data.objects["Cube"], bpy.data.objects["Camera"]
    assert checks.first(scene, shot) == ""
    for name in ("Camera", "Cube"):
        scene.collection.children[0].objects.unlink(bpy.data.objects[name])
        why = checks.first(scene, shot)
        assert name in why and "was deleted" in why
    with pytest.raises(part("core.elocute.errors").BadInput, match="was deleted"):
        list(part("addon.sampling").sample(part("addon.shots").ref(scene, shot), range(1, 3)))


def test_a_face_that_went_with_its_head_is_the_voices_again(scene):
    """With motion from the voice, nothing needs the head."""
    shots, shot = part("addon.shots"), scene.elocute.shots[0]
    head = shot.head = bpy.data.objects["Cube"]
    head.shape_key_add(name="Basis")
    jaw = head.shape_key_add(name="jawOpen")
    jaw.keyframe_insert("value", frame=1)
    assert shots.face_from_keys(shot)
    head.users_collection[0].objects.unlink(head)
    assert not shots.face_from_keys(shot) and part("addon.checks").first(scene, shot) == ""
    assert "Add a head" in part("addon.head_operators").ELOCUTE_OT_speech_to_keys.missing(scene, shot)
    assert list(part("addon.sampling").sample(shots.ref(scene, shot), range(1, 3)))
    shot.face_source = "KEYS"
    assert "was deleted" in part("addon.checks").first(scene, shot)


def test_reading_the_scene_keeps_what_is_posed_and_not_keyed(scene):
    """As Blender's own rendering does; the shot gets what is keyed."""
    shot, head = scene.elocute.shots[0], bpy.data.objects["Cube"]
    shot.motion, shot.head, shot.camera = "OBJECTS", head, bpy.data.objects["Camera"]
    head.shape_key_add(name="Basis")
    jaw = head.shape_key_add(name="jawOpen")
    head["mood"] = 1.0
    empty = bpy.data.objects.new("Image", None)
    empty.empty_display_type, empty.data = "IMAGE", shot.portrait
    scene.collection.objects.link(empty)
    for owner, path in ((head, "rotation_euler"), (head, "hide_render"), (head, '["mood"]'), (jaw, "value"),
                        (shot.camera.data, "lens"), (scene, "elocute.shots[0].blinks")):  # fmt: skip
        assert owner.keyframe_insert(path, frame=12)
    scene.frame_set(12)
    keyed = list(part("addon.sampling").sample(part("addon.shots").ref(scene, shot), range(12, 14)))[-1]
    head.rotation_euler[2], head.hide_render, head["mood"] = 0.5, True, 3.0
    jaw.value, shot.camera.data.lens, shot.blinks = 0.75, 33.0, 0.25
    again = list(part("addon.sampling").sample(part("addon.shots").ref(scene, shot), range(12, 14)))[-1]
    assert again == keyed and scene.frame_current == 12
    assert (head.rotation_euler[2], head.hide_render, head["mood"]) == (0.5, True, 3.0)
    assert (jaw.value, shot.camera.data.lens, shot.blinks) == (0.75, 33.0, 0.25)


def test_sliders_in_the_nla_follow_their_shot_when_one_before_it_is_removed(scene):
    shotlist = part("addon.shotlist")
    for name in ("Bert", "Carl"):
        shotlist.add(scene, name)
    scene.elocute.shots[2].keyframe_insert("blinks", frame=1)
    animation = scene.animation_data
    action = animation.action
    animation.nla_tracks.new().strips.new("sliders", 1, action)
    animation.action = None
    scene.elocute.active = 0
    shotlist.remove(scene)
    curves = part("addon.compat").Curves(action, scene)
    assert [curve.data_path for curve in curves] == ["elocute.shots[1].blinks"]


def test_a_job_is_of_its_own_file_and_scene_and_of_no_copy_of_them(scene, tmp_path):
    """Versions of a file, and full copies of a scene, have shots of the same id."""
    own, copy, shots = tmp_path / "shot.blend", tmp_path / "v2.blend", part("addon.shots")
    bpy.ops.wm.save_as_mainfile(filepath=str(copy))
    assert shots.ref(scene, scene.elocute.shots[0]).find()[0] == scene
    bpy.ops.wm.save_as_mainfile(filepath=str(own))
    ref = shots.ref(scene, scene.elocute.shots[0])
    scene.name = "Renamed"
    assert ref.find()[0] == scene
    bpy.ops.wm.open_mainfile(filepath=str(copy))
    with pytest.raises(shots.BadInput, match="Anna is not in this file"):
        ref.find()
    bpy.ops.wm.open_mainfile(filepath=str(own))
    assert ref.find()[1].name == "Anna"
    ref = shots.ref(bpy.context.scene, bpy.context.scene.elocute.shots[0])
    bpy.ops.scene.new(type="FULL_COPY")
    bpy.context.scene.name, ref.find()[0].name = ref.scene, "Other"
    assert ref.find()[0].name == "Other"


def test_a_job_knows_its_file_under_another_name_and_its_shot_is_being_rendered(scene, tmp_path):
    shots, operators, task = part("addon.shots"), part("addon.operators"), part("addon.task")
    ref = shots.ref(scene, scene.elocute.shots[0])
    running = task.Task("render", "Render", None, {"ref": ref})
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "v2.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "v2.blend"))
    assert ref.find()[1].name == "Anna"
    assert operators.is_rendering(bpy.context.scene.elocute.shots[0], running)
    bpy.ops.scene.new(type="FULL_COPY")
    assert not operators.is_rendering(bpy.context.scene.elocute.shots[0], running)


def test_a_sound_file_is_found_again_when_the_file_is_saved_elsewhere(scene, tmp_path):
    """By the shot and by the strip that has it as text; not where the sound was brought along."""
    shot, there = scene.elocute.shots[0], tmp_path / "other" / "shot.blend"
    there.parent.mkdir()
    shot.voice_source, shot.voice_file = "FILE", "//voice.wav"
    strip = sound(scene)
    part("addon.shotlist").store(shot, strip.elocute)
    bpy.ops.wm.save_as_mainfile(filepath=str(there), copy=True)
    assert shot.voice_file == json.loads(strip.elocute.job)["voice_file"] == "//voice.wav"
    bpy.ops.wm.save_as_mainfile(filepath=str(there))
    assert part("addon.shots").voice(scene, shot).path == tmp_path / "voice.wav"
    bpy.ops.wm.open_mainfile(filepath=str(there))
    scene = bpy.context.scene
    for named in (scene.elocute.shots[0].voice_file, json.loads(sound(scene).elocute.job)["voice_file"]):
        assert named == "//../voice.wav"
    scene.elocute.shots[0].voice_file = "//voice.wav"
    shutil.copy(tmp_path / "voice.wav", there.parent)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert scene.elocute.shots[0].voice_file == "//voice.wav"


def test_a_retimed_voice_is_told(scene):
    """Refused at once where Blender says that it is one, else by its length."""
    window, strip = bpy.context.window_manager.windows[0], sound(scene)
    area = window.screen.areas[0]
    area.type = "SEQUENCE_EDITOR"
    activate(scene, strip)
    region = next(region for region in area.regions if region.type == "WINDOW")
    with bpy.context.temp_override(window=window, area=area, region=region):
        bpy.ops.sequencer.retiming_segment_speed_set(speed=50)
        first = part("addon.checks").first(scene, scene.elocute.shots[0])
        if part("addon.compat").is_retimed(strip) is None:
            told = render().warnings[0]
            assert not first and re.match("The sound strip is (49|51) frames long and its file 25", told)
        else:
            assert "retimed" in first
        bpy.ops.sequencer.retiming_reset()
        bpy.ops.sequencer.split(frame=20, channel=strip.channel, type="HARD", side="RIGHT", ignore_selection=True)
    assert render().warnings == []


def test_a_head_or_camera_that_cannot_be_used_is_told_before_anything_starts(scene):
    """A scene's camera may be any object, and a mirrored camera sees nothing that a lens could."""
    sampling, checks, shot = part("addon.sampling"), part("addon.checks"), scene.elocute.shots[0]
    head, camera = bpy.data.objects["Cube"], bpy.data.objects["Camera"]
    shot.motion, shot.head = "OBJECTS", head

    def refused():
        bpy.context.view_layer.update()
        with pytest.raises(sampling.BadInput) as error:
            sampling.look(bpy.context.evaluated_depsgraph_get(), head, shot.camera or scene.camera)
        return error.value.code

    for blind in (bpy.data.objects.new("Empty", None), bpy.data.objects["Light"]):
        if blind.name not in scene.collection.all_objects:
            scene.collection.objects.link(blind)
        scene.camera = blind
        assert f"{blind.name} is not a perspective camera" in checks.first(scene, shot) and refused() == "camera_type"
    scene.camera = camera
    assert checks.first(scene, shot) == ""
    camera.scale.x = -1
    assert refused() == "camera_mirrored"
    camera.scale.x, head.scale.y = 2, -1
    assert refused() == "head_mirrored"


@pytest.mark.parametrize("remapped", [100, 200])
@pytest.mark.parametrize(("frame", "subframe"), [(-7, 0.25), (-7, 0.0), (3, 0.5)])
def test_the_playhead_is_put_back_between_frames_too(scene, frame, subframe, remapped):
    shot = scene.elocute.shots[0]
    scene.render.frame_map_new = remapped
    shot.keyframe_insert("expression", frame=1)
    scene.frame_set(frame, subframe=subframe)
    *_, samples = part("addon.sampling").sample(part("addon.shots").ref(scene, shot), range(1, 4))
    assert len(samples.amounts) == 3
    assert scene.frame_current_final == pytest.approx((frame + subframe) * 100 / remapped)
