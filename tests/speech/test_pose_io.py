"""A head before a camera, read from a file: what it says, at any rate, and what is wrong with it."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elocute.errors import BadInput
from elocute.head.projection import camera_at, pose_rotation
from elocute.spaces import head_to_camera, placement_of
from elocute.speech.pose_io import poses_seconds, read_poses
from elocute.values import AS_IN_PORTRAIT

CAMERA = camera_at(pose_rotation(0.1, -0.1, 0.0), np.array([0.0, 0.0, -1.9]), 4000.0, (512, 512))
OWN = placement_of(CAMERA)
HERE = head_to_camera(CAMERA)
FOV = float(np.degrees(CAMERA.fov_y))
FPS = Fraction(25)


def save(path: Path, **data: Any) -> Path:
    path.write_text(json.dumps(data))
    return path


def rows(*matrices: np.ndarray) -> list[list[float]]:
    return [matrix.ravel().tolist() for matrix in matrices]


def moved(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> np.ndarray:
    out = HERE.copy()
    out[:3, 3] += x, y, z
    return out


def test_the_portraits_own_numbers_are_its_own_picture(tmp_path: Path) -> None:
    path = save(tmp_path / "p.json", fps=25, head_to_camera=rows(HERE, HERE), fov_y_deg=[FOV] * 2, shift=[[0, 0]] * 2)
    track, told = read_poses(path, FPS, 2, OWN)
    assert track.views == (AS_IN_PORTRAIT,) * 2 and not told
    assert not np.stack([track.yaw, track.pitch, track.roll]).any()


def test_without_a_lens_it_is_the_portraits(tmp_path: Path) -> None:
    track, _ = read_poses(save(tmp_path / "p.json", fps=25, head_to_camera=rows(moved(0.1))), FPS, 1, OWN)
    assert track.views[0].zoom == 1 and track.views[0].shift == (0, 0) and track.views[0].move == (0.1, 0, 0)


def test_without_a_portrait_poses_are_told_against_the_first(tmp_path: Path) -> None:
    placed = rows(moved(0.1), moved(0.3))
    track, _ = read_poses(save(tmp_path / "p.json", fps=25, head_to_camera=placed, fov_y_deg=[7, 7]), FPS, 2)
    assert [view.move[0] for view in track.views] == [0, 0.2]


def test_another_rate_turns_and_moves_evenly_and_holds_the_last(tmp_path: Path) -> None:
    turned = HERE.copy()
    turned[:3, :3] = pose_rotation(0.4, 0, 0) @ HERE[:3, :3]
    turned[:3, 3] += 0.2, 0, 0
    path = save(tmp_path / "p.json", fps=5, head_to_camera=rows(HERE, turned))
    track, told = read_poses(path, FPS, 8, OWN)
    np.testing.assert_allclose(track.yaw, [*np.linspace(0, 0.4, 6), 0.4, 0.4], atol=1e-4)
    np.testing.assert_allclose([v.move[0] for v in track.views], [*np.linspace(0, 0.2, 6), 0.2, 0.2], atol=1e-4)
    assert not told, "it lasts longer than the shot"
    assert poses_seconds(path, FPS) == Fraction(2, 5)
    _, told = read_poses(path, FPS, 16, OWN)
    assert len(told) == 1 and told[0].endswith("the last pose is held for 10 frames")


@pytest.mark.parametrize(
    ("poses", "rate", "shown", "told"),
    [
        (240, 24, None, None), (250, 25, None, None), (249, 25, None, None), (251, 25, None, None),
        (75, "15/2", None, None),
        (100, 25, (1, 50), None), (100, 25, (1, 101), "the last pose is held for 1 frame"),
        (100, 25, None, "the last pose is held for 150 frames"), (260, 25, None, "the rest is not used"),
        (260, 25, (1, 249), None),
    ],
)  # fmt: skip
def test_poses_of_another_length_are_told_where_they_are_shown(
    tmp_path: Path, poses: int, rate: object, shown: tuple[int, int] | None, told: str | None
) -> None:
    path = save(tmp_path / "p.json", fps=rate, yaw_deg=[0.0] * poses)
    _, warnings = read_poses(path, FPS, 250, OWN, shown=shown)
    assert len(warnings) == (told is not None) and (told is None or warnings[0].endswith(told))


def test_what_is_out_of_reach_is_named_by_the_videos_frames(tmp_path: Path) -> None:
    turned = HERE.copy()
    turned[:3, :3] = pose_rotation(1.2, 0, 0) @ HERE[:3, :3]
    path = save(tmp_path / "p.json", fps=5, head_to_camera=rows(HERE, turned, HERE))
    track, told = read_poses(path, FPS, 11, OWN)
    assert len(told) == 1 and told[0].startswith("frames 5-7: yaw beyond 45 degrees")
    assert track.yaw.max() == pytest.approx(np.radians(45), abs=1e-4)


def test_angles_out_of_reach_are_clamped_and_named(tmp_path: Path) -> None:
    angles = {"yaw_deg": [0, 90, 20], "pitch_deg": [0, 0, -12], "roll_deg": [0, 0, 5]}
    path = save(tmp_path / "p.json", fps=25, **angles)
    track, told = read_poses(path, Fraction(25), 3)
    assert len(told) == 1 and told[0].startswith("frame 2: yaw beyond 45 degrees")
    got = np.degrees([track.yaw, track.pitch, track.roll]).T
    np.testing.assert_allclose(got, [[0, 0, 0], [45, 0, 0], [20, -12, 5]], atol=1e-6)
    assert np.degrees(read_poses(path, Fraction(25), 3, limited=False)[0].yaw[1]) == pytest.approx(90)


GOOD = rows(HERE)
SCALED, MIRRORED, COLUMNS = HERE.copy(), HERE.copy(), HERE.T
SCALED[:3, :3] *= 1.1
MIRRORED[0, :3] *= -1


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        ({"head_to_camera": GOOD, "yaw_deg": [1]}, "poses_two_forms", "both yaw_deg and head_to_camera"),
        ({"fov_y_deg": [20]}, "poses_empty", "head_to_camera"),
        ({"head_to_camera": []}, "poses_empty", "no poses"),
        ({"head_to_camera": 5}, "poses_unreadable", "16 numbers"),
        ({"head_to_camera": [1, 2]}, "poses_unreadable", "16 numbers"),
        ({"head_to_camera": [[1, 2, 3]]}, "poses_unreadable", "16 numbers"),
        ({"head_to_camera": [GOOD[0], GOOD[0][:5]]}, "poses_shape", "differ"),
        ({"head_to_camera": [["x"] * 16]}, "poses_unreadable", "number"),
        ({"head_to_camera": [[None] * 16]}, "poses_nan", "frame 1"),
        ({"head_to_camera": GOOD, "shift": [1]}, "poses_unreadable", "x and y"),
        ({"head_to_camera": GOOD, "shift": [[0, 99]]}, "poses_range", "within +-10"),
        ({"head_to_camera": GOOD, "fov_y_deg": [0]}, "poses_range", "between 0.5 and 160"),
        ({"head_to_camera": GOOD, "fov_y_deg": [20, 21]}, "poses_lengths", "fov_y_deg 2"),
        ({"head_to_camera": rows(moved(1e6))}, "poses_range", "metres"),
        ({"head_to_camera": rows(HERE, SCALED)}, "poses_matrix", "frame 2"),
        ({"head_to_camera": rows(MIRRORED)}, "poses_matrix", "mirroring"),
        ({"head_to_camera": rows(COLUMNS)}, "poses_matrix", "row by row"),
        ({"head_to_camera": GOOD, "fps": 0}, "poses_fps", "0"),
    ],
)
def test_wrong_placements_are_named(tmp_path: Path, data: dict[str, Any], code: str, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_poses(save(tmp_path / "p.json", **{"fps": 25, **data}), FPS, 1, OWN)
    assert caught.value.code == code and says in caught.value.message


@pytest.mark.parametrize(
    ("count", "shown", "told"),
    [(30, None, False), (31, None, False), (70, None, True), (70, (1, 20), False), (70, (9, 30), True)],
)
def test_poses_beyond_the_video_are_told(
    tmp_path: Path, count: int, shown: tuple[int, int] | None, told: bool
) -> None:
    path = save(tmp_path / "p.json", fps=25, yaw_deg=[0.0] * count)
    _, said = read_poses(path, FPS, 30, shown=shown)
    more = "p.json has 70 poses at 25 fps, more than the video's 30 frames at 25 fps: the rest is not used"
    assert said == ([more] if told else [])


def test_angles_within_their_limits_stay_whatever_the_others_are(tmp_path: Path) -> None:
    angles = {"yaw_deg": [44, -45, -10], "pitch_deg": [34, -35, 40], "roll_deg": [-44, 45, 0]}
    track, told = read_poses(save(tmp_path / "p.json", fps=25, **angles), Fraction(25), 3)
    got = np.degrees([track.yaw, track.pitch, track.roll]).T
    np.testing.assert_allclose(got, [[44, 34, -44], [-45, -35, 45], [-10, 35, 0]], atol=1e-6)
    assert told == ["frame 3: pitch beyond 35 degrees, clamped"]
