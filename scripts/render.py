"""Renders Elocute shots without a window: the same frames, byte for byte, as the panel's Render button.

    blender -b shot.blend --python-exit-code 1 -P scripts/render.py -- --all
    blender -b --python-exit-code 1 -P scripts/render.py -- --portrait anna.jpg --voice anna.wav --output frames/
    python scripts/render.py shot.blend -- --shot Anna --frames 1-100      (a Python with the wheel `bpy`)

Prints progress, `Saved: 'path'` for each frame, and one sentence for each shot. The exit code is 0 only when every
frame is there; 1 something failed, 2 the arguments can't be used, 130 or 143 stopped by Ctrl-C or SIGTERM (finished
frames are kept).
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import bpy

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "elocute_checkout"  # the extension, when it runs from a checkout and is not installed
PROGRESS_SECONDS = 1.0
LAST_SECONDS = 1.0  # for the engine to note which frames are finished
MOVIES = (".mp4", ".mov", ".mkv")  # what the engine can write
FAILED, USAGE, STOPPED = 1, 2, 128  # the last plus the signal's number, as shells tell it

_stopped_by: list[int] = []


class Refused(Exception):
    """The arguments or the file can't be used: a sentence."""


def main() -> int:
    """Returns the exit code."""
    file, words = _split(sys.argv)
    try:
        args = _arguments(words, file)
        _check(args)
    except Refused as error:
        return _refused(error)
    if args.python:
        os.environ["ELOCUTE_PYTHON"] = str(Path(args.python).absolute())
    for number in (signal.SIGINT, signal.SIGTERM):  # instead of Blender's own, which swallows the first Ctrl-C
        signal.signal(number, _stop)
    extension = _extension()
    try:
        if file is not None:
            _open(file, args.enable_autoexec)
        return _render(Elocute(extension), args)
    except Refused as error:
        return _refused(error)
    finally:
        sys.stdout.flush()
        extension.addon.pumping.tasks.stop_engine(LAST_SECONDS)
        if extension.__name__ == PACKAGE:
            extension.unregister()


def _refused(error: Refused) -> int:
    print(f"Error: {error}", file=sys.stderr)
    return USAGE


def _open(file: Path, scripts: bool) -> None:
    if not file.is_file():
        raise Refused(f"there is no file {file}. Check the path")
    allowed = {"use_scripts": True} if scripts else {}  # else as the preferences say
    try:
        bpy.ops.wm.open_mainfile(filepath=str(file.absolute()), **allowed)
    except RuntimeError as error:
        raise Refused(_words(error)) from None


def _place(name: str | None, file: Path | None) -> Path | None:
    """A path that may begin with //, the folder of the .blend file, as everywhere in Blender."""
    if name is None or not name.startswith("//"):
        return Path(name) if name else None
    blend = file.absolute() if file else Path(bpy.data.filepath)
    if blend == Path():
        raise Refused(f"{name} begins at the folder of a .blend file, and none is open. Name the whole path")
    return blend.parent / name[2:]


def _check(args: argparse.Namespace) -> None:
    """What can be told of the arguments, above all of their paths, before anything is started."""
    if args.enable_autoexec and bpy.app.binary_path:
        raise Refused("--enable-autoexec is for the wheel `bpy`: Blender has opened the file. Start it with blender -y")
    voice, movie = args.voice, args.movie  # asked by os.path, which answers for folders that can't be entered too
    if voice and not os.path.isfile(voice):
        found = "a folder" if os.path.isdir(voice) else "not there"
        raise Refused(f"--voice {voice} is {found}. Name a sound or video file")
    if movie and movie.suffix.lower() not in MOVIES:
        raise Refused(f"--movie {movie} has to end in {', '.join(MOVIES)}")
    if movie and os.path.isdir(movie):
        raise Refused(f"--movie {movie} is a folder. Name a file for the video")
    for name, folder in (("--output", args.output), ("--movie", movie and movie.parent)):
        there = next((place for place in (folder, *folder.parents) if os.path.exists(place)), None) if folder else None
        if there and not os.path.isdir(there):
            raise Refused(f"{name}: {there} is a file, not a folder. Choose another folder")


