"""The person beyond the portrait: as the photo shows it, and where that ends, as one expects it."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from elocute.generators.bust import build_bust, turns_at_edge
from elocute.generators.headfield import HeadField
from elocute.generators.silhouette import EXTENT, Known, outside
from elocute.rendering.renderer import Renderer
from elocute.shooting import Shooting
from elocute.values import Surroundings, View

SIZE = 256
AWAY = View(zoom=0.55)


def pulled_back(field: HeadField, view: View = AWAY, yaw: float = 0.0) -> np.ndarray:
    """[SIZE, SIZE, 4] premultiplied 0..1."""
    frame = Shooting(field, SIZE, "transparent", "cpu", 256).frame(field.fit.expression, np.array([yaw, 0, 0]), view)
    rgba = frame.astype(np.float32) / 255
    return np.concatenate([rgba[..., :3] * rgba[..., 3:], rgba[..., 3:]], 2)


def from_the_photo(field: HeadField, view: View) -> tuple[np.ndarray, np.ndarray]:
    """The same picture straight from the photo, and where the photo shows something beyond the portrait."""
    around, camera = field.around, field.fit.camera
    assert around is not None
    rgba = around.rgba.astype(np.float32) / 255
    rgba[..., :3] *= rgba[..., 3:]
    unit = camera.width / around.side  # of the surroundings' pixels, in the portrait's
    to_portrait = np.array([[unit, 0, -around.left * unit], [0, unit, -around.top * unit], [0, 0, 1]])
    scale = view.zoom * SIZE / camera.width
    cx, cy = camera.cx * SIZE / camera.width, camera.cy * SIZE / camera.width
    lens = np.array([[scale, 0, cx * (1 - view.zoom)], [0, scale, cy * (1 - view.zoom)], [0, 0, 1]])
    matrix = (lens @ to_portrait)[:2]
    picture = cv2.warpAffine(rgba, matrix, (SIZE, SIZE), flags=cv2.INTER_AREA)
    known = cv2.warpAffine(np.ones(rgba.shape[:2], np.float32), matrix, (SIZE, SIZE)) > 0.999
    inner = np.zeros((SIZE, SIZE), bool)
    x0, y0 = (int(np.floor(lens[i, 2])) - 3 for i in (0, 1))
    x1, y1 = (int(np.ceil(lens[i, 2] + scale * camera.width)) + 3 for i in (0, 1))
    inner[max(y0, 0) : y1, max(x0, 0) : x1] = True
    return picture, cv2.erode(known.astype(np.uint8), np.ones((5, 5))).astype(bool) & ~inner


def test_a_picture_that_shows_more_shows_what_the_photo_does(stored: HeadField) -> None:
    expected, there = from_the_photo(stored, AWAY)
    assert there.mean() > 0.2  # of the picture: something to compare
    off = np.abs(pulled_back(stored) - expected)[there]
    assert off.mean() < 0.012 and np.quantile(off, 0.95) < 0.06
    invented = np.abs(pulled_back(replace(stored, around=None)) - expected)[there]
    assert invented.mean() > 4 * off.mean()


def test_the_head_may_turn_there(stored: HeadField) -> None:
    for yaw in (-0.3, 0.3):
        turned = pulled_back(stored, yaw=yaw)
        solid = cv2.morphologyEx((turned[..., 3] > 0.5).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((9, 9)))
        assert ((turned[..., 3] < 0.5) & (solid > 0)).mean() < 0.002  # no gap opens at the portrait's edge


def test_a_turn_shows_the_photo_beyond_a_cut_hat(stored: HeadField) -> None:
    """The example's cap goes on above the frame: from there, and not as its own mirror image."""
    assert stored.around is not None and turns_at_edge(stored.shells, stored.motion, stored.around)
    nod = np.array([0, -0.2, 0])
    own = stored.fit.expression
    frames = [
        Shooting(field, SIZE, "keep", "cpu", 256).frame(own, nod).astype(float)
        for field in (stored, replace(stored, around=None))
    ]
    off = np.abs(frames[0] - frames[1]).max(2)
    assert off[: SIZE // 8].max() > 20
    middle = off[SIZE // 4 : -SIZE // 4, SIZE // 4 : -SIZE // 4]
    assert middle.max() <= 1  # the face is the same


def test_a_portrait_is_the_same_whether_it_is_one_field_or_two(stored: HeadField) -> None:
    """The hard outline, the soft one and what is cut at the frame; the smallest turn makes two fields of one."""
    frames = [
        Shooting(stored, SIZE, "#20a040", "cpu", 256).frame(stored.fit.expression, np.array([yaw, 0, 0])).astype(int)
        for yaw in (0, 1e-6)
    ]
    off = np.abs(frames[0] - frames[1]).max(2)
    assert np.quantile(off, 0.99) <= 2 and off.max() < 16


@pytest.mark.parametrize("side", [512, 720])
def test_the_body_is_as_far_away_as_the_person_at_every_size(stored: HeadField, side: int) -> None:
    """A larger picture is shrunk for it, and at its outline alpha and depth don't shrink alike."""
    whole = Renderer(stored.shells, side)
    rgba, depth = whole.render(stored.motion.moved(stored.fit.expression))
    bust = build_bust(whole.shells, stored.motion, rgba, depth, 0 * rgba[..., 3], stored.around)
    assert bust.shells.rest[:, 2].min() > depth[depth > 0].min() - 0.01


def test_without_a_cut_head_nothing_is_added(stored: HeadField) -> None:
    """Where the head is free, and where the photo ends with the frame, its edges show nothing new."""
    around = stored.around
    assert around is not None
    side, (x, y) = int(around.side), (int(around.left), int(around.top))
    ends_there = Surroundings(around.rgba[y : y + side + 200, x : x + side], 0, 0, around.side)
    assert turns_at_edge(stored.shells, stored.motion, around)
    assert not turns_at_edge(stored.shells, stored.motion, ends_there)
    lens = {"focal": stored.shells.focal / 2, "cx": stored.shells.cx, "cy": stored.shells.cy}
    assert not turns_at_edge(replace(stored.shells, **lens), stored.motion, around)  # seen half as large


@pytest.mark.parametrize("around", [True, False])
def test_round_trip_of_what_is_around(stored: HeadField, around: bool) -> None:
    field = stored if around else replace(stored, around=None)
    again = HeadField.from_arrays(field.to_arrays())
    if not around:
        assert again.around is None
        return
    assert again.around is not None and field.around is not None
    np.testing.assert_array_equal(again.around.rgba, field.around.rgba)
    assert (again.around.left, again.around.top, again.around.side) == (
        field.around.left, field.around.top, field.around.side,
    )  # fmt: skip


def test_outside_is_what_is_known_and_goes_on_beyond() -> None:
    side = 40
    rgba = np.zeros((70, 60, 4), np.float32)
    rgba[30:, 15:45, 3] = 1  # a body that the photo's lower edge cuts
    known = Known(rgba, side, left=10, top=5)
    inner = known.portrait[..., 3] * 0.9
    cover = outside(known, middle=20.0, half_shoulders=15.0, inner=inner)
    assert cover.shape == (EXTENT * side,) * 2
    there = np.zeros_like(cover, bool)
    there[known.on_canvas] = True
    there[side : 2 * side, side : 2 * side] = False  # the portrait, which it completes
    behind = cover[side : 2 * side, side : 2 * side]
    np.testing.assert_allclose(1 - (1 - inner) * (1 - behind), known.portrait[..., 3], atol=1e-6)
    np.testing.assert_array_equal(cover[there], np.pad(rgba[..., 3], ((35, 15), (30, 30)))[there])
    below = cover[known.on_canvas[0].stop :]
    assert (below[:, side + 10 : 2 * side - 10] == 1).all() and (below[:, :side - 5] == 0).all()
