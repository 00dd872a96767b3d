"""A photo cropped as the faces of FFHQ are (Karras et al., CVPR 2019): what StyleNeRF knows people to look like."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from elocute.errors import BadInput
from elocute.portrait.image import load_image, on_grey

WIDEST_EYES, TALLEST_FACE = 2.0, 1.8  # half the crop's side in distances between the eyes, and from eyes to mouth
LOWERED = 0.1  # of the way from the eyes to the mouth lies the crop's middle


def crop_matrix(landmarks: np.ndarray, side: int) -> np.ndarray:
    """The similarity [2, 3] that takes photo pixels to pixels (edges, not centres) of the crop of `side`.

    landmarks [68, 2], y down. The crop is upright with respect to eyes and mouth.
    """
    right_eye, left_eye = landmarks[36:42].mean(0), landmarks[42:48].mean(0)
    eyes, mouth = (right_eye + left_eye) / 2, (landmarks[48] + landmarks[54]) / 2
    across, down = left_eye - right_eye, mouth - eyes
    axis = across + np.array([down[1], -down[0]])  # both say which way is right; they agree in an upright frontal face
    half = max(WIDEST_EYES * np.hypot(*across), TALLEST_FACE * np.hypot(*down))
    x = axis / np.hypot(*axis) * half
    y = np.array([-x[1], x[0]])
    corner = eyes + LOWERED * down - x - y
    inverse = np.stack([2 * x / side, 2 * y / side], 1)  # [2, 2]: photo pixels for a crop pixel
    turn = np.linalg.inv(inverse)
    return np.column_stack([turn, -turn @ corner])


def crop(rgb: np.ndarray, matrix: np.ndarray, side: int) -> np.ndarray:
    """`rgb` uint8 [H, W, 3] under the matrix of `crop_matrix`. Beyond the photo it is mirrored, ever more blurred."""
    import cv2

    scale = float(np.sqrt(np.linalg.det(matrix[:, :2])))
    source, centred = rgb, matrix.copy()
    if scale < 0.5:  # areas are averaged before a large reduction
        size = (max(1, round(rgb.shape[1] * 2 * scale)), max(1, round(rgb.shape[0] * 2 * scale)))
        source = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
        centred[:, :2] = matrix[:, :2] @ np.diag([rgb.shape[1] / size[0], rgb.shape[0] / size[1]])
    centred[:, 2] += centred[:, :2] @ [0.5, 0.5] - 0.5  # warpAffine counts pixels' centres
    out = cv2.warpAffine(source, centred, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    inside = np.full(source.shape[:2], 255, np.uint8)
    shown = cv2.warpAffine(inside, centred, (side, side), flags=cv2.INTER_LINEAR)
    if shown.min() == 255:
        return out
    distance = cv2.distanceTransform((shown < 255).astype(np.uint8), cv2.DIST_L2, 5)
    blurred = cv2.GaussianBlur(out, (0, 0), side / 24)
    weight = np.clip(distance / (side / 12), 0, 1)[..., None]
    return np.round(out * (1 - weight) + blurred * weight).astype(np.uint8)


def aligned_portrait(path: str | Path, side: int, device: str = "cpu") -> tuple[np.ndarray, list[str]]:
    """The photo's face as uint8 [side, side, 3], and what the user should know.

    Raises BadInput as `load_image` and `choose_face` do.
    """
    from elocute.portrait.landmarks68 import find_68

    picture = load_image(path)
    rgb = on_grey(picture.rgb, picture.alpha)
    matrix = crop_matrix(find_68(rgb, Path(path).name, device), side)
    scale = float(np.sqrt(np.linalg.det(matrix[:, :2])))
    notes = [f"the photo is enlarged {scale:.1f} times; a larger one would be sharper"] if scale > 1.5 else []
    return crop(rgb, matrix, side), notes


def whole_portrait(path: str | Path, side: int) -> np.ndarray:
    """The photo as it is: the published programs' input. Raises BadInput portrait_not_square and as `load_image`."""
    rgb = load_image(path).rgb
    if rgb.shape[:2] != (side, side):
        size = f"{rgb.shape[1]} x {rgb.shape[0]}"
        raise BadInput(
            "portrait_not_square",
            f"with --reference the photo has to be {side} x {side} pixels, cropped like FFHQ; this one is {size}. "
            "Leave out --reference to have it cropped.",
        )
    return rgb
