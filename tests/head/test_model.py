from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from elocute.head.eyes import look_angles, look_units
from elocute.head.model import HeadModel
from elocute.values import ARKIT_NAMES

Make = Callable[..., np.ndarray]


def test_vertices_are_linear_in_identity_and_expression(model: HeadModel, units: Make, random_identity: Make) -> None:
    one, two = random_identity(model, 1), random_identity(model, 2)
    a, b = units(jawOpen=0.4, mouthPucker=0.3), units(mouthSmileBoth=0.5)
    both = model.vertices(one + two, a + b)
    parts = model.vertices(one, a) + model.vertices(two, b) - model.base
    assert np.abs(both - parts).max() < 1e-6


def test_mirror_pairs_vertices(model: HeadModel) -> None:
    mirror = model.mirror
    assert (mirror[mirror] == np.arange(len(mirror))).all()
    flip = np.array([-1, 1, 1])
    assert np.abs(model.base[mirror] * flip - model.base).max() < 1e-6
    points = model.landmarks(model.base)
    assert np.abs(points[[263, 291, 308, 362, 386, 1]] * flip - points[[33, 61, 78, 133, 159, 1]]).max() < 1.5e-3


@pytest.mark.parametrize("name", [n for n in ARKIT_NAMES if n.endswith("Left") and n != "jawLeft"])
def test_left_unit_is_the_mirror_image_of_the_right_one(model: HeadModel, name: str) -> None:
    left = model.expression[ARKIT_NAMES.index(name)]
    right = model.expression[ARKIT_NAMES.index(name.removesuffix("Left") + "Right")]
    difference = np.abs(left[model.mirror] * [-1, 1, 1] - right)
    assert difference.max() < 1.2e-3  # MakeHuman's own left and right differ by a millimetre in a few spots
    assert difference.mean() < 2e-5


def test_left_is_towards_plus_x(model: HeadModel) -> None:
    moved = np.linalg.norm(model.expression[ARKIT_NAMES.index("eyeBlinkLeft")], axis=1)
    assert model.base[moved > 1e-3, 0].min() > -0.003
    assert model.landmarks(model.base)[263, 0] > 0.03
    assert model.eye_centres(model.base)[0, 0] > 0.02


def test_faces_look_outwards(model: HeadModel) -> None:
    for part in ("eye_left", "eye_right", "tongue"):
        corners = model.base[model.faces[model.part_faces(part)]].astype(float)
        corners = corners - corners.mean((0, 1))
        assert np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() > 0, part
    nose = model.landmark_faces[1]
    a, b, c = model.base[model.faces[nose]]
    assert np.cross(b - a, c - a)[2] > 0


@pytest.mark.parametrize("seed", range(3))
def test_lips_of_any_person_touch_at_rest(model: HeadModel, seed: int, random_identity: Make) -> None:
    shape = model.vertices(random_identity(model, seed), None)
    for gap in model.seams["lips"].openings(shape):
        assert np.linalg.norm(gap, axis=1).max() < 3e-4


def test_inner_lip_and_lid_landmarks_lie_on_the_seams(model: HeadModel, units: Make) -> None:
    points = model.landmarks(model.base)
    for name, upper, lower in (("lips", (81, 13, 311), (178, 14, 402)), ("lids_right", (160, 158), (144, 153))):
        seam = model.seams[name]
        for chain, landmarks in ((seam.upper, upper), (seam.lower, lower)):
            for landmark in landmarks:
                a, b = model.base[chain[:-1]], np.diff(model.base[chain], axis=0)
                t = np.clip(((points[landmark] - a) * b).sum(1) / (b**2).sum(1), 0, 1)[:, None]
                assert np.linalg.norm(a + t * b - points[landmark], axis=1).min() < 1e-5
    opened = model.landmarks(model.vertices(None, units(jawOpen=0.5)))
    assert opened[13, 1] - opened[14, 1] > 0.012


@pytest.mark.parametrize(("opening", "lip"), [("jawOpen", "lower"), ("mouthFunnel", "lower"), ("mouthFunnel", "upper")])
def test_lips_open_to_an_arch(model: HeadModel, opening: str, lip: str) -> None:
    """Half-way between middle and corner a wedge would be open by half, a parabola by three quarters."""
    chain = getattr(model.seams["lips"], lip)
    shift = model.expression[ARKIT_NAMES.index(opening), chain, 1]
    x = model.base[chain, 0]
    apart = np.abs(np.interp(x, x[[0, -1]], shift[[0, -1]]) - shift)
    assert np.interp(0.5 * x[-1], x, apart) > 0.77 * apart.max()
    assert apart.argmax() == len(chain) // 2


@pytest.mark.parametrize(("unit", "share"), [("mouthFunnel", 0.85), ("mouthPucker", 0.78)])
def test_rounded_lips_are_narrower(model: HeadModel, units: Make, unit: str, share: float) -> None:
    corners = model.seams["lips"].upper[[0, -1]]
    assert np.ptp(model.vertices(None, units(**{unit: 1}))[corners, 0]) < share * np.ptp(model.base[corners, 0])


