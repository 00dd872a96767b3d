"""Conversions between spaces: there and back, signs as the viewer sees them, and what a portrait can't show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elocute.head.projection import camera_at, pose_rotation, project
from elocute.spaces import (
    FARTHEST_ROLL,
    FARTHEST_SIDEWAYS,
    FARTHEST_UP_DOWN,
    GRID,
    JOINT,
    NEAREST,
    REST,
    blender_shift,
    frame_list,
    head_to_camera,
    placement_of,
    poses_against,
    to_camera,
    to_object,
    viewer_angles,
    viewer_rotation,
)  # fmt: skip
from elocute.values import AS_IN_PORTRAIT, Camera, Placements

CAMERA = camera_at(pose_rotation(0.1, -0.15, 0.05), np.array([0.01, -0.02, -1.9]), 4000.0, (512, 512))
TURN = st.tuples(st.floats(-0.7, 0.7), st.floats(-0.5, 0.5), st.floats(-0.7, 0.7))


def rigid(rotation: np.ndarray, shift: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = rotation, shift
    return out


def turned(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """The portrait's placement with the head turned in the viewer's axes, as a matrix."""
    flip = np.diag([1.0, -1, -1])
    out = head_to_camera(CAMERA)
    out[:3, :3] = flip @ viewer_rotation(yaw, pitch, roll) @ flip @ out[:3, :3]
    return out


def test_the_head_object_has_blenders_axes() -> None:
    """Left, out of the face and up become x, -y and z; the joint is the origin."""
    np.testing.assert_allclose(to_object(JOINT + np.eye(3)), [[1, 0, 0], [0, 0, 1], [0, -1, 0]], atol=1e-12)


def test_head_to_camera_takes_object_points_where_the_camera_sees_them() -> None:
    points = np.random.default_rng(0).normal(0, 0.1, (20, 3))
    placed = to_object(points) @ head_to_camera(CAMERA)[:3, :3].T + head_to_camera(CAMERA)[:3, 3]
    np.testing.assert_allclose(placed * [1, -1, -1], to_camera(points, CAMERA.camera_to_world), atol=1e-6)
    seen = project(points, CAMERA)
    np.testing.assert_allclose(-placed[:, 2], seen[:, 2])


def test_shift_has_blenders_sign() -> None:
    """A lens shifted right by half the picture puts what is straight ahead on the left edge; up, on the lower one."""
    assert blender_shift(CAMERA) == (0, 0)
    assert blender_shift(replace(CAMERA, cx=0.0)) == (0.5, 0)
    assert blender_shift(replace(CAMERA, cy=512.0)) == (0, 0.5)


@pytest.mark.parametrize("yaw", [np.pi / 2, -np.pi / 2])
def test_a_face_in_profile_keeps_its_turn(yaw: float) -> None:
    turn = viewer_rotation(yaw, 0.3, 0.5)
    turn[np.abs(turn) < 1e-9] = 0  # as a file writes them: nothing is left of nod and tilt where they are looked for
    np.testing.assert_allclose(viewer_rotation(*viewer_angles(turn)), turn, atol=1e-9)


@given(TURN)
def test_angles_come_back_from_a_turn(angles: tuple[float, float, float]) -> None:
    np.testing.assert_allclose(viewer_angles(viewer_rotation(*angles)), angles, atol=1e-9)


def test_the_portraits_own_placement_is_no_pose_at_all() -> None:
    """Also after a scene's single precision, wherever in it head and camera are."""
    own = placement_of(CAMERA)
    world = rigid(pose_rotation(0.4, 0.2, -1), (3, -2, 5))
    camera = (world @ np.linalg.inv(head_to_camera(CAMERA))).astype(np.float32)
    through = np.linalg.inv(camera) @ world.astype(np.float32)
    for matrix in (own.head_to_camera[0], through):
        placed = Placements(matrix[None].astype(float), own.fov_y * np.ones(1, np.float32), own.shift)
        track, told = poses_against(own, placed)
        assert (track.yaw, track.pitch, track.roll) == ([0.0], [0.0], [0.0])
        assert track.views == (AS_IN_PORTRAIT,) and not told


