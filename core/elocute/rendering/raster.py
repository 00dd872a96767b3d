"""Visibility: which triangle each ray meets first.

The radiance field is dense only in thin shells around its surfaces (skin, hair relief, eyeballs, teeth), so a ray's
samples are worth placing only where it crosses one. Finding that crossing is a z-buffer. Two implementations give
the same answer: a compiled one for the CPU, and one of plain tensor operations for every other device, which is also
the test's oracle.

Vertices are in the camera's image space: x right and y down in pixels, z the depth along the axis in metres.
"""

from __future__ import annotations

import numba
import numpy as np
import torch

STRIPS = 8  # horizontal, rastered side by side; a few more than cores, for balance
DOUBT = 0.01  # pixels: more than rounding moves a triangle's border
NEAR = 0.05  # metres; anything nearer can't be in the picture


@numba.njit(cache=True, nogil=True, fastmath=False, error_model="numpy", inline="always")
def _narrowed(low, high, x, w, slope):  # type: ignore[no-untyped-def]
    """The pixels low..high of a row, without those for which a coordinate is negative that is `w` at place `x`: most of
    a slim triangle's bounding box. A pixel in doubt stays."""
    if slope == 0.0:
        return low, high
    border = x - w / slope - 0.5
    return (max(low, border - DOUBT), high) if slope > 0.0 else (low, min(high, border + DOUBT))


@numba.njit(cache=True, nogil=True, fastmath=False, error_model="numpy")
def _raster_rows(points, faces, labels, row0, row1, ids, depth):  # type: ignore[no-untyped-def]
    width = ids.shape[1]
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        za, zb, zc = points[a, 2], points[b, 2], points[c, 2]
        if za < NEAR or zb < NEAR or zc < NEAR:
            continue
        ax, ay, bx, by, cx, cy = points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1]
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if area >= 0.0:  # faces are counter-clockwise seen from outside; y points down, so front faces are negative
            continue
        y0 = max(row0, int(np.ceil(min(ay, by, cy) - 0.5)))
        y1 = min(row1 - 1, int(np.floor(max(ay, by, cy) - 0.5)))
        if y0 > y1:
            continue
        x0 = max(0, int(np.ceil(min(ax, bx, cx) - 0.5)))
        x1 = min(width - 1, int(np.floor(max(ax, bx, cx) - 0.5)))
        inv = 1.0 / area
        ra, rb, rc = 1.0 / za, 1.0 / zb, 1.0 / zc
        slope1, slope2 = (cy - ay) * inv, (ay - by) * inv  # of the coordinates w along a row
        slope0 = -slope1 - slope2
        for y in range(y0, y1 + 1):
            py = y + 0.5
            w1, w2 = (ax - cx) * (py - ay) * inv, (bx - ax) * (py - ay) * inv  # where the row is below a
            low, high = _narrowed(float(x0), float(x1), ax, 1.0 - w1 - w2, slope0)
            low, high = _narrowed(low, high, ax, w1, slope1)
            low, high = _narrowed(low, high, ax, w2, slope2)
            for x in range(int(np.ceil(low)), int(np.floor(high)) + 1):
                px = x + 0.5
                w1 = ((px - ax) * (cy - ay) - (cx - ax) * (py - ay)) * inv
                w2 = ((bx - ax) * (py - ay) - (px - ax) * (by - ay)) * inv
                w0 = 1.0 - w1 - w2
                if w0 < 0.0 or w1 < 0.0 or w2 < 0.0:
                    continue
                z = 1.0 / (w0 * ra + w1 * rb + w2 * rc)  # 1/z is what is linear on the screen
                if z < depth[y, x]:
                    depth[y, x] = z
                    ids[y, x] = labels[f]


@numba.njit(cache=True, nogil=True, parallel=True)
def _raster_parallel(points, faces, labels, ids, depth, row0, row1, strips):  # type: ignore[no-untyped-def]
    rows = row1 - row0
    for s in numba.prange(strips):
        first, last = row0 + rows * s // strips, row0 + rows * (s + 1) // strips
        ids[first:last] = -1
        depth[first:last] = np.inf
        _raster_rows(points, faces, labels, first, last, ids, depth)


