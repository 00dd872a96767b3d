"""Fits the head model to a photo's landmarks: identity, the photo's expression, pose and camera by Gauss-Newton on
the model's linear bases, then the fine correction of `refine`."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from elocute.errors import BadInput
from elocute.head.model import HeadModel
from elocute.head.projection import camera_at, pose_angles, rotation_from_vector
from elocute.head.refine import refine
from elocute.head.surface import vertex_normals
from elocute.landmarks import ON_SKIN, OVAL
from elocute.values import ARKIT_NAMES, Face, HeadFit

LIP_PAIRS = ((191, 95), (80, 88), (81, 178), (82, 87), (13, 14), (312, 317), (311, 402), (310, 318), (415, 324))
LID_PAIRS = ((160, 144), (159, 145), (158, 153), (385, 380), (386, 374), (387, 373))

FARTHEST_TURN = np.radians(45)
USUAL_DISTANCE, DISTANCE_SPREAD = 2.0, 0.12  # metres (a portrait lens's), and the spread of its logarithm
# Metres; beyond, perspective tells distance and focal length apart no more. Somebody whose lens is known may go away.
NEAREST, FARTHEST, FARTHEST_KNOWN = 0.3, 4.0, 40.0
NOISE, CONTOUR_NOISE = 0.0022, 0.006  # metres on the face that the landmarks are trusted to; the outline slides
CONTOUR_SLIDES = np.radians((8, 28))  # yaw over which the outline's landmarks leave their place on the skin
OPENING_NOISE = 0.0007  # metres: openings of mouth and eyes are seen better than places
IDENTITY_SPREAD, ASYMMETRY_SPREAD = 0.35, 0.2  # MakeHuman's directions are extreme at 1
# Of the directions that stretch the whole head. A photo doesn't tell its size, and on a small head every difference is
# cheaper: left free, they make it narrow and low, and as deep as before, which shows as too much of every turn.
STRETCH_SPREAD = 0.05
# How far to believe a blend-shape score before seeing the geometry (mean = belief * score). The scores of brows,
# squints, presses and shrugs are high on many neutral faces, whose shape is identity and not expression.
BELIEF = {"jaw": 0.8, "mouth": 0.8, "brow": 0.3, "eye": 0.0, "cheek": 0.3, "nose": 0.3, "tongue": 0.0}
WEAK_BELIEF = {
    "mouthPressLeft": 0.1, "mouthPressRight": 0.1, "mouthShrugLower": 0.1, "mouthShrugUpper": 0.1,
    "mouthRollLower": 0.2, "mouthRollUpper": 0.2, "mouthClose": 0.0, "browDownLeft": 0.1, "browDownRight": 0.1,
}  # fmt: skip
UNIT_SPREAD, MOUTH_SPREAD = 0.06, 0.12  # of a unit whose score is 0; a high score widens it
STEPS, NEXT_STEPS = 14, 5


@dataclass
class Estimate:
    """Unknowns of the fit. `turn` [3, 3] head to camera, `shift` [3] metres, `log_focal` of pixels."""

    turn: np.ndarray
    shift: np.ndarray
    log_focal: float
    coefficients: np.ndarray  # identity, then expression


@dataclass
class Problem:
    """The landmarks' linear model and what is seen. J landmarks, K = I + 52 coefficients."""

    base: np.ndarray  # [J, 3]
    bases: np.ndarray  # [K, J, 3]
    normals: np.ndarray  # [J, 3]
    seen: np.ndarray  # [J, 2] pixels
    size: tuple[int, int]
    mean: np.ndarray  # [K] prior
    spread: np.ndarray  # [K]
    identities: int
    contour: np.ndarray  # [J] bool
    farthest: float = FARTHEST

    def shape(self, coefficients: np.ndarray) -> np.ndarray:
        return self.base + np.tensordot(coefficients, self.bases, 1)


def fit_head(model: HeadModel, face: Face, image_size: tuple[int, int]) -> HeadFit:
    """The head model on a photo of `image_size` (height, width), from the landmarks and scores of `face`.

    A few small dense solves, on the CPU. Raises BadInput "face_turned_away" for a head turned or pitched by more than
    45 degrees.
    """
    problem = pose_problem(model, face, image_size)
    estimate = solve(problem)
    pose = pose_angles(estimate.turn)
    if abs(pose[0]) > FARTHEST_TURN or abs(pose[1]) > FARTHEST_TURN:
        yaw, pitch = np.degrees(pose[:2])
        raise BadInput(
            "face_turned_away",
            f"the face is turned {abs(yaw):.0f} degrees to the side and {abs(pitch):.0f} up or down. "
            "Use a photo that shows both eyes, within 45 degrees of the camera.",
        )
    camera = camera_at(estimate.turn, estimate.shift, float(np.exp(estimate.log_focal)), image_size)
    identity = estimate.coefficients[: problem.identities].astype(np.float32)
    expression = estimate.coefficients[problem.identities :].astype(np.float32)
    trust = landmark_weights(problem, estimate)
    return refine(model, face, camera, pose, identity, expression, trust)


