"""Where the rows of teeth sit: behind closed lips, or where the photo shows them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from elocute.head.avatar import AvatarHead
from elocute.head.model import HeadModel, load_head_model
from elocute.inversion import teeth
from elocute.inversion.teeth import (
    LIMIT,
    LOWER_BELOW_LIP,
    OVERBITE,
    ROWS,
    UPPER_BELOW_LIP,
    UPPER_SEEN,
    _room,
    seat_teeth,
)
from elocute.landmarks import INNER_LIPS, STOMION
from elocute.portrait.regions import polygon_mask
from elocute.rendering.shells import project
from elocute.spaces import to_camera
from elocute.values import ARKIT_NAMES, HeadFit


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return load_head_model()


def incisors(model: HeadModel, points: np.ndarray, row: str) -> np.ndarray:
    """The front half of a row's middle."""
    own, lips = points[model.part(row)], model.landmarks(points)
    own = own[np.abs(own[:, 0] - lips[STOMION, 0]) < 0.22 * np.linalg.norm(lips[78] - lips[308])]
    return own[own[:, 2] > np.quantile(own[:, 2], 0.5)]


def test_behind_relaxed_lips_edges_are_where_anatomy_has_them(example: Any, model: HeadModel) -> None:
    fit = seat_teeth(example.raw, model)
    relaxed = AvatarHead(model, fit).vertices(np.zeros(52, np.float32))
    stomion = model.landmarks(relaxed)[STOMION, 1]
    assert stomion - incisors(model, relaxed, "teeth_upper")[:, 1].min() == pytest.approx(UPPER_BELOW_LIP, abs=1e-4)
    assert stomion - incisors(model, relaxed, "teeth_lower")[:, 1].max() == pytest.approx(LOWER_BELOW_LIP, abs=1e-4)


def test_only_teeth_move_and_not_aside(example: Any, model: HeadModel) -> None:
    fit = seat_teeth(example.raw, model)
    shift = fit.offsets - example.raw.fit.offsets
    others = np.setdiff1d(np.arange(len(shift)), np.concatenate([model.part(row) for row in ROWS]))
    assert np.abs(shift[others]).max() == 0
    assert np.abs(shift[:, 0]).max() == 0 and shift[:, 2].min() >= 0
    assert np.abs(shift).max() <= 2 * LIMIT
    for row in ROWS:
        assert np.ptp(shift[model.part(row)], axis=0).max() < 1e-7, "a row moves as one"


