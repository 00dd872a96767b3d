"""What drives the head: expression and pose for every frame of a shot, from voice, curves, poses and seed."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor

import numpy as np

from .errors import BadInput
from .settings import Shot
from .values import ARKIT_NAMES, ExpressionTrack

MOUTH = tuple(
    i for i, name in enumerate(ARKIT_NAMES) if name.startswith(("jaw", "mouth", "tongue", "cheekPuff"))
)  # what speech decides
EYES = tuple(i for i, name in enumerate(ARKIT_NAMES) if name.startswith(("eyeBlink", "eyeLook")))
SMILES = tuple(i for i, n in enumerate(ARKIT_NAMES) if n.startswith(("mouthSmile", "mouthDimple", "mouthFrown")))
KEPT_SMILE = 0.8  # of the portrait's own smile stays while it speaks: a face that drops it looks like somebody else
MAX_SECONDS = 3610  # the hour that a voice may last, and what a codec pads at its end
BLINK = tuple(ARKIT_NAMES.index(n) for n in ("eyeBlinkLeft", "eyeBlinkRight"))


@dataclass(frozen=True)
class Drive:
    """expression [T, 52] absolute ARKit values; poses [T, 3] yaw, pitch, roll in radians added to the portrait's."""

    expression: np.ndarray
    poses: np.ndarray
    warnings: tuple[str, ...] = ()

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
    from .speech import track_io

    track = track_io.read_curves(shot.curves) if shot.curves else None
    if shot.poses:
        track_io.read_poses(shot.poses, shot.fps, 1)
    audio = load_audio(shot.voice) if shot.voice else None
    seconds = _seconds(shot, audio, track)
    if seconds > MAX_SECONDS:
        hours = f"{float(seconds / 3600):.1f} hours"
        raise BadInput("shot_too_long", f"the shot lasts {hours}; the limit is 1 hour. Cut it into parts.")
    return Inputs(audio, track, frame_count(seconds, shot.fps))


def frame_count(seconds: float | Fraction, fps: Fraction) -> int:
    """duration x fps, rounded half up, at least one."""
    return max(1, floor(Fraction(seconds) * fps + Fraction(1, 2)))


def build_drive(shot: Shot, portrait_expression: np.ndarray, device: str, inputs: Inputs | None = None) -> Drive:
    """All frames of a shot. `portrait_expression` [52] is what the photo shows: eyes and brows keep it, a smile
    fades to KEPT_SMILE, and the voice's performance (or the curves, which take its place) is added. `inputs` when they
    were read before."""
    from .speech import motion, track_io
    from .speech.performance import perform

    inputs = inputs or read_inputs(shot)
    audio, track, frames = inputs.audio, inputs.curves, inputs.frames
    warnings: list[str] = []
    rest = portrait_expression.astype(np.float32).copy()
    rest[list(MOUTH)] = 0
    rest[list(SMILES)] = KEPT_SMILE * portrait_expression[list(SMILES)]
    values = np.tile(rest, (frames, 1))
    if track is not None:
        said = track_io.resample(track, shot.fps, frames).values
    elif audio is not None:
        said = perform(audio, shot.fps, frames, shot.seed, shot.blink, device).values
    else:
        said = np.zeros_like(values)
    if not said[:, list(EYES)].any():  # curves that leave the eyes alone get eyes that live
        said = said + motion.eye_curves(frames, shot.fps, shot.seed, blink=shot.blink).values
    scale = np.where(np.isin(np.arange(len(ARKIT_NAMES)), EYES), 1, shot.expression_scale)
    values = values + scale.astype(np.float32) * said
    values = np.clip(values, 0, 1.5)
    values[:, list(BLINK)] = np.clip(values[:, list(BLINK)], 0, 1)
    track_of_poses = None
    if shot.still:
        if shot.poses:
            warnings.append(f"still: {shot.poses.name} is not used")
    elif shot.poses:
        track_of_poses, told = track_io.read_poses(shot.poses, shot.fps, frames)
        warnings += told
    elif audio is not None:
        track_of_poses = motion.head_motion(audio, shot.fps, frames, shot.seed)
    poses = np.zeros((frames, 3))
    if track_of_poses is not None:
        poses = np.stack([track_of_poses.yaw, track_of_poses.pitch, track_of_poses.roll], 1)
    return Drive(values.astype(np.float32), poses, tuple(warnings))


def _seconds(shot: Shot, audio: np.ndarray | None, track: ExpressionTrack | None) -> Fraction:
    """The voice decides how long a shot is, without one the curves, without any the poses."""
    if audio is not None:
        return Fraction(len(audio), 16000)
    if track is not None:
        return Fraction(len(track.values)) / track.fps
    from .speech.track_io import poses_seconds

    assert shot.poses is not None  # a Shot without any drive refuses to exist
    return poses_seconds(shot.poses, shot.fps)
