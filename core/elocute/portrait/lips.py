"""Lips in a picture that shows teeth: the landmark network sees some laughs' lower lip too high, over the teeth."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from elocute.landmarks import LIP_MIDDLES, MOUTH_CORNERS, apart
from elocute.values import Face

# Landmarks on the rims of the lips and opposite them on their outer borders, corners left out.
LOWER = ((95, 88, 178, 87, 14, 317, 402, 318, 324), (146, 91, 181, 84, 17, 314, 405, 321, 375))
UPPER = ((191, 80, 81, 82, 13, 312, 311, 310, 415), (185, 40, 39, 37, 0, 267, 269, 270, 409))
PARTED = 0.06  # gap over width of the inner lips from which a picture can show teeth
ACROSS = np.linspace(-0.25, 0.75, 41)  # of a lip's thickness, from within the mouth
FLESH = 0.6  # of its thickness: from here outward a lip is surely lip
FARTHEST = 0.4  # of its thickness: a rim that lies farther off is something else
PALE, BRIGHT = 0.75, 0.6  # teeth have less than this of the lips' range of colour, and are lighter than so many of them


def settle_lips(rgb: np.ndarray, face: Face) -> Face:
    """The face with its inner lips where the teeth end that the picture [H, W, 3] uint8 shows."""
    points = face.landmarks[:, :2].copy()
    width, gap = apart(points, MOUTH_CORNERS), apart(points, LIP_MIDDLES)
    if gap < PARTED * width:
        return face
    lines = {ring: _across(points, *ring) for ring in (LOWER, UPPER)}
    colours = {ring: _colours(rgb, line) for ring, line in lines.items()}
    flesh = np.concatenate([colour[:, ACROSS > FLESH].reshape(-1, 3) for colour in colours.values()])
    spread, level = np.median(np.ptp(flesh, axis=1)), np.quantile(flesh.mean(1), BRIGHT)
    landmarks = face.landmarks.copy()
    for (inner, outer), colour in colours.items():
        tooth = (np.ptp(colour, axis=2) < PALE * spread) & (colour.mean(2) > level)
        share = _smooth([_end_of_teeth(row) for row in tooth])
        landmarks[list(inner), :2] += share[:, None] * (points[list(outer)] - points[list(inner)])
    return replace(face, landmarks=landmarks)


def _across(points: np.ndarray, inner: tuple[int, ...], outer: tuple[int, ...]) -> np.ndarray:
    """[9, 41, 2] places across the lip at each of its landmarks."""
    start, way = points[list(inner), None], (points[list(outer)] - points[list(inner)])[:, None]
    return start + ACROSS[None, :, None] * way


def _colours(rgb: np.ndarray, places: np.ndarray) -> np.ndarray:
    """[9, 41, 3] in 0..1 of the picture at places [9, 41, 2], as fine as these lie apart."""
    most = np.array(rgb.shape[1::-1]) - 1  # a photo that ends above the mouth lends its last row
    low = np.clip(np.floor(places.min((0, 1))).astype(int) - 4, 0, most)
    high = np.maximum(np.ceil(places.max((0, 1))).astype(int) + 5, low + 1)
    cut = rgb[low[1] : high[1], low[0] : high[0]].astype(np.float32) / 255
    step = float(np.linalg.norm(np.diff(places, axis=1), axis=2).mean())
    smooth = cv2.GaussianBlur(cut, (0, 0), max(0.5, step))
    at = (places - low - 0.5).astype(np.float32)
    return cv2.remap(smooth, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _end_of_teeth(tooth: np.ndarray) -> float:
    """0..FARTHEST of a lip's thickness: how far the teeth [41] go on beyond its rim; 0 where they end before it."""
    inside = ACROSS <= 0
    if not tooth[inside][-3:].all():
        return 0.0
    beyond = tooth[~inside]
    end = float(ACROSS[~inside][beyond.argmin()]) if not beyond.all() else 1.0
    return end if end <= FARTHEST else 0.0


def _smooth(shares: list[float]) -> np.ndarray:
    """[9] without what only one landmark says, and tapering off towards the corners."""
    padded = np.pad(np.array(shares), 1)
    middle = np.median(np.stack([padded[:-2], padded[1:-1], padded[2:]]), axis=0)
    return np.convolve(np.pad(middle, 1), [0.25, 0.5, 0.25], "valid")
