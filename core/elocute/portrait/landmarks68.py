"""The 68 landmarks of the iBUG annotation, which the Basel face's keypoints are: from face-alignment, when it and its
weights are on this machine, else from the embedded network's 478.

Order: 0-16 jaw line from the subject's right ear over the chin, 17-26 brows, 27-35 nose, 36-47 eyes, 48-59 outer and
60-67 inner lips; each group from the picture's left to its right, eyes and lips clockwise.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from elocute.errors import BadInput
from elocute.portrait.face import choose_face, detect_faces
from elocute.values import Face

# MediaPipe's face outline from the subject's right temple to the chin, and where along it the nine points of half a
# jaw line are: evenly spaced on the mean head, between two landmarks of the outline.
OUTLINE_RIGHT = (162, 127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152)
OUTLINE_LEFT = (389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152)
JAW_PLACES = (1.0, 2.21, 3.41, 4.46, 5.5, 6.87, 8.6, 10.45, 12.0)
INNER_POINTS = (
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,  # brows
    168, 197, 5, 4, 98, 97, 2, 326, 327,  # nose
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # eyes
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,  # outer lips
    78, 82, 13, 312, 308, 317, 14, 87,  # inner lips
)  # fmt: skip
JAW = slice(0, 17)


@lru_cache(maxsize=1)
def matrix_68() -> np.ndarray:
    """float64 [68, 478]: the 68 landmarks as means of at most two of the 478; rows sum to 1."""
    matrix = np.zeros((68, 478))
    for number, place in enumerate(JAW_PLACES):
        low = int(place)
        for outline, row in ((OUTLINE_RIGHT, number), (OUTLINE_LEFT, 16 - number)):
            matrix[row] = 0  # the chin belongs to both sides
            matrix[row, outline[low]] = 1 - (place - low)
            if place > low:
                matrix[row, outline[low + 1]] = place - low
    matrix[np.arange(17, 68), INNER_POINTS] = 1
    return matrix


def to_68(landmarks: np.ndarray) -> np.ndarray:
    """MediaPipe landmarks [478, D] -> [68, D]."""
    return matrix_68() @ landmarks


def face_alignment_missing() -> bool:
    """Whether face-alignment, or what it needs to find landmarks without the network, isn't there."""
    if find_spec("face_alignment") is None:
        return True
    import torch
    from face_alignment.api import models_urls
    from face_alignment.detection.sfd.sfd_detector import models_urls as detector_urls

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    urls = models_urls["3DFAN-4"], detector_urls["s3fd"]
    return not all((folder / Path(url).name).is_file() for url in urls)


@lru_cache(maxsize=2)
def _face_alignment(device: str):  # type: ignore[no-untyped-def]
    from face_alignment import FaceAlignment, LandmarksType

    # x and y come from the 3-D network, whose jaw line stays on the bone when the head turns; its depth is not used.
    return FaceAlignment(LandmarksType.TWO_HALF_D, device=device, compile=False)


def find_68(rgb: np.ndarray, name: str = "the picture", device: str = "cpu") -> np.ndarray:
    """The 68 landmarks float64 [68, 2] of the largest face in `rgb` uint8 [H, W, 3]: pixels, y down.

    face-alignment, which NeRFFaceSpeech uses, is never downloaded here. `name` is what messages call the picture.
    Raises BadInput("no_face") and what `choose_face` raises.
    """
    if face_alignment_missing():
        face, _ = choose_face(detect_faces(rgb), name, rgb.shape[:2])
        return to_68(face.landmarks)[:, :2]
    found = _face_alignment(device).get_landmarks_from_image(rgb)
    if not found:
        raise BadInput("no_face", f"no face in {name}. Use a photo where one face is seen from the front.")
    return np.asarray(max(found, key=lambda points: np.ptp(points[:, 1])), float)[:, :2]


def face_68(face: Face) -> np.ndarray:
    """The 68 landmarks [68, 2] of a face that the embedded network has found already."""
    return to_68(face.landmarks)[:, :2]
