from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from elocute.errors import BadInput
from elocute.head.avatar import AvatarHead
from elocute.head.fit import fit_head, pose_problem, solve
from elocute.head.model import HeadModel
from elocute.head.projection import camera_at, pixel_ray, pose_angles, pose_rotation, project

Make = Callable[..., np.ndarray]

SIZE = (640, 640)
POSES = [(0, 0, 0), (15, -8, 5), (-30, 5, -10), (40, 0, 0), (5, 12, 38), (-10, -10, -40)]


@pytest.mark.parametrize("pose", [(0.3, -0.2, 0.1), (-0.5, 0.4, 0.6), (0.0, 0.0, -0.7)])
def test_pose_angles_invert_pose_rotation(pose: tuple[float, float, float]) -> None:
    assert np.allclose(pose_angles(pose_rotation(*pose)), pose)


def test_pose_signs_are_the_viewers() -> None:
    shift = np.array([0, 0, -1.0])
    tip = np.array([[0, 0, 0.1]])
    top = np.array([[0, 0.1, 0]])
    middle = 320

    def seen(pose: tuple[float, float, float], point: np.ndarray) -> np.ndarray:
        return project(point, camera_at(pose_rotation(*pose), shift, 1000, SIZE))[0]

    assert seen((0.3, 0, 0), tip)[0] > middle  # yaw +: the nose goes to the viewer's right
    assert seen((0, 0.3, 0), tip)[1] < middle  # pitch +: up
    assert seen((0, 0, 0.3), top)[0] > middle  # roll +: clockwise, the crown goes right


def test_pixel_ray_inverts_project() -> None:
    camera = camera_at(pose_rotation(0.2, 0.1, 0.3), np.array([0.02, 0.01, -0.9]), 1500, SIZE)
    origin, ray = pixel_ray(np.array([400.0, 250.0]), camera)
    assert np.allclose(project((origin + 0.8 * ray)[None], camera)[0, :2], [400, 250])


@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize("seed", [1, 2])
def test_fit_recovers_pose_and_landmarks(
    model: HeadModel,
    pose: tuple[float, float, float],
    seed: int,
    units: Make,
    random_identity: Make,
    photographed: Make,
) -> None:
    shown = units(jawOpen=0.15 * seed, mouthSmileBoth=0.3)
    face, camera = photographed(model, model.vertices(random_identity(model, seed), shown), shown, pose, noise=0.3)
    fit = fit_head(model, face, SIZE)
    assert np.abs(np.degrees(fit.pose) - pose).max() < 1.5
    turn = fit.camera.camera_to_world[:3, :3].T @ camera.camera_to_world[:3, :3]
    assert np.degrees(np.arccos((np.trace(turn) - 1) / 2)) < 2
    assert fit.residual[1] < 0.5 and fit.residual[1] <= fit.residual[0]
    assert np.abs(fit.identity).max() < 1.5
    vertices = AvatarHead(model, fit).vertices(fit.expression)
    error = np.linalg.norm(project(model.landmarks(vertices), fit.camera)[:468, :2] - face.landmarks[:468, :2], axis=1)
    lips_and_lids = [13, 14, 81, 178, 61, 291, 0, 17, 159, 145, 33, 133, 386, 374, 263, 362]
    assert np.median(error) < 0.6
    assert error[lips_and_lids].mean() < 0.5
    irises = np.linalg.norm(
        project(model.landmarks(vertices), fit.camera)[[468, 473], :2] - face.landmarks[[468, 473], :2], axis=1
    )
    assert irises.max() < 0.5


def test_a_head_is_fitted_as_deep_as_it_is(
    model: HeadModel, units: Make, random_identity: Make, photographed: Make
) -> None:
    """A photo doesn't tell a head's size: no fit may be narrower and lower for it, and deeper than the head is."""

    def depth(vertices: np.ndarray) -> float:
        """From nose tip to the middle of the face's sides, in widths of the face."""
        nose, right, left = model.landmarks(vertices)[[4, 234, 454]]
        return float(np.linalg.norm(nose - (right + left) / 2) / np.linalg.norm(right - left))

    ratios, rng = [], np.random.default_rng(1)
    for seed in range(8):
        shown = model.vertices(random_identity(model, seed, 0.35), units())
        face, _ = photographed(model, shown, units(), tuple(rng.uniform(-12, 12, 3)), noise=2.0)
        estimate = solve(problem := pose_problem(model, face, SIZE))
        identity = estimate.coefficients[: problem.identities].astype(np.float32)
        ratios.append(depth(model.vertices(identity, units())) / depth(shown))
    assert np.mean(ratios) == pytest.approx(1, abs=0.05)
    assert max(ratios) < 1.15


def test_neutral_photo_has_nearly_no_expression(
    model: HeadModel, units: Make, random_identity: Make, photographed: Make
) -> None:
    face, _ = photographed(model, model.vertices(random_identity(model, 3), None), units(), (5, 0, 0), noise=0.3)
    fit = fit_head(model, face, SIZE)
    gaze = np.array([name.startswith("eyeLook") for name in _names()])
    assert fit.expression[~gaze].max() < 0.15
    assert fit.expression[gaze].max() < 0.25


def test_gaze_is_recovered(model: HeadModel, units: Make, random_identity: Make, photographed: Make) -> None:
    shown = units(eyeLookOutLeft=0.5, eyeLookInRight=0.5)
    face, _ = photographed(model, model.vertices(random_identity(model, 4), shown), shown, (0, 0, 0))
    fit = fit_head(model, face, SIZE)
    assert fit.expression[_names().index("eyeLookOutLeft")] == pytest.approx(0.5, abs=0.12)
    assert fit.expression[_names().index("eyeLookInRight")] == pytest.approx(0.5, abs=0.12)


def test_a_head_turned_too_far_is_refused(model: HeadModel, units: Make, photographed: Make) -> None:
    face, _ = photographed(model, model.base, units(), (62, 0, 0))
    with pytest.raises(BadInput) as refused:
        fit_head(model, face, SIZE)
    assert refused.value.code == "face_turned_away"


def test_fit_is_deterministic(model: HeadModel, units: Make, random_identity: Make, photographed: Make) -> None:
    face, _ = photographed(model, model.vertices(random_identity(model, 6), None), units(), (10, 0, 0), noise=0.5)
    one, two = fit_head(model, face, SIZE), fit_head(model, face, SIZE)
    assert np.array_equal(one.offsets, two.offsets) and np.array_equal(one.expression, two.expression)


def test_nothing_behind_the_face_moves_much(
    model: HeadModel, units: Make, random_identity: Make, photographed: Make
) -> None:
    face, _ = photographed(model, model.vertices(random_identity(model, 7), None), units(), (0, 0, 0), noise=1.5)
    fit = fit_head(model, face, SIZE)
    behind = (model.base[:, 2] < -0.02) | (model.base[:, 1] < -0.17)
    assert np.abs(fit.offsets[behind]).max() < 1e-3


def _names() -> list[str]:
    from elocute.values import ARKIT_NAMES

    return list(ARKIT_NAMES)
