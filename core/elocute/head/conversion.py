"""ARKit units <-> Basel expression coefficients, solved from two head models when both are at hand.

The two spaces share no names: ARKit's 52 units have meanings, the Basel face's 64 coefficients are principal components
of scans. What they share is a face, so the map goes through it: both models say how far each of the 68 landmarks moves
for each of their coefficients. The MakeHuman head's movements are brought to the Basel face's size and orientation
(a similarity that fits the neutral landmarks), and then

* ARKit -> Basel is the linear map of maximum posterior probability: landmark noise of 1 mm, and coefficients of unit
  variance, which is how the Basel model scales its components;
* Basel -> ARKit is a bounded least-squares problem for each frame, because units live in 0..1 and no unit can
  undo another.

Not carried over: where the eyes look and the tongue (no landmark moves), and what the Basel face's components can't do.
`carried` says how much of each unit's movement arrives.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from elocute.errors import BadInput
from elocute.head.basel import BaselFace
from elocute.head.model import HeadModel
from elocute.portrait.landmarks68 import JAW, matrix_68
from elocute.values import ARKIT_NAMES, BASEL_NAMES, ExpressionTrack

NOISE = 0.001  # metres a landmark is trusted to
SPREAD = 2.0  # of ARKit units around 0, for the direction into ARKit
JAW_TRUST, INNER_LIP_TRUST = 0.3, 2.0  # the jaw line slides on the skin; the opening of the mouth is what is looked at
SWEEPS = 300  # of coordinate descent; it ends earlier when nothing moves
LARGEST = 1.0  # an ARKit unit
# No landmark shows the tongue, or where the eyes look: lids follow the gaze a little, but a Basel track that moves them
# means blinks, and one that is told of gaze would half shut them for it.
UNSEEN = tuple(i for i, n in enumerate(ARKIT_NAMES) if n.startswith("eyeLook") or n == "tongueOut")


@dataclass(frozen=True)
class ExpressionConversion:
    """`arkit_moves` [52, 204] and `basel_moves` [64, 204]: how each coefficient moves the 68 landmarks, in the Basel
    face's axes and in standard deviations of the noise. Make one with `expression_conversion`."""

    arkit_moves: np.ndarray
    basel_moves: np.ndarray

    @cached_property
    def to_basel_matrix(self) -> np.ndarray:
        """[52, 64]: Basel coefficients of each ARKit unit, none of gaze and tongue."""
        normal = self.basel_moves @ self.basel_moves.T + np.eye(len(self.basel_moves))
        matrix = np.linalg.solve(normal, self.basel_moves @ self.arkit_moves.T).T
        matrix[list(UNSEEN)] = 0
        return matrix

    @property
    def carried(self) -> np.ndarray:
        """[52]: the part of each unit's landmark movement (mean square) that its Basel coefficients make, 0..1; 0 for
        gaze, tongue and a unit that moves no landmark by more than the noise."""
        wanted = np.square(self.arkit_moves).sum(1)
        missed = np.square(self.arkit_moves - self.to_basel_matrix @ self.basel_moves).sum(1)
        return np.where(wanted > 1, np.clip(1 - missed / np.maximum(wanted, 1e-12), 0, 1), 0)

    def arkit_to_basel(self, track: ExpressionTrack) -> ExpressionTrack:
        """The track in Basel coefficients, relative to the neutral face. Raises BadInput("units_mismatch")."""
        _check(track, ARKIT_NAMES, "ARKit units")
        values = np.asarray(track.values, float) @ self.to_basel_matrix
        return ExpressionTrack(BASEL_NAMES, values.astype(np.float32), track.fps)

    def basel_to_arkit(self, track: ExpressionTrack) -> ExpressionTrack:
        """The track in ARKit units, each within 0..1. Gaze and tongue are 0. Raises BadInput("units_mismatch")."""
        _check(track, BASEL_NAMES, "Basel coefficients")
        used = np.setdiff1d(np.arange(len(ARKIT_NAMES)), UNSEEN)
        moves = self.arkit_moves[used]
        normal = moves @ moves.T + np.eye(len(used)) / SPREAD**2
        wanted = np.asarray(track.values, float) @ (self.basel_moves @ moves.T)  # [T, U]
        values = np.zeros((len(wanted), len(ARKIT_NAMES)), np.float32)
        values[:, used] = bounded_least_squares(normal, wanted, LARGEST)
        return ExpressionTrack(ARKIT_NAMES, values, track.fps)


