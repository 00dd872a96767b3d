"""Sound -> 52 ARKit curves at the wanted frame times."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from elocute.errors import BadInput
from elocute.ramps import hann_mean, ramp, runs
from elocute.speech import levels
from elocute.speech.coarticulation import OPENING, SEAL, TARGETS, blend, to_arkit
from elocute.speech.pauses import hold_in_gaps, speech_gate
from elocute.speech.visemes import FRAME_RATE, VISEMES, viseme_probabilities
from elocute.values import ARKIT_NAMES, ExpressionTrack

PP, SIL = VISEMES.index("PP"), VISEMES.index("sil")
CLOSED_AT, OPEN_AT = 0.5, 0.3  # p/b/m probability that closes the lips fully / starts to close them
CLOSURE_RAMP = 5  # frames (10 ms) of the smooth way into and out of a closure; longer ones swallow short vowels
SMOOTHING = 7  # frames (10 ms), Hann: takes the classifier's flicker, keeps 60 ms sounds
STRESS = 0.12  # how much stressed syllables open wider and weak ones less
STRESS_DB = 10.0


def speech_curves(
    audio: np.ndarray,
    fps: Fraction,
    frames: int,
    device: str = "cpu",
    encoder_path: Path | None = None,
) -> ExpressionTrack:
    """Mouth motion for `audio` (float32 [N], mono, 16 kHz) as [frames, 52] in 0..1; frame i shows time i / fps.

    Independent of the recording's loudness. Channels that speech does not drive (eyes, brows, ...) are 0.
    Deterministic. Frames after the sound's end are the neutral mouth.
    """
    if fps <= 0:
        raise BadInput("fps_invalid", f"the frame rate must be positive, got {fps}. Use for example 25 or 24000/1001.")
    probabilities = viseme_probabilities(audio, device=device, encoder_path=encoder_path)
    level = levels.frame_levels(audio)
    return curves_from_visemes(probabilities, level, fps, frames)


def curves_from_visemes(probabilities: np.ndarray, level: np.ndarray, fps: Fraction, frames: int) -> ExpressionTrack:
    """Viseme probabilities [T, 15] and levels in dB [T], both at 100 fps -> ExpressionTrack [frames, 52]."""
    relative = level - levels.voice_level(level)
    shapes = blend(probabilities)
    stress = 1 + STRESS * np.clip(hann_mean(relative, 25) / STRESS_DB + 1.0, -1, 1)
    shapes["jawOpen"] = shapes["jawOpen"] * stress
    held = hold_in_gaps(relative)
    gate = speech_gate(probabilities[:, SIL], relative)
    closure = lip_closure(_sample(probabilities[:, PP], held))
    times = np.arange(frames) / float(fps) * FRAME_RATE  # in 10 ms frames
    gate_at = _sample(gate, times)
    closed = _sample_closure(closure, times)
    sampled = {
        name: _sample(_sample(hann_mean(curve, SMOOTHING), held), times) * gate_at for name, curve in shapes.items()
    }
    for name in OPENING:
        sampled[name] = sampled[name] * (1 - closed)
    for name in SEAL:
        sealed = TARGETS["PP"][name] * closed * gate_at
        sampled[name] = np.maximum(sampled[name] * (1 - closed), sealed)
    return ExpressionTrack(ARKIT_NAMES, np.clip(to_arkit(sampled), 0, 1), fps)


def lip_closure(probability: np.ndarray) -> np.ndarray:
    """Probability of p/b/m [T] -> how far the lips are shut [T]: exactly 1 through every closure, smooth around it."""
    shut = ramp(probability, OPEN_AT, CLOSED_AT)
    return hann_mean(_widest(shut, CLOSURE_RAMP // 2), CLOSURE_RAMP)


def _widest(curve: np.ndarray, reach: int) -> np.ndarray:
    """Maximum over +-reach frames."""
    padded = np.pad(curve, reach)
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).max(1)


def _sample(curve: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Linear interpolation at fractional frame times; 0 after the end."""
    return np.interp(times, np.arange(len(curve)), curve, right=0.0).astype(np.float32)


def _sample_closure(closure: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Sample at fractional frame times so that each run of full closure is full in at least one video frame: where
    no frame falls into a run, the frame nearest to its middle shows it."""
    value = _sample(closure, times)
    if not len(times):
        return value
    middles = runs(closure >= 0.999).mean(1) - 0.5
    step = times[1] - times[0] if len(times) > 1 else 1.0
    nearest = np.rint(middles / step).astype(int)
    value[nearest[nearest < len(times)]] = 1.0
    return value
