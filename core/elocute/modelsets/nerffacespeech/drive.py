"""What drives a published generator's person: Basel expressions and head poses for every frame of a shot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...drive import EYES, Drive, Inputs, head_poses, may_need_voice, video_shares
from ...driving.retime import at_shot
from ...head.basel import EXPRESSION
from ...models.official import imported
from ...settings import CurvesSettings, Shot
from ...speech.audio2exp import SCALE, voice_expressions
from ...speech.motion import eye_curves
from ...speech.track_io import resample
from ...values import ARKIT_NAMES, AS_IN_PORTRAIT, BASEL_NAMES, BLINK, ExpressionTrack, Placements
from ...warm import Latest, file_state
from .regions import mixed

if TYPE_CHECKING:
    from .weights import Networks


_said: Latest[ExpressionTrack] = Latest()
LOST = 0.5  # of a unit's movement: a unit of which less arrives is said to be missing


def arkit_curves(audio: np.ndarray, settings: CurvesSettings, frames: int, device: str) -> ExpressionTrack:
    """What SadTalker hears in a voice, as ARKit curves, with the blinks and the gaze that it doesn't know."""
    from .weights import Networks

    networks = Networks(device)
    rest = np.zeros(EXPRESSION.stop - EXPRESSION.start)
    said = voice_expressions(networks.speech, audio, rest, settings.fps, frames)
    track = networks.conversion.basel_to_arkit(said)
    eyes = eye_curves(frames, settings.fps, settings.seed, settings.blink)
    return ExpressionTrack(track.names, np.clip(track.values + eyes.values, 0, 1), settings.fps)


def build_official_drive(
    shot: Shot, inputs: Inputs, networks: Networks, coefficients: np.ndarray, own: Placements
) -> Drive:
    """All frames of a shot. The face rests as the fitted `coefficients` [257] have it; a voice moves it by SadTalker,
    curves in ARKit units by their conversion, a video by what Deep3DFaceRecon reads in it. SadTalker is asked for no
    blinks, as in the published programs; by default the same seeded ones as the embedded set's are added. Poses are
    told against the portrait's `own` placement."""
    rest = coefficients[EXPRESSION].astype(np.float32)
    warnings: list[str] = []
    if inputs.curves is not None:
        values = rest + _curves(shot, inputs, networks, warnings)
    elif inputs.sound is not None and inputs.audio is not None and may_need_voice(shot):
        values = _voice(inputs.audio, inputs.sound, rest, shot, inputs.frames, networks).values
    else:
        values = np.tile(rest, (inputs.frames, 1))
    if not shot.reference and _leaves_eyes(inputs.curves):
        values = values + _blinks(shot, inputs.frames, rest, networks)
    if inputs.driver is not None:
        video = at_shot(inputs.driver, shot.fps, inputs.frames, shot.poses_fit, 0)
        # The published program puts the video's face in place of the portrait's.
        seen = (0 if shot.reference else rest) + shot.expression_scale * video.expression
        mouth, eyes, others = video_shares(shot)
        eyes = eyes if shot.blink else 0.0  # of these the Basel face has the lids alone, which then stay as they are
        values = mixed(values, seen, (mouth, eyes, others), networks.conversion.basel_moves)
    # The published programs know no motion of their own.
    poses, said = head_poses(shot, own, replace(inputs, audio=None) if shot.reference else inputs)
    angles = np.stack([poses.yaw, poses.pitch, poses.roll], 1)
    views = poses.views or (AS_IN_PORTRAIT,) * inputs.frames
    return Drive(values.astype(np.float32), angles, views, (*warnings, *said), BASEL_NAMES)


def _voice(
    audio: np.ndarray, file: Path, rest: np.ndarray, shot: Shot, frames: int, networks: Networks
) -> ExpressionTrack:  # fmt: skip
    """What SadTalker hears in a voice, for a face that rests as `rest` [64] has it."""
    how = (shot.fps, frames, shot.reference, SCALE * shot.expression_scale)
    key = (file_state(file), imported("speech_expression").sha256, networks.device, rest.tobytes(), *how)
    return _said.get(key, lambda: voice_expressions(networks.speech, audio, rest, *how))


def _leaves_eyes(curves: ExpressionTrack | None) -> bool:
    """Whether nothing says what the eyes do: a voice doesn't, nor do ARKit curves that leave them at rest."""
    return curves is None or (curves.names == ARKIT_NAMES and not curves.values[:, list(EYES)].any())


def _blinks(shot: Shot, frames: int, rest: np.ndarray, networks: Networks) -> np.ndarray:
    """What blinks add to a face that rests as `rest` [64] has it, [T, 64]: lids shut from where they are at rest."""
    track = eye_curves(frames, shot.fps, shot.seed, shot.blink, look=False)
    at_rest = networks.conversion.basel_to_arkit(ExpressionTrack(BASEL_NAMES, rest[None], shot.fps)).values[0]
    track.values[:, list(BLINK)] *= 1 - at_rest[list(BLINK)]
    return np.asarray(networks.conversion.arkit_to_basel(track).values)


def _curves(shot: Shot, inputs: Inputs, networks: Networks, warnings: list[str]) -> np.ndarray:
    """What edited curves add to the face, [T, 64]: Basel coefficients as they are, ARKit units by their conversion."""
    assert inputs.curves is not None
    track = resample(inputs.curves, shot.fps, inputs.frames)
    if track.names != BASEL_NAMES:
        if track.values[:, networks.conversion.carried < LOST].any():
            warnings.append("the Basel face has nothing for some of the curves, such as gaze and tongue")
        track = networks.conversion.arkit_to_basel(track)
    return shot.expression_scale * np.asarray(track.values)
