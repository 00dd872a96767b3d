"""Jobs as JSON: what is written comes back, what is wrong is refused with its own code."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elocute.errors import BadInput, EnvironmentProblem
from elocute.limits import (
    EXPRESSION_SCALES,
    FIT_STEPS,
    FRAME_RATES,
    MEMORY_MB,
    SEEDS,
    SIZES,
    SMOOTHING,
    from_home,
    home,
    named_place,
    parse_fps,
    parse_frames,
    portrait_seed,
)
from elocute.settings import FROM_DRIVE, FROM_FOLLOWED, CurvesSettings, FitSettings, Shot

MINIMAL = {"portrait": "a.jpg", "voice": "v.wav", "output": "o.mp4"}
names = st.text("abcdefgh _-.é", min_size=1, max_size=12).filter(lambda text: text.strip())

shots = st.builds(
    Shot,
    portrait=st.one_of(names, st.integers(0, 2**32 - 1).map("seed:{}".format)),
    voice=names.map(Path),
    curves=st.none() | names.map(Path),
    poses=st.none() | names.map(Path),
    fps=st.fractions(1, 240, max_denominator=10**6),
    size=st.integers(64, 2048),
    background=st.sampled_from(["keep", "transparent", "#00ff7F"]),
    expression_scale=st.floats(0, 4),
    blink=st.booleans(),
    still=st.booleans(),
    frames=st.none() | st.tuples(st.integers(1, 500), st.integers(500, 900)),
    seed=st.integers(0, 2**32 - 1),
    device=st.sampled_from(["auto", "cpu", "cuda:1"]),
    output=st.just(Path("o.mp4")),
    frames_dir=st.none() | names.map(Path),
    memory_mb=st.integers(64, 65536),
)


@given(shots)
def test_a_shot_survives_the_trip_through_json(shot: Shot) -> None:
    assert Shot.from_json(json.loads(json.dumps(shot.to_json()))) == shot


def test_defaults_are_left_to_the_shot() -> None:
    shot = Shot.from_json(MINIMAL)
    assert (shot.fps, shot.size, shot.background, shot.blink, shot.frames) == (25, 512, "keep", True, None)
    assert shot.fit == FitSettings("a.jpg")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"sizes": 512}, "shot_unknown_key"),
        ({"portrait": None}, "shot_type"),
        ({"portrait": ""}, "shot_range"),
        ({"portrait": "seed:99999999999"}, "shot_range"),
        ({"portrait": "seed:-3"}, "shot_range"),
        ({"portrait": "seed:9999999999"}, "shot_range"),
        ({"voice": 3}, "shot_type"),
        ({"voice": "a\0b"}, "shot_range"),
        ({"portrait": "\ud800.jpg"}, "shot_range"),
        ({"output": "\ud800.mp4"}, "shot_range"),
        ({"fps": 0}, "shot_range"),
        ({"fps": 240.5}, "shot_range"),
        ({"fps": "1/0"}, "shot_range"),
        ({"fps": "1/٠"}, "shot_range"),
        ({"device": "cuda:١"}, "shot_range"),
        ({"fps": "-25"}, "shot_range"),
        ({"fps": "1e999999999"}, "shot_range"),
        ({"fps": True}, "shot_type"),
        ({"fps": float("nan")}, "shot_range"),
        ({"fps": [25]}, "shot_type"),
        ({"size": 63}, "shot_range"),
        ({"size": 2049}, "shot_range"),
        ({"size": 512.0}, "shot_type"),
        ({"size": None}, "shot_type"),
        ({"size": True}, "shot_type"),
        ({"background": "green"}, "shot_range"),
        ({"background": "#12345"}, "shot_range"),
        ({"expression_scale": -0.1}, "shot_range"),
        ({"expression_scale": float("inf")}, "shot_range"),
        ({"expression_scale": "1"}, "shot_type"),
        ({"blink": 1}, "shot_type"),
        ({"frames": [3]}, "shot_type"),
        ({"frames": [5, 3]}, "shot_range"),
        ({"frames": [0, 3]}, "shot_range"),
        ({"frames": [1.5, 3]}, "shot_type"),
        ({"seed": -1}, "shot_range"),
        ({"device": "gpu"}, "shot_range"),
        ({"model_set": "other"}, "shot_range"),
        ({"memory_mb": 1}, "shot_range"),
        ({"voice": None}, "shot_no_drive"),
        ({"output": None}, "shot_no_output"),
    ],
)
def test_what_is_wrong_is_refused_with_a_code_and_a_sentence(change: dict, code: str) -> None:
    if code == "seed":
        assert Shot.from_json(MINIMAL | change).portrait == change["portrait"]
        return
    with pytest.raises(BadInput) as caught:
        Shot.from_json(MINIMAL | change)
    assert caught.value.code == code
    assert caught.value.message.endswith(".") and "\n" not in caught.value.message


@pytest.mark.parametrize("data", [None, [], "x", 3])
def test_a_job_is_an_object(data: object) -> None:
    with pytest.raises(BadInput, match="JSON object"):
        Shot.from_json(data)


def test_a_missing_portrait_is_named() -> None:
    with pytest.raises(BadInput, match="'portrait'") as caught:
        Shot.from_json({"voice": "v.wav", "output": "o.mp4"})
    assert caught.value.code == "shot_missing_key"


def test_relative_paths_start_at_the_file(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    file = tmp_path / "in" / "shot.json"
    file.write_text(json.dumps(MINIMAL | {"frames_dir": "../frames", "curves": str(tmp_path / "c.json")}))
    shot = Shot.read(file)
    assert shot.portrait == str(tmp_path / "in" / "a.jpg")
    assert shot.output == tmp_path / "in" / "o.mp4"
    assert shot.frames_dir is not None and shot.frames_dir.resolve() == tmp_path / "frames"
    assert shot.curves == tmp_path / "c.json"
    for encoding in ("utf-8", "utf-8-sig"):  # with the mark that Windows likes to put before it
        file.write_text(json.dumps(MINIMAL | {"portrait": "seed:7"}), encoding=encoding)
        assert Shot.read(file).portrait == "seed:7"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "shot_not_found"),
        (b"{", "shot_not_json"),
        (b"\xff\xfe", "shot_not_json"),
        (b"[" * 100_000, "shot_not_json"),
        (b"{}" + b" " * 2**20, "shot_unreadable"),
    ],
)
def test_a_file_that_is_no_shot(tmp_path: Path, content: bytes | None, code: str) -> None:
    file = tmp_path / "shot.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadInput) as caught:
        Shot.read(file)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("given_fps", "exact"),
    [
        ("25", Fraction(25)), (25, Fraction(25)), (25.0, Fraction(25)), ("12.5", Fraction(25, 2)),
        ("23.976", Fraction(24000, 1001)), (23.98, Fraction(24000, 1001)), (24000 / 1001, Fraction(24000, 1001)),
        ("29.97", Fraction(30000, 1001)), ("59.94", Fraction(60000, 1001)), ("24000/1001", Fraction(24000, 1001)),
        ("119.88", Fraction(120000, 1001)), ("24", Fraction(24)), ("24.0", Fraction(24)), ("1", Fraction(1)),
        ("23.976023976023978", Fraction(24000, 1001)), ("29.97002997", Fraction(30000, 1001)),
        ("23.4567891", Fraction(23456789, 10**6)), (25.000000000000004, Fraction(25)),
        ("23.456789", Fraction(23456789, 10**6)), (123.456789, Fraction(123456789, 10**6)),
    ],
)  # fmt: skip
def test_frame_rates_are_exact(given_fps: str | float, exact: Fraction) -> None:
    assert parse_fps(given_fps) == exact


@given(st.fractions(1, 240, max_denominator=10**6))
def test_a_frame_rate_survives_being_written(fps: Fraction) -> None:
    assert parse_fps(str(fps)) == fps


@given(st.text(max_size=20) | st.floats() | st.integers())
def test_no_frame_rate_crashes(value: object) -> None:
    try:
        assert 1 <= parse_fps(value) <= 240  # type: ignore[arg-type]
    except BadInput as error:
        assert error.code in ("shot_range", "shot_type")


def test_frame_ranges_as_typed() -> None:
    assert parse_frames("10-40") == (10, 40)
    assert parse_frames(" 7 ") == (7, 7)
    for wrong in ("", "a-b", "3-", "-3", "1-2-3", "١-٢٣x"):
        with pytest.raises(BadInput):
            parse_frames(wrong)


def test_a_refusal_shows_what_was_typed() -> None:
    for refuse, shown in (
        (lambda: parse_frames("10-5"), "'10-5'"),
        (lambda: Shot("a.jpg", voice=Path("v.wav"), output=Path("o.mp4"), frames=(10, 5)), "'[10, 5]'"),
        (lambda: FitSettings("a.jpg", framing=9.0), "'9'"),
        (lambda: FitSettings("a.jpg", framing=4.25), "'4.25'"),
    ):
        with pytest.raises(BadInput) as caught:
            refuse()
        assert caught.value.code == "shot_range" and f"not {shown}." in caught.value.message


@pytest.mark.parametrize(
    ("name", "given", "how"),
    [
        ("portrait", "https://example.com/a.jpg", "Download it first, and name what was saved."),
        ("voice", Path("https://example.com/a.wav"), "Download it first, and name what was saved."),
        ("output", "s3://bucket/a.mp4", "Name one of this machine."),
    ],
)
def test_addresses_are_no_files(name: str, given: str | Path, how: str) -> None:
    with pytest.raises(BadInput) as caught:
        Shot(**MINIMAL | {name: given})
    assert caught.value.code == "address_not_file" and caught.value.message.endswith(how)
    assert "://" in caught.value.message


def test_seeds_and_photos_are_told_apart() -> None:
    assert portrait_seed("seed:7") == 7
    assert portrait_seed("photo.jpg") is None
    with pytest.raises(BadInput, match="seed:7"):
        portrait_seed("seed:x")


def test_the_smaller_jobs_are_as_strict() -> None:
    assert FitSettings.from_json({"portrait": "seed:3", "refit": True}).refit
    settings = CurvesSettings.from_json({"voice": "v.wav", "output": "c.json", "fps": "29.97"})
    assert CurvesSettings.from_json(settings.to_json()) == settings
    with pytest.raises(BadInput) as caught:
        CurvesSettings.from_json({"voice": "v.wav", "output": "c.json", "size": 512})
    assert caught.value.code == "shot_unknown_key"


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"size": 9000}, "Change --size, or size in the job file."),
        ({"memory_mb": 1}, "Change --memory, or memory_mb in the job file."),
        ({"poses_move": "far"}, "Change --poses-move, or poses_move in the job file."),
        ({"portrait": "seed:9999999999"}, "Change it."),
        ({"voice": ""}, "Change it."),
    ],
)
def test_a_refusal_names_the_option_and_the_key(change: dict[str, object], remedy: str) -> None:
    with pytest.raises(BadInput) as caught:
        Shot.from_json(MINIMAL | change)
    assert caught.value.message.endswith(". " + remedy)


def test_a_shot_without_output_is_told_the_options_and_the_keys() -> None:
    with pytest.raises(BadInput, match=r"-o, or output .*--frames-dir, or frames_dir "):
        Shot("a.jpg", voice=Path("v.wav"))


def test_a_job_files_paths_may_start_at_the_users_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    shot = Shot.from_json({**MINIMAL, "voice": "~/v.wav", "portrait": "~/a.jpg"}, Path("/jobs"))
    assert shot.voice == tmp_path / "v.wav" and shot.portrait == str(tmp_path / "a.jpg")
    for name in ("~", "~root.wav", "./~/v.wav"):
        assert Shot.from_json({**MINIMAL, "voice": name}, Path("/jobs")).voice == Path("/jobs") / name
    assert Shot.from_json({**MINIMAL, "voice": "~/v.wav"}).voice == tmp_path / "v.wav"  # of the worker


def test_a_job_that_starts_at_a_folder_that_is_not_known_is_told(homeless: None) -> None:
    with pytest.raises(EnvironmentProblem, match="Set HOME, or write the path out") as caught:
        Shot.from_json({**MINIMAL, "voice": "~/v.wav"}, Path("/jobs"))
    assert caught.value.code == "home_missing"


@pytest.mark.skipif(os.name == "nt", reason="HOME means nothing there")
def test_an_empty_home_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """pathlib would take the root folder for it."""
    monkeypatch.setenv("HOME", "")
    monkeypatch.setenv("ELOCUTE_AVATARS", "~/avatars")
    for ask in (lambda: home("help yourself"), lambda: named_place("ELOCUTE_AVATARS"), lambda: from_home("~/v.wav")):
        with pytest.raises(EnvironmentProblem) as caught:
            ask()
        assert caught.value.code == "home_missing"


def test_the_documented_job_is_one_and_every_key_is_documented() -> None:
    page = (Path(__file__).parents[1] / "docs" / "shot.md").read_text(encoding="utf-8")
    example = json.loads(page.split("```json")[1].split("```")[0])
    assert Shot.from_json(example).to_json().keys() >= example.keys()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| `")]
    told = {key: (values, default) for names, values, default in rows for key in re.findall(r"`(\w+)`", names)}
    fields = {field.name: field.default for field in dataclasses.fields(Shot)}
    assert told.keys() == fields.keys()
    for name, default in fields.items():
        if isinstance(default, (bool, str)):
            assert told[name][1] == f"`{json.dumps(default)}`", name
        elif isinstance(default, (int, float, Fraction)):
            assert told[name][1] == f"{float(default):g}", name
    bounds = {
        "size": SIZES, "fps": FRAME_RATES, "memory_mb": MEMORY_MB, "fit_memory_mb": MEMORY_MB, "fit_steps": FIT_STEPS,
        "seed": SEEDS, "expression_scale": EXPRESSION_SCALES, "poses_smooth": SMOOTHING,
    }  # fmt: skip
    for name, (low, high) in bounds.items():
        assert f"{int(low)} to {int(high)}" in told[name][0], name


@pytest.mark.parametrize("name", [*FROM_DRIVE, *FROM_FOLLOWED])
def test_how_a_video_is_followed_needs_one(name: str) -> None:
    value = "loop" if name == "poses_fit" else 0.5
    with pytest.raises(BadInput) as caught:
        Shot.from_json({**MINIMAL, name: value})
    assert caught.value.code == "shot_no_video"
    assert caught.value.message.startswith(f"--{name.replace('_', '-')} says how")
    assert getattr(Shot.from_json({**MINIMAL, name: value, "drive": "v.mp4"}), name) == value
    if name in FROM_FOLLOWED:
        assert getattr(Shot.from_json({**MINIMAL, name: value, "poses_from": "v.mp4"}), name) == value


@pytest.mark.parametrize("name", ["poses_smooth", "poses_move"])
def test_how_a_head_is_followed_is_not_asked_of_one_that_poses_lead(name: str) -> None:
    with pytest.raises(BadInput) as caught:
        Shot.from_json({**MINIMAL, name: 0.5, "drive": "v.mp4", "poses": "p.json"})
    assert caught.value.code == "shot_no_video"


def test_a_misspelt_setting_is_answered_with_the_one_that_was_meant() -> None:
    for wrong, meant in (("backgroud", "background"), ("frames-dir", "frames_dir")):
        with pytest.raises(BadInput, match=f"did you mean {meant}"):
            Shot.from_json(MINIMAL | {wrong: "x"})
    with pytest.raises(BadInput, match="unknown setting 'zzz'. Known"):
        Shot.from_json(MINIMAL | {"zzz": 1})
    with pytest.raises(BadInput, match="not text in quotes"):
        Shot.from_json(MINIMAL | {"still": "no"})
