"""The embedded set: what a frame is known by, where avatars are kept."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from elocute.drive import Inputs
from elocute.files import Temporary
from elocute.modelsets.base import ready_cache
from elocute.modelsets.embedded import Embedded, EmbeddedPerformance
from elocute.settings import FitSettings, Shot


@pytest.fixture
def performance(example: Any) -> Any:
    """performance(**other): the example's avatar, or one that differs so, in a still shot of two frames."""

    def make(**other: Any) -> EmbeddedPerformance:
        avatar = replace(example.avatar, **other)
        shot = Shot(portrait="a.jpg", voice="a.wav", output="a.mp4", still=True, size=64)
        silence = Inputs(audio=None, curves=None, frames=2)
        return EmbeddedPerformance(avatar, shot, silence, "cpu")

    return make


def test_frames_of_another_fit_are_other_frames(performance: Any) -> None:
    """A fit made again on a GPU has the same key, and differs: its frames don't go on where the last ones stopped."""
    one, again, other = performance(), performance(report={}), performance(content="0" * 64)
    assert one.fingerprint(0) == again.fingerprint(0) != other.fingerprint(0)


def test_a_small_photo_is_told_when_the_picture_asked_for_is_larger(
    example: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = {**example.avatar.report, "notes": ["tilted"], "plane_side": 512, "photo_scale": 1.7}
    monkeypatch.setattr("elocute.modelsets.embedded._known", lambda *_: replace(example.avatar, report=about))
    (tmp_path / "a.ppm").write_bytes(b"P6 64 64 255\n" + bytes(3 * 64 * 64))
    for size, told in ((64, []), (450, []), (512, ["the photo is enlarged 1.7 times; a larger one would be sharper"])):
        settings = FitSettings(str(tmp_path / "a.ppm"), size=size)
        assert Embedded().prepare(settings.portrait, settings, print, size).report["notes"] == ["tilted", *told]


def test_what_a_killed_fit_left_half_written_goes(tmp_path: Path) -> None:
    old, new = (Temporary(tmp_path / f"{key}.safetensors").path for key in ("a" * 32, "b" * 32))
    os.utime(old, (1e9, 1e9))
    ready_cache(tmp_path)
    assert not old.exists() and new.exists()
