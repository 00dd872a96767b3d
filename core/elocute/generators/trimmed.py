"""A field cut off at the portrait's edges, where what lies beyond is another field's (`bust`)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..rendering.shells import RELIEF, Shells, project

EDGE = 0.01  # pixels: a corner that lies on the edge is inside
CARRIED = ("rest", "seen", "fill", "solid", "grain", "rim", "thickness", "normal")  # by a corner that is drawn in


@dataclass(frozen=True)
class Trimmed:
    """`shells` without what lies beyond the portrait. A triangle of relief goes when one of its corners does. The
    head's own are larger, and relief alone would show in the gaps: so its corners beyond the edge, `out` [K], are drawn
    in to it, towards `into` [K] inside. They keep `share` [K] of the way from there."""

    shells: Shells
    out: np.ndarray
    into: np.ndarray
    share: np.ndarray

    def moved(self, points: np.ndarray) -> np.ndarray:
        """[V, 3] or [V]: what belongs to the points of the whole field, for those of this one."""
        return _drawn_in(points, self.out, self.into, self.share)


def trimmed(shells: Shells) -> Trimmed:
    """The field at rest, trimmed."""
    image = project(shells.rest, shells.focal, shells.cx, shells.cy)
    size = shells.planes.shape[1]
    inside = ((image[:, :2] > -EDGE) & (image[:, :2] < size + EDGE)).all(1)
    corners = inside[shells.faces]
    a, b, c = (image[shells.faces[:, k], :2] for k in range(3))
    seen = (b - a)[:, 0] * (c - a)[:, 1] < (b - a)[:, 1] * (c - a)[:, 0]  # counter-clockwise, with y downwards
    kept = np.where(shells.layer == RELIEF, corners.all(1), corners.any(1) & (corners.all(1) | seen))
    faces = shells.faces[kept]
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    pairs = pairs[inside[pairs[:, 0]] & ~inside[pairs[:, 1]]]
    far = np.linalg.norm(image[pairs[:, 0], :2] - image[pairs[:, 1], :2], axis=1)
    pairs = pairs[np.argsort(far, kind="stable")]
    out, first = np.unique(pairs[:, 1], return_index=True)
    into = pairs[first, 0]
    share = _share(image[into], image[out], size)
    carried = {name: _drawn_in(getattr(shells, name), out, into, share) for name in CARRIED}
    return Trimmed(replace(shells, faces=faces, layer=shells.layer[kept], **carried), out, into, share)


def _share(inner: np.ndarray, outer: np.ndarray, size: int) -> np.ndarray:
    """[K] of the way in space from `inner` to `outer` [K, 3], image space, at which the picture's edge is crossed."""
    way = outer[:, :2] - inner[:, :2]
    room = np.where(way > 0, size - inner[:, :2], inner[:, :2])
    s = np.clip(np.where(way != 0, room / np.maximum(np.abs(way), 1e-6), 1), 0, 1).min(1)
    return s * inner[:, 2] / (outer[:, 2] - s * (outer[:, 2] - inner[:, 2]))  # depth makes a picture's halves uneven


def _drawn_in(values: np.ndarray, out: np.ndarray, into: np.ndarray, share: np.ndarray) -> np.ndarray:
    result = values.copy()
    part = share.reshape(-1, *(1,) * (values.ndim - 1)).astype(values.dtype)
    result[out] = values[into] + part * (values[out] - values[into])
    return result
