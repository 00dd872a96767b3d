from __future__ import annotations

from typing import Any

import numpy as np
import torch

from elocute.head import basel, spaces

FLOAT32 = 1e-6


def seen_by(camera: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """StyleNeRF's pinhole: world points [N, 3] -> picture coordinates [N, 2] in -1..1, y up."""
    local = (points - camera[:3, 3]) @ camera[:3, :3]
    return local[:, :2] / -local[:, 2:] / spaces.HALF_FIELD


def test_the_reference_s_cameras_and_scalings_are_met(recorded: Any) -> None:
    wanted = recorded("nets/helpers_io.npz")
    turned = basel.rotations(torch.from_numpy(wanted["pose_angles"]))
    assert np.abs(turned.numpy() - wanted["pose_rot"]).max() < FLOAT32
    assert np.abs(spaces.front_camera(turned).numpy() - wanted["pose_RT"]).max() < FLOAT32
    assert np.abs(spaces.front_camera(torch.eye(3)[None])[0].numpy() - wanted["front_RT"]).max() < FLOAT32
    pixels = torch.from_numpy(wanted["scale_in"])
    assert np.abs(spaces.picture_to_world(pixels, 224).numpy() - wanted["scale_out"]).max() < FLOAT32
    assert np.abs(spaces.picture_to_world(pixels, 512).numpy() - wanted["scale512_out"]).max() < FLOAT32


def head_points() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).uniform(-0.9, 0.9, (200, 3)))


def test_both_front_cameras_see_the_same_picture() -> None:
    points = head_points()
    there = basel.project(points) / 112 - 1
    camera = spaces.front_camera(torch.eye(3, dtype=torch.float64)[None])[0]
    here = seen_by(camera, spaces.to_stylenerf(points))
    assert float((here - there).abs().max()) < 0.006
    flat = points * torch.tensor([1.0, 1.0, 0.0])
    assert torch.allclose(seen_by(camera, spaces.to_stylenerf(flat)), basel.project(flat) / 112 - 1)


def test_a_turned_head_is_a_camera_that_went_round_it() -> None:
    points = head_points()
    turned = basel.rotations(torch.tensor([[0.1, -0.3, 0.05]], dtype=torch.float64))
    there = basel.project(points @ turned[0]) / 112 - 1
    here = seen_by(spaces.front_camera(turned)[0], spaces.to_stylenerf(points))
    assert float((here - there).abs().max()) < 0.012


def test_cameras_look_at_the_middle_from_the_unit_sphere() -> None:
    turned = basel.rotations(torch.from_numpy(np.random.default_rng(1).uniform(-0.4, 0.4, (5, 3))))
    cameras = spaces.front_camera(turned)
    assert torch.allclose(cameras[:, :3, 3].norm(dim=1), torch.ones(5, dtype=torch.float64))
    for camera in cameras:
        assert seen_by(camera, torch.zeros(1, 3, dtype=torch.float64)).abs().max() < 1e-12
