"""The imported networks of the set, each loaded when it is first asked for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ...errors import EnvironmentProblem
from ...models import load_generator
from ...models.official import imported, imported_if_any

if TYPE_CHECKING:
    from ...generators.lipaint import LipaintNet
    from ...generators.stylenerf.config import Config
    from ...generators.stylenerf.generator import StyleNerf
    from ...head.basel import BaselFace
    from ...head.conversion import ExpressionConversion
    from ...inversion.stylenerf.perceptual import Perceptual
    from ...portrait.deep3d import Deep3DNet
    from ...portrait.parsing import BiSeNet
    from ...speech.audio2exp import Audio2Exp


class Networks:
    """The networks on one device. Properties raise EnvironmentProblem model_not_imported or model_hash."""

    def __init__(self, device: str) -> None:
        self.device = device

    def generator(self, tuned: dict[str, np.ndarray] | None = None) -> StyleNerf:
        """The official generator, or one with a person's own arrays."""
        found = imported("generator")
        generator = load_generator(found.config, to_tensors(tuned or found.arrays()))
        return generator.to(self.device).requires_grad_(False)

    def generator_config(self) -> Config:
        """What the official generator is like, without reading its arrays."""
        from ...generators.stylenerf.config import parse_config

        found = imported("generator")
        return parse_config(found.config, {name: torch.empty(s, device="meta") for name, s in found.shapes().items()})

    @cached_property
    def face(self) -> BaselFace:
        from ...head.basel import BaselFace

        return BaselFace.from_arrays(imported("face_model").arrays(), self.device)

    @cached_property
    def regressor(self) -> Deep3DNet:
        from ...portrait.deep3d import load_deep3d

        return load_deep3d(to_tensors(imported("face_regressor").arrays()), self.device)

    @cached_property
    def speech(self) -> Audio2Exp:
        from ...speech.audio2exp import load_audio2exp

        return load_audio2exp(to_tensors(imported("speech_expression").arrays()), self.device)

    @cached_property
    def mouth(self) -> LipaintNet | None:
        """None when it was never imported: mouths are then what the field shows. Raises EnvironmentProblem
        weights_mismatch for a generator with other styles than it takes."""
        from ...generators.lipaint import STYLE, load_lipaint

        found = imported_if_any("mouth")
        if found is None:
            return None
        styles = self.generator_config().w_dim
        if styles != STYLE:
            text = f"LipaintNet takes styles of {STYLE} numbers, the imported generator's have {styles}."
            raise EnvironmentProblem("weights_mismatch", f"{text} Import the official generator that belongs to it.")
        return load_lipaint(to_tensors(found.arrays()), self.device)

    @cached_property
    def parser(self) -> BiSeNet | None:
        """None when it was never imported: nothing is then known of mouth and shoulders."""
        from ...portrait.parsing import load_bisenet

        found = imported_if_any("segmentation")
        return load_bisenet(to_tensors(found.arrays()), self.device) if found else None

    @cached_property
    def conversion(self) -> ExpressionConversion:
        """Between ARKit units and this face's coefficients."""
        from ...head.conversion import expression_conversion
        from ...head.model import load_head_model

        return expression_conversion(self.face, load_head_model())


def perceptual(role: str, device: str, notes: list[str]) -> Perceptual:
    """LPIPS with the user's weights for `role`, or a stand-in, which `notes` then name."""
    from ...inversion.stylenerf.perceptual import Lpips, PyramidDistance

    found = imported_if_any(role)
    if found is not None:
        return Lpips(to_tensors(found.arrays())).to(device)
    notes.append(f"{role} was not imported: the fit compares pictures by the {PyramidDistance.name} instead")
    return PyramidDistance()


def to_tensors(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
