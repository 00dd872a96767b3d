"""Canonical geometry: what the photo shows of a vertex, and what it looks like where it shows nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elocute.generators.appearance import PARTS
from elocute.generators.canonical import (
    ARCH,
    ARCH_ROWS,
    JAW_EDGE,
    LAYER_OF_PART,
    OVERHANG,
    TALLEST_ARCH,
    bare_skin,
    beyond_photo,
    completed_colour,
    continued_colour,
    diffuse,
    heights_above,
    look,
    overhang,
    part_members,
    rim_distance,
    sample,
    without_rim,
    without_strips,
)
from elocute.head.model import HeadModel, load_head_model

SIDE, LENS = 128, (600.0, 64.0, 64.0)


def test_any_number_of_points_is_sampled() -> None:
    image = np.random.default_rng(0).random((9, 9, 3)).astype(np.float32)
    uv = np.random.default_rng(1).random((70_001, 2)) * 9
    many = sample(image, uv)
    np.testing.assert_array_equal(many[[0, 32_000, 70_000]], sample(image, uv[[0, 32_000, 70_000]]))
    assert many.shape == (70_001, 3) and sample(image[..., 0], uv[:0]).shape == (0,)


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return load_head_model()


def globe(centre: tuple[float, float, float], radius: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A closed ball in camera space: points, outward normals, triangles counter-clockwise from outside."""
    rings = 24
    around = np.linspace(0, 2 * np.pi, 2 * rings, endpoint=False)
    lat, lon = np.meshgrid(np.linspace(0, np.pi, rings), around, indexing="ij")
    normal = np.stack([np.sin(lat) * np.cos(lon), -np.cos(lat), np.sin(lat) * np.sin(lon)], -1).reshape(-1, 3)
    index = np.arange(rings * 2 * rings).reshape(rings, -1)
    a, b = index[:-1], np.roll(index[:-1], -1, 1)
    c, d = index[1:], np.roll(index[1:], -1, 1)
    faces = np.concatenate([np.stack(f, -1).reshape(-1, 3) for f in ((a, c, b), (b, c, d))])
    points = (np.array(centre) + radius * normal).astype(np.float32)
    first = points[faces]
    across = np.cross(first[:, 1] - first[:, 0], first[:, 2] - first[:, 0])
    outward = (across * normal[faces].mean(1)).sum(1)
    faces[outward < 0] = faces[outward < 0][:, ::-1]
    return points, normal.astype(np.float32), faces


def test_every_part_of_the_head_has_a_layer(model: HeadModel) -> None:
    assert set(LAYER_OF_PART) == set(model.parts)


