"""Generators that several tests share."""

from __future__ import annotations

from typing import Any

import pytest
from stylenerf_samples import VARIANTS, recorded, tiny_config, tiny_state


@pytest.fixture(scope="session", params=VARIANTS)
def recording(request: Any) -> Any:
    return recorded(request.param)


@pytest.fixture(scope="session", params=["pixelshuffle", "nn_cat", "pixelshuffle_noblur", "nn_cat_noblur"])
def tiny(request: Any) -> Any:
    from elocute.models import load_generator

    return load_generator(tiny_config(request.param), tiny_state(request.param))
