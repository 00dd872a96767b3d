"""Avatars on disk: found again for the same inputs only, whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elocute import files
from elocute.errors import EnvironmentProblem
from elocute.inversion.avatar import MADE_HERE, Avatar, avatar_folder, avatar_key, find, remove_outdated, store
from elocute.models.store import cache_folder, models_folder

ARRAYS = {"numbers": np.arange(5.0), "small": np.zeros((2, 3), np.float16)}
MODELS = {"face": "aa", "matting": "bb"}


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_other_bytes_are_another_key(one: bytes, two: bytes) -> None:
    assert (avatar_key(one, MODELS, 512) == avatar_key(two, MODELS, 512)) == (one == two)


def test_models_and_resolution_are_part_of_the_key() -> None:
    keys = {
        avatar_key(b"photo", MODELS, 512), avatar_key(b"photo", MODELS, 1024),
        avatar_key(b"photo", MODELS | {"face": "cc"}, 512), avatar_key(b"photo", MODELS | {"more": "dd"}, 512),
        avatar_key("seed:1", MODELS, 512), avatar_key("seed:2", MODELS, 512), avatar_key(b"photo", MODELS, 512, 2.5),
    }  # fmt: skip
    assert len(keys) == 7
    assert avatar_key(b"photo", dict(reversed(MODELS.items())), 512) in keys  # their order is not
    assert all(len(key) == 32 and set(key) <= set("0123456789abcdef") for key in keys)


def test_what_was_stored_is_found(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    made = store(tmp_path / "new" / "folder", "abc", ARRAYS, {"seconds": 1.5, "notes": ["é"]})
    found = find(tmp_path / "new" / "folder", "abc")
    assert found == made and found.report == {"seconds": 1.5, "notes": ["é"]}
    for name, value in load_file(found.path).items():
        np.testing.assert_array_equal(value, ARRAYS[name])
        assert value.dtype == ARRAYS[name].dtype
    assert find(tmp_path, "abc") is None and find(tmp_path / "new" / "folder", "abd") is None


def test_what_an_older_version_made_goes_when_nobody_used_it_for_long(tmp_path: Path) -> None:
    names = {name: f"{number:032x}" for number, name in enumerate(("old", "used", "ours", "official"))}
    for name, made_by in (("old", "embedded 1"), ("used", "embedded 1"), ("ours", MADE_HERE),
                          ("official", "nerffacespeech 0")):  # fmt: skip
        store(tmp_path, names[name], ARRAYS, {}, made_by)
    store(tmp_path, "another_programs", ARRAYS, {}, "embedded 1")
    half = store(tmp_path, f"{98:032x}", ARRAYS, {}, "nerffacespeech 0")  # a run was killed before it had the report
    half.path.with_suffix(".json").unlink()
    for file in tmp_path.iterdir():
        os.utime(file, (0, 0))
    assert find(tmp_path, names["used"]) is not None
    damaged = tmp_path / f"{99:032x}.safetensors"
    damaged.write_text("none")
    os.utime(damaged, (0, 0))
    remove_outdated(tmp_path)
    kept = {*names.values(), "another_programs"} - {names["old"]}
    assert {file.name for file in tmp_path.iterdir()} == {damaged.name} | {
        f"{name}.{end}" for name in kept for end in ("json", "safetensors")
    }


def test_what_an_interrupted_fit_left_goes_when_nobody_resumed_it_for_long(tmp_path: Path) -> None:
    key = f"{7:032x}"
    old = [tmp_path / f"{key}.{stage}.safetensors" for stage in ("pivot", "tuning")]
    others = [tmp_path / f"{name}.safetensors" for name in ("my.pivot", f"{key}.other", f"{8:032x}.pivot")]
    for file in (*old, *others):
        file.write_bytes(b"arrays")
        os.utime(file, (0, 0))
    os.utime(others[-1])
    remove_outdated(tmp_path)
    assert set(tmp_path.iterdir()) == set(others)


def test_content_tells_arrays_apart(tmp_path: Path) -> None:
    other = ARRAYS | {"small": np.ones((2, 3), np.float16)}
    reshaped = ARRAYS | {"small": np.zeros((3, 2), np.float16)}
    contents = [store(tmp_path, "a", arrays, {}).content for arrays in (ARRAYS, other, reshaped, dict(ARRAYS))]
    assert len(set(contents)) == 3 and contents[0] == contents[3]


def test_no_report_without_its_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as stream:
            stream.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(EnvironmentProblem) as problem:
            store(tmp_path, "abc", ARRAYS, {})
    assert problem.value.code == "disk_full"
    assert list(tmp_path.iterdir()) == [] and find(tmp_path, "abc") is None


def test_arrays_without_a_report_are_no_avatar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that ends between the two files leaves something that the next run makes anew."""
    whole, calls = files.write_whole, []

    def once(target: Path, data: bytes) -> None:
        calls.append(target.suffix)
        if len(calls) == 2:
            raise KeyboardInterrupt
        whole(target, data)

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_whole", once)
        with pytest.raises(KeyboardInterrupt):
            store(tmp_path, "abc", ARRAYS, {})
    assert calls == [".safetensors", ".json"]
    assert find(tmp_path, "abc") is None
    store(tmp_path, "abc", ARRAYS, {"again": True})
    assert find(tmp_path, "abc").report == {"again": True}


