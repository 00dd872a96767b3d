"""How a field moves: the signs of a pose, what turns, what stays, and that nothing is lost on the way back."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elocute.generators.motion import NECK_SPAN, FieldMotion, turn_weights
from elocute.head.projection import camera_at, pose_rotation
from elocute.head.surface import vertex_normals
from elocute.spaces import to_camera, to_head, viewer_rotation
from elocute.values import ARKIT_NAMES

ANGLE = st.floats(-np.pi, np.pi)
NOSE, CHIN, FOREHEAD = 1, 152, 10  # landmarks


@pytest.fixture(scope="module")
def motion(example: Any) -> FieldMotion:
    return example.field.motion


@pytest.fixture(scope="module")
def own(example: Any) -> np.ndarray:
    return example.scene.fit.expression


@settings(max_examples=200, deadline=None)
@given(ANGLE, ANGLE, ANGLE)
def test_a_turn_is_a_rotation(yaw: float, pitch: float, roll: float) -> None:
    turn = viewer_rotation(yaw, pitch, roll)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)


@settings(deadline=None)
@given(st.floats(0.01, 1.5))
def test_signs_are_the_viewers(angle: float) -> None:
    """Camera space is x right, y down, z away; the face looks along -z."""
    ahead, up = np.array([0, 0, -1.0]), np.array([0, -1.0, 0])
    np.testing.assert_allclose(viewer_rotation(angle, 0, 0) @ ahead, [np.sin(angle), 0, -np.cos(angle)], atol=1e-12)
    np.testing.assert_allclose(viewer_rotation(0, angle, 0) @ ahead, [0, -np.sin(angle), -np.cos(angle)], atol=1e-12)
    np.testing.assert_allclose(viewer_rotation(0, 0, angle) @ up, [np.sin(angle), -np.cos(angle), 0], atol=1e-12)


@settings(deadline=None)
@given(st.floats(-1.4, 1.4), st.floats(-1.4, 1.4), st.floats(-3, 3))
def test_the_line_through_the_eyes_rolls_as_asked_at_any_yaw_and_pitch(yaw: float, pitch: float, roll: float) -> None:
    across = viewer_rotation(yaw, pitch, roll) @ [1.0, 0, 0]
    assert np.arctan2(across[1], across[0]) == pytest.approx(roll, abs=1e-9)
    ahead = viewer_rotation(yaw, pitch, 0) @ [0, 0, -1.0]
    assert np.arcsin(-ahead[1]) == pytest.approx(pitch, abs=1e-9) and np.sign(ahead[0]) == np.sign(np.sin(yaw))


@pytest.mark.parametrize(("axis", "towards"), [(0, (1, 0)), (1, (0, -1))])
def test_the_nose_goes_where_the_pose_says(motion: FieldMotion, own: np.ndarray, axis: int, towards: tuple) -> None:
    pose = tuple(0.2 * (k == axis) for k in range(3))
    marks = motion.head.model.landmarks
    rest, moved = (marks(motion.moved(own, p)[: len(motion.rest_head)]) for p in ((0, 0, 0), pose))
    shift = (moved - rest)[NOSE, :2]
    assert shift @ towards > 0.01
    assert abs(shift @ towards[::-1]) < 0.01


def test_a_roll_tips_the_forehead_to_the_viewers_right(motion: FieldMotion, own: np.ndarray) -> None:
    moved = motion.head.model.landmarks(motion.moved(own, (0, 0, 0.2))[: len(motion.rest_head)])
    rest = motion.head.model.landmarks(motion.rest_head)
    lean = [points[FOREHEAD, 0] - points[CHIN, 0] for points in (rest, moved)]
    assert lean[1] - lean[0] == pytest.approx(np.sin(0.2) * np.linalg.norm(rest[FOREHEAD] - rest[CHIN]), rel=0.1)


@settings(max_examples=50, deadline=None)
@given(ANGLE, ANGLE, ANGLE, st.floats(1, 6))
def test_camera_and_back_is_the_same_place(yaw: float, pitch: float, roll: float, away: float) -> None:
    camera = camera_at(pose_rotation(yaw, pitch, roll), np.array([0.02, -0.01, -away]), 2000.0, (512, 512))
    points = np.random.default_rng(0).normal(0, 0.1, (50, 3))
    there = to_camera(points, camera.camera_to_world)
    np.testing.assert_allclose(to_head(there, camera.camera_to_world), points, atol=1e-6 * away)
    assert there.dtype == np.float32 and (there[:, 2] > 0).all()


def test_the_portraits_own_expression_is_rest_exactly(motion: FieldMotion, own: np.ndarray) -> None:
    np.testing.assert_array_equal(motion.moved(own), motion.rest)
    np.testing.assert_array_equal(motion.moved(own, (0.0, 0.0, 0.0)), motion.rest)


def test_moving_forgets_what_was_before(motion: FieldMotion, own: np.ndarray, speaking: np.ndarray) -> None:
    before = motion.moved(speaking, (0.1, 0.2, -0.1))
    motion.moved(own, (-0.6, 0.1, 0.0))
    np.testing.assert_array_equal(motion.moved(speaking, (0.1, 0.2, -0.1)), before)
    np.testing.assert_array_equal(motion.moved(own), motion.rest)


@pytest.mark.parametrize("pose", [(0.35, 0, 0), (0, -0.3, 0), (0, 0, 0.25), (-0.5, 0.2, 0.4), (1.5, 0, 0)])
def test_there_and_back_is_the_same_head(
    motion: FieldMotion, own: np.ndarray, speaking: np.ndarray, pose: tuple[float, float, float]
) -> None:
    turn = viewer_rotation(*pose)
    straight, turned = motion.moved(speaking), motion.moved(speaking, pose)
    whole, none = motion.weights == 1, motion.weights == 0
    assert whole.sum() > 5000 and none.sum() > 50
    back = (turned[whole] - motion.joint) @ turn + motion.joint
    np.testing.assert_allclose(back, straight[whole], atol=2e-6)
    np.testing.assert_array_equal(turned[none], straight[none])  # shoulders
    far = [np.linalg.norm(points - motion.joint, axis=1) for points in (straight, turned)]
    np.testing.assert_allclose(far[1], far[0], atol=2e-6)  # the neck bends about the joint, so nothing stretches away


def test_the_neck_turns_part_of_the_way(motion: FieldMotion, own: np.ndarray) -> None:
    """Around the joint's vertical axis each point turns by its weight's share of the angle."""
    turned = motion.moved(own, (0.4, 0, 0)) - motion.joint
    rest = motion.rest - motion.joint
    off = np.hypot(rest[:, 0], rest[:, 2]) > 0.02
    angle = np.arctan2(-rest[:, 2], rest[:, 0]) - np.arctan2(-turned[:, 2], turned[:, 0])
    angle = (angle + np.pi) % (2 * np.pi) - np.pi
    np.testing.assert_allclose(angle[off], 0.4 * motion.weights[off], atol=1e-4)


QUARTERS = [pose for pose in itertools.product((0, np.pi / 2, np.pi), repeat=3) if any(pose)]


@pytest.mark.parametrize("pose", [*QUARTERS, (np.pi - 1e-8, 0, 0), (3.14159, 1e-7, 0)])
def test_no_turn_tears_the_neck(motion: FieldMotion, own: np.ndarray, pose: tuple[float, float, float]) -> None:
    """Poses up to 180 degrees are allowed, and at half a turn a matrix's antisymmetric part holds no axis."""
    moved = motion.moved(own, pose)
    far = [np.linalg.norm(points - motion.joint, axis=1) for points in (motion.rest, moved)]
    np.testing.assert_allclose(far[1], far[0], atol=5e-6)
    near_whole = motion.weights > 0.9999
    rigid = (motion.rest[near_whole] - motion.joint) @ viewer_rotation(*pose).T + motion.joint
    np.testing.assert_allclose(moved[near_whole], rigid, atol=1e-4)


