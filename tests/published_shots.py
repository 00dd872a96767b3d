"""Small shots of the published pipeline, for tests that have its models imported."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import official
import pytest

from elocute import pipeline
from elocute.drive import Drive, read_inputs
from elocute.finishing.frames import read_png
from elocute.models.importing import import_files
from elocute.models.store import models_folder
from elocute.modelsets import model_set
from elocute.settings import Shot

PORTRAIT = Path(__file__).resolve().parents[1] / "examples" / "portrait.jpg"
FRAMES = 5  # of the second of voice: every stage runs, at any rate


def import_random_set(models: Path, written: Path) -> None:
    """Make `models` a folder of models with an official set of random weights, whose files go to `written`: a
    generator of 128 pixels with the published structure, the other networks in full size."""
    for file in models_folder().glob("*.*"):
        (models / file.name).symlink_to(file)
    sizes = {**official.SMALL, "latent": 512}
    files = official.write_all(written, official.generator_arguments(sizes=sizes))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ELOCUTE_MODELS", str(models))
        import_files(files)


def shot(folder: Path, **more: Any) -> Shot:
    settings = {"portrait": "seed:3", "size": 128, "device": "cpu", "model_set": "nerffacespeech",
                "fps": Fraction(FRAMES), "frames_dir": folder} | more  # fmt: skip
    return Shot(**settings)


def speak(job: Shot) -> pipeline.Result:
    return pipeline.speak(job, lambda message: None, lambda: False)


def frames(folder: Path) -> list[np.ndarray]:
    return [read_png(file).astype(int) for file in sorted(folder.glob("*.png"))]


def driven(job: Shot) -> Drive:
    """What a shot makes face and head do."""
    models = model_set(job.model_set)
    avatar = models.prepare(job.portrait, job.fit, lambda message: None, job.size)
    return models.perform(avatar, job, read_inputs(job, None, models.reading(job)), "cpu").drive
