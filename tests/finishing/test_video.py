"""The encoder: exact rates, right colours, sound in sync, and no trace of what did not finish."""

from __future__ import annotations

import os
import re
import subprocess
import wave
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from elocute.errors import BadInput, EnvironmentProblem
from elocute.files import Temporary
from elocute.finishing.video import SUFFIXES, VideoWriter, check_output, ffmpeg
from elocute.media import load_audio

RATE = 16000


def colours(width: int, height: int) -> np.ndarray:
    """Large flat patches of skin, lips, grey, primaries: chroma subsampling leaves their middles alone."""
    patches = [
        (224, 172, 150),
        (180, 70, 80),
        (128, 128, 128),
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
        (16, 16, 16),
        (255, 255, 255),
    ]
    out = np.zeros((height, width, 3), np.uint8)
    for i, colour in enumerate(patches):
        out[:, i * width // 8 : (i + 1) * width // 8] = colour
    return out


def decode(path: Path, width: int, height: int) -> np.ndarray:
    """[n, H, W, 3] with accurate rounding."""
    flags = "scale=flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
    command = [ffmpeg(), "-v", "error", "-i", str(path), "-vf", flags, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)


def describe(path: Path) -> str:
    return subprocess.run([ffmpeg(), "-hide_banner", "-i", str(path)], capture_output=True, text=True).stderr


def sound(path: Path, rate: int = 48000) -> np.ndarray:
    command = [ffmpeg(), "-v", "error", "-i", str(path), "-f", "f32le", "-ac", "1", "-ar", str(rate), "-"]
    return np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.float32)


