"""When a video and a shot differ in length or rate."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elocute.driving.follow import Followed
from elocute.driving.retime import at_shot, difference, source_times

RATES = st.sampled_from([Fraction(25), Fraction(24000, 1001), Fraction(30000, 1001), Fraction(50), Fraction(12)])


def followed(count: int, fps: Fraction | None = None) -> Followed:
    expression = np.zeros((count, 52), np.float32)
    expression[:, 0] = np.arange(count) / max(count - 1, 1)
    places = np.stack([np.arange(count), np.zeros(count), np.full(count, -2.0)], 1)
    return Followed(np.tile(np.eye(3), (count, 1, 1)), places, expression, fps)


@given(st.integers(1, 60), RATES, RATES, st.integers(1, 200), st.sampled_from(["hold", "loop", "stretch"]))
def test_no_rule_leaves_the_video_or_jumps(count: int, source: Fraction, fps: Fraction, frames: int, rule: str) -> None:
    times = source_times(count, source, fps, frames, rule)
    assert times.shape == (frames,) and times.min() >= 0 and times.max() <= count - 1
    assert times[0] == 0
    if rule != "stretch" and frames > 1:
        assert np.abs(np.diff(times)).max() <= float(source / fps) + 1e-9


def test_the_rules_do_what_they_say() -> None:
    rate = Fraction(25)
    assert source_times(4, rate, rate, 7, "hold").tolist() == [0, 1, 2, 3, 3, 3, 3]
    assert source_times(4, rate, rate, 9, "loop").tolist() == [0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert source_times(4, rate, rate, 7, "stretch").tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3]
    assert source_times(4, rate, rate, 2, "hold").tolist() == [0, 1]
    assert source_times(4, rate, Fraction(50), 5, "hold").tolist() == [0, 0.5, 1, 1.5, 2]
    assert source_times(1, rate, rate, 3, "loop").tolist() == [0, 0, 0]


def test_a_folder_has_the_shots_rate_and_a_video_its_own() -> None:
    folder = at_shot(followed(5), Fraction(24), 5, "hold", 0.0)
    np.testing.assert_allclose(folder.places[:, 0], range(5))
    video = at_shot(followed(5, Fraction(12)), Fraction(24), 9, "hold", 0.0)
    np.testing.assert_allclose(video.places[:, 0], np.arange(9) / 2)
    assert video.expression.shape == (9, 52) and video.expression.dtype == np.float32


@pytest.mark.parametrize(
    ("frames", "rule", "says"),
    [(50, "hold", None), (80, "hold", "held"), (80, "loop", "back and forth"), (80, "stretch", "stretched"),
     (20, "hold", "not used"), (20, "stretch", "compressed")],
)  # fmt: skip
def test_other_lengths_are_told(frames: int, rule: str, says: str | None) -> None:
    told = difference(followed(25, Fraction(12)), Fraction(24), frames, rule, "v.mp4")
    assert (not told) if says is None else (len(told) == 1 and says in told[0] and "v.mp4" in told[0])


@pytest.mark.parametrize(("count", "fps", "says"), [(1, 100, "has 1 frame at"), (1, 25, "has 1 frame at"),
                                                    (6, 100, "has 2 frames at")])  # fmt: skip
def test_a_picture_has_a_frame(count: int, fps: int, says: str) -> None:
    """Also one that lasts for less than one of the shot's, as a still GIF does."""
    (told,) = difference(followed(count, Fraction(fps)), Fraction(25), 50, "hold", "still.gif")
    assert says in told
