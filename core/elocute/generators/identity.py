"""Random identities: the portrait of a person who doesn't exist, behind a seed, ready to be inverted like a photo."""

from __future__ import annotations

import cv2
import numpy as np

from ..head.avatar import AvatarHead
from ..head.eyes import look_units
from ..head.model import HeadModel, load_head_model
from ..head.projection import camera_at, pose_angles, pose_rotation, project
from ..landmarks import CHIN, EYE_CORNERS, FOREHEAD, INNER_LIPS, OUTER_LIPS
from ..portrait.regions import polygon_mask
from ..ramps import smooth_step
from ..values import ARKIT_NAMES, REGION_NAMES, Camera, HeadFit
from .features import curve, eye_axes, noise
from .hairdo import draw_hair
from .painting import Body, paint_body
from .person import Person, random_person, stream
from .scene import Scene
from .studio import studio_lamps, to_linear, to_srgb

DISTANCE = 2.0  # metres from the camera to the head's centre
FACE_SHARE, EYE_LEVEL = 1 / 1.95, 0.48  # height of the face and of the eyes in the picture, as portraits are framed
FINEST = 1536  # pixels at which a picture of half the size or less is painted; larger ones are painted at twice theirs
RIM = 0.0005  # metres between eyeball and lids
PAINT, STRANDS, PAPER = 3, 4, 5  # random streams beside those of `person`


def random_scene(seed: int, side: int) -> Scene:
    """The portrait behind a seed, `side` pixels square, with everything about it known exactly.

    The same seed is the same person at every size, to freckles and single hairs. Painted on the CPU in 3 to 8 s.
    """
    model = load_head_model()
    person = random_person(seed, model.identity_names)
    fit = known_fit(person, model, side)
    points = AvatarHead(model, fit).vertices(fit.expression).astype(np.float64)
    marks = model.landmarks(points)
    scale = max(2, round(FINEST / side))
    lamps = studio_lamps(*person.key)
    body = paint_body(person, model, points, fit.camera, scale, lamps, stream(seed, PAINT))
    hair = draw_hair(person, model, points, marks, fit.camera, scale, lamps, body.depth, stream(seed, STRANDS))
    colour, cover = _under_hair(body, hair, scale * fit.camera.focal / DISTANCE)
    own, matte = _down(colour, cover, scale)
    paper = backdrop(person, stream(seed, PAPER), side)
    landmarks = project(marks, fit.camera)
    landmarks[:, 2] = (landmarks[:, 2] - DISTANCE) * fit.camera.focal / DISTANCE
    photo = matte[..., None] * own + (1 - matte[..., None]) * paper
    regions = _regions(body, hair[..., 3], matte, landmarks)
    return Scene(photo.astype(np.float32), paper, matte, regions, landmarks.astype(np.float32), fit)


def known_fit(person: Person, model: HeadModel, side: int) -> HeadFit:
    """The head fit of a random person: known, not estimated. Lips meet, eyes are seated and look at the camera."""
    plain = model.vertices(person.identity, None)
    offsets = np.zeros_like(plain)
    lips = model.seams["lips"]
    offsets[lips.touched] += lips.closing(plain)
    for name, ball in zip(("left", "right"), model.eyeballs, strict=True):
        seam = model.seams[f"lids_{name}"]
        rim = plain[np.concatenate([seam.upper, seam.lower])]
        centre, _, radius = eye_axes(model, plain)[f"eye_{name}"]
        arm = np.linalg.norm(rim - centre, axis=1)
        offsets[ball, 2] += np.clip(np.quantile(arm, 0.25) - radius - RIM, -0.0015, 0.0025)
    shape = plain + offsets
    camera = _camera(model.landmarks(shape), person.turn, side)
    eye = camera.camera_to_world[:3, 3]
    gaze = []
    for centre in model.eye_centres(shape):
        x, y, z = eye - centre
        gaze.append((float(np.arctan2(x, z)), float(np.arctan2(y, np.hypot(x, z)))))
    units = look_units(gaze[0], gaze[1])
    expression = np.array([units.get(name, 0.0) for name in ARKIT_NAMES], np.float32)
    pose = pose_angles(camera.camera_to_world[:3, :3].T)
    return HeadFit(person.identity, expression, offsets.astype(np.float32), camera, pose, (0.0, 0.0))


