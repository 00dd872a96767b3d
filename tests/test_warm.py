"""What is kept between jobs, and when it is made anew."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elocute import pipeline
from elocute.modelsets import embedded
from elocute.settings import Shot
from elocute.warm import Latest, file_state, make_room


def test_only_the_latest_is_kept() -> None:
    made: list[str] = []
    place: Latest[str] = Latest()

    def make(what: str) -> str:
        made.append(what)
        return what

    for what in ("a", "a", "b", "a"):
        assert place.get(what, lambda what=what: make(what)) == what  # type: ignore[misc]
    assert made == ["a", "b", "a"]


def test_what_failed_is_not_kept() -> None:
    place: Latest[int] = Latest()
    place.get("old", lambda: 1)
    with pytest.raises(ZeroDivisionError):
        place.get("new", lambda: 1 // 0)
    assert place.get("new", lambda: 2) == 2


def test_what_is_made_of_a_value_goes_with_it() -> None:
    """Two avatars need not fit into memory: the old one is free before the new one is made."""
    made_of_it: Latest[list[object]] = Latest()
    place: Latest[object] = Latest(made_of_it)

    class Large:
        pass

    made_of_it.get("old", lambda: [place.get("old", Large)])
    gone = weakref.ref(place.get("old", Large))
    place.get("new", lambda: pytest.fail("still there") if gone() is not None else Large())


def test_a_fit_has_the_memory_of_what_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Latest, "_large", [])
    large: Latest[str] = Latest(large=True)
    small: Latest[str] = Latest()
    assert (large.get(1, lambda: "old"), small.get(1, lambda: "old")) == ("old", "old")
    make_room()
    assert (large.get(1, lambda: "new"), small.get(1, lambda: "new")) == ("new", "old")


def test_a_changed_file_is_another(tmp_path: Path) -> None:
    file = tmp_path / "f"
    states = [file_state(file)]
    for content in ("one", "two"):
        file.write_text(content)
        states.append(file_state(file))
        os.utime(file, ns=(1, len(states)))
    assert len(set(states)) == 3


def test_a_preview_loads_and_hears_nothing_again(
    example: Any, avatars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of two jobs renders its frame and no more, and the frame is the one that a first job makes."""
    from elocute import drive, shooting
    from elocute.generators.headfield import HeadField

    for place in (embedded._field, embedded._shooting, drive._heard, drive._said):
        monkeypatch.setattr(place, "_held", None)
    file = tmp_path / "c.json"
    file.write_text('{"fps": 25, "names": ["jawOpen"], "values": [[0], [0.4], [0.8]]}')

    def run(name: str, frame: int) -> bytes:
        shot = Shot(portrait=example.avatar.report["portrait"], curves=file, size=96, frames=(frame, frame),
                    frames_dir=tmp_path / name, device="cpu")  # fmt: skip
        pipeline.speak(shot, lambda message: None, lambda: False)
        return (tmp_path / name / f"{frame:06d}.png").read_bytes()

    run("first", 1)
    with monkeypatch.context() as patch:
        for owner, what in ((HeadField, "from_arrays"), (shooting, "Shooting")):
            patch.setattr(owner, what, lambda *a, **k: pytest.fail("made again"))
        warm = run("second", 3)
    for place in (embedded._field, embedded._shooting):
        monkeypatch.setattr(place, "_held", None)
    assert np.array_equal(run("third", 3), warm)
