"""The set that works after set-up: a portrait becomes a head field, a voice ARKit units, all with shipped models."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..drive import Drive, Inputs, Reading, build_drive, may_need_voice
from ..errors import BadInput
from ..inversion.avatar import ROOM, Avatar, avatar_folder, avatar_key, find, store
from ..landmarks import FACE_HEIGHT, apart
from ..limits import USUAL_FRAMING, portrait_seed
from ..protocol import Progress
from ..settings import CurvesSettings, FitSettings, HeadSettings, Shot
from ..values import AS_IN_PORTRAIT, ExpressionTrack
from ..warm import Latest, file_state, make_room
from .base import FittedHead, Report, identity, need, ready_cache, refuse_framing

if TYPE_CHECKING:
    from ..generators.headfield import HeadField
    from ..generators.scene import Scene
    from ..shooting import Shooting

RENDERER = 15  # raise it whenever the same inputs would make another picture
FIT_ROLES = ("face", "matting", "enlarge", "head_model")  # models whose change changes an avatar
SPEECH_ROLES = ("speech_encoder", "viseme_head")
MOST_ENLARGED = 1.5  # times, unsaid
PLANE_SIDES = (512, 1024)  # resolutions of the feature planes; the smallest that fills the picture is used

_shooting: Latest[Shooting] = Latest()
_field: Latest[HeadField] = Latest(_shooting, large=True)


class Embedded:
    """`--model-set embedded`."""

    def check(self, shot: Shot) -> None:
        _refuse_others(shot)
        if may_need_voice(shot):
            need(SPEECH_ROLES)

    def reading(self, shot: Shot) -> Reading:
        return Reading()

    def prepare(self, portrait: str, settings: FitSettings, report: Report, size: int) -> Avatar:
        _refuse_others(settings)
        side = next((s for s in PLANE_SIDES if s >= size), PLANE_SIDES[-1])
        key = avatar_key(identity(portrait), _model_hashes(), side, settings.framing)
        known = _known(portrait, settings, key)
        return _judged(known or _invert(portrait, settings, side, key, report), size)

    def head(self, settings: HeadSettings, report: Report) -> FittedHead:
        avatar = self.prepare(settings.portrait, settings.fit, report, settings.fit.size)
        return FittedHead(loaded(avatar), None, tuple(avatar.report.get("notes", [])))

    def curves(self, audio: np.ndarray, settings: CurvesSettings, frames: int, device: str) -> ExpressionTrack:
        from ..speech.performance import perform

        return perform(audio, settings.fps, frames, settings.seed, settings.blink, device)

    def perform(self, avatar: Avatar, shot: Shot, inputs: Inputs, device: str) -> EmbeddedPerformance:
        return EmbeddedPerformance(avatar, shot, inputs, device)


def prepare_whole(picture: np.ndarray, name: str, settings: FitSettings, report: Report) -> Avatar:
    """Invert a square picture uint8 [S, S, 3] as it is cropped, or find the avatar that an earlier run made of it.
    `name` is what messages call it. Raises as `Embedded.prepare`."""
    side = PLANE_SIDES[0]
    content = f"whole {picture.shape}".encode() + picture.tobytes()
    key = avatar_key(content, _model_hashes(), side)
    known = _known(name, settings, key)
    return known or _invert(name, settings, side, key, report, picture)


def _known(portrait: str, settings: FitSettings, key: str) -> Avatar | None:
    """The avatar of an earlier run, unless it is to be made anew."""
    known = None if settings.refit else find(avatar_folder(), key)
    return known and replace(known, report={**known.report, "portrait": portrait, "cached": True})


def _judged(avatar: Avatar, size: int) -> Avatar:
    """The avatar with a note when its photo, or what is kept of it, is too small for pictures of `size` pixels."""
    kept = size / avatar.report.get("plane_side", size)
    photo = avatar.report.get("photo_scale", 0) * kept  # a random identity has none
    if photo > MOST_ENLARGED:
        note = f"the photo is enlarged {photo:.1f} times; a larger one would be sharper"
    elif kept > MOST_ENLARGED:
        note = f"a head keeps {PLANE_SIDES[-1]} pixels, enlarged {kept:.1f} times here; a smaller size is as sharp"
    else:
        return avatar
    return replace(avatar, report={**avatar.report, "notes": [*avatar.report.get("notes", []), note]})


def loaded(avatar: Avatar) -> HeadField:
    """The avatar's field, the latest from memory."""
    return _field.get(_state(avatar), avatar.field)


def _state(avatar: Avatar) -> Any:
    return avatar.key, file_state(avatar.path)


def _refuse_others(settings: Shot | FitSettings) -> None:
    for option, given in (
        ("--reference", settings.reference),
        ("--fit-steps", settings.fit_steps is not None),
        ("--fit-memory", settings.fit_memory_mb is not None),
        ("--precision", isinstance(settings, Shot) and settings.precision != "auto"),
        ("--compile", isinstance(settings, Shot) and settings.compile),
    ):
        if given:
            raise BadInput("option_of_other_set", f"{option} is for --model-set nerffacespeech. Leave one of them out.")
    if portrait_seed(settings.portrait) is not None:
        refuse_framing(settings, "a random identity has one framing")


