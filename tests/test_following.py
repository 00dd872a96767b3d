"""Shots that follow a video, end to end: sound, length and rate, in time order, and errors before any work."""

from __future__ import annotations

import json
import wave
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from elocute import pipeline
from elocute.errors import BadInput
from elocute.finishing.video import VideoWriter
from elocute.footage import probe
from elocute.media import load_audio
from elocute.settings import Shot
from elocute.shooting import Shooting

VOICE = Path(__file__).resolve().parents[1] / "examples" / "voice.wav"
FPS = Fraction(24000, 1001)


@pytest.fixture(scope="module")
def film(stored: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight frames, with sound, of the example's head turning."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    shooting = Shooting(stored, 256, "keep", "cpu", 256)
    with VideoWriter(path, (256, 256), FPS, VOICE, 8 / FPS, Fraction(1)) as writer:
        for i in range(8):
            writer.write(shooting.frame(stored.fit.expression, np.array([0.04 * i, 0, 0])))
    return path


def run(example: Any, **settings: Any) -> pipeline.Result:
    shot = Shot(portrait=example.avatar.report["portrait"], size=96, device="cpu", **settings)
    return pipeline.speak(shot, lambda message: None, lambda: False)


def test_a_driving_video_gives_length_rate_and_sound(example: Any, avatars: Path, film: Path, tmp_path: Path) -> None:
    result = run(example, drive=film, output=tmp_path / "o.mp4", fps=FPS)
    assert result.frames == 8 and probe(tmp_path / "o.mp4") == (FPS, 8)
    heard, own = (load_audio(path) for path in (tmp_path / "o.mp4", film))
    m = min(len(heard), len(own))
    assert np.corrcoef(heard[:m], own[:m])[0, 1] > 0.9


def test_a_video_is_as_long_as_the_frames_that_can_be_read(film: Path, tmp_path: Path) -> None:
    """Its container counts those too that a cut left out of what is shown."""
    import subprocess

    import imageio_ffmpeg

    from elocute.drive import read_inputs
    from elocute.footage import open_footage

    cut = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-ss", "0.1", "-i", str(film), "-c", "copy"]
    subprocess.run([*cut, str(tmp_path / "cut.mp4")], check=True)
    footage = open_footage(tmp_path / "cut.mp4")
    there = len(list(footage.frames()))
    assert 0 < there < footage.count
    shot = Shot(portrait="p", drive=tmp_path / "cut.mp4", output=tmp_path / "o.mp4", fps=FPS)
    inputs = read_inputs(shot)
    assert inputs.frames == there and inputs.driver is not None and len(inputs.driver) == there


def test_the_head_turns_as_the_videos_does(example: Any, avatars: Path, film: Path, tmp_path: Path) -> None:
    from elocute.drive import build_drive, read_inputs
    from elocute.spaces import placement_of

    shot = Shot(portrait="p", poses_from=film, frames_dir=tmp_path / "f", fps=FPS, poses_smooth=0.0)
    field = example.field
    drive = build_drive(shot, field.fit.expression, "cpu", read_inputs(shot), placement_of(field.fit.camera))
    assert np.abs(np.degrees(drive.poses[:, 0] - 0.04 * np.arange(8))).mean() < 2
    assert len(drive.views) == 8


def test_another_voice_and_a_longer_shot(example: Any, avatars: Path, film: Path, tmp_path: Path) -> None:
    with wave.open(str(VOICE)) as source, wave.open(str(tmp_path / "v.wav"), "wb") as target:
        target.setparams(source.getparams())
        target.writeframes(source.readframes(source.getframerate() // 2))
    common = {"voice": tmp_path / "v.wav", "drive": film, "fps": FPS, "drive_mouth": 0.3}
    held, looped = (run(example, frames_dir=tmp_path / rule, poses_fit=rule, **common) for rule in ("hold", "loop"))
    assert held.frames == looped.frames == 12
    assert any("film.mp4 has 8 frames" in told and "held" in told for told in held.warnings)
    assert any("back and forth" in told for told in looped.warnings)
    last = [(tmp_path / rule / "000012.png").read_bytes() for rule in ("hold", "loop")]
    assert last[0] != last[1]


def test_a_folder_drives_at_the_shots_rate(example: Any, avatars: Path, film: Path, tmp_path: Path) -> None:
    from elocute.footage import read_frames

    (tmp_path / "in").mkdir()
    for i, frame in enumerate(read_frames(film, 3)):
        picture = np.full_like(frame, 50) if i == 1 else frame
        cv2.imwrite(str(tmp_path / "in" / f"{i}.png"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    result = run(example, poses_from=tmp_path / "in", frames_dir=tmp_path / "out", fps=Fraction(12))
    assert result.frames == 3
    assert any("frame 2 (1.png)" in told and "held" in told for told in result.warnings)
    with pytest.raises(BadInput) as caught:
        run(example, poses_from=tmp_path / "in", frames_dir=tmp_path / "in")
    assert caught.value.code == "output_is_input"


@pytest.mark.parametrize("setting", ["drive", "poses_from"])
def test_what_can_not_be_followed_is_refused_before_the_fit(
    setting: str, example: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "prepare", lambda *a: pytest.fail("fitted"))
    (tmp_path / "bad.mp4").write_text(json.dumps({}))
    for name, codes in (("bad.mp4", ("video_unreadable", "audio_unreadable")), ("no.mp4", ("video_missing",))):
        with pytest.raises(BadInput) as caught:
            run(example, frames_dir=tmp_path / "f", **{setting: tmp_path / name})
        assert caught.value.code in codes


def test_a_cancel_stops_the_following(example: Any, avatars: Path, film: Path, tmp_path: Path) -> None:
    from elocute import drive
    from elocute.errors import Cancelled

    drive._driver._held = None
    told: list[Any] = []
    shot = Shot(portrait=example.avatar.report["portrait"], size=96, drive=film, frames_dir=tmp_path / "f")
    with pytest.raises(Cancelled):
        pipeline.speak(shot, told.append, lambda: len(told) > 2)
    assert [message.stage for message in told] == ["follow"] * 3
