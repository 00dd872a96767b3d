"""Deformation: where every point of the field goes for an expression and a pose.

The head's surface moves by its model; the relief follows the surface it grows from with a fall-off. The rigid turn
acts in the viewer's axes about the joint at the base of the skull, fully on the head, not at all on the shoulders,
and bends the neck in between, so nothing tears. A move carries head and shoulders alike.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from scipy.spatial.transform import Rotation

from ..ramps import smooth_step
from ..spaces import JOINT, to_camera, to_head, viewer_rotation
from .relief import Relief

NECK_SPAN = 0.085  # metres over which a turn fades below the jaw and nape


class DrivenHead(Protocol):
    """What the head model offers an avatar: moved head vertices [V, 3] in head space for 52 ARKit values, how far
    their mouth is the photo's own, 0..1, how much of what the photo's chin hides each vertex shows below a chin that is
    higher, [V] 0..1, and the share of the light [V] that lips and lids lack where they meet."""

    def surface(self, expression: np.ndarray) -> np.ndarray: ...

    def presence(self, expression: np.ndarray) -> float: ...

    def uncovered(self, expression: np.ndarray) -> np.ndarray: ...

    def contact(self, points: np.ndarray) -> np.ndarray: ...


def turn_weights(points: np.ndarray, chin: np.ndarray) -> np.ndarray:
    """How much of a turn each head-space point takes, [N] 0..1: 1 above the line from under the chin to the nape."""
    front, back = np.array([chin[2] - 0.02, chin[1] - 0.012]), np.array([-0.09, -0.055])  # (z, y)
    slope = (front[1] - back[1]) / (front[0] - back[0])
    along = np.clip(points[:, 2], back[0], front[0])
    line = back[1] + slope * (along - back[0])
    return smooth_step(points[:, 1], line - NECK_SPAN, line).astype(np.float32)


class FieldMotion:
    """Moves an avatar's field. Vertex order: the head's vertices, then the relief's."""

    def __init__(
        self, head: DrivenHead, relief: Relief, outer: np.ndarray, expression: np.ndarray, chin: int,
        camera_to_world: np.ndarray,
    ) -> None:  # fmt: skip
        """outer [K]: head vertices that relief.bound indexes; expression [52]: the portrait's own; chin: a vertex."""
        self.head, self.relief, self.outer, self.camera_to_world = head, relief, outer, camera_to_world
        rest = head.surface(expression)
        self.rest_head = to_camera(rest, camera_to_world)
        self.rest = np.concatenate([self.rest_head, relief.points])
        everywhere = np.concatenate([rest, to_head(relief.points, camera_to_world)])
        self.chin = rest[chin]
        self.weights = turn_weights(everywhere, self.chin)
        self.joint = to_camera(JOINT[None], camera_to_world)[0]
        near = np.flatnonzero(relief.weights.sum(1) > 1e-3)
        self._near, self._bound, self._pull = near, outer[relief.bound[near]], relief.weights[near]

    def moved(
        self, expression: np.ndarray, pose: tuple[float, float, float] = (0.0, 0.0, 0.0),
        move: tuple[float, float, float] = (0.0, 0.0, 0.0),
    ) -> np.ndarray:  # fmt: skip
        """expression [52] absolute ARKit values; pose yaw, pitch, roll in radians added to the portrait's own; move in
        metres. Returns float32 [V, 3] in camera space (x right, y down, z forward)."""
        out = self.rest.copy()
        count = len(self.rest_head)
        out[:count] = to_camera(self.head.surface(expression), self.camera_to_world)
        shift = out[:count] - self.rest_head
        out[count + self._near] += np.einsum("nk,nkc->nc", self._pull, shift[self._bound])
        if any(pose):
            turn_about(out, self.weights, self.joint, viewer_rotation(*pose))
        if any(move):
            out += np.asarray(move, np.float32)
        return out

    def dimmed(self, moved: np.ndarray) -> np.ndarray:
        """float32 [V] 0..1: the share of the light that moved vertices [V, 3] lack where lips and lids meet."""
        out = np.zeros(len(moved), np.float32)
        count = len(self.rest_head)
        out[:count] = self.head.contact(moved[:count])
        return out

    def turned(self, expression: np.ndarray, share: float) -> np.ndarray:
        """float32 [V] 0..1: how far each vertex has left what the photo shows of it and around it, when the head has
        by `share`."""
        out = np.full(len(self.rest), share, np.float32)
        count = len(self.rest_head)
        out[:count] = np.maximum(self.head.uncovered(expression), share)
        return out


def turn_about(points: np.ndarray, weights: np.ndarray, joint: np.ndarray, rotation: np.ndarray) -> None:
    """Turn points [V, 3] in place by their share `weights` [V] 0..1 of a rotation [3, 3] about `joint`."""
    turn = Rotation.from_matrix(rotation).as_rotvec()  # sound at half a turn too, where the skew part vanishes
    angle = float(np.linalg.norm(turn))
    if angle < 1e-9:
        return
    axis, joint = (turn / angle).astype(points.dtype), joint.astype(points.dtype)
    turned = np.flatnonzero(weights)
    p, w = points[turned] - joint, (weights[turned, None] * angle).astype(points.dtype)
    cos, sin = np.cos(w), np.sin(w)
    x, y, z = p.T
    cross = np.stack([axis[1] * z - axis[2] * y, axis[2] * x - axis[0] * z, axis[0] * y - axis[1] * x], 1)
    points[turned] = p * cos + cross * sin + axis * (p @ axis)[:, None] * (1 - cos) + joint  # Rodrigues' formula