@settings(deadline=None)
@given(st.floats(-0.1, 0.1), st.floats(-0.15, 0.15), st.lists(st.floats(-0.4, 0.2), min_size=2, max_size=20))
def test_weights_only_fall_down_the_neck(x: float, z: float, heights: list[float]) -> None:
    chin = np.array([0, -0.1, 0.07])
    y = np.sort(heights)
    weights = turn_weights(np.stack([np.full(len(y), x), y, np.full(len(y), z)], 1), chin)
    assert (np.diff(weights) >= 0).all()
    assert ((weights >= 0) & (weights <= 1)).all()
    line = max(chin[1] - 0.012, -0.055)
    assert (weights[y > line] == 1).all()
    assert (weights[y < min(chin[1] - 0.012, -0.055) - NECK_SPAN] == 0).all()


def test_hair_follows_the_face_it_grows_from_and_cloth_does_not(motion: FieldMotion, own: np.ndarray) -> None:
    raised = own.copy()
    for name in ("browInnerUp", "browOuterUpLeft", "browOuterUpRight", "jawOpen"):
        raised[ARKIT_NAMES.index(name)] = 1.0
    shift = np.linalg.norm(motion.moved(raised) - motion.rest, axis=1)
    count = len(motion.rest_head)
    far = motion.relief.weights.sum(1) <= 0.02
    assert far.any() and shift[count:][far].max() <= 0.02 * shift[:count].max()
    assert 0 < shift[count:].max() <= shift[:count].max()


def test_eyelids_never_turn_the_surface_inside_out(motion: FieldMotion, own: np.ndarray) -> None:
    """A sane face after a sane turn still faces the way it did, relative to the head."""
    turn = viewer_rotation(0.4, 0.1, 0)
    count = len(motion.rest_head)
    faces = motion.head.model.faces
    rest, moved = (vertex_normals(motion.moved(own, p)[:count], faces) for p in ((0, 0, 0), (0.4, 0.1, 0)))
    whole = motion.weights[:count] == 1
    ring = np.unique(faces[(~whole)[faces].any(1)])  # normals there also depend on the neck
    whole[ring] = False
    assert ((moved @ turn * rest).sum(1)[whole] > 0.999).mean() > 0.999
