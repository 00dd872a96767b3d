"""Following a face: the head model's pose and expression in every frame of a video or folder.

Identity and lens are the person's and the camera's, so they are found once, on a few early frames, and kept; then each
frame's turn, place and expression are solved from its landmarks, starting from the frame before (`head.fit`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeVar

import numpy as np

from ..errors import BadInput
from ..footage import Footage
from ..head.fit import FARTHEST_KNOWN, Estimate, Problem, of_face, pose_problem, solve
from ..head.model import HeadModel, load_head_model
from ..head.projection import pose_angles
from ..portrait.face import shared_landmarker
from ..spaces import JOINT, frame_list
from ..values import ARKIT_NAMES, BLINK, MOUTH, Face
from .upper_face import BROW_UNITS, brow_heights, lid_gaps, raised, shut, with_upper_face

Tick = Callable[[int, int], None]  # done, total

EARLY = 40  # readable frames that are looked at for the person's identity ...
LOOKS = 5  # ... of which so many, evenly spread, are fitted whole
SURE = 0.9  # of the landmark network's confidence: below, a frame counts as unreadable
MISFIT = 0.06  # mean distance of landmarks and model over the face's height: more is no face
FEWEST_PIXELS = 24  # height of a face: below, its landmarks say nothing
TIGHTER = 0.2  # of the spread that a portrait's expression may have: it wavers less from frame to frame
EYE_UNITS = tuple(i for i, name in enumerate(ARKIT_NAMES) if name.startswith("eye"))
# Of these a percentile over the video is how the person's face rests, which is not said: all but mouth and gaze, and
# what `upper_face` tells.
RESTING = tuple(
    i for i, name in enumerate(ARKIT_NAMES) if not (i in MOUTH or i in BLINK or name.startswith(("eyeLook", "brow")))
)
AT_REST = 10
# Yaw, pitch and roll of the fitted head over the true ones: the landmark network's faces are flatter than faces are.
# Measured on renders of two heads turned by up to 20 degrees; the same holds for the portrait, which is fitted alike.
LANDMARK_GAINS = (1.07, 0.82, 1.04)


@dataclass(frozen=True)
class Followed:
    """turns [T, 3, 3] head to camera (y up, looking along -z); places [T, 3] metres of the head's joint before that
    camera; expression [T, 52] as curves: all but mouth and gaze against the person's own rest; `fps` None for a folder;
    `missing` frames that could not be read and hold the last good one, counted from 0, and their `names`."""

    turns: np.ndarray
    places: np.ndarray
    expression: np.ndarray
    fps: Fraction | None
    missing: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    units: tuple[str, ...] = ARKIT_NAMES  # of the expression's columns; the Basel face's are [T, 64]
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)  # yaw, pitch, roll as read over the true ones
    held: bool = False  # one expression throughout, which was taken for the person's rest

    def __len__(self) -> int:
        return len(self.turns)

    def warnings(self, what: str) -> list[str]:
        """What to tell the user about unreadable frames of `what`, and about a face in it that never moves."""
        still = f"{what}: the face keeps one expression, which counts as its rest, so it moves nothing in the portrait"
        told = [still] if self.held else []
        if not self.missing:
            return told
        numbers = frame_list([index + 1 for index in self.missing])
        files = f" ({', '.join(self.names[:4])}{', ...' if len(self.names) > 4 else ''})" if self.names else ""
        return [*told, f"{what}: no face could be read in {numbers}{files}; the last good one is held"]


def follow(footage: Footage, tick: Tick | None = None) -> Followed:
    """Follow the largest face of the first frame that has one, whoever comes nearer later.

    Raises BadInput video_no_face or video_empty; EnvironmentProblem for a missing face model.
    """
    model, landmarker = load_head_model(), shared_landmarker()
    person: _Person | None = None
    early: list[tuple[Face | None, tuple[int, int]]] = []
    faces = 0  # among the early frames
    rows: list[_Row | None] = []
    last: Face | None = None  # over a gap a person stays about where they were
    for index, frame in enumerate(footage.frames()):
        face = _readable(landmarker.track(frame, last)) if frame is not None else None
        last = face or last
        size = frame.shape[:2] if frame is not None else (0, 0)
        if person is None:
            early.append((face, size))
            faces += face is not None
            if faces >= EARLY:
                person, early = _met(model, early, rows), []
        else:
            rows.append(person.row(face, size) if face else None)
        if tick:
            tick(index + 1, footage.count)
    if person is None and faces:
        _met(model, early, rows)
    return _finished(rows, footage, sum(size != (0, 0) for _, size in early))


@dataclass(frozen=True)
class _Row:
    turn: np.ndarray
    place: np.ndarray
    expression: np.ndarray
    gaps: np.ndarray  # of the lids, and
    heights: np.ndarray  # of the brows, see upper_face


def _readable(face: Face | None) -> Face | None:
    if face is None or face.confidence < SURE or face.box[3] - face.box[1] < FEWEST_PIXELS:
        return None
    return face


def _met(model: HeadModel, early: list[tuple[Face | None, tuple[int, int]]], rows: list[_Row | None]) -> _Person:
    """The person of the early frames, which are followed into `rows`."""
    known = [(face, size) for face, size in early if face is not None]
    chosen = [known[i] for i in sorted({int(i) for i in np.linspace(0, len(known) - 1, LOOKS)})]
    person = _Person(model, chosen)
    rows += [person.row(face, size) if face else None for face, size in early]
    return person


class _Person:
    """Somebody whose identity and camera are known, followed from frame to frame."""

    def __init__(self, model: HeadModel, looks: list[tuple[Face, tuple[int, int]]]) -> None:
        problems = [pose_problem(model, face, size) for face, size in looks]
        estimates = [solve(problem) for problem in problems]
        self.identity = np.mean([e.coefficients[: p.identities] for e, p in zip(estimates, problems, strict=True)], 0)
        # in picture heights, since a folder's pictures may differ in size
        lens = [e.log_focal - np.log(size[0]) for e, (_, size) in zip(estimates, looks, strict=True)]
        self.log_lens = float(np.median(lens))
        self._problem = self._known(problems[0])
        self._last: Estimate | None = None

    def row(self, face: Face, size: tuple[int, int]) -> _Row | None:
        """None when the landmarks don't make this person's face."""
        problem = of_face(self._problem, face, size)
        mean, spread = problem.mean.copy(), TIGHTER * problem.spread
        brows = problem.identities + np.array(BROW_UNITS)
        mean[brows], spread[brows] = 0, 1e-3  # at rest: what they do is told against the model's
        problem = replace(problem, mean=mean, spread=spread)
        log_focal = self.log_lens + np.log(size[0])
        found = None
        if self._last is not None:
            found = solve(problem, replace(self._last, log_focal=log_focal))
        if found is None or _misfit(problem, found) > MISFIT / 2:  # lost, or the first: from the beginning
            whole = solve(problem)
            again = solve(problem, _at_focal(whole, log_focal))
            found = min((e for e in (found, again) if e is not None), key=lambda e: _misfit(problem, e))
        if _misfit(problem, found) > MISFIT:
            return None
        self._last = found
        expression = found.coefficients.astype(np.float32).copy()
        expression[list(EYE_UNITS)] = face.scores[list(EYE_UNITS)]  # the network sees more of them than the outline
        place = found.turn @ JOINT + found.shift
        return _Row(found.turn, place, expression, lid_gaps(face.landmarks), brow_heights(problem, found))

    def _known(self, problem: Problem) -> Problem:
        """The same landmarks, with the identity in the base and expression alone left to find."""
        n = problem.identities
        return replace(
            problem, base=problem.base + np.tensordot(self.identity, problem.bases[:n], 1), bases=problem.bases[n:],
            mean=problem.mean[n:], spread=problem.spread[n:], identities=0, farthest=FARTHEST_KNOWN,
        )  # fmt: skip


def _at_focal(estimate: Estimate, log_focal: float) -> Estimate:
    """As large in the picture through another lens."""
    scale = np.exp(log_focal - estimate.log_focal)
    return replace(estimate, shift=estimate.shift * [1, 1, scale], log_focal=log_focal)


def _misfit(problem: Problem, estimate: Estimate) -> float:
    local = problem.shape(estimate.coefficients) @ estimate.turn.T + estimate.shift
    xy = np.exp(estimate.log_focal) * local[:, :2] / -local[:, 2:] * [1, -1] + np.array(problem.size[::-1]) / 2
    inner = ~problem.contour
    height = np.ptp(problem.seen[:, 1])
    return float(np.linalg.norm(xy - problem.seen, axis=1)[inner].mean() / max(height, 1e-6))


def _finished(rows: list[_Row | None], footage: Footage, faceless: int) -> Followed:
    """Rows with the last good one held over gaps."""
    kept, missing = hold_gaps(rows, footage, faceless)
    expression = np.stack([row.expression for row in kept])
    rests = np.isin(np.arange(len(ARKIT_NAMES)), RESTING)
    expression = np.clip(expression - resting(expression, missing, AT_REST) * rests, 0, 1)
    closed = shut(np.stack([row.gaps for row in kept]), missing)
    pitch = np.array([pose_angles(row.turn)[1] for row in kept])
    brows = raised(np.stack([row.heights for row in kept]), pitch, missing)
    expression = with_upper_face(expression, closed, brows)
    return Followed(
        np.stack([row.turn for row in kept]), np.stack([row.place for row in kept]),
        expression.astype(np.float32), footage.fps, missing,
        tuple(footage.name(i) for i in missing) if footage.files else (), gains=LANDMARK_GAINS,
    )  # fmt: skip


def resting(expression: np.ndarray, missing: tuple[int, ...], percentile: float) -> np.ndarray:
    """[U]: where each column of an expression [T, U] rests, a percentile of it over the frames that could be read."""
    return np.asarray(np.percentile(np.delete(expression, list(missing), axis=0), percentile, axis=0))


Row = TypeVar("Row")


def hold_gaps(rows: Sequence[Row | None], footage: Footage, faceless: int = 0) -> tuple[list[Row], tuple[int, ...]]:
    """What was found in each frame, with the last good one in its gaps (before the first, the first), and which they
    are. `faceless` frames could be decoded without a row for any. Raises BadInput video_empty or video_no_face."""
    good = [index for index, row in enumerate(rows) if row is not None]
    if not good:
        if not rows and not faceless:
            raise BadInput("video_empty", f"{footage.path.name} has no frames that can be read. Export it again.")
        raise BadInput(
            "video_no_face", f"no face in any frame of {footage.path.name}. Use one with a face seen from the front."
        )
    held = np.maximum.accumulate([i if row is not None else good[0] for i, row in enumerate(rows)])
    kept = [row for row in (rows[i] for i in held) if row is not None]
    return kept, tuple(i for i, row in enumerate(rows) if row is None)
