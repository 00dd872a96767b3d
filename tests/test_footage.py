"""Videos and folders of pictures as frames in order."""

from __future__ import annotations

import io
import math
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import imageio_ffmpeg
import numpy as np
import pytest

from elocute.errors import BadInput
from elocute.finishing.video import VideoWriter
from elocute.footage import PICTURES, open_footage, probe


def grey(path: Path, value: int) -> None:
    cv2.imwrite(str(path), np.full((16, 24, 3), value, np.uint8))


def test_a_folder_is_read_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        grey(tmp_path / f"f{number}.png", number)
    (tmp_path / "f3.png").write_bytes(b"")
    (tmp_path / "sub.png").mkdir()
    (tmp_path / "readme.md").write_text("")
    footage = open_footage(tmp_path)
    assert (footage.count, footage.fps) == (4, None)
    assert [footage.name(i) for i in range(4)] == ["f1.png", "f2.png", "f3.png", "f10.png"]
    assert [None if f is None else int(f[0, 0, 0]) for f in footage.frames()] == [1, 2, None, 10]


def test_what_other_programs_hide_in_a_folder_is_no_frame(tmp_path: Path) -> None:
    for name in ("1.png", "2.png", "._1.png", ".000001-ab12.part.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((8, 8, 3), np.uint8))
    assert [file.name for file in open_footage(tmp_path).files] == ["1.png", "2.png"]


def test_every_kind_of_picture_is_read_in_a_folder_and_alone(tmp_path: Path) -> None:
    from PIL import Image

    for ending in PICTURES:
        Image.new("RGB", (32, 24), (200, 100, 50)).save(tmp_path / f"p{ending}")
    Image.new("RGB", (32, 24), (200, 100, 50)).save(tmp_path / "two.jpg", "MPO", save_all=True)
    files = open_footage(tmp_path).files
    assert len(files) == len(PICTURES) + 1
    for file in files:
        alone = open_footage(file)
        (frame,) = alone.frames()
        assert (alone.count, alone.fps, alone.name(0)) == (1, None, file.name)
        assert frame is not None and np.abs(frame.astype(int) - (200, 100, 50)).max() < 8, file.name


def test_a_picture_that_would_fill_the_memory_is_never_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    Image.new("1", (12000, 12000)).save(tmp_path / "1.png")
    Image.new("RGB", (80, 80)).save(tmp_path / "2.png")
    (tmp_path / "3.png").write_bytes(b"")
    damaged = io.BytesIO()
    Image.new("RGB", (64, 64)).save(damaged, "AVIF")
    (tmp_path / "4.jpg").write_bytes(damaged.getvalue()[:-30])
    decoded: list[int] = []
    decode = cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda data, how: (decoded.append(len(data)), decode(data, how))[1])
    frames = list(open_footage(tmp_path).frames())
    assert [frame is None for frame in frames] == [True, False, True, True] and len(decoded) == 1


def test_a_raised_digit_in_a_name_is_no_number(tmp_path: Path) -> None:
    for name in ("1²2.png", "1²10.png", "²3.png", "x٣.png"):
        grey(tmp_path / name, 9)
    assert [file.name for file in open_footage(tmp_path).files] == ["1²2.png", "1²10.png", "x٣.png", "²3.png"]


def test_a_colon_in_a_name_is_no_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with VideoWriter(Path("seed:7.mp4"), (32, 32), Fraction(25)) as writer:
        writer.write(np.full((32, 32, 3), 60, np.uint8))
    assert open_footage(Path("seed:7.mp4")).count == 1


@pytest.mark.parametrize("fps", [Fraction(24000, 1001), Fraction(480), Fraction(1, 2)], ids=str)
def test_a_video_tells_its_rate_exactly(tmp_path: Path, fps: Fraction) -> None:
    """Slow motion and time lapse too."""
    with VideoWriter(tmp_path / "v.mp4", (32, 32), fps) as writer:
        for value in (10, 60, 110, 160, 210):
            writer.write(np.full((32, 32, 3), value, np.uint8))
    footage = open_footage(tmp_path / "v.mp4")
    assert (footage.count, footage.fps) == (5, fps)
    levels = [int(frame.mean()) for frame in footage.frames() if frame is not None]
    assert np.abs(np.array(levels) - (10, 60, 110, 160, 210)).max() < 6