def rasterise(
    points: np.ndarray, faces: np.ndarray, height: int, width: int, threaded: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """First front-facing triangle under each pixel centre.

    points: float32 [V, 3] image space; faces: int32 [F, 3]. Returns ids int32 [H, W] (-1: none) and depth
    float32 [H, W] in metres (inf: none). `threaded` False for a small picture inside a loop of tensor operations, whose
    threads and these would wait for each other.
    """
    ids = np.full((height, width), -1, np.int32)
    depth = np.full((height, width), np.inf, np.float32)
    labels = np.arange(len(faces), dtype=np.int32)
    points, faces = np.ascontiguousarray(points, np.float32), np.ascontiguousarray(faces, np.int32)
    if threaded:
        rasterise_into(points, faces, labels, ids, depth, (0, height))
    else:
        _raster_rows(points, faces, labels, 0, height, ids, depth)
    return ids, depth


def rasterise_into(
    points: np.ndarray, faces: np.ndarray, labels: np.ndarray, ids: np.ndarray, depth: np.ndarray, rows: tuple[int, int]
) -> None:
    """`rasterise` for a renderer's loop: contiguous arrays in, labels [F] of the visible triangles out, only `rows`
    (first, past the last) of the pictures `ids` and `depth` are written."""
    _raster_parallel(points, faces, labels, ids, depth, *rows, STRIPS)


def rasterise_tensors(
    points: torch.Tensor, faces: torch.Tensor, height: int, width: int, chunk: int = 4_000_000
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same as `rasterise`, as tensor operations on the device of `points` (float32 or float64 [V, 3]).

    Every triangle lists the pixels of its bounding box (at most `chunk` at once, which bounds memory), tests them, and
    the nearest wins in a scatter. Returns ids int64 [H, W] and depth [H, W].
    """
    device, dtype = points.device, points.dtype
    corners = points[faces.long()]  # [F, 3, 3]
    a, b, c = corners.unbind(1)
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
    low = torch.ceil(corners[..., :2].amin(1) - 0.5).long().clamp_min(0)
    high = torch.floor(corners[..., :2].amax(1) - 0.5).long()
    high = torch.minimum(high, torch.tensor([width - 1, height - 1], device=device))
    span = (high - low + 1).clamp_min(0)
    keep = torch.nonzero((corners[..., 2] >= NEAR).all(1) & (area < 0) & (span.prod(1) > 0)).squeeze(1)
    depth = torch.full((height * width,), float("inf"), dtype=dtype, device=device)
    ids = torch.full((height * width,), -1, dtype=torch.long, device=device)
    counts = span[keep].prod(1)
    start = 0
    ends = torch.cumsum(counts, 0)
    while start < len(keep):
        base = ends[start - 1] if start else ends.new_zeros(())
        stop = max(start + 1, int(torch.searchsorted(ends, base + chunk, right=True)))
        batch, n = keep[start:stop], counts[start:stop]
        face = torch.repeat_interleave(batch, n)
        local = torch.arange(len(face), device=device) - torch.repeat_interleave(torch.cumsum(n, 0) - n, n)
        x, y = low[face, 0] + local % span[face, 0], low[face, 1] + local // span[face, 0]
        z, inside = _depth_at(corners[face], area[face], x + 0.5, y + 0.5)
        face, pixel, z = face[inside], (y * width + x)[inside], z[inside]
        before = depth.clone()
        depth.scatter_reduce_(0, pixel, z, "amin")
        first = z == depth[pixel]  # equal depth on a shared edge: the lowest triangle, as the loop does
        best = torch.full_like(ids, faces.shape[0]).scatter_reduce_(0, pixel[first], face[first], "amin")
        ids = torch.where((best < faces.shape[0]) & (depth < before), best, ids)
        start = stop
    return ids.view(height, width), depth.view(height, width)


def _depth_at(
    corners: torch.Tensor, area: torch.Tensor, px: torch.Tensor, py: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    a, b, c = corners.unbind(1)
    px, py = px.to(corners.dtype), py.to(corners.dtype)
    w1 = ((px - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (py - a[:, 1])) / area
    w2 = ((b[:, 0] - a[:, 0]) * (py - a[:, 1]) - (px - a[:, 0]) * (b[:, 1] - a[:, 1])) / area
    w0 = 1 - w1 - w2
    z = 1 / (w0 / a[:, 2] + w1 / b[:, 2] + w2 / c[:, 2])
    return z, (w0 >= 0) & (w1 >= 0) & (w2 >= 0)
