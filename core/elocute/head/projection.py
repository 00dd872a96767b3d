"""Between head space and a camera's pixels, and what a camera's orientation says about the head's pose."""

from __future__ import annotations

import numpy as np

from elocute.values import Camera


def rotation_from_vector(vector: np.ndarray) -> np.ndarray:
    """Rodrigues: rotation [3, 3] about `vector` [3] by its length in radians."""
    angle = float(np.linalg.norm(vector))
    x, y, z = vector
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    if angle < 1e-8:
        return np.eye(3) + cross
    return np.eye(3) + np.sin(angle) / angle * cross + (1 - np.cos(angle)) / angle**2 * cross @ cross


def pose_rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Head-to-camera rotation [3, 3] (camera y up, looking along -z): yaw + turns the face to the viewer's right,
    pitch + up, roll + clockwise as the viewer sees it; radians."""
    (cy, sy), (cp, sp), (cr, sr) = ((np.cos(a), np.sin(a)) for a in (yaw, pitch, roll))
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    nod = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    tilt = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
    return tilt @ nod @ turn


def pose_angles(rotation: np.ndarray) -> tuple[float, float, float]:
    """(yaw, pitch, roll) of a head-to-camera rotation: the inverse of `pose_rotation`."""
    yaw = np.arctan2(-rotation[2, 0], rotation[2, 2])
    pitch = np.arcsin(np.clip(-rotation[2, 1], -1, 1))
    roll = np.arctan2(rotation[0, 1], rotation[1, 1])
    return float(yaw), float(pitch), float(roll)


def camera_at(rotation: np.ndarray, shift: np.ndarray, focal: float, size: tuple[int, int]) -> Camera:
    """The camera for which head-space x lies at `rotation @ x + shift` in camera space; `size` is (height, width) and
    the principal point the middle of the picture."""
    to_world = np.eye(4)
    to_world[:3, :3] = rotation.T
    to_world[:3, 3] = -rotation.T @ shift
    height, width = size
    return Camera(width, height, float(focal), width / 2, height / 2, to_world)


def project(points: np.ndarray, camera: Camera) -> np.ndarray:
    """Pixels x, y and depth in metres, [N, 3], of head-space points [N, 3]."""
    local = (points - camera.camera_to_world[:3, 3]) @ camera.camera_to_world[:3, :3]  # y up, looking along -z
    depth = -local[:, 2]
    x = camera.cx + camera.focal * local[:, 0] / depth
    y = camera.cy - camera.focal * local[:, 1] / depth
    return np.stack([x, y, depth], 1)


def shift_in_image(pixels: np.ndarray, depth: np.ndarray, camera: Camera) -> np.ndarray:
    """Head-space displacements [N, 3], parallel to the image plane, that move points at `depth` [N] by `pixels`
    [N, 2]."""
    scale = depth / camera.focal
    local = np.stack([pixels[:, 0] * scale, -pixels[:, 1] * scale, np.zeros(len(depth))], 1)
    return local @ camera.camera_to_world[:3, :3].T


def pixel_ray(pixel: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Origin [3] and unit direction [3] in head space of the ray through a pixel [2]."""
    local = np.array([(pixel[0] - camera.cx) / camera.focal, -(pixel[1] - camera.cy) / camera.focal, -1.0])
    direction = camera.camera_to_world[:3, :3] @ (local / np.linalg.norm(local))
    return camera.camera_to_world[:3, 3], direction
