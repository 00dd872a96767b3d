"""How a surface's motion bends what lies at it, compiled for the CPU: the inverse deformation gradient of each triangle
and the growth around each vertex. The clear versions are in `march.py`; a test holds them together."""

from __future__ import annotations

import numba
import numpy as np

_FAST = {"cache": True, "nogil": True, "fastmath": True, "error_model": "numpy"}
_COLLAPSED = 1e-14  # square metres, twice a triangle's area, without an inverse; it covers no pixel worth bending
_MOST = np.float32(30.0)  # times a triangle's growth counts: a folded one would open to infinity


@numba.njit(**_FAST)
def _cross(a, b):  # type: ignore[no-untyped-def]
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@numba.njit(**_FAST)
def _frame(points, a, b, c):  # type: ignore[no-untyped-def]
    """Two edges and the unit normal of a triangle, and the length of the edges' cross product: twice its area."""
    u = (points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2])
    v = (points[c, 0] - points[a, 0], points[c, 1] - points[a, 1], points[c, 2] - points[a, 2])
    n = _cross(u, v)
    size = np.sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2])
    s = np.float32(1.0) / max(size, np.float32(1e-12))
    return u, v, (n[0] * s, n[1] * s, n[2] * s), size


@numba.njit(**_FAST, parallel=True)
def pullback(rest, moved, faces, out):  # type: ignore[no-untyped-def]
    """out [F, 3, 3]: the linear map that takes a direction from moved space back to canonical space, triangle by
    triangle: edges to edges, unit normal to unit normal (the inverse deformation gradient of a shell)."""
    for f in numba.prange(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        u, v, n, size = _frame(moved, a, b, c)
        to_u, to_v, to_n, _ = _frame(rest, a, b, c)
        if size < _COLLAPSED:
            for i in range(3):
                for j in range(3):
                    out[f, j, i] = np.float32(i == j)
            continue
        s = np.float32(1.0) / size
        of_u, of_v = _cross(v, n), _cross(n, u)  # times s the dual basis: a direction's shares of u and v
        for i in range(3):
            for j in range(3):
                out[f, j, i] = (of_u[i] * to_u[j] + of_v[i] * to_v[j]) * s + n[i] * to_n[j]


@numba.njit(**_FAST)
def stretch(rest, moved, faces, out, share):  # type: ignore[no-untyped-def]
    """out [V]: how many times the surface around each vertex has grown in area, averaged over its triangles; at
    least 1. share [V] is working memory."""
    out[:] = 0.0
    share[:] = 0.0
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        grown = _frame(moved, a, b, c)[3] / max(_frame(rest, a, b, c)[3], np.float32(1e-10))
        for v in (a, b, c):
            out[v] += min(grown, _MOST)
            share[v] += np.float32(1.0)
    for v in range(out.shape[0]):
        out[v] = max(out[v] / max(share[v], np.float32(1.0)), np.float32(1.0))
