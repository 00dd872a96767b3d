"""What the head consists of where the photo shows nothing of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from elocute.generators.appearance import PARTS
from elocute.generators.members import EAR, _presume_ears, _presume_members, has_long_hair, head_members, named
from elocute.generators.scene import Scene
from elocute.head.model import load_head_model
from elocute.landmarks import CHIN, FOREHEAD

SKIN, HAIR = named("skin"), named("hair")


def strip(count: int) -> np.ndarray:
    """Triangles that hang `count` vertices together in a row."""
    return np.array([[k, k + 1, k + 2] for k in range(count - 2)])


def test_a_fringe_goes_on_around_a_bald_head() -> None:
    """Two strips over the scalp, bald and hairy where the photo shows them: the back of each is what its front is."""
    count = 60
    shown = np.tile(np.arange(count) < 20, 2).astype(float)
    members = np.concatenate([np.tile(SKIN, (count, 1)), np.tile(SKIN, (count, 1))])
    members[count : count + 20] = HAIR
    faces = np.concatenate([strip(count), strip(count) + count])
    everywhere = np.ones(2 * count)
    _presume_members(members, shown, everywhere < 0, everywhere, everywhere > 0, np.full(2 * count, -1), faces)
    np.testing.assert_allclose(members, np.repeat([SKIN, HAIR], count, axis=0), atol=1e-6)


def test_what_the_photo_cuts_off_turns_softly_into_the_scalp() -> None:
    """From the forehead over the crown: shown skin, cut off by the edge, unseen; beside it hair that is shown."""
    scalp = np.array([0, 0, 0.2, 0.6, 1, 1, 1, 1])
    shown = np.array([1, 0, 0, 0, 0, 0, 1, 1])
    cut = np.array([False, True, True, True, True, False, False, False])
    members = np.stack([SKIN] * 6 + [HAIR] * 2)
    _presume_members(members, shown, cut, scalp, np.ones(8, bool), np.full(8, -1), strip(8))
    np.testing.assert_allclose(members[:, PARTS.index("hair")], [0, 0, 0.2, 0.6, 1, 1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(members.sum(1), 1, atol=1e-6)


def test_a_hat_that_the_photo_cuts_off_goes_on_above_bare_skin() -> None:
    cloth = named("clothes")
    members = np.stack([SKIN, cloth, cloth])
    none, cut = np.zeros(3), np.array([False, False, True])
    _presume_members(members, np.array([1, 1, 0]), cut, none, none > 0, np.full(3, -1), strip(3))
    np.testing.assert_array_equal(members, [SKIN, cloth, cloth])


def test_an_ear_under_hair_brings_no_skin_out_of_it() -> None:
    """The photo shows hair at the left ear and nothing of the right one; above them there is bare skin."""
    model = load_head_model()
    x, y, z = model.base.T
    near = (np.abs(x) > EAR[0][0]) & (y > EAR[1][0]) & (y < EAR[1][1])
    visible = (x > EAR[0][0] + 0.008) & near
    members = np.tile(SKIN, (len(x), 1))
    members[visible] = HAIR
    bald = members.copy()
    bald[visible] = SKIN
    for given in (members, bald):
        _presume_ears(given, model, visible, np.ones(len(x)), long=False)
    hair = members[:, PARTS.index("hair")]
    assert hair[near & (np.abs(x) > 0.076)].all(), "both ears"
    assert not hair[(np.abs(x) < 0.05) | (y > 0.05)].any(), "nothing but the ears"
    before = (np.abs(x) > 0.055) & (np.abs(y) < 0.03) & (z > 0.018)
    assert hair[before & (z < 0.024)].min() > 0.99 and hair[before & (z > 0.045)].max() == 0
    _presume_ears(frontal := np.where(visible[:, None], HAIR, SKIN), model, near | visible, np.ones(len(x)), long=True)
    assert not frontal[near & ~visible, PARTS.index("hair")].any(), "what the photo shows from the front stays"
    np.testing.assert_array_equal(bald, np.tile(SKIN, (len(x), 1)))
    half = np.where((visible & (y > np.median(y[visible])))[:, None], HAIR, SKIN).astype(np.float32)
    _presume_ears(short := half.copy(), model, visible, np.ones(len(x)), long=False)
    np.testing.assert_array_equal(short, half, "the hair above a bare ear and behind it is a short cut's")
    _presume_ears(half, model, visible, np.ones(len(x)), long=True)
    assert half[near & (x < -0.076), PARTS.index("hair")].all(), "the hidden one is under hair that touches the other"
    assert not half[visible & (y < np.median(y[visible])), PARTS.index("hair")].any(), "which is as the photo shows it"


@pytest.mark.parametrize("tilt", [-0.4, 0.0, 0.4])
def test_long_hair_hangs_beside_the_face_below_the_ears(tilt: float) -> None:
    """In pictures of a face 100 pixels high and 80 wide, tilted about its middle."""
    side = 300
    y, x = np.mgrid[:side, :side] + 0.5 - side / 2
    cos, sin = np.cos(tilt), np.sin(tilt)
    aside, down = cos * x + sin * y, cos * y - sin * x
    landmarks = np.zeros((478, 3), np.float32)
    for mark, at in {FOREHEAD: (0, -50), CHIN: (0, 50), 234: (-40, 0), 454: (40, 0)}.items():
        landmarks[mark, :2] = [cos * at[0] - sin * at[1] + side / 2, sin * at[0] + cos * at[1] + side / 2]
    landmarks[landmarks[:, 0] == 0] = landmarks[CHIN]
    fit: Any = None  # nothing here looks at the head
    cut = (np.abs(aside) < 50) & (down > -80) & ((np.abs(aside) > 40) | (down < -50)) & (down < 10)
    beard = (np.abs(aside) < 35) & (down > 0) & (down < 90)
    locks = (aside > 42) & (aside < 60) & (down > -50) & (down < 90)
    for hair, long in ((cut, False), (cut | beard, False), (cut | locks, True)):
        regions = {"hair": hair.astype(np.float32)}
        photo = np.zeros((side, side, 3), np.float32)
        assert has_long_hair(Scene(photo, photo, np.ones_like(photo[..., 0]), regions, landmarks, fit)) == long


def test_behind_a_collar_a_hidden_neck_is_cloth_and_behind_a_chin_it_is_skin() -> None:
    model = load_head_model()
    count = len(model.base)
    in_photo = np.tile(SKIN, (count, 1))
    low = model.base[:, 1] < np.median(model.base[model.regions["neck"] > 0.9, 1])
    in_photo[low] = named("clothes")
    none = np.zeros(count)
    members = head_members(in_photo, model, none, none, none > 0, none > 0, none + 1, False)
    neck = (model.regions["neck"] > 0.9) & (model.vertex_part == model.parts.index("skin"))
    np.testing.assert_array_equal(members[neck & low], np.tile(named("clothes"), (int((neck & low).sum()), 1)))
    np.testing.assert_array_equal(members[neck & ~low], np.tile(SKIN, (int((neck & ~low).sum()), 1)))
    below = head_members(in_photo, model, none, none, none > 0, low, none + 1, False)
    np.testing.assert_array_equal(below[neck], np.tile(SKIN, (int(neck.sum()), 1)))  # where nothing is known of it
    assert (members[model.part("teeth_upper"), PARTS.index("teeth")] == 1).all(), "whatever the photo shows there"


def test_what_closed_lips_hide_between_them_is_lip() -> None:
    model = load_head_model()
    in_photo = np.tile(SKIN, (len(model.base), 1))
    shown = np.ones(len(model.base))
    lips = model.seams["lips"]
    shown[lips.upper] = 0
    none = np.zeros(len(model.base))
    members = head_members(in_photo, model, shown, none + 1, none > 0, none > 0, none + 1, False)
    np.testing.assert_array_equal(members[lips.upper], np.tile(named("lips"), (len(lips.upper), 1)))
    np.testing.assert_array_equal(members[lips.lower[1:-1]], np.tile(SKIN, (len(lips.lower) - 2, 1)))
