"""What is behind the person: the photo's background completed where the person hid it, as far as the whole body, so
that a head may turn and move. The picture is continued at a reduced size (`texture.py`); the detail that only the full
size has, grain and blur with it, is copied from where each part came.
"""

from __future__ import annotations

import cv2
import numpy as np

from elocute.portrait.fill import push_pull
from elocute.portrait.texture import Patchwork, continue_texture

DILATE = 0.008  # of the longer side: hair finer than the matte sees must not be copied
SMALLEST = 32  # pixels of the shorter side: less has no texture
SEAM = 40  # grey levels
REACH = 0.07  # of the longer side: stray hair is sought so far out, and is no longer than that
HUGS = 0.02  # of the longer side: what stays so near is the person's, however long
FINE = 0.003  # of the longer side: detail as fine as a hair
STRAYS = 1.5, 2.8  # times the detail usual in the background: what belongs to a stray hair, what has to be in it
FAINTEST = 8  # grey levels of detail that can be seen
ALIKE = 0.4  # cosine between how a stray hair and how the person differ in colour from the background
GAP = 0.004  # of the longer side: stray hairs this far apart hang together
ISLAND = 0.002  # of the picture: background less than that, all around it person, is a gap in the matte


def complete_background(rgb: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """The background uint8 [H, W, 3] of the photo `rgb` without the person of `matte` float32 [H, W]. Pixels stay
    exactly as they are but for the person, a few pixels around, and stray hair. Deterministic. 1 to 2 s."""
    hole = _hole(rgb, matte)
    if not hole.any():
        return rgb.copy()
    patchwork = continue_texture(rgb, hole) if min(hole.shape) >= SMALLEST else None
    filled = _smooth(rgb, hole) if patchwork is None else _at_full_size(rgb, hole, patchwork)
    return np.where(hole[..., None], np.clip(np.round(filled), 0, 255).astype(np.uint8), rgb)


def _hole(rgb: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """Where the background is not known: the person, a few pixels around, and what of the person the matte missed."""
    radius = max(DILATE * max(matte.shape), 2)
    person = _grown(matte > 0.02, radius)
    _, labels, stats, _ = cv2.connectedComponentsWithStats((~person).astype(np.uint8), connectivity=4)
    x, y, w, h = (stats[:, i] for i in (cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP, cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT))
    inner = (x > 0) & (y > 0) & (x + w < matte.shape[1]) & (y + h < matte.shape[0])
    person |= (inner & (stats[:, cv2.CC_STAT_AREA] < ISLAND * matte.size))[labels]
    return person | _grown(_strays(rgb, matte, person), radius)


def _strays(rgb: np.ndarray, matte: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Stray hair and other bits beside the `person` that the matte missed, bool [H, W]: detail that is finer and
    stronger than the background has farther out, of the person's colour, and hanging together with the person.
    Nothing where the background itself is as detailed."""
    longest = max(matte.shape)
    near = _grown(person, REACH * longest)
    if near.all() or not person.any():
        return np.zeros_like(person)
    visible = (~person).astype(np.float32)
    sigma = max(FINE * longest, 1)
    low = cv2.GaussianBlur(rgb * visible[..., None], (0, 0), sigma)
    low /= np.maximum(cv2.GaussianBlur(visible, (0, 0), sigma), 1e-3)[..., None]
    excess = cv2.GaussianBlur((rgb - low) * visible[..., None], (0, 0), sigma / 4)
    detail = np.linalg.norm(excess, axis=2)
    usual = np.sqrt(push_pull((detail**2)[..., None], (~near).astype(np.float32))[..., 0])
    towards = push_pull(rgb.astype(np.float32), (matte > 0.9).astype(np.float32)) - low
    alike = (excess * towards).sum(axis=2) > ALIKE * detail * np.linalg.norm(towards, axis=2)
    beside = near & ~person & alike
    weak, strong = (beside & (detail > ratio * usual + FAINTEST) for ratio in STRAYS)
    together = (_grown(weak, max(GAP * longest, 1)) & ~person).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(together)
    own = np.intersect1d(labels[strong], labels[_grown(person, 2) & ~person])
    extent = stats[own][:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(axis=1, initial=0)
    off = np.isin(own, labels[weak & ~_grown(person, HUGS * longest)])
    own = own[~off | (extent <= REACH * longest)]  # what goes on farther is a line of the background
    return weak & np.isin(labels, own[own > 0])


def _smooth(rgb: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The hole filled smoothly; float32 [H, W, 3]."""
    filled = push_pull(rgb.astype(np.float32), (~hole).astype(np.float32))
    soft = cv2.GaussianBlur(filled, (0, 0), max(max(hole.shape) * 0.01, 1))  # no trace of the pyramid's squares
    edge = cv2.GaussianBlur(hole.astype(np.float32), (0, 0), max(max(hole.shape) * 0.005, 1))[..., None]
    return filled + edge * (soft - filled)


def _at_full_size(rgb: np.ndarray, hole: np.ndarray, patchwork: Patchwork) -> np.ndarray:
    """The patchwork enlarged, and on it the detail of the places that its parts came from; float32 [H, W, 3]."""
    size, small = np.array(hole.shape), np.array(patchwork.image.shape[:2])
    photo = push_pull(rgb.astype(np.float32), (~hole).astype(np.float32))
    reduced = cv2.resize(photo, small[::-1].tolist(), interpolation=cv2.INTER_AREA)
    detail = photo - cv2.resize(reduced, size[::-1].tolist(), interpolation=cv2.INTER_CUBIC)
    rim = _grown(hole, 2) & ~hole
    places = np.argwhere(hole | rim)
    cell = np.minimum(((places + 0.5) * small / size).astype(int), small - 1)
    shift = np.round(patchwork.offset[tuple(cell.T)] * size / small).astype(int)
    origin = tuple(np.clip(places + shift, 0, size - 1).T)
    copied: np.ndarray = cv2.resize(patchwork.image, size[::-1].tolist(), interpolation=cv2.INTER_CUBIC)
    copied[tuple(places.T)] += np.where(hole[origin][:, None], 0, detail[origin])
    return copied + _seam_correction(rgb, copied, rim)


def _seam_correction(rgb: np.ndarray, copied: np.ndarray, rim: np.ndarray) -> np.ndarray:
    """What to add to the copied texture so that it meets the photo at the rim: the difference there, spread inward.
    Large differences are an edge in the picture, not a seam, and are left alone."""
    difference = rgb.astype(np.float32) - copied
    seam = rim & (np.abs(difference).max(axis=2) < SEAM)
    return push_pull(difference * seam[..., None], seam.astype(np.float32))


def _grown(mask: np.ndarray, radius: float) -> np.ndarray:
    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5) <= radius
