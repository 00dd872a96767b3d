"""What only the view from the front puts into a photo."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from elocute.generators.rims import foreign_light, outline_rim
from elocute.generators.scene import Scene

SIDE = 200
SKIN = np.array([0.7, 0.5, 0.42], np.float32)


def disc(radius: float) -> np.ndarray:
    """A round face's matte, three pixels soft."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    return np.clip((radius - np.hypot(x - 100, y - 100)) / 3 + 0.5, 0, 1).astype(np.float32)


@pytest.fixture
def scene() -> Scene:
    """A round face of bare skin, 120 pixels wide, before blue."""
    matte = disc(60)
    photo = np.where(matte[..., None] > 0.5, SKIN, np.array([0.1, 0.2, 0.9], np.float32)).astype(np.float32)
    none = np.zeros_like(matte)
    regions = {"skin": matte, "hair": none, "neck_shoulders": none, "background": 1 - matte}
    landmarks = np.zeros((478, 3), np.float32)
    landmarks[10], landmarks[152] = [100, 45, 0], [100, 155, 0]
    fit: Any = None  # nothing here looks at the head
    return Scene(photo, photo, matte, regions, landmarks, fit)


def test_beyond_the_outline_is_what_is_nearest_inside(scene: Scene) -> None:
    whole = scene.beyond_outline()
    np.testing.assert_allclose(whole.photo, np.broadcast_to(SKIN, whole.photo.shape))
    assert whole.regions["skin"].min() >= 0.9
    np.testing.assert_array_equal(whole.photo[100, 100], scene.photo[100, 100])


def test_soft_outline_and_light_from_behind_are_foreign_and_the_face_is_not(scene: Scene) -> None:
    own = foreign_light(scene, scene.beyond_outline())
    assert own[100, 44:156].max() < 0.05, "the face"
    assert own[100, 40] > 0.9 and own[100, 159] > 0.9, "where the matte is half"
    lit = scene.photo.copy()
    lit[:, 145:] *= 1.5  # from the right, up to 15 pixels in
    glare = foreign_light(Scene(lit, lit, scene.matte, scene.regions, scene.landmarks, scene.fit), scene)
    assert glare[100, 154:158].min() > 0.5 and glare[100, 44:140].max() < 0.05


def test_only_a_narrow_strip_of_skin_is_rim(scene: Scene) -> None:
    """The head's surface ends 3 pixels inside the outline; or 30, and then what is beyond it is shape."""
    points = np.array([[42.0, 100], [158, 100], [100, 42.5]])
    below = np.full((SIDE, SIDE), np.inf, np.float32)
    whole = scene.beyond_outline()
    for radius, expected in ((57, 1), (30, 0)):
        depth = np.where(disc(radius) > 0.5, 1.0, np.inf)
        np.testing.assert_allclose(outline_rim(scene, whole, depth, below, points), expected, atol=0.02)
    nowhere = outline_rim(scene, whole, np.full_like(below, np.inf), below, points)
    np.testing.assert_array_equal(nowhere, 0)


def test_thin_hair_beside_the_cheek_is_rim_and_hair_above_is_not(scene: Scene) -> None:
    ring = cv2.GaussianBlur(disc(60) - disc(55), (0, 0), 0.5)
    regions = scene.regions | {"skin": scene.matte - ring, "hair": ring}
    hairy = Scene(scene.photo, scene.photo, scene.matte, regions, scene.landmarks, scene.fit)
    depth = np.where(disc(57) > 0.5, 1.0, np.inf)
    below = np.full((SIDE, SIDE), np.inf, np.float32)
    at = np.array([[41.5, 105], [158.5, 105], [100, 41.5]])
    got = outline_rim(hairy, hairy.beyond_outline(), depth, below, at)
    assert got[:2].min() > 0.6 and got[2] < 0.1
