"""A head followed through frames: turns, moves and faces come back, and what can't be read is held and named."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from elocute.driving.follow import Followed, follow
from elocute.driving.retime import at_shot, placements
from elocute.driving.upper_face import BROW_UNITS, DOWN
from elocute.errors import BadInput
from elocute.footage import open_footage
from elocute.shooting import Shooting
from elocute.spaces import placement_of, poses_against
from elocute.values import ARKIT_NAMES, BLINK, PoseTrack, View

PORTRAIT = Path(__file__).resolve().parents[2] / "examples" / "portrait.jpg"
FRAMES, SIDE, FPS = 30, 320, Fraction(25)
BLANK, BROKEN = 11, 12  # frames without a face, and without a picture
TIMES = np.arange(FRAMES) / 15
ANGLES = np.stack([18 * np.sin(np.pi * TIMES), 8 * np.sin(2 * np.pi * TIMES + 1), 6 * np.sin(np.pi * TIMES + 2)], 1)
JAW = 0.35 - 0.35 * np.cos(4 * np.pi * TIMES)
SIZE = 1 + 0.1 * np.sin(np.pi * TIMES)
ASIDE = 0.02 * np.sin(np.pi * TIMES)  # metres


@dataclass(frozen=True)
class Driver:
    folder: Path
    followed: Followed


@pytest.fixture(scope="module")
def driver(stored: Any, tmp_path_factory: pytest.TempPathFactory) -> Driver:
    """The example's head turning, coming nearer and opening its mouth, as a folder of pictures."""
    folder = tmp_path_factory.mktemp("driver")
    shooting = Shooting(stored, SIDE, "keep", "cpu", 256)
    for i in range(FRAMES):
        expression = np.zeros(52, np.float32)
        expression[ARKIT_NAMES.index("jawOpen")] = JAW[i]
        view = View(zoom=float(SIZE[i]), move=(float(ASIDE[i]), 0, 0))
        frame = shooting.frame(expression, np.radians(ANGLES[i]), view)
        frame = np.full_like(frame, 90) if i == BLANK else frame
        picture = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(folder / f"take{i + 1}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 95])
    (folder / f"take{BROKEN + 1}.jpg").write_bytes(b"not a picture")
    (folder / "notes.txt").write_text("not a frame")
    return Driver(folder, follow(open_footage(folder)))


def track(driver: Driver, stored: Any, smooth: float = 0.0, amount: float = 1.0) -> PoseTrack:
    own = placement_of(stored.fit.camera)
    there = at_shot(driver.followed, FPS, FRAMES, "hold", smooth)
    return poses_against(own, placements(there, own, amount))[0]


READ = np.array([i for i in range(FRAMES) if i not in (BLANK, BROKEN)])


def test_turns_come_back_within_two_degrees(driver: Driver, stored: Any) -> None:
    got = track(driver, stored)
    angles = np.degrees(np.stack([got.yaw, got.pitch, got.roll], 1))
    error = np.abs(angles - ANGLES)[READ]
    assert (error.mean(0) < 2).all(), error.mean(0)
    for axis in range(3):
        assert np.corrcoef(angles[READ, axis], ANGLES[READ, axis])[0, 1] > 0.95


def test_size_and_way_are_followed_as_far_as_asked(driver: Driver, stored: Any) -> None:
    depth = placement_of(stored.fit.camera).head_to_camera[0, 2, 3]
    for amount in (1.0, 0.5):
        views = [track(driver, stored, amount=amount).views[i] for i in READ]
        size = np.array([-depth / (-depth + view.move[2]) for view in views])
        assert np.polyfit(SIZE[READ], size, 1)[0] == pytest.approx(amount, abs=0.35 * amount)
        aside = np.array([view.move[0] for view in views])
        assert np.polyfit(ASIDE[READ], aside, 1)[0] == pytest.approx(amount, abs=0.35 * amount)
    assert not any(any(view.move) for view in track(driver, stored, amount=0.0).views)


def test_the_mouth_is_followed(driver: Driver) -> None:
    jaw = driver.followed.expression[:, ARKIT_NAMES.index("jawOpen")]
    assert np.corrcoef(jaw[READ], JAW[READ])[0, 1] > 0.9
    assert np.ptp(jaw[READ]) > 0.3


def test_what_cannot_be_read_holds_the_last_good_frame_and_is_named(driver: Driver) -> None:
    followed = driver.followed
    assert followed.missing == (BLANK, BROKEN) and followed.names == (f"take{BLANK + 1}.jpg", f"take{BROKEN + 1}.jpg")
    for values in (followed.turns, followed.places, followed.expression):
        for missing in followed.missing:
            np.testing.assert_array_equal(values[missing], values[BLANK - 1])
    (told,) = followed.warnings("driver")
    assert "frames 12-13" in told and "take12.jpg" in told and "held" in told


def test_smoothing_calms_and_keeps_the_length(driver: Driver, stored: Any) -> None:
    rough, calm = (track(driver, stored, smooth) for smooth in (0.0, 0.1))
    assert len(rough) == len(calm) == FRAMES
    wobble = [np.abs(np.diff(t.pitch, 2)).mean() for t in (rough, calm)]
    assert wobble[1] < 0.7 * wobble[0]


def test_frames_that_cannot_be_decoded_are_told_from_those_without_a_face(tmp_path: Path) -> None:
    for name in ("1.webp", "2.png"):
        (tmp_path / name).write_bytes(b"no picture")
    with pytest.raises(BadInput) as caught:
        follow(open_footage(tmp_path))
    assert caught.value.code == "video_empty"


def test_frames_without_a_face_are_refused(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), np.full((200, 200, 3), 120, np.uint8))
    with pytest.raises(BadInput) as caught:
        follow(open_footage(tmp_path))
    assert caught.value.code == "video_no_face"