def pictures_of_a_video(path: Path, values: tuple[int, ...]) -> list[tuple[int, int]]:
    """Write an AVI of JPEG pictures; returns where in it each one's bytes begin and end."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (32, 32))
    for value in values:
        writer.write(np.full((32, 32, 3), value, np.uint8))
    writer.release()
    data, places, at = path.read_bytes(), [], 0
    while (at := data.find(b"00dc", at)) >= 0:
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at + 8 : at + 10] == b"\xff\xd8":
            places.append((at + 8, at + 8 + size))
        at += 8
    assert len(places) == len(values)
    return places


def test_damaged_frames_are_gaps_and_a_cut_video_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "v.avi"
    values = (10, 60, 110, 160, 210, 90)
    places = pictures_of_a_video(path, values)
    whole = bytearray(path.read_bytes())
    damaged = whole.copy()
    for first, last in places[2:4]:
        damaged[first:last] = bytes(last - first)
    path.write_bytes(damaged)
    found = [None if frame is None else round(float(frame.mean()), -1) for frame in open_footage(path).frames()]
    assert found == [10, 60, None, None, 210, 90]
    monkeypatch.setattr("elocute.footage.MOST_DAMAGED", 1)
    assert len(list(open_footage(path).frames())) == 2, "it does not look for ever"
    path.write_bytes(whole[: places[3][0] + 20])
    monkeypatch.undo()
    assert open_footage(path).count >= 3
    assert [frame is not None for frame in open_footage(path).frames()] == [True] * 3


def reordered(path: Path, count: int, damaged: range, rate: str = "25", times: str = "") -> None:
    """Write an H.264 video with B-frames whose frame i is as bright as 5 + 8 i, and blank packets of it."""
    raw = b"".join(np.full((64, 64, 3), 5 + 8 * i, np.uint8).tobytes() for i in range(count))
    shown = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x64", "-r", rate, "-i", "-"]
    how = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "10", "-bf", "3", "-fps_mode", "passthrough"]
    how += ["-vf", f"setpts='{times}'"] if times else []
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error"]
    subprocess.run([*ffmpeg, *shown, *how, str(path)], input=raw, check=True)
    packets = [*ffmpeg, "-i", str(path), "-c", "copy", "-f", "framecrc", "-"]
    lines = subprocess.run(packets, capture_output=True, text=True, check=True).stdout.splitlines()
    sizes = [int(line.split(",")[4]) for line in lines if line.startswith("0,")]
    data = bytearray(path.read_bytes())
    at = data.find(b"mdat") + 4
    for i in damaged:
        first = at + sum(sizes[:i])
        data[first : first + sizes[i]] = bytes(sizes[i])
    path.write_bytes(data)


def numbers(path: Path) -> list[int | None]:
    return [None if frame is None else round((float(frame.mean()) - 5) / 8) for frame in open_footage(path).frames()]


@pytest.mark.parametrize("rate", ["25", "30000/1001", "480"])
def test_frames_that_a_decoder_still_had_keep_their_places_after_damage(tmp_path: Path, rate: str) -> None:
    reordered(tmp_path / "v.mp4", 30, range(12, 16), rate)
    found = numbers(tmp_path / "v.mp4")
    assert len(found) == 30 and found[:11] == list(range(11)) and found[20:] == list(range(20, 30))
    assert None in found[11:20]  # what is lost; the rest of it the decoder makes up


def test_a_frame_that_lasts_longer_is_no_damage_after_one(tmp_path: Path) -> None:
    """Twenty frames 40 ms apart, of which some are lost, then ten 120 ms apart."""
    reordered(tmp_path / "v.mp4", 30, range(12, 16), times="if(lt(N,20),N,20+(N-20)*3)/25/TB")
    found = numbers(tmp_path / "v.mp4")
    assert None in found and None not in found[found.index(23) :] and found.count(24) == 2


def test_times_that_jump_are_no_long_still(tmp_path: Path) -> None:
    """A recording whose second part counts from a minute on."""
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error"]
    reordered(tmp_path / "v.mp4", 20, range(0))
    parts = []
    for offset in ("0", "60"):
        part = tmp_path / f"{offset}.ts"
        how = ["-c", "copy", "-output_ts_offset", offset, str(part)]
        subprocess.run([*ffmpeg, "-i", str(tmp_path / "v.mp4"), *how], check=True)
        parts.append(part.read_bytes())
    (tmp_path / "v.ts").write_bytes(b"".join(parts))
    found = numbers(tmp_path / "v.ts")
    assert len(found) == 40 and found[:20] == list(range(20)) and found[-15:] == list(range(5, 20))


def test_a_video_of_varying_rate_shows_each_frame_at_its_time(tmp_path: Path) -> None:
    """Twelve frames 40 ms apart, then twelve 120 ms apart."""
    reordered(tmp_path / "v.mp4", 24, range(0), times="if(lt(N,12),N,12+(N-12)*3)/25/TB")
    at = np.array([n if n < 12 else 12 + (n - 12) * 3 for n in range(24)]) / 25
    footage = open_footage(tmp_path / "v.mp4")
    assert footage.fps is not None
    found = numbers(tmp_path / "v.mp4")
    assert len(found) / float(footage.fps) == pytest.approx(at[-1], abs=1.5 / footage.fps)
    for place, number in enumerate(found):
        assert number is not None
        shown = place / float(footage.fps)
        assert at[number] <= shown + 0.76 / footage.fps and (number == 23 or at[number + 1] > shown - 1 / footage.fps)


@pytest.mark.parametrize("kind", ["mkv", "mp4"])
def test_pictures_that_start_after_the_sound_keep_their_distance(tmp_path: Path, kind: str) -> None:
    reordered(tmp_path / "v.mp4", 20, range(0))
    sound = ["-f", "lavfi", "-i", "sine=300:duration=1.3"]
    late = tmp_path / f"late.{kind}"
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-itsoffset", "0.48"]
    subprocess.run([*ffmpeg, "-i", str(tmp_path / "v.mp4"), *sound, "-c:v", "copy", str(late)], check=True)
    assert numbers(late) == [0] * 12 + list(range(20))
    assert numbers(tmp_path / "v.mp4") == list(range(20))


@pytest.mark.parametrize(("rate", "late"), [("25", "0.02"), ("30", "0.05"), ("24000/1001", "0.021")])
def test_a_steady_rate_loses_no_frame_wherever_it_starts(tmp_path: Path, rate: str, late: str) -> None:
    reordered(tmp_path / "v.mp4", 30, range(0), rate)
    sound = ["-f", "lavfi", "-i", "sine=300:duration=1.3"]
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-itsoffset", late]
    shot = [*ffmpeg, "-i", str(tmp_path / "v.mp4"), *sound, "-c:v", "copy", str(tmp_path / "l.mkv")]
    subprocess.run(shot, check=True)
    found = numbers(tmp_path / "l.mkv")
    assert found[-30:] == list(range(30)) and len(found) <= 32


def broken_off(source: Path, path: Path, *how: str) -> None:
    """Write a video as a recorder does that never gets to say how long it was."""
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", str(source)]
    live = [*ffmpeg, *(how or ("-c", "copy")), "-f", "matroska", "-live", "1", "pipe:1"]
    path.write_bytes(subprocess.run(live, capture_output=True, check=True).stdout)


@pytest.mark.parametrize("rate", ["25", "30000/1001"])
def test_a_recording_that_states_no_length_is_counted(tmp_path: Path, rate: str) -> None:
    reordered(tmp_path / "v.mp4", 30, range(0), rate)
    broken_off(tmp_path / "v.mp4", tmp_path / "live.mkv")
    footage = open_footage(tmp_path / "live.mkv")
    assert (footage.count, footage.fps) == (30, Fraction(rate))
    assert numbers(tmp_path / "live.mkv") == list(range(30))


def test_a_recording_whose_frames_waver_has_their_mean_rate(tmp_path: Path) -> None:
    """As a browser's has, for which OpenCV tells up to a thousand frames a second."""
    path = tmp_path / "live.webm"
    reordered(tmp_path / "v.mp4", 30, range(0), "30")
    wavering = ["-vf", "setpts='(N/30+0.02*random(1))/TB'", "-fps_mode", "passthrough", "-enc_time_base", "1/1000"]
    broken_off(tmp_path / "v.mp4", path, *wavering, "-c:v", "libvpx")
    data = path.read_bytes()  # without its DefaultDuration, of which as many bytes of nothing are made
    path.write_bytes(data.replace(b"\x23\xe3\x83\x84", b"\xec\x86\x83\x84", 1))
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS) > 40, "or the test shows nothing"
    footage = open_footage(path)
    assert (footage.count, footage.fps) == (30, 30)
    assert numbers(path) == list(range(30))


