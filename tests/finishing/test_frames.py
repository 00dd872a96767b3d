"""Numbered frames: atomic, deterministic, and resumed only when they are what they should be."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from elocute.errors import BadInput, EnvironmentProblem
from elocute.files import Temporary
from elocute.finishing import frames as frames_module
from elocute.finishing.frames import FrameWriter, check_frames_folder, encode_png, read_png, unlike_told


def picture(seed: int = 0, channels: int = 3, side: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, channels), np.uint8)


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> pytest.TempPathFactory:
    return tmp_path_factory


@given(seed=st.integers(0, 2**32 - 1), channels=st.sampled_from([3, 4]), side=st.integers(1, 40))
@settings(max_examples=25, deadline=None)
def test_pixels_come_back_exactly(places: pytest.TempPathFactory, seed: int, channels: int, side: int) -> None:
    folder = places.mktemp("frames")
    image = picture(seed, channels, side)
    with FrameWriter(folder) as out:
        path = out.write(7, image, "h")
    assert path.name == "000007.png"
    assert (read_png(path) == image).all()
    assert (np.array(Image.open(path)) == image).all(), "another decoder sees something else"


def test_the_same_pixels_make_the_same_bytes_tagged_srgb() -> None:
    data = encode_png(picture())
    assert data == encode_png(picture().copy())
    assert data[33:46].find(b"sRGB") == 4
    assert Image.open(__import__("io").BytesIO(data)).info["srgb"] == 0


def test_a_second_run_keeps_what_it_has(tmp_path: Path) -> None:
    with FrameWriter(tmp_path) as out:
        for index in range(1, 6):
            assert not out.have(index, f"hash{index}")
            out.write(index, picture(index), f"hash{index}")
    again = FrameWriter(tmp_path)
    assert all(again.have(index, f"hash{index}") for index in range(1, 6))
    assert not again.have(3, "another hash")
    assert not again.have(6, "hash6")
    assert (again.read(4) == picture(4)).all()
    assert json.loads((tmp_path / "manifest.json").read_text())["frames"]["4"][0] == "hash4"


def test_a_damaged_or_missing_frame_is_rendered_again(tmp_path: Path) -> None:
    with FrameWriter(tmp_path) as out:
        for index in range(1, 6):
            out.write(index, picture(index), "h")
    for name, left in (("000001.png", -20), ("000002.png", 30), ("000003.png", 0)):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:left])
    (tmp_path / "000004.png").write_bytes(b"no picture any more")
    (tmp_path / "000005.png").unlink()
    assert not any(FrameWriter(tmp_path).have(index, "h") for index in range(1, 6))


def test_a_frame_that_was_painted_over_is_not_replaced(tmp_path: Path) -> None:
    with FrameWriter(tmp_path) as out:
        for index in range(1, 7):
            out.write(index, picture(index), "h")
    cv2.imwrite(str(tmp_path / "000002.png"), picture(9))
    with pytest.raises(BadInput) as caught:
        FrameWriter(tmp_path)
    assert caught.value.code == "frames_folder_taken" and "000002.png" in caught.value.message
    FrameWriter(tmp_path, (3, 6))  # which leaves it alone
    for index in range(3, 7):
        cv2.imwrite(str(tmp_path / f"00000{index}.png"), picture(9)[..., 0])
    with pytest.raises(BadInput, match=r"000002.png, 000003.png, 000004.png and 2 more files"):
        FrameWriter(tmp_path)


def test_a_frame_with_another_header_that_the_manifest_knows_is_ours(tmp_path: Path) -> None:
    with FrameWriter(tmp_path) as out:
        out.write(1, picture(1), "h")
    cv2.imwrite(str(tmp_path / "000001.png"), picture(1))
    crc = zlib.crc32((tmp_path / "000001.png").read_bytes())
    (tmp_path / "manifest.json").write_text(json.dumps({"version": 1, "frames": {"1": ["h", crc]}}))
    assert FrameWriter(tmp_path).have(1, "h")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
@pytest.mark.parametrize("name", ["000001.png", "000002.png", "manifest.json"])
@pytest.mark.parametrize("make", [os.mkdir, getattr(os, "mkfifo", None)], ids=["folder", "pipe"])
def test_what_is_no_file_is_not_replaced_nor_waited_for(tmp_path: Path, name: str, make: Callable[..., None]) -> None:
    with FrameWriter(tmp_path) as out:
        out.write(1, picture(1), "h")
    (tmp_path / name).unlink(missing_ok=True)
    make(tmp_path / name)
    with pytest.raises(BadInput) as caught:
        check_frames_folder(tmp_path)
    assert caught.value.code == "frames_folder_taken" and name in caught.value.message


@pytest.mark.parametrize("other", [picture(channels=4), picture(side=16)], ids=["alpha", "size"])
def test_frames_of_another_form_that_stay_are_told(tmp_path: Path, other: np.ndarray) -> None:
    with FrameWriter(tmp_path) as out:
        for index in (1, 2, 3, 4, 6):
            out.write(index, other, "old")
        out.write(7, picture(7), "alike")
        for index in (3, 4):
            out.write(index, picture(index), "new")
    (tmp_path / "000002.png").write_bytes(b"")
    (told,) = unlike_told(tmp_path, range(3, 5))
    assert told.startswith(f"{tmp_path} keeps 2 frames of another size or background") and "frames 1, 6." in told
    (told,) = unlike_told(tmp_path, range(1, 7))
    assert "keeps 1 frame of" in told and "frame 7." in told
    (tmp_path / "000001.png").unlink()
    (tmp_path / "000006.png").unlink()
    assert unlike_told(tmp_path, range(3, 5)) == []


def test_a_killed_runs_newer_frame_does_not_pass_for_the_old_one(tmp_path: Path) -> None:
    with FrameWriter(tmp_path) as out:
        out.write(1, picture(1), "old")
    killed = FrameWriter(tmp_path)
    killed.write(1, picture(2), "new")  # and never gets to flush
    assert not FrameWriter(tmp_path).have(1, "old")


@pytest.mark.parametrize(
    "text", ["", "{}", '{"version": 99, "frames": {"1": ["h", 1]}}', '{"version": 1, "frames": {"x": 3}}']
)
def test_a_broken_manifest_means_render_again(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    assert not FrameWriter(tmp_path).have(1, "h")


def test_after_an_error_finished_frames_count(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), FrameWriter(tmp_path) as out:
        out.write(1, picture(1), "h")
        raise KeyboardInterrupt
    assert FrameWriter(tmp_path).have(1, "h")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["000001.png", "manifest.json"]


def test_a_frame_is_never_half_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "write_bytes", lambda self, data: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(EnvironmentProblem) as caught:
        FrameWriter(tmp_path).write(1, picture(), "h")
    assert caught.value.code == "disk_full"
    assert not list(tmp_path.iterdir())


def test_what_a_killed_run_left_half_written_goes(tmp_path: Path) -> None:
    """An hour later: another run may be writing into the same folder."""
    old, new = (Temporary(tmp_path / f"00000{k}.png").path for k in (1, 2))
    foreign = tmp_path / ".my-notes.part.txt"
    foreign.touch()
    for path in (old, foreign):
        os.utime(path, (1e9, 1e9))
    FrameWriter(tmp_path)
    assert not old.exists() and new.exists() and foreign.exists()


def test_the_manifest_is_written_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames_module, "_FLUSH_SECONDS", -1.0)
    out = FrameWriter(tmp_path)
    out.write(1, picture(), "h")
    assert FrameWriter(tmp_path).have(1, "h"), "a run killed now would start from nothing"


def test_two_runs_in_one_folder_keep_each_others_frames(tmp_path: Path) -> None:
    with FrameWriter(tmp_path) as one, FrameWriter(tmp_path) as other:
        one.write(1, picture(1), "a")
        other.write(2, picture(2), "b")
        one.write(3, picture(3), "c")
    again = FrameWriter(tmp_path)
    assert again.have(1, "a") and again.have(2, "b") and again.have(3, "c")


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    for place in (tmp_path / "x", tmp_path / "x" / "frames"):
        with pytest.raises(BadInput) as caught:
            check_frames_folder(place)
        assert caught.value.code == "output_not_a_folder"


@pytest.mark.parametrize(("name", "content"), [
    ("manifest.json", b'{"name": "my web extension"}'), ("manifest.json", b'["a", "b"]'),
    ("manifest.json", b'\xef\xbb\xbf{"name": 1}'), ("manifest.json", b'{"frames": {"a.png": {}}, "meta": {}}'),
    ("manifest.json", b"// a comment"), ("000002.png", b"\xff\xd8 JPEG"),
    ("000002.png", encode_png(np.zeros((8, 8, 3), np.uint8)).replace(b"IDAT", b"gAMA")),
])  # fmt: skip
def test_another_programs_file_is_not_replaced(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput) as caught:
        FrameWriter(tmp_path)
    assert caught.value.code == "frames_folder_taken" and name in caught.value.message
    assert (tmp_path / name).read_bytes() == content


def test_frames_of_a_run_that_was_killed_before_it_could_tell_are_ours(tmp_path: Path) -> None:
    with FrameWriter(tmp_path) as out:
        out.write(2, picture(), "h")
    (tmp_path / "manifest.json").unlink()
    assert not FrameWriter(tmp_path).have(2, "h")
    with FrameWriter(tmp_path) as out:
        out.write(1, picture(), "h")
        (tmp_path / "000001.png").write_bytes(b"edited by hand")
    FrameWriter(tmp_path)


def test_what_is_no_frame(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="uint8"):
        encode_png(np.zeros((4, 4), np.uint8))
    (tmp_path / "a.png").write_bytes(b"no picture")
    for name in ("a.png", "b.png"):
        with pytest.raises(BadInput) as caught:
            read_png(tmp_path / name)
        assert caught.value.code == "frame_unreadable"
