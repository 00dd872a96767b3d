"""What the face does: sliders, smoothing, files, without Blender."""

from __future__ import annotations

import json
import time
from array import array
from collections.abc import Callable, Generator
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from elocute.drive import build_drive
from elocute.settings import Shot
from elocute.speech import track_io
from elocute.speech.track_io import read_curves, write_curves
from elocute.values import ARKIT_NAMES, ExpressionTrack

Load = Callable[[str], ModuleType]
FRAMES = 60


@pytest.fixture
def curves(load: Load) -> ModuleType:
    return load("curves")


@pytest.fixture
def columns() -> dict[str, array]:
    random = np.random.default_rng(3)
    return {name: array("d", random.random(FRAMES).round(5).tolist()) for name in ARKIT_NAMES}


def test_blender_writes_what_the_engine_reads(curves: ModuleType) -> None:
    assert (curves.FORMAT, curves.DECIMALS) == (track_io.FORMAT, track_io.DECIMALS)


def finished(steps: Generator) -> Any:
    """What steps come to."""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        return end.value


def composed(curves: ModuleType, columns: dict[str, array], amounts: list) -> dict[str, array]:
    return finished(curves.compose(columns, amounts, 25.0))


def test_sliders_at_their_defaults_change_nothing(curves: ModuleType, columns: dict[str, array]) -> None:
    assert composed(curves, columns, [curves.Amounts()] * FRAMES) == columns


def test_each_slider_moves_its_own_units(curves: ModuleType, columns: dict[str, array]) -> None:
    for slider, units in (("expression", curves.SPEECH), ("blinks", curves.BLINKS), ("gaze", curves.GAZE)):
        out = composed(curves, columns, [curves.Amounts(**{slider: 0.5})] * FRAMES)
        for name in ARKIT_NAMES:
            assert np.allclose(out[name], np.array(columns[name]) * (0.5 if name in units else 1))
    assert sorted(curves.SPEECH + curves.BLINKS + curves.GAZE) == sorted(ARKIT_NAMES)


def test_sliders_may_change_from_frame_to_frame(curves: ModuleType, columns: dict[str, array]) -> None:
    ramp = np.linspace(0, 2, FRAMES)
    out = composed(curves, columns, [curves.Amounts(expression=value) for value in ramp.tolist()])
    assert np.allclose(out["jawOpen"], np.array(columns["jawOpen"]) * ramp)


def test_smoothing_is_a_gaussian_mean(curves: ModuleType) -> None:
    impulse = array("d", [0.0] * FRAMES)
    impulse[30] = 1.0
    out = np.array(curves.smooth(impulse, [2.0] * FRAMES, range(FRAMES)))
    assert out.sum() == pytest.approx(1) and out.argmax() == 30 and np.allclose(out, out[::-1][np.r_[59, :59]])
    spread = (out * (np.arange(FRAMES) - 30) ** 2).sum() ** 0.5
    assert spread == pytest.approx(2, abs=0.05)
    flat = array("d", [0.3] * FRAMES)
    assert np.allclose(curves.smooth(flat, [5.0] * FRAMES, range(FRAMES)), 0.3), "ends are held, not faded"


def test_smoothing_leaves_blinks_quick(curves: ModuleType, columns: dict[str, array]) -> None:
    out = composed(curves, columns, [curves.Amounts(smoothing=0.2)] * FRAMES)
    assert out["eyeBlinkLeft"] == columns["eyeBlinkLeft"] and out["eyeLookInLeft"] == columns["eyeLookInLeft"]
    assert np.diff(out["jawOpen"]).std() < 0.2 * np.diff(columns["jawOpen"]).std()


def test_a_part_smoothed_with_its_surroundings_is_the_part_of_the_smoothed_whole(curves: ModuleType) -> None:
    random = np.random.default_rng(5).random(FRAMES)
    sigma = 3.0
    around = curves.reach(sigma)
    whole = curves.smooth(array("d", random), [sigma] * FRAMES, range(FRAMES))
    assert curves.smooth(array("d", random), [sigma] * FRAMES, range(25, 35)) == whole[25:35]
    low, high = 25 - around, 35 + around
    part = curves.smooth(array("d", random[low:high]), [sigma] * (high - low), range(around, around + 10))
    assert np.allclose(part, whole[25:35], atol=1e-12)


@pytest.mark.parametrize("frames", [0.0, 0.25, 1.0, -0.5, 100.0])
def test_shifted_curves_are_later(curves: ModuleType, columns: dict[str, array], frames: float) -> None:
    out = finished(curves.shifted(columns, frames))
    at = np.clip(np.arange(FRAMES) - frames, 0, FRAMES - 1)
    assert np.allclose(out["jawOpen"], np.interp(at, np.arange(FRAMES), columns["jawOpen"]))


