"""Another background than the generator's own. StyleNeRF mixes person and background in its feature pictures, so that
no alpha comes out of it: the finished frame is cut out like a photo."""

from __future__ import annotations

import numpy as np

from ...finishing.compositing import over, plain_colour
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
    light = colour.astype(np.float32) / 255 * alpha[..., None]
    return over(np.dstack([light, alpha]), np.broadcast_to(plain_colour(background), frame.shape))
