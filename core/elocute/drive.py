"""What drives the head: expression and pose for every frame of a shot, from voice, curves, poses and seed."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .errors import BadInput
from .footage import LONGEST_SECONDS, Footage, of_pictures, open_footage
from .media import SAMPLE_RATE, hear, minutes
from .settings import Shot
from .values import ARKIT_NAMES, AS_IN_PORTRAIT, BLINK, MOUTH, ExpressionTrack, Placements, PoseTrack, View
from .warm import Latest, file_state

if TYPE_CHECKING:
    from .driving.follow import Followed, Tick

EYES = tuple(i for i, name in enumerate(ARKIT_NAMES) if name.startswith(("eyeBlink", "eyeLook")))
SMILES = tuple(i for i, n in enumerate(ARKIT_NAMES) if n.startswith(("mouthSmile", "mouthDimple", "mouthFrown")))
MOST_OF_A_UNIT = 1.5  # the portrait's own share included: beyond it any mesh tears
KEPT_SMILE = 0.8  # of the portrait's own smile stays while it speaks: a face that drops it looks like somebody else
REGION = np.array([
    0 if i in MOUTH else 1 if name.startswith("eye") else 2 for i, name in enumerate(ARKIT_NAMES)
])  # of each unit: mouth, eyes, the rest  # fmt: skip
# Lips that close over an open jaw: ARKit's mouthClose takes back what jawOpen parts, and never more.
CLOSE, JAW = ARKIT_NAMES.index("mouthClose"), ARKIT_NAMES.index("jawOpen")

_heard: Latest[tuple[np.ndarray, list[str]]] = Latest()
_said: Latest[ExpressionTrack] = Latest()
_leader: Latest[Followed] = Latest()
_driver: Latest[Followed] = Latest()


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
    """What drives a shot, read and checked: what can be refused before a fit. The voice (16 kHz) and the file it is
    in, curves, number of frames, the heads of `poses_from` and `drive`, and what to tell about the files."""

    audio: np.ndarray | None
    curves: ExpressionTrack | None
    frames: int
    sound: Path | None = None
    leader: Followed | None = None
    driver: Followed | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """How a model set reads what drives a shot: the units of curves that it takes, and how it follows a video (by
    landmarks when nothing is said; `key` names another way)."""

    units: tuple[tuple[str, ...], ...] = (ARKIT_NAMES,)
    follow: Callable[[Footage, Tick | None], Followed] | None = None
    key: Hashable = ""


def read_inputs(shot: Shot, tick: Tick | None = None, reading: Reading | None = None) -> Inputs:
    """Read the files that drive a shot; `tick` hears how far a video is followed. Raises BadInput as `load_audio`,
    `curves_and_notes`, `read_poses`, `open_footage` and `follow` do."""
    reading = reading or Reading()
    from .speech.pose_io import read_poses
    from .speech.track_io import curves_and_notes

    track, notes = curves_and_notes(shot.curves, reading.units) if shot.curves else (None, [])
    if shot.poses:
        read_poses(shot.poses, shot.fps, 1)
    leading, driving = (open_footage(path) if path else None for path in (shot.poses_from, shot.drive))
    sound = shot.voice or (shot.drive if shot.drive and _has_sound(shot.drive, shot.reference) else None)
    audio, cut = _hear(sound, shot.reference) if sound else (None, [])
    seconds = _seconds(shot, audio, track, driving or leading)
    if seconds > LONGEST_SECONDS:
        how_long = f"the shot lasts {minutes(seconds)}; the limit is 1 hour"
        raise BadInput("shot_too_long", f"{how_long}. Cut it into parts.")
    leader = _followed(leading, _leader, tick, reading)
    driver = _followed(driving, _driver, tick, reading)
    if (followed := driver or leader) and not shot.voice and track is None:  # as many frames as there really were
        seconds = Fraction(len(followed)) / (followed.fps or shot.fps)
    frames = frame_count(seconds, shot.fps, shot.reference and shot.voice is not None)
    notes = [*cut, *notes, *_curves_length(shot, track, seconds, frames)]
    return Inputs(audio, track, frames, sound, leader, driver, tuple(notes))


def _curves_length(shot: Shot, track: ExpressionTrack | None, seconds: Fraction, frames: int) -> list[str]:
    """What to tell when curves and the shot are not as long as each other, which rounding to whole frames may make
    them; nothing of what lies beyond the frames that are asked for."""
    if track is None or shot.curves is None:
        return []
    rows, last = len(track.values), min(shot.frames[1], frames) if shot.frames else frames
    more = rows * shot.fps / track.fps - frame_count(seconds, shot.fps)  # in frames
    held = last - (rows - 1) * shot.fps // track.fps - 1
    if abs(more) <= max(Fraction(1), shot.fps / track.fps) or (held <= 0 if more < 0 else last < frames):
        return []
    way = f"fewer than the shot's {frames} frames at {shot.fps} fps: the last row is held"
    way += f" for {held} frame{'s' if held > 1 else ''}"
    if more > 0:
        way = f"more than the shot's {frames} frames at {shot.fps} fps: the rest is not used"
    return [f"{shot.curves.name} has {rows} row{'s' if rows > 1 else ''} at {track.fps} fps, {way}"]


def _hear(path: Path, reference: bool) -> tuple[np.ndarray, list[str]]:
    """A file's sound and what to tell about it, from memory when it was heard before. The published programs leave
    a constant offset in it."""
    return _heard.get((file_state(path), reference), lambda: hear(path, keep_offset=reference))


def _has_sound(path: Path, reference: bool) -> bool:
    """Whether a video has sound that somebody could hear; pictures haven't."""
    if of_pictures(path):
        return False
    try:
        _hear(path, reference)
    except BadInput as error:
        if error.code in ("audio_no_track", "audio_silent", "audio_too_short", "audio_empty"):
            return False
        raise
    return True


