"""A finer mesh where a picture would show the corners of a coarse one: along lips and lids, and at jaw and chin.

One step of interpolating subdivision. A long edge gets a vertex: on a surface from the butterfly scheme (Dyn, Levin,
Gregory 1990), on the rim of lips and lids, where two surfaces meet in a fold, from the rim's curve alone (the
four-point scheme, Dyn, Gregory, Levin 1987). Old vertices stay where they are, and new ones are linear in them, so that
a frame's are one sparse product.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from .shells import RELIEF, SKIN, Shells

LONG, LONG_AT_RIMS = 20.0, 4.0  # pixels of the picture, of edges that get a vertex
RINGS = 2  # of triangles around a rim that belong to it
TENSION = 1 / 16  # of both schemes: as smooth as they get
# A triangle's corners a, b, c and the new vertices of its edges ab, bc, ca (3, 4, 5): what it becomes when those edges
# are split whose bits are set.
PARTS = {
    0: [(0, 1, 2)], 1: [(0, 3, 2), (3, 1, 2)], 2: [(1, 4, 0), (4, 2, 0)], 4: [(2, 5, 1), (5, 0, 1)],
    3: [(3, 1, 4), (0, 3, 4), (0, 4, 2)], 6: [(4, 2, 5), (1, 4, 5), (1, 5, 0)], 5: [(5, 0, 3), (2, 5, 3), (2, 3, 1)],
    7: [(0, 3, 5), (3, 1, 4), (5, 4, 2), (3, 4, 5)],
}  # fmt: skip


@dataclass(frozen=True)
class Finer:
    """`shells` with K more vertices, after the V old ones; `between` [K, V]: what old ones each is made of; `ends`
    [K, 2]: those on whose edge it is."""

    shells: Shells
    between: sparse.csr_matrix
    ends: np.ndarray

    def points(self, old: np.ndarray) -> np.ndarray:
        """float32 [V + K, 3] of the old vertices' places [V, 3]."""
        return np.concatenate([old, (self.between @ old).astype(np.float32)])

    def values(self, old: np.ndarray) -> np.ndarray:
        """float32 [V + K] of values [V] of the old vertices."""
        return np.concatenate([old, old[self.ends].mean(1)]).astype(np.float32)


@dataclass(frozen=True)
class _Edges:
    """ends [E, 2] vertices; sides [E, 2] half-edges (3 f + k: the edge of triangle f that begins at its corner k),
    twice the same at a border; inner, rim [E] whether it has two sides, and whether these are of two layers; of [F, 3]:
    each triangle's edges ab, bc, ca; across, twin [3 F] a half-edge's opposite corner, and the half-edge on its other
    side (-1: none)."""

    ends: np.ndarray
    sides: np.ndarray
    inner: np.ndarray
    rim: np.ndarray
    of: np.ndarray
    across: np.ndarray
    twin: np.ndarray


def finer(shells: Shells, scale: float) -> Finer:
    """The mesh for a picture in which the planes' pixels are `scale` pixels wide."""
    soft = _soft(shells)
    faces, layer = shells.faces[soft], shells.layer[soft]
    edges = _edges(faces, layer)
    a, b = (shells.rest[edges.ends[:, i]] for i in (0, 1))
    length = np.linalg.norm(a - b, axis=1) * shells.focal * scale / (a + b)[:, 2] * 2  # as a turned head may show it
    near = np.zeros(len(shells.rest), bool)
    near[edges.ends[edges.rim]] = True
    for _ in range(RINGS):
        near[faces[near[faces].any(1)]] = True
    split = edges.inner & (length > np.where(near[edges.ends].all(1), LONG_AT_RIMS, LONG))
    new = np.where(split, len(shells.rest) + np.cumsum(split) - 1, -1)
    faces, layer = _split_faces(faces, layer, new[edges.of])
    between = _stencils(edges, np.flatnonzero(split), len(shells.rest))
    faces, layer = (np.concatenate(both) for both in ((shells.faces[~soft], faces), (shells.layer[~soft], layer)))
    ends = edges.ends[split]
    return Finer(_with(shells, ends, between, faces, layer), between, ends)


def _soft(shells: Shells) -> np.ndarray:
    """[F] triangles that hang together with skin; rows of teeth don't, and are hard, like the balls of eyes."""
    ends = np.concatenate([shells.faces[:, [0, 1]], shells.faces[:, [1, 2]]])
    graph = sparse.coo_matrix((np.ones(len(ends), bool), ends.T), (len(shells.rest),) * 2)
    piece = csgraph.connected_components(graph, directed=False)[1][shells.faces[:, 0]]
    return np.asarray(np.isin(piece, piece[shells.layer == SKIN]) & (shells.layer != RELIEF))


