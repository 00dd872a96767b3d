"""Jobs end as they should whatever happens to them: stopped, killed, another file, a broken engine."""

import json
import os
import signal
import time
from array import array
from pathlib import Path

import bpy
import pytest
from conftest import bytes_of, part, render

MODULE = "bl_ext.user_default.elocute"


def queued(scene, **order):
    """A task that renders the first shot, put into the queue."""
    rendering, ref = part("addon.rendering"), part("addon.shots").ref(scene, scene.elocute.shots[0])
    steps = lambda task: rendering.render(ref, rendering.Order(**order), task)  # noqa: E731
    return part("addon.tasks").add(part("addon.task").Task("render", "Render", steps))


def begin(scene, ready=lambda task: len(task.frames) >= 3):
    """Start rendering as a window does, with the queue turned by hand, until some frames are there."""
    task = queued(scene)
    turn(lambda: ready(task) or task.over)
    return task


def turn(until, seconds=300.0):
    """Turn the queue as the timer does. The longest turn, in seconds of this thread, which other programs of a busy
    machine don't lengthen, and of the clock, which tells when it waits."""
    tasks, end, worked, waited = part("addon.tasks"), time.monotonic() + seconds, 0.0, 0.0
    while not until():
        assert time.monotonic() < end, f"it did not come: {tasks.tasks}"
        began, began_work = time.monotonic(), time.thread_time()
        tasks.pump()
        worked, waited = max(worked, time.thread_time() - began_work), max(waited, time.monotonic() - began)
        time.sleep(0.005)
    return worked, waited


def gone(pid):
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


def test_published_models_hear_a_voice_that_nobody_edits(scene, tmp_path):
    """And the failure, of weights that nobody has imported here, has a button."""
    shot = scene.elocute.shots[0]
    shot.model_set, shot.motion = "nerffacespeech", "STILL"
    for shot.expression, edited in ((1.0, False), (0.8, True), (1.0, False)):
        task = render("failed")
        assert task.code == "model_not_imported" and part("addon.checks").fix_of(task.code).fix, task.message
        guide = part("addon.engine").WEIGHTS
        assert str(guide) in task.message and "`elocute" not in task.message, "set-up makes no such command"
        assert "elocute models import" in guide.read_text(encoding="utf-8")
        job = json.loads((tmp_path / "frames" / "job" / "shot.json").read_text())
        assert ("curves" in job) == edited and job["voice"].endswith("voice.wav")


@pytest.fixture
def long_shot(scene):
    scene.elocute.shots[0].size = 512  # slow enough to be caught in the middle
    return scene


def timed(steps):
    """Seconds of this thread's work for each step of a task, the last one too, and what the task returns."""
    lengths = []
    while True:
        began = time.thread_time()
        try:
            next(steps)
        except StopIteration as end:
            return [*lengths, time.thread_time() - began], end.value
        lengths.append(time.thread_time() - began)


def test_the_main_thread_is_never_kept(scene):
    task = begin(scene, lambda task: False)
    assert task.state == "done", task.message
    scene.elocute.shots[0].folder = "//again"
    task = queued(scene)
    worked, waited = turn(lambda: task.over)
    assert worked < 0.05 and waited < 1.0


@pytest.mark.parametrize("objects", [True, False])
def test_the_main_thread_is_not_kept_by_a_long_voice(scene, tmp_path, objects):
    """Five minutes, of which one frame is wanted where the head is an object, else all."""
    rendering, shot, last = part("addon.rendering"), scene.elocute.shots[0], 7510
    if objects:
        shot.motion, shot.head, shot.camera = "OBJECTS", bpy.data.objects["Cube"], bpy.data.objects["Camera"]
    chosen = (500, 500) if objects else (11, last)
    plan = rendering.Plan(None, 11, (11, last), (11, last), chosen, 25, False)
    said = {name: array("d", [0.5]) * 7500 for name in part("core.elocute.units").ARKIT_NAMES}
    ref = part("addon.shots").ref(scene, shot)
    steps = rendering.write_drive(ref, plan, said, tmp_path, part("addon.task").Task("render", "Render", None))
    lengths, value = timed(steps)
    assert max(lengths) < 0.05
    drive = {name: json.loads(Path(path).read_text()) for name, path in value.items()}
    assert len(drive["curves"]["values"]) == chosen[1] - 10
    assert drive.keys() == ({"curves", "poses"} if objects else {"curves"})
    if objects:
        assert {len(drive["poses"][name]) for name in ("head_to_camera", "fov_y_deg", "shift")} == {7500}


def test_the_main_thread_is_not_kept_by_looking_for_many_files(tmp_path):
    count = 30_000
    for number in range(1, count + 1):
        os.close(os.open(tmp_path / f"{number:06d}.png", os.O_CREAT))
    (tmp_path / "job").mkdir()
    steps = part("addon.rendering").finished(tmp_path, (2, count))
    lengths, value = timed(steps)
    assert max(lengths) < 0.05 and len(lengths) > 10
    files, there = value
    assert files == [str(tmp_path / f"{number:06d}.png") for number in range(2, count + 1)]
    assert there == set(os.listdir(tmp_path))
    os.remove(files[-1])
    with pytest.raises(Exception, match=r"2 frames are missing, 030000\.png first"):
        for _ in part("addon.rendering").finished(tmp_path, (1, count + 1)):
            pass


@pytest.mark.parametrize(("name", "told"), [("out.avi", "can't make a .avi"), ("file/out.mp4", "not a folder")])
def test_a_video_that_cannot_be_written_is_told_before_any_frame(scene, tmp_path, name, told):
    (tmp_path / "file").touch()
    task = queued(scene, movie=tmp_path / name)
    assert part("addon.tasks").run(task).state == "failed" and told in task.message, task.message
    assert not bytes_of(tmp_path / "frames")


