"""The person before a moving camera: what a lens, a move and a turn do to the picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from elocute.rendering.renderer import Renderer
from elocute.shooting import Shooting
from elocute.spaces import head_to_camera, placement_of, poses_against, viewer_rotation
from elocute.values import Placements, View

SIDE = 256
EYES, NOSE = (33, 263), 1  # landmarks: outer corners, tip


@pytest.fixture(scope="module")
def own(example: Any) -> np.ndarray:
    return example.scene.fit.expression


def shooting(stored: Any, background: str = "#00ff00", side: int = SIDE) -> Shooting:
    return Shooting(stored, side, background, "cpu", 256)


def pixels(stored: Any, own: np.ndarray, view: View) -> np.ndarray:
    """Where the model's landmarks are in a frame, [478, 2] pixels."""
    motion = stored.motion
    moved = motion.moved(own, (0, 0, 0), view.move)[: len(motion.rest_head)]
    focal, cx, cy = (
        v * SIDE / stored.shells.planes.shape[1] for v in (stored.shells.focal, stored.shells.cx, stored.shells.cy)
    )
    marks = motion.head.model.landmarks(moved)
    at = focal * view.zoom * marks[:, :2] / marks[:, 2:]
    return at + (cx + view.shift[0] * SIDE, cy + view.shift[1] * SIDE)


def by_matrix(stored: Any, **changes: Any) -> tuple[np.ndarray, View]:
    """Pose and view of the portrait's own placement with some of its parts changed."""
    camera = stored.fit.camera
    own = placement_of(camera)
    placed = Placements(
        changes.get("matrix", own.head_to_camera[0])[None], np.array([changes.get("fov", camera.fov_y)]), own.shift
    )
    track, told = poses_against(own, placed)
    assert not told
    return np.array([track.yaw[0], track.pitch[0], track.roll[0]]), track.views[0]


def test_the_portraits_own_placement_is_the_same_bytes(stored: Any, own: np.ndarray, speaking: np.ndarray) -> None:
    pose, view = by_matrix(stored)
    for expression in (own, speaking):
        plain = shooting(stored).frame(expression, np.zeros(3))
        np.testing.assert_array_equal(shooting(stored).frame(expression, pose, view), plain)


def test_head_or_camera_moved_the_other_way_are_the_same_bytes(stored: Any, own: np.ndarray) -> None:
    camera = np.linalg.inv(head_to_camera(stored.fit.camera))
    change = np.eye(4)
    change[:3, :3] = viewer_rotation(0.3, 0.1, -0.1)
    change[:3, 3] = 0.02, -0.1, 0.03
    by_head = np.linalg.inv(camera) @ change
    by_camera = np.linalg.inv(np.linalg.inv(change) @ camera)
    frames = [shooting(stored).frame(own, *by_matrix(stored, matrix=m)) for m in (by_head, by_camera)]
    np.testing.assert_array_equal(*frames)


def test_angles_and_matrices_agree(stored: Any, own: np.ndarray) -> None:
    flip = np.diag([1.0, -1, -1])
    angles = (0.3, -0.15, 0.2)
    matrix = head_to_camera(stored.fit.camera)
    matrix[:3, :3] = flip @ viewer_rotation(*angles) @ flip @ matrix[:3, :3]
    pose, view = by_matrix(stored, matrix=matrix)
    one, other = (shooting(stored).frame(own, p, v) for p, v in ((np.array(angles), View()), (pose, view)))
    off = np.abs(one.astype(int) - other)
    assert (off > 1).mean() < 1e-3 and off.mean() < 0.01


def test_half_the_field_of_view_shows_the_head_twice_as_large(stored: Any, own: np.ndarray) -> None:
    _, view = by_matrix(stored, fov=2 * np.arctan(np.tan(stored.fit.camera.fov_y / 2) / 2))
    assert view.zoom == pytest.approx(2, abs=1e-4)
    plain, zoomed = (pixels(stored, own, v) for v in (View(), view))
    distance = [np.linalg.norm(marks[EYES[0]] - marks[EYES[1]]) for marks in (plain, zoomed)]
    assert distance[1] / distance[0] == pytest.approx(2, abs=1e-3)
    _frames_agree_with(stored, own, View(), view)


def _frames_agree_with(stored: Any, own: np.ndarray, a: View, b: View) -> None:
    """The face in frame b is where the landmarks say, shown by warping frame a there."""
    import cv2

    one, other = (shooting(stored).frame(own, np.zeros(3), v) for v in (a, b))
    start, end = (pixels(stored, own, v)[[*EYES, NOSE]].astype(np.float32) for v in (a, b))
    warped = cv2.warpAffine(one, cv2.getAffineTransform(start, end), (SIDE, SIDE), flags=cv2.INTER_CUBIC)
    x, y = end.mean(0).round().astype(int)
    part = (slice(max(y - 20, 0), y + 20), slice(max(x - 20, 0), x + 20))
    one, other = (cv2.GaussianBlur(f[part], (0, 0), 2).astype(float) for f in (warped, other))
    assert np.abs(one - other).mean() < 4


