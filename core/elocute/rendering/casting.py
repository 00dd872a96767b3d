"""How many rays a pixel takes, with tensor operations: one through its middle, or four where something has an edge.

The compiled renderer decides the same in `kernels._simple`. More rays than needed would also be a softer picture: each
looks a feature plane up beside the texel that the pixel shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from .kernels import EDGE_DEPTH, GAP, REACH

if TYPE_CHECKING:
    from .march import ShellTensors


class Rays(NamedTuple):
    """N rays of a strip of pixels: first those of pixels `one` [A] that have a single one, then four each of pixels
    `four` [B]; their places in the picture px, py [N]; the triangles that they cross, near and far [N] (-1: none)."""

    one: torch.Tensor
    four: torch.Tensor
    px: torch.Tensor
    py: torch.Tensor
    near: torch.Tensor
    far: torch.Tensor

    def gathered(self, values: torch.Tensor) -> torch.Tensor:
        """Values [N, C] of the rays as those of the strip's pixels [A + B, C]."""
        out = values.new_zeros(len(self.one) + len(self.four), values.shape[1])
        count = len(self.one)
        out = out.index_put((self.one,), values[:count])
        return out.index_put((self.four,), values[count:].view(-1, 4, values.shape[1]).mean(1))


def barycentric(p: torch.Tensor, px: torch.Tensor, py: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The second and third coordinate in triangles p [..., 3, 3] of places px, py [...] in the picture."""
    ax, ay, bx, by, cx, cy = (p[..., i, j] for i in range(3) for j in range(2))
    inv = 1 / ((bx - ax) * (cy - ay) - (cx - ax) * (by - ay))
    w1 = ((px - ax) * (cy - ay) - (cx - ax) * (py - ay)) * inv
    return w1, ((bx - ax) * (py - ay) - (px - ax) * (by - ay)) * inv


def _simple(
    shells: ShellTensors, points: torch.Tensor, face: torch.Tensor, depth: torch.Tensor, x: torch.Tensor,
    y: torch.Tensor,
) -> torch.Tensor:  # fmt: skip
    """[P] whether one ray through the middle x, y [P] will do for a pixel, of whose four rays these are the triangles
    and depths [2, P, 4] in both groups; see `kernels._simple`."""
    there = face >= 0
    some, first = face.clamp_min(0), face[..., :1].clamp_min(0)
    layer = torch.where(there, shells.layer[some], -1)
    alike = (layer == layer[..., :1]).all(-1)
    depth = torch.where(there, depth, 0)
    level = depth.amax(-1) - depth.amin(-1) <= EDGE_DEPTH
    one, other = shells.spheres[some], shells.spheres[first]
    reach = one[..., 3] + other[..., 3] + GAP
    touching = ((one[..., :3] - other[..., :3]).square().sum(-1) <= reach * reach).all(-1)
    w1, w2 = barycentric(points[shells.faces[first[..., 0]]], x, y)
    within = torch.minimum(torch.minimum(w1, w2), 1 - w1 - w2) > -REACH
    return (alike & (~there[..., 0] | (level & touching & within))).all(0)


def cast(shells: ShellTensors, points: torch.Tensor, ids: torch.Tensor, depths: torch.Tensor, top: int) -> Rays:
    """The rays of a strip of pixels from row `top` on: one through the middle of each where that will do, else four.
    ids, depths [2, 2h, 2w]: what all four would meet."""
    rows, width = ids.shape[1] // 2, ids.shape[2] // 2
    face, depth = (
        a.view(2, rows, 2, width, 2).transpose(2, 3).reshape(2, rows * width, 4) for a in (ids, depths)
    )
    swap = (face[1] >= 0) & ((face[0] < 0) | (depth[1] < depth[0]))
    near, far = torch.where(swap, face[1], face[0]), torch.where(swap, face[0], face[1])
    index = torch.arange(rows * width, device=ids.device)
    x, y = index % width, torch.div(index, width, rounding_mode="floor") + top
    simple = _simple(shells, points, face, depth, x + 0.5, y + 0.5)
    one, four = torch.nonzero(simple).squeeze(1), torch.nonzero(~simple).squeeze(1)
    pixel = torch.cat([one, four.repeat_interleave(4)])
    quarter = torch.cat([torch.zeros_like(one), torch.arange(4, device=ids.device).repeat(len(four))])
    dx, dy = (torch.where(simple[pixel], 0.5, 0.25 + 0.5 * part) for part in (quarter % 2, quarter // 2))
    px, py = (x[pixel] + dx).to(points.dtype), (y[pixel] + dy).to(points.dtype)
    return Rays(one, four, px, py, near[pixel, quarter], far[pixel, quarter])