class Elocute:
    """The parts of the extension that this script uses."""

    def __init__(self, extension: ModuleType) -> None:
        part = f"{extension.__name__}.addon."
        self.compat = importlib.import_module(part + "compat")
        self.shots = importlib.import_module(part + "shots")
        self.shotlist = importlib.import_module(part + "shotlist")
        self.task = importlib.import_module(part + "task")
        self.tasks = importlib.import_module(part + "tasks")
        self.rendering = importlib.import_module(part + "rendering")
        self.pumping = importlib.import_module(part + "pumping")
        self.checks = importlib.import_module(part + "checks")
        self.limits = importlib.import_module(f"{extension.__name__}.core.elocute.limits")
        self.errors = importlib.import_module(f"{extension.__name__}.core.elocute.errors")


def _split(argv: list[str]) -> tuple[Path | None, list[str]]:
    """A .blend to open, when plain Python runs this script, and the script's own arguments."""
    mark = argv.index("--") if "--" in argv else len(argv)
    front, after = argv[1:mark], argv[mark + 1 :]
    if bpy.app.binary_path:  # a Blender, which has taken its own arguments and opened the file
        return None, after
    if front and front[0].lower().endswith(".blend"):
        return Path(front[0]), [*front[1:], *after]
    return None, [*front, *after]


def _arguments(words: list[str], file: Path | None) -> argparse.Namespace:
    """Parsed, with the places that may begin at the .blend file's folder as paths."""
    args = _parser().parse_args(words)
    args.output, args.movie = (_place(name, file) for name in (args.output, args.movie))
    return args


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("render.py", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--scene", help="the scene with the shots, or the one that the sequencer shows")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--shot", help="name of a shot; the active one when not given")
    which.add_argument("--all", action="store_true", help="every shot of the scene")
    parser.add_argument("--frames", help="only these frames of the timeline, such as 1-100 or, below 0, =-20-5")
    parser.add_argument("--size", type=int, help="width and height in pixels")
    parser.add_argument(
        "--output",
        help="folder of the frames; with --all, of a folder for each shot; // is the .blend file's folder",
    )
    parser.add_argument("--movie", help="also write a video with the sound: .mp4, .mov or .mkv")
    parser.add_argument("--portrait", help="a photo, or seed:7: makes a shot of its own instead of the file's")
    parser.add_argument("--voice", type=Path, help="what the portrait says, a sound or video file")
    parser.add_argument("--fps", help="frames per second of that shot: 25, 23.976; the scene's when not given")
    parser.add_argument("--background", help="of that shot: keep, transparent or #rrggbb")
    parser.add_argument(
        "--enable-autoexec", action="store_true",
        help="run scripts and drivers of a .blend that you trust, as blender -y does; for the wheel bpy",
    )  # fmt: skip
    parser.add_argument("--python", help="the Python that has the engine; the extension's own when not given")
    return parser


