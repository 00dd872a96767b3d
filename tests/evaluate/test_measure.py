"""Measurements of curves whose answer is known."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elocute.evaluate import measure
from elocute.evaluate.measure import RIGID, Curves
from elocute.evaluate.observe import Observation
from elocute.portrait.face import turn_between

FPS = 25


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """In image axes (x right, y down, z away from the camera), degrees: yaw + to the viewer's right, pitch + up,
    roll + clockwise for the viewer."""
    y, p, r = np.radians([yaw, pitch, roll])
    about_y = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def face(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 60, (478, 3)) + [256, 256, 0]


def turn(first: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Degrees, by the landmarks that the yardstick takes."""
    return np.degrees(turn_between(first[RIGID], other[RIGID]))


def test_a_nose_that_moves_right_is_a_positive_yaw() -> None:
    points = face()
    nose = np.array([0.0, 0.0, -100.0])  # nearer to the camera
    assert (rotation(20, 0, 0) @ nose)[0] > 0, "yaw + is to the viewer's right"
    assert (rotation(0, 10, 0) @ nose)[1] < 0, "pitch + is up"
    assert (rotation(0, 0, 10) @ np.array([0.0, -100.0, 0.0]))[0] > 0, "roll + is clockwise"
    assert turn(points, points) == pytest.approx((0, 0, 0), abs=1e-6)


@given(st.floats(-25, 25), st.floats(-12, 12))
def test_turns_are_read_back(yaw: float, roll: float) -> None:
    points = face()
    moved = (points - 256) @ rotation(yaw, 0, roll).T * 1.2 + 300
    got = turn(points, moved)
    assert got[0] == pytest.approx(yaw, abs=0.01) and got[2] == pytest.approx(roll, abs=0.01)
    assert got[1] == pytest.approx(0, abs=1e-4)


@given(st.floats(-12, 12))
def test_pitch_is_told_with_the_measured_gain(pitch: float) -> None:
    first = face()
    points = np.stack([first, first @ rotation(0, pitch, 0).T])
    dark = np.zeros((1, 1, 3))
    seen = Observation(Fraction(FPS), 512, 512, points, np.zeros(2), np.ones(2), dark, dark)
    assert measure.curves(seen).pose[1, 1] == pytest.approx(pitch / measure.PITCH_GAIN, abs=0.01)


def line(aperture: np.ndarray, loudness: np.ndarray | None = None) -> Curves:
    n = len(aperture)
    return Curves(aperture, np.zeros((n, 3)), np.zeros(max(0, n - 2)), loudness)


@pytest.mark.parametrize("lag", [-5, 0, 3])
def test_a_late_mouth_is_found_late(lag: int) -> None:
    speech = np.abs(np.convolve(np.random.default_rng(3).normal(size=260), np.hanning(9), "same")) / 10 + 0.01
    mouth = np.log(speech[20:220] + 1e-4)
    out = measure.sound_numbers(line(mouth, speech[20 + lag : 220 + lag]))
    assert out["sync"]["lag_frames"] == lag
    assert out["sync"]["corr"] == pytest.approx(1)


def test_what_is_too_short_or_never_moves_has_no_lag() -> None:
    voice = np.abs(np.random.default_rng(5).normal(size=200)) + 0.01
    unknown = {"lag_frames": None, "corr": None, "corr_at_0": None}
    labels = np.full(1000, 10)
    for mouth in (voice[: measure.ENOUGH - 1], np.full(200, 0.1)):
        assert measure.sound_numbers(line(mouth, voice[: len(mouth)]))["sync"] == unknown
        out = measure.lip_numbers(line(mouth), labels, FPS)
        assert out["open_corr"] is out["best_corr"] is out["best_lag_frames"] is None
    enough = voice[: measure.ENOUGH]
    assert measure.sound_numbers(line(enough, enough))["sync"]["lag_frames"] is not None


def test_motion_in_silence_is_seen() -> None:
    loud = np.r_[np.ones(50), np.zeros(50)]
    wobble = np.tile([0.0, 0.1], 50)
    assert measure.sound_numbers(line(wobble, loud))["silence_motion_ratio"] == pytest.approx(1, abs=0.05)
    calm = wobble * loud
    assert measure.sound_numbers(line(calm, loud))["silence_motion_ratio"] < 0.05


