"""What the head consists of where the photo shows nothing of it."""

from __future__ import annotations

import numpy as np

from elocute.generators.appearance import PARTS
from elocute.generators.geometry import _presume_members

SKIN, HAIR = (np.eye(len(PARTS), dtype=np.float32)[PARTS.index(name)] for name in ("skin", "hair"))


def test_what_the_photo_cuts_off_turns_softly_into_the_scalp() -> None:
    """From the forehead over the crown: shown skin, cut off by the edge, unseen; beside it hair that is shown."""
    scalp = np.array([0, 0, 0.2, 0.6, 1, 1, 1, 1])
    shown = np.array([1, 0, 0, 0, 0, 0, 1, 1])
    cut = np.array([False, True, True, True, True, False, False, False])
    members = np.stack([SKIN] * 6 + [HAIR] * 2)
    _presume_members(members, shown, cut, scalp, np.ones(8, bool), np.full(8, -1))
    np.testing.assert_allclose(members[:, PARTS.index("hair")], [0, 0, 0.2, 0.6, 1, 1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(members.sum(1), 1, atol=1e-6)


def test_a_hat_that_the_photo_cuts_off_goes_on_above_bare_skin() -> None:
    cloth = np.eye(len(PARTS), dtype=np.float32)[PARTS.index("clothes")]
    members = np.stack([SKIN, cloth, cloth])
    none = np.zeros(3)
    _presume_members(members, np.array([1, 1, 0]), np.array([False, False, True]), none, none > 0, np.full(3, -1))
    np.testing.assert_array_equal(members, [SKIN, cloth, cloth])
