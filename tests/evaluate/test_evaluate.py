"""A whole evaluation of a small video whose head is moved by hand."""

from __future__ import annotations

import json
import os
import re
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pillow_heif import register_heif_opener

from elocute.errors import BadInput, EnvironmentProblem
from elocute.evaluate import identity
from elocute.evaluate.report import LABEL, WIDTH, _plot, _rows
from elocute.evaluate.run import Evaluation, _read_photo, evaluate, read_labels
from elocute.evaluate.sheet import arrange, check_sheet, sheet_of_frames
from elocute.finishing.frames import FrameWriter
from elocute.finishing.video import VideoWriter
from elocute.models.store import verify
from elocute.portrait.image import MAX_SIDE
from elocute.protocol import Message, Progress

ROOT = Path(__file__).resolve().parents[2]
PORTRAIT, VOICE = ROOT / "examples" / "portrait.jpg", ROOT / "examples" / "voice.wav"
pytestmark = pytest.mark.skipif(not verify("face"), reason="models not fetched: elocute models --fetch")
FRAMES = 30


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example portrait, tilting to the right and back."""
    image = cv2.cvtColor(cv2.imread(str(PORTRAIT)), cv2.COLOR_BGR2RGB)[:512, :512]
    path = tmp_path_factory.mktemp("video") / "tilt.mp4"
    with VideoWriter(path, (512, 512), Fraction(25), VOICE, Fraction(FRAMES, 25)) as out:
        for roll in tilt():
            matrix = cv2.getRotationMatrix2D((256, 256), -float(roll), 1)  # OpenCV counts anticlockwise
            sharp = cv2.INTER_LANCZOS4  # bilinear loses 40 % of the photo's sharpness
            out.write(cv2.warpAffine(image, matrix, (512, 512), flags=sharp, borderMode=cv2.BORDER_REPLICATE))
    return path


def tilt() -> np.ndarray:
    return 8 * np.sin(np.linspace(0, np.pi, FRAMES))


def test_numbers_page_and_sheet(video: Path, tmp_path: Path) -> None:
    poses = {"fps": 25, "yaw_deg": [0] * FRAMES, "pitch_deg": [0] * FRAMES, "roll_deg": tilt().tolist()}
    (tmp_path / "poses.json").write_text(json.dumps(poses))
    job = Evaluation(
        video, PORTRAIT, VOICE, tmp_path / "poses.json", ROOT / "tests/data/voice.json",
        tmp_path / "e.json", tmp_path / "e.html", tmp_path / "e.png",
    )  # fmt: skip
    said = []
    out = evaluate(job, said.append)
    assert (out["frames"], out["fps"], out["size"], out["face_rate"]) == (FRAMES, 25, [512, 512], 1)
    assert out["pose_error_deg"]["roll"]["mae"] < 0.7
    assert out["pose_range_deg"]["roll"][1] == pytest.approx(8, abs=1)
    assert 0.7 < out["sharpness_ratio"] < 1.1
    assert abs(out["av_end_gap_frames"]) < 1
    assert out["lips"]["closures"] == 1 and "sync" in out  # the p, b or m at 0.37 s; the next comes after the video
    assert ("identity_distance" in out) == identity.available()
    assert len(said) == FRAMES and (said[-1].done, said[-1].total) == (FRAMES, FRAMES)
    assert json.loads((tmp_path / "e.json").read_text()) == out
    assert cv2.imread(str(tmp_path / "e.png")).shape[1] == 4 * 320
    page = (tmp_path / "e.html").read_text()
    assert page.count("<svg") == 4 and "data:image/jpeg" in page
    assert not re.search(r'(src|href)="(?!data:)', page), "the page has to stand alone"
    assert not re.search(r"\bnan\b", re.sub(r'base64,[^"]*', "", page), re.IGNORECASE)


def test_results_are_written_all_or_none(video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()
    whole = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if self.suffix == ".html":
            raise OSError(28, "No space left on device")
        return whole(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    places = {name: tmp_path / "out" / file for name, file in (("json_file", "b.json"), ("html", "a.html"))}
    with pytest.raises(EnvironmentProblem):
        evaluate(Evaluation(video, max_frames=2, **places), lambda message: None)
    assert not list((tmp_path / "out").iterdir())


def test_a_small_face_gets_no_verdict_on_its_sharpness() -> None:
    rows = [_rows({"sharpness_ratio": 0.5, "face_height_px": height}) for height in (100.0, 300.0)]
    assert "bad" not in rows[0] and "no verdict on a face of 100 pixels" in rows[0]
    assert 'class="bad"' in rows[1] and "at 512 pixels" in rows[1] and "no verdict" not in rows[1]


def test_times_stay_on_the_plot() -> None:
    for frames in (25, 50, 51, 250):
        plot = _plot("title", {"a": np.arange(float(frames))}, 25.0)
        times = re.findall(r'<text x="([\d.]+)" [^>]*text-anchor="(\w+)">\d+ s<', plot)
        assert len(times) == frames // 25 + 1
        assert all(float(x) <= (WIDTH if anchor == "end" else WIDTH - LABEL) for x, anchor in times)


def test_a_missing_extra_is_got_for_this_python(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "missing", lambda: ["dlib-bin"])
    notes = evaluate(Evaluation(video, PORTRAIT, max_frames=1), lambda message: None)["notes"]
    assert f"no identity distance: {sys.executable} -m pip install dlib-bin" in notes


def test_a_portrait_is_read_as_speak_reads_it(tmp_path: Path) -> None:
    """Also from a phone, but never reduced."""
    register_heif_opener()
    Image.new("RGB", (MAX_SIDE + 8, 80), (180, 90, 30)).save(tmp_path / "p.heic", format="HEIF", quality=-1)
    photo = _read_photo(tmp_path / "p.heic")
    assert photo.shape == (80, MAX_SIDE + 8, 3)
    assert np.abs(photo.astype(int) - (180, 90, 30)).max() <= 4
    (tmp_path / "half.jpg").write_bytes(PORTRAIT.read_bytes()[: PORTRAIT.stat().st_size // 2])
    with pytest.raises(BadInput) as caught:
        _read_photo(tmp_path / "half.jpg")
    assert caught.value.code == "image_truncated"


def test_a_seed_has_no_photo_to_compare_with(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(b"")
    with pytest.raises(BadInput, match="seed:7 has no photo") as caught:
        evaluate(Evaluation(tmp_path / "v.mp4", Path("seed:7")), lambda message: None)
    assert caught.value.code == "portrait_not_photo"


@pytest.mark.skipif(not identity.available(), reason="the evaluate extra is not installed")
def test_the_same_person_is_near(video: Path) -> None:
    out = evaluate(Evaluation(video, PORTRAIT), lambda message: None)
    assert out["identity_distance"]["mean"] < 0.3


def test_a_video_of_no_one(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "grey.mp4", (96, 96), Fraction(25)) as out:
        for _ in range(3):
            out.write(np.full((96, 96, 3), 128, np.uint8))
    result = evaluate(Evaluation(tmp_path / "grey.mp4", html=tmp_path / "e.html"), lambda message: None)
    assert result["face_rate"] == 0 and "no face found in any frame" in result["notes"]
    assert (tmp_path / "e.html").exists()


def test_a_damaged_frame_counts_as_one_without_a_face(tmp_path: Path) -> None:
    path = tmp_path / "v.avi"
    portrait = cv2.imread(str(PORTRAIT))[:512, :512]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (512, 512))
    for _ in range(4):
        writer.write(portrait)
    writer.release()
    data = bytearray(path.read_bytes())
    first = data.find(b"\xff\xd8", data.find(b"\xff\xd8") + 2)
    size = int.from_bytes(data[first - 4 : first], "little")  # as its chunk says
    data[first : first + size] = bytes(size)
    path.write_bytes(data)
    result = evaluate(Evaluation(path, sheet=tmp_path / "s.png"), lambda message: None)
    assert result["frames"] == 4 and result["face_rate"] == 0.75
    assert (tmp_path / "s.png").exists()


def test_a_part_of_a_video_is_told_to_be_one(video: Path, tmp_path: Path) -> None:
    poses = tmp_path / "p.json"
    poses.write_text(json.dumps({"fps": 25, "roll_deg": tilt().tolist()}))
    result = evaluate(Evaluation(video, poses=poses, max_frames=10), lambda message: None)
    assert result["frames"] == 10 and "av_end_gap_frames" not in result
    assert result["notes"][0] == f"only the first 10 of {FRAMES} frames are measured: --max-frames says how many"
    assert not any("p.json" in note for note in result["notes"]), "its poses are as many as the video's frames"
    whole = evaluate(Evaluation(video, max_frames=FRAMES), lambda message: None)
    assert whole["frames"] == FRAMES and not any("measured" in note for note in whole["notes"])


@pytest.mark.skipif(os.name != "posix", reason="links need rights elsewhere")
def test_one_frame_is_too_few_and_results_are_written_through_a_link(video: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "e.json").symlink_to(tmp_path / "real" / "e.json")
    one = evaluate(Evaluation(video, voice=VOICE, json_file=tmp_path / "e.json", max_frames=1), lambda message: None)
    assert any(note.startswith("1 frame is too few to tell") for note in one["notes"])
    assert json.loads((tmp_path / "real" / "e.json").read_text()) == one and (tmp_path / "e.json").is_symlink()


def test_a_container_that_says_too_few_frames_hides_none(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("run", "observe"):
        monkeypatch.setattr(f"elocute.evaluate.{module}.probe", lambda path: (Fraction(25), 5))
    told: list[Message] = []
    part = evaluate(Evaluation(video, max_frames=10), told.append)
    assert part["frames"] == 10 and part["notes"][0].startswith("only the first 10 frames are measured")
    steps = [message for message in told if isinstance(message, Progress)]
    assert len(steps) == 10 and all(step.done <= step.total for step in steps)


@pytest.mark.parametrize(
    "text", ["", "{}", '{"viseme": "abc"}', '{"viseme": [15]}', '{"viseme": []}', '{"viseme": [0.5]}']
)
def test_labels_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(BadInput) as caught:
        read_labels(tmp_path / "labels.json")
    assert caught.value.code == "labels_unreadable"


def test_labels_that_cannot_be_read_are_not_called_wrong(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="can't be read") as caught:
        read_labels(tmp_path)
    assert caught.value.code == "labels_unreadable"


def test_labels_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text('{"viseme": [0, 14]}', encoding="utf-8-sig")
    assert read_labels(tmp_path / "labels.json").tolist() == [0, 14]


def test_labels_that_are_not_there_and_one_file_for_two_results(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no file"):
        read_labels(tmp_path / "labels.json")
    (tmp_path / "v.mp4").write_bytes(b"")
    with pytest.raises(BadInput) as caught:
        both = Evaluation(tmp_path / "v.mp4", json_file=tmp_path / "e", html=tmp_path / "." / "e")
        evaluate(both, lambda message: None)
    assert caught.value.code == "output_twice"


@pytest.mark.parametrize(("content", "code"), [(None, "video_missing"), (b"no video", "video_unreadable")])
def test_what_is_no_video(tmp_path: Path, content: bytes | None, code: str) -> None:
    if content is not None:
        (tmp_path / "v.mp4").write_bytes(content)
    with pytest.raises(BadInput) as caught:
        evaluate(Evaluation(tmp_path / "v.mp4", json_file=tmp_path / "e.json"), lambda message: None)
    assert caught.value.code == code
    assert not (tmp_path / "e.json").exists()


def test_sheets_of_frames_and_odd_counts(tmp_path: Path) -> None:
    picture = np.zeros((8, 10, 3), np.uint8)
    assert arrange([picture] * 2).shape == (8, 20, 3)
    assert arrange([picture] * 5).shape == (16, 40, 3)
    with FrameWriter(tmp_path / "frames") as out:
        for index in range(1, 15):
            out.write(index, np.full((64, 64, 4), index, np.uint8), "h")
    (tmp_path / "frames" / "2024 scan.png").write_bytes(b"somebody else's")
    sheet_of_frames(tmp_path / "frames", range(1, 15), tmp_path / "sheet.png")
    assert cv2.imread(str(tmp_path / "sheet.png")).shape == (960, 1280, 3)
    sheet_of_frames(tmp_path / "frames", range(3, 4), tmp_path / "one.png")
    assert cv2.imread(str(tmp_path / "one.png")).shape[0] < 960, "of that frame alone"
    for refused in (lambda: check_sheet(tmp_path / "sheet.gif"), lambda: arrange([])):
        with pytest.raises(BadInput):
            refused()
