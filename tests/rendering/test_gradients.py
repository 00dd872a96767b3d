"""How triangles were bent and stretched: the compiled version against the tensor one."""

from __future__ import annotations

import numpy as np
import torch
from shell_samples import turned

from elocute.rendering import gradients
from elocute.rendering.march import pullback, stretch
from elocute.rendering.shells import Shells


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
