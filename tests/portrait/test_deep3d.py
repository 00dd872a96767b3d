from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch

from elocute.errors import BadInput, EnvironmentProblem
from elocute.portrait import deep3d
from elocute.portrait.deep3d import crop_aligned, crop_whole, face_square, five_points

FLOAT32, FLOAT64 = 1e-6, 1e-7  # of the largest number


@pytest.fixture(scope="module")
def weights(rule_weights: Any) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        network = deep3d.Deep3DNet()
    return rule_weights(network)


@pytest.fixture(scope="module")
def network(weights: dict[str, torch.Tensor]) -> deep3d.Deep3DNet:
    return deep3d.load_deep3d(weights)


def off(found: torch.Tensor, wanted: np.ndarray) -> float:
    return float(np.abs(found.numpy() - wanted).max() / np.abs(wanted).max())


def test_the_reference_is_met(network: deep3d.Deep3DNet, recorded: Any) -> None:
    wanted = recorded("deep3d/net_recon_io.npz")
    small = torch.from_numpy(wanted["img14"])
    images = torch.nn.functional.interpolate(small, size=(224, 224), mode="bilinear", align_corners=False)
    assert off(network.features(images), wanted["pooled"]) < FLOAT32
    assert off(network(images), wanted["coeff"]) < FLOAT32


def test_the_reference_is_met_in_double(weights: dict[str, torch.Tensor], recorded: Any) -> None:
    wanted = recorded("deep3d/net_recon_io.npz")
    small = torch.from_numpy(wanted["img14"]).double()
    images = torch.nn.functional.interpolate(small, size=(224, 224), mode="bilinear", align_corners=False)
    with torch.no_grad():
        assert off(deep3d.load_deep3d(weights, dtype=torch.float64)(images), wanted["coeff_f64"]) < 1e-9


def test_names_and_shapes_are_the_published_ones(weights: dict[str, torch.Tensor], recorded: Any) -> None:
    import json
    from pathlib import Path

    recorded("deep3d/net_recon_io.npz")  # skips
    root = Path(__file__).resolve().parents[3] / "shared" / "parity" / "deep3d"
    listed = json.loads((root / "net_recon_state_dict.json").read_text())
    assert {name: list(tensor.shape) for name, tensor in weights.items()} == {n: s for n, (s, _) in listed.items()}


def test_golden(network: deep3d.Deep3DNet, golden: Any) -> None:
    wanted = golden("deep3d")
    crop = deep3d.Crop(wanted["image"], np.ones(2), np.zeros(2))
    found = torch.from_numpy(deep3d.read_coefficients(network, crop))
    assert off(found, wanted["coefficients"]) < 5e-6


def test_other_weights_are_refused(weights: dict[str, torch.Tensor]) -> None:
    for name, broken in {
        "missing": {k: v for k, v in weights.items() if k != "backbone.conv1.weight"},
        "not known": {**weights, "fc.weight": torch.zeros(3)},
        "has to be": {**weights, "final_layers.0.bias": torch.zeros(3)},
    }.items():
        with pytest.raises(EnvironmentProblem, match=name) as refusal:
            deep3d.load_deep3d(broken)
        assert refusal.value.code == "weights_mismatch"


