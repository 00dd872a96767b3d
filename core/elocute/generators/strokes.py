"""Strokes: thin tapered lines with soft edges, composited back to front, for hair, brows, lashes and beards."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def draw_strokes(ends, width, colour, order, depth, out):  # type: ignore[no-untyped-def]
    """Composites line segments over a premultiplied picture, in place.

    ends float32 [S, 6]: x, y, z of both ends, pixels and metres; width float32 [S, 2] pixels at the ends; colour
    float32 [S, 4] rgb and opacity; order int [S] the drawing order; depth float32 [H, W]: a segment behind it isn't
    drawn there; out float32 [H, W, 4] premultiplied.
    """
    height, wide = depth.shape
    for k in range(order.shape[0]):
        s = order[k]
        ax, ay, az, bx, by, bz = ends[s, 0], ends[s, 1], ends[s, 2], ends[s, 3], ends[s, 4], ends[s, 5]
        reach = 0.5 * max(width[s, 0], width[s, 1]) + 1.0
        x0 = max(0, int(np.floor(min(ax, bx) - reach)))
        x1 = min(wide - 1, int(np.ceil(max(ax, bx) + reach)))
        y0 = max(0, int(np.floor(min(ay, by) - reach)))
        y1 = min(height - 1, int(np.ceil(max(ay, by) + reach)))
        dx, dy = bx - ax, by - ay
        inv = 1.0 / max(dx * dx + dy * dy, 1e-6)
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                raw = ((x + 0.5 - ax) * dx + (y + 0.5 - ay) * dy) * inv
                # half-open along the line, so that the joints of a polyline are covered once
                if raw < 0.0 or raw >= 1.0:
                    continue
                ox, oy = x + 0.5 - ax - raw * dx, y + 0.5 - ay - raw * dy
                w = width[s, 0] + raw * (width[s, 1] - width[s, 0])
                half = 0.5 * max(w, 1.0)
                cover = half + 0.5 - np.sqrt(ox * ox + oy * oy)
                if cover <= 0.0:
                    continue
                if az + raw * (bz - az) > depth[y, x]:
                    continue
                # thinner than a pixel: as wide as one and so much more transparent
                a = min(cover, 1.0) * min(w, 1.0) * colour[s, 3]
                rest = 1.0 - a
                out[y, x, 0] = out[y, x, 0] * rest + a * colour[s, 0]
                out[y, x, 1] = out[y, x, 1] * rest + a * colour[s, 1]
                out[y, x, 2] = out[y, x, 2] * rest + a * colour[s, 2]
                out[y, x, 3] = out[y, x, 3] * rest + a


def draw_lines(
    lines: np.ndarray, width: np.ndarray, colour: np.ndarray, depth: np.ndarray, out: np.ndarray, sort: bool = True
) -> None:
    """Polylines `lines` [N, K, 3] (x, y pixels, z metres) with `width` [N, K] pixels and `colour` [N, K, 4] onto `out`
    [H, W, 4] premultiplied, in place; the farthest first when `sort`."""
    ends = np.concatenate([lines[:, :-1], lines[:, 1:]], 2).reshape(-1, 6).astype(np.float32)
    widths = np.stack([width[:, :-1], width[:, 1:]], 2).reshape(-1, 2).astype(np.float32)
    colours = ((colour[:, :-1] + colour[:, 1:]) / 2).reshape(-1, 4).astype(np.float32)
    order = np.argsort(-(ends[:, 2] + ends[:, 5]), kind="stable") if sort else np.arange(len(ends))
    draw_strokes(ends, widths, colours, order, np.ascontiguousarray(depth, np.float32), out)


@numba.njit(cache=True, nogil=True)
def interpolate(ids, points, faces, table, out):  # type: ignore[no-untyped-def]
    """Perspective-correct vertex values at each pixel, in place: ids int32 [H, W] of the triangle there (-1: none),
    points float32 [V, 3] image space, table float32 [V, K], out float32 [H, W, K]."""
    for y in range(ids.shape[0]):
        for x in range(ids.shape[1]):
            f = ids[y, x]
            if f < 0:
                continue
            a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
            ax, ay, bx, by = points[a, 0], points[a, 1], points[b, 0], points[b, 1]
            cx, cy = points[c, 0], points[c, 1]
            inv = 1.0 / ((bx - ax) * (cy - ay) - (cx - ax) * (by - ay))
            px, py = x + 0.5, y + 0.5
            w1 = ((px - ax) * (cy - ay) - (cx - ax) * (py - ay)) * inv
            w2 = ((bx - ax) * (py - ay) - (px - ax) * (by - ay)) * inv
            w0 = (1.0 - w1 - w2) / points[a, 2]
            w1 /= points[b, 2]
            w2 /= points[c, 2]
            total = 1.0 / (w0 + w1 + w2)
            for k in range(table.shape[1]):
                out[y, x, k] = (w0 * table[a, k] + w1 * table[b, k] + w2 * table[c, k]) * total