def test_a_recording_that_states_no_length_may_last_an_hour_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reordered(tmp_path / "v.mp4", 30, range(0))
    broken_off(tmp_path / "v.mp4", tmp_path / "live.mkv")
    monkeypatch.setattr("elocute.footage.LONGEST_SECONDS", 1)
    assert probe(tmp_path / "live.mkv")[1] == 26, "counted no further than has to be known"
    with pytest.raises(BadInput) as caught:
        open_footage(tmp_path / "live.mkv")
    assert caught.value.code == "video_too_long"


def test_an_avi_that_reorders_its_pictures_begins_with_the_first_one(tmp_path: Path) -> None:
    reordered(tmp_path / "v.avi", 20, range(0))
    assert numbers(tmp_path / "v.avi") == list(range(20))


def test_a_decoder_that_tells_no_times_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reordered(tmp_path / "v.mp4", 10, range(0))

    class Timeless:
        def __init__(self, path: Path) -> None:
            self.inside = cv2.VideoCapture(str(path))

        def get(self, what: int) -> float:
            return 0.0 if what == cv2.CAP_PROP_POS_MSEC else self.inside.get(what)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inside, name)

    monkeypatch.setattr("elocute.footage._open", Timeless)
    assert numbers(tmp_path / "v.mp4") == list(range(10))


