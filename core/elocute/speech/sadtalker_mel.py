"""SadTalker's view of a voice: an 80-band log-mel spectrogram and a window of 16 columns for each frame at 25 fps.

The numbers are those of Wav2Lip's front end (Prajwal et al., ACM MM 2020), which SadTalker keeps: 16 kHz, windows of
50 ms every 12.5 ms, Slaney mel bands of 55 to 7600 Hz, decibels mapped to -4..4.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from elocute.media import SAMPLE_RATE

FPS = 25  # the networks were trained at this rate and know no other
SAMPLES_PER_FRAME = SAMPLE_RATE // FPS
WINDOW, HOP = 800, 200  # samples
COLUMNS_PER_SECOND = SAMPLE_RATE // HOP
BANDS, LOWEST, HIGHEST = 80, 55.0, 7600.0  # Hz
COLUMNS = 16  # of the spectrogram in one frame's window: 0.2 s
PREEMPHASIS = 0.97
BLOCK = 60 * COLUMNS_PER_SECOND  # columns made at once: bounds memory
FLOOR, REFERENCE_DB, RANGE_DB, RANGE = 1e-5, 20.0, 100.0, 4.0


def frame_count(samples: int) -> int:
    """Whole frames at 25 fps in that many samples at 16 kHz."""
    return samples // SAMPLES_PER_FRAME


def mel_spectrogram(audio: np.ndarray) -> np.ndarray:
    """Voice [N] (16 kHz, mono, -1..1) -> float32 [80, 1 + N // 200] in -4..4: windows centred on every 200th sample,
    silence before and after."""
    count = 1 + len(audio) // HOP
    mel = np.empty((BANDS, count), np.float32)
    for start in range(0, count, BLOCK):
        end = min(count, start + BLOCK)
        part = _emphasised(audio, start * HOP - WINDOW // 2, (end - 1) * HOP + WINDOW // 2)
        decibels = 20 * np.log10(np.maximum(FLOOR, mel_filters() @ magnitudes(part))) - REFERENCE_DB
        mel[:, start:end] = np.clip(2 * RANGE * (decibels + RANGE_DB) / RANGE_DB - RANGE, -RANGE, RANGE)
    return mel


def _emphasised(audio: np.ndarray, low: int, high: int) -> np.ndarray:
    """Samples `low` to `high` with their high frequencies raised, float64 [high - low], silence outside of [N]."""
    low_pad, high_pad = max(0, 1 - low), max(0, high - len(audio))
    part = np.pad(np.asarray(audio[max(0, low - 1) : high], np.float64), (low_pad, high_pad))
    part[1:] -= PREEMPHASIS * part[:-1]
    part[len(part) - high_pad :] = 0
    return part[1:]


def magnitudes(audio: np.ndarray) -> np.ndarray:
    """Magnitudes [401, T] of the short-time Fourier transform of [N]: a Hann window of 800 from every 200th sample on,
    as far as there are whole ones."""
    frames = np.lib.stride_tricks.sliding_window_view(audio, WINDOW)[::HOP]  # [T, 800]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)  # periodic
    return np.abs(np.fft.rfft(frames * hann, axis=1)).T


@lru_cache(maxsize=1)
def mel_filters() -> np.ndarray:
    """Triangular bands float32 [80, 401], each of unit area, evenly spaced on Slaney's mel scale (Auditory Toolbox,
    1998: linear to 1 kHz, logarithmic above)."""
    step, knee, ratio = 200.0 / 3, 1000.0, np.log(6.4) / 27
    knee_mel = knee / step

    def to_mel(hertz: np.ndarray) -> np.ndarray:
        above = knee_mel + np.log(np.maximum(hertz, knee) / knee) / ratio
        return np.where(hertz < knee, hertz / step, above)

    def to_hertz(mel: np.ndarray) -> np.ndarray:
        return np.where(mel < knee_mel, mel * step, knee * np.exp(ratio * (mel - knee_mel)))

    ends = to_mel(np.array([LOWEST, HIGHEST]))
    edges = to_hertz(np.linspace(ends[0], ends[1], BANDS + 2))[:, None]  # [82, 1] Hz
    bins = np.linspace(0, SAMPLE_RATE / 2, WINDOW // 2 + 1)
    rising = (bins - edges[:-2]) / np.diff(edges, axis=0)[:-1]
    falling = (edges[2:] - bins) / np.diff(edges, axis=0)[1:]
    triangles = np.maximum(0, np.minimum(rising, falling))
    return (triangles * 2 / (edges[2:] - edges[:-2])).astype(np.float32)


def frame_windows(audio: np.ndarray) -> np.ndarray:
    """Voice [N] (16 kHz, mono) -> the networks' input float32 [T, 80, 16], T = N // 640 frames at 25 fps."""
    count = frame_count(len(audio))
    mel = mel_spectrogram(audio[: count * SAMPLES_PER_FRAME])
    # Two frames back, cut towards zero: the first windows start at -6 and -3, not at -7 and -4.
    starts = np.trunc(COLUMNS_PER_SECOND * (np.arange(count) - 2) / FPS).astype(int)
    columns = np.clip(starts[:, None] + np.arange(COLUMNS), 0, mel.shape[1] - 1)  # [T, 16]
    return mel.T[columns].transpose(0, 2, 1)
