"""A shot from the scene to the strip: what the panel's Render button and scripts/render.py both run."""

from __future__ import annotations

import os
import uuid
from array import array
from collections.abc import Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

from ..core.elocute.errors import BadInput, EnvironmentProblem
from ..core.elocute.settings import CurvesSettings, Shot
from . import curves, sampling, sequencer, shots
from .task import Ask, Steps, Task

RETIMED = 0.02  # of a voice's length: what of it a container may tell wrongly
SLICE = 5_000  # names of files looked at between two turns of Blender's, a few milliseconds
JOB_FOLDER = "job"  # beside the frames: the shot as the engine gets it, for a second look or a run without Blender
_voices: dict[tuple[Any, ...], curves.Columns] = {}  # the curves of voices that were listened to in this session


ALL = (-(2**31), 2**31)  # frames: as many as there are


@dataclass(frozen=True)
class Order:
    """What is asked beyond the shot's own properties. `frames` timeline, first and last."""

    frames: tuple[int, int] | None = None
    size: int | None = None
    folder: Path | None = None
    movie: Path | None = None
    strip: bool = True


@dataclass(frozen=True)
class Plan:
    """A shot's frames, settled: timeline frames, both ends included. `span` is where the voice's strip shows, `whole`
    what of it has sound, `chosen` what is to be rendered; `origin` is the timeline frame of the engine's frame 1."""

    voice: Path | None
    origin: int
    span: tuple[int, int]
    whole: tuple[int, int]
    chosen: tuple[int, int]
    fps: Fraction
    from_keys: bool

    @property
    def numbers(self) -> tuple[int, int]:
        """`chosen` as the engine counts."""
        return self.chosen[0] - self.origin + 1, self.chosen[1] - self.origin + 1

    def file(self, job: Path, name: str) -> Path:
        """A file of the job; a part of the shot has its own, as the machines of a farm render theirs at the same
        time."""
        part = "" if self.chosen == self.whole else "-{:06d}-{:06d}".format(*self.numbers)
        return job / f"{name}{part}.json"


def at_frame(plan: Plan, frame: int) -> Plan:
    """The plan for one timeline frame alone."""
    return replace(plan, chosen=(frame, frame))


def render(ref: shots.Ref, order: Order, task: Task) -> Steps:
    """Steps of rendering a shot into its folder and strip; returns the list of its files in order."""
    scene, shot = ref.find()
    folder = order.folder or shots.folder(shot)
    if folder is None:
        raise BadInput("folder_missing", "Save the .blend file or choose a folder that does not start with //")
    task.about["folder"] = str(folder)
    job = folder / JOB_FOLDER
    try:
        job.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        text = f"Can't write to {folder}: {error.strerror}. Choose another folder"
        raise EnvironmentProblem("output_not_writable", text) from error
    plan, said = yield from listen(ref, order.frames, job, task)
    drive = yield from write_drive(ref, plan, said, job, task)
    settings = engine_shot(ref, plan, drive, job)
    settings |= {"frames_dir": str(folder), "frames": list(plan.numbers)}
    if order.size is not None:
        settings["size"] = order.size
    portable = _portable(settings, job)
    if order.movie is not None:
        settings["output"] = str(order.movie)
    checked = _checked(settings)
    curves.write_json(portable, plan.file(job, "shot"))
    task.at("Starting the engine")
    yield Ask("speak", checked)
    if plan.chosen != plan.whole:
        clear([*drive.values(), plan.file(job, "shot")])  # curves reach back to the voice's start: a farm's fill a disk
    found = (curves.on_timeline(warning, plan.origin, plan.chosen) for warning in task.warnings)
    task.warnings = [warning for warning in found if warning]
    files, there = yield from finished(folder, plan.numbers)
    task.message = f"{len(files)} frames in {folder}"
    if order.strip:
        yield
        _still_there(ref, folder)
        task.at("Filling the strip")
        name = yield from sequencer.show(ref, folder, there, plan.origin, plan.whole, plan.chosen, plan.span)
        if (library := ref.find()[0].library) is not None:
            task.warnings.append(f"The scene is linked: its strip isn't saved here. Render it in {library.filepath}")
        task.message = f"{name}: {len(files)} frames"
    return files


