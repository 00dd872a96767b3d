"""Cutting the person out: alpha with soft hair edges and the person's own colour under them.

The network is Robust Video Matting (Lin et al., WACV 2022), MobileNetV3. It is made for video: on a still the same
picture is shown a few times so that its recurrent state settles.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from elocute.landmarks import OVAL
from elocute.models.store import model_path
from elocute.portrait.face import face_height
from elocute.portrait.fill import push_pull
from elocute.portrait.regions import disc
from elocute.ramps import smooth_step
from elocute.values import Face

# Longer side of the network's inner picture. One size alone now and then drops an ear or a hat's brim or keeps a
# flag, another time at another size; the median of several does not.
WHOLE_SIDES = (320, 384, 448)
HEAD_SIDES = (256, 320, 384, 448, 512)
SETTLE = 1  # looks before the one that counts; more change nothing that is visible
BELOW = 0.25  # of the height, mirrored below the picture: else the network lets the body end above the bottom edge
UNTOLD = 0.005  # of the height: so close to the other edges it says too little of a person whom they cut
HEAD_CROP = 3.5  # the head is looked at by itself in a square of this many face heights
LARGER = 1.1  # by this factor has the photo to be larger than that square to be worth a look as a whole
FUSION_RADII = (90, 6)  # pixels, from the paper
UNSURE = 0.03  # alpha this far from 0 and 1
EDGE, BROAD = 0.03, 0.05  # face heights: so far soft edges reach; the radius of what is too broad to be one
DECIDED_AT = 240  # pixels of the face's height: enough to tell brims from hair, and the same cost for every photo
# Distance in 8-bit RGB from the background's colour that tells what is no background: so many times its usual one and
# so much more, and this share of the person's. Below the first multiple of it alpha stays, above the second it is 1.
SPREADS, VISIBLE, ALIKE, DIFFERENT = 3, 25, 0.6, (0.8, 1.3)
STATE_AND_ALPHA = ("pha", "r1o", "r2o", "r3o", "r4o")  # its own colour output is not used: it keeps old background


def matte(
    rgb: np.ndarray, face: Face | None, alpha: np.ndarray | None = None, still: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """The person in `rgb` uint8 [H, W, 3] who has the `face`; with None whoever the network sees. Of a frame that is
    not `still` nothing is decided that may be decided otherwise in the next.

    `alpha` float32 [H, W] is the picture's own transparency; when it has any, it wins over the network's.
    Returns alpha float32 [H, W] in 0..1 and foreground uint8 [H, W, 3]: the person's colour, free of the old
    background where alpha is between 0 and 1, and carried outward where it is 0.
    """
    if alpha is None and face is None:
        alpha = _without_haze(_look(rgb, HEAD_SIDES))
    elif alpha is None:
        x0, y0, x1, y1 = square = _head_square(face, rgb.shape[1], rgb.shape[0])
        near = _look(np.ascontiguousarray(rgb[y0:y1, x0:x1]), HEAD_SIDES)
        if max(x1 - x0, y1 - y0) * LARGER < max(rgb.shape[:2]):
            alpha = _look(rgb, WHOLE_SIDES)
        else:
            alpha = cv2.copyMakeBorder(near, y0, rgb.shape[0] - y1, x0, rgb.shape[1] - x1, cv2.BORDER_REPLICATE)
        alpha[y0:y1, x0:x1] += _feather(square, rgb.shape[1], rgb.shape[0]) * (near - alpha[y0:y1, x0:x1])
        alpha = _clean(alpha, face)
        if still:
            alpha = _decided(rgb, alpha, face_height(face))
    return alpha.astype(np.float32), foreground_colour(rgb, alpha.astype(np.float32))


def foreground_colour(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The person's colour uint8 [H, W, 3] from the mixed `rgb` and `alpha` [H, W]: blur fusion (Forte,
    "Approximate Fast Foreground Colour Estimation", ICIP 2021, eq. 4-6), a wide pass for the first guess and a
    narrow one for detail; carried outward where there is no person."""
    image, a = rgb.astype(np.float32), alpha[..., None]
    foreground: np.ndarray = image
    background: np.ndarray = image
    for radius in FUSION_RADII:
        size = (2 * radius + 1, 2 * radius + 1)
        mean_alpha = cv2.blur(alpha, size)[..., None]
        near_foreground = cv2.blur(foreground * a, size) / (mean_alpha + 1e-5)
        near_background = cv2.blur(background * (1 - a), size) / (1 - mean_alpha + 1e-5)
        foreground = near_foreground + a * (image - a * near_foreground - (1 - a) * near_background)
        foreground, background = np.clip(foreground, 0, 255), np.clip(near_background, 0, 255)
    solid = np.clip((alpha - 0.9) / 0.1, 0, 1)[..., None]  # where the person is solid the photo is the truth
    foreground = solid * image + (1 - solid) * foreground
    known = np.clip(alpha * 10, 0, 1)
    return np.clip(np.round(push_pull(foreground.astype(np.float32), known)), 0, 255).astype(np.uint8)