def test_the_near_side_is_seen_and_the_far_side_is_not() -> None:
    points, normals, faces = globe((0, 0, 1.0), 0.08)
    sight = look(points, normals, faces, np.zeros(len(points)), LENS, SIDE)
    assert (sight.shown[sight.facing > 0.15] == 1).all()
    assert (sight.shown[sight.facing < 0] == 0).all()
    np.testing.assert_allclose(sight.depth[SIDE // 2, SIDE // 2], 0.92, atol=2e-3)
    assert np.isinf(sight.depth[2, 2])


def test_what_stands_behind_something_is_not_seen() -> None:
    near, far = globe((0, 0, 0.8), 0.05), globe((0, 0, 1.2), 0.05)
    points, normals = np.concatenate([near[0], far[0]]), np.concatenate([near[1], far[1]])
    faces = np.concatenate([near[2], far[2] + len(near[0])])
    sight = look(points, normals, faces, np.zeros(len(points)), LENS, SIDE)
    assert sight.shown[len(near[0]) :].max() == 0
    assert sight.shown[: len(near[0])].sum() > 300


def test_a_margin_tells_what_a_larger_photo_would_show() -> None:
    """Two balls beyond the upper edge, one behind the other."""
    near, far = globe((0, -0.12, 0.8), 0.02), globe((0, -0.18, 1.2), 0.02)
    points, normals = np.concatenate([near[0], far[0]]), np.concatenate([near[1], far[1]])
    faces = np.concatenate([near[2], far[2] + len(near[0])])
    sight = look(points, normals, faces, np.zeros(len(points)), LENS, SIDE, 64)
    assert (beyond_photo(sight.uv, SIDE) > 0).all()
    assert sight.depth.shape == (SIDE + 128, SIDE + 128)
    assert np.isfinite(sight.depth[:64]).any() and np.isinf(sight.depth[64:]).all()
    assert sight.shown[len(near[0]) :].max() == 0
    assert (sight.shown[: len(near[0])][sight.facing[: len(near[0])] > 0.15] == 1).all()


def test_only_top_and_sides_count_as_beyond_the_photo() -> None:
    places = np.array([[5.0, 5], [-2, 5], [13, 5], [5, -4], [5, 14], [-1, -3]])
    np.testing.assert_allclose(beyond_photo(places, 10), [0, 0.2, 0.3, 0.4, 0, 0.3])


def test_a_neck_begins_below_the_jaw_in_front_of_it() -> None:
    chin, neck = globe((0, 0, 0.9), 0.05), globe((0, 0.06, 1.0), 0.08)
    points, normals = np.concatenate([chin[0], neck[0]]), np.concatenate([chin[1], neck[1]])
    faces = np.concatenate([chin[2], neck[2] + len(chin[0])])
    sight = look(points, normals, faces, (np.arange(len(points)) >= len(chin[0])).astype(float), LENS, SIDE)
    column = sight.below_jaw[:, SIDE // 2]
    rim = int(np.flatnonzero(np.isfinite(column) & (column >= 0))[0])
    assert rim == pytest.approx(SIDE / 2 + 0.05 / np.sqrt(0.9**2 - 0.05**2) * LENS[0], abs=1.5)  # the chin's tangent
    np.testing.assert_allclose(column[rim : rim + 20], np.arange(20) / SIDE, atol=0.6 / SIDE)
    assert (column[rim - 10 : rim] < 0).all() and np.isinf(column[0])


@pytest.mark.parametrize("side", [64, 128, 512])
def test_a_neck_alone_hangs_over_nothing(side: int) -> None:
    near, far = globe((0, 0.02, 0.9), 0.05), globe((0, 0.06, 1.0), 0.08)  # a neck, and shoulders behind it
    points, normals = np.concatenate([near[0], far[0]]), np.concatenate([near[1], far[1]])
    faces = np.concatenate([near[2], far[2] + len(near[0])])
    lens = tuple(value * side / SIDE for value in LENS)
    sight = look(points, normals, faces, np.ones(len(points)), lens, side)  # type: ignore[arg-type]
    assert np.isinf(sight.below_jaw).all()


def test_a_beard_hangs_over_a_bare_neck_but_a_collar_is_no_beard() -> None:
    side = 200
    rows, columns = np.indices((side, side))
    below_jaw = ((rows - 120) / side).astype(np.float32)
    bare = np.where(columns < side // 2, 1.0, 0.0).astype(np.float32)  # the right half of the neck is a scarf
    over = overhang(below_jaw, bare)
    assert over[120 : 120 + int(OVERHANG[0] * side), : side // 4].min() > 0.99
    assert over[120 + int(OVERHANG[1] * side) + 1 :].max() == 0
    assert over[: 120 - int(JAW_EDGE * side) - 1].max() == 0
    assert over[:, 3 * side // 4 :].max() == 0


@pytest.mark.parametrize("cut", [5, 20, 40])
def test_a_cut_crown_goes_on_as_the_circle_that_it_is(cut: int) -> None:
    side, radius = 256, 60
    rows, columns = np.indices((side, side)) + 0.5
    ball = (rows + cut - radius) ** 2 + (columns - 120) ** 2 < radius**2
    corner = (rows < 9) & (columns > 230)  # something else that reaches the corner: no telling how it goes on
    height = heights_above((ball | corner).astype(np.float32))
    assert height[120] == pytest.approx(min(cut, TALLEST_ARCH * side), abs=2)
    np.testing.assert_allclose(height[100:140], height[100:140][::-1], atol=1)
    assert (height[:50] == -np.inf).all() and (height[235:] == np.inf).all()


@pytest.mark.parametrize("lower", [30, 60, 90])
def test_what_is_cut_becomes_no_tower(lower: int) -> None:
    """A stretch of 60 pixels at the top, narrower, as wide or wider below."""
    rows, columns = np.indices((256, 256))
    half = 30 + (lower - 60) / 2 * rows / (256 * ARCH_ROWS)
    height = heights_above((np.abs(columns + 0.5 - 128) < np.maximum(half, 5)).astype(np.float32))
    assert 5 < height[128] <= min(ARCH * 60, TALLEST_ARCH * 256) + 1e-3
    assert height[98] < 0.35 * height[128]


def test_sampling_gives_pixels_at_pixel_centres() -> None:
    image = np.random.default_rng(0).random((9, 9, 3)).astype(np.float32)
    y, x = np.mgrid[:9, :9]
    uv = np.stack([x.ravel() + 0.5, y.ravel() + 0.5], 1)
    np.testing.assert_allclose(sample(image, uv), image.reshape(-1, 3), atol=1e-6)
    np.testing.assert_allclose(sample(image[..., 0], uv), image[..., 0].ravel(), atol=1e-6)
    outside = np.array([[-50.0, -50.0], [99.0, 99.0]])
    np.testing.assert_allclose(sample(image, outside), image[[0, 8], [0, 8]], atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.floats(1, 30), st.floats(1, 30))
def test_sampling_a_slope_is_exact(x: float, y: float) -> None:
    slope = np.mgrid[:32, :32].sum(0).astype(np.float32)
    assert sample(slope, np.array([[x, y]]))[0] == pytest.approx(x + y - 1, abs=0.05)  # OpenCV's 1/32-pixel weights


def strip(count: int) -> np.ndarray:
    """Triangles of a ribbon of `count` pairs of vertices."""
    k = 2 * np.arange(count - 1)
    return np.concatenate([np.stack([k, k + 1, k + 2], 1), np.stack([k + 1, k + 3, k + 2], 1)])


def test_seen_values_stay_and_far_ones_are_forgotten() -> None:
    count = 400
    values, weight = np.zeros((2 * count, 1)), np.zeros(2 * count)
    values[:20], weight[:20] = 1.0, 1.0
    out = diffuse(values, weight, strip(count))[:, 0]
    assert out[:10].min() > 0.95
    pairs = out.reshape(-1, 2).mean(1)
    assert (np.diff(pairs[10:]) <= 1e-9).all() and pairs[-1] < 1e-3
    assert 0.1 < pairs[10 + 30] < 0.6  # about 1/e after thirty edges, as DIFFUSION and FORGETTING say


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_diffusion_never_leaves_the_range_of_what_is_known(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, weight = rng.uniform(-1, 1, (120, 3)), rng.random(120) * (rng.random(120) < 0.3)
    out = diffuse(values, weight, strip(60))
    assert out.min() >= min(values.min(), 0) - 1e-9 and out.max() <= max(values.max(), 0) + 1e-9


def test_completion_keeps_what_is_trusted(model: HeadModel) -> None:
    rng = np.random.default_rng(1)
    count = len(model.base)
    pivot = np.full((count, 3), 0.5)
    photo = rng.uniform(0.45, 0.55, (count, 3))
    trusted = completed_colour(photo, np.ones(count), pivot, model.mirror, model.faces)
    untrusted = completed_colour(photo, np.zeros(count), pivot, model.mirror, model.faces)
    assert np.corrcoef(trusted.ravel(), photo.ravel())[0, 1] > 0.6
    np.testing.assert_allclose(untrusted, pivot, atol=1e-6)
    np.testing.assert_allclose(
        completed_colour(np.full((count, 3), 0.7), np.ones(count), pivot, model.mirror, model.faces), 0.7, atol=1e-3
    )


def test_fill_begins_in_the_photos_colour_and_ends_in_its_own() -> None:
    faces = np.array([[k, k + 1, k + 2] for k in range(158)])
    shown = (np.arange(160) < 20).astype(float)
    photo, fill = np.full((160, 3), 0.8), np.full((160, 3), 0.2)
    got = continued_colour(photo, shown, fill, faces)[:, 0]
    assert np.abs(got[:15] - 0.8).max() < 0.02 and np.abs(got[-10:] - 0.2).max() < 0.05
    assert got[20] > 0.6 and np.diff(got).max() < 1e-6 and -np.diff(got).min() < 0.1


def test_the_hidden_half_is_the_seen_half_mirrored(model: HeadModel) -> None:
    """A reddened left cheek says that the right one is red too, on top of that side's own light."""
    pivot = np.where(model.base[:, :1] > 0, 0.6, 0.4) * np.ones(3)
    left = model.base[:, 0] > 0.005
    skin = model.vertex_part == model.parts.index("skin")
    out = completed_colour(pivot + [0.1, 0, 0], left.astype(float), pivot, model.mirror, model.faces)
    right = skin & (model.base[:, 0] < -0.02)
    gained = (out - pivot)[right]
    assert np.median(gained[:, 0]) == pytest.approx(0.1, abs=0.02)
    assert np.abs(gained[:, 1:]).max() < 0.02


def test_members_are_shares(example: Any) -> None:
    scene = example.scene
    y, x = np.mgrid[0 : scene.side : 4, 0 : scene.side : 4] + 0.5
    bare = bare_skin(scene.photo, scene.regions["skin"])
    members = part_members(scene.regions, bare, np.stack([x.ravel(), y.ravel()], 1))
    np.testing.assert_allclose(members.sum(1), 1, atol=1e-5)
    assert members.min() >= 0
    lips = sample(scene.regions["lips"], np.stack([x.ravel(), y.ravel()], 1)) > 0.95
    assert lips.any() and members[lips, PARTS.index("lips")].min() > 0.9
    forehead = scene.landmarks[151:152, :2]
    assert part_members(scene.regions, bare, forehead)[0, PARTS.index("skin")] > 0.5


def test_a_neck_is_skin_and_a_collar_is_not() -> None:
    photo = np.full((40, 40, 3), [0.8, 0.6, 0.5], np.float32)
    skin = np.zeros((40, 40), np.float32)
    skin[:10] = 1
    photo[20:30] *= 0.7  # the neck, in the chin's shade
    photo[30:] = [0.2, 0.3, 0.6]
    bare = bare_skin(photo, skin)
    assert bare[:30].min() > 0.95 and bare[30:].max() == 0
    photo[20:30] = [0.37, 0.23, 0.16]  # in a deep shade skin is more vivid
    assert bare_skin(photo, skin)[:30].min() > 0.7
    photo[20:30] = [0.92, 0.57, 0.39]  # as light as the face it is leather
    assert bare_skin(photo, skin)[20:30].max() < 0.2
    white = np.full_like(photo, 0.95)
    white[:10] = photo[:10]
    assert bare_skin(white, skin)[20:].max() < 0.05


def test_a_face_lit_from_the_side_is_bare_all_over_and_a_white_collar_is_not() -> None:
    skin = np.zeros((100, 100), np.float32)
    skin[:80] = 1
    light = np.interp(np.arange(100), [0, 50, 99], [0.45, 0.5, 0.95])[None, :, None]
    photo = (np.array([1.0, 0.75, 0.6]) * light * np.ones((100, 1, 1))).astype(np.float32)
    photo[80:] = 0.97
    bare = bare_skin(photo, skin)
    assert bare[:80].min() > 0.2 and bare[80:].max() == 0


def test_a_line_along_the_outline_is_taken_from_a_mask_and_a_strand_inside_is_not() -> None:
    matte, mask = np.zeros((500, 500), np.float32), np.zeros((500, 500), np.float32)
    matte[50:450, 50:450] = 1
    mask[50:450, 50:55] = mask[50:120, 50:450] = mask[200:400, 250:253] = 1
    out = without_rim(mask, matte)
    assert out[140:450, 50:55].max() == 0
    assert out[60:115, 60:440].min() == 1 and out[210:390, 250:253].min() == 1


def test_a_strip_of_light_beside_a_neck_is_no_collar_and_a_collar_is_one() -> None:
    matte, bare = np.zeros((500, 500), np.float32), np.zeros((500, 500), np.float32)
    matte[:, 100:400] = bare[:400, 110:400] = 1  # light on the left, cloth below
    bare[:, 360:] = 0  # and on the right
    bare[200:212, 140:330] = bare[50:350, 250:260] = 0  # a choker and a strap
    out = without_strips(bare, matte)
    assert out[:380, 100:130].min() == 1 and out[410:, 110:390].max() == 0 and out[:, 365:395].max() == 0
    np.testing.assert_array_equal(out[:380, 130:340], bare[:380, 130:340])


def test_rim_distance_grows_inwards() -> None:
    y, x = np.mgrid[:200, :200]
    rim = rim_distance((np.hypot(x - 100, y - 100) < 80).astype(np.float32))
    assert rim[100, 100] == 1 and rim[5, 5] == 0 and rim[100, 21] < 0.2
    assert (np.diff(rim[100, 20:101]) >= 0).all()
