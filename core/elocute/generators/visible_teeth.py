"""Which teeth a photo shows: upper and lower rows, gums, and their colour."""

from __future__ import annotations

import cv2
import numpy as np

from ..landmarks import LIP_MIDDLES, MOUTH_CORNERS, OUTER_LIPS, apart
from ..portrait.lips import BRIGHT, PALE, PARTED
from ..portrait.regions import polygon_mask
from .appearance import as_vivid

TOOTH_LIGHT = 1.5  # teeth reflect about so much more than lit skin
TOOTH_HUE = 0.4  # how much of the lit skin's hue is the light's
DARK = 0.6  # of the lips' light: less comes from the depth of the mouth
TEETH_SHOWN = 0.025  # of its square: a row of which less shows tells nothing; and less that is pale may be a wet lip
ROWS_APART = 0.1  # of its width: so high is at least what opens above lower teeth, in
TWO_ROWS = 0.4  # of the columns that show teeth
IVORY = np.array([0.82, 0.81, 0.795], np.float32)  # sRGB in white light; with TOOTH_HUE as ten laughing photos have it
STEP = 0.01  # of the mouth's width, the grid in which a bite is looked for,
BITE_DOWN, BITE_ACROSS = (-0.3, 0.5), 0.36  # so far down and to either side of the mouth's middle
BESIDE, MARGIN = 5, 8  # steps: teeth beside the line; no line nearer to the grid's end
BITTEN = 0.27  # of the columns have teeth above and below the line
OPEN = 0.35  # of what the mouth shows below the line is dark: it opens below the upper row
BITE = 0.04  # of the teeth's light, the line is darker by, over all columns