def _followed(
    footage: Footage | None, kept: Latest[Followed], tick: Tick | None, reading: Reading
) -> Followed | None:
    from .driving.follow import follow

    if footage is None:
        return None
    states = tuple(file_state(path) for path in footage.files or (footage.path,))
    return kept.get((states, reading.key), lambda: (reading.follow or follow)(footage, tick))


def frame_count(seconds: float | Fraction, fps: Fraction, whole: bool = False) -> int:
    """duration x fps, rounded half up, at least one. `whole`: only frames that last to their end, as the published
    programs count those of a voice."""
    return max(1, floor(Fraction(seconds) * fps + (0 if whole else Fraction(1, 2))))


def resting_face(portrait_expression: np.ndarray) -> np.ndarray:
    """What curves are added to, float32 [52], of what the photo shows: eyes and brows keep it, the mouth closes, a
    smile fades to KEPT_SMILE."""
    rest = portrait_expression.astype(np.float32).copy()
    rest[list(MOUTH)] = 0
    rest[list(SMILES)] = KEPT_SMILE * portrait_expression[list(SMILES)]
    return rest


def add_to_face(rest: np.ndarray, said: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """A resting face [52] with curves [..., 52] on it; `scale` strengthens all but the eyes. float32 [..., 52]."""
    values = np.clip(_sum(rest, said, scale), 0, MOST_OF_A_UNIT)
    values[..., list(BLINK)] = np.clip(values[..., list(BLINK)], 0, 1)
    return values.astype(np.float32)


def _sum(rest: np.ndarray, said: np.ndarray, scale: float) -> np.ndarray:
    scales = np.where(np.isin(np.arange(len(ARKIT_NAMES)), EYES), 1, scale)
    return np.asarray(rest + scales.astype(np.float32) * said)


def build_drive(
    shot: Shot, portrait_expression: np.ndarray, device: str, inputs: Inputs | None = None,
    own: Placements | None = None,
) -> Drive:  # fmt: skip
    """All frames of a shot. The face rests as `portrait_expression` [52], what the photo shows, has it; the voice's
    performance is added, or the curves, which take its place. Poses are told against `own`, the portrait's placement
    before its camera. `inputs` when they were read before."""
    from .driving.retime import at_shot
    from .speech import motion
    from .speech.performance import perform
    from .speech.track_io import resample

    inputs = inputs or read_inputs(shot)
    audio, track, frames = inputs.audio, inputs.curves, inputs.frames
    video = at_shot(inputs.driver, shot.fps, frames, shot.poses_fit, 0) if inputs.driver else None
    if track is not None:
        said = resample(track, shot.fps, frames).values
    elif audio is not None and inputs.sound is not None and may_need_voice(shot):
        how = (shot.fps, frames, shot.seed, shot.blink, device)
        said = _said.get((file_state(inputs.sound), *how), lambda: perform(audio, *how)).values
    else:
        said = np.zeros((frames, len(ARKIT_NAMES)), np.float32)
    if not said[:, list(EYES)].any():  # curves that leave the eyes alone get eyes that live
        said = said + motion.eye_curves(frames, shot.fps, shot.seed, blink=shot.blink).values
    if video is not None:
        share = np.array(video_shares(shot), np.float32)[REGION]
        if not shot.blink:  # lids stay as they are: open, or as edited curves have them
            share[list(BLINK)] = 0
        said = said + share * (video.expression - said)
    rest = resting_face(portrait_expression)
    values = add_to_face(rest, said, shot.expression_scale)
    values[:, CLOSE] = np.minimum(values[:, CLOSE], values[:, JAW])
    poses, warnings = head_poses(shot, own, inputs)
    if track is not None:
        first, last = shot.frames or (1, frames)
        warnings += _too_strong(_sum(np.zeros_like(rest), said[first - 1 : last], shot.expression_scale), rest)
    angles = np.stack([poses.yaw, poses.pitch, poses.roll], 1)
    return Drive(values, angles, poses.views or (AS_IN_PORTRAIT,) * frames, tuple(warnings))


def _too_strong(said: np.ndarray, rest: np.ndarray) -> list[str]:
    """What to tell about curves [T, 52] that ask for more than a face shows, added to its `rest` [52]. Those within 1
    ask for nothing unusual, however much the photo has of it."""
    highest = said.max(0)
    beyond = np.flatnonzero((highest > 1 + 1e-3) & (highest + rest > MOST_OF_A_UNIT + 1e-3))
    over = [f"{ARKIT_NAMES[i]} {highest[i] + rest[i]:.3g}" for i in beyond]
    more = f" and {len(over) - 3} more" if len(over) > 3 else ""
    return [f"curves go higher than a face can, which is {MOST_OF_A_UNIT}: {', '.join(over[:3])}{more}"] if over else []


def video_shares(shot: Shot) -> tuple[float, float, float]:
    """Of the video in mouth, eyes and the rest, as REGION counts them."""
    return shot.drive_mouth_share, shot.drive_eyes, shot.drive_brows


def input_notes(shot: Shot, inputs: Inputs) -> list[str]:
    """What to tell about the files that drive a shot, among it that a video has no sound and gets none from a voice."""
    told = list(inputs.notes)
    if shot.drive is None or inputs.sound is not None:
        return told
    film = shot.drive.name or Path(shot.drive).absolute().name
    # Not of the eyes: those live by themselves where nothing else moves them.
    parts = {"drive_mouth": shot.drive_mouth_share, "drive_brows": shot.drive_brows}
    weaker = [f"{name} {share:g}" for name, share in parts.items() if share < 1]
    if weaker and inputs.curves is None:
        told.append(f"no voice adds to {film}: its movement is only weakened by {' and '.join(weaker)}")
    if shot.output:
        told.append(f"{shot.output.name} has no sound, as {film} has none and no voice is given")
    return told


def may_need_voice(shot: Shot) -> bool:
    """Whether a voice model moves the face, should a driving video have sound: what can be asked before a file is
    decoded."""
    if shot.curves or (shot.drive and min(video_shares(shot)) == 1):
        return False
    return shot.voice is not None or (shot.drive is not None and not of_pictures(shot.drive))


def head_poses(shot: Shot, own: Placements | None, inputs: Inputs) -> tuple[PoseTrack, list[str]]:
    """Where the head looks in each frame, from the shot's poses, a video or the voice, and what to tell."""
    from .driving.retime import at_shot, difference, placements
    from .spaces import poses_against
    from .speech import motion
    from .speech.pose_io import read_poses

    frames = inputs.frames
    heads = ((shot.poses_from, inputs.leader), (shot.drive, inputs.driver))
    told = []
    for path, head in heads:
        if path and head:
            told += head.warnings(path.name)
            told += difference(head, shot.fps, frames, shot.poses_fit, path.name, shot.frames)
    leads = shot.poses or shot.poses_from
    if leads and shot.drive and not shot.still:
        told.append(f"the head follows {leads.name}; {shot.drive.name} moves the face alone")
    if shot.still:
        unused = [path.name for path in (shot.poses, shot.poses_from) if path]
        return PoseTrack(*np.zeros((3, frames))), told + [f"still: {name} is not used" for name in unused]
    if shot.poses:
        track, more = read_poses(shot.poses, shot.fps, frames, own, not shot.reference, shot.frames)
        return track, told + more
    for _, head in heads:
        if head and own:
            there = at_shot(head, shot.fps, frames, shot.poses_fit, shot.poses_smooth_seconds)
            placed = placements(there, own, shot.poses_move_share)
            track, more = poses_against(own, placed, not shot.reference, shot.frames)
            return track, told + more
    if inputs.audio is not None:
        return motion.head_motion(inputs.audio, shot.fps, frames, shot.seed), told
    return PoseTrack(*np.zeros((3, frames))), told


def _seconds(
    shot: Shot, audio: np.ndarray | None, track: ExpressionTrack | None, footage: Footage | None
) -> Fraction:
    """The voice decides how long a shot is, without one the curves, the followed video, then a pose file."""
    if audio is not None and shot.voice:
        return Fraction(len(audio), SAMPLE_RATE)
    if track is not None:
        return Fraction(len(track.values)) / track.fps
    if footage is not None:
        return Fraction(footage.count) / (footage.fps or shot.fps)
    from .speech.pose_io import poses_seconds

    assert shot.poses is not None  # a Shot without any drive refuses to exist
    return poses_seconds(shot.poses, shot.fps)