@pytest.mark.parametrize(
    "view",
    [View(move=(0.03, 0, 0)), View(move=(0, -0.03, 0)), View(move=(0.01, 0.02, -0.4)), View(shift=(-0.1, 0.15)),
     View(move=(-0.02, 0, 0.5), zoom=1.4, shift=(0.05, 0))],
)  # fmt: skip
def test_the_person_goes_where_the_projection_says(stored: Any, own: np.ndarray, view: View) -> None:
    _frames_agree_with(stored, own, View(), view)


def person(frame: np.ndarray) -> np.ndarray:
    """Which pixels are not the green behind her."""
    return np.abs(frame.astype(int) - (0, 255, 0)).max(2) > 60


@pytest.mark.parametrize(
    ("pose", "view"),
    [((0, 0, 0), View(zoom=0.5)), ((0, 0, 0), View(zoom=0.2)), ((0, 0, 0), View(move=(0.02, -0.08, 0.1))),
     ((0.4, 0.2, 0), View(move=(0, -0.05, 0.5))), ((-0.4, -0.2, 0.3), View(zoom=0.6, shift=(0.1, -0.2)))],
)  # fmt: skip
def test_a_body_goes_on_to_the_lower_edge(stored: Any, own: np.ndarray, pose: tuple, view: View) -> None:
    """However small or high the person is: no hole between the portrait and what continues it, and no cut edge."""
    from scipy import ndimage

    seen = person(shooting(stored).frame(own, np.array(pose), view))
    names, count = ndimage.label(seen)
    largest = np.bincount(names.ravel())[1:].max()
    assert largest > 0.995 * seen.sum(), f"{count} pieces"
    holes = ndimage.binary_fill_holes(np.pad(seen, ((0, 1), (0, 0)), constant_values=True))[:-1] & ~seen
    assert holes.sum() < 40  # what shows between ear and hair
    assert 0.15 < seen[-1].mean()


def test_shoulders_end_at_a_persons_width(stored: Any, own: np.ndarray) -> None:
    view = View(zoom=0.3)
    low = np.flatnonzero(person(shooting(stored).frame(own, np.zeros(3), view))[-5])
    depth = stored.motion.joint[2]
    metres = np.ptp(low) / SIDE * stored.shells.planes.shape[1] / (stored.shells.focal * view.zoom) * depth
    assert 0.4 < metres < 0.52


def test_a_small_head_does_not_flicker(stored: Any, own: np.ndarray) -> None:
    """Moved by half a pixel, a head of half the size changes no more than one of the portrait's own size."""

    def change(zoom: float) -> float:
        frames = [shooting(stored).frame(own, np.zeros(3), View(zoom=zoom, shift=(s / SIDE, 0))) for s in (0.0, 0.5)]
        face = np.stack([f[person(f) & person(frames[0])].mean(0) for f in frames])
        pair = [f.astype(float) for f in frames]
        both = person(frames[0]) & person(frames[1])
        assert np.abs(face[0] - face[1]).max() < 6
        return float(np.abs(pair[0] - pair[1])[both].mean())

    assert change(0.5) < 1.5 * change(0.999)


def test_a_frame_does_not_depend_on_the_frames_before(stored: Any, own: np.ndarray, speaking: np.ndarray) -> None:
    running, whole = shooting(stored, "keep", 128), shooting(stored, "keep", 128)
    whole.incremental = False
    for pose, view in (
        ((0, 0, 0), View()), ((0, 0, 0), View(zoom=0.7)), ((0.2, 0, 0), View(zoom=0.7)), ((0.2, 0, 0), View()),
        ((0, 0, 0), View(move=(0.02, 0, -0.3), shift=(0.1, 0))), ((0, 0, 0), View()),
    ):  # fmt: skip
        for expression in (own, speaking):
            frame = running.frame(expression, np.array(pose), view)
            np.testing.assert_array_equal(frame, whole.frame(expression, np.array(pose), view))
    np.testing.assert_array_equal(frame, shooting(stored, "keep", 128).frame(speaking, np.zeros(3)))


@pytest.mark.slow
def test_tensors_make_nearly_the_same_frame(stored: Any, own: np.ndarray) -> None:
    by_tensors, reference = shooting(stored, "keep", 96), shooting(stored, "keep", 96)
    by_tensors.incremental = False
    by_tensors.renderer = Renderer(stored.shells, 96, "cpu:0", 256)
    view = View(move=(0.02, -0.01, 0.3), zoom=0.9, shift=(0.05, -0.1))
    a, b = (s.frame(own, np.array([0.2, 0, 0]), view).astype(int) for s in (by_tensors, reference))
    assert np.abs(a - b).mean() < 1.2 and np.quantile(np.abs(a - b), 0.98) < 12
