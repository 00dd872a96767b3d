"""One real photo, analysed once for all tests of this folder."""

from pathlib import Path

import numpy as np
import pytest

from elocute.models.store import fetch
from elocute.portrait.analyse import analyse

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "portrait.jpg"


@pytest.fixture(scope="session", autouse=True)
def _models():
    fetch("face")
    fetch("matting")
    fetch("enlarge")


@pytest.fixture(scope="session")
def portrait():
    return analyse(EXAMPLE)


@pytest.fixture(scope="session")
def rgb(portrait):
    """The photo [600, 512, 3]."""
    return portrait.rgb


@pytest.fixture(scope="session")
def yy_xx(portrait):
    """Pixel centres (y, x), each [H, W]."""
    height, width = portrait.matte.shape
    return np.mgrid[0:height, 0:width] + 0.5