class EmbeddedPerformance:
    """A shot of a head field."""

    def __init__(self, avatar: Avatar, shot: Shot, inputs: Inputs, device: str) -> None:
        from ..shooting import Shooting
        from ..spaces import placement_of

        head = loaded(avatar)
        self.drive: Drive = build_drive(shot, head.fit.expression, device, inputs, placement_of(head.fit.camera))
        how = (shot.size, shot.background, device, shot.memory_mb)
        self._shooting = _shooting.get((_state(avatar), *how), lambda: Shooting(head, *how))
        kind = "cpu" if device == "cpu" else "tensor"
        self._base = f"{RENDERER}|{avatar.content}|{shot.size}|{shot.background}|{kind}".encode()

    def fingerprint(self, at: int) -> bytes:
        view = self.drive.views[at]
        framed = b"" if view == AS_IN_PORTRAIT else repr((view.move, view.zoom, view.shift)).encode()
        return self._base + self.drive.expression[at].tobytes() + self.drive.poses[at].tobytes() + framed

    def frame(self, at: int) -> np.ndarray:
        return self._shooting.frame(self.drive.expression[at], self.drive.poses[at], self.drive.views[at])


def _model_hashes() -> dict[str, str]:
    from ..models.catalogue import find_model

    return {role: find_model(role).sha256 for role in FIT_ROLES}


def _invert(
    portrait: str, settings: FitSettings, side: int, key: str, report: Report, picture: np.ndarray | None = None
) -> Avatar:
    """Make an avatar of a photo, a seed, or a `picture` that stays as it is cropped, and keep it."""
    started = time.perf_counter()
    folder = avatar_folder()
    from ..inversion.invert import invert
    from ..rendering.device import pick_device

    if picture is not None or portrait_seed(portrait) is None:
        need(FIT_ROLES)
    ready_cache(folder, ROOM)
    make_room()
    device = pick_device(settings.device)
    report(Progress("fit", 0, 4, None, "reading the portrait"))
    scene, about = _scene(portrait, picture, side, device, report, settings.framing)
    report(Progress("fit", 2, 4, None, "building the head field"))
    inverted = invert(scene, device, settings.memory_mb, lambda i, n, text: report(Progress("fit", 3, 4, None, text)))
    about["psnr_db"] = {name: round(value, 2) for name, value in inverted.psnr.items()}
    about["stage_seconds"] |= {name: round(value, 2) for name, value in inverted.seconds.items()}
    about["seconds"] = round(time.perf_counter() - started, 2)
    about["cached"] = False
    report(Progress("fit", 4, 4, None, None))
    return store(folder, key, inverted.field.to_arrays(), about)


def _scene(
    portrait: str, picture: np.ndarray | None, side: int, device: str, report: Report, framing: float = USUAL_FRAMING
) -> tuple[Scene, dict[str, Any]]:
    """The framed, analysed and fitted portrait, and what to tell about it."""
    seed = portrait_seed(portrait)
    if picture is None and seed is not None:
        return _random(portrait, seed, side)
    from ..generators.scene import Scene
    from ..head.fit import fit_head
    from ..head.model import load_head_model
    from ..portrait.analyse import analyse, analyse_upright
    from ..portrait.framing import frame_portrait

    clock = time.perf_counter()
    source = analyse(portrait) if picture is None else analyse_upright(picture, Path(portrait).name)
    seen = time.perf_counter()
    whole = picture is not None
    framed = frame_portrait(source, side, device, whole, USUAL_FRAMING if whole else framing)
    cut = time.perf_counter()
    report(Progress("fit", 1, 4, None, "fitting the head"))
    fit = fit_head(load_head_model(), framed.face, (side, side))
    fitted = time.perf_counter()
    scene = Scene(
        photo=framed.rgb.astype(np.float32) / 255, background=framed.background.astype(np.float32) / 255,
        matte=framed.matte, regions=framed.regions, landmarks=framed.face.landmarks, fit=fit,
        around=framed.around,
    )  # fmt: skip
    about = {
        "portrait": portrait, "face_height_px": round(apart(source.face.landmarks, FACE_HEIGHT), 1),
        "pose_deg": dict(zip(("yaw", "pitch", "roll"), np.degrees(fit.pose).round(1).tolist(), strict=True)),
        "landmark_residual_px": {"model": round(fit.residual[0], 2), "corrected": round(fit.residual[1], 2)},
        "notes": list(framed.notes), "plane_side": side, "photo_scale": round(framed.scale, 3),
        "stage_seconds": {
            "analysis": round(seen - clock, 2), "framing": round(cut - seen, 2), "head_fit": round(fitted - cut, 2),
        },
    }  # fmt: skip
    return scene, about


def _random(portrait: str, seed: int, side: int) -> tuple[Scene, dict[str, Any]]:
    """The portrait behind a seed, whose head fit is known and not estimated, and what to tell about it."""
    from ..generators.identity import random_scene

    clock = time.perf_counter()
    scene = random_scene(seed, side)
    about = {
        "portrait": portrait, "face_height_px": round(apart(scene.landmarks, FACE_HEIGHT), 1),
        "pose_deg": dict(zip(("yaw", "pitch", "roll"), np.degrees(scene.fit.pose).round(1).tolist(), strict=True)),
        "landmark_residual_px": {"model": 0.0, "corrected": 0.0},
        "notes": [], "plane_side": side,
        "stage_seconds": {"painting": round(time.perf_counter() - clock, 2)},
    }  # fmt: skip
    return scene, about
