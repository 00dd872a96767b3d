"""Those of MediaPipe's 478 face landmarks that more than one module asks for. Right and left are the subject's."""

from __future__ import annotations

import numpy as np

ON_SKIN = 468  # so many; the ten after them are irises
FOREHEAD, CHIN = FACE_HEIGHT = (10, 152)
STOMION = 13  # in the middle of the upper lip's inner edge
LIP_MIDDLES = (STOMION, 14)  # and of the lower one's
EYE_CORNERS = (33, 133, 362, 263)  # outer and inner of the right eye, inner and outer of the left
OUTER_EYE_CORNERS = (33, 263)  # right, left
MOUTH_CORNERS = (78, 308)  # where the lips' inner edges meet: right, left
OUTER_MOUTH_CORNERS = (61, 291)
# Rings of landmarks, each in order.
OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150,
    136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip  # around the face, clockwise for the viewer
OUTER_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
RIGHT_LIDS = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_LIDS = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)


def apart(points: np.ndarray, pair: tuple[int, int]) -> float:
    """How far two landmarks of points [478, 2 or 3] lie apart in the picture's plane, in the points' own unit."""
    return float(np.linalg.norm(points[pair[0], :2] - points[pair[1], :2]))
