"""What drives the head: what voice, curves and poses decide, and what a seed repeats."""

from __future__ import annotations

import json
import wave
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driven_shots import VOICE, curves_file, shot

from elocute.drive import EYES, KEPT_SMILE, MOST_OF_A_UNIT, SMILES, build_drive, input_notes, read_inputs
from elocute.errors import BadInput
from elocute.models.store import verify
from elocute.values import ARKIT_NAMES, BLINK, MOUTH

OTHERS = [i for i in range(52) if i not in MOUTH and i not in EYES]
needs_voice = pytest.mark.skipif(not verify("speech_encoder"), reason="models not fetched: elocute models --fetch")


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of speech: long enough for a blink."""
    path = tmp_path_factory.mktemp("voice") / "three.wav"
    with wave.open(str(VOICE)) as source, wave.open(str(path), "wb") as target:
        target.setparams(source.getparams())
        target.writeframes(source.readframes(3 * source.getframerate()))
    return path


@pytest.fixture(scope="module")
def own() -> np.ndarray:
    """A portrait that smiles a little, with one brow up, eyes a little narrow."""
    values = np.zeros(52, np.float32)
    for name, value in {"mouthSmileLeft": 0.4, "mouthSmileRight": 0.5, "browOuterUpLeft": 0.3, "eyeSquintLeft": 0.2,
                        "jawOpen": 0.2, "eyeBlinkLeft": 0.1, "eyeBlinkRight": 0.1}.items():  # fmt: skip
        values[ARKIT_NAMES.index(name)] = value
    return values


def column(values: np.ndarray, name: str) -> np.ndarray:
    return values[:, ARKIT_NAMES.index(name)]


def poses_file(path: Path, **content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


@needs_voice
@pytest.mark.parametrize(("fps", "frames"), [(Fraction(25), 75), (Fraction(24000, 1001), 72), (Fraction(10), 30)])
def test_a_voice_gives_its_length(voice: Path, own: np.ndarray, tmp_path: Path, fps: Fraction, frames: int) -> None:
    drive = build_drive(shot(tmp_path, voice=voice, fps=fps), own, "cpu")
    assert len(drive) == frames
    assert drive.expression.shape == (frames, 52) and drive.expression.dtype == np.float32
    assert drive.poses.shape == (frames, 3)
    assert np.isfinite(drive.expression).all() and np.isfinite(drive.poses).all()
    assert column(drive.expression, "jawOpen").max() > 0.1


@needs_voice
def test_the_same_seed_is_the_same_drive_and_another_is_not(voice: Path, own: np.ndarray, tmp_path: Path) -> None:
    one, same, other = (build_drive(shot(tmp_path, voice=voice, seed=s), own, "cpu") for s in (3, 3, 4))
    np.testing.assert_array_equal(one.expression, same.expression)
    np.testing.assert_array_equal(one.poses, same.poses)
    assert np.abs(one.poses - other.poses).max() > 1e-3
    assert np.abs(one.expression - other.expression)[:, list(EYES)].max() > 0.1
    np.testing.assert_array_equal(one.expression[:, list(MOUTH)], other.expression[:, list(MOUTH)])  # the voice's alone


@needs_voice
def test_still_and_no_blink_are_taken_at_their_word(voice: Path, own: np.ndarray, tmp_path: Path) -> None:
    lively = build_drive(shot(tmp_path, voice=voice), own, "cpu")
    assert np.abs(lively.poses).max() > 0.005
    assert column(lively.expression, "eyeBlinkLeft").max() == 1
    calm = build_drive(shot(tmp_path, voice=voice, still=True, blink=False), own, "cpu")
    assert np.abs(calm.poses).max() == 0
    for name in ("eyeBlinkLeft", "eyeBlinkRight"):
        np.testing.assert_allclose(column(calm.expression, name), 0.1, atol=1e-6)  # the portrait's own, no blink
    np.testing.assert_array_equal(calm.expression[:, list(MOUTH)], lively.expression[:, list(MOUTH)])


@needs_voice
def test_scale_mutes_and_strengthens_the_mouth(voice: Path, own: np.ndarray, tmp_path: Path) -> None:
    mute, plain, double = (
        build_drive(shot(tmp_path, voice=voice, expression_scale=s), own, "cpu").expression for s in (0.0, 1.0, 2.0)
    )
    rest = np.zeros(52)
    rest[list(SMILES)] = KEPT_SMILE * own[list(SMILES)]
    np.testing.assert_allclose(mute[:, list(MOUTH)], np.tile(rest[list(MOUTH)], (len(mute), 1)), atol=1e-6)
    np.testing.assert_allclose(mute[:, OTHERS], np.tile(own[OTHERS], (len(mute), 1)), atol=1e-6)
    np.testing.assert_array_equal(mute[:, list(BLINK)], plain[:, list(BLINK)])  # blinks are no expression
    jaw = column(plain, "jawOpen")
    np.testing.assert_allclose(column(double, "jawOpen"), np.minimum(2 * jaw, 1.5), atol=1e-5)
    assert double.max() <= 1.5 and double[:, list(BLINK)].max() <= 1


@needs_voice
def test_what_the_photo_shows_stays_around_the_mouth(voice: Path, own: np.ndarray, tmp_path: Path) -> None:
    drive = build_drive(shot(tmp_path, voice=voice, blink=False), own, "cpu").expression
    assert (column(drive, "browOuterUpLeft") >= 0.3 - 1e-6).all()
    np.testing.assert_allclose(column(drive, "eyeSquintLeft"), 0.2, atol=1e-6)
    assert column(drive, "mouthSmileRight").min() >= KEPT_SMILE * 0.5 - 1e-6
    assert column(drive, "jawOpen").min() < 0.05  # a parted photo closes its mouth between words


@needs_voice
def test_curves_win_over_the_voice(voice: Path, own: np.ndarray, tmp_path: Path) -> None:
    frames = 75
    jaw = np.linspace(0, 1, frames).round(5).tolist()
    file = curves_file(tmp_path / "c.json", jawOpen=jaw, browInnerUp=[0.5] * frames)
    drive = build_drive(shot(tmp_path, voice=voice, curves=file), own, "cpu")
    assert len(drive) == frames
    np.testing.assert_allclose(column(drive.expression, "jawOpen"), jaw, atol=1e-6)
    brow = own[ARKIT_NAMES.index("browInnerUp")] + 0.5
    np.testing.assert_allclose(column(drive.expression, "browInnerUp"), brow, atol=1e-6)  # added to the photo's own
    silent = [i for i in MOUTH if ARKIT_NAMES[i] != "jawOpen" and i not in SMILES]
    assert drive.expression[:, silent].max() == 0  # nothing of the voice's own mouth
    np.testing.assert_allclose(column(drive.expression, "browOuterUpLeft"), 0.3, atol=1e-6)
    assert column(drive.expression, "eyeBlinkLeft").max() == 1  # nothing said about lids: they blink
    assert np.abs(drive.poses).max() > 0.005  # the head still follows the voice


def test_curves_alone_give_their_length_and_hold_nothing_back(own: np.ndarray, tmp_path: Path) -> None:
    lids = [0.0, 0.25, 0.5, 0.25, 0.0]
    file = curves_file(tmp_path / "c.json", "24000/1001", jawOpen=[0, 0.1, 0.2, 0.3, 0.4], eyeBlinkLeft=lids)
    drive = build_drive(shot(tmp_path, curves=file, fps=Fraction(24000, 1001), expression_scale=2.0), own, "cpu")
    assert len(drive) == 5
    np.testing.assert_allclose(column(drive.expression, "jawOpen"), [0, 0.2, 0.4, 0.6, 0.8], atol=1e-6)
    rest = own[ARKIT_NAMES.index("eyeBlinkLeft")]
    expected = np.clip(rest + np.array(lids), 0, 1)
    np.testing.assert_allclose(column(drive.expression, "eyeBlinkLeft"), expected, atol=1e-6)  # lids are not scaled
    assert np.abs(drive.poses).max() == 0  # no voice, no motion of its own
    mute = build_drive(shot(tmp_path, curves=file, expression_scale=0.0), own, "cpu")
    still = [i for i in MOUTH if i not in SMILES]
    assert np.abs(mute.expression[:, still]).max() == 0


@needs_voice
def test_a_voices_own_curves_make_the_same_face_as_the_voice(voice: Path, own: np.ndarray, tmp_path: Path) -> None:
    from elocute.media import load_audio
    from elocute.speech.performance import perform
    from elocute.speech.track_io import write_curves

    said = build_drive(shot(tmp_path, voice=voice), own, "cpu")
    path = tmp_path / "said.json"
    write_curves(perform(load_audio(voice), Fraction(25), len(said)), path)
    again = build_drive(shot(tmp_path, voice=voice, curves=path), own, "cpu")
    np.testing.assert_allclose(again.expression, said.expression, atol=1e-8)  # the file hardly rounds


def test_curves_are_resampled_to_the_shots_rate(own: np.ndarray, tmp_path: Path) -> None:
    file = curves_file(tmp_path / "c.json", 10, jawOpen=[0, 0.5, 1.0, 0.5, 0.0])
    drive = build_drive(shot(tmp_path, curves=file, fps=Fraction(20)), own, "cpu")
    assert len(drive) == 10
    expected = [0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25, 0, 0]
    np.testing.assert_allclose(column(drive.expression, "jawOpen"), expected, atol=1e-6)


def test_poses_drive_in_degrees_and_hold_at_the_end(own: np.ndarray, tmp_path: Path) -> None:
    lips = curves_file(tmp_path / "c.json", jawOpen=[0.0] * 8)
    file = poses_file(tmp_path / "p.json", fps=25, yaw_deg=[0, 5, 10], pitch_deg=[0, -1, -2])
    drive = build_drive(shot(tmp_path, curves=lips, poses=file), own, "cpu")
    assert len(drive) == 8
    np.testing.assert_allclose(drive.poses[:3, 0], np.radians([0, 5, 10]))
    np.testing.assert_allclose(drive.poses[3:], np.tile(np.radians([10, -2, 0]), (5, 1)))
    assert any("held for 5 frames" in told for told in drive.warnings)


def test_poses_alone_give_their_length(own: np.ndarray, tmp_path: Path) -> None:
    file = poses_file(tmp_path / "p.json", fps=50, roll_deg=[0.0] * 100)
    drive = build_drive(shot(tmp_path, poses=file), own, "cpu")
    assert len(drive) == 50 and drive.warnings == ()
    expected = np.where(np.isin(np.arange(52), MOUTH), 0, own)
    expected[list(SMILES)] = KEPT_SMILE * own[list(SMILES)]
    still = [i for i in range(52) if i not in EYES]
    np.testing.assert_allclose(drive.expression[:, still], np.tile(expected[still], (50, 1)), atol=1e-6)


def test_a_pose_file_with_a_byte_order_mark_works_without_a_voice(own: np.ndarray, tmp_path: Path) -> None:
    """Windows editors write one; with a voice the very same file was always read."""
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"fps": 25, "yaw_deg": [1.0, 2.0]}), encoding="utf-8-sig")
    assert len(build_drive(shot(tmp_path, poses=path), own, "cpu")) == 2


@pytest.mark.parametrize(
    ("text", "code"),
    [("nonsense", "poses_unreadable"), ("[1, 2]", "poses_unreadable"), ("{}", "poses_empty"), ("3", "poses_unreadable"),
     ('{"yaw_deg": []}', "poses_empty"), ('{"yaw_deg": 3}', "poses_unreadable"), ("[" * 10**5, "poses_unreadable"),
     ('{"yaw_deg": [1], "fps": 0}', "poses_fps"), ('{"yaw_deg": [1, null]}', "poses_nan"),
     ('{"yaw_deg": [1], "pitch_deg": [1, 2]}', "poses_lengths"), (None, "poses_missing")],
)  # fmt: skip
def test_a_bad_pose_file_is_said_the_same_way_with_and_without_curves(
    own: np.ndarray, tmp_path: Path, text: str | None, code: str
) -> None:
    path, lips = tmp_path / "p.json", curves_file(tmp_path / "c.json", jawOpen=[0.0])
    if text is not None:
        path.write_text(text)
    for more in ({}, {"curves": lips}):
        with pytest.raises(BadInput) as problem:
            build_drive(shot(tmp_path, poses=path, **more), own, "cpu")
        assert problem.value.code == code, more


@pytest.mark.parametrize(
    ("most", "scale", "told"),
    [
        (MOST_OF_A_UNIT, 1.0, None),
        (MOST_OF_A_UNIT + 0.1, 1.0, "1.6"),
        (3.0, 0.25, None),
        (1.0, 4.0, "4"),
    ],
)
def test_curves_beyond_what_a_face_does_are_told(
    own: np.ndarray, tmp_path: Path, most: float, scale: float, told: str | None
) -> None:
    curves = curves_file(tmp_path / "c.json", jawOpen=[0.0, most, 0.0], mouthPucker=[0.0, 0.3, 0.0])
    warnings = build_drive(shot(tmp_path, curves=curves, expression_scale=scale), own, "cpu").warnings
    assert len(warnings) == (told is not None)
    if told:
        assert f"jawOpen {told}" in warnings[0] and "1.5" in warnings[0] and "mouthPucker" not in warnings[0]


def test_curves_within_range_are_no_news_on_a_smiling_photo_nor_are_frames_that_nobody_renders(
    own: np.ndarray, tmp_path: Path
) -> None:
    smiling = own.copy()
    smiling[list(SMILES)] = 1
    name = ARKIT_NAMES[SMILES[0]]
    assert KEPT_SMILE + 1 > MOST_OF_A_UNIT
    fair = curves_file(tmp_path / "fair.json", **{name: [1.0] * 3})
    assert not build_drive(shot(tmp_path, curves=fair), smiling, "cpu").warnings
    late = curves_file(tmp_path / "late.json", jawOpen=[0.5, 0.5, 3.0])
    assert not build_drive(shot(tmp_path, curves=late, frames=(1, 2)), own, "cpu").warnings
    assert build_drive(shot(tmp_path, curves=late, frames=(2, 3)), own, "cpu").warnings


def test_of_many_curves_beyond_it_three_are_named(own: np.ndarray, tmp_path: Path) -> None:
    names = ("jawOpen", "jawLeft", "jawRight", "mouthPucker", "cheekPuff")
    curves = curves_file(tmp_path / "c.json", **{name: [2.0] for name in names})
    (told,) = build_drive(shot(tmp_path, curves=curves), own, "cpu").warnings
    assert told.endswith("and 2 more")


def test_lips_close_no_further_than_the_jaw_is_open(own: np.ndarray, tmp_path: Path) -> None:
    curves = curves_file(tmp_path / "c.json", jawOpen=[0.0, 0.4, 0.9], mouthClose=[0.8, 0.8, 0.8])
    values = build_drive(shot(tmp_path, curves=curves), own, "cpu").expression
    np.testing.assert_allclose(column(values, "mouthClose"), [0, 0.4, 0.8], atol=1e-6)


def test_a_face_that_is_asked_for_less_than_nothing_stays_at_rest(own: np.ndarray, tmp_path: Path) -> None:
    curves = curves_file(tmp_path / "c.json", jawOpen=[-0.5, 0.5], browOuterUpLeft=[-1.0, 0.2])
    values = build_drive(shot(tmp_path, curves=curves), own, "cpu").expression
    np.testing.assert_allclose(column(values, "jawOpen"), [0, 0.5], atol=1e-6)
    np.testing.assert_allclose(column(values, "browOuterUpLeft"), [0, 0.5], atol=1e-6)


@pytest.mark.parametrize(
    ("rows", "rate", "frames", "told"),
    [
        (75, 25, None, None),
        (90, 30, None, None),
        (72, "24000/1001", None, None),
        (74, 25, None, None),
        (76, 25, None, None),
        (60, 25, None, "fewer than the shot's 75 frames at 25 fps: the last row is held for 15 frames"),
        (60, 25, (1, 60), None),
        (60, 25, (50, 61), "the last row is held for 1 frame"),
        (100, 25, None, "100 rows at 25 fps, more than the shot's 75 frames at 25 fps: the rest is not used"),
        (100, 25, (1, 74), None),
    ],
)
def test_curves_of_another_length_than_the_voice_are_told(
    voice: Path, tmp_path: Path, rows: int, rate: object, frames: tuple[int, int] | None, told: str | None
) -> None:
    file = curves_file(tmp_path / "c.json", rate, jawOpen=[0.0] * rows)
    made = shot(tmp_path, voice=voice, curves=file, frames=frames)
    notes = input_notes(made, read_inputs(made))
    assert len(notes) == (told is not None)
    if told:
        assert notes[0].startswith("c.json has ") and notes[0].endswith(told)


def test_what_is_said_of_a_curves_file_reaches_the_user(tmp_path: Path) -> None:
    made = shot(tmp_path, curves=curves_file(tmp_path / "c.json", _neutral=[0.9], jawOpen=[0.5]))
    inputs = read_inputs(made)
    assert inputs.curves is not None and column(inputs.curves.values, "jawOpen") == [0.5]
    assert inputs.curves.values.sum() == 0.5
    assert input_notes(made, inputs) == ["c.json: _neutral moves nothing and is ignored"]
