"""Blender with a window: what is seen, clicked and stopped. Each picture is kept, and is worth a look."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE = "bl_ext.user_default.elocute"
EXAMPLES = ROOT / "examples"
pytestmark = [pytest.mark.slow]

HELPERS = f"""
import sys
from pathlib import Path
MODULE = {MODULE!r}
def part(name):
    import importlib
    return importlib.import_module(MODULE + "." + name)
def window(): return bpy.context.window_manager.windows[0]
def area(kind): return next(area for area in window().screen.areas if area.type == kind)
def region(kind, which): return next(region for region in area(kind).regions if region.type == which)
def box(found, owner=None):
    owner = owner or window()
    return [owner.x + found.x, SCREEN - (owner.y + found.y + found.height), found.width, found.height]
def tasks(): return part("addon.tasks").tasks
def task(): return tasks()[-1] if tasks() else None
def sequencer(): return bpy.context.temp_override(
    window=window(), area=area("SEQUENCE_EDITOR"), region=region("SEQUENCE_EDITOR", "WINDOW"))
def choose(kind):  # a tab can only be chosen once the sidebar has been drawn
    area(kind).spaces.active.show_region_ui = True
    area(kind).tag_redraw()
    try:
        region(kind, "UI").active_panel_category = "Elocute"
    except (AttributeError, TypeError):
        return False
    return region(kind, "UI").active_panel_category == "Elocute"
"""
SCENE = """
scene = bpy.context.scene
if hasattr(window().workspace, "sequencer_scene"):
    window().workspace.sequencer_scene = scene
scene.render.fps, scene.render.fps_base = 25, 1.0
scene.frame_end = 200
strips = part("addon.compat").strips(scene.sequence_editor_create())
strips.new_sound(name="Grace.wav", filepath=VOICE, channel=1, frame_start=1)
bpy.ops.wm.save_as_mainfile(filepath=FILE)
shot = part("addon.shotlist").add(scene, "Grace")
shot.portrait = bpy.data.images.load(PORTRAIT)
shot.voice_strip, shot.size = "Grace.wav", 256
"""


@pytest.fixture(scope="module", params=["blender43", "blender52"])
def session(request: pytest.FixtureRequest, package: Path, shared: Path) -> Iterator[Any]:
    """One Blender for all tests of this file, which build on each other."""
    from .conftest import find, of_its_own  # type: ignore[import-not-found]
    from .window.session import SCREEN, Session  # type: ignore[import-not-found]

    blender = find(request.param)
    for program in ("Xvfb", "xdotool"):
        assert shutil.which(program), f"{program} is missing: scripts/get_blender.py installs it"
    folder = shared / request.param
    folder.mkdir()
    environment = of_its_own(shared)
    command = [str(blender.program), "--command", "extension", "install-file", "-r", "user_default", "--enable"]
    done = subprocess.run([*command, str(package)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "ERROR" not in done.stdout, done.stdout + done.stderr
    session = Session(blender.program, folder, environment, [])
    try:
        session.run(f"SCREEN = {SCREEN[1]}\n{HELPERS}")
        session.about = "[(t.title, t.state, t.stage, t.done, t.total, len(t.frames), t.message) for t in tasks()]"
        yield session
    finally:
        session.close()


def cut(path: Path, seconds: float = 2.6) -> Path:
    """The beginning of the example voice."""
    with wave.open(str(EXAMPLES / "voice.wav")) as source, wave.open(str(path), "wb") as out:
        out.setparams(source.getparams())
        out.writeframes(source.readframes(int(seconds * source.getframerate())))
    return path


@pytest.fixture(scope="module")
def scene(session: Any) -> Any:
    """A few seconds of sound and a shot, the engine named in the preferences, the start-up layout."""
    engine = sys.executable
    session.run(f"""
preferences = bpy.context.preferences.addons[MODULE].preferences
preferences.source, preferences.engine_python = "EXISTING", {engine!r}
FILE = {str(session.folder / "shot.blend")!r}
VOICE, PORTRAIT = {str(cut(session.folder / "Grace.wav"))!r}, {str(EXAMPLES / "portrait.jpg")!r}
{SCENE}
""")
    return session


def sidebar(session: Any, kind: str) -> tuple[int, int, int, int]:
    """The place of the open sidebar on the screen."""
    session.wait(f"choose({kind!r})")
    time.sleep(0.5)
    return tuple(session.value(f"box(region({kind!r}, 'UI'))"))


def test_the_sidebar_of_the_3d_viewport(scene: Any) -> None:
    box = sidebar(scene, "VIEW_3D")
    colours = scene.grab("sidebar-3d-viewport", box).convert("RGB").getcolors(1 << 24)
    assert len(colours) > 200, "nothing is drawn"


def to_sequencer(session: Any) -> None:
    session.run("""
