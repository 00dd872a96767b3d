"""The output picture: a square of head and shoulders out of the photo."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from PIL import Image

from elocute.landmarks import EYE_CORNERS
from elocute.limits import FRAMINGS, USUAL_FRAMING
from elocute.portrait.background import complete_background
from elocute.portrait.enlarge import MODEST, Window, enlarge, keep_crisp
from elocute.portrait.face import face_height
from elocute.portrait.surroundings import surroundings
from elocute.values import REGION_NAMES, Face, Portrait, Surroundings

CROWN = 0.6  # face heights from the eyes up to the crown, hair included
BELOW_CHIN = 0.03  # face heights that have to be seen below the chin
EYE_LEVEL, RISING = 0.46, 0.3  # of the side from the top; exponent by which eyes are higher in a looser frame
TOUCHES = 0.04  # of an edge's pixels show the person: the person continues beyond it


@dataclass(frozen=True)
class Framed:
    """The portrait as the output shows it, a square.

    `rgb`, `background` uint8 [side, side, 3] (`background`: completed behind the person), `matte`
    float32 [side, side], `regions` as in Portrait, `face` with landmarks in these pixels. `scale`: of these
    pixels to a photo's; above 1 the photo was enlarged. `around`: where the photo shows more of the person than this.
    """

    rgb: np.ndarray
    matte: np.ndarray
    background: np.ndarray
    regions: dict[str, np.ndarray]
    face: Face
    scale: float
    around: Surroundings | None = None
    notes: tuple[str, ...] = ()


def frame_portrait(
    portrait: Portrait, side: int, device: str = "cpu", whole: bool = False, framing: float = USUAL_FRAMING
) -> Framed:
    """Crop `portrait` to a square of head and shoulders, `side` pixels. Takes 1 to 5 s: the background, and a network
    on `device` that enlarges a small photo. A `whole` picture is square already, and stays as it is cropped. `framing`:
    the square's side in face heights, as far as the photo goes.

    A tilted head stays tilted: it is the photo's own pose. Raises EnvironmentProblem when that network is missing.
    """
    height, width = portrait.matte.shape
    left, top, length = (0, 0, width) if whole else choose_square(portrait, framing)
    inside = left >= 0 and top >= 0 and left + length <= width and top + length <= height
    notes = list(portrait.notes)
    source = portrait if inside else _extended(portrait, left, top, length)
    x, y = (left, top) if inside else (0, 0)
    if not inside:
        notes.append("the photo is tight around the head: the background is continued beyond its edge")
    shown = length / face_height(portrait.face)
    if framing > USUAL_FRAMING and shown < 0.97 * framing:
        notes.append(f"the photo has room for a framing of {shown:.1f} and not of {framing:g}")
    scale = side / length
    photo = source.rgb[y : y + length, x : x + length]
    matte = _resample(source.matte[y : y + length, x : x + length], side)
    window = _face_window(portrait.face, left, top)
    if scale > MODEST:
        rgb = enlarge(photo, scale, window, device)
    else:
        x0, y0, x1, y1 = (scale * edge for edge in window)
        rgb = keep_crisp(_resample(photo, side), (x0, y0, x1, y1), photo, window)
    regions = {name: _resample(mask[y : y + length, x : x + length], side) for name, mask in source.regions.items()}
    return Framed(
        rgb=rgb,
        matte=matte,
        background=complete_background(rgb, matte),
        regions=_add_up_to_one({name: regions[name] for name in REGION_NAMES}),
        face=moved(portrait.face, left, top, scale),
        scale=scale,
        around=surroundings(portrait, left, top, length, side),
        notes=tuple(notes),
    )


def _face_window(face: Face, left: float, top: float) -> Window:
    """The rectangle around the landmarks in a picture that starts at (left, top)."""
    x0, y0 = face.landmarks[:, :2].min(axis=0) - (left, top)
    x1, y1 = face.landmarks[:, :2].max(axis=0) - (left, top)
    return float(x0), float(y0), float(x1), float(y1)


def moved(face: Face, left: float, top: float, scale: float) -> Face:
    """The face in a picture that starts at (left, top) and is scaled by `scale`."""
    landmarks = (face.landmarks - [left, top, 0]) * scale
    x0, y0, x1, y1 = face.box
    box = ((x0 - left) * scale, (y0 - top) * scale, (x1 - left) * scale, (y1 - top) * scale)
    return replace(face, landmarks=landmarks, box=box)


def choose_square(portrait: Portrait, framing: float = USUAL_FRAMING) -> tuple[int, int, int]:
    """(left, top, length) of the square in whole photo pixels, `framing` face heights long if the photo allows it.

    Where the photo's left, right or top edge cuts the person, the square stays within the photo if the head, from the
    crown or the cut to the chin, fits into such a square. Else parts of it may lie beyond those three edges, never
    below the photo's bottom: a body has to continue to the picture's lower edge.
    """
    height, width = portrait.matte.shape
    points = portrait.face.landmarks[:, :2]
    unit = face_height(portrait.face)
    centre = float(points[:, 0].min() + points[:, 0].max()) / 2
    eyes = float(points[list(EYE_CORNERS), 1].mean())
    person = portrait.matte > 0.5
    cut_top = person[0].mean() > TOUCHES
    cut_side = max(person[:, 0].mean(), person[:, -1].mean()) > TOUCHES

    # What has to be in it of the head, as far as the photo shows it.
    crown = max(eyes - CROWN * unit, 0)
    bottom = min(float(points[:, 1].max()) + BELOW_CHIN * unit, height)
    across = min(float(points[:, 0].max()), width) - max(float(points[:, 0].min()), 0)
    length = min(framing * unit, max(min(width, height), FRAMINGS[0] * unit))
    if cut_top or cut_side:
        length = min(length, width)
    if cut_top:
        length = min(length, height)
    size = int(max(length, bottom - crown, across))
    left = _shift(round(centre - size / 2), size, width)
    looser = max(size / (USUAL_FRAMING * unit), 1) if framing > USUAL_FRAMING else 1
    top = max(round(eyes - EYE_LEVEL * looser**-RISING * size), int(bottom) - size)
    top = min(top, height - size)
    if top < 0:  # down as far as the photo has something below, then beyond the top edge
        top = min(0, height - size)
    return left, top, size


def _shift(start: int, size: int, limit: int) -> int:
    """Into the photo when it is wide enough; else the photo as near as possible to its place."""
    low, high = min(0, limit - size), max(0, limit - size)
    return min(max(start, low), high)


def _extended(portrait: Portrait, left: int, top: int, length: int) -> Portrait:
    """The square with what lies beyond the photo made up: background mirrored and blurred, the person ending at a
    free edge and continued straight where the photo cuts it. Foreground and face stay as they are."""
    height, width = portrait.matte.shape
    x0, x1, y0 = max(left, 0), min(left + length, width), max(top, 0)
    photo = portrait.rgb[y0 : top + length, x0:x1]
    matte = portrait.matte[y0 : top + length, x0:x1]
    pads = (y0 - top, 0, x0 - left, left + length - x1)  # top, bottom, left, right

    def pad(array: np.ndarray, how: int) -> np.ndarray:
        return cv2.copyMakeBorder(np.ascontiguousarray(array), *pads, borderType=how)

    outside = pad(np.zeros(matte.shape, np.float32), cv2.BORDER_CONSTANT)
    outside[: pads[0]], outside[:, : pads[2]], outside[:, length - pads[3] :] = 1, 1, 1
    distance = cv2.distanceTransform(outside.astype(np.uint8), cv2.DIST_L2, 5)
    share = np.clip(distance / (0.03 * length), 0, 1)[..., None]

    def soften(image: np.ndarray) -> np.ndarray:
        """Mirrored things look like themselves twice, drawn-out ones are streaks: blurred, more the farther out."""
        blurred = cv2.GaussianBlur(image, (0, 0), max(0.02 * length, 1))
        return np.round(image + share * (blurred.astype(np.float32) - image)).astype(np.uint8)

    behind = soften(pad(complete_background(photo, matte), cv2.BORDER_REFLECT))
    matte = pad(matte, cv2.BORDER_REPLICATE)
    person = soften(pad(portrait.foreground[y0 : top + length, x0:x1], cv2.BORDER_REPLICATE))
    mixed = np.round(person * matte[..., None] + behind * (1 - matte[..., None])).astype(np.uint8)
    rgb = np.where(outside[..., None] > 0, mixed, pad(photo, cv2.BORDER_REPLICATE))
    regions = {
        name: pad(mask[y0 : top + length, x0:x1], cv2.BORDER_REPLICATE) for name, mask in portrait.regions.items()
    }
    return replace(portrait, rgb=rgb, matte=matte, regions=regions)


def _resample(image: np.ndarray, side: int) -> np.ndarray:
    """To side x side: pictures by a Lanczos filter as wide as the scale asks for, which keeps the detail that area
    averages lose; masks by area or bilinear, which never overshoot."""
    length = image.shape[0]
    if length == side:
        return image.copy()
    if image.dtype == np.uint8:
        return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS))
    method = cv2.INTER_AREA if length > side else cv2.INTER_LINEAR
    return np.clip(cv2.resize(np.ascontiguousarray(image), (side, side), interpolation=method), 0, 1)


def _add_up_to_one(regions: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    total = np.maximum(np.sum(list(regions.values()), axis=0), 1e-6)
    return {name: (mask / total).astype(np.float32) for name, mask in regions.items()}
