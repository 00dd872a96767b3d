"""Another background than the generator's own. StyleNeRF mixes person and background in its feature pictures, so that
no alpha comes out of it: the finished frame is cut out like a photo."""

from __future__ import annotations

import numpy as np

from ...finishing.compositing import over
from ...portrait.face import detect_faces
from ...portrait.matting import matte


def before(frame: np.ndarray, background: str) -> np.ndarray:
    """The person of a frame uint8 [H, W, 3] before a background of `Shot.background`: uint8 [H, W, 3], or 4 with
    straight alpha when transparent. The largest face is the person's; a frame without one is cut out all the same."""
    if background == "keep":
        return frame
    alpha, colour = matte(frame, next(iter(detect_faces(frame)), None), still=False)
    if background == "transparent":
        return np.dstack([colour, np.round(alpha * 255).astype(np.uint8)])
    plain = np.array([int(background[i : i + 2], 16) for i in (1, 3, 5)], np.float32) / 255
    light = colour.astype(np.float32) / 255 * alpha[..., None]
    return over(np.dstack([light, alpha]), np.broadcast_to(plain, frame.shape))