next(a for a in window().screen.areas if a.type in ("VIEW_3D", "SEQUENCE_EDITOR")).type = "SEQUENCE_EDITOR"
area("SEQUENCE_EDITOR").spaces.active.view_type = "SEQUENCER_PREVIEW"
""")
    session.wait("choose('SEQUENCE_EDITOR')")
    session.run("with sequencer(): bpy.ops.sequencer.view_all()")


def test_render_is_clicked_and_makes_the_strip(scene: Any) -> None:
    to_sequencer(scene)
    box = sidebar(scene, "SEQUENCE_EDITOR")
    scene.grab("sidebar-sequencer", box)
    x, y = scene.find_button("elocute.render", box, upwards=True)
    scene.click(x, y)
    scene.wait("task() is not None and task().state == 'running' and len(task().frames) > 5")
    scene.grab("rendering")
    scene.wait("task().over")
    assert scene.value("task().state") == "done", scene.value("task().message")
    scene.wait("[s for s in part('addon.compat').all_strips(bpy.context.scene) if s.type == 'IMAGE']" + " != []")
    scene.run("bpy.context.scene.frame_set(20)")
    left, top, width, height = scene.value("box(region('SEQUENCE_EDITOR', 'WINDOW'))")
    scene.point(left + width // 2, top + height // 2)  # a button under the pointer keeps the looks it had
    scene.grab("rendered")
    frames = sorted((scene.folder / "elocute" / "Grace").glob("*.png"))
    spans = scene.value("[part('addon.compat').span(s) for s in part('addon.compat').all_strips(bpy.context.scene)]")
    assert spans[0] == spans[1] and len(frames) == spans[0][1] - spans[0][0] + 1


def running(session: Any, change: str) -> None:
    """Start rendering something new and wait for its first frames."""
    session.run(f"shot = bpy.context.scene.elocute.shots[0]\nshot.size = 1024\n{change}")  # slow enough to be caught
    session.run("with sequencer(): bpy.ops.elocute.render('INVOKE_DEFAULT')")
    session.wait("len(task().frames) > 2")
    assert session.value("task().state") == "running"


def test_escape_stops_it(scene: Any) -> None:
    running(scene, "shot.expression = 0.9")
    box = scene.value("box(region('SEQUENCE_EDITOR', 'WINDOW'))")
    scene.point(box[0] + box[2] // 3, box[1] + box[3] // 2)
    time.sleep(0.3)
    began = time.monotonic()
    scene.press("Escape")
    scene.wait("task().over")
    assert scene.value("task().state") == "cancelled" and time.monotonic() - began < 8
    scene.grab("stopped")


def play(session: Any) -> None:
    session.run("with bpy.context.temp_override(window=window()): bpy.ops.screen.animation_play()")
    session.wait("window().screen.is_animation_playing")
    time.sleep(0.3)


def test_escape_that_is_meant_for_something_else_stops_nothing(scene: Any) -> None:
    running(scene, "shot.expression = 0.85")
    unharmed = "[task().state, task().cancelled_at, window().screen.is_animation_playing]"
    left, top, width, height = scene.value("box(region('OUTLINER', 'WINDOW'))")
    scene.point(left + width // 2, top + height - 10)
    play(scene)
    scene.press("Escape")
    time.sleep(0.5)
    assert scene.value(unharmed) == ["running", None, True], "there it doesn't stop the playback"
    left, top, width, height = scene.value("box(region('SEQUENCE_EDITOR', 'WINDOW'))")
    scene.point(left + width // 3, top + height // 2)
    time.sleep(0.3)
    scene.press("Escape")
    scene.wait("not window().screen.is_animation_playing")
    time.sleep(0.5)
    assert scene.value(unharmed) == ["running", None, False]

    scene.run("for strip in part('addon.compat').all_strips(bpy.context.scene): strip.select = True")
    scene.press("g")
    scene.wait("len(window().modal_operators) > 0")
    scene.press("Escape")
    scene.wait("len(window().modal_operators) == 0")
    time.sleep(0.5)
    assert scene.value(unharmed) == ["running", None, False]
    scene.press("Escape")
    scene.wait("task().over")
    assert scene.value("task().state") == "cancelled"


def test_escape_closes_the_window_of_blenders_own_render(scene: Any) -> None:
    running(scene, "shot.expression = 0.82")
    scene.run("""
