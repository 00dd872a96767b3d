"""What the voice does not say: blinks, gaze and small head motion, from seeded generators.

Every generator is deterministic in its arguments, works at any frame rate and is cheap. Curves are made at the
frames' own times, so that another frame rate samples the same motion.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from elocute.ramps import hann_mean, smooth_step
from elocute.speech import levels
from elocute.values import ARKIT_NAMES, LOOK_DOWN, LOOK_SIDE, LOOK_UP, ExpressionTrack, PoseTrack

BLINK_GAP = (2.6, 4.0)  # seconds between blinks: 15 to 23 a minute, about 18 on average
# Seconds: lids fall faster than they rise, and slowly enough for a half shut one on the way at 24 frames a second.
BLINK_SHUT, BLINK_HOLD, BLINK_REOPEN = 0.12, 0.03, 0.18
BLINK_CLEAR = 0.4  # seconds without a blink at the start and the end: first and last frame show open eyes
SACCADE_GAP = (0.7, 2.8)
SACCADE_YAW, SACCADE_PITCH = np.radians(3.0), np.radians(1.6)  # most gaze shifts between words are within these
SACCADE_SECONDS = 0.045
HEAD_YAW, HEAD_PITCH, HEAD_ROLL = np.radians(3.0), np.radians(2.0), np.radians(1.5)
NOD_DOWN, NOD_UP = 0.22, 0.40  # seconds
BROW_SHARE = 0.4  # of the strongest accents also lift the brows
_CONTROL = 100  # frames a second at which head motion is computed before sampling


def blink_times(seconds: float, seed: int) -> np.ndarray:
    """Start times in seconds of natural blinks in a clip of `seconds`."""
    rng = np.random.default_rng([seed, 1])
    last = seconds - BLINK_CLEAR - BLINK_SHUT - BLINK_HOLD - BLINK_REOPEN
    times = []
    at = float(rng.uniform(0.8, 1.3))  # the first one comes early: also a 3 s clip shows that this person lives
    while at < last:
        times.append(at)
        at += float(rng.uniform(*BLINK_GAP))
    return np.array(times)


def blinks(frames: int, fps: Fraction, seed: int) -> np.ndarray:
    """Lid closure float32 [frames] in 0..1; every blink is fully shut in at least one frame at any rate from 10 fps."""
    times = np.arange(frames) / float(fps)
    closure = np.zeros(frames, np.float32)
    for start in blink_times(frames / float(fps), seed):
        part = _span(times, start, start + BLINK_SHUT + BLINK_HOLD + BLINK_REOPEN)
        local = times[part] - start
        shut = BLINK_SHUT + BLINK_HOLD
        closure[part] = smooth_step(local, 0, BLINK_SHUT) * smooth_step(local, shut + BLINK_REOPEN, shut)
        # The frame nearest the shut moment shows it, however short the blink is in frames.
        closure[min(frames - 1, round((start + BLINK_SHUT + BLINK_HOLD / 2) * float(fps)))] = 1.0
    return closure


def gaze(frames: int, fps: Fraction, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Small saccades around the camera: (yaw, pitch) radians [frames], yaw + to the viewer's right, pitch + up."""
    rng = np.random.default_rng([seed, 2])
    times = np.arange(frames) / float(fps)
    end = frames / float(fps)
    knots, targets = [0.0], [np.zeros(2)]
    at = float(rng.uniform(*SACCADE_GAP))
    while at < end:
        # Every other fixation is on the viewer, so that the eyes hold contact and never wander off.
        away = rng.random() < 0.5
        target = np.clip(rng.normal(0, 0.5, 2), -1, 1) * (SACCADE_YAW, SACCADE_PITCH) if away else np.zeros(2)
        knots += [at, at + SACCADE_SECONDS]
        targets += [targets[-1], target]
        at += float(rng.uniform(*SACCADE_GAP))
    yaw, pitch = (np.interp(times, knots, axis).astype(np.float32) for axis in np.transpose(targets))
    return yaw, pitch


def eye_curves(frames: int, fps: Fraction, seed: int, blink: bool = True, look: bool = True) -> ExpressionTrack:
    """Blinks and gaze as ARKit curves [frames, 52]; all other curves are 0. Add it to a speech track."""
    values = np.zeros((frames, len(ARKIT_NAMES)), np.float32)
    column = {name: index for index, name in enumerate(ARKIT_NAMES)}
    if blink:
        lids = blinks(frames, fps, seed)
        values[:, column["eyeBlinkLeft"]] = values[:, column["eyeBlinkRight"]] = lids
    if look:
        yaw, pitch = gaze(frames, fps, seed)
        side, up, down = yaw / LOOK_SIDE, pitch / LOOK_UP, -pitch / LOOK_DOWN
        # The viewer's right is the subject's left: the left eye turns out, the right eye turns in.
        for name, curve in {
            "eyeLookOutLeft": side, "eyeLookInRight": side, "eyeLookInLeft": -side, "eyeLookOutRight": -side,
            "eyeLookUpLeft": up, "eyeLookUpRight": up, "eyeLookDownLeft": down, "eyeLookDownRight": down,
        }.items():  # fmt: skip
            values[:, column[name]] = np.clip(curve, 0, 1)
    return ExpressionTrack(ARKIT_NAMES, values, fps)