def _extension() -> ModuleType:
    """The installed extension if it is enabled, else the one that this script is part of."""
    for name in bpy.context.preferences.addons.keys():
        if name.startswith("bl_ext.") and name.endswith(".elocute") and name in sys.modules:
            return sys.modules[name]
    for name, module in list(sys.modules.items()):  # enabled, but by hand
        if name.rpartition(".")[2] == "elocute" and hasattr(module, "addon") and hasattr(bpy.types.Scene, "elocute"):
            return module
    spec = importlib.util.spec_from_file_location(PACKAGE, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = module
    spec.loader.exec_module(module)
    module.register()
    return module


def _render(elocute: Elocute, args: argparse.Namespace) -> int:
    scene = bpy.data.scenes.get(args.scene) if args.scene else _usual_scene(elocute)
    if scene is None:
        raise Refused(f"there is no scene {args.scene!r}. Scenes: {', '.join(bpy.data.scenes.keys())}")
    frames = _frames(args.frames)
    if args.size is not None:
        _checked(elocute, elocute.limits.CHECKS["size"], "size", args.size)
    chosen = [_own_shot(elocute, scene, args)] if args.portrait else _chosen(elocute, scene, args)
    if args.movie and len(chosen) > 1:
        raise Refused("--movie is for one shot. Choose one with --shot")
    results = []
    taken: set[str] = set()  # folders of this run: shots may have the same name, or names that make the same folder
    for shot in chosen:
        folder = args.output
        if folder and args.all:
            name = elocute.shotlist.unused(elocute.shotlist.folder_name(shot), taken)
            taken.add(name)
            folder = folder / name
        order = elocute.rendering.Order(
            frames=frames, size=args.size, folder=folder.absolute() if folder else None,
            movie=args.movie.absolute() if args.movie else None, strip=False,
        )  # fmt: skip
        results.append(_render_one(elocute, scene, shot, order, args.all))
        if _stopped_by:
            print("Stopped: finished frames are kept", file=sys.stderr)
            return STOPPED + _stopped_by[0]
    if not any(results) and None in results:
        print(f"Error: no shot shows anything on the frames {args.frames}", file=sys.stderr)
    return 0 if any(results) and False not in results else FAILED


def _frames(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = re.fullmatch(r"(-?\d+)(?:-(-?\d+))?", text, re.ASCII)
    if not found:
        raise Refused(f"--frames has to be first-last, such as 1-100, not {text!r}")
    low, high = int(found[1]), int(found[2] or found[1])
    if low > high:
        raise Refused(f"--frames {text} ends before it begins. Write --frames={high}-{low}")
    return low, high


def _usual_scene(elocute: Elocute) -> Any:
    """The one in the sequencer, which since 5.0 can be another than the window's; that where only it has shots."""
    scene, other = elocute.compat.sequencer_scene(bpy.context), bpy.context.scene
    return other if other.elocute.shots and not (scene and scene.elocute.shots) else scene


def _chosen(elocute: Elocute, scene: bpy.types.Scene, args: argparse.Namespace) -> list[Any]:
    shots = list(scene.elocute.shots)
    if args.voice or args.fps or args.background:
        raise Refused("--voice, --fps and --background go with --portrait")
    if not shots:
        others = ", ".join(other.name for other in bpy.data.scenes if other.elocute.shots)
        more = f"Name another with --scene: {others}" if others else "Add one in the sidebar"
        raise Refused(f"the scene {scene.name!r} has no shots. {more}, or give --portrait and --voice")
    if args.all:
        return shots
    if not args.shot:
        return [elocute.shots.active(scene) or shots[0]]
    named = [shot for shot in shots if shot.name == args.shot]
    if not named:
        raise Refused(f"there is no shot {args.shot!r}. Shots: {', '.join(shot.name for shot in shots)}")
    if len(named) > 1:
        raise Refused(f"{len(named)} shots are called {args.shot!r}. Rename one, or render every shot with --all")
    return named


def _own_shot(elocute: Elocute, scene: bpy.types.Scene, args: argparse.Namespace) -> Any:
    """A shot of --portrait and --voice, the other settings at their defaults."""
    if not args.voice or not args.output or args.shot or args.all:
        raise Refused("--portrait needs --voice and --output, and neither --shot nor --all")
    if args.fps:
        _set_fps(elocute, scene, args.fps)
    shot = elocute.shotlist.add(scene, args.voice.stem)
    shot.voice_source, shot.voice_file, shot.voice_start = "FILE", str(args.voice.absolute()), 1
    shot.folder = str(args.output.absolute())
    if args.background:
        _set_background(elocute, shot, args.background)
    try:
        seed = elocute.limits.portrait_seed(args.portrait)
        if seed is not None:
            shot.portrait_source, shot.identity = "RANDOM", seed
        else:
            shot.portrait = bpy.data.images.load(str(Path(args.portrait).absolute()))
    except (RuntimeError, elocute.errors.ElocuteError) as error:
        raise Refused(_words(error)) from None
    return shot


def _words(error: Exception) -> str:
    """What Blender says of a failure."""
    return str(error).strip().removeprefix("Error: ")


def _checked(elocute: Elocute, check: Callable[..., Any], *value: Any) -> Any:
    """What one of the engine's checks makes of an argument."""
    try:
        return check(*value)
    except elocute.errors.ElocuteError as error:
        raise Refused(str(error)) from None


def _set_fps(elocute: Elocute, scene: bpy.types.Scene, text: str) -> None:
    fps = _checked(elocute, elocute.limits.parse_fps, text)
    whole = -(-fps.numerator // fps.denominator)  # Blender: a whole rate over a base
    scene.render.fps, scene.render.fps_base = whole, float(whole / fps)


def _set_background(elocute: Elocute, shot: Any, text: str) -> None:
    _checked(elocute, elocute.limits.CHECKS["background"], "background", text)
    shot.background = {"keep": "KEEP", "transparent": "TRANSPARENT"}.get(text, "COLOR")
    if shot.background == "COLOR":
        shot.color = [int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def _render_one(elocute: Elocute, scene: bpy.types.Scene, shot: Any, order: Any, of_all: bool) -> bool | None:
    """Whether every frame of the shot is there; None when it is one of all and none of them was asked for."""
    tasks, name = elocute.tasks, shot.name
    problems = elocute.checks.problems(scene, shot)
    why = [problem for problem in problems if not (problem.of_output and order.folder)]
    if why:
        engine = why[0].fix == elocute.checks.PREFERENCES[0] and "ELOCUTE_PYTHON" not in os.environ
        here = ", or name the engine's Python with --python" if engine else ""
        print(f"Error: {name}: {why[0].text}{here}", file=sys.stderr)
        return False
    ref = elocute.shots.ref(scene, shot)
    task = tasks.add(elocute.task.Task("render", name, lambda task: elocute.rendering.render(ref, order, task)))
    printer = _Printer(task)
    tasks.on_frame = printer.saved
    tasks.run(task, lambda: printer.tick() or bool(_stopped_by))
    tasks.on_frame = None
    if of_all and order.frames is not None and task.code == "range_outside":
        print(f"{name}: skipped. {task.message}")
        return None
    if task.state != elocute.task.DONE:
        print(f"Error: {name}: {task.message} ({task.code or task.state})", file=sys.stderr)
        return False
    for path in task.result:  # also those that were there already
        printer.saved(task, 0, path)
    for warning in task.warnings:
        print(f"Warning: {name}: {warning}")
    print(f"{name}: {task.message}")
    return all(Path(path).is_file() for path in task.result)


class _Printer:
    """A line a second, and one for each frame."""

    def __init__(self, task: Any) -> None:
        self.task = task
        self._told, self._paths = 0.0, set()  # type: ignore[var-annotated]

    def saved(self, _task: Any, _number: int, path: str) -> None:
        if path not in self._paths:
            self._paths.add(path)
            print(f"Saved: '{path}'", flush=True)

    def tick(self) -> bool:
        task = self.task
        if bpy.app.autoexec_fail:
            _warn_of_blocked()
        if time.monotonic() - self._told > PROGRESS_SECONDS and task.stage:
            self._told = time.monotonic()
            left = task.seconds_left()
            more = f" | {task.fps:.1f} fps, {left:.0f} s left" if task.fps and left is not None else ""
            print(f"Elocute | {task.title} | {task.stage} {task.done}/{task.total}{more}", flush=True)
        return False


@cache  # once
def _warn_of_blocked() -> None:
    """A driver that may not run fails nothing: what it moves stands still."""
    allow = "start Blender with -y" if bpy.app.binary_path else "add --enable-autoexec"
    told = f"Warning: scripts of the file are blocked and what they move stands still: {bpy.app.autoexec_fail_message}."
    print(f"{told} If you trust the file, {allow}", flush=True)


def _stop(number: int, frame: FrameType | None) -> None:
    _stopped_by.append(number)


if __name__ == "__main__":
    try:
        code = main()
    except SystemExit as end:  # argparse: --help, or words it doesn't know
        code = end.code if isinstance(end.code, int) else USAGE
    except BaseException:  # noqa: BLE001 - the wheel has to come to its exit below, Blender to a code
        traceback.print_exc()
        code = FAILED
    sys.stdout.flush()
    sys.stderr.flush()
    if not bpy.app.binary_path:  # the wheel: some versions crash or hang at a regular exit
        os._exit(code)
    sys.exit(code)