def test_a_row_moves_forward_as_far_as_there_is_room(
    example: Any, model: HeadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    lower, forward = model.part("teeth_lower"), []
    free = _room(AvatarHead(model, seat_teeth(example.raw, model)), model, "teeth_lower")
    for depth in (free - 0.001, free + 0.001, 1.0):
        monkeypatch.setattr(teeth, "SKIN_DEPTH", depth)
        fit = seat_teeth(example.raw, model)
        forward.append((fit.offsets - example.raw.fit.offsets)[lower, 2].mean())
        if depth < 1:
            assert _room(AvatarHead(model, fit), model, "teeth_lower") > depth - 5e-4
    assert forward[0] > 0.001 and forward[0] - forward[1] == pytest.approx(0.001, abs=1e-5)
    assert forward[2] == pytest.approx(0, abs=1e-7)


def test_seating_again_changes_nothing(example: Any, model: HeadModel) -> None:
    once = seat_teeth(example.raw, model)
    again = seat_teeth(replace(example.raw, fit=once), model)
    np.testing.assert_allclose(again.offsets, once.offsets, atol=1e-5)


def test_the_fit_that_came_in_is_left_alone(example: Any, model: HeadModel) -> None:
    before = example.raw.fit.offsets.copy()
    seat_teeth(example.raw, model)
    np.testing.assert_array_equal(example.raw.fit.offsets, before)


def test_clenched_teeth_between_parted_lips_do_not_hide_the_upper_row(
    example: Any, model: HeadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lips that a laugh parts pass for an open jaw; teeth clenched between them would stand out of a shut mouth."""
    expression = example.raw.fit.expression.copy()
    expression[ARKIT_NAMES.index("jawOpen")] = 0.5
    scene, fit = example.raw, replace(example.raw.fit, expression=expression)
    points = AvatarHead(model, fit).vertices(expression)
    landmarks = scene.landmarks.copy()
    landmarks[:, :2] = project(to_camera(model.landmarks(points), fit.camera.camera_to_world), *scene.lens)[:, :2]
    mouth = polygon_mask(landmarks[list(INNER_LIPS), :2], scene.side, scene.side) > 0.5
    top, height = np.argwhere(mouth)[:, 0].min(), np.ptp(np.argwhere(mouth)[:, 0])
    rows = np.arange(scene.side)[:, None] - top
    photo = scene.photo.copy()
    photo[mouth] = (0.9, 0.88, 0.84)
    photo[mouth & (np.abs(rows - 0.45 * height) < 1.5)] = (0.3, 0.2, 0.2)  # the line along which the rows meet
    shown = replace(scene, photo=photo, matte=np.ones_like(scene.matte), landmarks=landmarks, fit=fit)
    edges = []
    for hidden in (0.0, 0.0015):  # and so when a lip would hide the row that the photo shows
        monkeypatch.setattr(teeth, "_seen", lambda *scene, by=hidden: [UPPER_SEEN - by, 0])
        relaxed = AvatarHead(model, seat_teeth(shown, model)).vertices(np.zeros(52, np.float32))
        upper, lower = (incisors(model, relaxed, row)[:, 1] for row in ROWS)
        assert lower.max() - upper.min() == pytest.approx(OVERBITE, abs=1e-4)
        edges.append(upper.min())
    assert edges[0] - edges[1] == pytest.approx(0.0015, abs=1e-5)


def tilted(fit: HeadFit, degrees: float) -> HeadFit:
    """The fit before a camera that is turned about its own axis."""
    angle, pose = np.radians(degrees), fit.camera.camera_to_world.copy()
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    pose[:3, :3] = pose[:3, :3] @ turn
    return replace(fit, camera=replace(fit.camera, camera_to_world=pose))


@pytest.mark.parametrize("tilt", [0, 30, -30])
@pytest.mark.parametrize(("name", "share"), [("teeth_upper", 0.4), ("teeth_upper", 0.65), ("teeth_lower", 0.8)])
def test_visible_teeth_pull_their_row_to_their_edge(
    example: Any, model: HeadModel, name: str, share: float, tilt: float
) -> None:
    """Paint a white band into the opened mouth of the example: the row's edge projects on the band's edge."""
    expression = example.raw.fit.expression.copy()
    for unit in ("jawOpen", "mouthUpperUpLeft", "mouthUpperUpRight"):
        expression[ARKIT_NAMES.index(unit)] = 0.5
    fit = tilted(replace(example.raw.fit, expression=expression), tilt)
    scene = example.raw
    points = AvatarHead(model, fit).vertices(expression)
    uv = project(to_camera(model.landmarks(points), fit.camera.camera_to_world), *scene.lens)
    landmarks = scene.landmarks.copy()
    landmarks[:, :2] = uv[:, :2]
    mouth = polygon_mask(landmarks[list(INNER_LIPS), :2], scene.side, scene.side) > 0.5
    middle, across = landmarks[[78, 308], :2].mean(0), landmarks[308, :2] - landmarks[78, :2]
    width = float(np.linalg.norm(across))
    way = np.array([-across[1], across[0]]) / width
    down = ((np.indices(mouth.shape)[::-1].T + 0.5 - middle) @ way).T
    edge = down[mouth].min() + share * np.ptp(down[mouth])
    photo = scene.photo.copy()
    band = down < edge
    if name == "teeth_lower":
        band = ~band
    photo[mouth & band], photo[mouth & ~band] = (0.9, 0.88, 0.84), (0.12, 0.05, 0.05)
    shown = replace(scene, photo=photo, matte=np.ones_like(scene.matte), landmarks=landmarks, fit=fit)
    seated = seat_teeth(shown, model)
    points = to_camera(AvatarHead(model, seated).vertices(expression), fit.camera.camera_to_world)
    row = project(points[model.part(name)], *scene.lens)[:, :2] - middle
    front = (row @ way)[np.abs(row @ across) < 0.22 * width**2]
    assert (front.max() if name == "teeth_upper" else front.min()) == pytest.approx(edge, abs=2)
