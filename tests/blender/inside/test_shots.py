"""A sound strip becomes an image strip in sync with it, now and after saving and opening the file again."""

import json
import os
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
    told = json.loads(shotlist.store(scene.elocute.shots[0]))
    for wrong in ({"size": "big"}, {"motion": "NEVER"}, {"color": [1]}):
        with pytest.raises(Exception) as caught:
            shotlist.restore(scene, json.dumps({**told, **wrong}))
        assert caught.value.code == "job_unreadable"
        assert scene.elocute.shots.keys() == ["Anna", "Grace"] and scene.elocute.active == 0
    assert shotlist.restore(scene, json.dumps(told)).name == "Anna.001"


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
