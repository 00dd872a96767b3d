"""A models folder where a whole set of official files, small and random, was imported beside the embedded models."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from published_shots import import_random_set

from elocute.media import load_audio

VOICE = Path(__file__).resolve().parents[2] / "examples" / "voice.wav"


@pytest.fixture(scope="session")
def imported_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    import_random_set(folder, tmp_path_factory.mktemp("official"))
    return folder


@pytest.fixture(scope="session")
def official_avatars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("official_avatars")


@pytest.fixture
def official_set(imported_models: Path, official_avatars: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The imported models and a cache of avatars, as the folders that the engine looks into."""
    monkeypatch.setenv("ELOCUTE_MODELS", str(imported_models))
    monkeypatch.setenv("ELOCUTE_AVATARS", str(official_avatars))
    return imported_models


@pytest.fixture(scope="session")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of a voice."""
    path = tmp_path_factory.mktemp("voice") / "second.wav"
    sound: Any = load_audio(VOICE)[8000:24000]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(np.round(np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
    return path
