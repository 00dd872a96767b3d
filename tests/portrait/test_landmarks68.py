from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest

from elocute.errors import BadInput
from elocute.portrait import landmarks68
from elocute.portrait.landmarks68 import find_68, matrix_68, to_68

# The mirror image of each of the 68 landmarks.
TWINS = np.array([
    *range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31, 45, 44, 43, 42, 47, 46, 39, 38, 37, 36,
    41, 40, 54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65,
])  # fmt: skip
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "portrait.jpg"


@pytest.fixture(scope="module")
def mean_head() -> np.ndarray:
    from elocute.head.model import load_head_model

    model = load_head_model()
    return to_68(model.landmarks(model.base).astype(float)) * 1000


def test_each_landmark_is_a_mean_of_at_most_two() -> None:
    matrix = matrix_68()
    assert np.allclose(matrix.sum(1), 1) and (matrix >= 0).all() and ((matrix > 0).sum(1) <= 2).all()


def test_the_order_is_symmetric(mean_head: np.ndarray) -> None:
    """The mean head is symmetric, so every landmark's mirror image is its twin."""
    assert np.abs(mean_head[TWINS] * [-1, 1, 1] - mean_head).max() < 0.5


def test_the_order_is_ibug_s(mean_head: np.ndarray) -> None:
    x, y = mean_head[:, 0], mean_head[:, 1]
    assert (np.diff(x[0:17]) > -2).all() and x[0] < -60  # from the subject's right, which is -x, along the jaw
    assert y[8] == y.min() and y[17:27].min() > y[36:48].max() > y[31:36].max() > y[48:68].max()
    assert x[36] < x[39] < x[27] < x[42] < x[45] and x[48] < x[60] < x[64] < x[54]
    assert (y[[37, 38]] > y[[41, 40]]).all() and (y[[50, 51, 52]] > y[[58, 57, 56]]).all()
    assert (y[[61, 62, 63]] >= y[[67, 66, 65]] - 0.3).all() and mean_head[30, 2] == mean_head[:, 2].max()


def test_the_jaw_line_is_evenly_spaced(mean_head: np.ndarray) -> None:
    gaps = np.linalg.norm(np.diff(mean_head[:17, :2], axis=0), axis=1)
    assert gaps.min() > 0.8 * gaps.mean() and gaps.max() < 1.2 * gaps.mean()


def test_a_photo_s_landmarks_are_on_its_face(monkeypatch: pytest.MonkeyPatch) -> None:
    from elocute.models.store import verify
    from elocute.portrait.image import load_image

    if not verify("face"):
        pytest.skip("models not fetched: elocute models --fetch")
    monkeypatch.setattr(landmarks68, "find_spec", lambda name: None)
    rgb = load_image(EXAMPLE).rgb
    points = find_68(rgb)
    assert points.shape == (68, 2) and (points > 0).all() and (points < rgb.shape[1::-1]).all()
    with pytest.raises(BadInput) as refusal:
        find_68(np.zeros((200, 200, 3), np.uint8), "wall.png")
    assert refusal.value.code == "no_face" and "wall.png" in str(refusal.value)


@pytest.fixture
def fake_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A face-alignment that finds two faces, and the folder where its weights have to be."""
    import torch

    library, api, detection, sfd, detector = (
        types.ModuleType(name) for name in ("face_alignment", "face_alignment.api", "face_alignment.detection",
                                            "face_alignment.detection.sfd", "face_alignment.detection.sfd.sfd_detector")
    )  # fmt: skip
    api.models_urls = {"3DFAN-4": "scheme://host/3dfan.tar"}  # type: ignore[attr-defined]
    detector.models_urls = {"s3fd": "scheme://host/s3fd.pth"}  # type: ignore[attr-defined]
    points = np.arange(136, dtype=np.float32).reshape(68, 2)

    class FaceAlignment:
        def __init__(self, kind: object, device: str, compile: bool) -> None:
            assert kind == "2.5" and device == "cpu" and not compile

        def get_landmarks_from_image(self, rgb: np.ndarray) -> list[np.ndarray] | None:
            return [points, 2 * points] if rgb.any() else None

    library.FaceAlignment = FaceAlignment  # type: ignore[attr-defined]
    library.LandmarksType = types.SimpleNamespace(TWO_HALF_D="2.5")  # type: ignore[attr-defined]
    for module in (library, api, detection, sfd, detector):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(landmarks68, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    landmarks68._face_alignment.cache_clear()
    return tmp_path / "checkpoints"


def test_face_alignment_is_used_when_it_and_its_weights_are_there(fake_library: Path) -> None:
    picture = np.ones((300, 300, 3), np.uint8)
    fake_library.mkdir()
    for name in ("3dfan.tar", "s3fd.pth"):
        assert landmarks68.face_alignment_missing()
        (fake_library / name).touch()
    assert not landmarks68.face_alignment_missing()
    assert find_68(picture)[67].tolist() == [268, 270]  # the larger of the two
    with pytest.raises(BadInput) as none:
        find_68(np.zeros_like(picture))
    assert none.value.code == "no_face"
