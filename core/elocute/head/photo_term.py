"""A differentiable picture of a coloured mesh: for the photometric term of a face fit.

Which triangle a pixel sees is a z-buffer's answer and has no gradient. Inside that triangle the colour is the
perspective-correct mean of its corners' colours, and that is differentiable by colours and by corners: the gradient of
everything but the outline, which a landmark term holds in place.
"""

from __future__ import annotations

import torch
from torch import Tensor

from elocute.rendering.raster import rasterise, rasterise_tensors


def visible_faces(points: Tensor, faces: Tensor, side: int) -> Tensor:
    """The triangle [side, side] that each pixel centre sees first, from either side of it; -1 for none.

    points [N, 3]: x right and y down in pixels, and depth; faces [F, 3].
    """
    both = torch.cat([faces, faces.flip(1)])
    if points.device.type == "cpu":
        ids, _ = rasterise(points.numpy(), both.numpy(), side, side, threaded=False)
        seen = torch.from_numpy(ids).long()
    else:
        seen, _ = rasterise_tensors(points, both, side, side)
    return torch.where(seen < 0, seen, seen % len(faces))


def barycentric(corners: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Perspective-correct weights [P, 3] of the pixels (x, y) [P] in triangles [P, 3, 3] (pixels and depth)."""
    a, b, c = corners.unbind(1)
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
    second = ((x - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (y - a[:, 1])) / area
    third = ((b[:, 0] - a[:, 0]) * (y - a[:, 1]) - (x - a[:, 0]) * (b[:, 1] - a[:, 1])) / area
    flat = torch.stack([1 - second - third, second, third], 1) / corners[:, :, 2]  # w / z is linear on the screen
    return flat / flat.sum(1, keepdim=True)


def paint(points: Tensor, colours: Tensor, faces: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """A picture [side, side, 3] of vertex colours [N, 3] and whether a pixel shows the mesh, bool [side, side].

    Differentiable by `points` [N, 3] (pixels, y down, and depth) and `colours`; black where there is no mesh.
    """
    seen = visible_faces(points.detach(), faces, side)
    mask = seen >= 0
    rows, columns = torch.nonzero(mask, as_tuple=True)
    corners = faces[seen[mask]]  # [P, 3]
    weights = barycentric(points[corners], columns.to(points.dtype) + 0.5, rows.to(points.dtype) + 0.5)
    shown = (weights[..., None] * colours[corners]).sum(1)
    picture = colours.new_zeros(side, side, 3).index_put((rows, columns), shown)
    return picture, mask


def photo_loss(picture: Tensor, photo: Tensor, mask: Tensor, doubt: float = 0.0) -> Tensor:
    """Mean colour distance over the pixels of `mask` [..., H, W], in parts of 255; pictures [..., H, W, 3], 0..255.

    `doubt` > 0: a distance d counts as d / (1 + doubt * d), so that what is not the face (hair, glasses, a hat) pulls
    less the more it differs.
    """
    # The tiny term keeps the root's gradient finite where both colours are the same.
    distance = ((picture - photo).square().sum(-1) + 1e-16).sqrt() / 255
    return (distance / (1 + doubt * distance) * mask).sum() / mask.sum().clamp_min(1)
