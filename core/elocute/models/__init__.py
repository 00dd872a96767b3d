"""The files that hold learned weights: which there are, where they come from, whether they are here and intact."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from ..generators.stylenerf.generator import StyleNerf


def load_generator(config: Mapping[str, Any], state_dict: Mapping[str, Tensor]) -> StyleNerf:
    """A StyleNeRF generator from an official file's constructor arguments and arrays, as importing leaves them.

    It has `mapping(z)` and `render(ws, camera, ...)`, whose docstrings give the shapes. Raises BadInput generator_*
    for options that aren't known, arrays that are missing, left over or of the wrong shape, and unfinished training.
    """
    from ..generators.stylenerf.generator import StyleNerf

    return StyleNerf.load(config, state_dict)
