"""Bending the field with the Basel face in space: where a sample is now, and where the portrait's field has it.

The published deformation (`generators.stylenerf.deformation`) finds the nearest vertex in a flat map, once, for the
front camera. Here every sample of every camera is bent by the vertices around it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

NEIGHBOURS = 4  # vertices that share a sample's motion: one alone would leave the edges of its cell as cracks
METRIC = np.array([0.5, 1, 1])  # depth counts half: the fitted face and the field's own surface differ mostly in it
REACH = 0.02  # world units (the face is 0.12 wide) over which motion fades away from the face
CLOSEST = 1e-4  # keeps a vertex' own weight finite


@dataclass(frozen=True)
class SpatialDeformation:
    """Points [B, P, 3] of a moved face -> where the field shows them. `reference`, `moved` [V, 3]: the vertices, and
    points that stay, before and after."""

    reference: np.ndarray
    moved: np.ndarray

    @cached_property
    def _tree(self) -> cKDTree | None:
        """Of the moved vertices, None when none has moved: a frame asks for its coarse and for its fine samples."""
        return None if np.array_equal(self.reference, self.moved) else cKDTree(self.moved * METRIC)

    def __call__(self, points: Tensor, fine: bool) -> Tensor:
        if self._tree is None:
            return points
        flat = points.detach().reshape(-1, 3).cpu().double().numpy()
        distance, index = self._tree.query(flat * METRIC, k=NEIGHBOURS)
        closeness = 1 / (distance + CLOSEST)
        closeness /= closeness.sum(1, keepdims=True)
        back = ((self.reference - self.moved)[index] * closeness[..., None]).sum(1)
        back *= np.exp(-np.square(distance[:, :1] / REACH))
        return points + torch.from_numpy(back).to(points).view(points.shape)
