"""Bending the field with the Basel face in space: where a sample is now, and where the portrait's field has it.

The published deformation (`generators.stylenerf.deformation`) finds the nearest vertex in a flat map, once, for the
front camera. Here every sample of every camera is bent by the vertices around it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

NEIGHBOURS = 4  # vertices that share a sample's motion: one alone would leave the edges of its cell as cracks
DEPTH = 0.5  # of a distance in depth counts: the fitted face and the field's own surface differ mostly in depth
REACH = 0.02  # world units (the face is 0.12 wide) over which motion fades away from the face
CLOSEST = 1e-4  # keeps a vertex' own weight finite


@dataclass(frozen=True)
class SpatialDeformation:
    """Points [B, P, 3] of a moved face -> where the field shows them. `reference`, `moved` [V, 3]: the vertices, and
    points that stay, before and after."""

    reference: np.ndarray
    moved: np.ndarray

    def __call__(self, points: Tensor, fine: bool) -> Tensor:
        if np.array_equal(self.reference, self.moved):
            return points
        metric = np.array([DEPTH, 1, 1])
        flat = points.detach().reshape(-1, 3).cpu().double().numpy()
        distance, index = cKDTree(self.moved * metric).query(flat * metric, k=NEIGHBOURS)
        closeness = 1 / (distance + CLOSEST)
        closeness /= closeness.sum(1, keepdims=True)
        back = ((self.reference - self.moved)[index] * closeness[..., None]).sum(1)
        back *= np.exp(-np.square(distance[:, :1] / REACH))
        return points + torch.from_numpy(back).to(points).view(points.shape)
