"""An avatar is prepared for the size of the pictures that it is for."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from elocute import pipeline
from elocute.cli import app
from elocute.inversion.avatar import Avatar
from elocute.modelsets import embedded
from elocute.settings import Shot

PORTRAIT = str(Path(__file__).resolve().parents[1] / "examples" / "portrait.jpg")


@pytest.mark.parametrize("size", [256, 512, 1024])
def test_what_fit_prepared_is_what_a_shot_of_that_size_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    fitted: list[tuple[int, str]] = []

    def instead(portrait: str, settings: Any, side: int, key: str, report: Any) -> Avatar:
        fitted.append((side, key))
        return Avatar(key, tmp_path / key, {}, "")

    monkeypatch.setenv("ELOCUTE_AVATARS", str(tmp_path))
    monkeypatch.setattr(embedded, "_invert", instead)
    assert CliRunner().invoke(app, ["fit", PORTRAIT, "--size", str(size)]).exit_code == 0
    shot = Shot(PORTRAIT, voice=Path("v.wav"), output=Path("o.mp4"), size=size)
    pipeline.prepare(shot.portrait, shot.fit, lambda message: None)
    assert fitted[0] == fitted[1] and fitted[0][0] == max(size, 512)


@pytest.mark.parametrize(
    ("report", "size", "told"),
    [
        ({"plane_side": 512, "photo_scale": 1.4}, 512, None),
        ({"plane_side": 512, "photo_scale": 2.0}, 512, "the photo is enlarged 2.0 times"),
        ({"plane_side": 1024, "photo_scale": 0.4}, 2048, "a head keeps 1024 pixels, enlarged 2.0 times"),
        ({"plane_side": 1024}, 1024, None),
        ({"plane_side": 1024}, 2048, "a head keeps 1024 pixels, enlarged 2.0 times"),
    ],
)  # fmt: skip
def test_a_picture_larger_than_what_there_is_of_a_face_is_told(
    report: dict[str, Any], size: int, told: str | None
) -> None:
    avatar = embedded._judged(Avatar("key", Path("a"), report, ""), size)
    notes = avatar.report.get("notes", [])
    assert [note.split(";")[0].removesuffix(" here") for note in notes] == ([told] if told else [])


def test_a_size_out_of_range_is_refused() -> None:
    result = CliRunner().invoke(app, ["fit", PORTRAIT, "--size", "5000", "--json"])
    assert result.exit_code == 2 and '"shot_range"' in result.stdout


def test_a_shot_names_all_of_its_preparation() -> None:
    shot = Shot(PORTRAIT, voice=Path("v.wav"), output=Path("o.mp4"), size=1024, device="cpu", memory_mb=64)
    both = {field.name for field in dataclasses.fields(shot.fit)} & {field.name for field in dataclasses.fields(shot)}
    assert {name: getattr(shot.fit, name) for name in both} == {name: getattr(shot, name) for name in both}
