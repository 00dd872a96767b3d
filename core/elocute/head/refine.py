"""The fine correction of a head fit: moves the skin parallel to the image until the landmarks sit on the photo's,
seats the eyeballs, and tells apart what belongs to the person from what belongs to the photo's expression."""

from __future__ import annotations

import numpy as np

from elocute.head.eyes import ball_centre, look_rotation, look_units, turn_eyeball
from elocute.head.model import SIDES, HeadModel
from elocute.head.projection import pixel_ray, project, shift_in_image
from elocute.head.surface import plate_energy
from elocute.landmarks import ON_SKIN
from elocute.values import ARKIT_NAMES, LOOK_DOWN, LOOK_UP, Camera, Face, HeadFit

REACH, FAR_REACH = 0.04, 0.018  # metres a correction travels on the face; behind it the head keeps its own shape
PULL = 2e7  # of a fully trusted landmark, against the plate's bending energy: leaves under a tenth of a pixel
RIM_TRUST = 0.5  # at least, of landmarks on lips and lids, which are seen well from anywhere in front
LIP_THICKNESS_PULL = 2e5  # holds the inside of the lips behind their outside, or thin lips would show it through
LID_UNITS = ("eyeBlink", "eyeSquint", "eyeWide")
SHUT = 0.5  # an eye blinking more than this in the photo is closed, and opens when the units say so
IRIS_CENTRES = {"left": 473, "right": 468}
LIP_LANDMARKS_UPPER = (0, 13, 37, 267, 82, 312)
LIP_LANDMARKS_LOWER = (17, 14, 84, 314, 87, 317, 199, 200)
LEVELLING, MOST_LEVELLING = 0.8, 0.0018  # share and metres of the eyeball's place between the lids
FEATURES = (  # landmarks that mark something to be seen: lips, brows, nose, outline; the others fill the gaps
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409,
    70, 63, 105, 66, 107, 55, 65, 52, 53, 46, 300, 293, 334, 296, 336, 285, 295, 282, 283, 276,
    1, 2, 4, 5, 6, 19, 94, 97, 98, 168, 195, 197, 326, 327, 48, 278, 64, 294, 115, 344, 129, 358, 102, 331, 49, 279,
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150,
    136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
GUESS_TRUST = 0.02
TEETH_TRUST = 0.7  # teeth sit in bone: they follow the lips' correction only so far


def refine(
    model: HeadModel,
    face: Face,
    camera: Camera,
    pose: tuple[float, float, float],
    identity: np.ndarray,
    expression: np.ndarray,
    trust: np.ndarray,
) -> HeadFit:
    """`trust` [468] in 0..1 of the landmarks. Returns the finished fit; see values.HeadFit."""
    plain = model.vertices(identity, expression)
    seen = np.asarray(face.landmarks[:, :2], float)
    before = landmark_error(model, plain, camera, seen, trust)
    shape = plain + skin_correction(model, plain, camera, seen, trust)
    gaze = {}
    for side in SIDES:
        seat_eyeball(model, plain, shape, camera, side)
        level_eyeball(model, shape, camera, seen, side)
        gaze[side] = gaze_of(model, shape, camera, seen, side)
    for ball, side in zip(model.eyeballs, SIDES, strict=True):
        shape[ball] = turn_eyeball(shape[ball], *gaze[side])  # seated straight, now looking where the photo looks
    after = landmark_error(model, shape, camera, seen, trust)
    return split(model, shape, camera, pose, identity, expression, gaze, (before, after))


def landmark_error(
    model: HeadModel, vertices: np.ndarray, camera: Camera, seen: np.ndarray, trust: np.ndarray
) -> float:
    """Mean distance in pixels of the trusted landmarks, weighted by trust."""
    where = project(model.landmarks(vertices)[:ON_SKIN], camera)[:, :2]
    return float(np.average(np.linalg.norm(where - seen[:ON_SKIN], axis=1), weights=trust))


def skin_correction(
    model: HeadModel, plain: np.ndarray, camera: Camera, seen: np.ndarray, trust: np.ndarray
) -> np.ndarray:
    """Displacement [V, 3] of skin, cavity, teeth and tongue that puts the landmarks on `seen`."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.linalg import splu

    skin = np.flatnonzero(model.vertex_part <= model.parts.index("eye_socket"))
    number = np.full(len(plain), -1)
    number[skin] = np.arange(len(skin))
    faces = number[model.faces[model.part_faces("skin", "mouth_cavity", "eye_socket")]]
    reach = FAR_REACH + (REACH - FAR_REACH) * model.regions["face"][skin]
    energy = plate_energy(plain[skin].astype(float), faces, reach)
    corners = number[model.faces[model.landmark_faces[:ON_SKIN]]]
    rows = np.repeat(np.arange(ON_SKIN), 3)
    weights = model.landmark_weights[:ON_SKIN].ravel().astype(float)
    at = coo_matrix((weights, (rows, corners.ravel())), (ON_SKIN, len(skin))).tocsc()
    rims = np.isin(model.landmark_faces[:ON_SKIN], rim_faces(model))
    # squared: the plate is soft, so that even a weak pull would drag skin to where the network only guesses
    pull = PULL * np.where(rims, np.maximum(trust, RIM_TRUST), trust) ** 2
    pull[~rims & ~np.isin(np.arange(ON_SKIN), FEATURES)] *= GUESS_TRUST
    behind = lip_backs(model, plain)
    together = coo_matrix(
        (np.repeat([1.0, -1.0], len(behind)), (np.tile(np.arange(len(behind)), 2), number[behind.T.ravel()])),
        (len(behind), len(skin)),
    ).tocsc()
    matrix = (energy + at.T @ at.multiply(pull[:, None]) + LIP_THICKNESS_PULL * together.T @ together).tocsc()
    solver = splu(matrix)
    moved = plain.copy().astype(float)
    for _ in range(2):  # the second pass takes up what the change of depth under perspective leaves
        where = project(model.landmarks(moved)[:ON_SKIN], camera)
        wanted = shift_in_image(seen[:ON_SKIN] - where[:, :2], where[:, 2], camera)
        so_far = at @ (moved - plain)[skin]
        moved[skin] = plain[skin] + solver.solve(at.T @ (pull[:, None] * (so_far + wanted)))
    delta = moved - plain
    move_with_mouth(model, delta)
    return delta.astype(np.float32)


def rim_faces(model: HeadModel) -> np.ndarray:
    """Triangles with an edge on a seam."""
    rim = np.concatenate([chain for seam in model.seams.values() for chain in (seam.upper, seam.lower)])
    return np.flatnonzero(np.isin(model.faces, rim).sum(1) >= 2)


def lip_backs(model: HeadModel, shape: np.ndarray) -> np.ndarray:
    """Pairs [N, 2] of a vertex inside the mouth near a lip's edge and the nearest one on that lip's outside."""
    seam = model.seams["lips"]
    half = len(seam.upper) - 2
    pull = np.stack([seam.fields[:, :half].sum(1), seam.fields[:, half:].sum(1)], 1)
    is_inside = model.vertex_part[seam.touched] == model.parts.index("mouth_cavity")
    pairs = []
    for side in (0, 1):
        near = (pull[:, side] > 0.25) & (pull[:, side] > pull[:, 1 - side])
        inner, outer = seam.touched[near & is_inside], seam.touched[near & ~is_inside]
        distance = np.linalg.norm(shape[inner][:, None] - shape[outer][None], axis=2)
        pairs.append(np.stack([inner, outer[distance.argmin(1)]], 1))
    return np.concatenate(pairs)


def move_with_mouth(model: HeadModel, delta: np.ndarray) -> None:
    """Teeth and tongue have no landmarks of their own: they go rigidly with the lips before them. In place."""
    on_landmarks = model.landmarks(delta)
    upper = on_landmarks[list(LIP_LANDMARKS_UPPER)].mean(0) * TEETH_TRUST
    lower = on_landmarks[list(LIP_LANDMARKS_LOWER)].mean(0) * TEETH_TRUST
    delta[model.part("teeth_upper")] += upper
    for name in ("teeth_lower", "tongue"):
        delta[model.part(name)] += lower


def seat_eyeball(model: HeadModel, plain: np.ndarray, shape: np.ndarray, camera: Camera, side: str) -> None:
    """Carries an eyeball along with its lids, keeping its distance behind them. In place."""
    seam = model.seams[f"lids_{side}"]
    rim = np.concatenate([seam.upper, seam.lower])
    ball = model.eyeballs[SIDES.index(side)]
    shape[ball] += (shape[rim] - plain[rim]).mean(0)
    wanted = np.linalg.norm(plain[rim] - ball_centre(plain[ball]), axis=1).mean()
    towards = camera.camera_to_world[:3, 2].astype(np.float32)
    for _ in range(4):
        arm = shape[rim] - ball_centre(shape[ball])
        length = np.linalg.norm(arm, axis=1)
        slope = (arm @ towards / length).mean()
        shape[ball] += towards * np.clip((length.mean() - wanted) / max(slope, 0.3), -0.003, 0.003)


def level_eyeball(model: HeadModel, shape: np.ndarray, camera: Camera, seen: np.ndarray, side: str) -> None:
    """Raises or lowers an eyeball between its lids so that it need not roll up or down to look where it looks: people
    look level or at the camera far more often than past it, and lids differ. In place."""
    ball = model.eyeballs[SIDES.index(side)]
    centre = ball_centre(shape[ball])
    radius = np.linalg.norm(shape[ball[0]] - centre)
    towards = camera.camera_to_world[:3, 3] - centre
    level = np.arctan2(towards[1], np.hypot(towards[0], towards[2])) / 2  # between straight ahead and the camera
    _, pitch = gaze_of(model, shape, camera, seen, side)
    lift = LEVELLING * radius * (np.sin(pitch) - np.sin(level))
    shape[ball, 1] += np.clip(lift, -MOST_LEVELLING, MOST_LEVELLING)


def gaze_of(
    model: HeadModel, shape: np.ndarray, camera: Camera, seen: np.ndarray, side: str
) -> tuple[float, float]:
    """(yaw, pitch) that turns a straight eyeball until its pupil lies on the photo's."""
    ball = shape[model.eyeballs[SIDES.index(side)]]
    centre = ball_centre(ball)
    radius = np.linalg.norm(ball[0] - centre)
    origin, ray = pixel_ray(seen[IRIS_CENTRES[side]], camera)
    along = (centre - origin) @ ray
    miss = centre - origin - along * ray
    reach = max(radius**2 - miss @ miss, 0.05 * radius**2)
    pupil = origin + (along - np.sqrt(reach)) * ray - centre
    yaw, pitch = np.arctan2(pupil[0], pupil[2]), np.arctan2(pupil[1], np.hypot(pupil[0], pupil[2]))
    return float(np.clip(yaw, -0.45, 0.45)), float(np.clip(pitch, -LOOK_DOWN, LOOK_UP))


def split(
    model: HeadModel,
    shape: np.ndarray,
    camera: Camera,
    pose: tuple[float, float, float],
    identity: np.ndarray,
    expression: np.ndarray,
    gaze: dict[str, tuple[float, float]],
    residual: tuple[float, float],
) -> HeadFit:
    """Makes `shape` the sum of person, units and photo: the lids' opening becomes the person's own, the lips' opening
    that the units don't explain becomes `expression_offsets`, so that the rest closes exactly."""
    units = expression.copy()
    for side in ("Left", "Right"):
        if units[ARKIT_NAMES.index(f"eyeBlink{side}")] < SHUT:
            for name in LID_UNITS:
                units[ARKIT_NAMES.index(name + side)] = 0
    for name, value in look_units(gaze["left"], gaze["right"]).items():
        units[ARKIT_NAMES.index(name)] = value
    straight = shape.copy()
    for ball, side in zip(model.eyeballs, SIDES, strict=True):
        straight[ball] = turn_back(shape[ball], *gaze[side])
    person = model.vertices(identity, None)
    offsets = straight - person - np.tensordot(units, model.expression, 1)
    seam = model.seams["lips"]
    closing = np.zeros_like(offsets)
    closing[seam.touched] = seam.closing(person + offsets)
    return HeadFit(
        identity=identity,
        expression=units,
        offsets=(offsets + closing).astype(np.float32),
        camera=camera,
        pose=pose,
        residual=residual,
        expression_offsets=(-closing).astype(np.float32),
    )


def turn_back(ball: np.ndarray, yaw: float, pitch: float) -> np.ndarray:
    centre = ball_centre(ball)
    return (ball - centre) @ look_rotation(yaw, pitch).astype(ball.dtype) + centre
