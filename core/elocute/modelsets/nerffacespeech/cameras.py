"""Head poses as cameras around StyleNeRF's head, which itself never moves.

The head stands at the world's origin, a metre a unit, the camera a unit away. A head that turns and moves before a
camera is a camera that does the opposite; a longer lens, whose field of view the generator doesn't have, is a step
nearer.
"""

from __future__ import annotations

import math

import numpy as np

from ...spaces import told_frames, viewer_rotation
from ...values import Placements, View

VIEWER = np.diag([1.0, -1.0, -1.0])  # the camera's axes (x right, y up, z back) and the viewer's (y down, z away)
OBJECT = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # a Blender head object's axes (columns) in the world
# What one photo's field shows well: training saw yaw +-17 and pitch +-9 degrees as one standard deviation.
FARTHEST_YAW, FARTHEST_PITCH = math.radians(40), math.radians(25)
FARTHEST_MOVE = 0.04  # sideways: beyond, the picture's edge shows what no training picture had
FARTHEST_STEP = 0.03  # nearer or farther: the field ends 0.12 before and behind the middle, and a head is 0.09 deep


def camera_of(
    own: np.ndarray, pose: np.ndarray, view: View, fov: float, limited: bool = True
) -> tuple[np.ndarray, list[str]]:
    """The camera [4, 4] that shows the head turned by `pose` (yaw, pitch, roll, radians, viewer's axes) and framed by
    `view`, both against the portrait's `own` camera [4, 4]; and what had to be clamped, unless not `limited`.

    `fov` of the generator's camera, radians.
    """
    turn = viewer_rotation(*(float(angle) for angle in pose))
    rotation = own[:3, :3] @ VIEWER @ turn.T @ VIEWER
    place = -own[:3, :3].T @ own[:3, 3]  # of the head's middle before the camera
    told: list[str] = []
    if limited:
        rotation, told = _within_reach(rotation)
    step = VIEWER @ np.asarray(view.move, float)
    distance = (-place[2] - step[2]) / view.zoom
    width = 2 * math.tan(fov / 2) * distance
    aside = (place[:2] + step[:2]) * distance / (-place[2] - step[2]) + np.array([1, -1]) * view.shift * width
    if limited:
        aside, distance, clamped = _near_by(aside, distance, place)
        told += clamped
    camera = np.eye(4)
    camera[:3, :3] = rotation
    camera[:3, 3] = -rotation @ np.array([*aside, -distance])
    return camera, told


def _within_reach(rotation: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """The nearest rotation whose view is not too far from the front."""
    back = rotation[:, 2]
    yaw, pitch = math.atan2(back[1], back[0]), math.asin(float(np.clip(back[2], -1, 1)))
    limits = (("yaw", yaw, FARTHEST_YAW), ("pitch", pitch, FARTHEST_PITCH))
    told = [f"{name} beyond {math.degrees(limit):.0f} degrees" for name, angle, limit in limits if abs(angle) > limit]
    if not told:
        return rotation, []
    yaw = float(np.clip(yaw, -FARTHEST_YAW, FARTHEST_YAW))
    pitch = float(np.clip(pitch, -FARTHEST_PITCH, FARTHEST_PITCH))
    wanted = np.array([math.cos(pitch) * math.cos(yaw), math.cos(pitch) * math.sin(yaw), math.sin(pitch)])
    axis, cosine = np.cross(back, wanted), float(back @ wanted)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    if cosine < -0.999:  # exactly from behind: any way round is as near
        return look_at(wanted), told
    return (np.eye(3) + cross + cross @ cross / (1 + cosine)) @ rotation, told


def look_at(back: np.ndarray) -> np.ndarray:
    """[3, 3] of an upright camera whose z axis is `back`."""
    right = np.cross([0.0, 0, 1], back)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(back, right), back], 1)


def _near_by(aside: np.ndarray, distance: float, place: np.ndarray) -> tuple[np.ndarray, float, list[str]]:
    told = []
    nearest, farthest = -place[2] - FARTHEST_STEP, -place[2] + FARTHEST_STEP
    kept = float(np.clip(distance, nearest, farthest))
    if abs(kept - distance) > 1e-6:
        told.append("the head is much larger or smaller than the portrait's")
    inside = np.clip(aside, place[:2] - FARTHEST_MOVE, place[:2] + FARTHEST_MOVE)
    if np.abs(inside - aside).max() > 1e-6:
        told.append("the head is far beside the portrait's place")
    return inside, kept, told


def placement_of(own: np.ndarray, fov: float) -> Placements:
    """The portrait's own camera [4, 4] as a head object before a camera, one frame."""
    matrix = np.eye(4)
    matrix[:3, :3] = own[:3, :3].T @ OBJECT
    matrix[:3, 3] = -own[:3, :3].T @ own[:3, 3]
    return Placements(matrix[None], np.array([fov]), np.zeros((1, 2)))


def cameras_of(
    own: np.ndarray, poses: np.ndarray, views: tuple[View, ...], fov: float, limited: bool,
    shown: tuple[int, int] | None = None,
) -> tuple[np.ndarray, list[str]]:
    """Cameras [T, 4, 4] of poses [T, 3] and views, and what to tell about clamped frames of those `shown`."""
    cameras: list[np.ndarray] = []
    clamped: dict[str, list[int]] = {}
    for number, (pose, view) in enumerate(zip(poses, views, strict=True), 1):
        camera, told = camera_of(own, pose, view, fov, limited)
        cameras.append(camera)
        for what in told:
            clamped.setdefault(what, []).append(number)
    return np.stack(cameras), told_frames(clamped, shown)
