"""Render what is missing: frames are reused exactly when they would come out the same."""

from __future__ import annotations

import json
import os
import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from elocute import pipeline
from elocute.errors import BadInput, Cancelled
from elocute.finishing.frames import encode_png, read_png
from elocute.media import load_audio
from elocute.models.store import verify
from elocute.protocol import Frame, Progress
from elocute.settings import CurvesSettings, Shot

ROOT = Path(__file__).resolve().parents[1]
PORTRAIT, VOICE = ROOT / "examples" / "portrait.jpg", ROOT / "examples" / "voice.wav"
RATE, SAMPLES, FRAMES = 16000, 9760, 15  # 0.61 s: 15.25 frames at 25 fps
pytestmark = [
    pytest.mark.skipif(not verify("speech_encoder"), reason="models not fetched: elocute models --fetch"),
    pytest.mark.usefixtures("avatars"),
]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "word.wav"
    sound = load_audio(VOICE)[8000 : 8000 + SAMPLES]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.round(np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def make(clip: Path, **more: Any) -> Shot:
    settings = {"portrait": str(PORTRAIT), "voice": clip, "size": 128, "device": "cpu"} | more
    return Shot(**settings)


def speak(shot: Shot, cancelled: Callable[[], bool] = lambda: False) -> tuple[pipeline.Result, list[Any]]:
    messages: list[Any] = []
    return pipeline.speak(shot, messages.append, cancelled), messages


def pictures(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.glob("*.png"))}