def _edges(faces: np.ndarray, layer: np.ndarray) -> _Edges:
    low, high = (pick(faces, np.roll(faces, -1, 1)).ravel().astype(np.int64) for pick in (np.minimum, np.maximum))
    names, number, count = np.unique(low << 32 | high, return_inverse=True, return_counts=True)
    ends = np.stack([names >> 32, names & 0xFFFFFFFF], 1)
    order = np.argsort(number, kind="stable")
    last = np.cumsum(count) - 1
    sides = np.stack([order[last - count + 1], order[last]], 1)
    inner = count == 2
    kind = np.repeat(layer, 3)[sides]
    twin = sides[number].sum(1) - np.arange(len(number))
    return _Edges(
        ends, sides, inner, inner & (kind[:, 0] != kind[:, 1]), number.reshape(-1, 3), np.roll(faces, 1, 1).ravel(),
        np.where(inner[number], twin, -1),
    )  # fmt: skip


def _stencils(edges: _Edges, split: np.ndarray, count: int) -> sparse.csr_matrix:
    """[K, V] weights of the new vertices: in the middle of edges `split` [K], but for their neighbours' pull."""
    ends = edges.ends[split]
    around, weight = _butterfly(edges, split)
    curve = _beside(edges, ends, count)
    on_rim = edges.rim[split][:, None]
    along = np.concatenate([ends, curve, np.zeros_like(ends)], 1)  # as many columns; the last two weigh nothing
    weight = np.where(on_rim, TENSION * np.array([1, 1, -1, -1, 0, 0]) * (curve >= 0).all(1, keepdims=True), weight)
    around = np.where(on_rim, np.maximum(along, 0), around)
    columns = np.concatenate([ends, around], 1)
    values = np.concatenate([np.full(ends.shape, 0.5), weight], 1).astype(np.float32)
    rows = np.repeat(np.arange(len(split)), columns.shape[1])
    return sparse.csr_matrix((values.ravel(), (rows, columns.ravel())), (len(split), count))


def _butterfly(edges: _Edges, split: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices around edges `split` [K] and their weights, [K, 6]; all 0 beside a border."""
    sides = edges.sides[split]
    first = sides - sides % 3
    others = np.concatenate([first + (sides + k) % 3 for k in (1, 2)], 1)
    twins = edges.twin[others]
    around = np.concatenate([edges.across[sides], edges.across[np.maximum(twins, 0)]], 1)
    whole = (twins >= 0).all(1, keepdims=True)
    return around, TENSION * np.array([2, 2, -1, -1, -1, -1]) * whole


def _beside(edges: _Edges, ends: np.ndarray, count: int) -> np.ndarray:
    """[K, 2]: where the rim goes on beyond the ends [K, 2] of its edges, from a lip around the corner to the other; -1
    where it ends or forks."""
    rim = edges.ends[edges.rim]
    total, times = np.zeros(count, int), np.zeros(count, int)  # of the two neighbours along the rim
    for here, there in (rim.T, rim.T[::-1]):
        np.add.at(total, here, there)
        np.add.at(times, here, 1)
    return np.where(times[ends] == 2, total[ends] - ends[:, ::-1], -1)


def _split_faces(faces: np.ndarray, layer: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Triangles [F, 3] and their layers after the split, for the new vertices [F, 3] of their edges (-1: none)."""
    corners = np.concatenate([faces, new], 1)
    bits = (new >= 0) @ np.array([1, 2, 4])
    parts = [(corners[bits == b][:, part], layer[bits == b]) for b, split in PARTS.items() for part in split]
    return np.concatenate([p[0] for p in parts]).astype(faces.dtype), np.concatenate([p[1] for p in parts])


def _with(
    shells: Shells, ends: np.ndarray, between: sparse.csr_matrix, faces: np.ndarray, layer: np.ndarray
) -> Shells:
    """The shells with a vertex between each of the `ends` [K, 2]."""
    added = {
        name: np.concatenate([getattr(shells, name), getattr(shells, name)[ends].mean(1)]).astype(np.float32)
        for name in ("seen", "fill", "solid", "grain", "rim", "thickness", "normal")
    }
    added["normal"] /= np.maximum(np.linalg.norm(added["normal"], axis=1, keepdims=True), 1e-12)
    rest = np.concatenate([shells.rest, (between @ shells.rest).astype(np.float32)])
    return replace(shells, rest=rest, faces=faces, layer=layer, **added)