def write_wav(path: Path, samples: np.ndarray) -> Path:
    """`samples` [N] or [N, channels]."""
    with wave.open(str(path), "wb") as out:
        out.setnchannels(samples.shape[1] if samples.ndim > 1 else 1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes((samples * 32000).astype("<i2").tobytes())
    return path


def clicks(seconds: float, at: float) -> np.ndarray:
    out = np.zeros(round(seconds * RATE), np.float32)
    start = round(at * RATE)
    out[start : start + 160] = np.sin(np.arange(160) * 0.8)
    return out


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_colours_come_back(tmp_path: Path, suffix: str) -> None:
    image = colours(256, 64)
    with VideoWriter(tmp_path / f"out{suffix}", (256, 64), Fraction(25)) as out:
        for _ in range(3):
            out.write(image)
    seen = decode(tmp_path / f"out{suffix}", 256, 64)
    assert len(seen) == 3
    for i in range(8):
        middle = np.s_[16:48, i * 32 + 10 : i * 32 + 22]
        assert np.abs(seen[1][middle].astype(int) - image[middle]).mean() < 2.5
    told = describe(tmp_path / f"out{suffix}")
    assert "h264 (High)" in told and re.search(r"yuv420p\(tv, bt709", told)


@pytest.mark.parametrize(("size", "even"), [((64, 64), (64, 64)), ((65, 67), (66, 68)), ((64, 65), (64, 66))])
def test_an_odd_size_grows_by_its_own_edge(tmp_path: Path, size: tuple[int, int], even: tuple[int, int]) -> None:
    image = np.full((size[1], size[0], 3), 200, np.uint8)
    with VideoWriter(tmp_path / "out.mp4", size, Fraction(25)) as out:
        out.write(image)
    assert np.abs(decode(tmp_path / "out.mp4", *even).astype(int) - 200).max() <= 3


@pytest.mark.parametrize(
    "fps", [Fraction(25), Fraction(24000, 1001), Fraction(30000, 1001), Fraction(25, 2), Fraction(240)]
)
@pytest.mark.parametrize("voice_seconds", [0.7, 3.1])
def test_picture_and_sound_end_together(tmp_path: Path, fps: Fraction, voice_seconds: float) -> None:
    frames = round(2 * fps)
    voice = write_wav(tmp_path / "voice.wav", np.random.default_rng(0).uniform(-0.3, 0.3, round(voice_seconds * RATE)))
    with VideoWriter(tmp_path / "out.mp4", (64, 64), fps, voice, frames / fps) as out:
        for i in range(frames):
            out.write(np.full((64, 64, 3), i % 256, np.uint8))
    path = tmp_path / "out.mp4"
    assert len(decode(path, 64, 64)) == frames
    heard = len(sound(path)) / 48000
    assert abs(heard - float(frames / fps)) < 1 / float(fps)
    stated = re.search(r"Duration: 00:00:([\d.]+)", describe(path))
    assert stated and abs(float(stated[1]) - float(frames / fps)) < 1 / float(fps) + 0.01


def test_the_container_keeps_the_rate_exactly(tmp_path: Path) -> None:
    import cv2

    with VideoWriter(tmp_path / "out.mp4", (64, 64), Fraction(24000, 1001)) as out:
        for _ in range(48):
            out.write(np.zeros((64, 64, 3), np.uint8))
    capture = cv2.VideoCapture(str(tmp_path / "out.mp4"))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(24000 / 1001, abs=1e-6)


@pytest.mark.parametrize("start", [0, Fraction(12, 25)])
def test_sound_is_heard_when_it_was_said(tmp_path: Path, start: Fraction) -> None:
    voice = write_wav(tmp_path / "voice.wav", clicks(2, 1.0))
    with VideoWriter(tmp_path / "out.mp4", (64, 64), Fraction(25), voice, Fraction(30, 25), start) as out:
        for _ in range(30):
            out.write(np.zeros((64, 64, 3), np.uint8))
    heard = sound(tmp_path / "out.mp4")
    peak = np.flatnonzero(np.abs(heard) > 0.2)[0] / 48000
    assert peak == pytest.approx(1.0 - float(start), abs=0.005)


def test_a_videos_track_serves_as_voice(tmp_path: Path) -> None:
    voice = write_wav(tmp_path / "voice.wav", clicks(1, 0.5))
    for source, target in ((voice, "first.mp4"), (tmp_path / "first.mp4", "second.mp4")):
        with VideoWriter(tmp_path / target, (64, 64), Fraction(25), source, 1) as out:
            for _ in range(25):
                out.write(np.zeros((64, 64, 3), np.uint8))
    heard = sound(tmp_path / "second.mp4")
    assert np.flatnonzero(np.abs(heard) > 0.2)[0] / 48000 == pytest.approx(0.5, abs=0.005)


@pytest.mark.parametrize(("tracks", "voice"), [(1, 0), (2, 1), (3, 2), (6, 3), (9, 8)])
def test_the_video_plays_what_the_face_follows(tmp_path: Path, tracks: int, voice: int) -> None:
    """On whichever track of a recording it is."""
    several = np.zeros((RATE, tracks))
    several[:, voice] = clicks(1, 0.5) + 0.1 * np.sin(np.arange(RATE) / 5)
    path = write_wav(tmp_path / "voice.wav", several)
    with VideoWriter(tmp_path / "out.mp4", (64, 64), Fraction(25), path, 1) as out:
        for _ in range(25):
            out.write(np.zeros((64, 64, 3), np.uint8))
    followed, played = load_audio(path), load_audio(tmp_path / "out.mp4")[:RATE]
    assert np.corrcoef(followed[: len(played)], played)[0, 1] > 0.97
    assert 0.6 < played.std() / followed.std() < 1.1
    assert "stereo" in describe(tmp_path / "out.mp4")


def test_a_wall_stays_still_over_key_frames(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    wall = np.clip(128 + rng.normal(0, 12, (96, 96, 3)), 0, 255).astype(np.uint8)
    with VideoWriter(tmp_path / "out.mp4", (96, 96), Fraction(25)) as out:
        for i in range(260):  # x264 places a key frame at 250
            frame = wall.copy()
            frame[56:, 56:] = (i * 37) % 256
            out.write(frame)
    seen = decode(tmp_path / "out.mp4", 96, 96)[:, :32, :32].astype(int)
    assert np.abs(seen - seen[0]).mean() < 0.5
    assert np.abs(seen[240] - seen[255]).mean() < 0.5


def test_the_same_frames_make_the_same_bytes(tmp_path: Path) -> None:
    voice = write_wav(tmp_path / "voice.wav", clicks(1, 0.5))
    for name in ("a.mp4", "b.mp4"):
        with VideoWriter(tmp_path / name, (128, 128), Fraction(25), voice, 1) as out:
            for i in range(25):
                out.write(np.full((128, 128, 3), i * 9, np.uint8))
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_transparent_frames_stand_on_black(tmp_path: Path) -> None:
    frame = np.full((64, 64, 4), 255, np.uint8)
    frame[:, 32:, 3] = 0
    with VideoWriter(tmp_path / "out.mp4", (64, 64), Fraction(25)) as out:
        out.write(frame)
    seen = decode(tmp_path / "out.mp4", 64, 64)[0]
    assert seen[:, :24].min() > 250 and seen[:, 40:].max() < 5


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_what_did_not_finish_leaves_no_trace(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "out.mp4").write_bytes(b"an older video")
    with pytest.raises(error), VideoWriter(tmp_path / "out.mp4", (64, 64), Fraction(25)) as out:
        out.write(np.zeros((64, 64, 3), np.uint8))
        assert len(list(tmp_path.iterdir())) == 2
        raise error
    assert [file.name for file in tmp_path.iterdir()] == ["out.mp4"]
    assert (tmp_path / "out.mp4").read_bytes() == b"an older video"
    assert out._process.poll() is not None, "the encoder still runs"


def test_ctrl_c_while_the_encoder_gets_its_end_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "out.mp4", (64, 64), Fraction(25)) as out:
        out.write(np.zeros((64, 64, 3), np.uint8))
        assert out._process.stdin is not None
        monkeypatch.setattr(out, "_process", Interrupting(out._process, interrupted))
    assert not list(tmp_path.iterdir())
    assert out._process.poll() is not None, "the encoder still runs"


class Interrupting:
    """A process whose input can't be closed in peace."""

    def __init__(self, process: Any, close: Any) -> None:
        self._process, self.stdin = process, SimpleNamespace(close=close)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._process, name)


