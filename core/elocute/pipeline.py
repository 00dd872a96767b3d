"""The pipeline: prepare an avatar once, then render shots with it. Stages are called here and nowhere else."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import BadInput, Cancelled, EnvironmentProblem
from .inversion.avatar import Avatar, avatar_folder, avatar_key, find, store
from .protocol import Frame, Message, Progress
from .settings import FitSettings, HeadSettings, Shot, portrait_seed
from .warm import Latest, file_state

if TYPE_CHECKING:
    from .drive import Drive
    from .generators.geometry import Scene
    from .generators.headfield import HeadField
    from .shooting import Shooting
    from .values import View

Report = Callable[[Message], None]
RENDERER = 3  # raise it whenever the same inputs would make another picture
FIT_ROLES = ("face", "matting", "enlarge", "head_model")  # models whose change changes an avatar
SPEECH_ROLES = ("speech_encoder", "viseme_head")
PLANE_SIDES = (512, 1024)  # resolutions of the feature planes; the smallest that fills the picture is used

_field: Latest[HeadField] = Latest()
_shooting: Latest[Shooting] = Latest()


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


def prepare(portrait: str, settings: FitSettings, report: Report, size: int = 512) -> Avatar:
    """Invert a portrait, or find the avatar that an earlier run made of the very same photo, settings and models.

    Raises BadInput for a portrait that can't be used, EnvironmentProblem for missing models or device.
    """
    if settings.model_set != "embedded":
        name = settings.model_set
        raise EnvironmentProblem(
            "model_set_missing", f"the model set {name} is not part of this version. Use --model-set embedded."
        )
    side = next((s for s in PLANE_SIDES if s >= size), PLANE_SIDES[-1])
    key = avatar_key(_identity(portrait), _model_hashes(), side)
    folder = avatar_folder()
    known = None if settings.refit else find(folder, key)
    if known:
        return replace(known, report={**known.report, "portrait": portrait, "cached": True})
    return _invert(portrait, settings, side, key, folder, report)


def _identity(portrait: str) -> bytes | str:
    if portrait_seed(portrait) is not None:
        return portrait
    from .portrait.image import read_file

    return read_file(portrait)


def _need(roles: tuple[str, ...]) -> None:
    """Said at once, not after the stages that come before. Raises EnvironmentProblem model_missing or model_hash."""
    from .models.store import model_path

    for role in roles:
        model_path(role)


def _model_hashes() -> dict[str, str]:
    from .models.catalogue import find_model

    return {role: find_model(role).sha256 for role in FIT_ROLES}


def _invert(portrait: str, settings: FitSettings, side: int, key: str, folder: Path, report: Report) -> Avatar:
    started = time.perf_counter()
    from .inversion.invert import invert
    from .rendering.device import pick_device

    device = pick_device(settings.device)
    if portrait_seed(portrait) is None:
        _need(FIT_ROLES)
    _check_cache(folder)
    report(Progress("fit", 0, 4, None, "reading the portrait"))
    scene, about = _scene(portrait, side, device, report)
    report(Progress("fit", 2, 4, None, "building the head field"))
    inverted = invert(scene, device, settings.memory_mb, lambda i, n, text: report(Progress("fit", 3, 4, None, text)))
    about["psnr_db"] = {name: round(value, 2) for name, value in inverted.psnr.items()}
    about["stage_seconds"] |= {name: round(value, 2) for name, value in inverted.seconds.items()}
    about["seconds"] = round(time.perf_counter() - started, 2)
    about["cached"] = False
    report(Progress("fit", 4, 4, None, None))
    return store(folder, key, inverted.field.to_arrays(), about)


def _check_cache(folder: Path) -> None:
    """Whether the avatar can be kept. Raises EnvironmentProblem cache_not_writable or disk_full."""
    from .files import check_writable

    try:
        check_writable(folder)
    except (BadInput, EnvironmentProblem) as error:
        if error.code == "disk_full":
            raise
        raise EnvironmentProblem(
            "cache_not_writable", f"avatars can't be kept in {folder}. Name a folder to write to in ELOCUTE_AVATARS."
        ) from error


def _scene(portrait: str, side: int, device: str, report: Report) -> tuple[Scene, dict[str, Any]]:
    """The framed, analysed and fitted portrait, and what to tell about it."""
    seed = portrait_seed(portrait)
    if seed is not None:
        return _random(portrait, seed, side, device)
    import numpy as np

    from .generators.geometry import Scene
    from .head.fit import fit_head
    from .head.model import load_head_model
    from .portrait.analyse import analyse
    from .portrait.framing import frame_portrait

    clock = time.perf_counter()
    source = analyse(portrait)
    seen = time.perf_counter()
    framed = frame_portrait(source, side, device)
    cut = time.perf_counter()
    report(Progress("fit", 1, 4, None, "fitting the head"))
    fit = fit_head(load_head_model(), framed.face, (side, side), device)
    fitted = time.perf_counter()
    scene = Scene(
        photo=framed.rgb.astype(np.float32) / 255, background=framed.background.astype(np.float32) / 255,
        matte=framed.matte, regions=framed.regions, landmarks=framed.face.landmarks, fit=fit,
    )  # fmt: skip
    top, bottom = source.face.landmarks[10, :2], source.face.landmarks[152, :2]
    about = {
        "portrait": portrait, "face_height_px": round(float(np.linalg.norm(top - bottom)), 1),
        "pose_deg": dict(zip(("yaw", "pitch", "roll"), np.degrees(fit.pose).round(1).tolist(), strict=True)),
        "landmark_residual_px": {"model": round(fit.residual[0], 2), "corrected": round(fit.residual[1], 2)},
        "notes": list(framed.notes), "plane_side": side,
        "stage_seconds": {
            "analysis": round(seen - clock, 2), "framing": round(cut - seen, 2), "head_fit": round(fitted - cut, 2),
        },
    }  # fmt: skip
    return scene, about


def _random(portrait: str, seed: int, side: int, device: str) -> tuple[Scene, dict[str, Any]]:
    """The portrait behind a seed, whose head fit is known and not estimated, and what to tell about it."""
    import numpy as np

    from .generators.identity import random_scene

    clock = time.perf_counter()
    scene = random_scene(seed, side, device)
    top, bottom = scene.landmarks[10, :2], scene.landmarks[152, :2]
    about = {
        "portrait": portrait, "face_height_px": round(float(np.linalg.norm(top - bottom)), 1),
        "pose_deg": dict(zip(("yaw", "pitch", "roll"), np.degrees(scene.fit.pose).round(1).tolist(), strict=True)),
        "landmark_residual_px": {"model": 0.0, "corrected": 0.0},
        "notes": [], "plane_side": side,
        "stage_seconds": {"painting": round(time.perf_counter() - clock, 2)},
    }  # fmt: skip
    return scene, about


def speak(shot: Shot, report: Report, cancelled: Callable[[], bool]) -> Result:
    """Render a shot to its video, its frames folder, or both. Frames that are there already, made from the same
    inputs, are kept. Raises Cancelled when asked to stop; finished frames stay."""
    device = _check(shot)
    from .drive import build_drive, read_inputs
    from .spaces import placement_of

    inputs = read_inputs(shot)
    first, last, clipped = _range(shot, inputs.frames)
    avatar = prepare(shot.portrait, replace(shot.fit, device=device), report, shot.size)
    if cancelled():
        raise Cancelled
    report(Progress("drive", 0, 1, None, "listening to the voice"))
    head = _loaded(avatar)
    drive = build_drive(shot, head.fit.expression, device, inputs, placement_of(head.fit.camera))
    hashes = _frame_hashes(shot, avatar, drive, device)
    started = time.perf_counter()
    rendered = _render(shot, avatar, drive, range(first, last + 1), hashes, device, report, cancelled)
    seconds = time.perf_counter() - started
    count = last - first + 1
    warnings = [*avatar.report.get("notes", []), *drive.warnings, *clipped]
    return Result(
        count, shot.fps, shot.output, shot.frames_dir, seconds, rendered, count - rendered, rendered / seconds, warnings
    )


def _loaded(avatar: Avatar) -> HeadField:
    """The avatar's field, the latest from memory."""
    return _field.get(_state(avatar), avatar.field)