def _look(rgb: np.ndarray, sides: tuple[int, ...]) -> np.ndarray:
    """Raw alpha float32 [H, W]: the median over the inner sizes."""
    height = rgb.shape[0]
    padded = cv2.copyMakeBorder(rgb, 0, int(height * BELOW), 0, 0, cv2.BORDER_REFLECT)
    answers = [_run(padded, side * padded.shape[0] / height)[:height] for side in sides]
    edge = max(2, round(height * UNTOLD))
    sure = np.median(np.stack(answers), axis=0).astype(np.float32)[edge:, edge:-edge]
    return cv2.copyMakeBorder(sure, edge, 0, edge, edge, cv2.BORDER_REPLICATE)


def _run(rgb: np.ndarray, inner_side: float) -> np.ndarray:
    """Alpha [H, W] from one inner size."""
    height, width = rgb.shape[:2]
    if inner_side > max(height, width):  # a small picture is enlarged, else all inner sizes were one and the same
        scale = inner_side / max(height, width)
        large = cv2.resize(rgb, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_CUBIC)
        return cv2.resize(_run(large, max(large.shape[:2])), (width, height), interpolation=cv2.INTER_AREA)
    ratio = np.float32(inner_side / max(height, width))
    inner = (int(np.float32(width) * ratio), int(np.float32(height) * ratio))  # as the network's own Resize rounds
    small = cv2.resize(rgb, inner, interpolation=cv2.INTER_AREA)
    state = [np.zeros((1, 1, 1, 1), np.float32)] * 4
    for _ in range(SETTLE):  # settling on the reduced picture costs a fraction of the full one
        _, *state = _network().run(STATE_AND_ALPHA, _feed(small, state, np.float32(1)))
    alpha, *_ = _network().run(STATE_AND_ALPHA, _feed(rgb, state, ratio))
    return alpha[0, 0]


def _feed(rgb: np.ndarray, state: list[np.ndarray], ratio: np.float32) -> dict[str, np.ndarray]:
    source = np.ascontiguousarray(rgb.transpose(2, 0, 1)[None]).astype(np.float32) / 255
    recurrent = {f"r{i + 1}i": value for i, value in enumerate(state)}
    return {"src": source, "downsample_ratio": np.array([ratio], np.float32), **recurrent}


@lru_cache(maxsize=1)
def _network() -> Any:
    # As `__main__` does, before the import: whoever uses Elocute as a library comes by here only.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # be kind to what else runs
    options.enable_cpu_mem_arena = False  # the arena would keep the largest picture's memory for good
    return onnxruntime.InferenceSession(str(model_path("matting")), options, providers=["CPUExecutionProvider"])


def _head_square(face: Face, width: int, height: int) -> tuple[int, int, int, int]:
    """HEAD_CROP face heights around the face, inside the photo."""
    x, y = face.landmarks[:, :2].mean(axis=0)
    reach = HEAD_CROP / 2 * face_height(face)
    x0, y0 = max(int(x - reach), 0), max(int(y - 0.8 * reach), 0)
    return x0, y0, min(int(x + reach) + 1, width), min(int(y + 1.2 * reach) + 1, height)


def _feather(square: tuple[int, int, int, int], width: int, height: int) -> np.ndarray:
    """1 inside the square, falling to 0 over its outer eighth, except where its side is the photo's own."""
    x0, y0, x1, y1 = square
    soft = max(min(x1 - x0, y1 - y0) / 8, 1)
    x, y = np.arange(x1 - x0) + 0.5, np.arange(y1 - y0) + 0.5
    across = np.minimum(x / soft if x0 > 0 else 1.0, (x1 - x0 - x) / soft if x1 < width else 1.0)
    down = np.minimum(y / soft if y0 > 0 else 1.0, (y1 - y0 - y) / soft if y1 < height else 1.0)
    across, down = np.broadcast_to(across, x.shape), np.broadcast_to(down, y.shape)
    return np.clip(np.minimum(down[:, None], across[None]), 0, 1).astype(np.float32)