@pytest.mark.parametrize("fps", [0.0, 1e-4, -25.0, math.inf, math.nan])
def test_a_video_whose_rate_is_none_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fps: float) -> None:
    class Capture:
        def get(self, what: int) -> float:
            return fps if what == cv2.CAP_PROP_FPS else 10.0

        def release(self) -> None: ...

    (tmp_path / "v.mp4").write_bytes(b"a container that says so")
    monkeypatch.setattr("elocute.footage._open", lambda path: Capture())
    with pytest.raises(BadInput, match="v.mp4") as caught:
        open_footage(tmp_path / "v.mp4")
    assert caught.value.code == "video_unreadable"


def test_a_video_that_is_too_long_to_follow_is_refused_unseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with VideoWriter(tmp_path / "v.mp4", (32, 32), Fraction(1)) as writer:
        for value in (10, 60, 110):
            writer.write(np.full((32, 32, 3), value, np.uint8))
    monkeypatch.setattr("elocute.footage.LONGEST_SECONDS", 3)
    assert open_footage(tmp_path / "v.mp4").count == 3
    monkeypatch.setattr("elocute.footage.LONGEST_SECONDS", 2)
    with pytest.raises(BadInput) as caught:
        open_footage(tmp_path / "v.mp4")
    assert caught.value.code == "video_too_long"


@pytest.mark.parametrize(("name", "code"), [("none.mp4", "video_missing"), ("text.mp4", "video_unreadable"),
                                            ("empty", "frames_empty")])  # fmt: skip
def test_what_is_no_footage_is_named(tmp_path: Path, name: str, code: str) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput) as caught:
        open_footage(tmp_path / name)
    assert caught.value.code == code