@pytest.fixture(scope="module")
def reference(clip: Path, example: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run: frames/ and out.mp4."""
    folder = tmp_path_factory.mktemp("reference")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ELOCUTE_AVATARS", str(example.folder))
        result, _ = speak(make(clip, output=folder / "out.mp4", frames_dir=folder / "frames"))
    assert (result.frames, result.rendered, result.reused) == (FRAMES, FRAMES, 0)
    return folder


def test_a_clip_has_its_frames_and_its_sound(reference: Path) -> None:
    names = list(pictures(reference / "frames"))
    assert names == [f"{index:06d}.png" for index in range(1, FRAMES + 1)]
    video = cv2.VideoCapture(str(reference / "out.mp4"))
    shapes = []
    while (read := video.read())[0]:
        shapes.append(read[1].shape)
    assert shapes == [(128, 128, 3)] * FRAMES
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(25)
    sound = len(load_audio(reference / "out.mp4")) / RATE
    assert abs(sound - FRAMES / 25) < 1 / 25
    moving = [read_png(reference / "frames" / name).astype(int) for name in (names[0], names[7])]
    assert np.abs(moving[0] - moving[1]).max() > 10


def test_the_video_shows_the_frames(reference: Path) -> None:
    video = cv2.VideoCapture(str(reference / "out.mp4"))
    for data in pictures(reference / "frames").values():
        frame = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert np.abs(video.read()[1].astype(int) - frame).mean() < 4


def test_a_second_run_reuses_every_frame(clip: Path, reference: Path, tmp_path: Path) -> None:
    before = pictures(reference / "frames")
    result, messages = speak(make(clip, output=tmp_path / "again.mp4", frames_dir=reference / "frames"))
    assert (result.frames, result.rendered, result.reused) == (FRAMES, 0, FRAMES)
    assert pictures(reference / "frames") == before
    assert (tmp_path / "again.mp4").read_bytes() == (reference / "out.mp4").read_bytes()
    assert not [m for m in messages if isinstance(m, Frame)]


def test_a_stopped_run_resumes_to_the_same_bytes(clip: Path, reference: Path, tmp_path: Path) -> None:
    shot = make(clip, output=tmp_path / "out.mp4", frames_dir=tmp_path / "frames")
    written: list[Frame] = []
    with pytest.raises(Cancelled):
        pipeline.speak(shot, lambda m: written.append(m) if isinstance(m, Frame) else None, lambda: len(written) >= 6)
    assert [frame.index for frame in written] == [1, 2, 3, 4, 5, 6]
    assert len(pictures(tmp_path / "frames")) == 6
    assert [file.name for file in tmp_path.iterdir()] == ["frames"], "half a video stayed"
    result, _ = speak(shot)
    assert (result.rendered, result.reused) == (FRAMES - 6, 6)
    assert pictures(tmp_path / "frames") == pictures(reference / "frames")
    assert (tmp_path / "out.mp4").read_bytes() == (reference / "out.mp4").read_bytes()


def test_a_range_renders_that_range_only_and_the_same(clip: Path, reference: Path, tmp_path: Path) -> None:
    result, messages = speak(make(clip, output=tmp_path / "o.mp4", frames_dir=tmp_path / "f", frames=(5, 9)))
    assert (result.frames, result.rendered) == (5, 5)
    whole = pictures(reference / "frames")
    assert pictures(tmp_path / "f") == {f"{i:06d}.png": whole[f"{i:06d}.png"] for i in range(5, 10)}
    assert [m.index for m in messages if isinstance(m, Frame)] == [5, 6, 7, 8, 9]
    part, all_sound = (load_audio(path) for path in (tmp_path / "o.mp4", reference / "out.mp4"))
    start = round(4 / 25 * RATE)
    heard = all_sound[start : start + 2400]
    lag = np.correlate(part[:3200], heard, "full").argmax() - (len(heard) - 1)
    assert abs(lag) < RATE / 25, "the range's sound is not the range's"


def test_a_range_past_the_end_stops_there_and_one_beyond_is_refused(clip: Path, tmp_path: Path) -> None:
    result, _ = speak(make(clip, frames_dir=tmp_path, frames=(FRAMES - 1, 999)))
    assert result.frames == 2
    with pytest.raises(BadInput) as problem:
        speak(make(clip, frames_dir=tmp_path, frames=(FRAMES + 1, 999)))
    assert problem.value.code == "frames_outside" and str(FRAMES) in str(problem.value)
    ends = f"the shot ends with frame {FRAMES}: frame"
    for last, told in ((FRAMES, []), (FRAMES + 1, [f"{ends} 16 doesn't exist"]), (99, [f"{ends}s 16-99 don't exist"])):
        assert pipeline._range(make(clip, frames_dir=tmp_path, frames=(1, last)), FRAMES) == (1, FRAMES, told)


@pytest.mark.skipif(os.name != "posix", reason="links need rights elsewhere")
def test_outputs_are_written_through_the_links_that_name_them_and_frames_never(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "frames").mkdir()
    for link in ("o.mp4", "c.json", "frames/000001.png"):
        (tmp_path / link).symlink_to(tmp_path / "store" / Path(link).name)
    (tmp_path / "store" / "o.mp4").write_bytes(b"old")
    shot = make(clip, output=tmp_path / "o.mp4", frames_dir=tmp_path / "frames", frames=(1, 1))
    assert speak(shot)[0].output == tmp_path / "o.mp4"
    pipeline.curves(CurvesSettings(clip, tmp_path / "c.json"), lambda message: None, lambda: False)
    assert (tmp_path / "o.mp4").is_symlink() and (tmp_path / "c.json").is_symlink()
    assert {file.name for file in (tmp_path / "store").iterdir()} == {"o.mp4", "c.json"}
    assert b"ftyp" in (tmp_path / "store" / "o.mp4").read_bytes()[:16]
    assert not (tmp_path / "frames" / "000001.png").is_symlink()


def test_frames_of_a_longer_shot_are_named_and_stay(clip: Path, tmp_path: Path) -> None:
    for number in (FRAMES, FRAMES + 1, FRAMES + 2):
        (tmp_path / f"{number:06d}.png").write_bytes(encode_png(np.zeros((8, 8, 3), np.uint8)))
    result, _ = speak(make(clip, frames_dir=tmp_path, frames=(1, 1)))
    told = [line for line in result.warnings if "longer shot" in line]
    assert len(told) == 1 and f"frames {FRAMES + 1}-{FRAMES + 2}" in told[0]
    assert [line for line in result.warnings if "keeps 3 frames of another size" in line]
    assert len(list(tmp_path.glob("*.png"))) == 4


@pytest.mark.parametrize(
    "change", [{"background": "#203040"}, {"background": "transparent"}, {"size": 96}, {"expression_scale": 0.5}],
    ids=lambda change: next(iter(change.items()))[1],
)  # fmt: skip
def test_other_settings_render_anew(clip: Path, reference: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    base = {"frames_dir": tmp_path, "frames": (3, 5)}
    assert speak(make(clip, **base))[0].rendered == 3
    plain = pictures(tmp_path)
    result, _ = speak(make(clip, **(base | change)))
    assert (result.rendered, result.reused) == (3, 0)
    assert all(data != plain[name] for name, data in pictures(tmp_path).items())
    back, _ = speak(make(clip, **base))
    assert back.rendered == 3 and pictures(tmp_path) == plain


def test_what_changes_no_picture_renders_nothing(clip: Path, tmp_path: Path) -> None:
    base = {"frames_dir": tmp_path, "frames": (3, 5)}
    assert speak(make(clip, **base))[0].rendered == 3
    assert speak(make(clip, **base, memory_mb=300))[0].rendered == 0
    assert speak(make(clip, **base, output=tmp_path / "o.mp4"))[0].rendered == 0


def test_frames_that_were_touched_are_made_again(clip: Path, reference: Path, tmp_path: Path) -> None:
    shot = make(clip, frames_dir=tmp_path, frames=(3, 6))
    speak(shot)
    (tmp_path / "000003.png").unlink()
    (tmp_path / "000005.png").write_bytes(b"painted over")
    result, messages = speak(shot)
    assert [m.index for m in messages if isinstance(m, Frame)] == [3, 5] and result.reused == 2
    whole = pictures(reference / "frames")
    assert pictures(tmp_path) == {name: whole[name] for name in pictures(tmp_path)}


def test_a_transparent_video_is_refused_before_any_work(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as problem:
        speak(make(clip, output=tmp_path / "o.mp4", background="transparent"))
    assert problem.value.code == "transparent_needs_frames" and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("kind", "code"), [("voice", "audio_missing"), ("curves", "curves_missing"), ("poses", "poses_missing")]
)
def test_missing_inputs_are_said_before_the_fit(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, code: str
) -> None:
    monkeypatch.setattr(pipeline, "prepare", lambda *_: pytest.fail("a fit was begun"))
    with pytest.raises(BadInput) as problem:
        speak(make(clip, frames_dir=tmp_path, **{kind: tmp_path / "nothing.json"}))
    assert problem.value.code == code


def test_progress_goes_from_fit_to_the_last_frame(clip: Path, tmp_path: Path) -> None:
    _, messages = speak(make(clip, frames_dir=tmp_path, frames=(1, 4)))
    stages = [m for m in messages if isinstance(m, Progress)]
    assert [m.stage for m in stages] == ["drive"] + ["render"] * 4
    assert [(m.done, m.total) for m in stages[1:]] == [(i, 4) for i in range(1, 5)]
    assert all(m.fps > 0 for m in stages[1:])


def test_poses_alone_turn_the_head(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(json.dumps({"fps": 25, "yaw_deg": [0, 10, 20]}))
    shot = Shot(
        portrait=str(PORTRAIT), poses=tmp_path / "p.json", frames_dir=tmp_path / "f", output=tmp_path / "o.mp4",
        size=128, device="cpu", fps=Fraction(25),
    )  # fmt: skip
    result, _ = speak(shot)
    assert result.frames == 3 and result.warnings == []
    first, *others = (read_png(tmp_path / "f" / f"{i:06d}.png").astype(int) for i in (1, 2, 3))
    changes = [np.abs(frame - first).mean() for frame in others]
    assert 1 < changes[0] < changes[1]