def test_frames_of_another_shape_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="uint8"), VideoWriter(tmp_path / "out.mp4", (64, 64), Fraction(25)) as out:
        out.write(np.zeros((64, 32, 3), np.uint8))
    assert not list(tmp_path.iterdir())


def test_a_video_without_frames_is_none(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem) as caught, VideoWriter(tmp_path / "out.mp4", (64, 64), Fraction(25)):
        pass
    assert caught.value.code == "encoder_failed"
    assert not list(tmp_path.iterdir())


def test_the_encoders_reason_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elocute.finishing.video.PRESET", "none-such")
    with (
        pytest.raises(EnvironmentProblem) as caught,
        VideoWriter(tmp_path / "out.mp4", (512, 512), Fraction(25)) as out,
    ):
        for _ in range(100):
            out.write(np.zeros((512, 512, 3), np.uint8))
    assert caught.value.code == "encoder_failed" and " @ " not in caught.value.message
    assert not list(tmp_path.iterdir())


def test_a_voice_that_is_none_is_refused_before_there_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "voice.wav").write_bytes(b"no sound at all")
    with pytest.raises(BadInput) as caught:
        VideoWriter(tmp_path / "out.mp4", (64, 64), Fraction(25), tmp_path / "voice.wav", 1)
    assert caught.value.code == "audio_unreadable"
    assert [file.name for file in tmp_path.iterdir()] == ["voice.wav"]