def expression_conversion(basel: BaselFace, head: HeadModel) -> ExpressionConversion:
    """The conversion between the user's Basel face and the MakeHuman ARKit head.

    Raises BadInput("head_model_unreadable") when the Basel face's keypoints can't be a face's.
    """
    pick = matrix_68()
    corners = head.faces[head.landmark_faces]  # [478, 3]
    weights = head.landmark_weights[..., None].astype(float)
    units = np.einsum("lj,kjx->klx", pick, (head.expression[:, corners] * weights).sum(2))  # [52, 68, 3]
    points = basel.only_keypoints()
    neutral, there = _landmarks(head, head.base), _keypoints(points)
    components = points.expression.cpu().double().numpy().reshape(64, 68, 3)
    scale, turn = similarity(neutral, there)
    trust = np.ones(68)
    trust[JAW], trust[60:68] = JAW_TRUST, INNER_LIP_TRUST
    noise = (NOISE * scale / trust)[:, None]
    return ExpressionConversion(
        (scale * units @ turn.T / noise).reshape(len(units), -1), (components / noise).reshape(64, -1)
    )


def basel_origin(basel: BaselFace, head: HeadModel, vertices: np.ndarray) -> np.ndarray:
    """Where the Basel face's origin, the middle of its skin, lies in a MakeHuman head with `vertices` [V, 3]: [3] in
    the same space. Raises BadInput("head_model_unreadable") as `expression_conversion` does."""
    here, there = _landmarks(head, vertices), _keypoints(basel.only_keypoints())
    scale, turn = similarity(here, there)
    return np.asarray(here.mean(0) - there.mean(0) @ turn / scale)


def _landmarks(head: HeadModel, vertices: np.ndarray) -> np.ndarray:
    """[68, 3] of a head of `vertices` [V, 3]."""
    corners, weights = head.faces[head.landmark_faces], head.landmark_weights[..., None].astype(float)
    return np.asarray(matrix_68() @ (vertices[corners] * weights).sum(1))


def _keypoints(points: BaselFace) -> np.ndarray:
    """[68, 3] of the mean face, of a model with nothing but its keypoints."""
    return np.asarray(points.mean_shape.cpu().double().numpy().reshape(68, 3))


def similarity(source: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
    """Scale and rotation [3, 3] of the similarity that takes points [N, 3] closest to others (Umeyama, 1991):
    `target ~ scale * source @ rotation.T + shift`. Raises BadInput("head_model_unreadable") for collapsed points."""
    a, b = source - source.mean(0), target - target.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    scale = float((s * sign).sum() / np.square(a).sum())
    if not np.isfinite(scale) or scale < 1e-9:
        raise BadInput(
            "head_model_unreadable", "the face model's 68 keypoints are not those of a face. Import it again."
        )
    return scale, (u * sign) @ vt


def bounded_least_squares(normal: np.ndarray, wanted: np.ndarray, largest: float) -> np.ndarray:
    """For each row of `wanted` [T, U] the u in 0..largest that minimises u' normal u / 2 - wanted . u, by coordinate
    descent over all rows at once; `normal` [U, U] is positive definite. Returns [T, U]."""
    found = np.clip(np.linalg.solve(normal, wanted.T).T, 0, largest)
    gradient = found @ normal - wanted
    for _ in range(SWEEPS):
        largest_step = 0.0
        for k in range(len(normal)):
            step = np.clip(found[:, k] - gradient[:, k] / normal[k, k], 0, largest) - found[:, k]
            found[:, k] += step
            gradient += step[:, None] * normal[k]
            largest_step = max(largest_step, float(np.abs(step).max(initial=0)))
        if largest_step < 1e-7:
            break
    return found


def _check(track: ExpressionTrack, names: tuple[str, ...], what: str) -> None:
    if track.names != names:
        first = track.names[0] if track.names else "nothing"
        raise BadInput(
            "units_mismatch", f"these curves are {first}, ... and not {what}. Convert them, or choose the other models."
        )
