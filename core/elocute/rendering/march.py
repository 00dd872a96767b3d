"""Volume rendering of shells with tensor operations: any device, differentiable in the feature planes.

Per ray (NeRF's quadrature, Mildenhall et al. 2020, eq. 3): C = sum_k T_k (1 - exp(-od_k)) c_k with
T_k = exp(-sum_{j<k} od_j); the samples sit at evenly spaced normal offsets of each shell the ray crosses. A sample
is bent back into canonical space by the pullback of the triangle its shell moves with, then looked up there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from .casting import barycentric, cast
from .kernels import CLEAREST, CUBIC, GRAZING, MIN_FACING, SAMPLES, SHADOW, SPENT, STRETCH
from .raster import rasterise_tensors
from .shells import RELIEF, SKIN, Shells, spheres

State = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # of N rays: colour [N, 3], transmittance [N], depth sum [N]
PIXELS_PER_RAY = 8  # listed pixels of the rasteriser that take the memory of one marched ray


@dataclass(frozen=True)
class ShellTensors:
    """`Shells` on a device: table [V, 16], faces [F, 3], layer [F], spheres [F, 4] around them, planes [PLANES, R, R,
    4], detail [R, R], shadow [R, R, 2], foreign [R, R], lens (focal, cx, cy)."""

    table: torch.Tensor
    faces: torch.Tensor
    layer: torch.Tensor
    spheres: torch.Tensor
    planes: torch.Tensor
    detail: torch.Tensor
    shadow: torch.Tensor
    foreign: torch.Tensor
    lens: tuple[float, float, float]
    painted: bool = False

    @classmethod
    def of(cls, shells: Shells, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> ShellTensors:
        put = lambda a, t=dtype: torch.as_tensor(np.ascontiguousarray(a)).to(device=device, dtype=t)  # noqa: E731
        table, planes = put(shells.vertex_table), put(shells.planes)
        faces, layer = put(shells.faces, torch.long), put(shells.layer, torch.long)
        lens = (shells.focal, shells.cx, shells.cy)
        detail, shadow, foreign = (put(a) for a in (shells.detail, shells.shadow, shells.foreign))
        around = put(spheres(shells.rest, shells.faces))
        return cls(table, faces, layer, around, planes, detail, shadow, foreign, lens, shells.painted)


def pullback(rest: torch.Tensor, moved: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    """[F, 3, 3] maps directions of moved space to canonical space; see `gradients.pullback`."""

    def frame(points: torch.Tensor) -> torch.Tensor:
        a, b, c = points[faces].unbind(1)
        normal = torch.linalg.cross(b - a, c - a)
        normal = normal / normal.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        return torch.stack([b - a, c - a, normal], 1)  # rows [F, 3, 3]

    basis, target = frame(moved), frame(rest)
    flat = torch.linalg.det(basis).abs() < 1e-14
    eye = torch.eye(3, device=rest.device, dtype=rest.dtype).expand_as(basis)
    out = torch.linalg.solve(torch.where(flat[:, None, None], eye, basis), target)  # basis^-1 @ target
    return torch.where(flat[:, None, None], eye, out).transpose(1, 2)


def stretch(rest: torch.Tensor, moved: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    """[V] growth of the surface's area around each vertex, at least 1; see `gradients.stretch`."""

    def area(points: torch.Tensor) -> torch.Tensor:
        a, b, c = points[faces].unbind(1)
        return torch.linalg.cross(b - a, c - a).norm(dim=1)

    grown = (area(moved) / area(rest).clamp_min(1e-10)).clamp_max(30)
    total, share = (moved.new_zeros(len(rest)) for _ in range(2))
    for k in range(3):
        total.index_add_(0, faces[:, k], grown)
        share.index_add_(0, faces[:, k], torch.ones_like(grown))
    return (total / share.clamp_min(1)).clamp_min(1)


def _cubic(t: torch.Tensor) -> torch.Tensor:
    """Weights [N, 4] of Keys' cubic convolution at offsets t [N] in 0..1."""
    t2, t3 = t * t, t * t * t
    outer, inner, far = CUBIC * (t3 - 2 * t2 + t), (CUBIC + 2) * t3 - (CUBIC + 3) * t2 + 1, CUBIC * (t2 - t3)
    return torch.stack([outer, inner, 1 - outer - inner - far, far], -1)