bpy.context.scene.render.engine = "BLENDER_WORKBENCH"
with sequencer():
    bpy.ops.render.view_show("INVOKE_DEFAULT")
""")
    windows = "len(bpy.context.window_manager.windows)"
    scene.wait(f"{windows} == 2")
    left, top, width, height = scene.value("box(bpy.context.window_manager.windows[-1].screen.areas[0], bpy.context"
                                           ".window_manager.windows[-1])")  # fmt: skip
    scene.point(left + width // 2, top + height // 2)
    time.sleep(0.5)
    scene.press("Escape")
    scene.wait(f"{windows} == 1")
    assert scene.value("[task().state, task().cancelled_at]") == ["running", None]
    scene.run("bpy.ops.elocute.cancel()")
    scene.wait("task().over")


def test_the_cancel_button_stops_it(scene: Any) -> None:
    running(scene, "shot.expression = 0.8")
    scene.click(*scene.find_button("elocute.cancel", sidebar(scene, "SEQUENCE_EDITOR"), upwards=True))
    scene.wait("task().over")
    assert scene.value("task().state") == "cancelled"


def test_undo_saving_and_a_new_file_while_it_renders(scene: Any) -> None:
    running(scene, "shot.expression = 0.7")
    scene.run("""
with sequencer():
    bpy.ops.ed.undo_push(message="x")
    bpy.ops.ed.undo()
bpy.ops.wm.save_mainfile()
""")
    scene.wait("task().over or len(task().frames) > 8")
    scene.run("bpy.ops.wm.read_homefile(use_factory_startup=True)")
    scene.wait("task().over")
    assert scene.value("len(part('addon.compat').all_strips(bpy.context.scene))") == 0
    scene.run(f"bpy.ops.wm.open_mainfile(filepath={str(scene.folder / 'shot.blend')!r})")
    scene.wait("len(bpy.context.scene.elocute.shots) == 1")


def test_a_bake_is_waited_for(scene: Any) -> None:
    """Blender bakes on a thread of its own, and would end if the scene went to another frame meanwhile."""
    scene.run("""
scene = bpy.context.scene
shot = scene.elocute.shots[0]
def viewport(): return bpy.context.temp_override(
    window=window(), area=area("VIEW_3D"), region=region("VIEW_3D", "WINDOW"))
area("SEQUENCE_EDITOR").type = "VIEW_3D"
with viewport():
    bpy.ops.object.empty_add()
    shot.head, shot.camera, shot.motion = bpy.context.object, bpy.data.objects["Camera"], "OBJECTS"
    for frame in range(1, 60, 3):
        shot.head.rotation_euler[2] = 0.01 * frame
        shot.head.keyframe_insert("rotation_euler", frame=frame)
    bpy.ops.mesh.primitive_grid_add(x_subdivisions=60, y_subdivisions=60, location=(3, 6, 4))
    bpy.ops.object.modifier_add(type="CLOTH")
    bpy.ops.elocute.render("INVOKE_DEFAULT")
    cache = bpy.context.object.modifiers[0].point_cache
    cache.frame_end = 60
    with bpy.context.temp_override(point_cache=cache):
        bpy.ops.ptcache.bake("INVOKE_DEFAULT", bake=True)
""")
    assert not scene.value("cache.is_baked")
    while not scene.value("cache.is_baked"):
        assert scene.value("[task().state, bpy.context.window_manager.is_interface_locked]") == ["waiting", True]
        time.sleep(0.2)
    scene.wait("task().stage == 'Reading the scene'")
    scene.run("bpy.ops.elocute.cancel()\nbpy.ops.wm.revert_mainfile()")
    scene.wait("task().over")


PREFERENCES = (60, 60, 1000, 1250)  # where their window is put
NOWHERE = (600, 1200)  # nothing of them is there, so no tooltip either
CLOSE = """
bpy.context.preferences.system.use_online_access = False
preferences.source = "EXISTING"
with bpy.context.temp_override(window=bpy.context.window_manager.windows[-1]):
    bpy.ops.wm.window_close()
"""


def test_the_preferences(scene: Any) -> None:
    scene.run("""
