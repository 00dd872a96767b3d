"""Which portrait a sound strip gets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Load = Callable[[str], ModuleType]


@pytest.fixture
def casting(load: Load) -> ModuleType:
    return load("casting")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("anna.jpg", "anna_old.png", "Bob.JPEG", "notes.txt"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("strip", "photo"),
    [
        ("anna", "anna.jpg"), ("anna.wav", "anna.jpg"), ("anna_01.wav", "anna.jpg"), ("anna_old_2", "anna_old.png"),
        ("bob.001", "Bob.JPEG"), ("Zoe", None), ("notes", None),
    ],
)  # fmt: skip
def test_a_strip_gets_the_photo_of_its_name(casting: ModuleType, photos: Path, strip: str, photo: str | None) -> None:
    assert casting.match(strip, {}, photos) == (str(photos / photo) if photo else None)


@pytest.mark.parametrize(
    ("strip", "name"),
    [
        ("anna.wav", "anna"), ("anna.WAV", "anna"), ("clip.mp4", "clip"), ("sc010 v2.1", "sc010 v2.1"),
        ("Mr. Jones intro", "Mr. Jones intro"), ("a/b.c.ogg", "a/b.c"), ("Anna.001", "Anna.001"),
    ],
)  # fmt: skip
def test_a_name_loses_the_suffix_of_a_sound_and_no_other(casting: ModuleType, strip: str, name: str) -> None:
    assert casting.plain_name(strip) == name


def test_the_mapping_goes_first(casting: ModuleType, photos: Path) -> None:
    mapping = casting.read_mapping("# who\nanna_01.wav, old/one.png\n\nbob,seed:7\n\"a, b\", c.jpg\n", photos)
    assert mapping == {"anna_01.wav": str(photos / "old/one.png"), "bob": "seed:7", "a, b": str(photos / "c.jpg")}
    assert casting.match("anna_01.wav", mapping, photos) == str(photos / "old/one.png")
    assert casting.match("bob.wav", mapping, photos) == "seed:7"
    assert casting.match("anna", mapping, None) is None


@pytest.mark.parametrize("text", ["anna", "anna,", ",x.jpg", "a,b,c"])
def test_a_line_that_is_no_pair_is_named(casting: ModuleType, tmp_path: Path, text: str) -> None:
    with pytest.raises(Exception, match="Line 2") as caught:
        casting.read_mapping(f"ok, x.jpg\n{text}\n", tmp_path)
    assert caught.value.code == "mapping_unreadable"


def test_a_line_that_csv_refuses_is_named(casting: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="Line 2") as caught:
        casting.read_mapping(f"ok, x.jpg\n{'x' * 200_000}, y.jpg\n", tmp_path)
    assert caught.value.code == "mapping_unreadable"


def test_a_folder_that_is_locked_is_told(casting: ModuleType, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(Exception, match="Permission denied") as caught:
        casting.match("anna", {}, photos)
    assert caught.value.code == "folder_unreadable" and str(photos) in str(caught.value)
