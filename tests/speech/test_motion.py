from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elocute.head.eyes import look_angles
from elocute.speech.motion import blink_times, blinks, brow_curves, eye_curves, gaze, head_motion
from elocute.values import ARKIT_NAMES

RATES = [Fraction(12), Fraction(24000, 1001), Fraction(25), Fraction(60)]


def degrees(track):
    return np.degrees(np.stack([track.yaw, track.pitch, track.roll], 1))


@given(seed=st.integers(0, 2**32 - 1), seconds=st.floats(6, 300))
def test_people_blink_ten_to_twenty_five_times_a_minute(seed, seconds):
    assert 10 <= len(blink_times(seconds, seed)) * 60 / seconds <= 25


@given(seed=st.integers(0, 1000), fps=st.sampled_from(RATES), seconds=st.floats(2.6, 40))
def test_each_blink_shuts_the_eyes_and_the_ends_are_open(seed, fps, seconds):
    frames = int(seconds * fps)
    lids = blinks(frames, fps, seed)
    assert lids.shape == (frames,) and lids.min() >= 0 and lids.max() <= 1
    assert lids[0] == 0 and lids[-1] == 0
    shut = np.flatnonzero((lids[1:] == 1) & (lids[:-1] < 1))
    assert len(shut) == len(blink_times(frames / float(fps), seed)) >= 1


def test_a_blink_falls_faster_than_it_rises_and_lasts_a_third_of_a_second():
    lids = blinks(2000, Fraction(200), 4)
    on = np.flatnonzero(lids > 0)
    blink = on[: np.flatnonzero(np.diff(on) > 1)[0] + 1] if (np.diff(on) > 1).any() else on
    top = np.flatnonzero(lids[blink] == 1)
    assert 0.28 <= len(blink) / 200 <= 0.36
    assert top[0] < len(blink) - 1 - top[-1]


def test_gaze_is_small_and_returns_to_the_viewer():
    yaw, pitch = gaze(1500, Fraction(25), 3)
    assert 0.5 < np.degrees(np.abs(yaw)).max() <= 3 and np.degrees(np.abs(pitch)).max() <= 1.6
    assert yaw[0] == 0 and (yaw == 0).mean() > 0.2


def test_both_eyes_look_the_same_way():
    values = eye_curves(1500, Fraction(25), 3).values
    column = {name: values[:, i] for i, name in enumerate(ARKIT_NAMES)}
    np.testing.assert_array_equal(column["eyeLookOutLeft"], column["eyeLookInRight"])
    np.testing.assert_array_equal(column["eyeLookInLeft"], column["eyeLookOutRight"])
    assert (column["eyeLookOutLeft"] * column["eyeLookInLeft"]).max() == 0
    yaw, _ = gaze(1500, Fraction(25), 3)
    right = yaw > 0.01  # the viewer's right is the subject's left
    assert column["eyeLookOutLeft"][right].min() > 0


def test_blinks_can_be_off():
    values = eye_curves(1500, Fraction(25), 3, blink=False).values
    assert values[:, [ARKIT_NAMES.index("eyeBlinkLeft"), ARKIT_NAMES.index("eyeBlinkRight")]].max() == 0


@pytest.mark.parametrize("fps", RATES, ids=str)
def test_head_motion_is_small_smooth_and_starts_in_the_portraits_pose(clip, fps):
    for seed in range(5):
        angles = degrees(head_motion(clip.audio, fps, round(clip.seconds * fps), seed))
        assert angles[0] == pytest.approx([0, 0, 0])
        assert (np.abs(angles).max(0) <= [3, 2, 1.5]).all()
        assert np.ptp(angles[:, 0]) > 0.8 and np.ptp(angles[:, 1]) > 0.5
        speed = np.abs(np.diff(angles, axis=0)).max() * float(fps)
        assert speed < 12  # degrees a second: a lively nod, no twitch


def test_the_head_is_calm_in_silence(jfk):
    audio = np.concatenate([jfk.audio, np.zeros(10 * 16000, np.float32)])
    angles = degrees(head_motion(audio, Fraction(25), 525, 1))
    motion = np.abs(np.diff(angles, axis=0)).sum(1)
    assert motion[300:].mean() < 0.15 * motion[20:250].mean()


def test_another_frame_rate_samples_the_same_motion(jfk):
    slow, fast = (degrees(head_motion(jfk.audio, Fraction(fps), 11 * fps, 5)) for fps in (25, 50))
    np.testing.assert_allclose(fast[::2], slow, atol=0.02)


def test_seeds_differ_and_repeat(jfk):
    one, again, other = (degrees(head_motion(jfk.audio, Fraction(25), 275, seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, again) and not np.allclose(one, other, atol=0.1)
    assert np.array_equal(blinks(500, Fraction(25), 1), blinks(500, Fraction(25), 1))


def test_brows_move_a_little(jfk):
    values = brow_curves(jfk.audio, Fraction(25), 275, 0).values
    moved = {name for name, curve in zip(ARKIT_NAMES, values.T, strict=True) if curve.any()}
    assert moved == {"browInnerUp", "browOuterUpLeft", "browOuterUpRight"} and values.max() <= 0.25


def test_eyes_look_where_the_gaze_goes():
    yaw, pitch = gaze(500, Fraction(25), 3)
    assert np.ptp(yaw) > 0.02 and pitch.max() > 0.005 > -0.005 > pitch.min()
    track = eye_curves(500, Fraction(25), 3, blink=False)
    seen = np.array([look_angles(values) for values in track.values])  # [T, eye, (yaw, pitch)], yaw to their left
    for eye in (0, 1):
        np.testing.assert_allclose(seen[:, eye], np.stack([yaw, pitch], 1), atol=1e-6)
