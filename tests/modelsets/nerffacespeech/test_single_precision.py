"""A device without double precision, as Apple's: results become doubles after they have left it, never on it."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import official
import pytest
import torch
from torch.overrides import TorchFunctionMode

from elocute.head.basel import BaselFace
from elocute.head.conversion import expression_conversion
from elocute.head.model import load_head_model
from elocute.modelsets.nerffacespeech.guide import _standard_points
from elocute.portrait.deep3d import Crop, read_coefficients
from elocute.speech.audio2exp import Audio2Exp, voice_expressions


class SinglePrecision(TorchFunctionMode):
    """Every tensor is on such a device until `cpu` brings it home."""

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        asked = function is torch.Tensor.double or torch.float64 in (*arguments, *(options or {}).values())
        if asked and not getattr(arguments[0], "home", False):
            raise TypeError("this device has no float64")
        result = function(*arguments, **(options or {}))
        if function is torch.Tensor.cpu:
            result = result.clone()
            result.home = True
        return result


@pytest.fixture(scope="module")
def face() -> BaselFace:
    return BaselFace.from_arrays(official.face_model(), "cpu")


class Regressor(torch.nn.Module):
    """Answers with nothing but noise."""

    final_layers = (SimpleNamespace(weight=torch.zeros(1)),)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.ones(1, 257)


PLACES: dict[str, Callable[[BaselFace], object]] = {
    "regressor": lambda face: read_coefficients(Regressor(), Crop(np.zeros((224, 224, 3), np.uint8), np.ones(2), None)),
    "voice": lambda face: voice_expressions(Audio2Exp().eval(), np.ones(1280), np.zeros(64), Fraction(25), 2),
    "guide": lambda face: _standard_points(SimpleNamespace(face=face)),
    "conversion": lambda face: expression_conversion(face, load_head_model()),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_device_without_doubles_serves(face: BaselFace, place: str) -> None:
    with SinglePrecision():
        PLACES[place](face)
