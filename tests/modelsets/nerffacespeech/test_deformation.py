"""The field is bent by the vertices around a sample, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from elocute.modelsets.nerffacespeech import deformation
from elocute.modelsets.nerffacespeech.deformation import REACH, SpatialDeformation

GRID = np.stack(np.meshgrid([0.05], np.linspace(-0.05, 0.05, 41), np.linspace(-0.05, 0.05, 41), indexing="ij"), -1)
FACE = GRID.reshape(-1, 3)


def test_a_still_face_bends_nothing():
    points = torch.rand(1, 50, 3) * 0.2 - 0.1
    assert torch.equal(SpatialDeformation(FACE, FACE.copy())(points, False), points)


def test_a_moved_face_is_looked_up_where_it_was():
    moved = FACE + [0.004, 0.003, -0.006]
    found = SpatialDeformation(FACE, moved)(torch.from_numpy(moved)[None], True)[0].numpy()
    assert np.allclose(found, FACE, atol=1e-4)


def test_coarse_and_fine_samples_of_a_frame_share_one_search_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    tree = deformation.cKDTree
    monkeypatch.setattr(deformation, "cKDTree", lambda points: made.append(1) or tree(points))
    deform = SpatialDeformation(FACE, FACE + [0, 0, -0.01])
    points = torch.rand(1, 50, 3, dtype=torch.float64) * 0.1
    assert torch.equal(deform(points, False), deform(points, True)) and len(made) == 1


def test_motion_fades_away_from_the_face():
    moved = FACE + [0, 0, -0.01]
    far = torch.tensor([[[0.05, 0.05 + 4 * REACH, 0.0], [0.05 - 8 * REACH, 0.0, 0.0]]], dtype=torch.float64)
    assert (SpatialDeformation(FACE, moved)(far, False) - far).abs().max() < 1e-6


def test_points_that_stay_hold_what_is_around_them():
    still = np.array([[0.0, 0.07, z] for z in np.linspace(-0.05, 0.05, 41)])
    deform = SpatialDeformation(np.concatenate([FACE, still]), np.concatenate([FACE + [0, 0, -0.01], still]))
    points = torch.from_numpy(still)[None]
    assert (deform(points, False) - points).abs().max() < 1e-3


def test_a_mouth_that_opens_moves_the_chin_and_not_the_nose():
    lower = FACE[:, 2] < 0
    moved = FACE - np.where(lower[:, None], [0, 0, 0.01], 0)
    points = torch.tensor([[[0.05, 0, -0.03], [0.05, 0, 0.03]]], dtype=torch.float64)
    back = (SpatialDeformation(FACE, moved)(points, False) - points)[0]
    assert torch.allclose(back[0], torch.tensor([0.0, 0, 0.01], dtype=torch.float64), atol=5e-4)
    assert back[1].abs().max() < 1e-4
