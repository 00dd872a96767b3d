"""Between the Basel face's camera space and StyleNeRF's world.

StyleNeRF's world (units of the camera's distance): x towards the front camera, y to the picture's right, z up. Cameras
stand on the unit sphere, look at the origin and see 12 degrees. The Basel camera (`head.basel`) stands 10 units away
and sees 2 atan(112 / 1015) = 12.6 degrees. One scale joins them: at the head's middle both pictures agree exactly, a
unit (10 cm) before or behind it within 0.6 percent, and a turned head keeps its shape.
"""

from __future__ import annotations

from math import radians, tan

import torch
from torch import Tensor

from elocute.head.basel import DISTANCE, FOCAL, SIDE

FRONT = ((0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))  # Basel axes (columns) in StyleNeRF's world
HALF_WIDTH = 0.1  # of the picture, in world units, as NeRFFaceSpeech takes it
HALF_FIELD = tan(radians(6))  # of the picture at the head's distance: the exact value, 0.1051
SCALE = HALF_FIELD * FOCAL / (SIDE / 2) / DISTANCE  # world units in a Basel unit: 0.0953


def front_camera(rotation: Tensor) -> Tensor:
    """Camera-to-world [B, 4, 4] in StyleNeRF's world that sees a still head as the Basel camera sees one turned by
    `rotation` [B, 3, 3] (for row vectors, `basel.rotations`). It stays on the unit sphere and looks at its middle, as
    in NeRFFaceSpeech."""
    axes = torch.tensor(FRONT, dtype=rotation.dtype, device=rotation.device) @ rotation
    camera = torch.eye(4, dtype=rotation.dtype, device=rotation.device).repeat(len(rotation), 1, 1)
    camera[:, :3, :3] = axes
    camera[:, :3, 3] = axes[:, :, 2]
    return camera


def to_stylenerf(points: Tensor) -> Tensor:
    """Points [..., 3] of the Basel space in StyleNeRF's world, where its front camera sees them as the Basel camera
    does."""
    x, y, z = points.unbind(-1)
    return SCALE * torch.stack([z, x, y], -1)


def picture_to_world(pixels: Tensor, side: float, half_width: float = HALF_WIDTH) -> Tensor:
    """Picture coordinates [..., 2] in 0..side -> world coordinates in -half_width..half_width: y to the right; z keeps
    the direction in which the second coordinate counts."""
    return pixels / side * (2 * half_width) - half_width
