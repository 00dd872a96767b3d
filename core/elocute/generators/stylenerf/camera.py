"""StyleNeRF's world, cameras and rays.

World axes: x towards the front camera, y to the picture's right, z up; the head sits at the origin, cameras on a
sphere around it (radius 1 in the released files). A camera is its camera-to-world matrix [B, 4, 4], looking along -z,
y up, as everywhere in Elocute.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .config import CameraConfig, Config

FROZEN_BACKGROUND = (0.0, math.pi / 2 + 0.2)  # azimuth, polar angle: where the background is always seen from


def look_from(azimuth: Tensor, polar: Tensor, radius: Tensor) -> Tensor:
    """Cameras on a sphere, [B] radians each and distance -> [B, 4, 4]; azimuth 0, polar pi/2 is the front."""
    eye = radius[:, None] * torch.stack(
        [polar.sin() * azimuth.cos(), polar.sin() * azimuth.sin(), polar.cos()], -1
    )  # [B, 3]
    back = eye / eye.norm(dim=-1, keepdim=True)
    up = torch.tensor([0.0, 0.0, 1.0], dtype=eye.dtype, device=eye.device).expand_as(eye)
    right = torch.linalg.cross(up, back)
    right = right / right.norm(dim=-1, keepdim=True)
    above = torch.linalg.cross(back, right)
    camera = torch.eye(4, dtype=eye.dtype, device=eye.device).repeat(len(eye), 1, 1)
    camera[:, :3, :] = torch.stack([right, above, back, eye], -1)
    return camera


def camera_at(config: CameraConfig, fractions: Sequence[float], dtype: torch.dtype = torch.float32) -> Tensor:
    """One camera [1, 4, 4] at fractions (0..1) of the ranges of azimuth, polar angle and radius."""
    ranges = (config.range_u, config.range_v, config.range_radius)
    u, v, r = (
        torch.tensor([low + (high - low) * at], dtype=dtype)
        for (low, high), at in zip(ranges, fractions, strict=True)
    )
    return _place(config, u, v, r)


def random_camera(config: CameraConfig, batch: int, poses: Any, radii: torch.Generator | None = None) -> Tensor:
    """Cameras [B, 4, 4] drawn as in training: angles from the NumPy RandomState `poses`, radii from torch."""
    draw = poses.normal if config.gaussian_camera else poses.uniform
    u, v = (torch.from_numpy(draw(size=batch)).float() for _ in range(2))
    low, high = config.range_radius
    radius = low + (high - low) * torch.rand(batch, generator=radii)
    return _place(config, _spread(config, config.range_u, u), _spread(config, config.range_v, v), radius)


def _spread(config: CameraConfig, bounds: tuple[float, float], value: Tensor) -> Tensor:
    low, high = bounds
    if config.gaussian_camera:
        return (low + high) / 2 + (high - low) / 2 * value
    return low + (high - low) * value


def _place(config: CameraConfig, u: Tensor, v: Tensor, radius: Tensor) -> Tensor:
    if not config.angular_camera:  # evenly over the sphere
        u, v = 2 * math.pi * u, torch.arccos((1 - 2 * v).clamp(-1, 1))
    return look_from(u, v, radius)


def frozen_camera(config: CameraConfig, like: Tensor) -> Tensor:
    """The background's fixed camera for a batch like `like` [B, 4, 4]."""
    azimuth, polar = (like.new_full((len(like),), angle) for angle in FROZEN_BACKGROUND)
    return look_from(azimuth, polar, like.new_full((len(like),), sum(config.range_radius) / 2))


def pixel_rays(config: Config, camera: Tensor) -> tuple[Tensor, Tensor]:
    """Camera centres [B, 1, 3] and ray directions [B, R, 3], row by row from the top left.

    A direction has length 1 along the optical axis, so that depth is measured along the axis.
    """
    side = config.volume_resolution
    if config.camera.ray_align_corner:  # every n-th pixel of the full picture, whose first and last are at -1 and 1
        line = torch.linspace(-1, 1, config.resolution, dtype=camera.dtype)[:: config.resolution // side]
    else:
        line = (torch.arange(side, dtype=camera.dtype) * 2 + 1) / side - 1
    line = line.to(camera.device)
    y, x = torch.meshgrid(-line, line, indexing="ij")
    # The files' own focal length is a float32, whatever computes with it.
    focal = float(torch.tensor(1 / math.tan(math.radians(config.camera.fov) / 2), dtype=torch.float32))
    local = torch.stack([x.reshape(-1) / focal, y.reshape(-1) / focal, -torch.ones_like(x).reshape(-1)], -1)  # [R, 3]
    return camera[:, None, :3, 3], local @ camera[:, :3, :3].transpose(1, 2)


def inverted_sphere(centre: Tensor, rays: Tensor, inverse_depth: Tensor) -> Tensor:
    """Points (unit direction, inverse depth) outside the unit sphere, [B, R, N, 4] (NeRF++, Zhang et al. 2020, sec. 4).

    centre [B, 1, 3], rays [B, R, 3], inverse_depth [N]: 1 over the distance from the origin.
    """
    unit = rays / rays.norm(dim=-1, keepdim=True)
    along = -(centre * unit).sum(-1, keepdim=True)
    middle = centre + along * unit  # the ray's point closest to the origin
    squared = (middle**2).sum(-1, keepdim=True)
    hit = centre + (along + (1 - squared).sqrt()) * unit  # where the ray leaves the sphere
    axis = torch.linalg.cross(centre.expand_as(hit), hit)
    axis = (axis / axis.norm(dim=-1, keepdim=True))[:, :, None]  # [B, R, 1, 3]
    closest = squared.sqrt()[:, :, None]
    q = inverse_depth[:, None].expand(*rays.shape[:2], -1, 1)  # [B, R, N, 1]
    angle = torch.asin(closest) - torch.asin(closest * q)
    start = hit[:, :, None]
    turned = (
        start * angle.cos()
        + torch.linalg.cross(axis.expand(*q.shape[:3], 3), start.expand(*q.shape[:3], 3)) * angle.sin()
        + axis * (axis * start).sum(-1, keepdim=True) * (1 - angle.cos())
    )  # Rodrigues' formula
    return torch.cat([turned / turned.norm(dim=-1, keepdim=True), q], -1)
