"""The face in a picture: 478 landmarks and 52 expression scores, by MediaPipe's networks run with LiteRT."""

from __future__ import annotations

import io
import zipfile
from functools import lru_cache

import numpy as np

from elocute.errors import BadInput
from elocute.landmarks import FACE_HEIGHT, apart
from elocute.models.store import model_path
from elocute.portrait.detector import Detection, FaceDetector, crop_square, load_network
from elocute.values import ARKIT_NAMES, Face

SIDE = 256  # input of the landmark network
PRESENCE = 0.0  # logit of the landmark network: above, MediaPipe too calls it a face
# Of a portrait's face. Faces from the front, even half cut off, have 0.9999; a profile, whose landmarks collapse
# into something small and frontal, has 0.8.
CLEAR = 0.99
SURE = 8.0  # an upright face has 15 to 20, one that is upside down in the crop less than 5
BESIDE = 0.5  # of the face's height: a smaller one is a passer-by
BESIDE_TILE = 3.0  # face heights: the detector finds faces from 0.15 of a tile's side
MIN_FACE_HEIGHT = 96  # pixels from hairline (10) to chin (152); below, lids and lips are a few pixels
MAX_TURN_DEGREES = 45.0
ASIDE_DEGREES = 30.0  # from here on, half of the face is hardly seen
RIGHT_EYE, LEFT_EYE = (33, 133), (362, 263)  # corners, of the subject's right and left eye
FEATURES = np.array([33, 263, 4, 61, 291, 17])  # outer eye corners, nose tip, mouth corners, lower lip: have to be seen

# The landmarks that the expression network takes, and its output names after `_neutral`, both in its order
# (MediaPipe, face_blendshapes_graph.cc).
SCORE_LANDMARKS = np.array([
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70, 78, 80,
    81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149, 150, 152, 153,
    154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251,
    263, 267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318,
    321, 323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385, 386,
    387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, 468, 469, 470, 471, 472, 473, 474, 475, 476, 477,
])  # fmt: skip
SCORE_NAMES = (
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff",
    "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight",
    "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight",
    "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen", "jawRight",
    "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel",
    "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker",
    "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft",
    "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "noseSneerLeft", "noseSneerRight",
)  # fmt: skip
# Landmarks that a face moves little when it speaks, and where MediaPipe's canonical face has them (centimetres, in
# image orientation: x right, y down, z away).
RIGID = np.array([33, 133, 362, 263, 168, 6, 197, 4, 10, 151, 234, 454, 127, 356, 54, 284, 93, 323])
RIGID_CANONICAL = np.array([
    [-4.45, -2.66, -3.17], [-1.86, -2.59, -3.76], [1.86, -2.59, -3.76], [4.45, -2.66, -3.17], [0.0, -3.27, -5.24],
    [0.0, -2.47, -5.79], [0.0, -1.73, -6.32], [0.0, 0.46, -7.59], [0.0, -8.26, -4.48], [0.0, -6.55, -5.03],
    [-7.66, -0.67, 2.44], [7.66, -0.67, 2.44], [-7.74, -2.36, 2.01], [7.74, -2.36, 2.01], [-6.28, -6.62, -1.43],
    [6.28, -6.62, -1.43], [-7.54, 1.05, 2.43], [7.54, 1.05, 2.43],
])  # fmt: skip
LOOKS_UP = np.radians(7)  # the canonical face, against a fitted head that looks straight ahead: median of 27 photos
_SCORE_PLACES = np.array([ARKIT_NAMES.index(name) for name in SCORE_NAMES])  # tongueOut is not among them: stays 0


