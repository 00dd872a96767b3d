"""Where nobody speaks: pauses close the mouth, and in the short silences inside words the lips hold still."""

from __future__ import annotations

import numpy as np

from elocute.ramps import runs
from elocute.speech.visemes import FRAME_RATE

QUIET_DB = 32.0  # this far under the voice nobody speaks
SHORT_GAP = 0.16  # seconds: shorter silences are stop consonants inside words
LEAD, TAIL = 0.03, -0.03  # seconds the mouth may move before the first sound and after the last (here: it ends sooner)
RAMP = 6  # frames (10 ms) of the smooth way out of and into the neutral mouth
SETTLE = 4  # frames (10 ms) ahead of a gap at which the lips have arrived: a frame of film earlier than the silence
APPROACH = 10  # frames (10 ms) before and after a gap in which the motion saved inside it takes place


def speech_gate(silence: np.ndarray, relative: np.ndarray) -> np.ndarray:
    """Silence probability and level under the voice in dB, [T] each -> 0 where nobody speaks, 1 where somebody
    does, smooth between, and exactly 0 through every pause. What is shorter than the ways in and out (a click of less
    than a tenth of a second between pauses) moves nothing."""
    speaking = (silence < 0.5) & (relative > -QUIET_DB)
    spoken = runs(speaking)
    keep = np.ones(len(spoken), bool)
    keep[1:] = spoken[1:, 0] - spoken[:-1, 1] > SHORT_GAP * FRAME_RATE  # False: goes on after a short gap
    starts, ends = spoken[keep, 0], spoken[np.append(keep[1:], True)[: len(spoken)], 1]
    inner = RAMP // 2
    # Lead and tail widen the speech; the ramp lies inside, so that the gate reaches 0 where the widened speech ends.
    gate = np.zeros(len(silence), np.float32)
    for start, end in zip(starts, ends, strict=True):
        gate[max(0, start - round(LEAD * FRAME_RATE) + inner) : max(0, end + round(TAIL * FRAME_RATE) - inner)] = 1
    kernel = np.hanning(RAMP + 3)[1:-1]
    return np.convolve(np.pad(gate, inner, mode="edge"), kernel / kernel.sum(), "valid").astype(np.float32)


def hold_in_gaps(relative: np.ndarray) -> np.ndarray:
    """Level under the voice in dB [T] -> the frame position [T] to show at each frame.

    The lips reach a stop consonant's place before the sound stops and leave it with the burst: through each short
    silent gap the position stays at the gap's middle, and runs a little faster around it. Elsewhere it is the frame
    itself.
    """
    frames = np.arange(len(relative), dtype=np.float64)
    gaps = runs(relative < -QUIET_DB)
    inside = (gaps[:, 1] - gaps[:, 0] <= SHORT_GAP * FRAME_RATE) & (gaps[:, 0] > 0) & (gaps[:, 1] < len(relative))
    gaps = gaps[inside & (gaps[:, 1] - gaps[:, 0] >= 2)]
    shown, at = [0.0], [0.0]
    for index, (start, end) in enumerate(gaps):
        limit = (end + gaps[index + 1, 0]) / 2 if index + 1 < len(gaps) else len(relative) - 1
        arrive, leave = max(at[-1] + 1, start - SETTLE), end - 1
        if arrive >= leave:
            continue
        begin = max(at[-1], arrive - APPROACH)
        middle = (start + end - 1) / 2
        if begin > at[-1]:
            at.append(begin)
            shown.append(begin)
        at += [arrive, leave, min(leave + APPROACH, limit)]
        shown += [middle, middle, min(leave + APPROACH, limit)]
    if at[-1] < frames[-1]:
        at.append(frames[-1])
        shown.append(frames[-1])
    return np.interp(frames, at, shown)