def _clean(alpha: np.ndarray, face: Face) -> np.ndarray:
    """Only what hangs together with the face, without pinholes, the face itself solid; soft edges stay."""
    alpha = _without_haze(alpha)
    oval = np.zeros(alpha.shape, np.uint8)
    cv2.fillPoly(oval, [np.round(face.landmarks[list(OVAL), :2]).astype(np.int32)], 255)
    size = face_height(face)
    # The face is solid; its rim is the network's to decide (a jaw line has no soft edge to lose).
    inner = cv2.erode(oval, np.ones((3, 3), np.uint8), iterations=max(int(size * 0.03), 1))
    alpha = np.maximum(alpha, cv2.GaussianBlur(inner, (0, 0), max(size * 0.01, 0.5)).astype(np.float32) / 255)
    _, labels = cv2.connectedComponents((alpha > 0.08).astype(np.uint8), connectivity=8)
    own = np.unique(labels[(oval > 0) & (alpha > 0.5)])
    near = cv2.dilate(np.isin(labels, own[own > 0]).astype(np.uint8), np.ones((5, 5), np.uint8))
    alpha = np.where(near > 0, alpha, 0)
    return _without_pinholes(alpha, (0.12 * size) ** 2)


def _decided(rgb: np.ndarray, alpha: np.ndarray, size: float) -> np.ndarray:
    """`alpha` [H, W], but solid where the network is unsure of what is too broad for a soft edge, such as a hat's brim
    or a cup, and that has not the colour of the background around it. `size` of the face in pixels."""
    height, width = alpha.shape
    scale = min(DECIDED_AT / size, 1)
    small = (max(round(width * scale), 1), max(round(height * scale), 1))
    image, a = (cv2.resize(p, small, interpolation=cv2.INTER_AREA) for p in (rgb.astype(np.float32), alpha))
    edge, broad = max(1, round(EDGE * size * scale)), max(1, round(BROAD * size * scale))
    open_question = ((a > UNSURE) & (a < 1 - UNSURE)).astype(np.uint8)
    unsure = cv2.morphologyEx(open_question, cv2.MORPH_OPEN, disc(broad))
    behind, person = (cv2.erode((p < UNSURE / 3).astype(np.uint8), disc(edge)) for p in (a, 1 - a))
    if not (unsure.any() and behind.any() and person.any()):
        return alpha
    background = cv2.GaussianBlur(push_pull(image, behind.astype(np.float32)), (0, 0), edge)
    colour = push_pull(image, person.astype(np.float32))
    spread = ((image - background) ** 2).sum(axis=2, keepdims=True) * behind[..., None]
    spread = np.sqrt(cv2.GaussianBlur(push_pull(spread, behind.astype(np.float32)), (0, 0), 3 * edge))
    needed = np.maximum(SPREADS * spread + VISIBLE, ALIKE * np.linalg.norm(colour - background, axis=2))
    soft = cv2.GaussianBlur(cv2.dilate(unsure, disc(edge)).astype(np.float32), (0, 0), max(edge / 3, 0.5))
    soft, needed, background = (cv2.resize(p, (width, height)) for p in (soft, needed, background))
    x, y, w, h = cv2.boundingRect((soft > 0).astype(np.uint8))
    part = slice(y, y + h), slice(x, x + w)
    apart = np.linalg.norm(rgb[part] - background[part], axis=2)
    solid = smooth_step(apart / needed[part], *DIFFERENT)
    out = alpha.copy()
    out[part] += soft[part] * np.maximum(solid - alpha[part], 0)
    return out


def _without_haze(alpha: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip((alpha - 0.03) / 0.94, 0, 1))


def _without_pinholes(alpha: np.ndarray, largest: float) -> np.ndarray:
    """Fill enclosed gaps up to `largest` pixels; larger ones are real (between arm and body)."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((alpha < 0.9).astype(np.uint8), connectivity=4)
    height, width = alpha.shape
    x, y, w, h = (stats[:, i] for i in (cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP, cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT))
    at_edge = (x == 0) | (y == 0) | (x + w == width) | (y + h == height)
    fill = ~at_edge & (stats[:, cv2.CC_STAT_AREA] <= largest)
    fill[0] = False  # label 0 is the person
    return np.where(fill[labels], np.float32(1), alpha).astype(np.float32) if count > 1 else alpha
