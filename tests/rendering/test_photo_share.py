"""What the photo shows goes where it must: as the head turns, and as its mouth moves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from shell_samples import SIDE, render_by_tensors, sheet, turned

from elocute.rendering.renderer import Renderer
from elocute.rendering.shells import CAVITY, EYES, SKIN, TEETH, Shells


def test_what_is_not_skin_is_lost_as_the_head_turns(shells: Shells) -> None:
    over = np.zeros((SIDE, SIDE), np.float32)
    over[:, SIDE // 2 :] = 1
    shells = replace(shells, foreign=over, rim=0 * shells.rim)
    whole, half, none = (Renderer(shells, SIDE).render(shells.rest, turned=t)[0] for t in (0, 0.5, 1))
    inner, left = np.s_[SIDE // 2 - 12 : SIDE // 2 + 12, SIDE // 2 + 2 : SIDE // 2 + 12], np.s_[:, : SIDE // 2 - 2]
    np.testing.assert_array_equal(whole[left], none[left])
    assert np.abs(none[inner][..., :3] - 0.5).mean() < 0.5 * np.abs(whole[inner][..., :3] - 0.5).mean()  # fill, grain
    assert np.abs(half[inner] - (whole[inner] + none[inner]) / 2).max() < 0.02
    for t, picture in ((0.5, half), (1, none)):
        assert np.abs(picture - render_by_tensors(shells, shells.rest, turned=t)).mean() < 2e-3


def test_each_vertex_leaves_the_photo_for_itself(shells: Shells) -> None:
    shells = replace(shells, foreign=np.ones((SIDE, SIDE), np.float32), rim=0 * shells.rim)
    right = (shells.rest[:, 0] > 0).astype(np.float32)
    renderer = Renderer(shells, SIDE)
    whole, none, part = (renderer.render(shells.rest, turned=t)[0] for t in (0, 1, right))
    cell = SIDE // 8  # between vertices it goes over
    np.testing.assert_array_equal(part[:, : SIDE // 2 - cell], whole[:, : SIDE // 2 - cell])
    np.testing.assert_array_equal(part[:, SIDE // 2 + cell :], none[:, SIDE // 2 + cell :])
    assert np.abs(whole - none).mean() > 0.01
    assert np.abs(part - render_by_tensors(shells, shells.rest, turned=right)).mean() < 2e-3


def test_a_jaws_slit_is_closed_as_the_head_turns(shells: Shells) -> None:
    """What lies a little behind the first surface of the photo counts as seen from the front alone."""
    wide = replace(shells, shadow=np.full((SIDE, SIDE, 2), (2.0, 1.0), np.float32), grain=0 * shells.grain)
    whole, none = (Renderer(wide, SIDE).render(wide.rest, turned=t)[0] for t in (0, 1))
    np.testing.assert_array_equal(whole, Renderer(replace(shells, grain=0 * shells.grain), SIDE).render(wide.rest)[0])
    middle = slice(SIDE // 2 - 12, SIDE // 2 + 12)
    assert np.abs(none[middle, middle, :3] - 0.5).max() < 1e-3
    for t, picture in ((0, whole), (1, none)):
        assert np.abs(picture - render_by_tensors(wide, wide.rest, turned=t)).mean() < 1e-4


def test_the_outlines_rim_goes_as_the_head_turns(shells: Shells) -> None:
    """Right of the middle the soft sheet is nothing but rim."""
    shells = replace(shells, rim=(shells.rest[:, 0] > 0.02).astype(np.float32) * (shells.rest[:, 2] > 1.06))
    whole, half, none = (Renderer(shells, SIDE).render(shells.rest, turned=t)[0] for t in (0, 0.5, 1))
    right, left = np.s_[8:16, SIDE // 2 + 16 : -8], np.s_[:, : SIDE // 2 - 2]
    np.testing.assert_array_equal(whole[left], none[left])
    assert none[right].max() < 1e-6 and whole[right][..., 3].mean() > 0.2
    assert np.abs(half[right] - whole[right] / 2).max() < 0.05
    for t, picture in ((0.5, half), (1, none)):
        assert np.abs(picture - render_by_tensors(shells, shells.rest, turned=t)).mean() < 2e-3


@pytest.mark.parametrize("rim", [0, 1])
def test_a_turn_counts_more_against_the_photo_at_the_sides(shells: Shells, rim: float) -> None:
    """A wall that the photo shows at a cosine of 0.3, turned by 40 degrees: its pixels get twice and a half as wide,
    which is where the photo's say begins to end, and more than that at the sides."""
    slope = np.sqrt(1 / 0.3**2 - 1)
    rest, faces, layer = sheet(16, 0.05, lambda x, y: 1.1 + slope * x, SKIN)
    count = len(rest)
    across = np.array([slope, 0, -1]) / np.hypot(slope, 1)
    wall = replace(
        shells, rest=rest.astype(np.float32), faces=faces.astype(np.int32), layer=layer.astype(np.uint8),
        seen=np.ones(count, np.float32), fill=np.zeros((count, 3), np.float32), solid=np.ones(count, np.float32),
        grain=np.zeros((count, 3), np.float32), rim=np.full(count, rim, np.float32),
        thickness=np.full(count, 1e-3, np.float32), normal=np.tile(across, (count, 1)).astype(np.float32),
        planes=np.ones_like(shells.planes),
    )  # fmt: skip
    moved = max((turned(wall.rest, a) for a in (0.7, -0.7)), key=lambda p: np.ptp(p[:, 0]))
    picture = Renderer(wall, SIDE).render(moved)[0]
    share = picture[..., 0].sum() / picture[..., 3].sum()
    assert share == pytest.approx(0.7 if rim else 1, abs=0.15)
    assert np.abs(picture - render_by_tensors(wall, moved)).mean() < 2e-3


@pytest.mark.parametrize("layer", [EYES, TEETH, CAVITY])
def test_the_photos_mouth_goes_and_its_teeth_stay(shells: Shells, layer: int) -> None:
    """Left of the middle the plane shows a tooth, right of it something of the mouth, at the lower edge neither; the
    surface looks away from the camera, which counts against the photo for skin alone."""
    planes = np.ones_like(shells.planes)
    planes[layer, :, SIDE // 2 :, 3] = 0.5
    planes[layer, SIDE // 2 + 10 :, :, 3] = 0
    inner = replace(
        shells, layer=np.where(shells.layer == SKIN, layer, shells.layer).astype(np.uint8), planes=planes,
        fill=np.zeros_like(shells.fill), grain=np.zeros_like(shells.grain), normal=-shells.normal,
    )  # fmt: skip
    middle = SIDE // 2
    for presence in (1.0, 0.4, 0.0):
        rgba = Renderer(inner, SIDE).render(inner.rest, presence=presence)[0]
        assert np.abs(rgba[middle, middle - 10 : middle - 4, :3] - 1).max() < 1e-3
        assert np.abs(rgba[middle, middle + 4 : middle + 10, :3] - presence).max() < 1e-3
        assert rgba[middle + 13, middle - 4 : middle + 4, :3].max() < 1e-3
        assert rgba[middle + 13, middle, 3] > 0.999, "opaque all the same"
        assert np.abs(rgba - render_by_tensors(inner, inner.rest, presence=presence)).mean() < 2e-3
