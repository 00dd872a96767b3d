from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elocute.head.model import load_head_model
from elocute.speech.coarticulation import TARGETS, blend
from elocute.speech.curves import curves_from_visemes, speech_curves
from elocute.speech.pauses import hold_in_gaps, speech_gate
from elocute.speech.visemes import VISEMES
from elocute.values import ARKIT_NAMES

# How far each viseme parts the lips, in VISEMES order: sil PP FF TH DD kk CH SS nn RR aa E ih oh ou.
OPENNESS = np.array([0, 0, 0.1, 0.2, 0.2, 0.25, 0.15, 0.1, 0.2, 0.25, 0.9, 0.6, 0.35, 0.7, 0.35])
RATES = [Fraction(12), Fraction(24000, 1001), Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(60)]


def column(track, name):
    return track.values[:, ARKIT_NAMES.index(name)]


def aperture(track):
    """How far the lips part, up to scale, in any renderer that follows ARKit."""
    parted = column(track, "mouthLowerDownLeft") + column(track, "mouthUpperUpLeft")
    return column(track, "jawOpen") + 0.15 * parted - column(track, "mouthClose")


def track_of(clip, fps):
    return curves_from_visemes(clip.probabilities, clip.level, fps, round(clip.seconds * fps))


def spoken(*sounds):
    """One-hot probabilities of (viseme, frames of 10 ms) and a constant voice level."""
    index = np.concatenate([np.full(frames, VISEMES.index(viseme)) for viseme, frames in sounds])
    return np.eye(len(VISEMES), dtype=np.float32)[index], np.full(len(index), -20, np.float32)


@pytest.mark.parametrize("fps", RATES, ids=str)
def test_every_labelled_closure_is_seen(clip, fps):
    opening = aperture(track_of(clip, fps))
    shut = opening < max(0.02, 0.12 * np.percentile(opening, 97))
    runs = np.split(np.arange(len(clip.labels)), np.flatnonzero(np.diff(clip.labels)) + 1)
    closures = [run for run in runs if clip.labels[run[0]] == VISEMES.index("PP") and len(run) >= 3]
    assert closures
    around = max(0.04, 1 / float(fps))  # seconds: the frame itself and, at high rates, the aligner's own error
    for run in closures:
        first, last = (run[0] / 100 - around) * float(fps), (run[-1] / 100 + around) * float(fps)
        assert shut[max(0, round(first)) : round(last) + 1].any(), f"p/b/m at {run[0] / 100} s stays open"


@pytest.mark.parametrize("fps", RATES, ids=str)
def test_opening_follows_the_labels_without_lag(clip, fps):
    opening = aperture(track_of(clip, fps))
    smooth = np.hanning(13) / np.hanning(13).sum()
    wanted = np.convolve(OPENNESS[clip.labels], smooth, "same")
    times = np.arange(len(opening)) / float(fps) * 100

    def match(lag):
        return np.corrcoef(opening, np.interp(times - lag, np.arange(len(wanted)), wanted))[0, 1]

    assert match(0) > 0.85
    assert abs(max(range(-12, 13), key=match)) <= 2  # 20 ms


def test_vowels_open_naturally(clip):
    """The lips of somebody who talks part by 12 to 18 mm in open vowels; who shouts, by more."""
    model = load_head_model()
    lips = model.landmark_faces[[13, 14]]
    moved = np.einsum("lv,klvx->klx", model.landmark_weights[[13, 14]], model.expression[:, model.faces[lips]])
    parted = track_of(clip, Fraction(25)).values @ (moved[:, 0] - moved[:, 1])  # [T, 3] metres
    assert 0.012 < np.percentile(np.linalg.norm(parted, axis=1), 97) < 0.018


def test_silence_is_the_neutral_mouth_held_still(jfk):
    pause = np.zeros(32000, np.float32)
    noise = np.random.default_rng(0).normal(0, 1e-4, 32000).astype(np.float32)
    for quiet in (pause, noise):
        audio = np.concatenate([quiet, jfk.audio[: 2 * 16000], quiet])
        values = speech_curves(audio, Fraction(25), 150).values
        assert values[:50].max() == 0 and values[104:].max() == 0
        assert values[50:100].max() > 0.3


def test_the_mouth_hardly_moves_where_the_voice_is_silent(jfk):
    track = track_of(jfk, Fraction(25))
    energy = np.sqrt((jfk.audio[: len(track.values) * 640].reshape(-1, 640) ** 2).mean(1))
    silent = energy < 0.02 * energy.max()
    motion = np.abs(np.diff(aperture(track)))
    assert silent.sum() > 5
    assert motion[silent[1:]].mean() < 0.05 * motion[~silent[1:]].mean()


def test_loudness_does_not_matter(clip):
    frames = round(clip.seconds * 25)
    loud = speech_curves(clip.audio, Fraction(25), frames).values
    quiet = speech_curves(clip.audio * np.float32(0.05), Fraction(25), frames).values
    np.testing.assert_allclose(quiet, loud, atol=5e-3)


def test_same_input_same_curves(jfk):
    one, two = (speech_curves(jfk.audio, Fraction(24), 264) for _ in range(2))
    assert one.names == ARKIT_NAMES and one.fps == 24
    assert one.values.dtype == np.float32 and np.array_equal(one.values, two.values)


