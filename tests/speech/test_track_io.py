import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from elocute.errors import BadInput
from elocute.speech.pose_io import read_poses
from elocute.speech.track_io import curves_and_notes, read_curves, resample, write_curves
from elocute.values import ARKIT_NAMES, BASEL_NAMES, ExpressionTrack

FPS = Fraction(24000, 1001)


def save(path, data):
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def code_of(function, *arguments):
    with pytest.raises(BadInput) as caught:
        function(*arguments)
    return caught.value.code, caught.value.message


@given(values=arrays(np.float32, st.tuples(st.integers(1, 9), st.just(52)), elements=st.floats(0, 1, width=32)))
def test_curves_survive_a_round_trip(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("curves") / "curves.json"
    write_curves(ExpressionTrack(ARKIT_NAMES, values, FPS), path)
    back = read_curves(path)
    assert back.fps == FPS and back.names == ARKIT_NAMES
    np.testing.assert_allclose(back.values, values, atol=1e-5)
    assert [item.name for item in path.parent.iterdir()] == ["curves.json"]


def test_basel_coefficients_are_read_where_they_are_understood_and_nowhere_else(tmp_path):
    values = np.random.default_rng(0).normal(0, 2, (3, 64)).astype(np.float32)
    write_curves(ExpressionTrack(BASEL_NAMES, values, FPS), tmp_path / "basel.json")
    track = read_curves(tmp_path / "basel.json", (ARKIT_NAMES, BASEL_NAMES))
    assert track.names == BASEL_NAMES
    np.testing.assert_allclose(track.values, values, atol=1e-5)
    code, says = code_of(read_curves, tmp_path / "basel.json")
    assert code == "curves_unknown_names" and "Basel" in says
    mixed = {"fps": 25, "names": ["jawOpen", "mouthLeft", BASEL_NAMES[0]], "values": [[0, 0, 0]]}
    code, says = code_of(read_curves, save(tmp_path / "mixed.json", mixed), (ARKIT_NAMES, BASEL_NAMES))
    assert code == "curves_unknown_names" and BASEL_NAMES[0] in says
    one = {"fps": 25, "names": ["jawOpen"], "values": [[1]]}
    assert read_curves(save(tmp_path / "one.json", one), (ARKIT_NAMES, BASEL_NAMES)).names == ARKIT_NAMES


def test_a_subset_in_any_order_is_enough(tmp_path):
    data = {"fps": 25, "names": ["tongueOut", "jawOpen"], "values": [[0.1, 0.5], [0, 1]]}
    track = read_curves(save(tmp_path / "c.json", data))
    assert track.values.shape == (2, 52)
    np.testing.assert_allclose(track.values[:, ARKIT_NAMES.index("jawOpen")], [0.5, 1])
    assert track.values.sum() == pytest.approx(1.6)


def test_mediapipes_neutral_column_moves_nothing(tmp_path):
    data = {"fps": 25, "names": ["_neutral", "jawOpen"], "values": [[None, 0.5], [1, 1]]}
    track, told = curves_and_notes(save(tmp_path / "c.json", data))
    np.testing.assert_allclose(track.values[:, ARKIT_NAMES.index("jawOpen")], [0.5, 1])
    assert track.values.sum() == pytest.approx(1.5) and told == ["c.json: _neutral moves nothing and is ignored"]


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        ("not json", "curves_unreadable", "not a JSON"),
        ("[1, 2]", "curves_unreadable", "object"),
        ({"fps": 25, "names": ["jawOpen"], "values": [[True]]}, "curves_unreadable", "not a number"),
        ({"fps": 25, "names": ["jawOpen"], "values": [["0.5"]]}, "curves_unreadable", "not a number"),
        ({"fps": 25, "values": [[1]]}, "curves_unreadable", "lacks names"),
        ({"format": "other-9", "fps": 25, "names": ["jawOpen"], "values": [[1]]}, "curves_unreadable", "other-9"),
        ({"fps": 25, "names": "jawOpen", "values": [[1]]}, "curves_unreadable", "names"),
        ({"fps": 25, "names": ["jawOpn"], "values": [[1]]}, "curves_unknown_names", "did you mean jawOpen?"),
        ({"fps": 25, "names": ["JAWOPEN"], "values": [[1]]}, "curves_unknown_names", "jawOpen?"),
        ({"fps": 25, "names": ["jawOpen", "jawOpen"], "values": [[1, 1]]}, "curves_shape", "more than once"),
        ({"fps": 25, "names": ["jawOpen"], "values": [[1, 2]]}, "curves_shape", "1 x 2"),
        ({"fps": 25, "names": ["jawOpen"], "values": [1, 2]}, "curves_shape", "one row a frame"),
        ({"fps": 25, "names": ["jawOpen"], "values": []}, "curves_shape", "frames x 1"),
        ({"fps": 25, "names": ["jawOpen"], "values": [[1], [1, 2]]}, "curves_shape", "differ"),
        ({"fps": 25, "names": ["jawOpen"], "values": [["a"]]}, "curves_unreadable", "number"),
        ({"fps": 25, "names": ["jawOpen"], "values": [[0], [None]]}, "curves_nan", "jawOpen at frame 2"),
        ('{"fps": 25, "names": ["jawOpen"], "values": [[NaN]]}', "curves_nan", "jawOpen at frame 1"),
        ('{"fps": 25, "names": ["jawOpen"], "values": [[Infinity]]}', "curves_nan", "jawOpen"),
        ({"fps": 25, "names": ["jawOpen"], "values": [[0.5], [-1e308]]}, "curves_nan", "frame 2 of c.json is beyond"),
    ],
)
def test_wrong_curves_are_named(tmp_path, data, code, says):
    got, message = code_of(read_curves, save(tmp_path / "c.json", data))
    assert got == code and says in message


