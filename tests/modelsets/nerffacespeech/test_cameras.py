"""A head that turns, moves or grows before a camera is seen as StyleNeRF's still head is from the camera found."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elocute.drive import Inputs, head_poses
from elocute.driving.follow import Followed
from elocute.head.basel import rotations
from elocute.head.spaces import front_camera
from elocute.modelsets.nerffacespeech.cameras import (
    FARTHEST_YAW,
    OBJECT,
    VIEWER,
    camera_of,
    cameras_of,
    placement_of,
)
from elocute.settings import Shot
from elocute.spaces import poses_against, viewer_angles, viewer_rotation
from elocute.values import AS_IN_PORTRAIT, BASEL_NAMES, Placements, View

FOV = math.radians(12)
FRONT = front_camera(torch.eye(3, dtype=torch.float64)[None])[0].numpy()
NOSE = np.array([0.1, 0.0, 0.0])  # in the world: out of the face

angles = st.floats(-0.3, 0.3)


def seen(camera: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Where a world point is in the picture, -1..1, x right, y down."""
    local = camera[:3, :3].T @ (point - camera[:3, 3])
    return np.array([local[0], -local[1]]) / -local[2] / math.tan(FOV / 2)


def test_no_pose_is_the_portrait_s_own_camera():
    own = front_camera(rotations(torch.tensor([[0.1, -0.2, 0.05]], dtype=torch.float64)))[0].numpy()
    camera, told = camera_of(own, np.zeros(3), AS_IN_PORTRAIT, FOV)
    assert np.allclose(camera, own, atol=1e-12) and told == []


@pytest.mark.parametrize(("pose", "axis", "sign"), [((0.2, 0, 0), 0, 1), ((0, 0.2, 0), 1, -1)])
def test_a_turn_moves_the_nose_as_its_name_says(pose, axis, sign):
    camera, _ = camera_of(FRONT, np.array(pose), AS_IN_PORTRAIT, FOV)
    place = seen(camera, NOSE)
    assert sign * place[axis] > 0.1 and abs(place[1 - axis]) < 1e-9


def test_a_positive_roll_is_clockwise():
    camera, _ = camera_of(FRONT, np.array([0, 0, 0.2]), AS_IN_PORTRAIT, FOV)
    top = seen(camera, np.array([0, 0, 0.05]))
    assert top[0] > 0.05 and top[1] < 0


@settings(max_examples=60, deadline=None)
@given(angles, angles, angles, angles, angles)
def test_a_turn_is_a_rotation_of_the_head_before_the_camera(yaw, pitch, roll, own_yaw, own_pitch):
    own, _ = camera_of(FRONT, np.array([own_yaw, own_pitch, 0.1]), AS_IN_PORTRAIT, FOV, limited=False)
    turned, _ = camera_of(own, np.array([yaw, pitch, roll]), AS_IN_PORTRAIT, FOV, limited=False)
    assert np.allclose(turned[:3, :3].T @ turned[:3, :3], np.eye(3), atol=1e-9)
    assert np.allclose(np.linalg.norm(turned[:3, 3]), 1)
    before = VIEWER @ own[:3, :3].T  # world to viewer
    after = VIEWER @ turned[:3, :3].T
    assert np.allclose(viewer_angles(after @ before.T), (yaw, pitch, roll), atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.floats(-0.03, 0.03), st.floats(-0.03, 0.03), st.floats(-0.02, 0.02))
def test_a_move_moves_what_is_seen(x, y, z):
    camera, told = camera_of(FRONT, np.array([0.1, 0.05, 0]), View((x, y, z)), FOV)
    still, _ = camera_of(FRONT, np.array([0.1, 0.05, 0]), AS_IN_PORTRAIT, FOV)
    for point in (np.zeros(3), NOSE, np.array([0.02, -0.05, 0.04])):
        local = still[:3, :3].T @ (point - still[:3, 3]) + [x, -y, -z]
        wanted = np.array([local[0], -local[1]]) / -local[2] / math.tan(FOV / 2)
        assert np.allclose(seen(camera, point), wanted, atol=1e-9)
    assert told == []


