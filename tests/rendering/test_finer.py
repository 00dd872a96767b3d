"""A finer mesh: nothing old moves, nothing tears, and corners become curves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from elocute.generators.geometry import model_layers
from elocute.head.model import HeadModel, load_head_model
from elocute.rendering.finer import Finer, finer
from elocute.rendering.shells import CAVITY, PLANES, SKIN, TEETH, Shells

SIDE, FOCAL = 64, 64.0


def shells_of(rest: np.ndarray, faces: np.ndarray, layer: np.ndarray) -> Shells:
    count, one = len(rest), np.ones(len(rest), np.float32)
    triples = np.random.default_rng(0).random((count, 3)).astype(np.float32)
    away = np.tile(np.array([0, 0, -1], np.float32), (count, 1))
    empty = np.zeros((SIDE, SIDE), np.float32)
    return Shells(
        rest.astype(np.float32), faces.astype(np.int32), layer.astype(np.uint8), one, triples, one, triples, one, one,
        away, np.zeros((PLANES, SIDE, SIDE, 4), np.float32), empty, empty, FOCAL, SIDE / 2, SIDE / 2,
    )  # fmt: skip


def disc(spokes: int = 10) -> Shells:
    """Skin around a round hole in which a disc of another layer lies: rings of radius 1, 2, 3 around a middle."""
    turn = 2 * np.pi * np.arange(spokes) / spokes
    ring = np.stack([np.cos(turn), np.sin(turn), np.zeros(spokes)], 1)
    rest = np.concatenate([[[0, 0, 0]], ring, 2 * ring, 3 * ring]) + [0, 0, 10.0]
    k = np.arange(spokes)
    after = (k + 1) % spokes
    faces, layer = [np.stack([0 * k, 1 + k, 1 + after], 1)], [np.full(spokes, CAVITY)]
    for inner, kind in ((1, CAVITY), (1 + spokes, SKIN)):
        faces += [np.stack([inner + k, inner + spokes + k, inner + after], 1)]
        faces += [np.stack([inner + spokes + k, inner + spokes + after, inner + after], 1)]
        layer += [np.full(2 * spokes, kind)]
    return shells_of(rest, np.concatenate(faces), np.concatenate(layer))


@pytest.fixture(scope="module")
def head() -> Shells:
    model: HeadModel = load_head_model()
    return shells_of(model.base * [1, -1, -1] + [0, 0, 0.6], model.faces, model_layers(model)[model.face_part])


def ball(count: int = 200) -> Shells:
    """A sphere of radius 1 of as many points, evenly spread."""
    k = np.arange(count) + 0.5
    up, turn = 1 - 2 * k / count, np.pi * (1 + 5**0.5) * k
    flat = np.sqrt(1 - up**2)
    points = np.stack([flat * np.cos(turn), flat * np.sin(turn), up], 1)
    faces = ConvexHull(points).simplices
    a, b, c = (points[faces[:, i]] for i in range(3))
    inward = (np.cross(b - a, c - a) * a).sum(1) < 0
    faces[inward] = faces[inward][:, ::-1]
    shells = shells_of(points + [0, 0, 10], faces, np.full(len(faces), SKIN))
    return replace(shells, normal=points.astype(np.float32))


def edges_of(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    return np.unique(np.sort(edges, 1), axis=0, return_counts=True)  # type: ignore[return-value]


def area(points: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = (points[faces[:, i]].astype(float) for i in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


@pytest.mark.parametrize("scale", [1.0, 12.0, 40.0])
def test_the_head_stays_whole(head: Shells, scale: float) -> None:
    fine = finer(head, scale)
    new = fine.between.shape[0]
    assert (new > 0) == (scale > 1)
    np.testing.assert_array_equal(fine.shells.rest[: len(head.rest)], head.rest)
    assert len(fine.shells.rest) == len(head.rest) + new == len(np.unique(fine.shells.faces))
    borders = [(counts == 1).sum() for _, counts in (edges_of(head.faces), edges_of(fine.shells.faces))]
    assert borders[0] == borders[1] and edges_of(fine.shells.faces)[1].max() == 2, "no crack, no third side"
    assert area(fine.shells.rest, fine.shells.faces) == pytest.approx(area(head.rest, head.faces), rel=0.02)
    rows = np.concatenate([load_head_model().part(name) for name in ("teeth_upper", "teeth_lower", "eye_left")])
    hard = lambda faces: np.isin(faces, rows).all(1).sum()  # noqa: E731
    assert hard(fine.shells.faces) == hard(head.faces), "teeth and eyeballs are hard"
    np.testing.assert_allclose(np.linalg.norm(fine.shells.normal, axis=1), 1, atol=1e-5)


def test_new_vertices_move_with_the_old_ones(head: Shells) -> None:
    """Whatever turns, shifts or stretches the old vertices does the same to the new ones."""
    fine = finer(head, 12.0)
    bend = np.array([[0.9, 0.3, 0], [-0.2, 1.1, 0.1], [0, 0.2, 0.8]])
    moved = fine.points((head.rest @ bend + [0.1, 0.2, 0.3]).astype(np.float32))
    np.testing.assert_allclose(moved, fine.shells.rest @ bend + [0.1, 0.2, 0.3], atol=1e-5)
    assert moved.dtype == np.float32


def test_a_surface_becomes_rounder() -> None:
    shells = ball()
    fine = finer(shells, 100.0)
    count, centre = len(shells.rest), np.array([0, 0, 10])
    new = fine.shells.rest[count:] - centre
    ends = np.stack([row.indices[np.argsort(-row.data)[:2]] for row in fine.between])
    middles = (shells.rest[ends] - centre).mean(1)
    short = 1 - np.linalg.norm(middles, axis=1)
    assert len(new) == len(edges_of(shells.faces)[0])
    assert np.abs(1 - np.linalg.norm(new, axis=1)).mean() < 0.5 * short.mean()
    a, b, c = (fine.shells.rest[fine.shells.faces[:, i]] - centre for i in range(3))
    assert ((np.cross(b - a, c - a) * (a + b + c)).sum(1) > 0).all(), "every triangle still looks outwards"
    np.testing.assert_allclose(np.linalg.norm(fine.shells.normal, axis=1), 1, atol=1e-5)
    for name in ("fill", "seen", "thickness", "grain"):
        values = getattr(shells, name)
        np.testing.assert_allclose(getattr(fine.shells, name)[count:], values[ends].mean(1), atol=1e-6)


@pytest.mark.parametrize("scale", [14.0, 17.0, 20.0])
def test_partly_split_triangles_look_outwards_too(scale: float) -> None:
    """Only some edges are long enough: all ways to split a triangle occur."""
    shells = ball(400)
    fine = finer(shells, scale)
    assert 0 < fine.between.shape[0] < len(edges_of(shells.faces)[0])
    a, b, c = (fine.shells.rest[fine.shells.faces[:, i]] - [0, 0, 10] for i in range(3))
    assert ((np.cross(b - a, c - a) * (a + b + c)).sum(1) > 0).all()
    assert (edges_of(fine.shells.faces)[1] == 2).all()


def test_a_rim_of_chords_becomes_rounder() -> None:
    fine = finer(disc(), 10.0)
    new = fine.shells.rest[len(disc().rest) :, :2]
    far = np.hypot(*new.T)
    rim = far[(far > 1.85) & (far < 2.15)]
    assert len(rim) == 10 and 2 - rim.min() < 0.2 * 2 * (1 - np.cos(np.pi / 10)), "between two layers"
    assert far.max() < 2.8, "and none on the border"


def test_a_rim_follows_its_own_curve() -> None:
    """What lies beside a rim doesn't pull at it: lips close on lips however the skin around them folds."""
    shells = disc()
    rim = [v for v in range(len(shells.rest)) if abs(np.hypot(*shells.rest[v, :2]) - 2) < 1e-6]
    fine = finer(shells, 10.0)
    bent = shells.rest.copy()
    bent[[v for v in range(len(bent)) if v not in rim], 2] += 1
    between = fine.points(bent)[len(bent) :]
    on_rim = np.abs(np.hypot(*fine.shells.rest[len(bent) :, :2].T) - 2) < 0.05
    assert on_rim.sum() == 10
    np.testing.assert_allclose(between[on_rim, 2], 10, atol=1e-5)
    assert np.abs(between[~on_rim, 2] - 10).min() > 0.1


def test_small_triangles_stay() -> None:
    shells = disc()
    fine: Finer = finer(shells, 0.1)
    assert fine.between.shape == (0, len(shells.rest))
    assert len(fine.shells.faces) == len(shells.faces)
    np.testing.assert_array_equal(fine.points(shells.rest), shells.rest)
    assert finer(replace(shells, layer=np.full_like(shells.layer, TEETH)), 10.0).between.shape[0] == 0