def test_held_curves_go_on_with_their_last_value(curves: ModuleType, columns: dict[str, array]) -> None:
    assert curves.held(columns, 10)["jawOpen"] == columns["jawOpen"][:10]
    longer = curves.held(columns, FRAMES + 5)["jawOpen"]
    assert len(longer) == FRAMES + 5 and set(longer[FRAMES:]) == {columns["jawOpen"][-1]}


def test_the_engine_reads_what_is_written(curves: ModuleType, columns: dict[str, array], tmp_path: Path) -> None:
    path = tmp_path / "curves.json"
    for _ in curves.write(columns, "24000/1001", path):
        pass
    track = read_curves(path)
    assert track.fps == Fraction(24000, 1001) and track.names == ARKIT_NAMES
    assert np.allclose(track.values, np.array([columns[name] for name in ARKIT_NAMES]).T, atol=1e-5)
    assert finished(curves.read(path)) == columns
    assert [item.name for item in tmp_path.iterdir()] == ["curves.json"]


def test_ten_minutes_of_curves_take_many_short_steps(curves: ModuleType, tmp_path: Path) -> None:
    random, count = np.random.default_rng(7), 15_000
    columns = {name: array("d", random.random(count).round(5).tolist()) for name in ARKIT_NAMES}
    path = tmp_path / "curves.json"
    write_curves(ExpressionTrack(ARKIT_NAMES, np.array(list(columns.values())).T, Fraction(25)), path)
    lists = {"shift": [(0.1, 0.2)] * count, "fov_y_deg": [20.0] * count}
    amounts = [curves.Amounts(smoothing=0.5)] * count
    for steps, fewest in (
        (curves.read(path), 75), (curves.shifted(columns, 0.5), 52), (curves.write(columns, "25", path), 75),
        (curves.write_lists("25", lists, tmp_path / "poses.json"), 150),
        (curves.compose({"jawOpen": columns["jawOpen"]}, amounts, 25.0), 75),
    ):  # fmt: skip
        lengths, going = [], True
        while going:
            began = time.thread_time()  # a busy machine's other programs don't count
            going = next(steps, steps) is not steps
            lengths.append(time.thread_time() - began)
        assert len(lengths) > fewest and max(lengths) < 0.05
    assert finished(curves.read(path))["jawOpen"] == columns["jawOpen"]
    assert json.loads((tmp_path / "poses.json").read_text()) == {
        "fps": "25", "shift": [[0.1, 0.2]] * count, "fov_y_deg": [20.0] * count
    }  # fmt: skip


def test_what_is_broken_off_leaves_no_file(curves: ModuleType, columns: dict[str, array], tmp_path: Path) -> None:
    (tmp_path / "curves.json").write_text("before")
    steps = curves.write({name: values * 10 for name, values in columns.items()}, "25", tmp_path / "curves.json")
    next(steps)
    steps.close()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("curves.json", "before")]


def test_eyes_that_are_kept_still_stay_still_in_the_engine(curves: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "curves.json"
    for _ in curves.write({"jawOpen": array("d", [0.5] * FRAMES)}, "25", path):
        pass
    shot = Shot(portrait="seed:7", curves=path, frames_dir=tmp_path / "frames")
    drive = build_drive(shot, np.zeros(len(ARKIT_NAMES), np.float32), "cpu")
    eyes = [i for i, name in enumerate(ARKIT_NAMES) if name.startswith(("eyeBlink", "eyeLook"))]
    assert drive.expression[:, eyes].max() <= 1.01 * curves.STILL_EYES


def test_what_is_no_curves_file_is_said(curves: ModuleType, tmp_path: Path) -> None:
    for content in ("", "[]", '{"names": ["jawOpen"], "values": [[]]}', '{"names": ["a"], "values": [\n [1, 2]\n]}'):
        (tmp_path / "x.json").write_text(content)
        with pytest.raises(Exception, match=r"x\.json is no curves file"):
            finished(curves.read(tmp_path / "x.json"))


@pytest.mark.parametrize(
    ("warning", "told"),
    [
        ("Frames 5-10: yaw beyond 45 degrees, clamped", "Frames 14-19: yaw beyond 45 degrees, clamped"),
        ("Frame 7: it is so", "Frame 16: it is so"),
        ("Frames 1, 7, 9-12, 40 and 3 more stretches: x: y", "Frames 16, 18-20 and 3 more stretches: x: y"),
        ("Frames 9-12: all", "Frames 18-20: all"), ("Frames 12-40: all", ""), ("be careful: 3", "be careful: 3"),
    ],
)  # fmt: skip
def test_warnings_name_frames_of_the_timeline(curves: ModuleType, warning: str, told: str) -> None:
    assert curves.on_timeline(warning, 10, (14, 20)) == told
