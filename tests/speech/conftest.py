"""Labelled recordings and the speech encoder, loaded once."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from elocute.media import load_audio
from elocute.speech import levels
from elocute.speech.visemes import viseme_probabilities

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Clip:
    """A recording with the viseme index every 10 ms, and what the model hears in it."""

    audio: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    level: np.ndarray

    @property
    def seconds(self) -> float:
        return len(self.audio) / 16000


def load_clip(sound: Path, labels: Path) -> Clip:
    audio = load_audio(sound)
    visemes = np.array(json.loads(labels.read_text())["viseme"])
    return Clip(audio, visemes, viseme_probabilities(audio), levels.frame_levels(audio))


@pytest.fixture(scope="session")
def jfk() -> Clip:
    return load_clip(ROOT / "tests/data/jfk.wav", ROOT / "tests/data/jfk.json")


@pytest.fixture(scope="session")
def voice() -> Clip:
    return load_clip(ROOT / "examples/voice.wav", ROOT / "tests/data/voice.json")


@pytest.fixture(params=["jfk", "voice"])
def clip(request) -> Clip:
    return request.getfixturevalue(request.param)
