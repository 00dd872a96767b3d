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


def blinking(begin: int) -> Followed:
    """A followed face that shuts its eyes for four frames."""
    face = np.zeros((FRAMES, 52), np.float32)
    face[begin : begin + 4, list(BLINK)] = 1
    turns, places = np.tile(np.eye(3), (FRAMES, 1, 1)), np.tile([0, 0, -2.0], (FRAMES, 1))
    return Followed(turns, places, face, Fraction(25))


def keyed(file: Path, begin: int) -> Path:
    """Curves that shut the eyes for four frames."""
    rows = [[float(begin <= i < begin + 4)] * 2 for i in range(FRAMES)]
    names = ["eyeBlinkLeft", "eyeBlinkRight"]
    file.write_text(json.dumps({"format": "elocute-curves-1", "fps": 25, "names": names, "values": rows}))
    return file


@pytest.mark.parametrize("blink", [True, False])
def test_a_followed_face_blinks_only_when_eyes_may(tmp_path: Path, blink: bool) -> None:
    shot = Shot(portrait="p.jpg", frames_dir=tmp_path, drive="v.mp4", blink=blink)
    assert blinks(shot, Inputs(None, None, FRAMES, driver=blinking(40))) == blink


@pytest.mark.parametrize("blink", [True, False])
def test_blinks_that_somebody_keyed_are_obeyed(tmp_path: Path, blink: bool) -> None:
    file = keyed(tmp_path / "c.json", 40)
    shot = Shot(portrait="p.jpg", frames_dir=tmp_path, curves=file, blink=blink)
    assert blinks(shot, Inputs(None, read_curves(file), FRAMES))


@pytest.mark.parametrize(("blink", "begin"), [(True, 70), (False, 40)])
def test_of_keyed_and_followed_blinks_one_alone_is_seen(tmp_path: Path, blink: bool, begin: int) -> None:
    """The video's eyes take the place of the curves', but for lids that may not blink with it."""
    file = keyed(tmp_path / "c.json", 40)
    shot = Shot(portrait="p.jpg", frames_dir=tmp_path, curves=file, drive="v.mp4", blink=blink)
    inputs = Inputs(None, read_curves(file), FRAMES, driver=blinking(70))
    shut = build_drive(shot, np.zeros(52, np.float32), "cpu", inputs).expression[:, list(BLINK)].min(1) > 0.5
    assert np.flatnonzero(shut).tolist() == list(range(begin, begin + 4))