def clear(files: Iterable[str | Path]) -> None:
    """Remove files of a job."""
    for file in files:
        with suppress(OSError):  # a virus scanner may hold it
            Path(file).unlink(missing_ok=True)


def finished(folder: Path, numbers: tuple[int, int]) -> Generator[None, Any, tuple[list[str], set[str]]]:
    """Steps of finding the files of these frames, in order, and the names of all that is in the folder. Raises
    EnvironmentProblem frames_missing."""
    there: set[str] = set()
    with os.scandir(folder) as entries:  # asking for one file after the other takes long on a network drive
        while some := [entry.name for entry in islice(entries, SLICE)]:
            there.update(some)
            yield
    files: list[str] = []
    missing: list[str] = []
    begin = os.path.join(folder, "")
    for low in range(numbers[0], numbers[1] + 1, SLICE):
        names = [sequencer.file_name(number) for number in range(low, min(low + SLICE, numbers[1] + 1))]
        files += [begin + name for name in names]
        missing += [name for name in names if name not in there]
        yield
    if missing:
        text = f"{len(missing)} frames are missing, {missing[0]} first. Render again"
        raise EnvironmentProblem("frames_missing", text)
    return files, there


def _still_there(ref: shots.Ref, folder: Path) -> tuple[Any, Any]:
    try:
        return ref.find()
    except BadInput as error:
        text = f"The shot {ref.title} is not in the open file. Its frames are in {folder}; render again in its own file"
        raise BadInput("shot_gone", text) from error


def listen(
    ref: shots.Ref, frames: tuple[int, int] | None, job: Path, task: Task
) -> Generator[Ask | None, Any, tuple[Plan, curves.Columns]]:
    """Settle the frames, and have the engine turn the voice into curves."""
    scene, shot = ref.find()
    voice = shots.voice(scene, shot)
    path = shots.packed(voice.sound, voice.path, job) if voice.sound is not None else voice.path
    fps = shots.fps_of(scene)
    said: curves.Columns = {}
    end = voice.last
    if path is not None:
        said = yield from voice_curves(path, fps, shot.variation, job, task)
        length = len(next(iter(said.values())))
        if voice.frames is not None and abs(voice.frames - length) > max(2, RETIMED * length):
            text = f"The sound strip is {voice.frames} frames long and its file {length}"
            task.warnings.append(f"{text}. If it is retimed, lips can't follow it: use Retiming > Reset")
        end = voice.origin + length - 1
        said = yield from curves.shifted(said, voice.shift)
    scene, shot = ref.find()
    first = voice.first if voice.first is not None else voice.origin
    last = voice.last if voice.last is not None else end
    whole = shots.clip_range(first, last, voice.origin, end)
    low, high = frames or shots.chosen_range(scene, shot, *whole)
    chosen = shots.clip_range(low, high, *whole)
    return Plan(path, voice.origin, (first, last), whole, chosen, fps, shots.face_from_keys(shot)), said


def voice_curves(
    path: Path, fps: Fraction, variation: int, job: Path, task: Task
) -> Generator[Ask | None, Any, curves.Columns]:
    """What a voice makes the face do, from its first sound on; the engine is asked once for each voice."""
    stat = path.stat()
    key = (str(path), stat.st_mtime_ns, stat.st_size, fps, variation)
    if key not in _voices:
        job.mkdir(parents=True, exist_ok=True)
        output = job / f"voice-{uuid.uuid4().hex}.json"  # another run may listen to the same voice now
        task.at("Listening to the voice")
        settings = CurvesSettings(voice=path, output=output, fps=fps, seed=variation)
        yield Ask("curves", settings.to_json())
        found = yield from curves.read(output)
        output.unlink(missing_ok=True)
        while len(_voices) > 8:
            del _voices[next(iter(_voices))]
        _voices[key] = found
    return _voices[key]


