"""The field's feature planes before tuning: the portrait taken apart into layers, each continued under the next.

A layer that moves uncovers what the photo never showed: skin under an opened eye, the eye beneath the lid. So each
plane is the photo where its layer is visible and a smooth continuation elsewhere; those of the mouth's inside say where
that is, and the model's own colours go on there.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

from ..landmarks import INNER_LIPS, LEFT_LIDS, MOUTH_CORNERS, OUTER_EYE_CORNERS, RIGHT_LIDS, apart
from ..portrait.fill import push_pull
from ..portrait.regions import disc, firm, polygon_mask
from ..ramps import smooth_step
from ..rendering.shells import CAVITY, EYES, PLANES, RELIEF, SKIN, TEETH
from .visible_teeth import find_teeth

BROWS = ((46, 53, 52, 65, 55, 107, 66, 105, 63, 70), (276, 283, 282, 295, 285, 336, 296, 334, 293, 300))
IRISES = ((468, (469, 470, 471, 472), RIGHT_LIDS), (473, (474, 475, 476, 477), LEFT_LIDS))
LID_BRIGHTEST = 0.3  # of the bare skin around an eye: the rest may be paint, folds and the shade of lashes
LID_HUE = 0.2  # of a lid's hue is the face's, the rest that around the open eye, paint included
SOCKET_SHADE = 0.55  # of what an open eye's socket lacks of the bare skin's light around it, a shut lid lacks too
LID_SHADE = 0.6, 1.0  # of the eyeball's light at the lids' rims: darker are lashes
UNDER_LID, OUT_OF_SHADE = 0.85, 0.5  # ... and, so many iris radii behind a rim, at least: a glance brings it out
SOCKET = 5  # times the reach of the lashes: the skin around an eye
LASH = 0.028  # of the distance between the outer eye corners: lashes and lid shadow reach so far past the opening
RIM = 0.02  # of the mouth's width
LIP_RIM, TOOTH = 0.035, 0.16  # of its width: what of the lips may show teeth, where the photo does; breadth of one


@dataclass(frozen=True)
class Layers:
    """planes [PLANES, R, R, 4] as in `Shells`; tooth [3] sRGB colour of the teeth; shows_teeth: the photo shows upper
    ones; lip_rim [R, R] 0..1: where it may show them and has lips; lid [R, R, 3]: what skin would be without eyes and
    brows; lash [3] sRGB colour of the lashes."""

    planes: np.ndarray
    tooth: np.ndarray
    shows_teeth: bool
    lip_rim: np.ndarray
    lid: np.ndarray
    lash: np.ndarray


def split_layers(
    photo: np.ndarray, matte: np.ndarray, background: np.ndarray, skin: np.ndarray, landmarks: np.ndarray
) -> Layers:
    """photo, background float32 [R, R, 3] 0..1 sRGB; matte, skin [R, R]; landmarks [478, 2+] in photo pixels."""
    side = photo.shape[0]
    xy = landmarks[:, :2]
    span = apart(xy, OUTER_EYE_CORNERS)
    own = unmix(photo, matte, background)
    eyes = [polygon_mask(xy[list(ring)], side, side) for _, _, ring in IRISES]
    mouth = polygon_mask(xy[list(INNER_LIPS)], side, side)
    holes = np.maximum.reduce([*eyes, mouth])
    planes = np.empty((PLANES, side, side, 4), np.float32)
    planes[RELIEF, ..., :3], planes[RELIEF, ..., 3] = own, matte
    lid = lid_skin(own, skin, eyes, landmarks, LASH * span)
    planes[SKIN, ..., :3] = fill_openings(own, lid, eyes, mouth, LASH * span)
    light = np.quantile(own[firm(skin)], 0.7, axis=0)
    tooth, crowns = find_teeth(own, mouth, xy, light)
    width = apart(xy, MOUTH_CORNERS)
    lip_rim = np.zeros_like(mouth)
    if crowns.any():
        lip_rim = cv2.GaussianBlur(_dilate(mouth, LIP_RIM * width), (0, 0), max(0.5, LIP_RIM * width / 3))
        planes[SKIN, ..., :3] = without_teeth(planes[SKIN, ..., :3], mouth, lip_rim, xy[308] - xy[78])
    planes[SKIN, ..., 3] = np.maximum(matte, cv2.dilate(holes, np.ones((5, 5))))
    planes[EYES, ..., :3], planes[EYES, ..., 3] = complete_eyes(own, xy, eyes), 1
    inside = cv2.erode(mouth, np.ones((3, 3)))
    shows = mouth_and_rim(mouth, width)
    planes[CAVITY, ..., :3] = push_pull(own, inside) if inside.max() > 0.9 else own
    planes[CAVITY, ..., 3] = shows / 2
    planes[TEETH, ..., :3] = own
    planes[TEETH, ..., 3] = shows / 2 * (1 + crowns)
    return Layers(planes, tooth, bool(crowns.any()), lip_rim, lid, lash_colour(own, eyes, LASH * span))


def unmix(photo: np.ndarray, matte: np.ndarray, background: np.ndarray) -> np.ndarray:
    """The person's own colour: photo = matte * own + (1 - matte) * background solved where the matte is strong
    enough to carry it, continued from there over the rest."""
    a = matte[..., None]
    solved = np.clip((photo - (1 - a) * background) / np.maximum(a, 0.05), 0, 1).astype(np.float32)
    inner = push_pull(solved, (matte > 0.9).astype(np.float32))
    trust = np.clip((a - 0.3) / 0.6, 0, 1)
    return solved * trust + inner * (1 - trust)


def mouth_and_rim(mouth: np.ndarray, width: float) -> np.ndarray:
    """What lies in the mouth's opening [R, R], `width` pixels wide, or right beside it, where a mesh a pixel off would
    have its rim."""
    wide = _dilate((mouth > 0.2).astype(np.float32), RIM * width)
    return np.maximum(cv2.GaussianBlur(wide, (0, 0), max(0.5, RIM * width / 2)), mouth)


def without_teeth(skin: np.ndarray, mouth: np.ndarray, rim: np.ndarray, across: np.ndarray) -> np.ndarray:
    """skin [R, R, 3] without what a laughing mouth leaves of its teeth in the `rim` [R, R] of the lips around its
    opening `mouth` [R, R]: a light line, and spots no broader than a tooth. across [2]: pixels from corner to
    corner."""
    continued = push_pull(skin, ((mouth < 0.01) & (rim < 0.01)).astype(np.float32))
    reach = np.maximum(np.abs(TOOTH / 2 * across), [1, 0]).round().astype(int) * np.where(across < 0, -1, 1)
    far = int(np.abs(reach).max())
    breadth = cv2.line(np.zeros((2 * far + 1,) * 2, np.uint8), (far - reach).tolist(), (far + reach).tolist(), 1)
    spotless = cv2.morphologyEx(skin, cv2.MORPH_OPEN, breadth)
    return skin + rim[..., None] * (np.minimum(spotless, continued) - skin)


def lid_skin(
    own: np.ndarray, skin: np.ndarray, eyes: list[np.ndarray], landmarks: np.ndarray, lash: float
) -> np.ndarray:
    """What a closed lid shows, [R, R, 3]: as bright as the bare skin around it, darkened where the socket is, in the
    hue that the socket has and a little of the face's."""
    side = own.shape[0]
    level = own.mean(2)
    lashes = (_dilate(np.maximum(*eyes), lash) > 0.01).astype(np.float32)
    bare = firm(skin) & (brows(landmarks, side) < 0.2) & (lashes < 0.5)
    lit = np.zeros_like(bare)
    for eye in eyes:
        around = bare & (_dilate(eye, SOCKET * lash) > 0.5)
        if around.any():
            lit |= around & (level >= np.quantile(level[around], 1 - LID_BRIGHTEST))
    light = push_pull(own, lit.astype(np.float32)) if lit.any() else own
    shade = push_pull(own, (1 - lashes) * (1 - brows(landmarks, side)))
    grey, socket = (colour.mean(2, keepdims=True) for colour in (light, shade))
    darker = 1 - SOCKET_SHADE * (1 - np.clip(socket / np.maximum(grey, 1e-3), 0, 1))
    hue = np.where(socket > 1e-3, shade / np.maximum(socket, 1e-3), 1)  # black has none
    if bare.any():
        face = np.median(own[bare], axis=0)
        hue = hue + LID_HUE * (face / max(float(face.mean()), 1e-3) - hue)
    return np.clip(cv2.GaussianBlur(hue * grey * darker, (0, 0), 0.01 * side), 0, 1)


