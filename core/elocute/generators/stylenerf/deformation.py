"""Bending the field with the head's mesh: a sample moves as the vertex nearest to it (NeRFFaceSpeech, sec. 3.3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class VertexDeformation:
    """The published deformation: in the picture plane only, by the nearest vertex whatever its depth.

    displacement [B, V, 2]: from each vertex's moved place back to its reference place, world (y, z);
    nearest, nearest_fine [P]: each sample point's vertex. Depth (x) stays.
    """

    displacement: Tensor
    nearest: Tensor
    nearest_fine: Tensor

    def __call__(self, points: Tensor, fine: bool) -> Tensor:
        index = self.nearest_fine if fine else self.nearest
        flat = points[..., 1:] + self.displacement.to(points)[:, index]
        return torch.cat([points[..., :1], flat], -1)


def nearest_vertices(vertices: Tensor, points: Tensor) -> Tensor:
    """[P]: the vertex nearest to each point in the picture plane; vertices [V, 2] and points [P, 2], world (y, z)."""
    from scipy.spatial import cKDTree

    _, index = cKDTree(vertices.detach().cpu().double().numpy()).query(points.detach().cpu().double().numpy())
    return torch.from_numpy(index).to(points.device)
