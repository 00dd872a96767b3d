from __future__ import annotations

import tracemalloc
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elocute.media import load_audio
from elocute.speech import sadtalker_mel
from elocute.speech.sadtalker_mel import frame_count, frame_windows, mel_filters, mel_spectrogram

MEL = 1e-6  # of values in -4..4


def test_every_array_of_the_reference_is_met(recorded: Any) -> None:
    wanted = recorded("audio/mel_io.npz")
    voice = wanted["pcm16"] / np.float32(32768)
    assert np.array_equal(voice, wanted["wav"])
    count = frame_count(len(voice))
    assert count == wanted["n_frames"] and 640 * count == wanted["cropped_len"]
    cropped = voice[: 640 * count]
    assert np.abs(mel_filters() - wanted["mel_basis"]).max() < 1e-8
    assert np.abs(mel_spectrogram(cropped) - wanted["mel"]).max() < MEL
    assert np.abs(frame_windows(voice) - wanted["frame_mel"][0]).max() < MEL
    emphasised = np.append(cropped[:1], cropped[1:] - 0.97 * cropped[:-1])
    assert np.abs(sadtalker_mel.magnitudes(np.pad(emphasised, 400))[:, :20] - wanted["stft_abs"]).max() < 1e-5


def loaded(path: Path, samples: np.ndarray, channels: int, rate: int) -> np.ndarray:
    """What the engine hears of 16-bit samples in a file."""
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", "not compressed"))
        file.writeframes(samples.tobytes())
    return load_audio(path, keep_offset=True)


def test_a_mono_file_gives_the_references_windows(recorded: Any, tmp_path: Path) -> None:
    wanted = recorded("audio/mel_io.npz")
    voice = loaded(tmp_path / "voice.wav", wanted["pcm16"], 1, 16000)
    assert np.abs(frame_windows(voice) - wanted["frame_mel"][0]).max() < MEL


def test_stereo_at_another_rate_is_loaded_as_the_reference_does(recorded: Any, tmp_path: Path) -> None:
    wanted = recorded("audio/mel_io.npz")
    voice = loaded(tmp_path / "voice.wav", wanted["pcm24_stereo"], 2, 24000)
    assert np.abs(voice - wanted["wav_from24"]).max() < 1e-4


def test_golden(golden: Any) -> None:
    wanted = golden("audio2exp")
    assert np.abs(frame_windows(wanted["voice"]) - wanted["windows"]).max() < MEL


def test_a_tone_shows_in_its_own_band() -> None:
    time = np.arange(16000) / 16000
    for hertz in (200.0, 1000.0, 4000.0):
        mel = mel_spectrogram(0.5 * np.sin(2 * np.pi * hertz * time))
        band = mel[:, 40].argmax()
        edges = np.flatnonzero(mel_filters()[band]) * 20.0  # Hz
        assert edges[0] - 20 <= hertz <= edges[-1] + 20


def test_silence_is_the_floor_and_nothing_leaves_the_range() -> None:
    assert (mel_spectrogram(np.zeros(6400)) == -4).all()
    loud = mel_spectrogram(np.random.default_rng(0).choice([-1.0, 1.0], 6400))
    assert loud.max() <= 4 and loud.min() >= -4


def test_a_long_voice_takes_little_more_memory_than_its_spectrogram(monkeypatch: pytest.MonkeyPatch) -> None:
    voice = np.random.default_rng(0).normal(0, 0.1, 16000 * 20 + 77).astype(np.float32)
    whole = mel_spectrogram(voice)
    monkeypatch.setattr(sadtalker_mel, "BLOCK", 97)
    tracemalloc.start()
    try:
        parts = mel_spectrogram(voice)
        assert tracemalloc.get_traced_memory()[1] < 2 * parts.nbytes + 2**21
    finally:
        tracemalloc.stop()
    assert np.abs(parts - whole).max() < MEL


def test_windows_step_by_the_frame() -> None:
    """A click's column moves by 3.2 per frame, and every frame of the shot has a window."""
    voice = np.zeros(640 * 30 + 639)
    voice[640 * 15] = 0.9
    windows = frame_windows(voice)
    assert windows.shape == (30, 80, 16) and windows.dtype == np.float32
    column = {i: int(windows[i].max(0).argmax()) for i in (12, 14, 16)}
    assert column[12] > column[14] > column[16] and abs(column[12] - column[16] - 12.8) < 2
    assert frame_windows(np.zeros(639)).shape == (0, 80, 16)
