"""What drives the head: expression and pose for every frame of a shot, from voice, curves, poses and seed."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor

import numpy as np

from .settings import Shot
from .values import ARKIT_NAMES

MOUTH = tuple(
    i for i, name in enumerate(ARKIT_NAMES) if name.startswith(("jaw", "mouth", "tongue", "cheekPuff"))
)  # what speech decides
EYES = tuple(i for i, name in enumerate(ARKIT_NAMES) if name.startswith(("eyeBlink", "eyeLook")))
SMILES = tuple(i for i, n in enumerate(ARKIT_NAMES) if n.startswith(("mouthSmile", "mouthDimple", "mouthFrown")))
KEPT_SMILE = 0.7  # of the portrait's own smile stays while it speaks: a face that drops it looks like somebody else
BLINK = tuple(ARKIT_NAMES.index(n) for n in ("eyeBlinkLeft", "eyeBlinkRight"))


@dataclass(frozen=True)
class Drive:
    """expression [T, 52] absolute ARKit values; poses [T, 3] yaw, pitch, roll in radians added to the portrait's."""

    expression: np.ndarray
    poses: np.ndarray
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.expression)


def frame_count(seconds: float | Fraction, fps: Fraction) -> int:
    """duration x fps, rounded half up, at least one."""
    return max(1, floor(Fraction(seconds) * fps + Fraction(1, 2)))


def build_drive(shot: Shot, portrait_expression: np.ndarray, device: str) -> Drive:
    """All frames of a shot. `portrait_expression` [52] is what the photo shows: eyes and brows keep it, a smile
    fades to KEPT_SMILE, the mouth is the voice's (or the curves')."""
    from .media import load_audio
    from .speech import motion, track_io
    from .speech.performance import perform

    audio = load_audio(shot.voice) if shot.voice else None
    track = track_io.read_curves(shot.curves) if shot.curves else None
    frames = _length(shot, audio, track)
    warnings: list[str] = []
    rest = portrait_expression.astype(np.float32).copy()
    rest[list(MOUTH)] = 0
    rest[list(SMILES)] = KEPT_SMILE * portrait_expression[list(SMILES)]
    values = np.tile(rest, (frames, 1))
    if track is not None:
        eyes = motion.eye_curves(frames, shot.fps, shot.seed, blink=shot.blink)
        values[:, list(EYES)] += eyes.values[:, list(EYES)]
        values = _with_curves(values, track, track_io.resample(track, shot.fps, frames).values, shot.expression_scale)
    elif audio is not None:
        said = perform(audio, shot.fps, frames, shot.seed, shot.blink, device).values
        scale = np.where(np.isin(np.arange(len(ARKIT_NAMES)), EYES), 1, shot.expression_scale)
        values = values + scale.astype(np.float32) * said
    else:
        values[:, list(EYES)] += motion.eye_curves(frames, shot.fps, shot.seed, blink=shot.blink).values[:, list(EYES)]
    values = np.clip(values, 0, 1.5)
    values[:, list(BLINK)] = np.clip(values[:, list(BLINK)], 0, 1)
    if shot.poses is not None:
        track_of_poses, told = track_io.read_poses(shot.poses, shot.fps, frames)
        warnings += told
    elif shot.still or audio is None:
        track_of_poses = None
    else:
        track_of_poses = motion.head_motion(audio, shot.fps, frames, shot.seed)
    poses = np.zeros((frames, 3))
    if track_of_poses is not None:
        poses = np.stack([track_of_poses.yaw, track_of_poses.pitch, track_of_poses.roll], 1)
    return Drive(values.astype(np.float32), poses, tuple(warnings))


def _with_curves(rest: np.ndarray, track, values: np.ndarray, scale: float) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Curves are absolute where they say something; a channel that is 0 throughout leaves the portrait's own."""
    out = rest.copy()
    told = np.abs(track.values).max(0) > 0
    told[list(MOUTH)] = True
    scaled = np.array([i for i in range(len(ARKIT_NAMES)) if i not in EYES])
    out[:, told] = values[:, told]
    out[:, scaled] = np.where(told[scaled], scale * values[:, scaled], out[:, scaled])
    return out


def _length(shot: Shot, audio: np.ndarray | None, track) -> int:  # type: ignore[no-untyped-def]
    if audio is not None:
        return frame_count(Fraction(len(audio), 16000), shot.fps)
    if track is not None:
        return frame_count(Fraction(len(track.values)) / track.fps, shot.fps)
    import json

    from .settings import parse_fps
    from .speech.track_io import AXES, read_poses

    assert shot.poses is not None  # a Shot without any drive refuses to exist
    read_poses(shot.poses, shot.fps, 1)  # says what is wrong with the file
    data = json.loads(shot.poses.read_text(encoding="utf-8-sig"))
    count = next(len(data[axis]) for axis in AXES if axis in data)
    return frame_count(Fraction(count) / parse_fps(data.get("fps", shot.fps)), shot.fps)
