"""A models folder where a whole set of official files, small and random, was imported beside the embedded models."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import official
import pytest

from elocute.media import load_audio
from elocute.models.importing import import_files
from elocute.models.store import models_folder

VOICE = Path(__file__).resolve().parents[2] / "examples" / "voice.wav"


@pytest.fixture(scope="session")
def imported_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator of 128 pixels with the published structure; the other networks in full size."""
    own = models_folder()
    folder = tmp_path_factory.mktemp("models")
    for file in own.glob("*.*"):
        (folder / file.name).symlink_to(file)
    sizes = {**official.SMALL, "latent": 512}
    files = official.write_all(tmp_path_factory.mktemp("official"), official.generator_arguments(sizes=sizes))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ELOCUTE_MODELS", str(folder))
        import_files(files)
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
