"""The four programs through the commands, a second of voice at 128 pixels and 25 frames a second."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from published_shots import PORTRAIT
from typed_commands import run

from elocute.finishing.frames import read_png
from elocute.footage import probe
from elocute.models.store import verify

pytestmark = [
    pytest.mark.skipif(not verify("face"), reason="models not fetched: elocute models --fetch"),
    pytest.mark.usefixtures("official_set"),
]
FPS = FRAMES = 25


@pytest.fixture(scope="module")
def film(second: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face that tilts to and fro for a second, with sound."""
    import cv2

    from elocute.finishing.video import VideoWriter

    photo = cv2.resize(cv2.cvtColor(cv2.imread(str(PORTRAIT)), cv2.COLOR_BGR2RGB), (256, 256))
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    with VideoWriter(path, (256, 256), Fraction(FPS), second, Fraction(1)) as writer:
        for i in range(FRAMES):
            turn = cv2.getRotationMatrix2D((128, 128), 10 * float(np.sin(2 * np.pi * i / FRAMES)), 1.0)
            writer.write(cv2.warpAffine(photo, turn, (256, 256), borderMode=cv2.BORDER_REPLICATE))
    return path


@pytest.fixture(scope="module")
def cropped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, of the size and crop that the published programs take."""
    path = tmp_path_factory.mktemp("photo") / "cropped.png"
    with Image.open(PORTRAIT) as photo:
        photo.crop((0, 40, 512, 552)).resize((128, 128)).save(path)
    return path


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of avatars of its own: other tests' fits have to be theirs."""
    return tmp_path_factory.mktemp("kept")


PROGRAMS: dict[str, dict[str, str]] = {
    "latent": {"portrait": "seed:3", "voice": "second"},
    "photo": {"portrait": "photo", "voice": "second"},
    "poses": {"portrait": "photo", "voice": "second", "poses_from": "film"},
    "drive": {"portrait": "photo", "drive": "film"},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "how"),
    [*((program, how) for how in ("embedded", "nerffacespeech") for program in PROGRAMS), ("drive", "reference")],
)
def test_each_speaks_for_a_second(
    program: str, how: str, second: Path, film: Path, cropped: Path, kept: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """By `elocute speak`; and `elocute render` makes the same bytes of the same job."""
    monkeypatch.setenv("ELOCUTE_AVATARS", str(kept))
    files = {"second": second, "film": film, "photo": cropped if how == "reference" else PORTRAIT}
    job: dict[str, Any] = {name: str(files.get(value, value)) for name, value in PROGRAMS[program].items()}
    job |= {"size": 128, "fps": str(FPS), "device": "cpu"}
    if how != "embedded":
        job |= {"model_set": "nerffacespeech", "fit_steps": [2, 1], "reference": how == "reference"}
    told = run(["speak", *options(job), "-o", tmp_path / "o.mp4", "--frames-dir", tmp_path / "spoken"])
    assert told["frames"] == FRAMES and probe(tmp_path / "o.mp4") == (Fraction(FPS), FRAMES)
    spoken = sorted((tmp_path / "spoken").glob("*.png"))
    pictures = np.stack([read_png(file).astype(int) for file in spoken])
    assert pictures.shape == (FRAMES, 128, 128, 3)
    assert np.abs(np.diff(pictures, axis=0)).max(axis=(1, 2, 3)).min() > 0, "it stands still"
    (tmp_path / "job.json").write_text(json.dumps(job | {"frames": [9, 10], "frames_dir": str(tmp_path / "rendered")}))
    run(["render", tmp_path / "job.json"])
    for file in spoken[8:10]:
        assert file.read_bytes() == (tmp_path / "rendered" / file.name).read_bytes()


def options(job: dict[str, Any]) -> list[str]:
    """A job's settings as they are typed."""
    typed = [job["portrait"], *([job["voice"]] if "voice" in job else [])]
    for name, value in job.items():
        if name in ("portrait", "voice") or value is False:
            continue
        given = [] if value is True else [",".join(map(str, value)) if isinstance(value, list) else str(value)]
        typed += ["--" + name.replace("_", "-"), *given]
    return typed
