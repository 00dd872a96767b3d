"""A field that ends at the portrait's edges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from elocute.generators.headfield import HeadField
from elocute.generators.trimmed import trimmed
from elocute.rendering.renderer import Renderer
from elocute.rendering.shells import RELIEF, Shells, project

SIZE = 256


def cut(shells: Shells, left: float, up: float) -> Shells:
    """The same head before a camera that shows less of it to the left and above."""
    return replace(shells, cx=shells.cx - left * shells.planes.shape[1], cy=shells.cy - up * shells.planes.shape[1])


@pytest.mark.parametrize(("left", "up"), [(0, 0.25), (0.3, 0)])
def test_the_heads_own_surface_is_whole_up_to_the_edge(stored: HeadField, left: float, up: float) -> None:
    whole = cut(stored.shells, left, up)
    own = whole.layer != RELIEF
    solid, seen = np.ones_like(whole.solid), np.zeros_like(whole.seen)
    whole = replace(whole, faces=whole.faces[own], layer=whole.layer[own], seen=seen, solid=solid)
    part = trimmed(whole)
    assert 0 < len(part.shells.faces) < len(whole.faces)
    alphas = [Renderer(s, SIZE).render(s.rest)[0][..., 3] for s in (whole, part.shells)]
    assert (alphas[0] > 0.99)[0].any() or (alphas[0] > 0.99)[:, 0].any(), "the edge cuts the head"
    off = np.abs(alphas[0] - alphas[1])
    assert (off[: SIZE * 3 // 4] > 0.1).mean() < 1e-4
    assert (off > 0.1).mean() < 3e-3  # a shoulder's outline is drawn by long triangles


def test_nothing_reaches_beyond_the_edge_and_what_is_inside_stays(stored: HeadField) -> None:
    whole = cut(stored.shells, 0, 0.25)
    part, size = trimmed(whole), whole.planes.shape[1]
    used = np.unique(part.shells.faces)
    uv = project(part.shells.rest[used], whole.focal, whole.cx, whole.cy)[:, :2]
    assert uv.min() > -0.1 and uv.max() < size + 0.1
    others = np.setdiff1d(np.arange(len(whole.rest)), part.out)
    np.testing.assert_array_equal(part.shells.rest[others], whole.rest[others])
    assert ((part.share >= 0) & (part.share <= 1)).all()


def test_what_moves_alike_stays_drawn_in_alike(stored: HeadField) -> None:
    part = trimmed(cut(stored.shells, 0.3, 0))
    shift = np.array([0.1, -0.2, 0.3], np.float32)
    np.testing.assert_allclose(part.moved(stored.shells.rest + shift), part.shells.rest + shift, atol=1e-6)
    assert part.moved(np.ones(len(stored.shells.rest), np.float32)).min() == 1
