"""What drives a published generator's person: Basel expressions and head poses for every frame of a shot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...drive import Drive, Inputs, head_poses
from ...head.basel import EXPRESSION
from ...settings import CurvesSettings, Shot
from ...speech.audio2exp import SCALE, voice_expressions
from ...speech.track_io import resample
from ...values import AS_IN_PORTRAIT, BASEL_NAMES, ExpressionTrack, Placements

if TYPE_CHECKING:
    from .weights import Networks


def arkit_curves(audio: np.ndarray, settings: CurvesSettings, frames: int, device: str) -> ExpressionTrack:
    """What SadTalker hears in a voice, as ARKit curves, with the blinks and the gaze that it doesn't know."""
    from ...speech.motion import eye_curves
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
    curves in ARKit units by their conversion. Poses are told against the portrait's `own` placement."""
    rest = coefficients[EXPRESSION].astype(np.float32)
    frames, warnings = inputs.frames, []
    if inputs.curves is not None:
        told = networks.conversion.arkit_to_basel(resample(inputs.curves, shot.fps, frames))
        values = rest + shot.expression_scale * told.values
        missing = inputs.curves.values[:, networks.conversion.carried < 0.5].any()
        if missing:
            warnings.append("the Basel face has nothing for some of the curves, such as gaze and tongue")
    elif inputs.audio is not None:
        scale = SCALE * shot.expression_scale
        values = voice_expressions(
            networks.speech, inputs.audio, rest, shot.fps, frames, shot.reference, scale
        ).values
    else:
        values = np.tile(rest, (frames, 1))
    still = shot.reference and not shot.poses  # the published programs know no motion of their own
    poses, said = head_poses(shot, own, None if still else inputs.audio, frames)
    angles = np.stack([poses.yaw, poses.pitch, poses.roll], 1)
    views = poses.views or (AS_IN_PORTRAIT,) * frames
    return Drive(values.astype(np.float32), angles, views, (*warnings, *said), BASEL_NAMES)
