"""Whether eyes blink: by themselves, as a video's do, or as somebody keyed them."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from elocute.drive import BLINK, Inputs, build_drive
from elocute.driving.follow import Followed
from elocute.settings import Shot
from elocute.speech.track_io import read_curves

FRAMES = 100


def blinks(shot: Shot, inputs: Inputs) -> bool:
    return bool(build_drive(shot, np.zeros(52, np.float32), "cpu", inputs).expression[:, list(BLINK)].max() > 0.5)


@pytest.mark.parametrize("blink", [True, False])
def test_a_followed_face_blinks_only_when_eyes_may(tmp_path: Path, blink: bool) -> None:
    face = np.zeros((FRAMES, 52), np.float32)
    face[40:44, list(BLINK)] = 1
    turns, places = np.tile(np.eye(3), (FRAMES, 1, 1)), np.tile([0, 0, -2.0], (FRAMES, 1))
    shot = Shot(portrait="p.jpg", frames_dir=tmp_path, drive="v.mp4", blink=blink)
    assert blinks(shot, Inputs(None, None, FRAMES, driver=Followed(turns, places, face, Fraction(25)))) == blink


@pytest.mark.parametrize("blink", [True, False])
def test_blinks_that_somebody_keyed_are_obeyed(tmp_path: Path, blink: bool) -> None:
    rows = [[1.0, 1.0] if 40 <= i < 44 else [0.0, 0.0] for i in range(FRAMES)]
    file = tmp_path / "c.json"
    names = ["eyeBlinkLeft", "eyeBlinkRight"]
    file.write_text(json.dumps({"format": "elocute-curves-1", "fps": 25, "names": names, "values": rows}))
    shot = Shot(portrait="p.jpg", frames_dir=tmp_path, curves=file, blink=blink)
    assert blinks(shot, Inputs(None, read_curves(file), FRAMES))