def find_teeth(
    own: np.ndarray, mouth: np.ndarray, xy: np.ndarray, light: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The teeth's colour [3], assumed from the lit skin's colour `light` [3] where the photo shows none, and where
    [R, R] 0..1 it shows upper teeth or the gums above them."""
    rows = visible_teeth(own, mouth, xy)
    if rows is None:
        hue = (light / light.mean()) ** TOOTH_HUE
        assumed = np.clip(as_vivid(IVORY, light) * hue * np.clip(TOOTH_LIGHT * light.mean(), 0.6, 1), 0, 1)
        return assumed, np.zeros_like(mouth)
    upper, lower = rows
    tooth = np.quantile(own[upper | lower], 0.6, axis=0)
    level = own.mean(2)
    above = np.cumsum(upper[::-1], axis=0)[::-1] > 0  # of a tooth: another, or the gum it is set in, not the dark
    gums = above & (mouth > 0.9) & (level > DARK * np.median(level[lip_pixels(mouth, xy)]))
    crowns = cv2.GaussianBlur((upper | gums & upper.any()).astype(np.float32), (0, 0), 1)
    return tooth.astype(np.float32), crowns


def visible_teeth(own: np.ndarray, mouth: np.ndarray, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Pixels [R, R] where the photo shows upper teeth, and where lower ones (paler and lighter than the lips), or None
    when it shows none. Rows that touch without a line between them count as upper."""
    lips = own[lip_pixels(mouth, xy)]
    width, gap = apart(xy, MOUTH_CORNERS), apart(xy, LIP_MIDDLES)
    if gap <= PARTED * width or not len(lips):
        return None
    level, spread = own.mean(2), own.max(2) - own.min(2)
    pale = spread < PALE * np.median(lips.max(1) - lips.min(1))
    teeth = (mouth > 0.9) & pale & (level > np.quantile(lips.mean(1), BRIGHT))
    below = _below_gap(teeth, mouth > 0.9, ROWS_APART * width)
    if not below.any():
        below = _below_bite(level, teeth, xy)
        dark = level[(mouth > 0.9) & below] < DARK * np.median(lips.mean(1))
        if dark.sum() > OPEN * len(dark):  # it is a line on the one row: a brace's wire
            below[:] = False
    upper, lower = (row & (row.sum() > TEETH_SHOWN * width**2) for row in (teeth & ~below, teeth & below))
    return (upper, lower) if (upper | lower).any() else None


def _below_gap(teeth: np.ndarray, mouth: np.ndarray, apart: float) -> np.ndarray:
    """Pixels [R, R] below a line through what opens above lower teeth, `apart` pixels high at least; none where most
    columns show no such gap."""
    column = np.ones((2 * round(apart / 2) + 1, 1), np.uint8)
    gap = cv2.morphologyEx((mouth & ~teeth).astype(np.uint8), cv2.MORPH_OPEN, column) > 0
    gap &= np.cumsum(teeth[::-1], axis=0)[::-1] > 0
    columns = np.flatnonzero(gap.any(0))
    if len(columns) < max(TWO_ROWS * teeth.any(0).sum(), 2):
        return np.zeros_like(teeth)
    y = np.arange(len(teeth))[:, None]
    middle = (gap * y).sum(0)[columns] / gap.sum(0)[columns]
    slope, height = np.polyfit(columns, middle, 1)
    return y > slope * np.arange(teeth.shape[1]) + height


def _below_bite(level: np.ndarray, teeth: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Pixels [R, R] below the dark line along which rows that touch meet: of all parabolas across the mouth with teeth
    on either side the one that is darkest before them; none where that is hardly darker."""
    width, middle, axes = mouth_axes(xy)
    down = np.arange(*BITE_DOWN, STEP)
    across = np.arange(-BITE_ACROSS, BITE_ACROSS + STEP / 2, STEP)
    at = middle + width * (across[None, :, None] * axes[:, 0] + down[:, None, None] * axes[:, 1]) - 0.5
    x, y = np.moveaxis(at.astype(np.float32), -1, 0)
    light = cv2.remap(cv2.GaussianBlur(level, (0, 0), max(0.5, 0.8 * STEP * width)), x, y, cv2.INTER_LINEAR)
    tooth = cv2.remap(teeth.astype(np.float32), x, y, cv2.INTER_LINEAR) > 0.5
    if not tooth.any():
        return np.zeros_like(teeth)
    beside = (np.roll(light, BESIDE, 0) + np.roll(light, -BESIDE, 0)) / 2
    darker = np.clip((beside - light) / np.median(light[tooth]), -0.1, 0.3)
    on_both = _near(tooth, -1) & _near(tooth, 1)
    column, row = np.arange(len(across)), np.arange(MARGIN, len(down) - MARGIN)[:, None]
    best, curve = BITE, None
    for bend in np.arange(-1.2, 0.41, 0.1):
        for slope in np.arange(-0.2, 0.21, 0.05):
            shift = (bend * across**2 + slope * across) / STEP
            line = np.clip(np.round(row + shift).astype(int), MARGIN, len(down) - MARGIN - 1)
            both = on_both[line, column]
            score = (darker[line, column] * both).mean(1) * (both.mean(1) > BITTEN)
            if score.max() > best:
                best, curve = score.max(), (bend, slope, down[row[score.argmax(), 0]])
    if curve is None:
        return np.zeros_like(teeth)
    along, below = np.moveaxis((np.indices(teeth.shape)[::-1].transpose(1, 2, 0) + 0.5 - middle) @ axes / width, -1, 0)
    return below > curve[0] * along**2 + curve[1] * along + curve[2]


def _near(tooth: np.ndarray, way: int) -> np.ndarray:
    """Where what lies close by, above (-1) or below (1) each place of the grid `tooth`, is tooth."""
    return sum(np.roll(tooth, -way * k, 0).astype(int) for k in (4, 6)) == 2


def mouth_axes(xy: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Width of the mouth in pixels, its middle [2], and as columns [2, 2] the ways across and down it, whatever a
    head's tilt."""
    right, left = xy[list(MOUTH_CORNERS)]
    across, width = left - right, apart(xy, MOUTH_CORNERS)
    return width, (right + left) / 2, np.stack([across, [-across[1], across[0]]], 1) / width


def lip_pixels(mouth: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Pixels of the lips themselves."""
    return (polygon_mask(xy[list(OUTER_LIPS)], *mouth.shape) > 0.5) & (mouth < 0.1)
