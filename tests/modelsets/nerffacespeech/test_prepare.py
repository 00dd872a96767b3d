"""What the report of an official fit says."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from elocute.inversion.stylenerf import tuning
from elocute.inversion.stylenerf.tuning import TuningStep
from elocute.modelsets.nerffacespeech import weights
from elocute.modelsets.nerffacespeech.prepare import tune_generator
from elocute.settings import FitSettings


@pytest.mark.parametrize("left", [0, 2])
def test_the_tuning_is_told_however_much_of_it_was_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    """A fit that was stopped after its last step has none left to make."""
    made = [TuningStep(number, 0.5, 0.25, 0.125) for number in range(7 - left, 7)]
    monkeypatch.setattr(tuning, "tune", lambda *arguments: iter(made))
    monkeypatch.setattr(weights, "perceptual", lambda role, device, notes: SimpleNamespace(name="LPIPS-Alex"))
    settings = FitSettings("a.jpg", fit_steps=(1, 7))
    about: dict[str, Any] = {"notes": []}
    networks: Any = SimpleNamespace(device="cpu")
    person: Any = torch.nn.Linear(1, 1)
    nothing: Any = None
    tune_generator(networks, person, nothing, nothing, nothing, settings, lambda m: None, about, tmp_path / "c")
    assert about["tuning"]["steps"] == 7 and about["tuning"]["by"] == "LPIPS-Alex"
    assert ("distance" in about["tuning"]) == (left > 0)
