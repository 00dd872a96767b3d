"""The pipeline: prepare an avatar once, then render shots with it. Only `evaluate` calls stages without it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from .errors import BadInput, Cancelled
from .inversion.avatar import Avatar
from .modelsets import ModelSet, Performance, model_set
from .modelsets.base import identity
from .protocol import Frame, Message, Progress, Warned
from .settings import CurvesSettings, FitSettings, HeadSettings, Shot
from .spaces import frame_list

Report = Callable[[Message], None]
HEAD_FILES = ("head.json", "head.bin", "texture.png")
HEAD_FORMATS = "elocute-head-"  # of any version; `headmesh`, which says its own, would bring torch along


@dataclass(frozen=True)
class Result:
    """What a finished shot is: frames of the shot, how many were rendered now and how many kept from before."""

    frames: int
    fps: Fraction
    output: Path | None
    frames_dir: Path | None
    seconds: float
    rendered: int
    reused: int
    frames_per_second: float
    warnings: list[str] = field(default_factory=list)


def prepare(portrait: str, settings: FitSettings, report: Report) -> Avatar:
    """Invert a portrait, or find the avatar that an earlier run made of the very same photo, settings and models.

    Raises BadInput for a portrait that can't be used, EnvironmentProblem for missing models or device.
    """
    return model_set(settings.model_set).prepare(portrait, settings, report, settings.size)


def speak(shot: Shot, report: Report, cancelled: Callable[[], bool]) -> Result:
    """Render a shot to its video, its frames folder, or both. Frames that are there already, made from the same
    inputs, are kept. Raises Cancelled when asked to stop; finished frames stay."""
    models = model_set(shot.model_set)
    _check(shot, models)
    from .drive import input_notes, read_inputs
    from .rendering.device import pick_device

    inputs = read_inputs(shot, _ticking(report, cancelled), models.reading(shot))
    first, last, clipped = _range(shot, inputs.frames)
    avatar = prepare(shot.portrait, shot.fit, report)
    if cancelled():
        raise Cancelled
    device = pick_device(shot.device)
    report(Progress("drive", 0, 1, None, "listening to the voice"))
    performance = models.perform(avatar, shot, inputs, device)
    started = time.perf_counter()
    rendered = _render(shot, performance, inputs.sound, range(first, last + 1), report, cancelled)
    seconds = time.perf_counter() - started
    count = last - first + 1
    warnings = [*avatar.report.get("notes", []), *performance.drive.warnings, *input_notes(shot, inputs), *clipped]
    warnings += _outputs_told(shot, inputs.frames)
    if shot.frames_dir:
        from .finishing.frames import unlike_told

        warnings += unlike_told(shot.frames_dir, range(first, last + 1))
    return Result(
        count, shot.fps, shot.output, shot.frames_dir, seconds, rendered, count - rendered, rendered / seconds, warnings
    )


def write_head(settings: HeadSettings, report: Report) -> dict[str, Any]:
    """Write a portrait's head mesh to a folder. Returns the folder, counts and the portrait's notes."""
    from .files import check_not_input, check_writable
    from .rendering.device import pick_device

    check_writable(settings.output)
    check_not_input(settings.output / "texture.png", settings.portrait)
    _check_head_folder(settings.output)
    head = model_set(settings.model_set).head(settings, report)
    device = pick_device(settings.device)
    from . import headmesh  # which brings torch along: what can be refused has been refused by now

    report(Progress("head", 0, 1))
    about = headmesh.write_head(head.field, settings.output, device, settings.memory_mb, head.staging)
    report(Progress("head", 1, 1))
    return {"output": settings.output, **about["counts"], "notes": list(head.notes)}


def _check_head_folder(folder: Path) -> None:
    """Whether a head's files would replace nothing there but another head's. Raises BadInput head_folder_taken."""
    from .files import read_input

    there = [name for name in HEAD_FILES if (folder / name).exists()]
    try:
        about = json.loads(read_input(folder / "head.json", 2**20)) if there else {}
        ours = str(about["format"]).startswith(HEAD_FORMATS) if there else True
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        ours = False
    if not ours:
        why = f"{folder} holds a {there[0]} that is no part of a head of Elocute's and would be replaced"
        raise BadInput("head_folder_taken", f"{why}. Choose another folder, or move it away.")


def curves(settings: CurvesSettings, report: Report, cancelled: Callable[[], bool]) -> dict[str, Any]:
    """Write what a voice makes any face do as curves that a person can edit. Returns the file and how much it holds."""
    from .drive import frame_count
    from .files import check_not_input, check_writable, through_link
    from .media import SAMPLE_RATE, hear
    from .rendering.device import pick_device
    from .speech.track_io import check_curves_output, write_curves

    output = through_link(settings.output)
    if output.is_dir():
        raise BadInput("output_is_directory", f"{output} is a directory. Name a file for the curves.")
    check_writable(output.parent)
    check_not_input(output, settings.voice)
    check_curves_output(output)
    device = "cpu" if settings.device == "auto" else pick_device(settings.device)  # a CPU hears a minute in a second
    report(Progress("curves", 0, 1))
    audio, told = hear(settings.voice)
    for sentence in told:
        report(Warned(sentence))
    frames = frame_count(Fraction(len(audio), SAMPLE_RATE), settings.fps)
    track = model_set(settings.model_set).curves(audio, settings, frames, device)
    if cancelled():
        raise Cancelled
    write_curves(track, output)
    report(Progress("curves", 1, 1))
    size = {"frames": frames, "curves": len(track.names), "fps": settings.fps, "seconds": float(frames / settings.fps)}
    return {"output": settings.output, **size}


def _ticking(report: Report, cancelled: Callable[[], bool]) -> Callable[[int, int], None]:
    """Tells how far a video is followed, and stops there when asked to."""

    def tick(done: int, total: int) -> None:
        if cancelled():
            raise Cancelled
        report(Progress("follow", done, max(done, total)))  # a container may say too few

    return tick


def _check(shot: Shot, models: ModelSet) -> None:
    """What can be refused before any file is decoded."""
    from .files import check_not_input, through_link
    from .finishing.frames import check_frames_folder
    from .finishing.video import check_output
    from .rendering.device import pick_device

    if shot.output:
        check_output(through_link(shot.output))
        check_not_input(shot.output, shot.portrait, *shot.inputs)
    if shot.frames_dir:
        check_frames_folder(shot.frames_dir, shot.portrait, *shot.inputs, frames=shot.frames)
        check_not_input(shot.frames_dir, *shot.inputs)
    if shot.background == "transparent" and not shot.frames_dir:
        raise BadInput("transparent_needs_frames", "a video can't be transparent. Give --frames-dir for RGBA frames.")
    identity(shot.portrait)
    models.check(shot)
    if shot.device != "auto":  # which never fails, but takes torch seconds to answer: the inputs come first
        pick_device(shot.device)


def _render(
    shot: Shot, performance: Performance, sound: Path | None, numbers: range, report: Report,
    cancelled: Callable[[], bool],
) -> int:  # fmt: skip
    """Frames `numbers` (from 1) to where the shot wants them. Returns how many had to be rendered."""
    from .files import through_link
    from .finishing.frames import FrameWriter
    from .finishing.video import VideoWriter

    started, rendered = time.perf_counter(), 0
    with contextlib.ExitStack() as stack:
        frames = stack.enter_context(FrameWriter(shot.frames_dir, shot.frames)) if shot.frames_dir else None
        video = None
        if shot.output:
            length, offset = len(numbers) / shot.fps, (numbers[0] - 1) / shot.fps
            path, size = through_link(shot.output), (shot.size, shot.size)
            video = stack.enter_context(VideoWriter(path, size, shot.fps, sound, length, offset))
        for done, number in enumerate(numbers, 1):
            if cancelled():
                raise Cancelled
            inputs = hashlib.sha256(performance.fingerprint(number - 1)).hexdigest()[:32]
            if frames and frames.have(number, inputs):
                if video:
                    video.write(frames.read(number))
            else:
                image = performance.frame(number - 1)
                rendered += 1
                if frames:
                    report(Frame(number, str(frames.write(number, image, inputs))))
                if video:
                    video.write(image)
            report(Progress("render", done, len(numbers), done / (time.perf_counter() - started), None))
    return rendered


def _outputs_told(shot: Shot, total: int) -> list[str]:
    """What a user of the outputs of a shot of `total` frames should know."""
    from .finishing.frames import frames_beyond

    told = []
    beyond = frames_beyond(shot.frames_dir, total) if shot.frames_dir else []
    if beyond:
        told.append(f"{shot.frames_dir} also has {frame_list(beyond)} of a longer shot: this one ends with {total}")
    if shot.output and shot.background == "transparent":
        told.append(f"{shot.output.name} shows the person before black: a video can't be transparent, the frames are")
    return told


def _range(shot: Shot, total: int) -> tuple[int, int, list[str]]:
    """First and last frame, and what to tell when the shot ends before the asked range does."""
    first, last = shot.frames or (1, total)
    if first > total:
        raise BadInput("frames_outside", f"the shot ends with frame {total}, before frame {first}. Change the range.")
    beyond = f"frames {total + 1}-{last} don't" if last > total + 1 else f"frame {last} doesn't"
    told = [f"the shot ends with frame {total}: {beyond} exist"] if last > total else []
    return first, min(last, total), told
