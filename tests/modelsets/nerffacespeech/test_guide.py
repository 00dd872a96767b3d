"""What a guiding video says by expressions that never change."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from elocute.footage import open_footage
from elocute.head.basel import EXPRESSION
from elocute.modelsets.nerffacespeech import guide, weights


@pytest.mark.parametrize(("changes", "held"), [([0.0], True), ([0.0, 0.0, 0.002], True), ([0.0, 0.0, 0.3], False)])
@pytest.mark.parametrize("reference", [False, True])
def test_a_held_expression_counts_as_rest_and_is_told(
    changes: list[float], held: bool, reference: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(len(changes)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((8, 8, 3), number, np.uint8))
    theirs = np.random.default_rng(0).normal(0, 1, 64)

    def read(networks: None, rgb: np.ndarray, as_published: bool) -> tuple[np.ndarray, np.ndarray]:
        found = np.zeros(257, np.float32)
        found[EXPRESSION] = theirs + changes[rgb[0, 0, 0]]
        return found, np.array([0, 0, 1.0])

    monkeypatch.setattr(weights, "Networks", lambda device: None)
    monkeypatch.setattr(guide, "coefficients_of", read)
    followed = guide.follow_by_regressor("cpu", open_footage(tmp_path), reference)
    told = followed.warnings("guide")
    assert any("counts as its rest" in line for line in told) == (held and not reference)