def lookup(planes: torch.Tensor, layer: torch.Tensor, u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Cubic look-up of planes [L, R, R, 4] at pixel coordinates u, v [N] of plane `layer` [N] -> [N, 4]."""
    size = planes.shape[1]
    u, v = ((size - 1 - (size - 1 - (at - 0.5).abs()).abs()).clamp(0, size - 1) for at in (u, v))  # mirrored outside
    x, y = u.floor(), v.floor()
    wx, wy = _cubic(u - x), _cubic(v - y)  # [N, 4]
    offset = torch.arange(-1, 3, device=planes.device)
    xs = (x.long()[:, None] + offset).clamp(0, size - 1)
    ys = (y.long()[:, None] + offset).clamp(0, size - 1)
    index = (layer[:, None, None] * size + ys[:, :, None]) * size + xs[:, None, :]  # [N, 4, 4]
    taps = planes.reshape(-1, 4)[index]
    return torch.einsum("njic,nj,ni->nc", taps, wy, wx)


def bilinear(image: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    """Values [N] of image [R, R] at x, y [N, 2] in 0..1 of its width, clamped at the border."""
    size = image.shape[0]
    place = (at * size - 0.5).clamp(0, size - 1.001)
    x, y = place.long().unbind(1)
    u, v = (place - place.floor()).unbind(1)
    above, below = (torch.lerp(image[row, x], image[row, x + 1], u) for row in (y, y + 1))
    return torch.lerp(above, below, v)


def _nearest(image: torch.Tensor, u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    side = image.shape[0]
    return image[v.long().clamp(0, side - 1), u.long().clamp(0, side - 1)]


class _Hit(NamedTuple):
    """Where N rays cross a shell: in canonical space `here` and the ray `bent` [N, 3]; z [N] metres; what stands in for
    the photo: fill [N, 3] and solid [N, 1]; how far the photo is to be seen, trust [N, 1]; the share of the shell that
    is left [N]; z for a whole shell, stride [N]; optical depth over that of the photo's ray, slant [N]; layer [N]; the
    share of its light that it has, lit [N]; how far it has left what the photo shows, turned [N]."""

    here: torch.Tensor
    bent: torch.Tensor
    z: torch.Tensor
    fill: torch.Tensor
    solid: torch.Tensor
    trust: torch.Tensor
    left: torch.Tensor
    stride: torch.Tensor
    slant: torch.Tensor
    layer: torch.Tensor
    lit: torch.Tensor
    turned: torch.Tensor


def _locate(
    shells: ShellTensors, points: torch.Tensor, pull: torch.Tensor, grown: torch.Tensor, lit: torch.Tensor,
    turned: torch.Tensor, f: torch.Tensor, px: torch.Tensor, py: torch.Tensor, cam: tuple[float, float, float],
) -> _Hit:  # fmt: skip
    """Rays at px, py [N] through triangles f [N]."""
    corners = shells.faces[f]
    p = points[corners]  # [N, 3, 3]
    w1, w2 = barycentric(p, px, py)
    w = torch.stack([1 - w1 - w2, w1, w2], 1) / p[:, :, 2]
    z = 1 / w.sum(1)
    at = torch.einsum("nc,ncd->nd", w * z[:, None], shells.table[corners])  # [N, 16]
    here, seen, fill, solid, thick, normal, grain, rim = at.split([3, 1, 3, 1, 1, 3, 3, 1], 1)
    fill = (fill + grain[:, 2:] * bilinear(shells.detail, grain[:, :2])[:, None]).clamp(0, 1)
    ray = torch.stack([(px - cam[1]) / cam[0], (py - cam[2]) / cam[0], torch.ones_like(px)], 1)
    bent = torch.einsum("nij,nj->ni", pull[f], ray)
    length, across = bent.norm(dim=1), normal.norm(dim=1).clamp_min(1e-12)
    cosine = (normal * bent).sum(1).abs() / (across * length)
    in_photo = (-(normal * here).sum(1) / (across * here.norm(dim=1))).clamp_min(0)
    bigger = (w * z[:, None] * grown[corners]).sum(1)
    turn = cosine / in_photo.clamp_min(GRAZING)
    magnified = bigger**3 * turn * (1 + rim[:, 0] * (turn.sqrt() - 1))
    fade = ((STRETCH[1] - magnified) / (STRETCH[1] - STRETCH[0])).clamp(0, 1)
    layer = shells.layer[f]
    gone, light = ((w * z[:, None] * values[corners]).sum(1) for values in (turned, lit))
    trust = torch.where(layer > SKIN, seen[:, 0], seen[:, 0] * fade * fade * (3 - 2 * fade))
    cosine = cosine.clamp_min(MIN_FACING)
    stride = thick[:, 0] / (cosine * length)
    slant = (in_photo.clamp_min(MIN_FACING) / cosine).clamp(0.5, 2.0)
    place = torch.stack([shells.lens[0] * here[:, i] / here[:, 2] + shells.lens[i + 1] for i in (0, 1)], 1)
    not_skin = bilinear(shells.foreign, place / shells.foreign.shape[0])
    trust = torch.where(layer == SKIN, (1 - gone * not_skin) * trust, trust)[:, None]
    left = torch.where(layer == RELIEF, 1 - gone * rim[:, 0].clamp(0, 1), 1)
    return _Hit(here, bent, z, fill, solid, trust, left, stride, slant, layer, light, gone)


def _march(shells: ShellTensors, hit: _Hit, presence: float, state: State) -> State:
    """Sample each located shell and composite it onto the rays' state."""
    light, through, depth = state
    inner = hit.layer > SKIN
    count = torch.tensor(SAMPLES, device=light.device)[hit.layer]
    for k in range(max(SAMPLES)):
        on = (k < count).to(light.dtype)
        q = (k + 0.5) / count
        sample = hit.here + (q * hit.stride)[:, None] * hit.bent
        u = shells.lens[0] * sample[:, 0] / sample[:, 2] + shells.lens[1]
        v = shells.lens[0] * sample[:, 1] / sample[:, 2] + shells.lens[2]
        shadow, less = _nearest(shells.shadow, u, v).unbind(1)
        hidden = (sample[:, 2] - shadow + hit.turned * less - SHADOW[0]) / (SHADOW[1] - SHADOW[0])
        shown = 1 - hidden.clamp(0, 1)
        tap = lookup(shells.planes, hit.layer, u, v)
        always, once = (2 * tap[:, 3] - 1).clamp(0, 1), (2 * tap[:, 3]).clamp(0, 1)
        share = hit.trust * torch.where(inner, always + presence * (once - always), shown)[:, None]
        tap = torch.where(inner[:, None], torch.cat([tap[:, :3], hit.solid], 1), tap)
        tap = torch.lerp(torch.cat([hit.fill, hit.solid], 1), tap, share)
        kernel = torch.where(count > 1, 2 * torch.sin(torch.pi * q) ** 2, torch.ones_like(q)) / count
        alpha = tap[:, 3].clamp(0, 1) * hit.left
        od = -torch.log((1 - alpha).clamp_min(CLEAREST)) * hit.slant
        gain = through * (1 - torch.exp(-od * kernel)) * on
        gain = torch.where(through - gain < SPENT, through, gain)
        light = light + (gain * hit.lit)[:, None] * tap[:, :3]
        through = through - gain
        depth = depth + gain * (hit.z + q * hit.stride)
    return light, through, depth


def render_tensors(
    shells: ShellTensors, moved: torch.Tensor, groups: tuple[torch.Tensor, torch.Tensor],
    cam: tuple[float, float, float], height: int, width: int, rays_at_once: int = 1 << 18,
    presence: float = 1.0, turned: torch.Tensor | None = None, lit: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """Render moved vertices [V, 3] (camera space) to premultiplied rgba [H, W, 4] and depth [H, W].

    `groups` are the triangle indices of the two visibility groups (relief; head): the nearest crossing of each
    composites. turned [V] 0..1: how far each vertex has left what the photo shows; lit [V]: the share of its light that
    it has. `rays_at_once` bounds what rows of pixels take; beyond them there is only what is visible to each ray
    (triangle and depth of both groups).
    """
    focal, cx, cy = cam
    z = moved[:, 2:]
    points = torch.cat([focal * moved[:, :2] / z + z.new_tensor([cx, cy]), z], 1)
    doubled = points * points.new_tensor([2, 2, 1])
    pull = pullback(shells.table[:, :3], moved, shells.faces)
    rest = shells.table[:, :3]
    grown = torch.ones_like(rest[:, 0]) if shells.painted else stretch(rest, moved, shells.faces)
    chunk = PIXELS_PER_RAY * rays_at_once
    seen = [rasterise_tensors(doubled, shells.faces[group], 2 * height, 2 * width, chunk) for group in groups]
    labels = [torch.cat([group, group.new_full((1,), -1)]) for group in groups]  # -1, no triangle, finds itself there
    ids = torch.stack([label[found] for label, (found, _) in zip(labels, seen, strict=True)])  # [2, 2H, 2W]
    depths = torch.stack([depth for _, depth in seen])
    lit = torch.ones_like(grown) if lit is None else lit
    turned = torch.zeros_like(grown) if turned is None else turned
    rows = max(1, rays_at_once // (4 * width))
    out = moved.new_empty(height, width, 5)
    for top in range(0, height, rows):
        end = min(top + rows, height)
        part = slice(2 * top, 2 * end)
        rays = cast(shells, points, ids[:, part], depths[:, part], top)
        count = len(rays.px)
        state: State = (moved.new_zeros(count, 3), moved.new_ones(count), moved.new_zeros(count))
        for face in (rays.near, rays.far):
            on = torch.nonzero(face >= 0).squeeze(1)
            if len(on):
                hit = _locate(shells, points, pull, grown, lit, turned, face[on], rays.px[on], rays.py[on], cam)
                crossed = _march(shells, hit, presence, (state[0][on], state[1][on], state[2][on]))
                state = tuple(a.index_put((on,), b) for a, b in zip(state, crossed, strict=True))
        full = torch.cat([state[0], 1 - state[1][:, None], state[2][:, None]], 1)
        out[top:end] = rays.gathered(full).view(end - top, width, 5)
    alpha = out[..., 3]
    return out[..., :4], torch.where(alpha > 1e-4, out[..., 4] / alpha.clamp_min(1e-4), torch.zeros_like(alpha))