def test_jaw_carries_lower_teeth_and_tongue_but_not_the_upper_teeth(model: HeadModel) -> None:
    shift = model.expression[ARKIT_NAMES.index("jawOpen")]
    assert shift[model.part("teeth_lower"), 1].mean() < -0.01
    assert shift[model.part("tongue"), 1].mean() < -0.008
    assert np.abs(shift[model.part("teeth_upper")]).max() < 1e-5
    assert model.expression[ARKIT_NAMES.index("tongueOut")][model.part("tongue"), 2].mean() > 0.005


@pytest.mark.parametrize(("row", "up"), [("teeth_upper", 1), ("teeth_lower", -1)])
def test_teeth_are_counted_from_notch_to_notch(model: HeadModel, row: str, up: int) -> None:
    part = model.part(row)
    edge = part[np.isclose(model.uv[part, 1], 0.6)]
    height = up * model.base[edge[np.argsort(model.uv[edge, 0])], 1]
    along = np.sort(model.uv[edge, 0]) * 14
    borders = np.flatnonzero(np.isclose(along, along.round()))
    assert len(borders) == 15
    for b in borders[1:-1]:
        assert height[b] > max(height[b - 1], height[b + 1]), "two teeth meet in a notch"
    length = -np.minimum.reduceat(height, borders[:-1])
    assert length[6] > length[5] < length[4], "incisors: the second is shorter than its neighbours"
    np.testing.assert_allclose(length, length[::-1], atol=1e-6)


def test_eyeballs_turn_about_their_centres(model: HeadModel, units: Make) -> None:
    shape = model.vertices(None, units(eyeLookOutLeft=1.0, eyeLookUpBoth=0.5))
    left, right = model.eyeballs
    assert np.allclose(model.eye_centres(shape), model.eye_centres(model.base), atol=1e-6)
    pupil = shape[left[0]] - model.eye_centres(shape)[0]
    assert np.degrees(np.arctan2(pupil[0], pupil[2])) == pytest.approx(28, abs=0.5)
    assert pupil[1] > 0
    assert abs(shape[right[0], 0] - model.base[right[0], 0]) < 1e-6


@pytest.mark.parametrize("angles", [((0.2, 0.1), (0.1, -0.2)), ((-0.3, -0.1), (-0.3, 0.0))])
def test_look_units_invert_look_angles(angles: tuple[tuple[float, float], tuple[float, float]], units: Make) -> None:
    assert np.allclose(look_angles(units(**look_units(*angles))), angles, atol=1e-6)


def test_regions_are_weights_where_they_should_be(model: HeadModel) -> None:
    points = model.landmarks(model.base)
    nose = int(np.linalg.norm(model.base - points[1], axis=1).argmin())
    lip = int(np.linalg.norm(model.base - points[14], axis=1).argmin())
    for weight in model.regions.values():
        assert weight.min() >= 0 and weight.max() <= 1
    assert model.regions["face"][nose] == pytest.approx(1)
    assert model.regions["neck"][nose] == 0
    assert model.regions["lips_lower"][lip] + model.regions["lips_upper"][lip] >= 1
    assert model.regions["neck"][model.base[:, 1] < -0.15].min() > 0.9


@pytest.mark.parametrize("amount", [0.25, 0.5, 0.75, 1.0])
def test_a_tongue_comes_out_between_the_lips(model: HeadModel, units: Make, amount: float) -> None:
    vertices = model.vertices(np.zeros(len(model.identity_names)), units(tongueOut=amount))
    tongue, upper, lower = vertices[model.part("tongue")], *model.landmarks(vertices)[[13, 14]]
    out = tongue[tongue[:, 2] > lower[2]]  # before the lower lip's edge
    assert (out[:, 1] > lower[1] - 0.0035).all() and (out[:, 1] < upper[1] + 0.001).all()
    if amount == 1:
        assert len(out) and out[:, 2].max() > upper[2] + 0.005


@pytest.mark.parametrize("name", [n for n in ARKIT_NAMES if n.startswith("brow")])
def test_brows_move_whole(model: HeadModel, name: str) -> None:
    """The lower edge goes with the upper one, so that a brow keeps its thickness."""
    shift = model.landmarks(model.expression[ARKIT_NAMES.index(name)])[:, 1]
    left = (276, 283, 282, 295, 285), (300, 293, 334, 296, 336)
    right = (46, 53, 52, 65, 55), (70, 63, 105, 66, 107)
    for below, above in (left, right):
        moved = np.abs(shift[list(above)]) > 0.7 * np.abs(shift).max()
        ratio = shift[list(below)][moved] / shift[list(above)][moved]
        assert (ratio > 0.8).all() and (ratio < 1.2).all()
