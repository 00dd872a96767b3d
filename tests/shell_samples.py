"""Sheets to make shells of, and what the tensor renderer shows of them."""

from __future__ import annotations

import numpy as np
import torch

from elocute.rendering.finer import finer
from elocute.rendering.march import ShellTensors, render_tensors
from elocute.rendering.renderer import Renderer
from elocute.rendering.shells import Shells

SIDE = 96
FOCAL = 200.0


def sheet(cells: int, half: float, depth, layer: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    line = np.linspace(-half, half, cells)
    x, y = (a.ravel() for a in np.meshgrid(line, line))
    index = np.arange(cells * cells).reshape(cells, cells)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[:-1, 1:], index[1:, 1:]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)])
    return np.stack([x, y, depth(x, y)], 1), faces, np.full(len(faces), layer)


def turned(points: np.ndarray, angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    centre = np.array([0, 0, 1.1])
    return ((points - centre) @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T + centre).astype(np.float32)


def render_by_tensors(
    shells: Shells, moved: np.ndarray, dtype: torch.dtype = torch.float32, turned: np.ndarray | float = 0,
    presence: float = 1, dimmed: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    groups, fine = Renderer(shells, SIDE).groups, finer(shells, 1.0)
    tensors = ShellTensors.of(fine.shells, dtype=dtype)
    points = torch.as_tensor(fine.points(moved), dtype=dtype)
    cam = (FOCAL, SIDE / 2, SIDE / 2)
    group_tensors = tuple(torch.as_tensor(g).long() for g in groups)
    lit = None if dimmed is None else torch.as_tensor(fine.values(1 - dimmed), dtype=dtype)
    gone = torch.as_tensor(fine.values(np.broadcast_to(np.float32(turned), len(moved))), dtype=dtype)
    rgba, _ = render_tensors(tensors, points, group_tensors, cam, SIDE, SIDE, presence=presence, turned=gone, lit=lit)
    return rgba.numpy()
