"""The field's feature planes before tuning: the portrait taken apart into layers, each continued under the next.

A layer that moves uncovers what the photo never showed: skin under an opened eye, the eye beneath the lid, teeth
behind the lip. So each plane is the photo where its layer is visible and a smooth continuation elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..portrait.fill import push_pull
from ..portrait.regions import polygon_mask
from ..rendering.shells import EYES, PLANES, RELIEF, SKIN, TEETH

RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
OUTER_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
IRISES = ((468, (469, 470, 471, 472), RIGHT_EYE), (473, (474, 475, 476, 477), LEFT_EYE))
LASH = 0.028  # of the distance between the outer eye corners: lashes and lid shadow reach so far past the opening
IVORY = np.array([0.86, 0.82, 0.75], np.float32)  # teeth under white light, sRGB, when the photo shows none


@dataclass(frozen=True)
class Layers:
    """planes [PLANES, R, R, 4] sRGB + alpha in 0..1; tooth [3] sRGB colour of the teeth; shows_teeth: the photo
    shows them; opening [R, R] 0..1: the mouth's opening in the photo."""

    planes: np.ndarray
    tooth: np.ndarray
    shows_teeth: bool
    opening: np.ndarray


def split_layers(
    photo: np.ndarray, matte: np.ndarray, background: np.ndarray, landmarks: np.ndarray
) -> Layers:
    """photo, background float32 [R, R, 3] 0..1 sRGB; matte [R, R]; landmarks [478, 2+] in pixels of the photo."""
    side = photo.shape[0]
    xy = landmarks[:, :2]
    span = float(np.linalg.norm(xy[33] - xy[263]))
    own = unmix(photo, matte, background)
    eyes = [polygon_mask(xy[list(ring)], side, side) for _, _, ring in IRISES]
    mouth = polygon_mask(xy[list(INNER_LIPS)], side, side)
    holes = np.maximum.reduce([*eyes, mouth])
    planes = np.empty((PLANES, side, side, 4), np.float32)
    planes[RELIEF, ..., :3], planes[RELIEF, ..., 3] = own, matte
    planes[SKIN, ..., :3] = fill_openings(own, eyes, mouth, LASH * span)
    planes[SKIN, ..., 3] = np.maximum(matte, cv2.dilate(holes, np.ones((5, 5))))
    planes[EYES, ..., :3], planes[EYES, ..., 3] = complete_eyes(own, xy, eyes), 1
    teeth, tooth, shown = complete_teeth(own, mouth, xy)
    planes[TEETH, ..., :3], planes[TEETH, ..., 3] = teeth, 1
    return Layers(planes, tooth, shown, mouth)


def unmix(photo: np.ndarray, matte: np.ndarray, background: np.ndarray) -> np.ndarray:
    """The person's own colour: photo = matte * own + (1 - matte) * background solved where the matte is strong
    enough to carry it, continued from there over the rest."""
    a = matte[..., None]
    solved = np.clip((photo - (1 - a) * background) / np.maximum(a, 0.05), 0, 1).astype(np.float32)
    inner = push_pull(solved, (matte > 0.9).astype(np.float32))
    trust = np.clip((a - 0.3) / 0.6, 0, 1)
    return solved * trust + inner * (1 - trust)


def fill_openings(own: np.ndarray, eyes: list[np.ndarray], mouth: np.ndarray, lash: float) -> np.ndarray:
    """Skin continued over eye openings and mouth; lashes and lip edges stay in the plane but don't spread."""
    out = own.copy()
    reach = max(1, round(lash))
    for hole, grow in ((np.maximum(*eyes), reach), (mouth, max(1, reach // 2))):
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * grow + 1, 2 * grow + 1))
        wide = (cv2.dilate(hole, kernel) > 0.01).astype(np.float32)
        smooth = push_pull(own, 1 - wide)
        out += hole[..., None] * (smooth - out)
    return out


def complete_eyes(own: np.ndarray, xy: np.ndarray, eyes: list[np.ndarray]) -> np.ndarray:
    """Each eyeball as if lidless: iris from its own radial profile, white from its own visible white."""
    out = own.copy()
    side = own.shape[0]
    for (centre, ring, _), opening in zip(IRISES, eyes, strict=True):
        radius = float(np.linalg.norm(xy[list(ring)] - xy[centre], axis=1).mean())
        y, x = np.mgrid[:side, :side] + 0.5
        distance = np.hypot(x - xy[centre, 0], y - xy[centre, 1])
        near = distance < 4 * radius
        visible = (cv2.erode(opening, np.ones((3, 3), np.uint8)) > 0.9) & near
        white = visible & (distance > 1.1 * radius)
        iris = visible & (distance <= radius)
        if white.sum() < 4 or iris.sum() < 4:
            continue
        bright = own[white].mean(1)
        white &= own.mean(2) >= np.quantile(bright, 0.4)  # the corners' pink and the lid's shadow are not the white
        whole = push_pull(own, white.astype(np.float32))
        bins = np.clip((distance / radius * 8).astype(int), 0, 7)
        for b in range(8):
            at = iris & (bins == b)
            if at.any():
                whole[(bins == b) & (distance <= radius)] = np.median(own[at], axis=0)
        whole = cv2.GaussianBlur(whole, (0, 0), max(0.6, radius / 14))
        soft = cv2.GaussianBlur(visible.astype(np.float32), (0, 0), 0.8)[..., None]
        blend = own * soft + whole * (1 - soft)
        out = np.where(near[..., None], blend, out)
    return out


def complete_teeth(own: np.ndarray, mouth: np.ndarray, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
    """Teeth continued past the lips from those that the photo shows. Returns plane, mean colour, shown or not."""
    width = float(np.linalg.norm(xy[78] - xy[308]))
    level = own.mean(2)
    skin = np.median(own[polygon_mask(xy[list(OUTER_LIPS)], *own.shape[:2]) > 0.5], axis=0)
    spread = own.max(2) - own.min(2)
    teeth = (mouth > 0.9) & (level > skin.mean()) & (spread < 0.3)
    if teeth.sum() < 0.02 * width**2:
        return own, IVORY * min(1.0, skin.mean() * 1.5), False
    tooth = np.median(own[teeth], axis=0)
    return push_pull(own, teeth.astype(np.float32)), tooth.astype(np.float32), True