def test_values_stay_in_range_and_speech_leaves_eyes_and_brows(clip):
    track = track_of(clip, Fraction(60))
    assert track.values.min() >= 0 and track.values.max() <= 1
    idle = [i for i, name in enumerate(ARKIT_NAMES) if name.startswith(("eye", "brow", "nose", "cheek"))]
    assert track.values[:, idle].max() == 0


def test_frames_after_the_sound_are_neutral(jfk):
    values = curves_from_visemes(jfk.probabilities, jfk.level, Fraction(25), 400).values
    assert values.shape == (400, 52) and values[280:].max() == 0


@settings(max_examples=60, deadline=None)
@given(
    lead=st.integers(20, 60),
    length=st.integers(3, 12),
    vowel=st.sampled_from(["aa", "E", "oh", "ou", "ih"]),
    fps=st.one_of(st.sampled_from(RATES), st.fractions(8, 120, max_denominator=1001)),
)
def test_a_closure_shows_in_a_full_frame_at_any_rate(lead, length, vowel, fps):
    probabilities, level = spoken((vowel, lead), ("PP", length), (vowel, 40))
    track = curves_from_visemes(probabilities, level, fps, int(len(level) / 100 * fps))
    times = np.arange(len(track.values)) / float(fps)
    inside = np.abs(times - (lead + length / 2) / 100) <= 0.5 / float(fps) + length / 200 + 0.01
    closed = (column(track, "jawOpen") == 0) & (column(track, "mouthPressLeft") > 0.3)
    assert closed[inside].any()
    assert not closed[np.abs(times - (lead + length / 2) / 100) > 0.06 + 1 / float(fps) + length / 100].any()


def test_rounded_sounds_start_early_and_end_late():
    probabilities, _ = spoken(("sil", 10), ("aa", 40), ("ou", 12), ("aa", 40))
    shapes = blend(probabilities)
    pucker, stretch = shapes["mouthPucker"], blend(spoken(("aa", 50), ("ih", 12), ("aa", 40))[0])["mouthStretch"]
    before, after = 50 - 6, 62 + 5  # 60 ms ahead, 50 ms behind
    assert pucker[before] > 0.25 * pucker.max() and pucker[after] > 0.25 * pucker.max()
    assert pucker[before] / pucker.max() > stretch[before] / stretch.max()


@pytest.mark.parametrize("tongue", ["TH", "DD", "kk", "nn"])
def test_tongue_sounds_leave_the_lips_alone(tongue):
    shapes = blend(spoken(("ou", 30), (tongue, 8), ("ou", 30))[0])
    assert shapes["mouthPucker"][30:38].min() > 0.75 * TARGETS["ou"]["mouthPucker"]
    shapes = blend(spoken(("ih", 30), (tongue, 8), ("ih", 30))[0])
    assert shapes["mouthStretch"][30:38].min() > 0.75 * TARGETS["ih"]["mouthStretch"]


def test_sibilants_narrow_the_jaw_and_f_brings_the_lip_to_the_teeth():
    shapes = blend(spoken(("aa", 30), ("SS", 10), ("aa", 30))[0])
    assert shapes["jawOpen"][35] < 0.15
    shapes = blend(spoken(("aa", 30), ("FF", 10), ("aa", 30))[0])
    assert shapes["mouthRollLower"][35] > 0.38 and shapes["jawOpen"][35] < 0.15 and shapes["mouthLowerDown"][35] < 0.04


def test_targets_name_real_curves():
    for shape in TARGETS.values():
        for name in shape:
            assert name in ARKIT_NAMES or name + "Left" in ARKIT_NAMES


def test_lips_hold_still_in_the_silence_of_a_stop_and_stay_in_place_elsewhere():
    relative = np.zeros(200, np.float32)
    relative[100:108] = -60
    position = hold_in_gaps(relative)
    assert np.ptp(position[97:107]) == 0
    np.testing.assert_allclose(position[:85], np.arange(85))
    np.testing.assert_allclose(position[118:], np.arange(118, 200))
    assert (np.diff(position) >= 0).all() and np.diff(position).max() < 2


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 30)), min_size=1, max_size=12))
def test_holding_never_turns_time_back(parts):
    relative = np.concatenate([np.r_[np.zeros(loud), np.full(quiet, -60.0)] for loud, quiet in parts])
    position = hold_in_gaps(relative)
    assert len(position) == len(relative) and (np.diff(position) >= -1e-9).all()
    assert (
        position[0] >= 0
        and position[-1] <= len(relative) - 1
        and np.abs(position - np.arange(len(relative))).max() < 16
    )


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=12))
def test_the_gate_is_shut_in_every_pause(parts):
    relative = np.concatenate([np.r_[np.zeros(loud), np.full(quiet, -60.0)] for loud, quiet in parts])
    gate = speech_gate(np.zeros(len(relative)), relative)
    at = 0
    for loud, quiet in parts:
        if quiet > 16:
            assert gate[at + loud : at + loud + quiet - 3].max() == 0
        at += loud + quiet
    assert gate.min() >= 0 and gate.max() <= 1