bpy.ops.preferences.addon_show(module=MODULE)
preferences = bpy.context.preferences.addons[MODULE].preferences
preferences.source = "OWN"
""")
    scene.place("Preferences", PREFERENCES)
    scene.point(*NOWHERE)
    scene.grab("preferences-offline", PREFERENCES)
    scene.run("bpy.context.preferences.system.use_online_access = True")
    scene.grab("preferences-own", PREFERENCES)
    scene.run("preferences.source = 'EXISTING'")
    right = (PREFERENCES[0] + 300, PREFERENCES[1], 600, PREFERENCES[3])
    scene.click(*scene.find_button("elocute.check_engine", right))
    scene.wait("part('addon.setup').latest is not None and part('addon.setup').latest.over")
    answer = scene.value("part('addon.setup').latest.answer")
    assert answer["ok"] and answer["checks"], scene.value("part('addon.setup').latest.problem")
    scene.point(*NOWHERE)
    assert scene.value("bpy.ops.elocute.check_engine.poll()")
    scene.grab("preferences-checked", PREFERENCES)
    scene.run("preferences.source = 'OWN'")
    assert scene.value("part('addon.setup').latest") is None, "what was found of the other environment"
    scene.run(CLOSE)


def test_set_up_is_clicked_and_cancelled(scene: Any) -> None:
    scene.run(f"""
bpy.context.preferences.system.use_online_access = True
bpy.ops.preferences.addon_show(module=MODULE)
preferences = bpy.context.preferences.addons[MODULE].preferences
preferences.source, preferences.base_python = "OWN", {sys.executable!r}  # Debian's own can't make environments
""")
    scene.place("Preferences", PREFERENCES)
    left, top, width, height = PREFERENCES
    scene.click(*scene.find_button("elocute.setup_engine", (left + 300, top, 600, height // 2)))
    setup = "part('addon.setup').latest"
    scene.wait(f"{setup} is not None and {setup}.stage != ''")
    scene.point(*NOWHERE)
    scene.grab("preferences-setting-up", PREFERENCES)
    assert not scene.value(f"{setup}.over"), scene.value(f"{setup}.problem")
    scene.click(*scene.find_button("elocute.cancel_setup", (left + width - 70, top, 60, height // 2)))
    began = time.monotonic()
    scene.wait(f"{setup}.over")
    assert time.monotonic() - began < 10
    assert scene.value(f"{setup}.problem") == scene.value("part('addon.setup').STOPPED")
    scene.point(*NOWHERE)
    scene.grab("preferences-stopped", PREFERENCES)
    assert Path(scene.value("str(part('addon.setup').log_path())")).stat().st_size
    assert scene.value("part('addon.setup').own_python()") is None
    scene.run(CLOSE)


SAID = "The range ends before it starts. The sound strip is retimed: its lips can't follow. Head has no keys. " * 2
LINES = f"""
import blf, unittest.mock as mock
seen, preferences = mock.Mock(), bpy.context.preferences
context = mock.Mock(preferences=preferences, region=region("SEQUENCE_EDITOR", "UI"))
part("addon.panels").paragraph(context, seen, {SAID!r}, "INFO")
lines = [call.kwargs["text"] for call in seen.column.return_value.label.call_args_list]
blf.size(0, preferences.ui_styles[0].widget.points * preferences.system.ui_scale)
result = lines, [blf.dimensions(0, line)[0] for line in lines], preferences.system.ui_scale
"""


@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_no_sentence_is_cut_off(scene: Any, scale: float) -> None:
    scene.run(f"bpy.context.preferences.view.ui_scale = {scale}")
    to_sequencer(scene)
    box = sidebar(scene, "SEQUENCE_EDITOR")
    scene.grab(f"sidebar-{scale:g}", box)
    lines, widths, shown = scene.run(LINES)
    scene.run("bpy.context.preferences.view.ui_scale = 1.0")
    assert 0.9 < shown / scale < 1.2 and " ".join(lines).split() == SAID.split()
    assert max(widths) < box[2] - 76 * shown, (box, lines, widths)  # margins, icon, tabs


def gone(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_killed_blender_leaves_no_engine_behind(scene: Any) -> None:
    running(scene, "shot.expression = 0.6")
    pid = scene.value("part('addon.tasks').worker.pid")
    assert not gone(pid)
    os.kill(scene.process.pid, signal.SIGKILL)
    scene.process.wait(10)
    end = time.monotonic() + 10
    while not gone(pid):
        assert time.monotonic() < end, "the engine was left behind"
        time.sleep(0.1)