def head_motion(audio: np.ndarray, fps: Fraction, frames: int, seed: int) -> PoseTrack:
    """Small natural head motion that follows the voice `audio` (float32 [N], 16 kHz): slow drift while speaking,
    a nod on stressed syllables, near stillness in silence. Radians [frames], starting at 0; within +-3 degrees of yaw,
    +-2 of pitch, +-1.5 of roll."""
    rng = np.random.default_rng([seed, 3])
    length = int(frames / float(fps) * _CONTROL) + 2
    activity, accents = _voice_drive(audio, length)
    drift = np.stack([_wander(length, slowest, rng) for slowest in (5.0, 4.0, 6.0)], 1)  # [T, 3] in about -1..1
    # Drift advances only while somebody speaks: in silence the head stays where it is instead of snapping back.
    phase = np.cumsum(0.04 + 0.96 * activity)
    drift = np.stack([np.interp(phase, np.arange(length), axis) for axis in drift.T], 1)
    nod = np.zeros(length)
    side = np.zeros(length)
    clock = np.arange(length) / _CONTROL
    for at, strength in accents:
        part = _span(clock, at / _CONTROL - NOD_DOWN, at / _CONTROL + NOD_UP)
        shape = strength * _bump(clock[part] - at / _CONTROL)
        nod[part] -= shape
        side[part] += shape * rng.normal(0, 0.35)
    angles = np.stack(
        [
            HEAD_YAW * (0.8 * drift[:, 0] + 0.2 * side),
            HEAD_PITCH * (0.5 * drift[:, 1] + 0.6 * nod),
            HEAD_ROLL * (0.75 * drift[:, 2] + 0.25 * side),
        ],
        1,
    )
    limits = np.array([HEAD_YAW, HEAD_PITCH, HEAD_ROLL])
    angles = limits * np.tanh(_lowpass(angles) / limits)
    angles *= smooth_step(clock, 0, 0.6)[:, None]  # from the portrait's own pose into motion
    sampled = np.arange(frames) / float(fps) * _CONTROL
    yaw, pitch, roll = (np.interp(sampled, np.arange(length), axis) for axis in angles.T)
    return PoseTrack(yaw, pitch, roll)


def brow_curves(audio: np.ndarray, fps: Fraction, frames: int, seed: int) -> ExpressionTrack:
    """Brows that rise a little on some stressed syllables of `audio`: ARKit curves [frames, 52], others 0."""
    rng = np.random.default_rng([seed, 4])
    _, accents = _voice_drive(audio, int(frames / float(fps) * _CONTROL) + 2)
    times = np.arange(frames) / float(fps)
    lift = np.zeros(frames)
    for at, strength in accents:
        if rng.random() < BROW_SHARE * strength:
            part = _span(times, at / _CONTROL - NOD_DOWN, at / _CONTROL + NOD_UP)
            lift[part] = np.maximum(lift[part], strength * rng.uniform(0.5, 1) * _bump(times[part] - at / _CONTROL))
    values = np.zeros((frames, len(ARKIT_NAMES)), np.float32)
    for name, amount in {"browInnerUp": 0.25, "browOuterUpLeft": 0.18, "browOuterUpRight": 0.18}.items():
        values[:, ARKIT_NAMES.index(name)] = amount * lift
    return ExpressionTrack(ARKIT_NAMES, values, fps)


def _voice_drive(audio: np.ndarray, length: int) -> tuple[np.ndarray, list[tuple[int, float]]]:
    """How much somebody speaks [length] in 0..1, slowly changing, and the stressed moments (frame, strength 0..1)."""
    level = levels.frame_levels(audio)
    relative = level - levels.voice_level(level)
    loud = np.clip((relative + 30) / 30, 0, 1.3)
    loud = np.pad(loud, (0, max(0, length - len(loud))))[:length]
    activity = np.clip(hann_mean(loud, 61) * 2.0, 0, 1)
    syllables = hann_mean(loud, 17)
    contrast = syllables - hann_mean(loud, 121)
    accents: list[tuple[int, float]] = []
    peaks = np.flatnonzero(
        (contrast[1:-1] > contrast[:-2]) & (contrast[1:-1] >= contrast[2:]) & (contrast[1:-1] > 0.12)
    )
    for peak in peaks + 1:
        if not accents or peak - accents[-1][0] >= 45:  # two nods a second are the most a head makes
            accents.append((int(peak), float(np.clip(contrast[peak] / 0.45, 0.2, 1))))
    return activity, accents


def _wander(length: int, slowest: float, rng: np.random.Generator) -> np.ndarray:
    """Sum of slow sines with random phase [length], starting at 0, amplitude about 1; the longest lasts `slowest` s."""
    clock = np.arange(length) / _CONTROL
    total = np.zeros(length)
    for octave in range(3):
        period = slowest / 1.7**octave * rng.uniform(0.85, 1.2)
        total += (
            rng.uniform(0.6, 1.0)
            / 1.8**octave
            * np.sin(2 * np.pi * clock / period + np.pi * rng.integers(2) + rng.uniform(-0.5, 0.5))
        )
    return (total - total[0]) / 1.6


def _bump(local: np.ndarray) -> np.ndarray:
    """A nod around its stressed moment (seconds from it): down, and slower back up, smooth."""
    return smooth_step(local, -NOD_DOWN, 0) * smooth_step(local, NOD_UP, 0)


def _span(times: np.ndarray, start: float, end: float) -> slice:
    """The part of rising `times` within [start, end]."""
    return slice(int(np.searchsorted(times, start)), int(np.searchsorted(times, end, side="right")))


def _lowpass(angles: np.ndarray) -> np.ndarray:
    """Hann window of 0.25 s on [T, 3]: a head has mass."""
    return np.stack([hann_mean(axis, 25) for axis in angles.T], 1)
