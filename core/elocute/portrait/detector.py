"""Where faces are: MediaPipe's BlazeFace (short range) with LiteRT, on the whole picture and on tiles of it.

The network sees 128x128 pixels and finds faces from about 15 % of that upwards, so a small face in a large photo is
found on overlapping tiles, and a face that fills the picture on a picture with a margin around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from elocute.files import quiet_stderr

SIDE = 128
SCORE = 0.5  # MediaPipe's own threshold for this network
OVERLAP = 0.3  # boxes that overlap more than this are one face (MediaPipe's NMS threshold)


@dataclass(frozen=True)
class Detection:
    """A face box (x0, y0, x1, y1) and six points [6, 2] in pixels: the subject's right eye, left eye, nose tip,
    mouth, right ear, left ear."""

    box: tuple[float, float, float, float]
    points: np.ndarray
    score: float

    @property
    def width(self) -> float:
        return self.box[2] - self.box[0]


class FaceDetector:
    """BlazeFace. `model` is the content of the .tflite file."""

    def __init__(self, model: bytes) -> None:
        self._network = load_network(model)
        self._anchors = _anchors()

    def detect(self, rgb: np.ndarray) -> list[Detection]:
        """Faces at one plain look (2 ms) at `rgb` uint8 [H, W, 3], largest first."""
        return self._look(rgb)

    def search(self, rgb: np.ndarray) -> Iterator[list[Detection]]:
        """Ever more thorough looks, each with its answers, largest first: plain, with a margin (a face that fills
        the picture), on tiles (a small face), and the same for the picture lying on either side and upside down.
        Whoever asks stops when an answer holds up."""
        for turn in (0, 1, 3, 2):
            picture = np.ascontiguousarray(np.rot90(rgb, turn))
            for look in (self._look, self._look_with_margin, self._look_at_halves, self._look_at_quarters):
                if found := look(picture):
                    yield [_turn_back(face, turn, rgb.shape[1], rgb.shape[0]) for face in found]
        if tiny := self.look_at_tiles(rgb, max(rgb.shape[:2]) / 8):
            yield tiny  # too small to use, but then the user can be told so

    def _look(self, rgb: np.ndarray, left: float = 0, top: float = 0, side: float | None = None) -> list[Detection]:
        """Faces in the square of `side` pixels at (left, top); by default the square around the whole picture."""
        height, width = rgb.shape[:2]
        if side is None:
            side = max(height, width)
            left, top = (width - side) / 2, (height - side) / 2
        tensor = crop_square(rgb, left + side / 2, top + side / 2, side, 0.0, SIDE, cv2.BORDER_CONSTANT)
        regressors, logits = self._network(tensor[None].astype(np.float32) / 127.5 - 1)
        scores = 1 / (1 + np.exp(-np.clip(logits[0, :, 0], -50, 50)))
        keep = scores >= SCORE
        # Every anchor has size 1, so the raw numbers are pixels of the 128-pixel input relative to its centre.
        centre, size = regressors[0, keep, :2] / SIDE + self._anchors[keep], regressors[0, keep, 2:4] / SIDE
        points = regressors[0, keep, 4:].reshape(-1, 6, 2) / SIDE + self._anchors[keep, None]
        origin = np.array([left, top])
        boxes = np.concatenate([(centre - size / 2) * side + origin, (centre + size / 2) * side + origin], axis=1)
        return _merge(boxes, points * side + origin, scores[keep])

    def _look_with_margin(self, rgb: np.ndarray) -> list[Detection]:
        height, width = rgb.shape[:2]
        side = 2 * max(height, width)
        return self._look(rgb, (width - side) / 2, (height - side) / 2, side)

    def _look_at_halves(self, rgb: np.ndarray) -> list[Detection]:
        return self.look_at_tiles(rgb, max(rgb.shape[:2]) / 2)

    def _look_at_quarters(self, rgb: np.ndarray) -> list[Detection]:
        return self.look_at_tiles(rgb, max(rgb.shape[:2]) / 4)

    def look_at_tiles(self, rgb: np.ndarray, side: float) -> list[Detection]:
        """Faces in squares of `side` pixels that overlap by half, largest first."""
        found = [
            face
            for top in _steps(rgb.shape[0], side)
            for left in _steps(rgb.shape[1], side)
            for face in self._look(rgb, left, top, side)
        ]
        if not found:
            return []
        boxes, points = np.array([face.box for face in found]), np.stack([face.points for face in found])
        return _merge(boxes, points, np.array([face.score for face in found]))


def load_network(model: bytes) -> Any:
    """A .tflite model as a function: one input array in, a list of output arrays out (in the model's order)."""
    from ai_edge_litert.interpreter import Interpreter

    with quiet_stderr():  # it tells about its delegate there and has no switch for that
        interpreter = Interpreter(model_content=model, num_threads=1)
        interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    outputs = [detail["index"] for detail in interpreter.get_output_details()]

    def run(tensor: np.ndarray) -> list[np.ndarray]:
        interpreter.set_tensor(source, tensor)
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in outputs]

    return run