@settings(max_examples=50)
@given(TURN, st.tuples(*[st.floats(-0.3, 0.3)] * 3))
def test_moving_the_head_or_the_camera_the_other_way_is_the_same(angles: tuple, shift: tuple) -> None:
    own = placement_of(CAMERA)
    change = rigid(pose_rotation(*angles), shift)
    head, camera = np.eye(4), np.linalg.inv(head_to_camera(CAMERA))
    by_head = np.linalg.inv(camera) @ change @ head
    by_camera = np.linalg.inv(np.linalg.inv(change) @ camera) @ head
    one, other = (poses_against(own, Placements(m[None]))[0] for m in (by_head, by_camera))
    assert np.allclose([one.yaw, one.pitch, one.roll], [other.yaw, other.pitch, other.roll], atol=1.1 * (REST + GRID))
    np.testing.assert_allclose(one.views[0].move, other.views[0].move, atol=1.1 * (REST + GRID))


@settings(max_examples=50)
@given(st.tuples(st.floats(-0.5, 0.5), st.floats(-0.4, 0.4), st.floats(-0.5, 0.5)))
def test_turning_the_object_is_the_pose_of_that_turn(angles: tuple[float, float, float]) -> None:
    track, told = poses_against(placement_of(CAMERA), Placements(turned(*angles)[None]))
    np.testing.assert_allclose([track.yaw[0], track.pitch[0], track.roll[0]], angles, atol=REST + GRID)
    assert track.views == (AS_IN_PORTRAIT,) and not told


def test_moves_lens_and_shift_are_the_viewers() -> None:
    own = placement_of(CAMERA)
    moved = head_to_camera(CAMERA)
    moved[:3, 3] += [0.1, 0.2, 0.3]  # right, up, towards the camera
    half = 2 * np.arctan(np.tan(CAMERA.fov_y / 2) / 2)
    track, told = poses_against(own, Placements(moved[None], np.array([half]), np.array([[0.25, 0.125]])))
    view = track.views[0]
    np.testing.assert_allclose(view.move, [0.1, -0.2, -0.3], atol=REST + GRID)
    assert view.zoom == pytest.approx(2, abs=GRID)
    np.testing.assert_allclose(view.shift, [-0.25, 0.125])
    assert not told


@pytest.mark.parametrize(
    ("angles", "limit", "says"),
    [((1.2, 0, 0), (FARTHEST_SIDEWAYS, 0, 0), "yaw beyond 45"), ((0, -1.2, 0), (0, -FARTHEST_UP_DOWN, 0), "pitch"),
     ((0, 0, -1.5), (0, 0, -FARTHEST_ROLL), "roll")],
)  # fmt: skip
def test_turns_out_of_reach_stop_at_the_limit(angles: tuple, limit: tuple, says: str) -> None:
    placed = np.stack([turned(*angles), turned(0.1, 0, 0), turned(*angles)])
    track, told = poses_against(placement_of(CAMERA), Placements(placed))
    np.testing.assert_allclose([track.yaw[0], track.pitch[0], track.roll[0]], limit, atol=REST + GRID)
    assert len(told) == 1 and told[0].startswith("frames 1, 3: ") and says in told[0] and "clamped" in told[0]
    for shown, named in (((2, 9), ["frame 3"]), ((2, 2), [])):
        told = poses_against(placement_of(CAMERA), Placements(placed), shown=shown)[1]
        assert [line.partition(":")[0] for line in told] == named, "frames that nobody asked for"


@pytest.mark.filterwarnings("error")
def test_a_head_right_in_the_camera_is_clamped() -> None:
    """As a camera that nobody moved has it."""
    track, told = poses_against(placement_of(CAMERA), Placements(np.eye(4)[None]))
    view = track.views[0]
    assert np.isfinite([*view.move, view.zoom, *view.shift, track.yaw[0], track.pitch[0], track.roll[0]]).all()
    assert any("nearer to the camera" in line for line in told)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("limited", [True, False])
