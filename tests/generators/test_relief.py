"""The relief of hair and shoulders: whole, to the camera, joined to the head, out of the face, beyond the border."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from elocute.generators.relief import BEHIND, CELLS, DIP, NEIGHBOURS, OVERLAP, ROUNDING, UNDER, Relief, build_relief
from elocute.ramps import ramp
from elocute.rendering.raster import rasterise
from elocute.rendering.shells import project

SIDE, DISTANCE, RADIUS = 256, 2.0, 0.09
LENS = (1000.0, SIDE / 2, SIDE / 2)
CLOSED = np.zeros((SIDE, SIDE), np.uint8)  # neither eyes nor a mouth
PLANE = np.array([0, 0, DISTANCE]), np.array([0, 0, 1.0])


def ball() -> tuple[np.ndarray, np.ndarray]:
    """The depth [R, R] of a ball seen by the camera, and its visible points."""
    x, y = np.meshgrid(np.arange(SIDE) + 0.5, np.arange(SIDE) + 0.5)
    ray = np.stack([(x - LENS[1]) / LENS[0], (y - LENS[2]) / LENS[0], np.ones_like(x)], -1)
    along, length = ray[..., 2] * DISTANCE, (ray**2).sum(-1)
    root = along**2 - length * (DISTANCE**2 - RADIUS**2)
    depth = np.where(root > 0, (along - np.sqrt(np.maximum(root, 0))) / length, np.inf).astype(np.float32)
    seen = np.isfinite(depth)
    return depth, (ray * np.where(seen, depth, 0)[..., None])[seen][::7]


def person(right: bool = False) -> np.ndarray:
    """A matte: hair wider than the ball, shoulders down to the lower edge, to the right edge if wanted."""
    x, y = np.meshgrid(np.arange(SIDE) + 0.5, np.arange(SIDE) + 0.5)
    matte = np.hypot(x - SIDE / 2, y - SIDE / 2) < 70
    matte |= (y > 170) & (np.abs(x - SIDE / 2) < 90)
    if right:
        matte |= (y > 200) & (x > SIDE / 2)
    return matte.astype(np.float32)


@pytest.fixture(scope="module")
def synthetic() -> Relief:
    depth, points = ball()
    return build_relief(person(), depth, LENS, PLANE, points, CLOSED)


def check_relief(relief: Relief, depth: np.ndarray, lens: tuple[float, float, float], side: int) -> None:
    assert np.isfinite(relief.points).all() and np.isfinite(relief.weights).all()
    assert relief.points[:, 2].min() > 0.2
    assert relief.faces.min() >= 0 and relief.faces.max() < len(relief.points)
    uv = project(relief.points, *lens)
    a, b, c = (uv[relief.faces[:, k], :2] for k in range(3))
    area = (b - a)[:, 0] * (c - a)[:, 1] - (c - a)[:, 0] * (b - a)[:, 1]
    assert (area < 0).all(), "a triangle shows its back to the camera"
    step = side / CELLS
    from scipy import ndimage

    inside = ndimage.distance_transform_edt(ndimage.binary_fill_holes(np.isfinite(depth)))
    at = np.clip(np.round(uv[:, :2]).astype(int), 0, side - 1)
    within = ((uv[:, :2] >= 0) & (uv[:, :2] < side - 0.5)).all(1)
    assert (inside[at[:, 1], at[:, 0]][within] < (UNDER[1] + 0.1) * step).all(), "relief stands in the face"
    over = within & np.isfinite(depth[at[:, 1], at[:, 0]])
    gap = (relief.points[:, 2] - depth[at[:, 1], at[:, 0]])[over]
    cells = inside[at[:, 1], at[:, 0]][over] / step
    deep = cells > OVERLAP + 0.5
    assert deep.sum() > 50
    np.testing.assert_allclose(gap[deep], BEHIND * ramp(cells[deep], *DIP), atol=1e-3)  # a pixel's rounding
    assert np.median(np.abs(gap)) < 0.01, "a seam opens between head and hair"


def test_a_ball_with_hair(synthetic: Relief) -> None:
    check_relief(synthetic, ball()[0], LENS, SIDE)


def test_the_example(example: Any, example_geometry: Any) -> None:
    relief, scene = example_geometry.motion.relief, example.scene
    skin = example_geometry.faces[example_geometry.layer == 1]
    _, depth = rasterise(project(example_geometry.motion.rest, *scene.lens), skin, scene.side, scene.side)
    check_relief(relief, depth, scene.lens, scene.side)


def test_the_example_covers_the_person(example: Any) -> None:
    """Hair and shoulders of the matte have something that carries them."""
    shells, scene = example.field.shells, example.scene
    ids, _ = rasterise(project(shells.rest, *scene.lens), shells.faces, scene.side, scene.side)
    assert (ids[scene.matte > 0.1] >= 0).mean() > 0.999


def test_it_continues_where_the_border_cuts_the_person_and_only_there() -> None:
    depth, points = ball()
    for right in (False, True):
        uv = project(build_relief(person(right), depth, LENS, PLANE, points, CLOSED).points, *LENS)
        assert uv[:, 1].max() > SIDE + 20  # shoulders go on below
        assert uv[:, 1].min() > 0
        assert (uv[:, 0].max() > SIDE + 20) == right


def test_the_rim_bends_back_and_the_middle_does_not(synthetic: Relief) -> None:
    uv = project(synthetic.points, *LENS)
    hair = uv[:, 1] < SIDE / 2
    out = np.hypot(uv[:, 0] - SIDE / 2, uv[:, 1] - SIDE / 2)
    rim, inner = synthetic.points[hair & (out > 70), 2], synthetic.points[hair & (out < 62) & (out > 46), 2]
    assert rim.mean() - inner.mean() > 0.3 * ROUNDING
    assert synthetic.points[:, 2].max() < DISTANCE + ROUNDING + 0.02


def test_weights_fall_off_from_the_face(synthetic: Relief) -> None:
    total = synthetic.weights.sum(1)
    assert synthetic.weights.shape == synthetic.bound.shape == (len(synthetic.points), NEIGHBOURS)
    assert synthetic.weights.min() >= 0 and total.max() <= 1 + 1e-6
    nearest = np.linalg.norm(ball()[1][synthetic.bound[:, 0]] - synthetic.points, axis=1)
    order = np.argsort(nearest)
    assert (np.diff(total[order]) <= 1e-6).all()
    assert total[nearest > 0.1].max(initial=0) < 1e-6


def test_a_person_without_hair_or_border_has_a_thin_rim_only() -> None:
    depth, points = ball()
    relief = build_relief(np.isfinite(depth).astype(np.float32), depth, LENS, PLANE, points, CLOSED)
    check_relief(relief, depth, LENS, SIDE)
    uv = project(relief.points, *LENS)
    assert (np.hypot(uv[:, 0] - SIDE / 2, uv[:, 1] - SIDE / 2) < 45 + 4 * SIDE / CELLS).all()


def test_a_person_who_fills_the_picture_bends_back_nowhere() -> None:
    """There is no outline in the picture: its left edge is no nearer to one than its right edge."""
    depth, points = ball()
    relief = build_relief(np.ones((SIDE, SIDE), np.float32), depth, LENS, PLANE, points, CLOSED)
    x, z = relief.points[:, 0] / relief.points[:, 2], relief.points[:, 2]
    left, right = (z[x < x.min() + 1e-3], z[x > x.max() - 1e-3])
    assert abs(left.mean() - right.mean()) < ROUNDING / 100
    assert z.max() < DISTANCE + ROUNDING / 10


def test_it_stays_out_of_the_head_beyond_the_upper_edge_too() -> None:
    """The same ball in a photo whose upper edge cuts it: the head's own surface goes on there, not the relief."""
    depth, points = ball()
    cut, margin = SIDE // 2 - 20, 40  # the picture is what lies below and right of this, a square
    side = SIDE - 2 * margin - 30
    lens = (LENS[0], SIDE / 2 - margin, SIDE / 2 - cut)
    wide = depth[cut - margin : cut + side + margin, : side + 2 * margin]
    wide = np.pad(wide, ((0, side + 2 * margin - len(wide)), (0, 0)), constant_values=np.inf)
    relief = build_relief(np.ones((side, side), np.float32), np.ascontiguousarray(wide), lens, PLANE, points, CLOSED)
    at = project(relief.points, *LENS)[:, :2]
    above = (project(relief.points, *lens)[:, 1] < 0) & (relief.points[:, 2] > 0)
    radius = LENS[0] * RADIUS / DISTANCE
    assert above.any()
    assert np.hypot(*(at[above] - SIDE / 2).T).min() > radius - (UNDER[1] + 1.5) * side / CELLS