def spots(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    picture = np.zeros((*size[::-1], 3), np.uint8)
    for x, y in points:
        cv2.circle(picture, (round(x * 16), round(y * 16)), 5 * 16, (255, 255, 255), -1, cv2.LINE_AA, 4)
    return picture


@pytest.mark.parametrize("kind", ["whole", "aligned"])
def test_crop_pixels_and_picture_pixels_agree(kind: str) -> None:
    """What is drawn at a place of the picture is where `to_picture` puts its place in the crop."""
    standard = np.array([[-0.31, 0.29, 0.5], [0.31, 0.29, 0.5], [0, 0, 0.9], [-0.26, -0.32, 0.6], [0.26, -0.32, 0.6]])
    five = standard[:, :2] * [300, -300] + [330, 280]
    landmarks = np.zeros((68, 2))
    landmarks[[36, 39]], landmarks[[42, 45]], landmarks[30], landmarks[48], landmarks[54] = five
    assert np.allclose(five_points(landmarks), five)
    for drawn in five:
        rgb = spots(drawn[None], (640, 560))
        if kind == "whole":
            crop = crop_whole(rgb)
        else:
            crop = crop_aligned(rgb, landmarks, standard)
        weight = crop.image[..., 0].astype(float)
        x = y = np.arange(224) + 0.5
        found = np.array([(weight.sum(0) * x).sum(), (weight.sum(1) * y).sum()]) / weight.sum()
        # a drawn pixel's index is its centre, half a pixel from its edge
        assert (np.abs(crop.to_picture(found) - (drawn + 0.5)) * crop.scale).max() < 0.15


def test_the_reference_s_square_around_a_face_is_met(recorded: Any) -> None:
    wanted = recorded("deep3d/fit3dmm_io.npz")
    assert face_square(wanted["bbox_in"], (224, 224)) == tuple(wanted["bbox_out"])


@pytest.mark.parametrize("seed", range(20))
def test_a_face_s_square_is_one_within_the_picture_and_with_room_around_the_face(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = rng.integers(60, 400, 2)
    low = rng.uniform(0, size - 20)
    box = np.concatenate([low, rng.uniform(low + 10, size)])
    x0, y0, x1, y1 = face_square(box, (int(size[0]), int(size[1])))
    assert x1 - x0 == y1 - y0 > 0 and min(x0, y0) >= 0 and (x1 <= size[0]) and (y1 <= size[1])
    if x0 and y0 and x1 < size[0] and y1 < size[1]:
        assert x1 - x0 == pytest.approx(1.3 * np.max(box[2:] - box[:2]), abs=1)
        assert np.abs(np.array([x0 + x1, y0 + y1]) - box[:2] - box[2:]).max() < 4


def test_an_aligned_face_has_the_standard_size_wherever_it_was() -> None:
    rng = np.random.default_rng(0)
    standard = np.array([[-0.31, 0.29, 0.5], [0.31, 0.29, 0.5], [0, 0, 0.9], [-0.26, -0.32, 0.6], [0.26, -0.32, 0.6]])
    for size in (90.0, 700.0):
        place = rng.uniform(300, 700, 2)
        landmarks = np.zeros((68, 2))
        five = standard[:, :2] * [size, -size] + place
        landmarks[[36, 39]], landmarks[[42, 45]], landmarks[30], landmarks[48], landmarks[54] = five
        crop = crop_aligned(np.zeros((1000, 1000, 3), np.uint8), landmarks, standard)
        inside = standard[:, :2] * [102, -102] + 112
        assert np.allclose(crop.to_picture(inside), five, atol=1e-6 * size)
    with pytest.raises(BadInput) as refusal:
        crop_aligned(np.zeros((10, 10, 3), np.uint8), np.ones((68, 2)), standard)
    assert refusal.value.code == "face_too_small"


def test_a_head_s_place_in_its_picture_is_followed() -> None:
    """A head is at the same place and of the same size in the crop and through the picture's own camera."""
    coefficients = np.zeros(257)
    coefficients[254:257] = 0.4, -0.3, 0.8
    crop = deep3d.Crop(np.zeros((224, 224, 3), np.uint8), np.full(2, 0.9), np.array([-100.0, -30]))
    moved = deep3d.translation_in_picture(coefficients, crop, (640, 480))

    def seen(translation: np.ndarray, point: np.ndarray) -> np.ndarray:
        x, y, z = translation + point
        return np.array([1015 * x / (10 - z) + 112, 112 - 1015 * y / (10 - z)])

    for point in np.array([[0, 0, 0], [0.5, 0, 0], [0, -0.7, 0]]):
        in_picture = crop.to_picture(seen(coefficients[254:257], point))
        through_camera = (seen(moved, point) - 112) * 640 / 224 + [320, 240]
        assert np.allclose(in_picture, through_camera, atol=1e-6)
