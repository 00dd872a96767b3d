"""Generators of 1024 pixels, in both published configurations: files, import, a photo's fit and frames, by commands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import official
import pytest
from published_shots import PORTRAIT
from typed_commands import run

from elocute.finishing.frames import read_png
from elocute.models.store import models_folder, verify

pytestmark = pytest.mark.skipif(not verify("face"), reason="models not fetched: elocute models --fetch")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "sizes"), [("pixelshuffle", official.FULL), ("nn_cat", official.YAML)], ids=["pixelshuffle", "nn_cat"]
)
def test_a_photo_speaks_at_1024_pixels(
    mode: str, sizes: dict[str, int], second: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "models"
    models.mkdir()
    for file in models_folder().glob("*.*"):
        (models / file.name).symlink_to(file)
    files = official.write_all(tmp_path / "files", official.generator_arguments(1024, mode, sizes))
    monkeypatch.setenv("ELOCUTE_MODELS", str(models))
    monkeypatch.setenv("ELOCUTE_AVATARS", str(tmp_path / "avatars"))
    run(["models", "import", *files])
    told = run([
        "speak", PORTRAIT, second, "--frames-dir", tmp_path / "frames", "--frames", "12-13", "--size", 1024,
        "--model-set", "nerffacespeech", "--fit-steps", "1,1", "--device", "cpu",
    ])  # fmt: skip
    assert told["frames"] == told["rendered"] == 2
    first, last = (read_png(tmp_path / "frames" / f"0000{at}.png").astype(int) for at in (12, 13))
    assert first.shape == last.shape == (1024, 1024, 3)
    assert first.std() > 10 and np.abs(first - last).max() > 0, "nothing is shown, or nothing moves"
