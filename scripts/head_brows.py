"""Brows that move as a whole: MakeHuman's units move the forehead above them and leave their lower edge behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from head_parts import PARTS, smoothstep
from scipy.interpolate import LinearNDInterpolator

from elocute.values import ARKIT_NAMES

if TYPE_CHECKING:
    from build_head_model import Mesh

# Metres aside from the middle and above the origin of a brow's lower and upper edge, from its inner end outwards.
ASIDE = np.array([0.0115, 0.025, 0.0365, 0.0455, 0.051])
LOWER = np.array([0.0245, 0.028, 0.029, 0.0275, 0.0245])  # a little lower than this head's: brows may lie low
UPPER = np.array([0.0335, 0.035, 0.036, 0.0335, 0.0295])
BELOW = 0.004  # metres below the brow over which the lid's fold gives way to it
BESIDE = 0.009  # metres beyond its ends
DOWN = 0.75  # of MakeHuman's browDown: whole, it pushes the brow over the lid
FOREHEAD = (0.0, 0.09)  # metres above the origin of the skin that is looked at


def whole_brows(mesh: Mesh, unit: dict[str, np.ndarray]) -> None:
    """Gives everything from a brow's lower edge up the displacement of its upper edge. In place."""
    points = mesh.vertices
    skin = mesh.vertex_part == PARTS.index("skin")
    front = np.flatnonzero(skin & (points[:, 2] > 0.04) & (points[:, 1] > FOREHEAD[0]) & (points[:, 1] < FOREHEAD[1]))
    x, y = points[front, :2].T
    aside = np.abs(x)
    lower, upper = (np.interp(aside, ASIDE, edge) for edge in (LOWER, UPPER))
    share = smoothstep(y, lower - BELOW, lower) * smoothstep(aside, ASIDE[0] - BESIDE, ASIDE[0])
    share *= 1 - smoothstep(aside, ASIDE[-1], ASIDE[-1] + BESIDE)
    places = np.stack([x, y + share * np.maximum(upper - y, 0)], 1)
    for name in ARKIT_NAMES:
        if name.startswith("brow"):
            above = LinearNDInterpolator(np.stack([x, y], 1), unit[name][front])(places)
            unit[name][front] = np.where(np.isfinite(above), above, unit[name][front])
            unit[name] *= DOWN if name.startswith("browDown") else 1