def test_zoom_and_shift_are_those_of_the_picture():
    camera, told = camera_of(FRONT, np.zeros(3), View(zoom=1.02, shift=(0.1, -0.05)), FOV)
    assert np.allclose(seen(camera, np.zeros(3)), [0.2, -0.1], atol=1e-9)  # shares of the side, which is 2 here
    width = seen(camera, np.array([0, 0.05, 0]))[0] - seen(camera, np.array([0, -0.05, 0]))[0]
    assert width == pytest.approx(1.02 * 0.1 / math.tan(FOV / 2), rel=1e-9) and told == []


def test_what_the_field_can_not_show_is_clamped_and_named():
    poses = np.array([[0.2, 0, 0], [1.2, 0, 0], [2.9, 0, 0], [0, 0, 0.4]])
    views = (AS_IN_PORTRAIT, AS_IN_PORTRAIT, AS_IN_PORTRAIT, View((0.5, 0, -0.6)))
    cameras, told = cameras_of(FRONT, poses, views, FOV, limited=True)
    assert sorted(line.split(":")[0] for line in told) == ["frame 4", "frame 4", "frames 2-3"]
    assert math.atan2(cameras[1][1, 2], cameras[1][0, 2]) == pytest.approx(-FARTHEST_YAW, abs=1e-9)
    assert all(np.isfinite(camera).all() for camera in cameras)
    shown, some = cameras_of(FRONT, poses, views, FOV, limited=True, shown=(1, 2))
    assert [line.split(":")[0] for line in some] == ["frame 2"] and np.array_equal(shown, cameras)
    free, none = cameras_of(FRONT, poses, views, FOV, limited=False)
    assert none == [] and np.allclose(viewer_angles(VIEWER @ free[1][:3, :3].T @ FRONT[:3, :3] @ VIEWER), poses[1])


def test_a_camera_right_behind_the_head_is_clamped_too():
    cameras, told = cameras_of(FRONT, np.array([[math.pi, 0, 0]]), (AS_IN_PORTRAIT,), FOV, limited=True)
    assert told and np.allclose(cameras[0][:3, :3].T @ cameras[0][:3, :3], np.eye(3), atol=1e-9)


def test_a_blender_head_in_the_portrait_s_place_changes_nothing_and_a_turned_one_turns():
    own = placement_of(FRONT, FOV)
    track, told = poses_against(own, own)
    assert told == [] and (track.yaw[0], track.pitch[0], track.roll[0]) == (0, 0, 0)
    matrix = own.head_to_camera[0].copy()
    turn = viewer_rotation(0.2, -0.1, 0.05)
    matrix[:3, :3] = VIEWER @ turn @ VIEWER @ matrix[:3, :3]
    track, _ = poses_against(own, Placements(matrix[None], own.fov_y, own.shift))
    assert np.allclose((track.yaw[0], track.pitch[0], track.roll[0]), (0.2, -0.1, 0.05), atol=2e-5)
    assert np.allclose(OBJECT @ [0, -1, 0], [1, 0, 0])  # a head object looks along its -y


@pytest.mark.parametrize("reference", [False, True])
def test_the_reference_looks_from_where_a_guiding_frame_was_taken_however_far(reference, tmp_path):
    read = torch.tensor([[0.01, 0.02, 0], [0.1, -0.03, 0.00003], [0.3, 1.2, -0.4], [-0.9, -1.5, 1.1]]).double()
    own = front_camera(rotations(torch.tensor([[0.1, -0.2, 0.05]]).double()))[0].numpy()
    turns = rotations(read).numpy().transpose(0, 2, 1)
    guide = Followed(turns, np.tile([0, 0, -1.0], (4, 1)), np.zeros((4, 64)), Fraction(25), units=BASEL_NAMES)
    job = Shot("seed:1", poses_from=Path("v.mp4"), frames_dir=tmp_path, model_set="nerffacespeech", reference=reference)
    track, told = head_poses(job, placement_of(own, FOV), Inputs(None, None, 4, leader=guide))
    poses = np.stack([track.yaw, track.pitch, track.roll], 1)
    cameras, clamped = cameras_of(own, poses, track.views, FOV, limited=not reference)
    apart = np.abs(cameras - front_camera(rotations(read)).numpy()).max((1, 2))
    assert (apart.max() < 1e-9 and not told + clamped) if reference else (apart[2:].min() > 0.1 and told)
