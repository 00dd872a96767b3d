"""The compiled renderer against the tensor one, and what a volume renderer must do whatever it shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from elocute.rendering import gradients
from elocute.rendering.finer import finer
from elocute.rendering.march import ShellTensors, lookup, pullback, render_tensors, stretch
from elocute.rendering.raster import rasterise, rasterise_tensors
from elocute.rendering.renderer import Renderer
from elocute.rendering.shells import CAVITY, EYES, PLANES, RELIEF, SKIN, TEETH, Shells, project

SIDE = 96
FOCAL = 200.0


def sheet(cells: int, half: float, depth, layer: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    line = np.linspace(-half, half, cells)
    x, y = (a.ravel() for a in np.meshgrid(line, line))
    index = np.arange(cells * cells).reshape(cells, cells)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[:-1, 1:], index[1:, 1:]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)])
    return np.stack([x, y, depth(x, y)], 1), faces, np.full(len(faces), layer)


@pytest.fixture(scope="module")
def shells() -> Shells:
    """A curved soft sheet in front of which a smaller, hard, bulging one stands."""
    rng = np.random.default_rng(0)
    back = sheet(24, 0.30, lambda x, y: 1.10 + 0.5 * (x * x + y * y), RELIEF)
    front = sheet(16, 0.12, lambda x, y: 1.04 + 1.5 * (x * x + y * y), SKIN)
    rest = np.concatenate([back[0], front[0]]).astype(np.float32)
    faces = np.concatenate([back[1], front[1] + len(back[0])]).astype(np.int32)
    layer = np.concatenate([back[2], front[2]]).astype(np.uint8)
    count = len(rest)
    coarse = torch.tensor(rng.random((PLANES, 4, 12, 12)), dtype=torch.float32)
    smooth = torch.nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bicubic")
    planes = smooth.permute(0, 2, 3, 1).numpy().clip(0, 1)
    planes[SKIN, ..., 3] = 1
    thickness = np.where(np.arange(count) < len(back[0]), 0.006, 0.001).astype(np.float32)
    normal = np.tile(np.array([0, 0, -1], np.float32), (count, 1))
    full = np.ones(count, np.float32)
    grain = np.concatenate([rng.random((count, 2)), full[:, None]], 1).astype(np.float32)
    rim = rng.random(count).astype(np.float32)
    return Shells(
        rest, faces, layer, full, np.full((count, 3), 0.5, np.float32), full, grain, rim, thickness,
        normal, np.ascontiguousarray(planes), np.full((SIDE, SIDE), np.inf, np.float32),
        np.zeros((SIDE, SIDE), np.float32), FOCAL, SIDE / 2, SIDE / 2,
    )  # fmt: skip


def turned(points: np.ndarray, angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    centre = np.array([0, 0, 1.1])
    return ((points - centre) @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T + centre).astype(np.float32)


def render_by_tensors(
    shells: Shells, moved: np.ndarray, dtype: torch.dtype = torch.float32, turned: float = 0, presence: float = 1
) -> np.ndarray:
    groups, fine = Renderer(shells, SIDE).groups, finer(shells, 1.0)
    tensors = ShellTensors.of(fine.shells, dtype=dtype)
    points = torch.as_tensor(fine.points(moved), dtype=dtype)
    cam = (FOCAL, SIDE / 2, SIDE / 2)
    group_tensors = tuple(torch.as_tensor(g).long() for g in groups)
    rgba, _ = render_tensors(tensors, points, group_tensors, cam, SIDE, SIDE, presence=presence, turned=turned)
    return rgba.numpy()


@pytest.mark.parametrize("angle", [0.0, 0.3, -0.5])
def test_compiled_and_tensor_visibility_agree(shells: Shells, angle: float) -> None:
    points = project(turned(shells.rest, angle), FOCAL, SIDE / 2, SIDE / 2)
    ids, depth = rasterise(points, shells.faces, SIDE, SIDE)
    ids_t, depth_t = rasterise_tensors(torch.tensor(points), torch.tensor(shells.faces), SIDE, SIDE, chunk=5000)
    covered = ids >= 0
    assert (covered == (ids_t.numpy() >= 0)).mean() > 0.9995  # a centre exactly on an outline may round either way
    both = covered & (ids_t.numpy() >= 0)
    assert np.abs(depth - depth_t.numpy())[both].max() < 1e-5
    assert (ids == ids_t.numpy())[both].mean() > 0.99


@pytest.mark.parametrize("angle", [0.0, 0.3])
def test_compiled_and_tensor_pictures_agree(shells: Shells, angle: float) -> None:
    moved = turned(shells.rest, angle)
    difference = np.abs(Renderer(shells, SIDE).render(moved)[0] - render_by_tensors(shells, moved))
    # the compiled one spends one ray on a pixel without an edge, the other always four
    assert difference.mean() < 2e-3
    assert np.quantile(difference, 0.99) < 0.02


def test_tensor_picture_is_stable_in_float32(shells: Shells) -> None:
    moved = turned(shells.rest, 0.2)
    exact = render_by_tensors(shells, moved.astype(np.float64), torch.float64)
    assert np.quantile(np.abs(render_by_tensors(shells, moved) - exact), 0.999) < 1e-3


def test_own_view_gives_the_planes_back(shells: Shells) -> None:
    """At the portrait's own view a hard layer's pixel is its plane's texel."""
    rgba, _ = Renderer(shells, SIDE).render(shells.rest)
    inner = slice(SIDE // 2 - 15, SIDE // 2 + 15)
    assert np.abs(rgba[inner, inner, :3] - shells.planes[SKIN, inner, inner, :3]).max() < 2e-3
    assert rgba[inner, inner, 3].min() > 0.999


def test_soft_layer_keeps_its_opacity(shells: Shells) -> None:
    rgba, _ = Renderer(shells, SIDE).render(shells.rest)
    ring = np.s_[8:16, 8:-8]
    assert np.abs(rgba[..., 3][ring] - np.minimum(shells.planes[RELIEF, ..., 3], 1)[ring]).max() < 0.02


def test_what_is_not_skin_is_lost_as_the_head_turns(shells: Shells) -> None:
    over = np.zeros((SIDE, SIDE), np.float32)
    over[:, SIDE // 2 :] = 1
    shells = replace(shells, foreign=over, rim=0 * shells.rim)
    whole, half, none = (Renderer(shells, SIDE).render(shells.rest, turned=t)[0] for t in (0, 0.5, 1))
    inner, left = np.s_[SIDE // 2 - 12 : SIDE // 2 + 12, SIDE // 2 + 2 : SIDE // 2 + 12], np.s_[:, : SIDE // 2 - 2]
    np.testing.assert_array_equal(whole[left], none[left])
    assert np.abs(none[inner][..., :3] - 0.5).mean() < 0.5 * np.abs(whole[inner][..., :3] - 0.5).mean()  # fill, grain
    assert np.abs(half[inner] - (whole[inner] + none[inner]) / 2).max() < 0.02
    for t, picture in ((0.5, half), (1, none)):
        assert np.abs(picture - render_by_tensors(shells, shells.rest, turned=t)).mean() < 2e-3


def test_the_outlines_rim_goes_as_the_head_turns(shells: Shells) -> None:
    """Right of the middle the soft sheet is nothing but rim."""
    shells = replace(shells, rim=(shells.rest[:, 0] > 0.02).astype(np.float32) * (shells.rest[:, 2] > 1.06))
    whole, half, none = (Renderer(shells, SIDE).render(shells.rest, turned=t)[0] for t in (0, 0.5, 1))
    right, left = np.s_[8:16, SIDE // 2 + 16 : -8], np.s_[:, : SIDE // 2 - 2]
    np.testing.assert_array_equal(whole[left], none[left])
    assert none[right].max() < 1e-6 and whole[right][..., 3].mean() > 0.2
    assert np.abs(half[right] - whole[right] / 2).max() < 0.05
    for t, picture in ((0.5, half), (1, none)):
        assert np.abs(picture - render_by_tensors(shells, shells.rest, turned=t)).mean() < 2e-3


@pytest.mark.parametrize("rim", [0, 1])
def test_a_turn_counts_more_against_the_photo_at_the_sides(shells: Shells, rim: float) -> None:
    """A wall that the photo shows at a cosine of 0.3, turned by 40 degrees: its pixels get twice and a half as wide,
    which is where the photo's say begins to end, and more than that at the sides."""
    slope = np.sqrt(1 / 0.3**2 - 1)
    rest, faces, layer = sheet(16, 0.05, lambda x, y: 1.1 + slope * x, SKIN)
    count = len(rest)
    across = np.array([slope, 0, -1]) / np.hypot(slope, 1)
    wall = replace(
        shells, rest=rest.astype(np.float32), faces=faces.astype(np.int32), layer=layer.astype(np.uint8),
        seen=np.ones(count, np.float32), fill=np.zeros((count, 3), np.float32), solid=np.ones(count, np.float32),
        grain=np.zeros((count, 3), np.float32), rim=np.full(count, rim, np.float32),
        thickness=np.full(count, 1e-3, np.float32), normal=np.tile(across, (count, 1)).astype(np.float32),
        planes=np.ones_like(shells.planes),
    )  # fmt: skip
    moved = max((turned(wall.rest, a) for a in (0.7, -0.7)), key=lambda p: np.ptp(p[:, 0]))
    picture = Renderer(wall, SIDE).render(moved)[0]
    share = picture[..., 0].sum() / picture[..., 3].sum()
    assert share == pytest.approx(0.7 if rim else 1, abs=0.15)
    assert np.abs(picture - render_by_tensors(wall, moved)).mean() < 2e-3


@pytest.mark.parametrize("layer", [EYES, TEETH, CAVITY])
def test_the_photos_mouth_goes_and_its_teeth_stay(shells: Shells, layer: int) -> None:
    """Left of the middle the plane shows a tooth, right of it something of the mouth, at the lower edge neither; the
    surface looks away from the camera, which counts against the photo for skin alone."""
    planes = np.ones_like(shells.planes)
    planes[layer, :, SIDE // 2 :, 3] = 0.5
    planes[layer, SIDE // 2 + 10 :, :, 3] = 0
    inner = replace(
        shells, layer=np.where(shells.layer == SKIN, layer, shells.layer).astype(np.uint8), planes=planes,
        fill=np.zeros_like(shells.fill), grain=np.zeros_like(shells.grain), normal=-shells.normal,
    )  # fmt: skip
    middle = SIDE // 2
    for presence in (1.0, 0.4, 0.0):
        rgba = Renderer(inner, SIDE).render(inner.rest, presence=presence)[0]
        assert np.abs(rgba[middle, middle - 10 : middle - 4, :3] - 1).max() < 1e-3
        assert np.abs(rgba[middle, middle + 4 : middle + 10, :3] - presence).max() < 1e-3
        assert rgba[middle + 13, middle - 4 : middle + 4, :3].max() < 1e-3
        assert rgba[middle + 13, middle, 3] > 0.999, "opaque all the same"
        assert np.abs(rgba - render_by_tensors(inner, inner.rest, presence=presence)).mean() < 2e-3


def test_a_coarse_bowl_is_rendered_round(shells: Shells) -> None:
    """Its corners are 40 pixels apart: by far more than a new vertex costs."""
    rest, faces, layer = sheet(5, 0.30, lambda x, y: 1.10 - 1.5 * (x * x + y * y), SKIN)
    count, one = len(rest), np.ones(len(rest), np.float32)
    bowl = replace(
        shells, rest=rest.astype(np.float32), faces=faces.astype(np.int32), layer=layer.astype(np.uint8), seen=one,
        fill=np.zeros((count, 3), np.float32), solid=one, grain=np.zeros((count, 3), np.float32), rim=0 * one,
        thickness=1e-3 * one, normal=np.tile(np.array([0, 0, -1], np.float32), (count, 1)),
    )  # fmt: skip
    renderer = Renderer(bowl, SIDE)
    rgba, depth = renderer.render(bowl.rest)
    assert np.abs(rgba - render_by_tensors(bowl, bowl.rest)).mean() < 2e-3
    y, x = (np.mgrid[:SIDE, :SIDE] + 0.5 - SIDE / 2) / FOCAL
    middle = np.hypot(x, y) < 0.04
    assert finer(bowl, 1.0).between.shape[0] > 20
    off = np.abs(depth - (1.10 - 1.5 * 1.1**2 * (x * x + y * y)))[middle].max()
    assert off < 0.006, "chords would be 8 mm off"


def test_no_rim_lets_more_through_than_there_is(shells: Shells) -> None:
    """A ray through a pixel's middle may leave its triangle by a little."""
    for angle in (0.8, 1.1):
        picture = Renderer(shells, SIDE).render(turned(shells.rest, angle), turned=1.0)[0]
        assert picture[..., 3].min() >= 0 and picture[..., 3].max() <= 1


def test_turning_there_and_back_is_the_same_picture(shells: Shells) -> None:
    back = turned(turned(shells.rest, 0.4), -0.4)
    renderer = Renderer(shells, SIDE)
    assert np.abs(renderer.render(back)[0] - renderer.render(shells.rest)[0]).mean() < 1e-4


def test_depth_is_where_the_surface_is(shells: Shells) -> None:
    _, depth = Renderer(shells, SIDE).render(shells.rest)
    assert abs(depth[SIDE // 2, SIDE // 2] - 1.04) < 0.002


def test_a_box_is_a_cut_of_the_whole(shells: Shells) -> None:
    moved = turned(shells.rest, 0.25)
    whole, _ = Renderer(shells, SIDE).render(moved)
    part, _ = Renderer(shells, SIDE).render(moved, (20, 30, 70, 80))
    assert np.array_equal(whole[30:80, 20:70], part[30:80, 20:70])
    assert not part[:30].any() and not part[:, :20].any()


def test_small_ray_chunks_change_nothing(shells: Shells) -> None:
    groups = tuple(torch.as_tensor(g).long() for g in Renderer(shells, SIDE).groups)
    tensors, points, cam = ShellTensors.of(shells), torch.tensor(shells.rest), (FOCAL, SIDE / 2, SIDE / 2)
    large, _ = render_tensors(tensors, points, groups, cam, SIDE, SIDE)
    small, _ = render_tensors(tensors, points, groups, cam, SIDE, SIDE, rays_at_once=4096)
    assert torch.allclose(large, small, atol=1e-6)


def test_a_field_without_hair_renders(shells: Shells) -> None:
    bald = replace(shells, faces=shells.faces[shells.layer != RELIEF], layer=shells.layer[shells.layer != RELIEF])
    assert np.abs(Renderer(bald, SIDE).render(bald.rest)[0] - render_by_tensors(bald, bald.rest)).mean() < 2e-3


def test_pullback_inverts_the_deformation(shells: Shells) -> None:
    moved = turned(shells.rest, 0.35).astype(np.float32)
    moved[:, 1] *= 1.2
    there = pullback(torch.tensor(shells.rest), torch.tensor(moved), torch.tensor(shells.faces).long())
    back = pullback(torch.tensor(moved), torch.tensor(shells.rest), torch.tensor(shells.faces).long())
    eye = torch.eye(3).expand(len(there), 3, 3)
    assert torch.allclose(there @ back, eye, atol=1e-3)
    compiled = np.empty((len(shells.faces), 3, 3), np.float32)
    gradients.pullback(shells.rest, moved, shells.faces, compiled)
    assert np.abs(compiled - there.numpy()).max() < 1e-4


def test_a_collapsed_triangle_bends_nothing(shells: Shells) -> None:
    moved = shells.rest.copy()
    a, b, c = shells.faces[0]
    moved[b] = moved[c] = moved[a]
    compiled = np.empty((len(shells.faces), 3, 3), np.float32)
    gradients.pullback(shells.rest, moved, shells.faces, compiled)
    assert np.array_equal(compiled[0], np.eye(3)) and np.isfinite(compiled).all()
    there = pullback(torch.tensor(shells.rest), torch.tensor(moved), torch.tensor(shells.faces).long())
    assert torch.equal(there[0], torch.eye(3))


def test_growth_is_of_area(shells: Shells) -> None:
    moved = shells.rest * np.array([2, 1.5, 1], np.float32)
    moved[:, 2] = shells.rest[:, 2]
    moved[: len(moved) // 2] = shells.rest[: len(moved) // 2]
    grown = np.empty((2, len(moved)), np.float32)
    gradients.stretch(shells.rest, moved, shells.faces, *grown)
    wanted = stretch(torch.tensor(shells.rest), torch.tensor(moved), torch.tensor(shells.faces).long())
    assert np.abs(grown[0] - wanted.numpy()).max() < 1e-4 and grown[0].min() == 1 and grown[0].max() > 2


def test_nothing_shines_through_what_is_opaque(shells: Shells) -> None:
    planes = shells.planes.copy()
    planes[..., 3] = 1
    opaque = replace(shells, planes=planes)
    middle = slice(SIDE // 3, 2 * SIDE // 3)
    for rgba in (Renderer(opaque, SIDE).render(turned(shells.rest, 0.3))[0], render_by_tensors(opaque, shells.rest)):
        assert np.all(rgba[middle, middle, 3] == 1)


def test_lookup_returns_texels_at_texel_centres() -> None:
    planes = torch.rand(2, 9, 9, 4, generator=torch.Generator().manual_seed(1))
    y, x = torch.meshgrid(torch.arange(9.0), torch.arange(9.0), indexing="ij")
    layer = torch.ones(81, dtype=torch.long)
    assert torch.allclose(lookup(planes, layer, x.ravel() + 0.5, y.ravel() + 0.5), planes[1].reshape(-1, 4), atol=1e-6)


def test_colour_has_a_gradient_in_the_planes(shells: Shells) -> None:
    tensors = ShellTensors.of(shells)
    planes = tensors.planes.clone().requires_grad_()
    groups = tuple(torch.as_tensor(g).long() for g in Renderer(shells, SIDE).groups)
    with_gradient = replace(tensors, planes=planes)
    rgba, _ = render_tensors(with_gradient, torch.tensor(shells.rest), groups, (FOCAL, 48, 48), SIDE, SIDE)
    rgba[40:50, 40:50, :3].sum().backward()
    assert planes.grad is not None and planes.grad[SKIN, 45, 45, :3].min() > 0.5


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_gives_the_same_picture(shells: Shells) -> None:
    moved = turned(shells.rest, 0.3)
    on_cpu = render_by_tensors(shells, moved)
    on_gpu, _ = Renderer(shells, SIDE, "cuda").render(moved)
    assert np.quantile(np.abs(on_cpu - on_gpu), 0.99) < 2e-3
