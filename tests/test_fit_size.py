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


def test_a_size_out_of_range_is_refused() -> None:
    result = CliRunner().invoke(app, ["fit", PORTRAIT, "--size", "5000", "--json"])
    assert result.exit_code == 2 and '"shot_range"' in result.stdout


def test_a_shot_names_all_of_its_preparation() -> None:
    shot = Shot(PORTRAIT, voice=Path("v.wav"), output=Path("o.mp4"), size=1024, device="cpu", memory_mb=64)
    both = {field.name for field in dataclasses.fields(shot.fit)} & {field.name for field in dataclasses.fields(shot)}
    assert {name: getattr(shot.fit, name) for name in both} == {name: getattr(shot, name) for name in both}
