from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from elocute.errors import BadInput
from elocute.head.head_track import HeadTrack, hold_last_good, smoothed
from elocute.head.projection import rotation_from_vector

FPS = Fraction(25)


def poses(count: int, noise: float = 0.0) -> list[tuple[np.ndarray, np.ndarray]]:
    """A head that turns by 40 degrees and moves aside, seen with jitter."""
    rng = np.random.default_rng(0)
    turn = np.linspace(-0.35, 0.35, count)[:, None] * [0, 1, 0.2] + rng.normal(0, noise, (count, 3))
    aside = np.linspace(0, 1, count)[:, None] * [1, 0.5, -0.3] + rng.normal(0, noise, (count, 3))
    return [(rotation_from_vector(a), b) for a, b in zip(turn, aside, strict=True)]


def test_a_frame_without_a_pose_holds_the_last_good_one() -> None:
    given = poses(6)
    track = hold_last_good([None, given[1], None, None, given[4], given[5]], "drive")
    assert track.held == (0, 2, 3) and len(track) == 6
    for frame, source in enumerate([1, 1, 1, 1, 4, 5]):
        assert np.array_equal(track.rotations[frame], given[source][0])
        assert np.array_equal(track.translations[frame], given[source][1])
    with pytest.raises(BadInput, match=r"clip\.mp4") as refusal:
        hold_last_good([None, None], "clip.mp4")
    assert refusal.value.code == "poses_empty"


def test_smoothing_takes_the_jitter_and_leaves_the_motion() -> None:
    still, shaken = (hold_last_good(poses(100, noise), "drive") for noise in (0.0, 0.02))
    calm = smoothed(shaken, 0.12, FPS)
    for before, after, true in (
        (shaken.rotations, calm.rotations, still.rotations),
        (shaken.translations, calm.translations, still.translations),
    ):
        inside = slice(10, -10)
        assert np.abs(after - true)[inside].mean() < 0.5 * np.abs(before - true)[inside].mean()
        assert np.abs(np.diff(after, axis=0)).mean() < 0.5 * np.abs(np.diff(before, axis=0)).mean()


def test_smoothed_rotations_are_rotations() -> None:
    calm = smoothed(hold_last_good(poses(40, 0.3), "drive"), 0.2, FPS).rotations
    assert np.allclose(calm @ calm.transpose(0, 2, 1), np.eye(3)) and np.allclose(np.linalg.det(calm), 1)


def test_no_smoothing_and_a_still_head_change_nothing() -> None:
    track = hold_last_good(poses(5, 0.1), "drive")
    assert smoothed(track, 0.0, FPS) is track
    still = HeadTrack(np.repeat(track.rotations[:1], 5, 0), np.repeat(track.translations[:1], 5, 0))
    calm = smoothed(still, 3.0, FPS)
    assert np.allclose(calm.rotations, still.rotations) and np.allclose(calm.translations, still.translations)
