"""The Basel face: against the reference's recordings, against this project's own, and against what has to hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from elocute.errors import BadInput
from elocute.head import basel
from elocute.head.basel import BaselFace
from elocute.head.basel_parts import EXPRESSIONS, basel_from_parts, read_expression_basis

FLOAT32_PIXELS, FLOAT32 = 3e-5, 2e-6  # of numbers up to 224, and of those up to 10
FLOAT64 = 1e-12


@pytest.fixture(scope="module")
def recorded_face(recorded: Any) -> BaselFace:
    from scipy.io import loadmat

    recorded("deep3d/bfm_io.npz")  # skips
    root = Path(__file__).resolve().parents[3] / "shared" / "parity" / "deep3d"
    return BaselFace.from_arrays(loadmat(str(root / "BFM_model_front_synthetic.mat")))


def off(found: torch.Tensor, wanted: np.ndarray) -> float:
    return float(np.abs(found.numpy() - wanted).max())


def test_every_array_of_the_reference_is_met(recorded_face: BaselFace, recorded: Any, show: Any) -> None:
    wanted = recorded("deep3d/bfm_io.npz")
    coefficients = torch.from_numpy(wanted["coeff"])
    found = show(recorded_face, coefficients)
    assert off(found.shape, wanted["shape"]) < FLOAT32
    assert off(basel.rotations(coefficients[:, basel.ANGLES]), wanted["rotation"]) < FLOAT32
    assert off(basel.seen_from_camera(found.placed), wanted["cam_vertex"]) < FLOAT32
    assert off(found.texture, wanted["texture"]) < FLOAT32
    assert off(found.colours, wanted["color"]) < FLOAT32
    assert off(found.pixels[:, recorded_face.keypoints], wanted["landmark"]) < FLOAT32_PIXELS
    assert off(found.pixels, wanted["proj"]) < FLOAT32_PIXELS


def test_the_fit_s_version_of_the_reference_is_met(recorded_face: BaselFace, recorded: Any, show: Any) -> None:
    wanted = recorded("deep3d/fit3dmm_io.npz")
    found = show(recorded_face, torch.from_numpy(wanted["coeff"]), by_area=True)
    rows = basel.project(found.placed[:, recorded_face.keypoints], rows=True)
    assert off(rows, wanted["lms_proj"]) < 4e-5  # the reference centres the mean in float64 here
    assert off(found.placed, wanted["vertex_world"]) < FLOAT32
    assert off(recorded_face.normals(found.shape), wanted["normal"]) < FLOAT32
    assert off(255 * found.colours, wanted["color255"]) < 255 * FLOAT32


def test_golden(random_basel_arrays: dict[str, np.ndarray], golden: Any, show: Any) -> None:
    wanted = golden("basel")
    face = BaselFace.from_arrays(random_basel_arrays, dtype=torch.float64)
    found = show(face, torch.from_numpy(wanted["coefficients"]))
    assert off(found.pixels[:, ::9], wanted["pixels"]) < 1e-9
    assert off(found.colours[:, ::9], wanted["colours"]) < 1e-10


def test_rotations_are_rotations_in_the_order_x_y_z() -> None:
    angles = torch.from_numpy(np.random.default_rng(0).uniform(-3, 3, (20, 3)))
    turned = basel.rotations(angles)
    assert off(turned @ turned.transpose(1, 2), np.eye(3)) < FLOAT64
    assert off(torch.linalg.det(turned), np.ones(20)) < FLOAT64
    one = [basel.rotations(angles * torch.eye(3, dtype=torch.float64)[k]) for k in range(3)]
    assert off(turned - one[0] @ one[1] @ one[2], np.zeros((20, 3, 3))) < FLOAT64
    quarter = basel.rotations(torch.tensor([[0, np.pi / 2, 0]], dtype=torch.float64))[0]
    # yaw + turns the face (z) to the picture's right (x)
    assert np.allclose(torch.tensor([0.0, 0, 1], dtype=torch.float64) @ quarter, [1, 0, 0], atol=FLOAT64)


def test_the_mean_face_looks_into_the_camera(basel_face: BaselFace, show: Any) -> None:
    found = show(basel_face, torch.zeros(1, 257, dtype=torch.float64))
    marks = found.pixels[0, basel_face.keypoints].numpy()
    assert (marks[36:42, 0] < 112).all() and (marks[42:48, 0] > 112).all()  # the subject's right eye is at the left
    assert marks[36:48, 1].min() > marks[48:68, 1].max() > marks[8, 1]  # y up: eyes above lips above chin
    nose = basel_face.keypoints[30]
    assert found.normals[0, nose, 2] > 0.5
    assert torch.allclose(found.normals.norm(dim=-1), torch.ones(1, dtype=torch.float64))


def test_light_without_bands_is_the_texture_s_own(basel_face: BaselFace, show: Any) -> None:
    """One colour from everywhere: the ambient band alone, pi / sqrt(4 pi) of 0.8."""
    found = show(basel_face, torch.zeros(1, 257, dtype=torch.float64))
    ratio = found.colours / found.texture
    assert torch.allclose(ratio, torch.full_like(ratio, 0.8 * np.pi / np.sqrt(4 * np.pi)))
    brighter = torch.zeros(1, 257, dtype=torch.float64)
    brighter[0, basel.LIGHT.start + 2] = 0.5  # red light from the front
    red = show(basel_face, brighter).colours - found.colours
    assert red[0, basel_face.keypoints[30], 0] > 0.1 and (red[..., 1:] == 0).all()


def test_the_keypoints_alone_are_where_the_whole_model_has_them(basel_face: BaselFace) -> None:
    coefficients = torch.from_numpy(np.random.default_rng(1).normal(0, 0.3, (3, 257)))
    whole = basel.placed(basel_face.shape(coefficients), coefficients)[:, basel_face.keypoints]
    points = basel_face.only_keypoints()
    assert torch.equal(basel.placed(points.shape(coefficients), coefficients), whole)


def test_another_precision_is_the_same_face(basel_face: BaselFace, show: Any) -> None:
    coefficients = torch.from_numpy(np.random.default_rng(2).normal(0, 0.1, (1, 257)))
    single = basel_face.to(dtype=torch.float32)
    assert single.faces.dtype == torch.int64
    found = show(single, coefficients.float()).pixels
    assert off(found, show(basel_face, coefficients).pixels.numpy()) < 1e-3


@pytest.mark.parametrize("break_it", ["missing", "shape", "index"])
def test_a_model_that_does_not_fit_together_is_refused(basel_arrays: dict[str, np.ndarray], break_it: str) -> None:
    arrays = dict(basel_arrays)
    if break_it == "missing":
        del arrays["exBase"]
    elif break_it == "shape":
        arrays["idBase"] = arrays["idBase"][:-3]
    else:
        arrays["tri"] = arrays["tri"] + 1
    with pytest.raises(BadInput) as refusal:
        BaselFace.from_arrays(arrays)
    assert refusal.value.code == "head_model_unreadable"


def test_the_parts_make_the_whole() -> None:
    """Each vertex of the front face comes from the places that the two indices name, in the fitted model's units."""
    rng = np.random.default_rng(3)
    scans, expressions, front = 40, 30, 12
    trim = rng.permutation(scans)[:expressions]
    chosen = rng.permutation(expressions)[:front]
    morphable = {
        "shapePC": rng.normal(0, 1, (3 * scans, 199)), "shapeEV": rng.uniform(1, 9, (199, 1)),
        "shapeMU": rng.normal(0, 1e5, (3 * scans, 1)), "texPC": rng.normal(0, 1, (3 * scans, 199)),
        "texEV": rng.uniform(1, 9, (199, 1)), "texMU": rng.uniform(0, 255, (3 * scans, 1)),
    }  # fmt: skip
    mean, components = np.zeros(3 * expressions, "<f4"), rng.normal(0, 1, (79, 3 * expressions)).astype("<f4")
    deviations = rng.uniform(1, 5, 79)
    data = np.int32(79).tobytes() + mean.tobytes() + components.tobytes()
    info = {name: np.ones((2, 3)) for name in ("tri", "point_buf", "tri_mask2", "keypoints", "frontmask2_idx")}
    info["skinmask"] = np.ones((1, front))
    basis = read_expression_basis(data, deviations, expressions)
    built = basel_from_parts(morphable, basis, chosen[:, None] + 1, trim[:, None] + 1, info)
    assert built["idBase"].shape == (3 * front, 80) and built["exBase"].shape == (3 * front, EXPRESSIONS)
    for vertex in range(front):
        scan, expression = trim[chosen[vertex]], chosen[vertex]
        for axis in range(3):
            row = 3 * vertex + axis
            assert np.isclose(built["meanshape"][0, row], morphable["shapeMU"][3 * scan + axis, 0] / 1e5)
            assert np.isclose(built["meantex"][0, row], morphable["texMU"][3 * scan + axis, 0])
            shape = morphable["shapePC"][3 * scan + axis, :80] * morphable["shapeEV"][:80, 0] / 1e5
            moved = components[:64, 3 * expression + axis] * deviations[:64] / 1e5
            assert np.allclose(built["idBase"][row], shape) and np.allclose(built["exBase"][row], moved)
            assert np.allclose(
                built["texBase"][row], morphable["texPC"][3 * scan + axis, :80] * morphable["texEV"][:80, 0]
            )
    with pytest.raises(BadInput, match=r"Exp_Pca\.bin"):
        read_expression_basis(data[:-1], deviations, expressions)
    with pytest.raises(BadInput, match="texMU"):
        basel_from_parts({k: v for k, v in morphable.items() if k != "texMU"}, basis, chosen, trim, info)
