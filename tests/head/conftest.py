from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

from elocute.head.model import HeadModel, load_head_model
from elocute.head.projection import camera_at, pose_rotation, project
from elocute.values import ARKIT_NAMES, Camera, Face

if TYPE_CHECKING:
    from torch import Tensor

    from elocute.head.basel import BaselFace


@pytest.fixture(scope="session")
def model() -> HeadModel:
    return load_head_model()


def _units(**named: float) -> np.ndarray:
    """52 ARKit values from names; `Both` at the end of a name means left and right."""
    values = np.zeros(len(ARKIT_NAMES), np.float32)
    for name, value in named.items():
        for side in ("Left", "Right") if name.endswith("Both") else ("",):
            values[ARKIT_NAMES.index(name.removesuffix("Both") + side)] = value
    return values


def _random_identity(model: HeadModel, seed: int, size: float = 0.25) -> np.ndarray:
    rng = np.random.default_rng(seed)
    chosen = rng.random(len(model.identity_names)) < 0.2
    return (rng.normal(0, size, len(chosen)) * chosen).astype(np.float32)


def _photographed(
    model: HeadModel,
    vertices: np.ndarray,
    expression: np.ndarray,
    pose_deg: tuple[float, float, float],
    side: int = 640,
    noise: float = 0.0,
) -> tuple[Face, Camera]:
    """What a perfect landmark network would see of `vertices` from 2 m away."""
    camera = camera_at(pose_rotation(*np.radians(pose_deg)), np.array([0.01, 0.02, -2.0]), 5.8 * side, (side, side))
    points = project(model.landmarks(vertices).astype(float), camera)
    points[:, 2] *= camera.focal / 2.0
    points[:, :2] += np.random.default_rng(5).normal(0, noise, (len(points), 2))
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    return Face(points, expression.astype(np.float32), (*low, *high), 1.0), camera


@pytest.fixture(scope="session")
def units() -> Callable[..., np.ndarray]:
    return _units


@pytest.fixture(scope="session")
def random_identity() -> Callable[..., np.ndarray]:
    return _random_identity


@pytest.fixture(scope="session")
def photographed() -> Callable[..., tuple[Face, Camera]]:
    return _photographed


def basel_like(model: HeadModel, angle: float = 0.1) -> dict[str, np.ndarray]:
    """The fields of BFM_model_front.mat for the MakeHuman head: its skin in decimetres and another orientation, its
    identity directions, and as expressions the principal components of random ARKit expressions, of unit variance."""
    from elocute.portrait.landmarks68 import matrix_68

    skin = model.part("skin")
    place = np.full(len(model.base), -1)
    place[skin] = np.arange(len(skin))
    cos, sin = np.cos(angle), np.sin(angle)
    turn = 9.3 * np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    rng = np.random.default_rng(0)
    units = model.expression[:, skin].reshape(52, -1).astype(float)
    shown = rng.uniform(0, 1, (400, 52)) ** 3 @ units
    _, size, directions = np.linalg.svd(shown - shown.mean(0), full_matrices=False)
    components = np.zeros((64, units.shape[1]))
    components[:52] = directions[:52] * size[:52, None] / 20  # 20: the root of 400 expressions
    faces = place[model.faces[model.part_faces("skin")]]
    ring = np.full((len(skin), 8), len(faces))
    used = np.zeros(len(skin), int)
    for number, corners in enumerate(faces):
        for vertex in corners:
            if used[vertex] < 8:
                ring[vertex, used[vertex]] = number
                used[vertex] += 1
    near = matrix_68().argmax(1)  # of the two landmarks that a point lies between, the nearer one
    corners = model.faces[model.landmark_faces[near]]
    keypoints = place[corners[np.arange(68), model.landmark_weights[near].argmax(1)]]

    def basis(moves: np.ndarray) -> np.ndarray:
        return (moves.reshape(len(moves), -1, 3) @ turn.T).reshape(len(moves), -1).T

    identity = 0.3 * basis(model.identity[:80, skin].astype(float))
    return {
        "meanshape": (model.base[skin] @ turn.T).reshape(1, -1),
        "idBase": identity,
        "exBase": basis(components),
        "meantex": np.tile([190.0, 140.0, 120.0], len(skin))[None],
        "texBase": rng.normal(0, 1, (3 * len(skin), 80)),
        "tri": faces + 1,
        "point_buf": ring + 1,
        "keypoints": keypoints[None] + 1,
        "skinmask": np.ones((1, len(skin))),
        "frontmask2_idx": np.arange(len(skin))[:, None] + 1,
        "tri_mask2": faces + 1,
    }


