"""What the machine can't do is refused before any work: places to write to, models, devices."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from refused_commands import PORTRAIT, VOICE, posix, told

from elocute.errors import EnvironmentProblem
from elocute.files import Temporary, check_writable, discard_all, through_link, write_all, write_whole
from elocute.inversion.avatar import ROOM
from elocute.models.store import verify
from elocute.modelsets.base import ready_cache


def test_an_output_never_replaces_its_own_input(place: Path) -> None:
    Path("voice.mp4").write_bytes(VOICE.read_bytes())
    Path("face.png").write_bytes(PORTRAIT.read_bytes())
    refused = (2, "output_is_input")
    assert told("speak", PORTRAIT, "voice.mp4", "-o", place / "voice.mp4") == refused
    assert told("speak", "face.png", VOICE, "-o", "o.mp4", "--sheet", "face.png") == refused
    assert told("curves", "voice.mp4", "-o", "voice.mp4") == refused
    assert told("evaluate", "voice.mp4", "--html", "voice.mp4") == refused
    assert Path("voice.mp4").read_bytes() == VOICE.read_bytes()


def test_a_photo_is_not_replaced_by_curves_or_a_contact_sheet(place: Path) -> None:
    Path("photo.jpg").write_bytes(PORTRAIT.read_bytes())
    Path("heads").mkdir()
    Path("heads/1.png").write_bytes(b"somebody's")
    for output in ("photo.jpg", "curves"):
        assert told("curves", VOICE, "-o", output) == (2, "output_type")
    speak = ("speak", PORTRAIT, VOICE, "-o", "o.mp4", "--sheet")
    assert told(*speak, "s.gif") == (2, "sheet_type")
    for option in ("--poses-from", "--drive"):
        assert told(*speak, "heads/1.png", option, "heads") == (2, "output_is_input")
    assert Path("photo.jpg").read_bytes() == PORTRAIT.read_bytes()


def test_places_where_nothing_can_be_written(place: Path) -> None:
    Path("file").touch()
    for output, code in (("o.avi", "output_type"), (".", "output_is_directory"), ("file/o.mp4", "output_not_a_folder")):
        assert told("speak", PORTRAIT, VOICE, "-o", output) == (2, code)
    assert told("speak", PORTRAIT, VOICE, "--frames-dir", "file") == (2, "output_not_a_folder")
    assert told("speak", PORTRAIT, VOICE, "-o", "x" * 300 + ".mp4") == (3, "file_refused")
    assert told("evaluate", VOICE, "--html", ".") == (2, "output_is_directory")


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk on which files can be made, but hold nothing."""
    monkeypatch.setattr("tempfile.TemporaryFile", lambda **options: open("/dev/full", "wb"))


needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")


@needs_full
def test_a_full_disk_is_told_before_any_work(place: Path, full: None) -> None:
    Path("text.wav").write_text("no sound, only words\n" * 50)  # which would be said first if it were decoded
    for output in (("-o", "o.mp4"), ("--frames-dir", "f/g")):
        assert told("speak", PORTRAIT, "text.wav", *output) == (3, "disk_full")
    assert told("curves", "text.wav", "-o", "c.json") == (3, "disk_full")
    assert told("head", PORTRAIT, "-o", "h/k") == (3, "disk_full")
    assert told("evaluate", "text.wav", "--html", "e.html") == (3, "disk_full")


