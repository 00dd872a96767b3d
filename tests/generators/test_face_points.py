from __future__ import annotations

import numpy as np
import torch

from elocute.generators.face_points import face_points, torso_points
from elocute.head import basel, spaces
from elocute.head.basel import BaselFace


def small_face() -> BaselFace:
    rng = np.random.default_rng(0)
    count = 120
    return BaselFace.from_arrays(
        {
            "meanshape": rng.uniform(-0.9, 0.9, (1, 3 * count)), "idBase": rng.normal(0, 0.01, (3 * count, 80)),
            "exBase": rng.normal(0, 0.01, (3 * count, 64)), "meantex": np.full((1, 3 * count), 128.0),
            "texBase": np.zeros((3 * count, 80)), "tri": np.array([[1, 2, 3]]), "point_buf": np.ones((count, 8)),
            "keypoints": np.arange(1, 69)[None], "skinmask": np.ones((1, count)), "frontmask2_idx": np.ones((1, 1)),
            "tri_mask2": np.array([[1, 2, 3]]),
        },
        dtype=torch.float64,
    )  # fmt: skip


def test_vertices_are_where_the_front_camera_sees_them() -> None:
    face = small_face()
    coefficients = torch.from_numpy(np.random.default_rng(1).normal(0, 0.2, (2, 257)))
    places = face_points(face, coefficients)
    seen = basel.project(basel.placed(face.shape(coefficients), coefficients))[:, ::4]
    assert places.shape == (2, 30, 3)
    across = places[..., 1:] / (1 - places[..., :1]) / spaces.HALF_FIELD  # the front camera stands at x = 1
    assert float((across - (seen / 112 - 1)).abs().max()) < 0.02
    flat = face_points(face, coefficients, reference=True)
    assert torch.allclose(flat, seen / 224 * 0.2 - 0.1) and flat.shape == (2, 30, 2)


def test_the_torso_is_every_fourth_pixel_and_upside_up() -> None:
    shown = torch.zeros(512, 512, dtype=torch.bool)
    shown[500, 10:30] = True
    flat = torso_points(shown, reference=True)
    assert flat.shape == (5, 2)
    assert torch.allclose(flat[1], torch.tensor([14 / 512 * 0.2 - 0.1, -(500 / 512 * 0.2 - 0.1)]))
    places = torso_points(shown)
    assert (places[:, 0] == 0).all() and (places[:, 2] < 0).all()
    ray = 2 * (10.5 / 512) - 1
    assert torch.allclose(places[0, 1] / spaces.HALF_FIELD, torch.tensor(ray))
    assert len(torso_points(torch.zeros(8, 8, dtype=torch.bool))) == 0