def test_a_full_disk_is_called_by_its_name(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(small)], capture_output=True)
    if mount.returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
        with (
            pytest.raises(EnvironmentProblem) as caught,
            VideoWriter(small / "out.mp4", (256, 256), Fraction(25)) as out,
        ):
            for i in range(60):
                out.write(np.roll(noise, (7 * i, 13 * i), (0, 1)))
        assert caught.value.code == "disk_full"
        assert not list(small.iterdir())
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.parametrize(
    ("name", "code", "kind"),
    [
        ("out.avi", "output_type", BadInput),
        ("out", "output_type", BadInput),
        ("folder.mp4", "output_is_directory", BadInput),
        ("file.txt/out.mp4", "output_not_a_folder", BadInput),
    ],
)
def test_a_bad_target_is_said_before_any_work(tmp_path: Path, name: str, code: str, kind: type) -> None:
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "file.txt").write_text("x")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(kind) as caught:
        check_output(tmp_path / name)
    assert caught.value.code == code
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_one_may_not_write_to(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    if os.geteuid() == 0:  # nothing is forbidden to root, except what the kernel makes up itself
        locked = Path("/proc/self")
    with pytest.raises(EnvironmentProblem) as caught:
        check_output(locked / "out.mp4")
    assert caught.value.code == "output_not_writable"


def test_missing_folders_are_made_only_with_the_file(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "out.mp4"
    check_output(target)
    assert not list(tmp_path.iterdir())
    with VideoWriter(target, (64, 64), Fraction(25)) as out:
        out.write(np.zeros((64, 64, 3), np.uint8))
    assert target.is_file()


def test_an_ffmpeg_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, folder = tmp_path / "program", tmp_path / "out"
    program.write_bytes(b"nothing that runs")
    folder.mkdir()
    for rights in (0o600, 0o700):  # found out before it is started, and by starting it
        program.chmod(rights)
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(program))
        with pytest.raises(EnvironmentProblem) as caught:
            VideoWriter(folder / "out.mp4", (64, 64), Fraction(25))
        assert caught.value.code == "ffmpeg_missing"
        assert not list(folder.iterdir())


def test_what_a_killed_run_left_of_the_same_video_goes(tmp_path: Path) -> None:
    """An hour later; what lies beside it is somebody else's."""
    target = tmp_path / "out.mp4"
    killed = [Temporary(tmp_path / name).path for name in ("out.mp4", "out.mp4", "out.mov", "outer.mp4", "out-2.mp4")]
    for path in killed[1:]:
        os.utime(path, (1e9, 1e9))
    with VideoWriter(target, (64, 64), Fraction(25)) as out:
        out.write(np.zeros((64, 64, 3), np.uint8))
    assert set(tmp_path.iterdir()) == {target, killed[0], *killed[2:]}


def test_the_render_script_knows_what_can_be_written() -> None:
    """It refuses other movies before the engine is there to ask."""
    script = (Path(__file__).resolve().parents[2] / "scripts" / "render.py").read_text()
    (named,) = re.findall(r"^MOVIES = \((.*?)\)", script, re.MULTILINE)
    assert tuple(re.findall(r'"(.*?)"', named)) == SUFFIXES


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_a_voice_is_as_loud_as_it_was(tmp_path: Path, channels: int) -> None:
    """Six without places around the listener are tracks, of which one has the voice."""
    tone = 0.25 * np.sin(np.arange(RATE) * 0.2)
    silent = np.zeros(RATE)
    tracks = np.stack([tone, *[tone if channels == 2 else silent] * (channels - 1)], 1)
    voice = write_wav(tmp_path / "voice.wav", tracks)
    with VideoWriter(tmp_path / "out.mp4", (64, 64), Fraction(25), voice, 1) as out:
        for _ in range(25):
            out.write(np.zeros((64, 64, 3), np.uint8))
    command = [ffmpeg(), "-v", "error", "-i", str(tmp_path / "out.mp4"), "-f", "f32le", "-ac", "2", "-"]
    heard = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.float32).reshape(-1, 2)
    assert np.abs(heard[10000:40000]).max(0) == pytest.approx(0.25 * 32000 / 32768, rel=0.03)


def test_a_folder_that_knows_no_rights_gets_its_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chmod", refused)
    with VideoWriter(tmp_path / "out.mp4", (64, 64), Fraction(25)) as out:
        out.write(np.zeros((64, 64, 3), np.uint8))
    assert len(decode(tmp_path / "out.mp4", 64, 64)) == 1