def pose_problem(model: HeadModel, face: Face, size: tuple[int, int]) -> Problem:
    corners = model.faces[model.landmark_faces[:ON_SKIN]]
    weights = model.landmark_weights[:ON_SKIN, :, None].astype(float)
    identities = len(model.identity_names)
    bases = [np.einsum("kjcx,jcx->kjx", b[:, corners], np.broadcast_to(weights, (*corners.shape, 3)))
             for b in (model.identity, model.expression)]  # fmt: skip
    normals = (vertex_normals(model.base.astype(float), model.faces)[corners] * weights).sum(1)
    spread = np.full(identities + 52, IDENTITY_SPREAD)
    spread[:identities][[n.startswith("asym") for n in model.identity_names]] = ASYMMETRY_SPREAD
    spread[:identities][[n.startswith("head-scale") for n in model.identity_names]] = STRETCH_SPREAD
    problem = Problem(
        base=(model.base[corners] * weights).sum(1),
        bases=np.concatenate(bases),
        normals=normals,
        seen=np.empty((ON_SKIN, 2)),
        size=size,
        mean=np.zeros(identities + 52),
        spread=spread,
        identities=identities,
        contour=np.isin(np.arange(ON_SKIN), OVAL),
    )
    return of_face(problem, face, size)


def of_face(problem: Problem, face: Face, size: tuple[int, int]) -> Problem:
    """The same person's problem for another picture: what is seen and what its scores let expect."""
    identities = problem.identities
    mean, spread = problem.mean.copy(), problem.spread.copy()
    for k, name in enumerate(ARKIT_NAMES):
        group = next(g for g in BELIEF if name.startswith(g))
        score = float(face.scores[k])
        mean[identities + k] = WEAK_BELIEF.get(name, BELIEF[group]) * score
        looser = MOUTH_SPREAD if group in ("jaw", "mouth") else UNIT_SPREAD
        spread[identities + k] = looser + 0.25 * mean[identities + k]
        if name.startswith("eyeLook") or name in ("tongueOut", "mouthClose"):
            spread[identities + k] = 1e-3  # irises tell the gaze; the landmarks can't tell the other two
    seen = np.asarray(face.landmarks[:ON_SKIN, :2], float)
    return replace(problem, seen=seen, size=size, mean=mean, spread=spread)


def first_guess(problem: Problem) -> Estimate:
    """Scaled orthography: the least-squares affine camera of the average head, made a rotation."""
    points = problem.base - problem.base.mean(0)
    seen = (problem.seen - problem.seen.mean(0)) * [1, -1]
    affine = np.linalg.lstsq(points, seen, rcond=None)[0].T  # [2, 3]
    scale = np.sqrt(np.linalg.norm(affine[0]) * np.linalg.norm(affine[1]))
    u, _, v = np.linalg.svd(affine, full_matrices=False)
    rows = u @ v
    turn = np.stack([*rows, np.cross(rows[0], rows[1])])
    focal = scale * USUAL_DISTANCE
    middle = (problem.seen.mean(0) - np.array(problem.size[::-1]) / 2) * [1, -1] / scale
    shift = np.append(middle, -USUAL_DISTANCE) - turn @ problem.base.mean(0) * [1, 1, 0]
    return Estimate(turn, shift, float(np.log(focal)), problem.mean * 0)


def landmark_weights(problem: Problem, estimate: Estimate) -> np.ndarray:
    """Trust [J] in 0..1 by how squarely the skin faces the camera: beyond the silhouette landmarks are invented."""
    facing = (problem.normals @ estimate.turn.T)[:, 2]
    trust = np.clip((facing + 0.05) / 0.45, 0.02, 1)
    turned = abs(pose_angles(estimate.turn)[0])
    slides = np.clip(1 - (turned - CONTOUR_SLIDES[0]) / (CONTOUR_SLIDES[1] - CONTOUR_SLIDES[0]), 0.02, 1)
    return trust * np.where(problem.contour, (NOISE / CONTOUR_NOISE) ** 2 * slides, 1.0)