class FaceLandmarker:
    """Detector, landmark and expression network out of `face_landmarker.task` (its content as bytes)."""

    def __init__(self, model: bytes) -> None:
        with zipfile.ZipFile(io.BytesIO(model)) as archive:
            self.detector = FaceDetector(archive.read("face_detector.tflite"))
            self._landmarks = load_network(archive.read("face_landmarks_detector.tflite"))
            self._scores = load_network(archive.read("face_blendshapes.tflite"))

    def detect(self, rgb: np.ndarray, thorough: bool = True) -> list[Face]:
        """Faces in `rgb` uint8 [H, W, 3], largest first. `thorough` also searches for small, very large, lying and
        upside-down faces."""
        looks = self.detector.search(rgb) if thorough else iter([self.detector.detect(rgb)])
        for detections in looks:
            faces = [face for detection in detections if (face := self._settle(rgb, detection)) is not None]
            if faces:
                return _largest_first_without_twins(faces)
        return []

    def _settle(self, rgb: np.ndarray, detection: Detection, least: float = PRESENCE) -> Face | None:
        """The landmarks of a detection; None when the landmark network, by `least`, sees no face there."""
        x, y, side, roll = _square_of_detection(detection)
        landmarks, presence = self._locate(rgb, x, y, side, roll)
        if presence < SURE:  # the detector mistakes an upside-down face for an upright one: try the other ways up
            turned = [self._locate(rgb, x, y, side, roll + quarter * np.pi / 2) for quarter in (1, 2, 3)]
            landmarks, presence = max([(landmarks, presence), *turned], key=lambda answer: answer[1])
        # The detector's square is loose: place it again by the landmarks, as MediaPipe does from one video frame
        # to the next, so that photo and video agree and a tilted head stands upright in the crop.
        for _ in range(2):
            if presence < PRESENCE:
                return None
            landmarks, presence = self._locate(rgb, *_square_of_landmarks(landmarks))
        return self._face(landmarks, presence) if presence >= least else None

    def beside(self, rgb: np.ndarray, face: Face) -> list[Face]:
        """The other faces in `rgb`, of at least BESIDE times the height of `face`, largest first. `detect` is content
        with what one look finds, and may miss them."""
        tiles = self.detector.look_at_tiles(rgb, max(BESIDE_TILE * face_height(face), max(rgb.shape[:2]) / 4))
        found = [other for tile in tiles if (other := self._settle(rgb, tile, SURE)) is not None]
        tall = [other for other in found if face_height(other) >= BESIDE * face_height(face)]
        others = _largest_first_without_twins(tall)
        return [other for other in others if not _inside(other, face) and not _inside(face, other)]

    def track(self, rgb: np.ndarray, previous: Face | None) -> Face | None:
        """The face of a video frame, looked for where it was in the frame before; detects anew when it is lost."""
        if previous is not None:
            landmarks, presence = self._locate(rgb, *_square_of_landmarks(previous.landmarks))
            if presence >= PRESENCE:
                return self._face(landmarks, presence)
        faces = self.detect(rgb, thorough=False)
        return faces[0] if faces else None

    def _locate(self, rgb: np.ndarray, x: float, y: float, side: float, roll: float) -> tuple[np.ndarray, float]:
        """Landmarks [478, 3] in image pixels and the network's logit for "this is a face"."""
        crop = crop_square(rgb, x, y, side, roll, SIDE)
        raw, presence, _ = self._landmarks(crop[None].astype(np.float32) / 255)
        scale = side / SIDE
        local = raw.reshape(478, 3).astype(np.float64)
        offset = (local[:, :2] - SIDE / 2) * scale
        cos, sin = np.cos(roll), np.sin(roll)
        landmarks = np.empty((478, 3))
        landmarks[:, 0] = x + offset[:, 0] * cos - offset[:, 1] * sin
        landmarks[:, 1] = y + offset[:, 0] * sin + offset[:, 1] * cos
        landmarks[:, 2] = local[:, 2] * scale
        return landmarks, float(presence.ravel()[0])

    def _face(self, landmarks: np.ndarray, presence: float) -> Face:
        scores = np.zeros(len(ARKIT_NAMES), np.float32)
        points = _upright(landmarks)[SCORE_LANDMARKS]
        scores[_SCORE_PLACES] = self._scores(points[None].astype(np.float32))[0].ravel()[1:]
        low, high = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
        box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
        return Face(landmarks, scores, box, float(1 / (1 + np.exp(-np.clip(presence, -50, 50)))))


@lru_cache(maxsize=1)
def shared_landmarker() -> FaceLandmarker:
    """One landmarker per process: loading takes 0.1 s. Raises what `model_path` raises."""
    return FaceLandmarker(model_path("face").read_bytes())


def detect_faces(rgb: np.ndarray) -> list[Face]:
    """Every face in `rgb` uint8 [H, W, 3], largest first; empty when there is none."""
    return shared_landmarker().detect(rgb)


def faces_beside(rgb: np.ndarray, face: Face) -> list[Face]:
    """The other faces in `rgb` that whoever gave the photo may have meant, largest first."""
    return shared_landmarker().beside(rgb, face)


def face_height(face: Face) -> float:
    """Pixels from the top of the forehead to the chin, along the face."""
    return apart(face.landmarks, FACE_HEIGHT)


def roll_of(landmarks: np.ndarray) -> float:
    """Tilt of the eye line in radians, clockwise for the viewer positive; landmarks [478, 2 or 3]."""
    across = landmarks[list(LEFT_EYE), :2].mean(axis=0) - landmarks[list(RIGHT_EYE), :2].mean(axis=0)
    return float(np.arctan2(across[1], across[0]))


def head_turn(landmarks: np.ndarray) -> tuple[float, float, float]:
    """Yaw (+ to the viewer's right), pitch (+ up), roll (+ clockwise for the viewer) in radians, good to some
    degrees: enough to refuse a face that is turned away, not for fitting. `landmarks` [478, 3] in pixels."""
    yaw, pitch, roll = turn_between(RIGID_CANONICAL, landmarks[RIGID])
    return yaw, pitch + LOOKS_UP, roll


