"""How many frames a recording makes, and what of its sound is heard."""

from __future__ import annotations

import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from driven_shots import shot
from hypothesis import given
from hypothesis import strategies as st

from elocute.drive import frame_count, read_inputs


@pytest.mark.parametrize(("samples", "rounded", "whole"), [(16000, 25, 25), (16320, 26, 25), (16639, 26, 25)])
def test_the_reference_counts_whole_frames_of_a_voice(tmp_path: Path, samples: int, rounded: int, whole: int) -> None:
    path = tmp_path / "v.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", "not compressed"))
        file.writeframes(np.random.default_rng(0).integers(-8000, 8000, samples, np.int16).tobytes())
    for reference, frames in ((False, rounded), (True, whole)):
        made = shot(tmp_path, voice=path, model_set="nerffacespeech", reference=reference)
        assert read_inputs(made).frames == frames
    assert frame_count(Fraction(samples, 16000), Fraction(25), whole=True) == samples // 640
    assert frame_count(Fraction(1, 100), Fraction(25), whole=True) == 1


def test_only_the_reference_hears_a_recordings_offset(tmp_path: Path) -> None:
    path = tmp_path / "offset.wav"
    noise = np.random.default_rng(0).uniform(-8000, 8000, 16000) + 3000
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", "not compressed"))
        file.writeframes(noise.astype("<i2").tobytes())
    for reference, offset in ((False, 0), (True, noise.mean() / 32768), (False, 0)):
        audio = read_inputs(shot(tmp_path, voice=path, model_set="nerffacespeech", reference=reference)).audio
        assert audio is not None and audio.mean() == pytest.approx(offset, abs=1e-4)


RATES = st.sampled_from([Fraction(25), Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60)])


@given(st.integers(1, 10**7), RATES)
def test_frame_counts_round_half_up(samples: int, fps: Fraction) -> None:
    count = frame_count(Fraction(samples, 16000), fps)
    exact = Fraction(samples, 16000) * fps
    assert count >= 1
    assert exact - Fraction(1, 2) < count <= exact + Fraction(1, 2) or (count == 1 and exact < Fraction(1, 2))


def test_frame_counts_of_known_lengths() -> None:
    assert frame_count(Fraction(1001, 1000), Fraction(24000, 1001)) == 24
    assert frame_count(10, Fraction(24000, 1001)) == 240  # 239.76
    assert frame_count(Fraction(3, 50), Fraction(25)) == 2  # exactly 1.5
    assert frame_count(0.001, Fraction(25)) == 1
    assert frame_count(3600, Fraction(30000, 1001)) == 107892
