"""Triangle meshes: normals, neighbours, and smooth displacement fields, thin plates that pass through handles and die
out away from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csc_matrix, csr_matrix


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals [V, 3], weighted by area, pointing outwards for counter-clockwise faces [F, 3]."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    across = np.cross(b - a, c - a)
    normals = np.zeros_like(vertices)
    for k in range(3):
        for axis in range(3):
            normals[:, axis] += np.bincount(faces[:, k], across[:, axis], minlength=len(vertices))
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)


def neighbours(faces: np.ndarray, count: int) -> csr_matrix:
    """[count, count]: 1 for vertices that an edge of the triangles [F, 3] joins, else 0."""
    from scipy.sparse import csr_matrix

    i, j = faces[:, [0, 1, 2, 1, 2, 0]].ravel(), faces[:, [1, 2, 0, 0, 1, 2]].ravel()
    joined = csr_matrix((np.ones(len(i)), (i, j)), (count, count))
    joined.data[:] = 1  # two triangles at most edges
    return joined


def plate_energy(vertices: np.ndarray, faces: np.ndarray, reach: np.ndarray | float) -> csc_matrix:
    """Matrix Q [V, V] of the energy d'Qd = integral of |laplacian d|^2 + |d|^2 / reach^4 over the surface.

    `reach` in metres (one value, or one per vertex) is how far a displacement travels before it dies out. The energy
    is measured along the skin, so a lip moves its own neighbourhood and not the other lip, which is near but far
    along the surface.
    """
    from scipy.sparse import coo_matrix, diags

    count = len(vertices)
    rows, columns, values = [], [], []
    corners = [vertices[faces[:, k]] for k in range(3)]
    area = np.linalg.norm(np.cross(corners[1] - corners[0], corners[2] - corners[0]), axis=1) / 2
    for k in range(3):
        i, j, opposite = faces[:, (k + 1) % 3], faces[:, (k + 2) % 3], corners[k]
        u, v = vertices[i] - opposite, vertices[j] - opposite
        cotangent = (u * v).sum(1) / np.maximum(np.linalg.norm(np.cross(u, v), axis=1), 1e-12)
        weight = np.clip(cotangent, 0.02, 20.0) / 2  # obtuse corners would make the energy indefinite
        rows += [i, j]
        columns += [j, i]
        values += [weight, weight]
    adjacency = coo_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), (count, count))
    adjacency = adjacency.tocsr()
    laplacian = adjacency - diags(np.asarray(adjacency.sum(1)).ravel())
    mass = np.bincount(faces.ravel(), np.repeat(area / 3, 3), minlength=count)
    mass = np.maximum(mass, mass[mass > 0].min() * 0.1)
    bend = laplacian.T @ diags(1 / mass) @ laplacian
    return (bend + diags(mass / np.broadcast_to(reach, count) ** 4)).tocsc()


def through_handles(energy: csc_matrix, handles: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Field [V, K] of least energy that takes `values` [H, K] exactly at the vertices `handles` [H]."""
    from scipy.sparse.linalg import splu

    count = energy.shape[0]
    free = np.ones(count, bool)
    free[handles] = False
    free_index = np.flatnonzero(free)
    field = np.zeros((count, values.shape[1]))
    field[handles] = values
    block = energy[free_index]
    field[free_index] = splu(block[:, free_index].tocsc()).solve(-np.asarray(block[:, handles] @ values))
    return field
