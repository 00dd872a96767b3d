"""A small z-buffer for the head builder and its pictures: which triangle a pixel shows, and where in it."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def rasterise(points, faces, height, width):  # type: ignore[no-untyped-def]
    """`points` [V, 3] are pixels x, y and depth (smaller is nearer). Returns face [H, W] (-1 nothing), barycentric
    [H, W, 3], depth [H, W]; pixel (0, 0) is sampled at its centre (0.5, 0.5)."""
    index = np.full((height, width), -1, np.int32)
    weight = np.zeros((height, width, 3), np.float32)
    depth = np.full((height, width), np.inf)
    for k in range(len(faces)):
        a, b, c = points[faces[k, 0]], points[faces[k, 1]], points[faces[k, 2]]
        area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])
        if abs(area) < 1e-12:
            continue
        x0 = max(int(np.floor(min(a[0], b[0], c[0]) - 0.5)), 0)
        x1 = min(int(np.ceil(max(a[0], b[0], c[0]) + 0.5)), width)
        y0 = max(int(np.floor(min(a[1], b[1], c[1]) - 0.5)), 0)
        y1 = min(int(np.ceil(max(a[1], b[1], c[1]) + 0.5)), height)
        for row in range(y0, y1):
            for column in range(x0, x1):
                x, y = column + 0.5, row + 0.5
                v = ((x - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (y - a[1])) / area
                w = ((b[0] - a[0]) * (y - a[1]) - (x - a[0]) * (b[1] - a[1])) / area
                u = 1 - v - w
                if u < -1e-9 or v < -1e-9 or w < -1e-9:
                    continue
                z = u * a[2] + v * b[2] + w * c[2]
                if z < depth[row, column]:
                    depth[row, column] = z
                    index[row, column] = k
                    weight[row, column, 0] = u
                    weight[row, column, 1] = v
                    weight[row, column, 2] = w
    return index, weight, depth


def shade(points, vertices, faces, colours, size, light=(0.25, 0.45, 0.85)):  # type: ignore[no-untyped-def]
    """Lambert picture uint8 [H, W, 3] of `vertices` seen at `points`, with `colours` [V, 3] in 0..1, plus the
    buffers of `rasterise`."""
    from elocute.head.surface import vertex_normals

    index, weight, depth = rasterise(points.astype(np.float64), faces, *size)
    normals = vertex_normals(vertices, faces)
    corner = faces[np.maximum(index, 0)]
    normal = (normals[corner] * weight[..., None]).sum(2)
    normal /= np.maximum(np.linalg.norm(normal, axis=2, keepdims=True), 1e-9)
    towards = np.array(light) / np.linalg.norm(light)
    brightness = 0.3 + 0.7 * np.clip(normal @ towards, 0, 1)
    picture = (colours[corner] * weight[..., None]).sum(2) * brightness[..., None]
    picture[index < 0] = 0.16
    return (np.clip(picture, 0, 1) * 255).astype(np.uint8), index, weight, depth