def write_drive(
    ref: shots.Ref, plan: Plan, said: curves.Columns, job: Path, task: Task
) -> Generator[None, Any, dict[str, Any]]:
    """Evaluate the scene on the plan's frames and write what it says as curves and poses. Returns the engine's
    settings that name them."""
    scene, shot = ref.find()
    around = sampling.margin(shot, scene, float(plan.fps))
    task.warnings += sampling.unbaked(scene, shot)
    low, high = max(plan.chosen[0] - around, plan.whole[0]), min(plan.chosen[1] + around, plan.whole[1])
    samples = sampling.Samples()
    for told in sampling.sample(ref, range(low, high + 1)):
        if isinstance(told, sampling.Samples):
            samples = told
        else:
            task.at("Reading the scene", told, high - low + 1)
            yield
    before, count = low - plan.origin, high - plan.origin + 1
    amounts = samples.amounts[:1] * before + samples.amounts
    drive: dict[str, Any] = {}
    _, shot = ref.find()
    if not (_hears_itself(shot, plan) and all(amount == curves.Amounts() for amount in amounts)):
        columns = _led(samples.keys, before) if plan.from_keys else curves.held(said, count)
        task.at("Writing the curves")
        composed = yield from curves.compose(columns, amounts, float(plan.fps))
        composed = composed or {curves.GAZE[0]: array("d", bytes(8 * count))}
        yield from curves.write(composed, str(plan.fps), path := plan.file(job, "curves"))
        drive["curves"] = str(path)
    if samples.looks:
        after = max(0, len(next(iter(said.values()), ())) - count)  # till the end of the voice
        looks = samples.looks[:1] * before + samples.looks + samples.looks[-1:] * after
        poses: dict[str, list[Any]] = {
            "head_to_camera": [look.head_to_camera for look in looks],
            "fov_y_deg": [look.fov_y_deg for look in looks],
            "shift": [look.shift for look in looks],
        }
        yield from curves.write_lists(str(plan.fps), poses, path := plan.file(job, "poses"))
        drive["poses"] = str(path)
    return drive


def _hears_itself(shot: Any, plan: Plan) -> bool:
    """Whether the shot's models have a network of their own for a voice. `listen` has curves of the embedded one, which
    say nothing new to the embedded models, and less to others than what they hear themselves."""
    return shot.model_set != "embedded" and plan.voice is not None and not plan.from_keys


def _led(columns: curves.Columns, before: int) -> curves.Columns:
    """The same columns, with their first value on `before` more frames in front."""
    return {name: array("d", list(values[:1]) * before) + values for name, values in columns.items()}


def engine_shot(ref: shots.Ref, plan: Plan, drive: dict[str, Any], job: Path) -> dict[str, Any]:
    """The shot as the engine's settings, without where its frames go."""
    _, shot = ref.find()
    device = shot.device
    background = {"KEEP": "keep", "TRANSPARENT": "transparent"}.get(shot.background) or hex_color(shot.color)
    settings = {
        "portrait": shots.portrait(shot, job), "fps": str(plan.fps), "size": shot.size, "background": background,
        "still": shot.motion == "STILL", "seed": shot.variation, "device": device, "model_set": shot.model_set,
        "framing": shots.framing(shot),
    }  # fmt: skip
    if plan.voice is not None:
        settings["voice"] = str(plan.voice)
    return settings | drive


def hex_color(color: Any) -> str:
    return "#" + "".join(f"{round(channel * 255):02x}" for channel in color)


def _checked(settings: dict[str, Any]) -> dict[str, Any]:
    """Raises BadInput, before anything is started, for what the engine would refuse."""
    return Shot.from_json(settings).to_json()


def _portable(settings: dict[str, Any], job: Path) -> dict[str, Any]:
    """For the file: what lies beside it without its folder, so that the shot's folder can move."""
    out = dict(settings)
    for name in ("curves", "poses", "portrait", "voice"):
        if name in out and Path(out[name]).parent == job:
            out[name] = Path(out[name]).name
    if Path(out["frames_dir"]) == job.parent:
        out["frames_dir"] = ".."
    return out