@pytest.mark.parametrize(
    ("views", "view"), [(("Standard",), "Standard"), (("No", "Raw"), "Raw"), (("No", "Neither"), "AgX")]
)
def test_colors_are_kept_by_the_views_that_the_configuration_has(scene, monkeypatch, views, view):
    """A studio's has no Standard."""
    monkeypatch.setattr(part("addon.sequencer"), "NEUTRAL", views)
    for keep, shown in ((False, "AgX"), (True, view)):
        scene.elocute.shots[0].keep_colors = keep
        told = [warning for warning in render().warnings if "Keep Colors" in warning]
        assert scene.view_settings.view_transform == shown
        assert len(told) == (keep and view == "AgX") and all("No nor Neither" in warning for warning in told)


def test_a_packed_preview_shows_the_next_frame_and_a_saved_file_has_its_own(scene, tmp_path):
    preview, paths = part("addon.preview"), [tmp_path / f"{name}.png" for name in ("dark", "bright", "grey")]
    for path, value in zip(paths, (0.2, 0.8, 0.4), strict=True):
        picture = bpy.data.images.new("Made", 2, 2)
        picture.pixels = [value, value, value, 1.0] * 4
        picture.save(filepath=str(path))
    preview.show(paths[0])
    bpy.data.images[preview.IMAGE].pack()  # as Automatically Pack Resources does
    preview.show(paths[1])
    image = bpy.data.images[preview.IMAGE]
    assert image.pixels[0] == pytest.approx(0.8, abs=0.01)
    image.use_fake_user = True  # as an Image Editor that shows it
    bpy.ops.wm.save_mainfile()
    paths[1].unlink()
    bpy.ops.wm.open_mainfile(filepath=bpy.data.filepath)
    image = bpy.data.images[preview.IMAGE]
    assert image.pixels[0] == pytest.approx(0.8, abs=0.01), "what it showed, though the session's folder is gone"
    preview.show(paths[2])
    assert image.pixels[0] == pytest.approx(0.4, abs=0.01)


def test_cancel_keeps_finished_frames_and_rendering_goes_on_from_there(long_shot, tmp_path):
    task = begin(long_shot)
    part("addon.tasks").cancel(task)
    began = time.monotonic()
    turn(lambda: task.over)
    assert task.state == "cancelled" and time.monotonic() - began < 5
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "frames").glob("*.png")}
    assert 3 <= len(kept) < 25
    render()
    assert len(bytes_of(tmp_path / "frames")) == 25
    assert all(path.stat().st_mtime_ns == time_then for path, time_then in kept.items())


def test_a_killed_engine_is_told_and_the_next_job_starts_a_new_one(long_shot, tmp_path):
    task = begin(long_shot)
    os.kill(part("addon.tasks").worker.pid, signal.SIGKILL)
    turn(lambda: task.over)
    assert task.state == "failed" and task.code == "engine_ended" and "again" in task.message
    render()
    assert len(bytes_of(tmp_path / "frames")) == 25


def test_another_file_is_opened_while_it_renders(long_shot, tmp_path):
    bpy.ops.wm.save_mainfile()
    task = begin(long_shot)
    bpy.ops.wm.read_homefile(use_factory_startup=True)
    turn(lambda: task.over)
    assert task.over and len(bytes_of(tmp_path / "frames")) >= 3
    assert not bpy.context.scene.elocute.shots and not part("addon.compat").all_strips(bpy.context.scene)


def test_disabling_ends_the_engine(long_shot):
    begin(long_shot)
    pid = part("addon.tasks").worker.pid
    bpy.ops.preferences.addon_disable(module=MODULE)
    end = time.monotonic() + 5
    while not gone(pid):
        assert time.monotonic() < end, "the engine was left behind"
        time.sleep(0.05)
    bpy.ops.preferences.addon_enable(module=MODULE)


def test_an_engine_that_cannot_start_is_told(scene, tmp_path, monkeypatch):
    part("addon.tasks").stop_engine()
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'no engine here' >&2\nexit 9\n")
    broken.chmod(0o755)
    monkeypatch.setenv("ELOCUTE_PYTHON", str(broken))
    task = render("failed")
    assert "no engine here" in task.message
    monkeypatch.setenv("ELOCUTE_PYTHON", str(tmp_path / "nothing"))
    with pytest.raises(RuntimeError, match="nothing"):
        bpy.ops.elocute.render()


def test_parts_of_a_shot_are_written_at_the_same_time_and_none_reads_another_s(scene, tmp_path):
    """As the machines of a farm do: each has got its curves ready before the first one's engine reads them."""
    rendering, ref = part("addon.rendering"), part("addon.shots").ref(scene, scene.elocute.shots[0])
    render()  # after that the voice is known
    job, told = tmp_path / "frames" / "job", []
    for frames in ((11, 15), (20, 22), None):
        task = part("addon.task").Task("render", "Render", None)
        steps = rendering.render(ref, rendering.Order(frames=frames, strip=False), task)
        asked = next(step for step in steps if step is not None and step.job == "speak")
        told.append(asked.settings)
    assert len({settings["curves"] for settings in told}) == 3
    lengths = [len(json.loads(Path(settings["curves"]).read_text())["values"]) for settings in told]
    assert lengths == [5, 12, 25]
    assert {path.name for path in job.iterdir()} == {
        f"{name}{part}.json" for name in ("curves", "shot") for part in ("", "-000001-000005", "-000010-000012")
    }
