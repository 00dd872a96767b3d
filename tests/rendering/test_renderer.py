"""The compiled renderer against the tensor one, and what a volume renderer must do whatever it shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from shell_samples import FOCAL, SIDE, render_by_tensors, sheet, turned

from elocute.rendering import renderer
from elocute.rendering.finer import finer
from elocute.rendering.march import ShellTensors, lookup, render_tensors
from elocute.rendering.raster import rasterise, rasterise_tensors
from elocute.rendering.renderer import Renderer
from elocute.rendering.shells import RELIEF, SKIN, Shells, project


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


def test_of_two_triangles_in_one_place_the_first_is_seen_however_large_a_chunk_is(shells: Shells) -> None:
    points = torch.tensor(project(shells.rest, FOCAL, SIDE / 2, SIDE / 2))
    twice = torch.tensor(shells.faces).repeat(2, 1)
    once, chunked = (rasterise_tensors(points, twice, SIDE, SIDE, chunk=chunk)[0] for chunk in (1 << 20, 64))
    assert torch.equal(once, chunked) and once.max() < len(shells.faces)


@pytest.mark.parametrize("angle", [0.0, 0.3])
def test_compiled_and_tensor_pictures_agree(shells: Shells, angle: float) -> None:
    moved = turned(shells.rest, angle)
    dimmed = np.random.default_rng(3).random(len(moved)).astype(np.float32)
    compiled = Renderer(shells, SIDE).render(moved, dimmed=dimmed)[0]
    difference = np.abs(compiled - render_by_tensors(shells, moved, dimmed=dimmed))
    assert difference.mean() < 1e-4
    assert np.quantile(difference, 0.999) < 5e-3


def test_surfaces_that_meet_have_a_smooth_line(shells: Shells) -> None:
    """Lips that close: no step in depth between them, but what the photo shows there is far apart."""
    rest, faces, layer = sheet(21, 0.2, lambda x, y: 1.04 + 0 * x, SKIN)
    cut = len(rest)
    both = np.concatenate([rest + [0, 0.05, 0], rest - [0, 0.05, 0]]).astype(np.float32)
    faces = np.concatenate([faces, faces + cut]).astype(np.int32)
    below = np.arange(2 * cut) < cut
    count, one = 2 * cut, np.ones(2 * cut, np.float32)
    lips = replace(
        shells, rest=both, faces=faces, layer=np.tile(layer, 2).astype(np.uint8), seen=0 * one,
        fill=np.repeat(below[:, None], 3, 1).astype(np.float32), solid=one, grain=np.zeros((count, 3), np.float32),
        rim=0 * one, thickness=1e-3 * one, normal=np.tile(np.array([0, 0, -1], np.float32), (count, 1)),
    )  # fmt: skip
    on_its_side = both[:, 0] * 0.2  # the line between them runs across the pixels' rows
    shut = both.copy()
    shut[:, 1] += np.where(below, 0.15, -0.15) + on_its_side
    inner = slice(SIDE // 4, 3 * SIDE // 4)
    for picture in (Renderer(lips, SIDE).render(shut)[0], render_by_tensors(lips, shut)):
        line = picture[inner, inner, 0]
        assert line.min() < 0.01 and line.max() > 0.99
        assert ((line > 0.1) & (line < 0.9)).any(0).mean() > 0.6  # of the columns: in others it runs between two rows


def test_what_lacks_light_is_darker_and_nothing_else(shells: Shells) -> None:
    half = np.full(len(shells.rest), 0.5, np.float32)
    lit, dim = (Renderer(shells, SIDE).render(shells.rest, dimmed=dimmed)[0] for dimmed in (None, half))
    assert np.abs(dim[..., :3] - lit[..., :3] / 2).max() < 1e-5
    assert np.array_equal(dim[..., 3], lit[..., 3])


def test_no_triangle_speaks_for_a_pixel_that_it_hardly_touches(shells: Shells) -> None:
    """Slivers, such as folds seen along their walls: a plane continued to the pixel's middle was black dots."""
    count = len(shells.rest)
    fill = np.random.default_rng(1).random((count, 3)).astype(np.float32)
    plain = replace(shells, seen=np.zeros(count, np.float32), fill=fill, grain=np.zeros((count, 3), np.float32))
    moved = shells.rest.copy()
    moved[:, 0] *= 0.03
    moved[:, 2] = 1 + 0.1 * (moved[:, 2] - 1)
    compiled, clear = Renderer(plain, SIDE).render(moved)[0], render_by_tensors(plain, moved)
    assert clear[..., 3].max() > 0.9
    assert (compiled[..., :3] > -1e-3).all() and (compiled[..., :3] <= compiled[..., 3:] + 1e-3).all()
    assert np.abs(compiled - clear).max() < 0.2


