"""Everything a voice makes the face do, in one track: mouth, blinks, gaze, brows."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from elocute.speech.curves import speech_curves
from elocute.speech.motion import brow_curves, eye_curves
from elocute.values import ExpressionTrack


def perform(
    audio: np.ndarray, fps: Fraction, frames: int, seed: int = 0, blink: bool = True, device: str = "cpu"
) -> ExpressionTrack:
    """Face motion for `audio` (float32 [N], mono, 16 kHz): [frames, 52] in 0..1, frame i at i / fps seconds.

    The same seed makes the same track. Raises what `speech_curves` raises.
    """
    mouth = speech_curves(audio, fps, frames, device)
    eyes = eye_curves(frames, fps, seed, blink)
    brows = brow_curves(audio, fps, frames, seed)
    values = np.clip(mouth.values + eyes.values + brows.values, 0, 1)
    return ExpressionTrack(mouth.names, values, fps)