def test_frames_without_a_face_cost_no_more_the_longer_they_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elocute.driving.follow.load_head_model", lambda: None)
    monkeypatch.setattr("elocute.driving.follow.shared_landmarker", lambda: None)

    def calls(frames: int) -> int:
        """Of functions, which one machine makes as many as another."""
        made = 0

        def count(_frame: Any, event: str, _argument: Any) -> None:
            nonlocal made
            made += event == "call"

        unreadable = SimpleNamespace(frames=lambda: [None] * frames, count=frames, path=Path("v.mp4"))
        sys.setprofile(count)
        try:
            follow(unreadable)  # type: ignore[arg-type]
        except BadInput:
            return made
        finally:
            sys.setprofile(None)
        raise AssertionError("frames that can't be read were followed")

    calls(1)  # what only a first call does
    assert calls(400) < 3 * calls(200)


EVENTS = {
    "blink": ("eyeBlinkLeft", "eyeBlinkRight"),
    "wink": ("eyeBlinkRight",),
    "brows": ("browDownLeft", "browDownRight"),
}


@pytest.fixture(scope="module")
def faces(stored: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """What is followed of the example at rest, blinking, winking, and with lowered brows: each [52]."""
    folder = tmp_path_factory.mktemp("faces")
    shooting = Shooting(stored, SIDE, "keep", "cpu", 256)
    rest = stored.fit.expression.copy()
    order = ["rest", "rest", *[name for event in EVENTS for name in (event, "rest", "rest")]]
    for i, name in enumerate(order):
        expression = rest.copy()
        expression[[ARKIT_NAMES.index(unit) for unit in EVENTS.get(name, ())]] = 1
        frame = shooting.frame(expression, np.zeros(3))
        cv2.imwrite(str(folder / f"{i:02d}.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    followed = follow(open_footage(folder)).expression
    return {name: followed[[i for i, other in enumerate(order) if other == name]].mean(0) for name in set(order)}


def test_lids_meet_in_a_blink_and_one_alone_in_a_wink(faces: dict[str, np.ndarray]) -> None:
    lids = {name: face[list(BLINK)] for name, face in faces.items()}
    assert (lids["rest"] < 0.1).all() and (lids["blink"] > 0.8).all()
    assert lids["wink"][0] < 0.2 and lids["wink"][1] > 0.7


def test_lowered_brows_are_followed(faces: dict[str, np.ndarray]) -> None:
    lowered = {name: face[list(DOWN)] for name, face in faces.items()}
    assert (lowered["rest"] < 0.1).all() and (lowered["brows"] > 0.25).all()  # the example wears glasses over them


def test_a_head_that_turns_and_nods_lowers_and_raises_no_brow(driver: Driver) -> None:
    assert driver.followed.expression[READ][:, list(BROW_UNITS)].mean() < 0.05


def people(folder: Path, frames: list[tuple[tuple[int, int], ...]]) -> Path:
    """Pictures of the example's photo, each time at (middle, size) in pixels."""
    photo = cv2.imread(str(PORTRAIT))
    side = min(photo.shape[:2])
    for number, places in enumerate(frames):
        picture = np.full((480, 960, 3), 90, np.uint8)
        for x, size in places:
            face = cv2.resize(photo[:side, :side], (size, size), interpolation=cv2.INTER_AREA)
            picture[240 - size // 2 :, x - size // 2 :][:size, :size] = face
        cv2.imwrite(str(folder / f"{number}.png"), picture)
    return folder


def test_a_person_is_followed_over_a_gap_though_another_comes_nearer(tmp_path: Path) -> None:
    both, nearer = ((240, 400), (720, 240)), ((240, 360), (720, 460))
    frames = people(tmp_path, [both, both, (), nearer, nearer])
    followed = follow(open_footage(frames))
    assert followed.missing == (2,)
    assert (followed.places[:, 0] < 0).all(), "somebody else was followed"


def test_a_person_who_goes_away_gets_as_far_as_they_are_small(tmp_path: Path) -> None:
    sizes = [*np.geomspace(480, 70, 20).astype(int), *[70] * 3]
    followed = follow(open_footage(people(tmp_path, [((480, int(size)),) for size in sizes])))
    assert not followed.missing
    front = -followed.places[:, 2] - 0.1  # metres to what is seen of the head, which lies before its joint
    assert np.abs(front / front[0] * np.array(sizes) / sizes[0] - 1).max() < 0.05 and front[-1] > 4
