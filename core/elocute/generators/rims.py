"""What only the view from the front puts into a photo: a head that turns leaves it behind.

The photo is trusted wherever it shows a surface. At the person's outline it shows less than that: pixels that are
partly the background's, light from behind, and a strip of cheek, ear or neck that the fitted surface, a little smaller
there, leaves to the relief. From the front they are the portrait; from the side they would be lines across the face.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

from ..head.model import HeadModel
from ..portrait.regions import along_face, disc, firm
from ..ramps import ramp
from .canonical import rim_distance, sample
from .scene import Scene

SOFT = (0.65, 0.95)  # matte from which on a pixel is partly, and not at all, the background's
GLARE = (1.15, 1.35)  # of the face's median light: light from behind at the outline begins, and is all there is
SPREAD = 0.003  # of the side: how softly these go over into the skin beside them
THIN = (0.012, 0.024)  # of the side: a strip beside the cheek goes with the outline up to so much, and from it not
THIN_HAIR = (0.009, 0.013)  # the same above the ears, where the head's own surface goes on as hair behind it
CLOSE_BY = 0.008  # of the side: a strip is as thick as it is somewhere in this square around
PIXEL = 0.002  # of the side: what is resampled at the outline reaches so much further in
BROAD = 0.06  # of the side: what is so broad beside the head is no rim of it, also where it has the skin's colour
NOTCH = 0.016  # of the side: so far into a notch that lobe and jaw, or ear and cheek, leave, it goes on
REACH = 0.02  # of the side: how far beyond the head's surface its own rim goes; ears twice as far
EARS, LOBES, CHIN = (0.3, 0.4), (0.6, 0.7), (0.9, 1.0)  # down the face: where ears begin and end, and the jaw
STRIP = 0.04  # of the side: what is not broader along the outline may be no part of the skin
PATCH = 2.5  # discs of that breadth: in a smaller patch a strip is but once a little broader
SIDES = (0.045, 0.06)  # metres from the middle, head space: beside the eyes' outer corners
NECK = 0.05  # of the side below the jaw: farther down are shoulders
COLUMN = 0.03  # of the side: a bare neck is at least so broad
BESIDE_NECK = 0.04  # of the side: how much farther it may reach than the head's own
REGION_BLUR = 0.008  # of the side


def foreign_light(scene: Scene) -> np.ndarray:
    """[R, R] 0..1: how much of what skin shows at the outline is the background's or light from behind."""
    # Not in hair, which is thin itself. What is mixed with the background has not the hue of bare skin.
    body = np.clip(2 * scene.outward(scene.regions["skin"] + scene.regions["neck_shoulders"]), 0, 1)
    soft = 1 - ramp(scene.matte, *SOFT)
    face = np.median(scene.photo[firm(scene.regions["skin"])], axis=0).sum()
    down = _down(scene)
    glare = ramp(scene.photo.sum(2) / face, *GLARE) * (1 - rim_distance(scene.matte))
    glare *= (1 - scene.outward(scene.regions["hair"])) * (1 - ramp(down, *CHIN))
    return _softened(np.maximum(soft * body, glare))


def other_than_skin(scene: Scene, depth: np.ndarray) -> np.ndarray:
    """[R, R] 0..1: narrow strips along the outline of the head's surface of `depth` [R, R] (inf: none), from the lobes
    down to the chin, that haven't the skin's colour: hair behind a jaw, where the surface is a little wider than the
    person, light from behind, or whiskers as narrow. A beard is broader."""
    head = ndimage.binary_fill_holes(np.isfinite(depth))
    if head.all():
        return np.zeros(head.shape, np.float32)
    inside, size = ndimage.distance_transform_edt(head), STRIP * scene.side
    patch = disc(size / 2)
    solid = head.astype(np.float32)
    bare, whole = (cv2.GaussianBlur(a, (0, 0), SPREAD * scene.side) for a in (scene.bare * solid, solid))
    other = (head & (bare < 0.5 * whole)).astype(np.uint8)
    patches, _ = ndimage.label(cv2.morphologyEx(other, cv2.MORPH_OPEN, patch))
    broad = (np.bincount(patches.ravel()) > PATCH * patch.sum()) & (np.arange(patches.max() + 1) > 0)
    narrow = (other > broad[patches]) & (inside < 1.5 * size)
    labels, _ = ndimage.label(narrow)
    at_edge = np.unique(labels[narrow & (inside < max(2, PIXEL * scene.side))])
    down = _down(scene)
    strips = _softened(narrow & np.isin(labels, at_edge)) * ramp(down, *LOBES) * (1 - ramp(down, *CHIN))
    return strips.astype(np.float32)