def test_missing_files_are_named(tmp_path):
    assert code_of(read_curves, tmp_path / "no.json")[0] == "curves_missing"
    assert code_of(read_poses, tmp_path / "no.json", FPS, 3)[0] == "poses_missing"
    assert code_of(read_poses, tmp_path, FPS, 3)[0] == "poses_unreadable"


@given(
    values=arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=20), elements=st.floats(0, 1, width=32)),
    fps=st.fractions(5, 120, max_denominator=1001),
    factor=st.integers(1, 4),
)
def test_resampling_up_by_whole_factors_keeps_every_frame(values, fps, factor):
    track = ExpressionTrack(tuple(f"c{i}" for i in range(values.shape[1])), values, fps)
    more = resample(track, fps * factor, (len(values) - 1) * factor + 4)
    np.testing.assert_allclose(more.values[: (len(values) - 1) * factor + 1 : factor], values, atol=1e-6)
    np.testing.assert_allclose(more.values[-1], values[-1])
    assert more.fps == fps * factor


def test_poses_come_in_radians_at_the_videos_rate(tmp_path):
    path = save(tmp_path / "p.json", {"fps": 10, "yaw_deg": [0, 10, 20], "roll_deg": [5, 5, 5]})
    track, warnings = read_poses(path, Fraction(20), 5)
    np.testing.assert_allclose(np.degrees(track.yaw), [0, 5, 10, 15, 20], atol=1e-9)
    np.testing.assert_allclose(np.degrees(track.roll), 5)
    assert not track.pitch.any() and not warnings


def test_too_few_poses_hold_the_last_and_say_so(tmp_path):
    path = save(tmp_path / "p.json", {"fps": 25, "yaw_deg": [0, 8], "pitch_deg": [0, 1], "roll_deg": [0, 0]})
    track, warnings = read_poses(path, Fraction(25), 6)
    np.testing.assert_allclose(np.degrees(track.yaw), [0, 8, 8, 8, 8, 8])
    assert len(warnings) == 1 and "held for 4 frames" in warnings[0]


def test_poses_without_a_rate_are_one_a_frame_and_say_so(tmp_path):
    track, warnings = read_poses(save(tmp_path / "p.json", {"yaw_deg": [1, 2, 3], "note": 1}), FPS, 3)
    np.testing.assert_allclose(np.degrees(track.yaw), [1, 2, 3])
    assert any("fps" in w for w in warnings) and any("note" in w for w in warnings)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ("{", "poses_unreadable"),
        ("3", "poses_unreadable"),
        ({"fps": 25}, "poses_empty"),
        ({"fps": 25, "yaw_deg": []}, "poses_empty"),
        ({"fps": 25, "yaw_deg": 3}, "poses_unreadable"),
        ({"fps": 25, "yaw_deg": ["x"]}, "poses_unreadable"),
        ({"fps": 25, "yaw_deg": [1], "roll_deg": [1, 2]}, "poses_lengths"),
        ('{"fps": 25, "yaw_deg": [1, NaN]}', "poses_nan"),
        ({"fps": 25, "yaw_deg": [None]}, "poses_nan"),
        ({"fps": 25, "pitch_deg": [1, 400]}, "poses_range"),
    ],
)
def test_wrong_poses_are_named(tmp_path, data, code):
    assert code_of(read_poses, save(tmp_path / "p.json", data), Fraction(25), 4)[0] == code