@pytest.mark.parametrize(("kind", "name"), [("WEBP", "a.webp"), ("PNG", "a.png"), ("PNG", "a.apng"), ("WEBP", "a.mp4"),
                                            ("AVIF", "a.avif")])  # fmt: skip
def test_an_animated_picture_is_not_taken_for_its_first_one(tmp_path: Path, kind: str, name: str) -> None:
    from PIL import Image

    first, *others = (Image.new("RGB", (64, 64), (value, 90, 90)) for value in (10, 120, 240))
    first.save(tmp_path / name, kind, save_all=True, append_images=others, duration=40)
    with pytest.raises(BadInput) as caught:
        open_footage(tmp_path / name)
    called = {"WEBP": "WebP"}.get(kind, kind)
    assert caught.value.code == "video_unreadable"
    assert caught.value.message.startswith(f"{name} is an animated {called}") and ".mp4" in caught.value.message


@pytest.mark.parametrize(("brand", "kind"), [("avif", "an AVIF"), ("heic", "a HEIC"), ("mif1", "a HEIC")])
@pytest.mark.parametrize("ending", ["heic", "jpg"])
def test_a_picture_of_another_kind_is_told_which_ones_do(tmp_path: Path, brand: str, kind: str, ending: str) -> None:
    path = tmp_path / f"photo.{ending}"
    path.write_bytes(b"\0\0\0\x1cftyp" + brand.encode() + bytes(100))
    with pytest.raises(BadInput, match=f"photo.{ending} is {kind} picture.* PNG or JPEG") as caught:
        open_footage(path)
    assert caught.value.code == "video_unreadable"


def test_a_picture_is_no_video(tmp_path: Path) -> None:
    grey(tmp_path / "p.jpg", 90)
    with pytest.raises(BadInput) as caught:
        probe(tmp_path / "p.jpg")
    assert caught.value.code == "video_unreadable"


def video(path: Path, pictures: list[np.ndarray], *how: str) -> Path:
    """Pictures as ffmpeg makes a video of them."""
    height, width = pictures[0].shape[:2]
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    raw = b"".join(picture.tobytes() for picture in pictures)
    subprocess.run([*ffmpeg, "-s", f"{width}x{height}", "-r", "25", "-i", "-", *how, str(path)], input=raw, check=True)
    return path


@pytest.mark.parametrize("shape", [(64, 96), (65, 97)])
def test_av1_is_read_without_a_graphics_card_for_it(tmp_path: Path, shape: tuple[int, int]) -> None:
    pictures = [np.full((*shape, 3), 20 * i, np.uint8) for i in range(10)]
    av1 = video(tmp_path / "v.mp4", pictures, "-c:v", "libsvtav1", "-preset", "12", "-svtav1-params", "log-level=0")
    footage = open_footage(av1)
    seen = [None if frame is None else float(frame.mean()) for frame in footage.frames()]
    assert footage.count == 10 and seen == pytest.approx([20 * i for i in range(10)], abs=4)


@pytest.mark.parametrize(
    ("aspect", "shape"), [("1", (60, 80)), ("404/405", (60, 80)), ("4/3", (60, 107)), ("1/2", (120, 80))]
)
def test_pixels_that_are_not_square_are_made_so(tmp_path: Path, aspect: str, shape: tuple[int, int]) -> None:
    picture = np.zeros((60, 80, 3), np.uint8)
    wide = video(tmp_path / "v.mp4", [picture] * 3, "-vf", f"setsar={aspect}", "-c:v", "libx264", "-pix_fmt", "yuv420p")
    assert [frame.shape[:2] for frame in open_footage(wide).frames() if frame is not None] == [shape] * 3


def test_what_may_not_be_read_and_a_folder_are_told_from_no_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path, mode: str = "r") -> None:
        raise PermissionError(13, "Permission denied")

    with pytest.raises(BadInput, match="is a folder"):
        probe(tmp_path)
    video(tmp_path / "v.mp4", [np.zeros((16, 16, 3), np.uint8)])
    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(BadInput, match="Permission denied"):
        probe(tmp_path / "v.mp4")