def test_there_has_to_be_room_for_an_avatar_before_a_fit(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Small(io.BytesIO):
        def write(self, data: Any) -> int:
            if len(data) > 2**20:
                raise OSError(28, "No space left on device")
            return super().write(data)

    check_writable(place)
    monkeypatch.setattr("tempfile.TemporaryFile", lambda **options: Small())
    check_writable(place)
    with pytest.raises(EnvironmentProblem) as caught:
        ready_cache(place / "avatars", ROOM)
    assert caught.value.code == "disk_full" and not (place / "avatars").exists()
    left = place / ".0-abcdefgh.part.safetensors"
    left.touch()
    os.utime(left, (0, 0))
    with pytest.raises(EnvironmentProblem):
        ready_cache(place, ROOM)
    assert not left.exists(), "what nobody needs any more makes room first"


def test_a_folder_that_was_made_for_nothing_goes_again(place: Path) -> None:
    Path("old").mkdir()
    Temporary(place / "old" / "file").discard()
    Temporary(place / "old" / "new" / "newer" / "file").discard()
    assert Path("old").is_dir() and not Path("old/new").exists()
    other = Temporary(place / "new" / "one")
    Temporary(place / "new" / "two").discard()
    other.keep()
    other.discard()
    assert Path("new/one").exists()
    with pytest.raises(EnvironmentProblem):
        Temporary(place / "begun" / ("x" * 300) / "file")
    assert not Path("begun").exists()
    for name in ("one", "two"):
        Temporary(place / "force" / name)
    discard_all()
    assert not Path("force").exists()


def test_several_results_are_written_all_or_none(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if self.suffix == ".png":
            raise OSError(28, "No space left on device")
        return whole(self, data)

    Path("b.json").write_bytes(b"before")
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(EnvironmentProblem) as caught:
        write_all({place / "a" / "a.html": b"a", place / "b.json": b"b", place / "c.png": b"c"})
    assert caught.value.code == "disk_full" and os.listdir() == ["b.json"] and Path("b.json").read_bytes() == b"before"


def test_results_that_are_taken_back_leave_no_folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = os.replace

    def locked(source: Path, target: Path) -> None:
        if Path(target).name == "b.json":
            raise PermissionError(13, "open elsewhere")
        replace(source, target)

    monkeypatch.setattr(os, "replace", locked)
    with pytest.raises(EnvironmentProblem):
        write_all({place / "new" / name: b"" for name in ("a.json", "b.json")})
    assert not list(place.iterdir())


@posix
def test_a_link_to_nothing_is_told_before_any_work(place: Path) -> None:
    Path("dang").symlink_to("/nowhere/disk")
    Path("o.mp4").symlink_to("/nowhere/disk/o.mp4")
    refused = (3, "output_not_writable")
    assert told("curves", VOICE, "-o", "dang/c.json") == refused
    for output in ("dang/sub/o.mp4", "o.mp4"):
        assert told("speak", PORTRAIT, VOICE, "-o", output) == refused
    for folder in ("dang", "dang/frames"):
        assert told("speak", PORTRAIT, VOICE, "--frames-dir", folder) == refused
    assert told("head", PORTRAIT, "-o", "dang") == refused
    assert told("evaluate", VOICE, "--html", "dang/e.html") == refused
    with pytest.raises(EnvironmentProblem, match=r"^dang is a link to /nowhere/disk, which is not there \(not mounted"):
        check_writable(Path("dang/sub/folder"))


@posix
def test_a_link_that_was_named_leads_to_its_file_and_another_is_replaced(place: Path) -> None:
    Path("store").mkdir()
    Path("one").symlink_to("two")
    Path("two").symlink_to("store/file")
    assert through_link(Path("one")) == place.resolve() / "store" / "file", "which needn't be there yet"
    assert through_link(Path("store/file")) == Path("store/file")
    Path("video.mp4").symlink_to("store/file")
    assert through_link(Path("video.mp4")) == Path("video.mp4"), "what it leads to is no video by its name"
    Path("round").symlink_to("round")
    with pytest.raises(EnvironmentProblem):
        through_link(Path("round"))
    Path("store/file").write_bytes(b"somebody's")
    write_whole(Path("two"), b"a frame, or an avatar")
    assert Path("store/file").read_bytes() == b"somebody's" and not Path("two").is_symlink()


def test_a_name_as_long_as_names_may_be(place: Path) -> None:
    target = place / ("x" * 250 + ".json")
    write_whole(target, b"{}")
    assert target.read_bytes() == b"{}" and len(list(place.iterdir())) == 1


def test_an_avatar_that_could_not_be_kept_is_not_fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not verify("face"):
        pytest.skip("models not fetched: elocute models --fetch")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    monkeypatch.setenv("ELOCUTE_AVATARS", str(tmp_path / "file" / "avatars"))
    assert told("fit", PORTRAIT, "--device", "cpu") == (3, "cache_not_writable")


def test_models_that_are_missing_or_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ELOCUTE_AVATARS", str(tmp_path / "avatars"))
    monkeypatch.setenv("ELOCUTE_MODELS", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    commands: list[tuple[Any, ...]] = [
        ("fit", PORTRAIT, "--device", "cpu"), ("curves", VOICE, "-o", "c.json"),
        ("speak", PORTRAIT, VOICE, "-o", "o.mp4"),
    ]  # fmt: skip
    for command in commands:
        assert told(*command) == (3, "model_missing")
    for name in ("face_landmarker.task", "asr_waveform.hama"):
        (tmp_path / "models" / name).write_bytes(b"something else")
    for command in commands:
        assert told(*command) == (3, "model_hash")


def test_a_device_that_is_not_there(place: Path) -> None:
    Path("c.json").write_text('{"fps": 25, "names": ["jawOpen"], "values": [[0], [1]]}')
    command = ("speak", PORTRAIT, "--curves", "c.json", "-o", "o.mp4")
    assert told(*command, "--device", "cuda:99") == (3, "device_missing")
    Path("text.wav").write_text("no sound, only words\n" * 50)  # which would be said first if it were decoded
    assert told("curves", "text.wav", "-o", "v.json", "--device", "cuda:99") == (3, "device_missing")
    assert told(*command, "--model-set", "nerffacespeech") == (3, "model_not_imported")
