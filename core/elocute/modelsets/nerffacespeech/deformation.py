"""Bending the field with the Basel face in space: where a sample is now, and where the portrait's field has it.

The published deformation (`generators.stylenerf.deformation`) finds the nearest vertex in a flat map, once, for the
front camera. Here every sample of every camera is bent by the vertices around it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from ...rendering.device import Pieces

NEIGHBOURS = 4  # vertices that share a sample's motion: one alone would leave the edges of its cell as cracks
METRIC = (0.5, 1.0, 1.0)  # depth counts half: the fitted face and the field's own surface differ mostly in it
REACH = 0.02  # world units (the face is 0.12 wide) over which motion fades away from the face
CLOSEST = 1e-4  # keeps a vertex' own weight finite
# On a device without a tree: vertices that are measured again, as cdist's matrix product, fast as it is, loses the last
# digits of float32; and distances at once, 64 MB where there is room.
CANDIDATES, DISTANCES = 16, Pieces(1 << 24, 1 << 20)

Array = TypeVar("Array", np.ndarray, Tensor)


@dataclass(frozen=True)
class SpatialDeformation:
    """Points [B, P, 3] of a moved face -> where the field shows them. `reference`, `moved` [V, 3]: the vertices, and
    points that stay, before and after, on the points' device."""

    reference: Tensor
    moved: Tensor

    @cached_property
    def _still(self) -> bool:
        return torch.equal(self.reference, self.moved)

    @cached_property
    def _tree(self) -> cKDTree:
        """Of the moved vertices, on the CPU: a frame asks for its coarse and for its fine samples."""
        return cKDTree(_doubles(self.moved) * METRIC)

    def __call__(self, points: Tensor, fine: bool) -> Tensor:
        if self._still:
            return points
        flat = points.detach().reshape(-1, 3)
        if flat.device.type != "cpu":
            back = _blend(self.reference - self.moved, *nearest(flat, self.moved), torch.exp)
            return points + back.to(points).view(points.shape)
        distance, index = self._tree.query(_doubles(flat) * METRIC, k=NEIGHBOURS)
        back = _blend(_doubles(self.reference) - _doubles(self.moved), distance, index, np.exp)
        return points + torch.from_numpy(back).to(points).view(points.shape)


def nearest(points: Tensor, vertices: Tensor) -> tuple[Tensor, Tensor]:
    """Distances and numbers [P, NEIGHBOURS] of the vertices [V, 3] nearest to each point [P, 3], nearest first: what
    the tree finds, by looking at all of them, on any device."""
    metric = vertices.new_tensor(METRIC)
    there = vertices * metric

    def find(at_once: int) -> list[tuple[Tensor, Tensor]]:
        found = []
        for part in (points.to(there) * metric).split(max(1, at_once // len(there))):
            likely = torch.cdist(part, there).topk(CANDIDATES, largest=False).indices
            distance, order = (part[:, None] - there[likely]).norm(dim=-1).topk(NEIGHBOURS, largest=False)
            found.append((distance, likely.gather(1, order)))
        return found

    distances, index = zip(*DISTANCES.run(find), strict=True)
    return torch.cat(distances), torch.cat(index)


def _blend(shift: Array, distance: Array, index: Array, exp: Callable[[Array], Array]) -> Array:
    """The neighbours' shifts, of all vertices' [V, 3], by closeness, less the farther away they are: [P, 3]."""
    closeness = 1 / (distance + CLOSEST)
    closeness /= closeness.sum(1)[:, None]
    back = (shift[index] * closeness[..., None]).sum(1)
    back *= exp(-((distance[:, :1] / REACH) ** 2))
    return back


def _doubles(points: Tensor) -> np.ndarray:
    return np.asarray(points.detach().cpu().double().numpy())