def outline_rim(scene: Scene, depth: np.ndarray, below_jaw: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """[N] 0..1 of relief points uv [N, 2] in pixels: how far they are but the rim of the head's own surface, as skin is
    that goes out to the person's outline, any thin strip beside cheek and jaw, and a thinner one of hair above. Other
    hair, clothes, and what is farther away are not. depth [R, R] of the head's surface (inf: none) and below_jaw [R, R]
    as in Sight."""
    side, down = scene.side, _down(scene)
    shoulders = np.isfinite(below_jaw) & (below_jaw > NECK)
    surface = np.isfinite(depth) & ~shoulders
    if not surface.any():
        return np.zeros(len(uv), np.float32)
    away = ndimage.distance_transform_edt(~surface) / side
    reach = REACH * (1 + ramp(down, *EARS) * (1 - ramp(down, *LOBES)))
    skin = cv2.GaussianBlur(_skin(scene), (0, 0), REGION_BLUR * side)
    thick = _thickness(scene.matte, away > 0)
    beside, hair = ramp(down, *EARS), scene.outward(scene.regions["hair"])
    thin = (1 - ramp(thick, *THIN)) * beside + (1 - ramp(thick, *THIN_HAIR)) * (1 - beside) * hair
    thin *= 1 - ramp(down, *CHIN)
    bare = np.clip(4 * skin - 2, 0, 1) * _to_the_outline((skin > 0.5) & (away > 0), scene.matte)
    rim = np.maximum(bare, thin) * np.clip(2 - away / reach, 0, 1)
    rim *= 1 - _broad((scene.matte > 0.5) & (away > 0))
    return sample(rim.astype(np.float32), uv)


def bare_neck(scene: Scene, column: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """[N] 0..1 of relief points uv [N, 2] in pixels: how far they show a bare neck, which stays where it is when a jaw
    turns away from it. column [M, 2]: where the head's own neck lies, hidden or not; what a segmentation calls neck
    elsewhere, along a cheek mostly, is none."""
    side = scene.side
    near = np.zeros((side, side), np.uint8)
    cv2.fillConvexPoly(near, cv2.convexHull(np.round(column).astype(np.int32)), 1)
    near = _grown(near, BESIDE_NECK * side)
    bare = (scene.regions["neck_shoulders"] * scene.bare * near > 0.5).astype(np.uint8)
    broad = scene.outward(cv2.morphologyEx(bare, cv2.MORPH_OPEN, disc(COLUMN * side / 2))).astype(np.float32)
    return sample(np.clip(2 * cv2.GaussianBlur(broad, (0, 0), REGION_BLUR * side), 0, 1), uv)


def _to_the_outline(skin: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """[R, R]: which patches of `skin` [R, R] reach the person's outline. Others lie in hair: bright strands, or what
    shows between them."""
    outside = _grown(matte < 0.5, PIXEL * len(matte)) > 0
    labels, _ = ndimage.label(skin)
    return skin & np.isin(labels, np.unique(labels[skin & outside]))


def _thickness(matte: np.ndarray, beside: np.ndarray) -> np.ndarray:
    """[R, R] of the side: how far in from the outline the part of the person `beside` the head goes, there and close
    by."""
    person = matte > 0.5
    inside = np.full(matte.shape, 1.0) if person.all() else ndimage.distance_transform_edt(person) / len(matte)
    return _grown(inside * beside, CLOSE_BY * len(matte))


def _broad(beside: np.ndarray) -> np.ndarray:
    """[R, R] 0..1: which of the pixels `beside` the head belong to something broad: hair and not a strip."""
    radius = max(1.0, BROAD * len(beside) / 2)
    within = cv2.distanceTransform(np.pad(beside, 1, mode="edge").astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    middle = within > radius
    if not middle.any():
        return np.zeros(beside.shape, np.float32)
    opened = cv2.distanceTransform((~middle).astype(np.uint8), cv2.DIST_L2, 5) <= radius
    return np.clip(2 * cv2.GaussianBlur(_grown(opened, NOTCH * len(beside)), (0, 0), SPREAD * len(beside)), 0, 1)


def _softened(mask: np.ndarray) -> np.ndarray:
    """mask [R, R] 0..1 and a little around it, going over softly."""
    wide = _grown(mask, PIXEL * len(mask))
    return np.clip(1.5 * cv2.GaussianBlur(wide, (0, 0), SPREAD * len(mask)), 0, 1)


def _grown(values: np.ndarray, radius: float) -> np.ndarray:
    reach = 2 * max(1, round(radius)) + 1
    return cv2.dilate(values.astype(np.float32), np.ones((reach, reach), np.uint8))


def sides_of(model: HeadModel) -> np.ndarray:
    """[V] 0..1: how far each of the head's vertices lies at its sides, which a photo from the front shows edge on."""
    return ramp(np.abs(model.base[:, 0]), *SIDES).astype(np.float32)


def _skin(scene: Scene) -> np.ndarray:
    """[R, R] 0..1 of bare skin, face and neck, going on beyond the outline."""
    return scene.outward(scene.regions["skin"] + scene.regions["neck_shoulders"] * scene.bare).astype(np.float32)


def _down(scene: Scene) -> np.ndarray:
    """[R, R]: 0 at the top of the forehead, 1 at the chin, along the face."""
    return along_face(scene.landmarks[:, :2], scene.side, scene.side)
