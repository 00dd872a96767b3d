"""The points that carry a face's motion into StyleNeRF's field: vertices of the Basel face, which move, and points of
hair, neck and shoulders, which stay and so hold everything around the face in place."""

from __future__ import annotations

import torch
from torch import Tensor

from elocute.head import basel
from elocute.head.basel import BaselFace
from elocute.head.spaces import HALF_FIELD, picture_to_world, to_stylenerf

VERTEX_STEP = 4  # every fourth vertex: 8,928 of the Basel face's 35,709
TORSO_STEP = 4  # every fourth pixel, counted along the rows


def face_points(model: BaselFace, coefficients: Tensor, reference: bool = False) -> Tensor:
    """Every fourth vertex for coefficients [B, 257], in StyleNeRF's world.

    `reference`: (y, z) [B, M, 2] of NeRFFaceSpeech, the vertex' place in the 224-pixel picture spread over -0.1..0.1,
    which has no depth and is 0.85 to 1.08 times where a ray through that pixel really is. By default (x, y, z)
    [B, M, 3], where the front camera sees the vertex.
    """
    vertices = basel.placed(model.shape(coefficients), coefficients)[:, ::VERTEX_STEP]
    if reference:
        return picture_to_world(basel.project(vertices), basel.SIDE)
    return to_stylenerf(vertices)


def torso_points(is_torso: Tensor, reference: bool = False) -> Tensor:
    """Every fourth pixel of hair, neck and shoulders of a parsed front picture, bool [H, W], in StyleNeRF's world.

    `reference`: (y, z) [K, 2], the picture spread over -0.1..0.1. By default (x, y, z) [K, 3] on the plane x = 0,
    where the front camera sees the pixels' centres.
    """
    rows, columns = torch.nonzero(is_torso, as_tuple=True)
    columns, rows = columns[::TORSO_STEP], rows[::TORSO_STEP]
    side = max(is_torso.shape)
    if reference:
        places = picture_to_world(torch.stack([columns, rows], -1).float(), side)
        return torch.stack([places[:, 0], -places[:, 1]], -1)
    places = picture_to_world(torch.stack([columns, rows], -1).float() + 0.5, side, HALF_FIELD)
    return torch.stack([torch.zeros_like(places[:, 0]), places[:, 0], -places[:, 1]], -1)