def crop_square(
    rgb: np.ndarray, x: float, y: float, side: float, roll: float, size: int, border: int = cv2.BORDER_REPLICATE
) -> np.ndarray:
    """The square of `side` pixels centred at (x, y), turned by `roll` radians, resampled to [size, size, 3].

    Reduced by area first when it shrinks by more than 2, so that fine detail does not alias."""
    shrink = 1.0
    if side > 2 * size:
        shrink = size / side * 1.5
        height, width = rgb.shape[:2]
        # Cut out what the square covers before reducing: reducing a whole large photo would cost more.
        reach = side * 0.75 + 4  # the half diagonal of the turned square, and a little
        x0, y0 = max(int(x - reach), 0), max(int(y - reach), 0)
        x1, y1 = min(int(x + reach) + 1, width), min(int(y + reach) + 1, height)
        if x1 - x0 < 2 or y1 - y0 < 2:
            return np.zeros((size, size, 3), np.uint8)
        new = (max(round((x1 - x0) * shrink), 1), max(round((y1 - y0) * shrink), 1))
        scale_x, scale_y = new[0] / (x1 - x0), new[1] / (y1 - y0)
        rgb = cv2.resize(rgb[y0:y1, x0:x1], new, interpolation=cv2.INTER_AREA)
        matrix = _square_to_image(x, y, side, roll, size)
        matrix = np.diag([scale_x, scale_y]) @ (matrix - [[0, 0, x0], [0, 0, y0]])
    else:
        matrix = _square_to_image(x, y, side, roll, size)
    # OpenCV counts pixel centres as whole numbers; here they are at .5.
    matrix = matrix.copy()
    matrix[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5
    return cv2.warpAffine(rgb, matrix, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=border)


def _square_to_image(x: float, y: float, side: float, roll: float, size: int) -> np.ndarray:
    """[2, 3]: from pixels of the crop to pixels of the image."""
    scale = side / size
    cos, sin = np.cos(roll) * scale, np.sin(roll) * scale
    half = size / 2
    return np.array([[cos, -sin, x - half * (cos - sin)], [sin, cos, y - half * (sin + cos)]])


def _anchors() -> np.ndarray:
    """Anchor centres [896, 2] in 0..1: 16x16 cells with 2 anchors, then 8x8 cells with 6."""
    parts = []
    for cells, per_cell in ((16, 2), (8, 6)):
        axis = (np.arange(cells) + 0.5) / cells
        y, x = np.meshgrid(axis, axis, indexing="ij")
        parts.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), per_cell, axis=0))
    return np.concatenate(parts)


def _steps(length: float, side: float) -> np.ndarray:
    """Tile starts along one axis, overlapping by half."""
    if length <= side:
        return np.array([(length - side) / 2])
    return np.linspace(0, length - side, int(np.ceil((length - side) / (side / 2))) + 1)


def _merge(boxes: np.ndarray, points: np.ndarray, scores: np.ndarray) -> list[Detection]:
    """Overlapping answers averaged by score (MediaPipe's weighted suppression); largest face first."""
    found = []
    remaining = np.argsort(-scores, kind="stable")
    while len(remaining):
        same = _overlap(boxes[remaining[0]], boxes[remaining]) > OVERLAP
        same[0] = True
        group, remaining = remaining[same], remaining[~same]
        weight = scores[group] / scores[group].sum()
        x0, y0, x1, y1 = (float(value) for value in weight @ boxes[group])
        found.append(
            Detection((x0, y0, x1, y1), np.einsum("n,npc->pc", weight, points[group]), float(scores[group[0]]))
        )
    return sorted(found, key=lambda face: -face.width)


def _overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of one box [4] with many [N, 4]."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=1)
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return common / np.maximum(np.prod(box[2:] - box[:2]) + area - common, 1e-9)


def _turn_back(face: Detection, turn: int, width: int, height: int) -> Detection:
    """From a picture turned by `turn` quarter turns counter-clockwise back to the picture as it was."""
    points = np.concatenate([face.points, np.reshape(face.box, (2, 2))])
    for step in range(turn):
        # One counter-clockwise quarter turn takes (x, y) to (y, W - x), W being the width before that turn.
        before = width if (turn - 1 - step) % 2 == 0 else height
        points = np.stack([before - points[:, 1], points[:, 0]], axis=1)
    (x0, y0), (x1, y1) = points[6:].min(axis=0), points[6:].max(axis=0)
    return Detection((float(x0), float(y0), float(x1), float(y1)), points[:6], face.score)