def test_closures_are_counted_where_the_mouth_shuts() -> None:
    labels = np.full(400, 10)  # an open vowel
    labels[100:108] = labels[200:208] = labels[300:308] = measure.PP
    labels[350:352] = measure.PP  # 20 ms: too short to be seen
    mouth = np.full(100, 0.2)
    mouth[26] = mouth[50] = 0.0  # the third stays open
    out = measure.lip_numbers(line(mouth), labels, FPS)
    assert (out["closures"], out["seen"]) == (3, 2)
    mouth[75 - 5] = 0.0  # five frames early is not there
    assert measure.lip_numbers(line(mouth), labels, FPS)["seen"] == 2
    mouth[75 - 2] = 0.0
    assert measure.lip_numbers(line(mouth), labels, FPS)["seen"] == 3


def test_a_mouth_that_follows_the_labels_correlates() -> None:
    labels = np.repeat(np.random.default_rng(0).integers(0, 15, 80), 10)
    window = np.hanning(13) / np.hanning(13).sum()
    wanted = np.convolve(measure.OPENNESS[labels], window, "same")[:: 100 // FPS]
    out = measure.lip_numbers(line(wanted), labels, FPS)
    assert out["open_corr"] == pytest.approx(1, abs=0.01) and out["best_lag_frames"] == 0


def test_loudness_of_each_frame() -> None:
    audio = np.repeat([0.0, 0.5, 0.25], 640)  # 40 ms each
    assert measure.loudness(audio, 16000, 4, Fraction(25)) == pytest.approx([1e-6, 0.5, 0.25, 0], abs=1e-5)


def observation(n: int = 20) -> Observation:
    rng = np.random.default_rng(0)
    points = np.repeat(face()[None], n, axis=0)
    points[5] = np.nan
    points[6:, :, 0] += rng.normal(0, 0.5, (n - 6, 1))
    blink = np.zeros(n)
    blink[[3, 4, 10]] = 0.9
    low = np.full((512, 512, 3), 100, np.uint8)
    high = low.copy()
    high[200:300, 200:300] = 180  # the face moves
    high[2, 2] = 103  # and a corner of the wall a little
    return Observation(Fraction(25), 512, 512, points, blink, np.full(n, 50.0), low, high)


def test_pictures_numbers() -> None:
    seen = observation()
    out = measure.picture_numbers(seen, measure.curves(seen))
    assert out["face_rate"] == pytest.approx(19 / 20)
    assert out["blinks"] == 2 and out["blinks_per_minute"] == pytest.approx(2 / 0.8 * 60)
    assert out["sharpness"] == 50


def panned(n: int, *gaps: int) -> Observation:
    """A face that moves a pixel to the right in each frame, apart from those in which none was found."""
    points = face() + np.arange(n)[:, None, None] * [1.0, 0, 0]
    points[list(gaps)] = np.nan
    dark = np.zeros((1, 1, 3))
    return Observation(Fraction(25), 512, 512, points, np.zeros(n), np.ones(n), dark, dark)


def test_frames_without_a_face_shake_nothing() -> None:
    for gaps in ((), (5,), (0, 7, 8, 19)):
        seen = panned(20, *gaps)
        out = measure.picture_numbers(seen, measure.curves(seen))
        assert out["jitter_permille"] == pytest.approx(0, abs=1e-9), gaps
    shaken = panned(20, 5)
    shaken.landmarks[12] += [3.0, 0, 0]
    points = shaken.landmarks[:, measure.STEADY, :2]
    eyes = np.nanmean(np.linalg.norm(points[:, 0] - points[:, 3], axis=1))
    out = measure.picture_numbers(shaken, measure.curves(shaken))
    assert out["jitter_permille"] == pytest.approx(1000 * (3 + 6 + 3) / 2 / 15 / eyes)  # two axes, 15 whole triples


def test_jitter_that_no_three_frames_tell_is_left_out() -> None:
    seen = panned(8, 2, 5)
    assert "jitter_permille" not in measure.picture_numbers(seen, measure.curves(seen))


def test_only_the_wall_counts_as_background() -> None:
    seen = observation()
    narrow = np.clip((seen.landmarks - 256) * 0.1, -30, 30) + 256  # a small face leaves wall to see
    change = measure.background_change(Observation(**{**vars(seen), "landmarks": narrow}))
    assert change["max"] == 3 and change["p99"] == 0


def test_poses_are_compared_with_what_was_asked() -> None:
    asked = {"yaw": np.linspace(0, 20, 50), "pitch": np.zeros(50), "roll": np.zeros(50)}
    pose = np.stack([asked["yaw"] + 3, np.full(50, 1.0), np.linspace(0, 2, 50)], 1)  # a constant offset is no error
    out = measure.pose_numbers(Curves(np.zeros(50), pose, np.zeros(48)), asked)
    assert out["yaw"]["mae"] == pytest.approx(0) and out["pitch"]["mae"] == pytest.approx(0)
    assert out["roll"]["mae"] == pytest.approx(1)