def test_a_device_without_memory_marches_fewer_rays_at_once(shells: Shells, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the device is a CPU under another name, which has room for 5000."""
    asked: list[int] = []

    def limited(*arguments: Any, **more: Any) -> Any:
        asked.append(arguments[6])
        if arguments[6] > 5000:
            raise torch.cuda.OutOfMemoryError
        return render_tensors(*arguments, **more)

    moved = turned(shells.rest, 0.2)
    device: Any = torch.device("cpu")
    wanted = Renderer(shells, SIDE, device).render(moved)[0]
    monkeypatch.setattr(renderer, "render_tensors", limited)
    short = Renderer(shells, SIDE, device, memory_mb=64)
    for _ in range(2):
        assert np.array_equal(short.render(moved)[0], wanted)
    assert asked == [29090, 14545, 7272, 4096, 4096]


def test_tensor_picture_is_stable_in_float32(shells: Shells) -> None:
    moved = turned(shells.rest, 0.2)
    exact = render_by_tensors(shells, moved.astype(np.float64), torch.float64)
    assert np.quantile(np.abs(render_by_tensors(shells, moved) - exact), 0.999) < 1e-3


def test_own_view_gives_the_planes_back(shells: Shells) -> None:
    """At the portrait's own view a hard layer's pixel is its plane's texel."""
    inner = slice(SIDE // 2 - 15, SIDE // 2 + 15)
    for rgba in (Renderer(shells, SIDE).render(shells.rest)[0], render_by_tensors(shells, shells.rest)):
        assert np.abs(rgba[inner, inner, :3] - shells.planes[SKIN, inner, inner, :3]).max() < 2e-3
        assert rgba[inner, inner, 3].min() > 0.999


def test_soft_layer_keeps_its_opacity(shells: Shells) -> None:
    rgba, _ = Renderer(shells, SIDE).render(shells.rest)
    ring = np.s_[8:16, 8:-8]
    assert np.abs(rgba[..., 3][ring] - np.minimum(shells.planes[RELIEF, ..., 3], 1)[ring]).max() < 0.02


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


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
@pytest.mark.parametrize("size", [1.0, 0.4])
def test_other_planes_are_another_field(shells: Shells, device: Any, size: float) -> None:
    other = replace(shells, planes=np.ascontiguousarray(shells.planes[:, ::-1]))
    repainted, wanted = Renderer(shells, SIDE, device), Renderer(other, SIDE, device)
    for each in (repainted, wanted):
        each.aim(size=size)
    before = repainted.render(shells.rest)[0]
    repainted.repaint(other.planes)
    after = repainted.render(shells.rest)[0]
    assert np.array_equal(after, wanted.render(shells.rest)[0]) and not np.array_equal(after, before)


def test_renderers_side_by_side_take_turns(shells: Shells) -> None:
    moved = turned(shells.rest, 0.3)
    bare = replace(shells, faces=shells.faces[::2], layer=shells.layer[::2])
    first = Renderer(shells, SIDE)
    pair = first, Renderer(bare, SIDE, beside=first)
    alone = Renderer(shells, SIDE), Renderer(bare, SIDE)
    for box in (None, (20, 30, 70, 80)):
        for one, wanted in zip(pair, alone, strict=True):
            assert np.array_equal(one.render(moved, box)[0], wanted.render(moved, box)[0])


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
