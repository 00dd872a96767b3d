"""Seams: where upper and lower lip, upper and lower lid meet. They close exactly and never pass through each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LIFT = np.array([0.0, 1.0, 0.0], np.float32)  # lips and lids open along head space's y
SLIDE = 0.003  # metres: lips further apart in depth than this slide past each other (rolled in) instead of colliding


@dataclass(frozen=True)
class Seam:
    """Two chains of vertices, `upper` [U] and `lower` [L], from the subject's right corner to the left one; both
    contain the two corners. `lower_of_upper` [U, L] weighs lower vertices into the point opposite each upper vertex,
    `upper_of_lower` [L, U] the other way round. `touched` [T] are the vertices of the skin around, `fields`
    [T, U + L - 4] how far each goes with each vertex of the chains (corners excepted, upper first).
    """

    upper: np.ndarray
    lower: np.ndarray
    lower_of_upper: np.ndarray
    upper_of_lower: np.ndarray
    touched: np.ndarray
    fields: np.ndarray

    @classmethod
    def with_fields(
        cls,
        upper: np.ndarray,
        lower: np.ndarray,
        lower_of_upper: np.ndarray,
        upper_of_lower: np.ndarray,
        movers: np.ndarray,
        fields: np.ndarray,
    ) -> Seam:
        """Picks this seam's rows out of the fields [S, V] of all `movers` [S]."""
        number = {int(v): k for k, v in enumerate(movers)}
        mine = fields[[number[int(v)] for v in np.concatenate([upper[1:-1], lower[1:-1]])]]
        touched = np.flatnonzero(np.abs(mine).max(0) > 0)
        return cls(upper, lower, lower_of_upper, upper_of_lower, touched, np.ascontiguousarray(mine[:, touched].T))

    def openings(self, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vectors from each upper vertex's opposite point to it [U, 3], and from each lower vertex up to its own
        [L, 3]; metres. Their y is negative where the chains have passed through each other."""
        above, below = vertices[self.upper], vertices[self.lower]
        return above - self.lower_of_upper @ below, self.upper_of_lower @ above - below

    def closing(self, vertices: np.ndarray) -> np.ndarray:
        """Displacement [T, 3] of `touched` that brings the chains together half-way."""
        above, below = vertices[self.upper], vertices[self.lower]
        to_lower = (self.upper_of_lower @ above - below) / 2
        to_upper = self.lower_of_upper @ (below + to_lower) - above
        return self.fields @ np.concatenate([to_upper[1:-1], to_lower[1:-1]]).astype(np.float32)

    def parting(self, vertices: np.ndarray) -> np.ndarray | None:
        """Displacement [T, 3] that undoes any passing through, or None when there is none."""
        from_lower, from_upper = self.openings(vertices)
        push = []
        for gap, sign in ((from_lower[1:-1], -0.5), (from_upper[1:-1], 0.5)):
            depth = np.minimum(gap[:, 1], 0) * np.exp(-((gap[:, 2] / SLIDE) ** 2))
            push.append(sign * depth)
        amount = np.concatenate(push).astype(np.float32)
        if not (np.abs(amount) > 1e-6).any():
            return None
        return (self.fields @ amount)[:, None] * LIFT