def test_what_a_fit_left_tells_two_fits_of_one_key_apart(tmp_path: Path) -> None:
    one, again = (store(tmp_path / name, "abc", ARRAYS, {"seconds": s}) for name, s in (("one", 1), ("again", 2)))
    other = store(tmp_path / "other", "abc", ARRAYS | {"numbers": ARRAYS["numbers"] + 1e-6}, {"seconds": 1})
    assert one.content == again.content != other.content
    found = [find(tmp_path / name, "abc") for name in ("one", "again", "other")]
    assert [avatar.content for avatar in found] == [avatar.content for avatar in (one, again, other)]


def test_a_fit_that_stops_between_its_files_is_known_by_its_arrays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(tmp_path, "abc", ARRAYS, {"fit": 1})
    other = ARRAYS | {"numbers": ARRAYS["numbers"] + 1}
    expected = store(tmp_path / "elsewhere", "abc", other, {}).content

    def arrays_only(target: Path, data: bytes, whole: Any = files.write_whole) -> None:
        if target.suffix == ".json":
            raise KeyboardInterrupt
        whole(target, data)

    monkeypatch.setattr(files, "write_whole", arrays_only)
    with pytest.raises(KeyboardInterrupt):
        store(tmp_path, "abc", other, {"fit": 2})
    assert find(tmp_path, "abc").content == expected


@pytest.mark.parametrize("damage", [b"", b"{", b"[1, 2]", b"null", b"\xff\xfe\x00"])
def test_a_damaged_report_is_no_avatar(tmp_path: Path, damage: bytes) -> None:
    store(tmp_path, "abc", ARRAYS, {})
    (tmp_path / "abc.json").write_bytes(damage)
    assert find(tmp_path, "abc") is None


@pytest.mark.parametrize("keep", [0, 7, 60, -1])
def test_cut_short_arrays_are_no_avatar(tmp_path: Path, keep: int) -> None:
    made = store(tmp_path, "abc", ARRAYS, {})
    made.path.write_bytes(made.path.read_bytes()[:keep])
    assert find(tmp_path, "abc") is None
    with pytest.raises(EnvironmentProblem) as problem:
        made.field()
    assert problem.value.code == "avatar_damaged" and str(made.path) in str(problem.value)


def test_arrays_of_something_else_are_said_to_be_damaged(tmp_path: Path, example: Any) -> None:
    arrays = example.field.to_arrays()
    odd = {
        "lacks one": {name: value for name, value in arrays.items() if name != "relief.points"},
        "empty": {"camera": np.zeros(0)},
        "other shape": arrays | {"camera": np.zeros(3)},
        "fewer vertices": arrays | {"fit.offsets": arrays["fit.offsets"][:-5]},
    }
    for name, content in odd.items():
        with pytest.raises(EnvironmentProblem) as problem:
            store(tmp_path, "abc", content, {}).field()
        assert problem.value.code == "avatar_damaged", name
    with pytest.raises(EnvironmentProblem) as problem:
        Avatar("abc", tmp_path / "nothing.safetensors", {}, "").field()
    assert problem.value.code == "avatar_damaged"


def test_the_examples_report_tells_how_well_it_went(example: Any) -> None:
    told = json.loads((example.folder / f"{example.avatar.key}.json").read_text())
    assert told == example.avatar.report
    assert list(told["psnr_db"]) == ["after_pivot", "after_tuning", "before_pivot"]  # sorted, for a reader's diff
    assert told["psnr_db"]["after_tuning"] >= 33
    assert told["landmark_residual_px"]["corrected"] < 1 and told["plane_side"] == 512
    assert set(told["pose_deg"]) == {"yaw", "pitch", "roll"}


def test_the_folder_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ELOCUTE_AVATARS", str(tmp_path))
    assert avatar_folder() == tmp_path
    monkeypatch.delenv("ELOCUTE_AVATARS")
    assert avatar_folder() == cache_folder() / "avatars"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("ELOCUTE_AVATARS", "~/mine")
    assert avatar_folder() == tmp_path / "mine"


@pytest.mark.parametrize(("named", "says"), [("", "Set HOME, or .* ELOCUTE_AVATARS"), ("~/mine", "is ~/mine.* path")])
def test_a_user_without_a_home_is_told_to_name_the_folder(
    homeless: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: str, says: str
) -> None:
    monkeypatch.setenv("ELOCUTE_AVATARS", named)
    with pytest.raises(EnvironmentProblem, match=says) as problem:
        avatar_folder()
    assert problem.value.code == "home_missing"
    monkeypatch.setenv("ELOCUTE_AVATARS", str(tmp_path))
    monkeypatch.setenv("ELOCUTE_MODELS", str(tmp_path))
    assert avatar_folder() == models_folder() == tmp_path