def _state(avatar: Avatar) -> Any:
    return avatar.key, file_state(avatar.path)


def write_head(settings: HeadSettings, report: Report) -> dict[str, Any]:
    """Write a portrait's head mesh to a folder. Returns the folder, counts and the portrait's notes."""
    from . import headmesh
    from .rendering.device import pick_device

    headmesh.check_head_folder(settings.output)
    device = pick_device(settings.device)
    avatar = prepare(settings.portrait, replace(settings.fit, device=device), report)
    report(Progress("head", 0, 1))
    about = headmesh.write_head(_loaded(avatar), settings.output, device, settings.memory_mb)
    report(Progress("head", 1, 1))
    return {"output": settings.output, **about["counts"], "notes": avatar.report.get("notes", [])}


def _check(shot: Shot) -> str:
    """What can be refused before any file is decoded. Returns the device."""
    from .files import check_not_input
    from .finishing.frames import check_frames_folder
    from .finishing.video import check_output
    from .rendering.device import pick_device

    if shot.output:
        check_output(shot.output)
        check_not_input(shot.output, shot.portrait, shot.voice, shot.curves, shot.poses)
    if shot.frames_dir:
        check_frames_folder(shot.frames_dir)
    if shot.background == "transparent" and not shot.frames_dir:
        raise BadInput("transparent_needs_frames", "a video can't be transparent. Give --frames-dir for RGBA frames.")
    _identity(shot.portrait)
    if shot.voice and not shot.curves:
        _need(SPEECH_ROLES)
    return pick_device(shot.device)


