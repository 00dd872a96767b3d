"""ARKit <-> Basel coefficients, with a face of the Basel kind that is made of the MakeHuman head, so that what every
coefficient does is known."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from elocute.errors import BadInput
from elocute.head.basel import BaselFace
from elocute.head.conversion import (
    UNSEEN,
    ExpressionConversion,
    basel_origin,
    bounded_least_squares,
    expression_conversion,
    similarity,
)
from elocute.head.model import HeadModel
from elocute.values import ARKIT_NAMES, BASEL_NAMES, ExpressionTrack

FPS = Fraction(24000, 1001)


@pytest.fixture(scope="module")
def conversion(basel_face: BaselFace, model: HeadModel) -> ExpressionConversion:
    return expression_conversion(basel_face, model)


def arkit(values: np.ndarray) -> ExpressionTrack:
    return ExpressionTrack(ARKIT_NAMES, np.atleast_2d(values), FPS)


def there_and_back(conversion: ExpressionConversion, values: np.ndarray) -> np.ndarray:
    return conversion.basel_to_arkit(conversion.arkit_to_basel(arkit(values))).values


def test_the_names_say_which_units_a_track_has(conversion: ExpressionConversion) -> None:
    basel = conversion.arkit_to_basel(arkit(np.zeros((3, 52))))
    assert basel.names == BASEL_NAMES and basel.fps == FPS and basel.values.shape == (3, 64)
    assert conversion.basel_to_arkit(basel).names == ARKIT_NAMES
    for wrong in (conversion.arkit_to_basel, conversion.basel_to_arkit):
        track = basel if wrong == conversion.arkit_to_basel else arkit(np.zeros(52))
        with pytest.raises(BadInput) as refusal:
            wrong(track)
        assert refusal.value.code == "units_mismatch"


def test_a_still_face_stays_still(conversion: ExpressionConversion) -> None:
    assert not conversion.arkit_to_basel(arkit(np.zeros(52))).values.any()
    assert not there_and_back(conversion, np.zeros(52)).any()


def test_an_open_jaw_opens_the_basel_face_s_mouth(
    conversion: ExpressionConversion, basel_face: BaselFace, units: Callable[..., np.ndarray]
) -> None:
    """The lips of the converted expression part by as many centimetres as those of the MakeHuman head."""
    import torch

    points = basel_face.only_keypoints()
    coefficients = np.zeros((1, 257))
    coefficients[0, 80:144] = conversion.arkit_to_basel(arkit(units(jawOpen=0.7))).values[0]
    moved = (points.shape(torch.from_numpy(coefficients)) - points.mean_shape.view(1, -1, 3))[0].numpy()
    moves = conversion.arkit_moves.reshape(52, 68, 3)[ARKIT_NAMES.index("jawOpen")]
    wanted = 0.7 * (moves[66] - moves[62]) * 0.001 * 9.3 / 2  # the inner lips count twice
    assert moved[66, 1] - moved[62, 1] == pytest.approx(wanted[1], rel=0.05) and wanted[1] < -0.1
    assert abs(moved[[27, 36, 45], 1]).max() < 0.01  # eyes and the bridge of the nose stay


@pytest.mark.parametrize(
    ("name", "least"),
    [("jawOpen", 0.95), ("mouthClose", 0.95), ("mouthFunnel", 0.85), ("mouthPucker", 0.85), ("mouthSmileBoth", 0.8),
     ("mouthFrownBoth", 0.85), ("mouthLeft", 0.9), ("mouthRollUpper", 0.9), ("jawLeft", 0.85), ("eyeBlinkBoth", 0.85),
     ("browDownBoth", 0.8), ("browInnerUp", 0.8), ("browOuterUpBoth", 0.75), ("cheekPuff", 0.8)],
)  # fmt: skip
def test_what_an_animator_keys_comes_back(
    conversion: ExpressionConversion, units: Callable[..., np.ndarray], name: str, least: float
) -> None:
    keyed = units(**{name: 1.0})
    back = there_and_back(conversion, keyed)[0]
    assert back[keyed > 0].min() >= least
    assert back[keyed == 0].max() < 0.3


def test_any_face_comes_back_as_a_shape(conversion: ExpressionConversion, model: HeadModel) -> None:
    """Units overlap, so their numbers may trade places; the skin is where it was, within half a millimetre."""
    rng = np.random.default_rng(1)
    keyed = np.zeros((100, 52))
    for row in keyed:
        row[rng.choice(52, 6, replace=False)] = rng.uniform(0.1, 0.8, 6)
    jaw, close = ARKIT_NAMES.index("jawOpen"), ARKIT_NAMES.index("mouthClose")
    keyed[:, close] = np.minimum(keyed[:, close], keyed[:, jaw])
    keyed[:, list(UNSEEN)] = 0
    skin = model.part("skin")
    off = np.tensordot(there_and_back(conversion, keyed) - keyed, model.expression[:, skin], 1)
    moved = np.tensordot(keyed, model.expression[:, skin], 1)
    size = np.sqrt(np.square(moved).sum(-1).mean())
    assert np.sqrt(np.square(off).sum(-1).mean()) < 0.15 * size and size > 0.001


def test_gaze_and_tongue_are_never_invented(conversion: ExpressionConversion) -> None:
    values = np.random.default_rng(2).normal(0, 2, (50, 64))
    back = conversion.basel_to_arkit(ExpressionTrack(BASEL_NAMES, values, FPS)).values
    assert not back[:, list(UNSEEN)].any()
    assert back.min() >= 0 and back.max() <= 1
    assert not conversion.carried[list(UNSEEN)].any()
    assert conversion.carried[ARKIT_NAMES.index("jawOpen")] > 0.99


def test_gaze_and_tongue_are_not_carried_over(
    conversion: ExpressionConversion, units: Callable[..., np.ndarray]
) -> None:
    looks = units(eyeLookDownBoth=1.0, eyeLookInLeft=1.0, eyeLookOutRight=0.5, tongueOut=1.0)
    assert looks[list(UNSEEN)].any() and not conversion.arkit_to_basel(arkit(looks)).values.any()


def test_left_stays_left(conversion: ExpressionConversion, units: Callable[..., np.ndarray]) -> None:
    for left in ("mouthSmileLeft", "eyeBlinkLeft", "browDownLeft", "jawLeft"):
        back = there_and_back(conversion, units(**{left: 1.0}))[0]
        assert back[ARKIT_NAMES.index(left)] > 5 * back[ARKIT_NAMES.index(left.replace("Left", "Right"))]


def test_a_smooth_curve_stays_smooth(conversion: ExpressionConversion, units: Callable[..., np.ndarray]) -> None:
    time = np.linspace(0, np.pi, 60)
    keyed = np.sin(time)[:, None] * units(jawOpen=0.8, mouthSmileBoth=0.5)
    back = there_and_back(conversion, keyed)
    assert np.abs(np.diff(back, axis=0)).max() < 3 * np.abs(np.diff(keyed, axis=0)).max()


def test_the_bounded_solution_is_the_best_one() -> None:
    """Karush-Kuhn-Tucker: the gradient is zero inside, and points outwards at the bounds."""
    rng = np.random.default_rng(3)
    root = rng.normal(0, 1, (12, 12))
    normal, wanted = root @ root.T + 0.1 * np.eye(12), rng.normal(0, 3, (40, 12))
    found = bounded_least_squares(normal, wanted, 1.0)
    gradient = found @ normal - wanted
    inside = (found > 0) & (found < 1)
    assert inside.any() and (found == 0).any() and (found == 1).any()
    assert np.abs(gradient[inside]).max() < 1e-4
    assert gradient[found == 0].min() > -1e-4 and gradient[found == 1].max() < 1e-4


def test_a_similarity_is_found_again() -> None:
    rng = np.random.default_rng(4)
    points = rng.normal(0, 1, (68, 3))
    turn = np.linalg.qr(rng.normal(0, 1, (3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    scale, found = similarity(points, 7 * points @ turn.T + [1, 2, 3])
    assert scale == pytest.approx(7) and np.allclose(found, turn)
    with pytest.raises(BadInput):
        similarity(points, np.zeros((68, 3)))


def test_the_basel_face_s_origin_is_found_in_any_head(basel_face: BaselFace, model: HeadModel) -> None:
    """The middle of its skin, which here is the MakeHuman head's own, turned and in decimetres."""
    middle = model.base[model.part("skin")].mean(0)
    assert np.abs(basel_origin(basel_face, model, model.base) - middle).max() < 0.003
    moved = basel_origin(basel_face, model, 2 * model.base + np.float32([0.1, 0.2, 0.3]))
    assert np.abs(moved - (2 * middle + [0.1, 0.2, 0.3])).max() < 0.006