def test_a_first_frame_in_or_behind_the_camera_takes_a_portraits_place(limited: bool) -> None:
    """A pose file is looked at before there is a portrait."""
    for depth in (0.0, 1.0):
        there = np.eye(4)[None]
        there[0, 2, 3] = depth
        own = Placements(there, np.radians([20.0]), np.zeros((1, 2)))
        track, told = poses_against(own, own, limited)
        assert track.views[0].zoom == 1 and track.views[0].move == pytest.approx((0, 0, NEAREST + depth), abs=GRID)
        assert told == ["frame 1: the head is nearer to the camera than 35 cm, clamped"]


def test_a_head_that_turns_all_the_way_round_never_jumps() -> None:
    angles = np.radians(np.arange(-150, 151))
    placed = np.stack([turned(a, 0.15, 0.1) for a in angles])
    track, _ = poses_against(placement_of(CAMERA), Placements(placed))
    steps = [np.abs(np.diff(axis)).max() for axis in (track.yaw, track.pitch, track.roll)]
    assert max(steps) < np.radians(3)


def test_a_head_in_the_lens_or_out_of_sight_is_kept_away() -> None:
    own = placement_of(CAMERA)
    near, behind, far = (own.head_to_camera[0].copy() for _ in range(3))
    near[2, 3], behind[2, 3], far[2, 3] = -0.1, 2.0, -100.0
    track, told = poses_against(own, Placements(np.stack([near, behind, far])))
    depth = -own.head_to_camera[0, 2, 3]
    for view in track.views[:2]:
        assert depth + view.move[2] == pytest.approx(NEAREST, abs=GRID)
    last = track.views[2]
    assert last.zoom * depth / (depth + last.move[2]) == pytest.approx(1 / 8, abs=1e-3)
    assert [line.split(":")[0] for line in told] == ["frames 1-2", "frame 3"]


@given(st.tuples(st.floats(-3, 3), st.floats(-1.5, 1.5), st.floats(-3, 3)))
def test_without_limits_a_placement_is_kept_to_the_last_digit(angles: tuple[float, float, float]) -> None:
    own, placed = placement_of(CAMERA), turned(*angles)
    placed[:3, 3] *= (1, 1, 40)
    placed[0, 3] += 1e-6
    track, told = poses_against(own, Placements(placed[None], own.fov_y, own.shift), limited=False)
    assert told == []
    turn = viewer_rotation(track.yaw[0], track.pitch[0], track.roll[0])
    np.testing.assert_allclose(turn, viewer_rotation(*angles), atol=1e-8)
    view, moved = track.views[0], placed[:3, 3] - own.head_to_camera[0, :3, 3]
    np.testing.assert_allclose(view.move, moved * (1, -1, -1), atol=1e-12)
    assert view.zoom == pytest.approx(1, abs=1e-12) and view.shift == (0, 0)
    placed[2, 3] = 1.0
    track, told = poses_against(own, Placements(placed[None]), limited=False)
    assert -own.head_to_camera[0, 2, 3] + track.views[0].move[2] == pytest.approx(NEAREST) and len(told) == 1


def test_frames_are_named_as_people_do() -> None:
    assert frame_list([7]) == "frame 7"
    assert frame_list([1, 2, 3, 9]) == "frames 1-3, 9"
    assert "and 12 more stretches" in frame_list(list(range(1, 41, 2)))


def test_a_camera_without_a_pose_is_in_front() -> None:
    placed = head_to_camera(Camera(512, 512, 4000.0, 256, 256, rigid(np.eye(3), (0, 0, 2))))
    np.testing.assert_allclose(placed[:3, :3] @ [0, -1, 0], [0, 0, 1], atol=1e-12)  # the face looks at the camera
