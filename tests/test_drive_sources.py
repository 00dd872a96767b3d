"""What moves the head when a video, a voice and curves all could."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from driven_shots import VOICE, curves_file, shot

from elocute.drive import Inputs, build_drive, input_notes
from elocute.driving.follow import Followed
from elocute.errors import BadInput
from elocute.modelsets import model_set as choose
from elocute.speech.track_io import read_curves
from elocute.values import ARKIT_NAMES


def followed(frames: int, **named: float) -> Followed:
    """A video whose face shows some units all the time and whose head stays."""
    expression = np.zeros((frames, 52), np.float32)
    for name, value in named.items():
        expression[:, ARKIT_NAMES.index(name)] = value
    return Followed(np.tile(np.eye(3), (frames, 1, 1)), np.tile([0, 0, -2.0], (frames, 1)), expression, Fraction(25))


@pytest.mark.parametrize("shares", [(0.0, 0.0, 0.0), (1.0, 0.0, 0.5), (0.25, 1.0, 1.0)])
def test_video_and_curves_mix_by_region(tmp_path: Path, shares: tuple[float, float, float]) -> None:
    file = curves_file(
        tmp_path / "c.json", jawOpen=[0.2] * 4, eyeSquintLeft=[0.4] * 4, browInnerUp=[0.6] * 4, eyeBlinkLeft=[0.1] * 4
    )
    mouth, eyes, brows = shares
    made = shot(tmp_path, curves=file, drive="v.mp4", drive_mouth=mouth, drive_eyes=eyes, drive_brows=brows)
    video = followed(4, jawOpen=0.8, eyeSquintLeft=0.9, browInnerUp=0.1)
    inputs = Inputs(None, read_curves(file), 4, driver=video)
    got = build_drive(made, np.zeros(52, np.float32), "cpu", inputs).expression
    for name, said, seen, share in (
        ("jawOpen", 0.2, 0.8, mouth), ("eyeSquintLeft", 0.4, 0.9, eyes), ("browInnerUp", 0.6, 0.1, brows),
    ):  # fmt: skip
        np.testing.assert_allclose(got[:, ARKIT_NAMES.index(name)], said + share * (seen - said), atol=1e-6)


def test_lips_follow_the_video_unless_something_else_speaks(tmp_path: Path) -> None:
    file = curves_file(tmp_path / "c.json", jawOpen=[0.2])
    assert shot(tmp_path, drive="v.mp4").drive_mouth_share == 1
    assert shot(tmp_path, drive="v.mp4", voice=VOICE).drive_mouth_share == 0
    assert shot(tmp_path, drive="v.mp4", curves=file).drive_mouth_share == 0
    assert shot(tmp_path, drive="v.mp4", voice=VOICE, drive_mouth=0.3).drive_mouth_share == 0.3


@pytest.mark.parametrize("model_set", ["embedded", "nerffacespeech"])
def test_a_missing_voice_model_is_told_before_the_fit_and_only_when_it_is_needed(
    tmp_path: Path, model_set: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: set[str] = set()
    monkeypatch.setattr("elocute.modelsets.embedded.need", asked.update)
    monkeypatch.setattr("elocute.modelsets.nerffacespeech.need_imported", asked.update)
    (tmp_path / "frames").mkdir()
    curves = curves_file(tmp_path / "c.json", jawOpen=[0.2])
    for wanted, more in (
        (True, {"voice": VOICE}),
        (True, {"voice": VOICE, "drive": "v.mp4"}),
        (True, {"drive": "v.mp4", "drive_mouth": 0.5}),
        (True, {"drive": "v.mp4", "drive_eyes": 0.5}),
        (False, {"drive": "v.mp4"}),
        (False, {"voice": VOICE, "drive": "v.mp4", "drive_mouth": 1.0}),
        (False, {"voice": VOICE, "curves": curves}),
        (False, {"drive": tmp_path / "frames", "drive_eyes": 0.5}),
        (False, {"drive": "p.webp", "drive_eyes": 0.5}),
    ):
        asked.clear()
        made = shot(tmp_path, model_set=model_set, **{key: Path(v) if key == "drive" else v for key, v in more.items()})
        choose(model_set).check(made)
        assert bool(asked & {"speech_encoder", "speech_expression"}) is wanted, more


def test_two_sources_of_poses_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        shot(tmp_path, poses="p.json", poses_from="v.mp4")
    assert caught.value.code == "shot_two_poses"


@pytest.mark.parametrize("leader", ["poses", "poses_from"])
@pytest.mark.parametrize("still", [False, True])
def test_which_of_two_the_head_follows_is_told(tmp_path: Path, leader: str, still: bool) -> None:
    poses = tmp_path / "turn.json"
    poses.write_text('{"fps": 25, "yaw_deg": [0, 5, 10, 15]}')
    lead = {"poses": poses} if leader == "poses" else {"poses_from": "lead.mp4"}
    made = shot(tmp_path, drive="v.mp4", still=still, **lead)
    inputs = Inputs(None, None, 4, leader=followed(4) if leader == "poses_from" else None, driver=followed(4))
    told = build_drive(made, np.zeros(52, np.float32), "cpu", inputs).warnings
    name = next(iter(lead.values())) if leader == "poses_from" else poses.name
    follows = f"the head follows {name}; v.mp4 moves the face alone"
    assert told == (f"still: {name} is not used" if still else follows,)


def test_a_silent_video_without_a_voice_is_told(tmp_path: Path) -> None:
    def told(sound: Path | None = None, track: bool = False, **more: float | Path) -> list[str]:
        curves = read_curves(curves_file(tmp_path / "c.json", jawOpen=[0.2])) if track else None
        return input_notes(shot(tmp_path, drive="v.mp4", **more), Inputs(None, curves, 4, sound))

    assert told() == told(VOICE, drive_mouth=0.5) == told(track=True, drive_mouth=0.5) == told(drive_eyes=0.5) == []
    (weaker,) = told(drive_mouth=0.5, drive_brows=0.25)
    assert weaker.startswith("no voice adds to v.mp4") and weaker.endswith("by drive_mouth 0.5 and drive_brows 0.25")
    assert told(output=tmp_path / "o.mp4") == ["o.mp4 has no sound, as v.mp4 has none and no voice is given"]