def random_basel(vertices: int = 240, faces: int = 430) -> dict[str, np.ndarray]:
    """The fields of BFM_model_front.mat full of seeded numbers: the same on every machine, which a decomposition is
    not."""
    rng = np.random.default_rng(11)
    size = 3 * vertices
    return {
        "meanshape": rng.uniform(-1, 1, (1, size)),
        "idBase": rng.normal(0, 0.02, (size, 80)),
        "exBase": rng.normal(0, 0.02, (size, 64)),
        "meantex": rng.uniform(60, 200, (1, size)),
        "texBase": rng.normal(0, 2, (size, 80)),
        "tri": rng.integers(1, vertices + 1, (faces, 3)),
        "point_buf": rng.integers(1, faces + 2, (vertices, 8)),
        "keypoints": rng.permutation(vertices)[None, :68] + 1,
        "skinmask": rng.integers(0, 2, (1, vertices)),
        "frontmask2_idx": np.arange(1, 101)[:, None],
        "tri_mask2": rng.integers(1, vertices + 1, (50, 3)),
    }


class Shown(NamedTuple):
    """What 257 coefficients show: vertices [B, N, 3] before and after they are placed; unit normals, placed; colours
    0..1 without light and with it; pixels [B, N, 2], y up."""

    shape: Tensor
    placed: Tensor
    normals: Tensor
    texture: Tensor
    colours: Tensor
    pixels: Tensor


def show_basel(face: BaselFace, coefficients: Tensor, by_area: bool = False) -> Shown:
    """Coefficients [B, 257] as Deep3DFaceRecon shows them, in whose normals all triangles count the same; or, with
    `by_area`, as 3DMM-Fitting does."""
    import torch
    from torch.nn.functional import normalize

    from elocute.head import basel

    shape = face.shape(coefficients)
    if by_area:
        normals = face.normals(shape)
    else:
        a, b, c = shape[:, face.faces].unbind(2)
        across = normalize(torch.linalg.cross(a - b, b - c), dim=-1)
        normals = normalize(torch.nn.functional.pad(across, (0, 0, 0, 1))[:, face.ring].sum(2), dim=-1)
    normals = normals @ basel.rotations(coefficients[:, basel.ANGLES])
    placed, texture = basel.placed(shape, coefficients), face.albedo(coefficients) / 255
    colours = basel.lit(texture, normals, coefficients[:, basel.LIGHT])
    return Shown(shape, placed, normals, texture, colours, basel.project(placed))


@pytest.fixture(scope="session")
def show() -> Callable[..., Shown]:
    return show_basel


@pytest.fixture(scope="session")
def random_basel_arrays() -> dict[str, np.ndarray]:
    return random_basel()


@pytest.fixture(scope="session")
def basel_arrays(model: HeadModel) -> dict[str, np.ndarray]:
    return basel_like(model)


@pytest.fixture(scope="session")
def basel_face(basel_arrays: dict[str, np.ndarray]) -> object:
    """A face of the Basel kind whose every movement is known: float64."""
    import torch

    from elocute.head.basel import BaselFace

    return BaselFace.from_arrays(basel_arrays, dtype=torch.float64)