def turn_between(first: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
    """Yaw, pitch, roll as in `head_turn` of the rotation that carries landmarks [N, 3] closest to the same ones
    [N, 3] of another picture (Kabsch; mirror images excluded). Each angle is read as if it were the only large one, as
    yardsticks of such videos do: turned by 20, 12 and 12 degrees of `spaces.viewer_rotation` at once, a head reads
    20.4, 11.3 and 12.0."""
    a, b = first - first.mean(axis=0), other - other.mean(axis=0)
    u, _, vt = np.linalg.svd(a.T @ b)
    turn = vt.T @ np.diag([1, 1, np.sign(np.linalg.det(vt.T @ u.T))]) @ u.T
    pitch = float(-np.arcsin(np.clip(turn[2, 1], -1, 1)))
    return float(np.arctan2(turn[2, 0], turn[2, 2])), pitch, float(np.arctan2(turn[1, 0], turn[0, 0]))


def choose_face(
    faces: list[Face], name: str = "the picture", size: tuple[int, int] | None = None
) -> tuple[Face, tuple[str, ...]]:
    """The face to use (the largest) and what the user should know about the choice.

    `name` is what the sentences call the picture, `size` its height and width in pixels.
    Raises BadInput("no_face"), ("face_too_small"), ("face_turned_away"), ("face_cut_off").
    """
    if not faces:
        raise BadInput("no_face", f"no face in {name}. Use a photo where one face is seen from the front.")
    face, notes = faces[0], []
    if face.confidence < CLEAR:
        raise BadInput(
            "face_turned_away",
            f"the face in {name} can hardly be seen: it is turned away or covered. Use a photo from the front.",
        )
    height = face_height(face)
    count = 1 + sum(face_height(other) >= BESIDE * height for other in faces[1:])
    if count > 1:
        notes.append(f"the photo shows {count} faces: the largest is used; crop it for another")
    if height < MIN_FACE_HEIGHT:
        raise BadInput(
            "face_too_small",
            f"the face in {name} is {height:.0f} pixels high and has to be at least {MIN_FACE_HEIGHT}. "
            "Use a larger photo, or one taken from nearer.",
        )
    features = face.landmarks[FEATURES, :2]
    if size is not None and ((features < 0) | (features > np.array(size[::-1]))).any():
        raise BadInput(
            "face_cut_off",
            f"the face in {name} is cut off by the edge of the photo. Use a photo that shows both eyes and the mouth.",
        )
    yaw, pitch, roll = (float(np.degrees(angle)) for angle in head_turn(face.landmarks))
    if max(abs(yaw), abs(pitch)) > MAX_TURN_DEGREES:
        way = f"{abs(yaw):.0f} degrees to the side" if abs(yaw) > abs(pitch) else f"{abs(pitch):.0f} degrees up or down"
        raise BadInput(
            "face_turned_away",
            f"the face in {name} is turned {way}. Use a photo turned less than {MAX_TURN_DEGREES:.0f} degrees.",
        )
    if abs(yaw) > ASIDE_DEGREES:
        notes.append(f"the face looks {abs(yaw):.0f} degrees aside: half of it is guessed; keep turns under 10 degrees")
    if abs(roll) > 12:
        notes.append(f"the head is tilted by {abs(roll):.0f} degrees; it stays tilted")
    return face, tuple(notes)


def _square_of_detection(face: Detection) -> tuple[float, float, float, float]:
    """Centre, side and roll of the landmark crop: twice the detector's box, eyes level (MediaPipe's rule)."""
    across = face.points[1] - face.points[0]
    x0, y0, x1, y1 = face.box
    return (x0 + x1) / 2, (y0 + y1) / 2, 2 * max(x1 - x0, y1 - y0), float(np.arctan2(across[1], across[0]))


def _square_of_landmarks(landmarks: np.ndarray) -> tuple[float, float, float, float]:
    """Centre, side and roll of the landmark crop: 1.5 times the landmarks' box with the eyes level."""
    across = landmarks[263, :2] - landmarks[33, :2]
    roll = float(np.arctan2(across[1], across[0]))
    cos, sin = np.cos(roll), np.sin(roll)
    level = landmarks[:, :2] @ np.array([[cos, -sin], [sin, cos]])
    low, high = level.min(axis=0), level.max(axis=0)
    centre = np.array([[cos, -sin], [sin, cos]]) @ ((low + high) / 2)
    return float(centre[0]), float(centre[1]), 1.5 * float((high - low).max()), roll


def _upright(landmarks: np.ndarray) -> np.ndarray:
    """Landmarks [N, 2] turned so that the eyes are level: the expression network was trained on upright faces."""
    roll = roll_of(landmarks)
    cos, sin = np.cos(roll), np.sin(roll)
    points = landmarks[:, :2]
    centre = points.mean(axis=0)
    return (points - centre) @ np.array([[cos, -sin], [sin, cos]]) + centre


def _largest_first_without_twins(faces: list[Face]) -> list[Face]:
    """Sort by height; drop a face whose centre lies inside a larger one (two detections of one face)."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face_height(face)):
        if not any(_inside(face, other) for other in kept):
            kept.append(face)
    return kept


def _inside(face: Face, other: Face) -> bool:
    x, y = face.landmarks[:, :2].mean(axis=0)
    return bool(other.box[0] < x < other.box[2] and other.box[1] < y < other.box[3])
