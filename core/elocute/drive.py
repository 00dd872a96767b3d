"""What drives the head: expression and pose for every frame of a shot, from voice, curves, poses and seed."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor

import numpy as np

from .errors import BadInput
from .settings import Shot
from .values import ARKIT_NAMES, AS_IN_PORTRAIT, ExpressionTrack, Placements, PoseTrack, View
from .warm import Latest, file_state

MOUTH = tuple(
    i for i, name in enumerate(ARKIT_NAMES) if name.startswith(("jaw", "mouth", "tongue", "cheekPuff"))
)  # what speech decides
EYES = tuple(i for i, name in enumerate(ARKIT_NAMES) if name.startswith(("eyeBlink", "eyeLook")))
SMILES = tuple(i for i, n in enumerate(ARKIT_NAMES) if n.startswith(("mouthSmile", "mouthDimple", "mouthFrown")))
KEPT_SMILE = 0.8  # of the portrait's own smile stays while it speaks: a face that drops it looks like somebody else
MAX_SECONDS = 3610  # the hour that a voice may last, and what a codec pads at its end
BLINK = tuple(ARKIT_NAMES.index(n) for n in ("eyeBlinkLeft", "eyeBlinkRight"))

_heard: Latest[np.ndarray] = Latest()
_said: Latest[ExpressionTrack] = Latest()


@dataclass(frozen=True)
class Drive:
    """expression [T, U] absolute values of the units `names`; poses [T, 3] yaw, pitch, roll in radians added to the
    portrait's; views: where each frame has the person."""

    expression: np.ndarray
    poses: np.ndarray
    views: tuple[View, ...]
    warnings: tuple[str, ...] = ()
    names: tuple[str, ...] = ARKIT_NAMES

    def __len__(self) -> int:
        return len(self.expression)


@dataclass(frozen=True)
class Inputs:
    """A shot's voice (16 kHz), curves and number of frames, read and checked: what can be refused before a fit."""

    audio: np.ndarray | None
    curves: ExpressionTrack | None
    frames: int


def read_inputs(shot: Shot) -> Inputs:
    """Read the files that drive a shot. Raises BadInput as `load_audio`, `read_curves` and `read_poses` do."""
    from .media import load_audio
    from .speech.pose_io import read_poses
    from .speech.track_io import read_curves

    track = read_curves(shot.curves) if shot.curves else None
    if shot.poses:
        read_poses(shot.poses, shot.fps, 1)
    voice = shot.voice
    audio = _heard.get(file_state(voice), lambda: load_audio(voice)) if voice else None
    seconds = _seconds(shot, audio, track)
    if seconds > MAX_SECONDS:
        hours = f"{float(seconds / 3600):.1f} hours"
        raise BadInput("shot_too_long", f"the shot lasts {hours}; the limit is 1 hour. Cut it into parts.")
    return Inputs(audio, track, frame_count(seconds, shot.fps))


def frame_count(seconds: float | Fraction, fps: Fraction) -> int:
    """duration x fps, rounded half up, at least one."""
    return max(1, floor(Fraction(seconds) * fps + Fraction(1, 2)))


def resting_face(portrait_expression: np.ndarray) -> np.ndarray:
    """What curves are added to, float32 [52], of what the photo shows: eyes and brows keep it, the mouth closes, a
    smile fades to KEPT_SMILE."""
    rest = portrait_expression.astype(np.float32).copy()
    rest[list(MOUTH)] = 0
    rest[list(SMILES)] = KEPT_SMILE * portrait_expression[list(SMILES)]
    return rest


def add_to_face(rest: np.ndarray, said: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """A resting face [52] with curves [..., 52] on it; `scale` strengthens all but the eyes. float32 [..., 52]."""
    scales = np.where(np.isin(np.arange(len(ARKIT_NAMES)), EYES), 1, scale)
    values = np.clip(rest + scales.astype(np.float32) * said, 0, 1.5)
    values[..., list(BLINK)] = np.clip(values[..., list(BLINK)], 0, 1)
    return values.astype(np.float32)


def build_drive(
    shot: Shot, portrait_expression: np.ndarray, device: str, inputs: Inputs | None = None,
    own: Placements | None = None,
) -> Drive:  # fmt: skip
    """All frames of a shot. The face rests as `portrait_expression` [52], what the photo shows, has it; the voice's
    performance is added, or the curves, which take its place. Poses are told against `own`, the portrait's placement
    before its camera. `inputs` when they were read before."""
    from .speech import motion
    from .speech.performance import perform
    from .speech.track_io import resample

    inputs = inputs or read_inputs(shot)
    audio, track, frames = inputs.audio, inputs.curves, inputs.frames
    if track is not None:
        said = resample(track, shot.fps, frames).values
    elif audio is not None:
        how = (shot.fps, frames, shot.seed, shot.blink, device)
        assert shot.voice is not None
        said = _said.get((file_state(shot.voice), *how), lambda: perform(audio, *how)).values
    else:
        said = np.zeros((frames, len(ARKIT_NAMES)), np.float32)
    if not said[:, list(EYES)].any():  # curves that leave the eyes alone get eyes that live
        said = said + motion.eye_curves(frames, shot.fps, shot.seed, blink=shot.blink).values
    values = add_to_face(resting_face(portrait_expression), said, shot.expression_scale)
    poses, warnings = head_poses(shot, own, audio, frames)
    angles = np.stack([poses.yaw, poses.pitch, poses.roll], 1)
    return Drive(values, angles, poses.views or (AS_IN_PORTRAIT,) * frames, tuple(warnings))


def head_poses(
    shot: Shot, own: Placements | None, audio: np.ndarray | None, frames: int
) -> tuple[PoseTrack, list[str]]:
    """Where the head looks in each frame, from the shot's poses or the voice, and what to tell."""
    from .speech import motion
    from .speech.pose_io import read_poses

    if shot.poses and not shot.still:
        return read_poses(shot.poses, shot.fps, frames, own)
    if audio is not None and not shot.still:
        return motion.head_motion(audio, shot.fps, frames, shot.seed), []
    told = [f"still: {shot.poses.name} is not used"] if shot.poses else []
    return PoseTrack(*np.zeros((3, frames))), told


def _seconds(shot: Shot, audio: np.ndarray | None, track: ExpressionTrack | None) -> Fraction:
    """The voice decides how long a shot is, without one the curves, without any the poses."""
    if audio is not None:
        return Fraction(len(audio), 16000)
    if track is not None:
        return Fraction(len(track.values)) / track.fps
    from .speech.pose_io import poses_seconds

    assert shot.poses is not None  # a Shot without any drive refuses to exist
    return poses_seconds(shot.poses, shot.fps)
