"""The field is bent by the vertices around a sample, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pretend_device import pretend_device
from scipy.spatial import cKDTree

from elocute.modelsets.nerffacespeech import deformation
from elocute.modelsets.nerffacespeech.deformation import METRIC, NEIGHBOURS, REACH, SpatialDeformation, nearest
from elocute.rendering.device import Pieces

GRID = np.stack(np.meshgrid([0.05], np.linspace(-0.05, 0.05, 41), np.linspace(-0.05, 0.05, 41), indexing="ij"), -1)
FACE = GRID.reshape(-1, 3)


def bending(reference: np.ndarray, moved: np.ndarray) -> SpatialDeformation:
    return SpatialDeformation(torch.from_numpy(reference), torch.from_numpy(moved))


def test_a_still_face_bends_nothing():
    points = torch.rand(1, 50, 3) * 0.2 - 0.1
    assert torch.equal(bending(FACE, FACE.copy())(points, False), points)


def test_a_moved_face_is_looked_up_where_it_was():
    moved = FACE + [0.004, 0.003, -0.006]
    found = bending(FACE, moved)(torch.from_numpy(moved)[None], True)[0].numpy()
    assert np.allclose(found, FACE, atol=1e-4)


def test_coarse_and_fine_samples_of_a_frame_share_one_search_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    tree = deformation.cKDTree
    monkeypatch.setattr(deformation, "cKDTree", lambda points: made.append(1) or tree(points))
    deform = bending(FACE, FACE + [0, 0, -0.01])
    points = torch.rand(1, 50, 3, dtype=torch.float64) * 0.1
    assert torch.equal(deform(points, False), deform(points, True)) and len(made) == 1


def test_motion_fades_away_from_the_face():
    moved = FACE + [0, 0, -0.01]
    far = torch.tensor([[[0.05, 0.05 + 4 * REACH, 0.0], [0.05 - 8 * REACH, 0.0, 0.0]]], dtype=torch.float64)
    assert (bending(FACE, moved)(far, False) - far).abs().max() < 1e-6


def test_points_that_stay_hold_what_is_around_them():
    still = np.array([[0.0, 0.07, z] for z in np.linspace(-0.05, 0.05, 41)])
    deform = bending(np.concatenate([FACE, still]), np.concatenate([FACE + [0, 0, -0.01], still]))
    points = torch.from_numpy(still)[None]
    assert (deform(points, False) - points).abs().max() < 1e-3


def test_a_mouth_that_opens_moves_the_chin_and_not_the_nose():
    lower = FACE[:, 2] < 0
    moved = FACE - np.where(lower[:, None], [0, 0, 0.01], 0)
    points = torch.tensor([[[0.05, 0, -0.03], [0.05, 0, 0.03]]], dtype=torch.float64)
    back = (bending(FACE, moved)(points, False) - points)[0]
    assert torch.allclose(back[0], torch.tensor([0.0, 0, 0.01], dtype=torch.float64), atol=5e-4)
    assert back[1].abs().max() < 1e-4


def scattered(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A face, moved but for its last third, and points around it."""
    random = torch.Generator().manual_seed(0)
    reference = torch.rand(3000, 3, generator=random, dtype=dtype) * 0.12 - 0.06
    moved = reference + 0.003 * torch.randn(3000, 3, generator=random, dtype=dtype)
    moved[2000:] = reference[2000:]
    return reference, moved, torch.rand(1, 2000, 3, generator=random, dtype=dtype) * 0.2 - 0.1


@pytest.mark.parametrize(("dtype", "digits"), [(torch.float32, 1e-8), (torch.float64, 1e-16)])
def test_other_devices_find_what_the_tree_finds(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, digits: float
) -> None:
    """The same vertices, and distances to a last digit of the points, which are a tenth of a unit from the middle."""
    monkeypatch.setattr(deformation, "DISTANCES", Pieces(700_000))  # several parts, the last one smaller
    _, moved, points = scattered(dtype)
    distance, index = nearest(points[0], moved)
    tree = cKDTree(moved.double().numpy() * METRIC)
    wanted = tree.query(points[0].double().numpy() * METRIC, k=NEIGHBOURS)
    np.testing.assert_array_equal(index, wanted[1])
    np.testing.assert_allclose(distance, wanted[0], rtol=0, atol=digits)


def test_without_memory_fewer_distances_at_once_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    _, moved, points = scattered(torch.float32)
    wanted, measure = nearest(points[0], moved), torch.cdist

    def limited(part: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        if len(part) > 300:
            raise torch.cuda.OutOfMemoryError
        return measure(part, there)

    monkeypatch.setattr(torch, "cdist", limited)
    monkeypatch.setattr(deformation, "DISTANCES", Pieces(1 << 24))
    for found, value in zip(nearest(points[0], moved), wanted, strict=True):
        torch.testing.assert_close(found, value, rtol=0, atol=1e-8)
    assert 150 * len(moved) < deformation.DISTANCES.size <= 300 * len(moved), "the next frame begins there"


def test_other_devices_bend_as_the_cpu_does(monkeypatch: pytest.MonkeyPatch) -> None:
    reference, moved, points = scattered(torch.float32)
    wanted = SpatialDeformation(reference, moved)(points, True)
    assert (wanted - points).abs().max() > 2e-3
    monkeypatch.setattr(deformation, "cKDTree", lambda points: pytest.fail("a tree was made"))
    with pretend_device() as device:
        found = SpatialDeformation(reference.to(device), moved.to(device))(points.to(device), True).cpu()
        still = SpatialDeformation(moved.to(device), moved.to(device))(points.to(device), True).cpu()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-8)
    assert torch.equal(still, points)
