"""Two expressions of the Basel face in one: its coefficients have no regions, but they move landmarks, which have.

A change of expression is split into the parts that act on the mouth, the eyes and the rest, so that each part can be
taken to another degree and all parts together are the change itself.
"""

from __future__ import annotations

import numpy as np

MOUTH, EYES = (*range(0, 17), *range(48, 68)), tuple(range(36, 48))  # of the 68 landmarks; brows and nose are the rest
STIFFNESS = 1.0  # in units of the landmark noise: what moves no landmark belongs to all regions alike


def region_matrices(moves: np.ndarray) -> np.ndarray:
    """[3, 64, 64] for mouth, eyes, rest; they sum to the identity. `moves` [64, 204]: how coefficients move landmarks,
    in units of their noise (`head.conversion.ExpressionConversion.basel_moves`)."""
    region = np.full(68, 2)
    region[list(MOUTH)], region[list(EYES)] = 0, 1
    columns = np.repeat(region, 3)
    count = len(moves)
    parts = np.stack([moves[:, columns == r] @ moves[:, columns == r].T for r in range(3)])
    parts += STIFFNESS / 3 * np.eye(count)
    return np.linalg.solve(parts.sum(0), parts)


def mixed(said: np.ndarray, seen: np.ndarray, shares: tuple[float, float, float], moves: np.ndarray) -> np.ndarray:
    """Expressions [T, 64] of a voice and of a video, with `shares` of the video in mouth, eyes and rest."""
    if shares == (1.0, 1.0, 1.0):
        return seen
    matrix = np.tensordot(np.array(shares), region_matrices(moves), 1)
    return (said + (seen - said) @ matrix.T).astype(np.float32)
