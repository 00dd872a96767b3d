"""Visemes -> mouth shapes over time: whose shape wins where neighbouring sounds want different things.

Dominance functions after Cohen and Massaro (1993): each sound pulls each articulator with a strength that rises
before it and decays after it; the shape is the weighted mean of the targets. Here the pull of a viseme is its
probability over time, spread by a two-sided exponential, so that no segmentation has to be decided first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from elocute.speech.visemes import FRAME_RATE, VISEMES
from elocute.values import ARKIT_NAMES

# Target shapes. A name without side stands for both sides. Jaw openings follow how far each sound parts the lips in
# conversation (1 parts the model's lips by 38 mm, an open vowel by 15); "sil" is the neutral face. tongueOut is left
# alone: at speech openings the blend shape, made for a tongue stuck out, pushes through the lips.
TARGETS: dict[str, dict[str, float]] = {
    "sil": {},
    "PP": {"mouthPress": 0.35, "mouthRollLower": 0.16, "mouthRollUpper": 0.16},
    "FF": {"jawOpen": 0.05, "mouthRollLower": 0.45, "mouthShrugLower": 0.22, "mouthUpperUp": 0.22},
    "TH": {"jawOpen": 0.10, "mouthLowerDown": 0.12, "mouthUpperUp": 0.08},
    "DD": {"jawOpen": 0.10, "mouthLowerDown": 0.10, "mouthUpperUp": 0.06},
    "kk": {"jawOpen": 0.11, "mouthLowerDown": 0.06},
    "CH": {"jawOpen": 0.05, "mouthFunnel": 0.25, "mouthPucker": 0.30},
    "SS": {"jawOpen": 0.04, "mouthStretch": 0.20, "mouthLowerDown": 0.16, "mouthUpperUp": 0.10},
    "nn": {"jawOpen": 0.10, "mouthLowerDown": 0.08},
    "RR": {"jawOpen": 0.10, "mouthFunnel": 0.10, "mouthPucker": 0.30},
    "aa": {"jawOpen": 0.39, "mouthLowerDown": 0.14, "mouthUpperUp": 0.06},
    "E": {"jawOpen": 0.26, "mouthStretch": 0.16, "mouthSmile": 0.11, "mouthDimple": 0.06, "mouthLowerDown": 0.12},
    "ih": {"jawOpen": 0.15, "mouthStretch": 0.26, "mouthSmile": 0.20, "mouthDimple": 0.08, "mouthLowerDown": 0.10},
    "oh": {"jawOpen": 0.31, "mouthFunnel": 0.36, "mouthPucker": 0.26},
    "ou": {"jawOpen": 0.13, "mouthFunnel": 0.18, "mouthPucker": 0.66},
}


@dataclass(frozen=True)
class Articulator:
    """Channels that move together. `pull` is a viseme's strength on them (1 unless named); `before` and `after` are
    the time constants in seconds of the pull ahead of and behind a sound."""

    channels: tuple[str, ...]
    pull: dict[str, float]
    before: float
    after: float
    wide: tuple[str, ...] = ()  # visemes that start early and end late
    wide_before: float = 0.0
    wide_after: float = 0.0


_TONGUE_ONLY = {"TH": 0.12, "DD": 0.08, "kk": 0.08, "nn": 0.08}  # what these sounds need happens behind the teeth
_ROUNDED = ("oh", "ou", "CH", "RR")

ARTICULATORS = (
    Articulator(
        ("jawOpen",),
        {"kk": 0.6, "nn": 0.7, "DD": 0.7, "RR": 0.8, "SS": 1.3, "FF": 1.2, "CH": 1.2},
        before=0.018,
        after=0.018,
    ),
    Articulator(
        ("mouthFunnel", "mouthPucker"),
        {**_TONGUE_ONLY, "PP": 0.15, "FF": 0.35, "SS": 0.35, "sil": 0.7, "RR": 0.6, "aa": 0.6, "E": 0.7},
        before=0.025,
        after=0.030,
        wide=_ROUNDED,
        wide_before=0.090,  # lips round about 100-150 ms ahead of a rounded vowel
        wide_after=0.070,
    ),
    Articulator(
        ("mouthStretch", "mouthSmile", "mouthDimple"),
        {**_TONGUE_ONLY, "PP": 0.3, "FF": 0.4, "aa": 0.6},
        before=0.035,
        after=0.045,
    ),
    Articulator(
        ("mouthLowerDown", "mouthUpperUp", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthPress"),
        {"TH": 0.4, "DD": 0.3, "kk": 0.3, "nn": 0.3, "PP": 1.5, "FF": 1.8},
        before=0.022,
        after=0.022,
    ),
)

SIDED = ("mouthStretch", "mouthSmile", "mouthDimple", "mouthLowerDown", "mouthUpperUp", "mouthPress")
OPENING = ("jawOpen", "mouthLowerDown", "mouthUpperUp", "mouthFunnel")  # what has to go when the lips meet
SEAL = ("mouthPress", "mouthRollLower", "mouthRollUpper")


def blend(probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """Viseme probabilities [T, 15] at 100 fps -> channel (without side) -> [T] in 0..1."""
    shapes: dict[str, np.ndarray] = {}
    for articulator in ARTICULATORS:
        pulls = np.empty_like(probabilities)
        for index, viseme in enumerate(VISEMES):
            wide = viseme in articulator.wide
            kernel = _spread(
                articulator.wide_before if wide else articulator.before,
                articulator.wide_after if wide else articulator.after,
            )
            pulls[:, index] = articulator.pull.get(viseme, 1.0) * _filter(probabilities[:, index], kernel)
        pulls /= np.maximum(pulls.sum(1, keepdims=True), 1e-6)
        for channel in articulator.channels:
            targets = np.array([TARGETS[viseme].get(channel, 0.0) for viseme in VISEMES], np.float32)
            shapes[channel] = pulls @ targets
    return shapes


def to_arkit(shapes: dict[str, np.ndarray]) -> np.ndarray:
    """Channels without side, [T] each -> float32 [T, 52] in ARKIT_NAMES order, both sides alike."""
    frames = len(next(iter(shapes.values())))
    values = np.zeros((frames, len(ARKIT_NAMES)), np.float32)
    for channel, curve in shapes.items():
        for name in (channel + "Left", channel + "Right") if channel in SIDED else (channel,):
            values[:, ARKIT_NAMES.index(name)] = curve
    return values


def _spread(before: float, after: float) -> np.ndarray:
    """Two-sided exponential, sum 1. Convolved with a sound's probability it pulls `before` seconds ahead of the
    sound and `after` seconds behind it."""
    reach = int(4 * max(before, after) * FRAME_RATE) + 1
    lag = np.arange(-reach, reach + 1) / FRAME_RATE  # negative: ahead of the sound
    kernel = np.where(lag < 0, np.exp(lag / before), np.exp(-lag / after))
    return (kernel / kernel.sum()).astype(np.float32)


def _filter(curve: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Centred convolution of [T] with an odd kernel; the ends hold their value."""
    half = len(kernel) // 2
    return np.convolve(np.pad(curve, half, mode="edge"), kernel, "valid")