def lash_colour(own: np.ndarray, eyes: list[np.ndarray], lash: float) -> np.ndarray:
    """[3] of the darkest that the photo shows around the openings."""
    opening = np.maximum(*eyes)
    around = (_dilate(opening, lash) > 0.01) & (opening < 0.5)
    dark = own[around]
    return np.quantile(dark, 0.05, axis=0).astype(np.float32) if len(dark) else np.zeros(3, np.float32)


def _dilate(mask: np.ndarray, reach: float) -> np.ndarray:
    """mask [R, R] grown by `reach` pixels, at least one."""
    return cv2.dilate(mask, disc(reach))


def fill_openings(
    own: np.ndarray, lid: np.ndarray, eyes: list[np.ndarray], mouth: np.ndarray, lash: float
) -> np.ndarray:
    """Skin continued over eye openings and mouth; lashes and lip edges stay in the plane but don't spread."""
    out = own.copy()
    wide = (_dilate(mouth, lash / 2) > 0.01).astype(np.float32)
    out += mouth[..., None] * (push_pull(own, 1 - wide) - out)
    soft = cv2.erode(np.maximum(*eyes), np.ones((3, 3)))
    out += cv2.GaussianBlur(soft, (0, 0), max(0.6, lash / 4))[..., None] * (lid - out)
    return out


def complete_eyes(own: np.ndarray, xy: np.ndarray, eyes: list[np.ndarray]) -> np.ndarray:
    """Each eyeball as if lidless, but as deep in the lids' shade as at their rims: iris from its own radial profile,
    white from its own visible white."""
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
        inside = cv2.GaussianBlur(np.where(near, opening, 0).astype(np.float32), (0, 0), 0.8)[..., None]
        shade = np.clip(own.mean(2, keepdims=True) / np.maximum(whole.mean(2, keepdims=True), 1e-3), *LID_SHADE)
        behind, (row, column) = distance_transform_edt(inside[..., 0] <= 0.7, return_indices=True)
        shade = shade[row, column, 0]
        shade += smooth_step(behind / radius, 0, OUT_OF_SHADE) * np.maximum(UNDER_LID - shade, 0)
        whole *= cv2.GaussianBlur(shade.astype(np.float32), (0, 0), max(0.6, radius / 4))[..., None]
        blend = own * inside + whole * (1 - inside)
        out = np.where(near[..., None], blend, out)
    return out


def brows(landmarks: np.ndarray, side: int) -> np.ndarray:
    """Mask [side, side] of both eyebrows and the eye openings under them."""
    masks = [polygon_mask(landmarks[list(ring), :2], side, side) for ring in (*BROWS, RIGHT_LIDS, LEFT_LIDS)]
    grown = cv2.dilate(np.maximum.reduce(masks), np.ones((3, 3), np.uint8), iterations=max(1, side // 170))
    return grown.astype(np.float32)