def residuals(problem: Problem, estimate: Estimate, free: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixel errors [J, 2] (projected minus seen) and their derivatives [J, 2, 7 + free] by turn, shift, log focal and
    the first `free` coefficients."""
    points = problem.shape(estimate.coefficients)
    turned = points @ estimate.turn.T
    local = turned + estimate.shift
    focal, depth = np.exp(estimate.log_focal), -local[:, 2]
    x, y = local[:, 0] / depth, local[:, 1] / depth
    error = np.stack([focal * x, -focal * y], 1) + np.array(problem.size[::-1]) / 2 - problem.seen
    by_point = np.zeros((len(points), 2, 3))
    by_point[:, 0, 0] = by_point[:, 1, 1] = focal / depth
    by_point[:, 1, 1] *= -1
    by_point[:, 0, 2], by_point[:, 1, 2] = focal * x / depth, -focal * y / depth
    cross = np.zeros((len(points), 3, 3))  # derivative of w x p by w
    cross[:, 0, 1], cross[:, 0, 2] = turned[:, 2], -turned[:, 1]
    cross[:, 1, 0], cross[:, 1, 2] = -turned[:, 2], turned[:, 0]
    cross[:, 2, 0], cross[:, 2, 1] = turned[:, 1], -turned[:, 0]
    columns = [by_point @ cross, by_point, np.stack([focal * x, -focal * y], 1)[:, :, None]]
    if free:
        turned_bases = problem.bases[:free] @ estimate.turn.T  # [K, J, 3]
        columns.append(np.einsum("jab,kjb->jak", by_point, turned_bases, optimize=True))
    return error, np.concatenate(columns, 2)


def solve(problem: Problem, start: Estimate | None = None) -> Estimate:
    """Pose alone first, then everything, each step a weighted linear least squares with the priors. From a `start`
    (a video's frame before) few steps are enough, and its focal length is kept."""
    estimate = start or first_guess(problem)
    for step in range(NEXT_STEPS if start else STEPS):
        free = 0 if step < 4 and not start else len(problem.mean)
        error, slope = residuals(problem, estimate, free)
        pixels_per_metre = np.exp(estimate.log_focal) / -estimate.shift[2]
        sigma = NOISE * pixels_per_metre
        robust = 1 / np.maximum(1, np.linalg.norm(error, axis=1) / (4 * sigma))
        weight = np.sqrt(landmark_weights(problem, estimate) * robust) / sigma
        rows = [(slope * weight[:, None, None]).reshape(-1, slope.shape[2])]
        right = [(error * weight[:, None]).ravel()]
        if free:
            upper, lower = np.array(LIP_PAIRS + LID_PAIRS).T
            seen_better = weight[upper][:, None] * (NOISE / OPENING_NOISE)
            rows.append(((slope[upper] - slope[lower]) * seen_better[..., None]).reshape(-1, slope.shape[2]))
            right.append(((error[upper] - error[lower]) * seen_better).ravel())
        matrix, target = np.concatenate(rows), np.concatenate(right)
        normal, gradient = matrix.T @ matrix, matrix.T @ target
        normal[np.arange(7), np.arange(7)] += 1e-9 * normal.diagonal()[:7].max()
        if start:
            normal[6, 6] *= 1e9
        # distance and focal length are told apart by perspective only, so their ratio leans on the usual distance
        distance = -estimate.shift[2]
        normal[5, 5] += (1 / (DISTANCE_SPREAD * distance)) ** 2
        gradient[5] += -np.log(distance / USUAL_DISTANCE) / (DISTANCE_SPREAD**2 * distance)
        if free:
            rest = np.arange(7, 7 + free)
            normal[rest, rest] += 1 / problem.spread**2
            gradient[7:] += (estimate.coefficients - problem.mean) / problem.spread**2
        apply_step(problem, estimate, bounded_step(problem, estimate, normal, gradient))
    return estimate


def bounded_step(problem: Problem, estimate: Estimate, normal: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """The Gauss-Newton step with expression units held in 0..1: units that leave are fixed at the bound and the rest
    is solved again."""
    held = np.zeros(len(gradient), bool)
    step = np.zeros(len(gradient))
    first = 7 + problem.identities
    for _ in range(6):
        free = ~held
        right = gradient[free] + normal[np.ix_(free, held)] @ step[held]
        step[free] = -np.linalg.solve(normal[np.ix_(free, free)], right)
        if len(gradient) == 7:
            break
        units = estimate.coefficients[problem.identities :] + step[first:]
        outside = (units < -1e-9) | (units > 1 + 1e-9)
        if not outside.any():
            break
        index = first + np.flatnonzero(outside)
        step[index] = np.clip(units[outside], 0, 1) - estimate.coefficients[problem.identities :][outside]
        held[index] = True
    return step


def apply_step(problem: Problem, estimate: Estimate, step: np.ndarray) -> None:
    estimate.turn = rotation_from_vector(step[:3]) @ estimate.turn
    estimate.shift = estimate.shift + step[3:6]
    estimate.shift[2] = np.clip(estimate.shift[2], -problem.farthest, -NEAREST)
    estimate.log_focal += float(np.clip(step[6], -0.5, 0.5))
    if len(step) > 7:
        estimate.coefficients = estimate.coefficients + step[7:]
        units = estimate.coefficients[problem.identities :]
        np.clip(units, 0, 1, out=units)