def _render(
    shot: Shot, avatar: Avatar, drive: Drive, numbers: range, hashes: list[str], device: str, report: Report,
    cancelled: Callable[[], bool],
) -> int:  # fmt: skip
    """Frames `numbers` (from 1) to where the shot wants them. Returns how many had to be rendered."""
    from .finishing.frames import FrameWriter
    from .finishing.video import VideoWriter
    from .shooting import Shooting

    how = (shot.size, shot.background, device, shot.memory_mb)
    shooting = _shooting.get((_state(avatar), *how), lambda: Shooting(_loaded(avatar), *how))
    started, rendered = time.perf_counter(), 0
    with contextlib.ExitStack() as stack:
        frames = stack.enter_context(FrameWriter(shot.frames_dir)) if shot.frames_dir else None
        video = None
        if shot.output:
            length, offset = len(numbers) / shot.fps, (numbers[0] - 1) / shot.fps
            writer = VideoWriter(shot.output, (shot.size, shot.size), shot.fps, shot.voice, length, offset)
            video = stack.enter_context(writer)
        for done, number in enumerate(numbers, 1):
            if cancelled():
                raise Cancelled
            if frames and frames.have(number, hashes[number - 1]):
                if video:
                    video.write(frames.read(number))
            else:
                at = number - 1
                image = shooting.frame(drive.expression[at], drive.poses[at], drive.views[at])
                rendered += 1
                if frames:
                    report(Frame(number, str(frames.write(number, image, hashes[number - 1]))))
                if video:
                    video.write(image)
            report(Progress("render", done, len(numbers), done / (time.perf_counter() - started), None))
    return rendered


def _range(shot: Shot, total: int) -> tuple[int, int, list[str]]:
    """First and last frame, and what to tell when the shot ends before the asked range does."""
    first, last = shot.frames or (1, total)
    if first > total:
        raise BadInput("frames_outside", f"the shot has {total} frames, so none from {first} on. Change the range.")
    told = [f"the shot ends with frame {total}: frames {total + 1}-{last} don't exist"] if last > total else []
    return first, min(last, total), told


def _frame_hashes(shot: Shot, avatar: Avatar, drive: Drive, device: str) -> list[str]:
    kind = "cpu" if device == "cpu" else "tensor"
    base = f"{RENDERER}|{avatar.key}|{shot.size}|{shot.background}|{kind}".encode()
    rows = zip(drive.expression, drive.poses, drive.views, strict=True)
    return [hashlib.sha256(base + e.tobytes() + p.tobytes() + _view_bytes(v)).hexdigest()[:32] for e, p, v in rows]


def _view_bytes(view: View) -> bytes:
    from .values import AS_IN_PORTRAIT

    return b"" if view == AS_IN_PORTRAIT else repr((view.move, view.zoom, view.shift)).encode()