def _camera(marks: np.ndarray, turn: tuple[float, float, float], side: int) -> Camera:
    """The camera that frames a head with landmarks [478, 3] as a portrait."""
    rotation = pose_rotation(*turn)
    shift, focal = np.array([0.0, 0.0, -DISTANCE]), 3.0 * side
    for _ in range(6):
        at = project(marks, camera_at(rotation, shift, focal, (side, side)))
        focal *= FACE_SHARE * side / float(np.linalg.norm(at[FOREHEAD, :2] - at[CHIN, :2]))
        at = project(marks, camera_at(rotation, shift, focal, (side, side)))
        middle = (at[:468, 0].min() + at[:468, 0].max()) / 2
        eyes = at[list(EYE_CORNERS), 1].mean()
        shift[0] -= (middle - side / 2) * DISTANCE / focal
        shift[1] += (eyes - EYE_LEVEL * side) * DISTANCE / focal
    return camera_at(rotation, shift, focal, (side, side))


def _under_hair(body: Body, hair: np.ndarray, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """Linear colour [H, W, 3] premultiplied and cover [H, W] of the body with its hair and the hair's shadow."""
    alpha = hair[..., 3]
    near = cv2.GaussianBlur(alpha, (0, 0), 0.004 * unit)
    far = cv2.GaussianBlur(alpha, (0, 0), 0.012 * unit)
    down = np.float32([[1, 0, 0], [0, 1, 0.005 * unit]])
    far = cv2.warpAffine(far, down, far.shape[::-1])
    shadow = 1 - 0.40 * np.clip(near, 0, 1) - 0.28 * np.clip(far, 0, 1)
    beneath = body.colour * shadow[..., None] * body.cover[..., None]
    colour = hair[..., :3] + (1 - alpha[..., None]) * beneath
    return colour, alpha + (1 - alpha) * body.cover


def _down(colour: np.ndarray, cover: np.ndarray, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """The person's own sRGB colour [R, R, 3] and matte [R, R] at the picture's size."""
    side = colour.shape[0] // scale
    bloom = cv2.GaussianBlur(np.maximum(colour - 0.75, 0), (0, 0), 0.006 * colour.shape[0])
    small = cv2.resize(colour + 0.25 * bloom, (side, side), interpolation=cv2.INTER_AREA)
    matte = np.clip(cv2.resize(cover, (side, side), interpolation=cv2.INTER_AREA), 0, 1)
    return to_srgb(small / np.maximum(matte, 1e-3)[..., None]), matte.astype(np.float32)


def backdrop(person: Person, rng: np.random.Generator, side: int) -> np.ndarray:
    """Studio paper, lit from behind the person, float32 sRGB [side, side, 3]."""
    y, x = (np.mgrid[:side, :side].astype(np.float32) + 0.5) / side
    glow = np.exp(-(((x - 0.5 + 0.12 * np.sign(person.key[0])) / 0.5) ** 2 + ((y - 0.42) / 0.55) ** 2))
    tone = 0.52 + 0.62 * glow + 0.02 * noise(rng, side, 0.12 * side)
    paper = to_linear(person.paper) * 0.8 * tone[..., None]
    grain = 0.004 * rng.standard_normal((side, side, 1))
    return np.clip(to_srgb(paper) + grain, 0, 1).astype(np.float32)


def _regions(body: Body, hair: np.ndarray, matte: np.ndarray, landmarks: np.ndarray) -> dict[str, np.ndarray]:
    """values.REGION_NAMES [R, R] that add up to 1."""
    side = matte.shape[0]
    small = (side, side)
    hair, cloth = (cv2.resize(m, small, interpolation=cv2.INTER_AREA) for m in (hair, body.cloth * body.cover))
    eyes = cv2.resize(body.eyes, small, interpolation=cv2.INTER_AREA)
    xy = landmarks[:, :2]
    lips = polygon_mask(curve(xy[list(OUTER_LIPS)], 120, closed=True), side, side)
    mouth = np.minimum(polygon_mask(xy[list(INNER_LIPS)], side, side), lips)
    # bare neck belongs to the part that stays with the shoulders: all skin below the face's outline
    y = np.arange(side, dtype=np.float32)[:, None]
    below = smooth_step(np.broadcast_to(y, small), xy[CHIN, 1] - 0.004 * side, xy[CHIN, 1] + 0.012 * side)
    cloth = np.maximum(cloth, below)
    bare = np.clip(matte - hair, 0, 1)
    out = {
        "lips": bare * (lips - mouth), "mouth_interior": bare * mouth, "eyes": bare * eyes * (1 - lips),
        "neck_shoulders": bare * cloth, "hair": np.minimum(hair, matte), "background": 1 - matte,
    }  # fmt: skip
    out["skin"] = np.clip(1 - sum(out.values()), 0, 1)
    return {name: out[name].astype(np.float32) for name in REGION_NAMES}
