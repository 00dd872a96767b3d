"""Loudness: how loud the voice is around each moment, and when nobody speaks.

Everything here looks at 10 ms frames, centred at multiples of 10 ms like the spectra.
"""

from __future__ import annotations

import numpy as np

FRAME_RATE = 100
HOP = 160
FRAME = 400
# Where the loud parts of speech (95th percentile of frame RMS) are put before the networks hear them. It equals
# what peak-normalised speech (peak 0.7, as in training) has, but a click can't make everything else quiet.
SPEECH_RMS = 0.2
WINDOW_SECONDS, STEP_SECONDS = 16.0, 4.0  # local level of long recordings: longer than a sentence
MAX_LOCAL_DB = 24.0  # a passage this much under the loud parts is background, not a quiet speaker


def frame_levels(audio: np.ndarray) -> np.ndarray:
    """RMS level in dB of float32 [N] -> float32 [1 + N // 160], 25 ms frames."""
    frames = 1 + len(audio) // HOP
    levels = np.empty(frames, np.float32)
    step = 60 * FRAME_RATE  # a minute at a time: bounds memory
    for start in range(0, frames, step):
        end = min(frames, start + step)
        low, high = start * HOP - FRAME // 2, (end - 1) * HOP + FRAME // 2
        part = np.pad(audio[max(0, low) : high], (max(0, -low), max(0, high - len(audio))))
        energy = np.cumsum(np.concatenate([[0.0], np.square(part, dtype=np.float64)]))
        at = np.arange(end - start) * HOP
        levels[start:end] = 10 * np.log10(np.maximum(energy[at + FRAME] - energy[at], 0) / FRAME + 1e-12)
    return levels


def voice_level(levels: np.ndarray) -> np.ndarray:
    """Level in dB of the loud parts of speech around each frame [T] -> [T]: constant for short clips, slowly moving
    in long recordings so that a quiet speaker is heard as well as a loud one."""
    whole = float(np.percentile(levels, 95))
    window, step = int(WINDOW_SECONDS * FRAME_RATE), int(STEP_SECONDS * FRAME_RATE)
    if len(levels) <= window:
        return np.full(len(levels), whole, np.float32)
    starts = np.arange(0, len(levels) - window // 2, step)
    local = np.array([np.percentile(levels[start : start + window], 95) for start in starts])
    local = np.maximum(local, whole - MAX_LOCAL_DB)
    return np.interp(np.arange(len(levels)), starts + window / 2, local).astype(np.float32)


def gain(level: np.ndarray) -> np.ndarray:
    """Factor that puts a voice of `level` dB at the level the networks were trained at."""
    return (SPEECH_RMS * 10 ** (-level / 20)).astype(np.float32)
