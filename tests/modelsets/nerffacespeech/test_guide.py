"""Whom a guiding video shows, and what it says by expressions that never change."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from elocute.footage import open_footage
from elocute.head.basel import EXPRESSION
from elocute.models.store import verify
from elocute.modelsets.nerffacespeech import guide, weights
from elocute.values import Face

PORTRAIT = Path(__file__).resolve().parents[3] / "examples" / "portrait.jpg"


@pytest.mark.parametrize(("changes", "held"), [([0.0], True), ([0.0, 0.0, 0.002], True), ([0.0, 0.0, 0.3], False)])
@pytest.mark.parametrize("reference", [False, True])
def test_a_held_expression_counts_as_rest_and_is_told(
    changes: list[float], held: bool, reference: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(len(changes)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((8, 8, 3), number, np.uint8))
    theirs = np.random.default_rng(0).normal(0, 1, 64)

    def read(networks: None, rgb: np.ndarray, face: str | None) -> tuple[np.ndarray, np.ndarray]:
        found = np.zeros(257, np.float32)
        found[EXPRESSION] = theirs + changes[rgb[0, 0, 0]]
        return found, np.array([0, 0, 1.0])

    monkeypatch.setattr(weights, "Networks", lambda device: None)
    monkeypatch.setattr(guide, "coefficients_of", read)
    monkeypatch.setattr(guide, "same_face", lambda rgb, previous: "a face")
    followed = guide.follow_by_regressor("cpu", open_footage(tmp_path), reference)
    told = followed.warnings("guide")
    assert any("counts as its rest" in line for line in told) == (held and not reference)


@pytest.mark.skipif(not verify("face"), reason="models not fetched: elocute models --fetch")
def test_a_person_is_followed_though_another_comes_nearer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = cv2.imread(str(PORTRAIT))
    side = min(photo.shape[:2])
    for number, (left, right) in enumerate([(256, 128), (256, 128), (0, 0), (200, 400), (200, 400)]):
        frame = np.full((480, 960, 3), 90, np.uint8)  # two people, then nobody, then the right one is the larger
        for x, size in ((240, left), (720, right)):
            if size:
                face = cv2.resize(photo[:side, :side], (size, size), interpolation=cv2.INTER_AREA)
                frame[240 - size // 2 :, x - size // 2 :][:size, :size] = face
        cv2.imwrite(str(tmp_path / f"{number}.png"), frame)
    seen: list[Face] = []

    def read(networks: None, rgb: np.ndarray, face: Face) -> tuple[np.ndarray, np.ndarray]:
        seen.append(face)
        return np.zeros(257, np.float32), np.array([0, 0, 1.0])

    monkeypatch.setattr(weights, "Networks", lambda device: None)
    monkeypatch.setattr(guide, "coefficients_of", read)
    followed = guide.follow_by_regressor("cpu", open_footage(tmp_path), reference=False)
    assert followed.missing == (2,)
    assert len(seen) == 4 and all(face.landmarks[:, 0].max() < 480 for face in seen), "somebody else was followed"
