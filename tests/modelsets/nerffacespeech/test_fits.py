"""A photo becomes an avatar of the published pipeline: once, the same again, and on from where it was stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from published_shots import PORTRAIT, frames, shot, speak

from elocute import pipeline
from elocute.errors import Cancelled
from elocute.models.store import verify
from elocute.settings import FitSettings

pytestmark = [
    pytest.mark.skipif(not verify("face"), reason="models not fetched: elocute models --fetch"),
    pytest.mark.usefixtures("official_set"),
]


def test_a_photo_is_inverted_once(second: Path, tmp_path: Path) -> None:
    job = shot(tmp_path / "f", portrait=str(PORTRAIT), voice=second, frames=(1, 2), fit_steps=(2, 2))
    speak(job)
    said = pipeline.prepare(job.portrait, job.fit, lambda message: None).report
    assert said["cached"] and said["model_set"] == "nerffacespeech"
    other = pipeline.prepare(job.portrait, FitSettings(**{**vars(job.fit), "fit_steps": (2, 1)}), lambda m: None)
    assert not other.report["cached"], "other steps, another avatar"
    assert len(frames(tmp_path / "f")) == 2


def test_other_landmarks_make_another_avatar(monkeypatch: pytest.MonkeyPatch) -> None:
    from elocute.modelsets.nerffacespeech.prepare import key_of

    settings = FitSettings(str(PORTRAIT), "cpu", "nerffacespeech")
    keys = [key_of(settings.portrait, settings)]
    monkeypatch.setattr("elocute.portrait.landmarks68.face_alignment_missing", lambda: False)
    for version in ("1.5.0", "1.6.0"):
        monkeypatch.setattr("importlib.metadata.version", lambda name, version=version: version)
        keys.append(key_of(settings.portrait, settings))
    assert len(set(keys)) == 3 and keys[-1] == key_of(settings.portrait, settings)


@pytest.mark.parametrize("stage", ["tuning", "fitting the face model"])
def test_an_interrupted_fit_goes_on_from_its_pivot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    from elocute.protocol import Message, Progress

    monkeypatch.setenv("ELOCUTE_AVATARS", str(tmp_path))
    settings = FitSettings(str(PORTRAIT), "cpu", "nerffacespeech", fit_steps=(2, 2))

    def stop(message: Message) -> None:
        if isinstance(message, Progress) and (message.message or "").startswith(stage):
            raise Cancelled

    with pytest.raises(Cancelled):
        pipeline.prepare(settings.portrait, settings, stop)
    assert len(list(tmp_path.glob("*.pivot.safetensors"))) == 1
    told: list[str] = []
    made = pipeline.prepare(settings.portrait, settings, lambda m: told.append(getattr(m, "message", None) or ""))
    assert [line.split(":")[0] for line in told if line.startswith("pivot")] == ["pivot 2 of 2"]
    assert made.report["pivot"]["steps"] == 2 and not made.report["cached"]
    assert {path.name for path in tmp_path.iterdir()} == {made.path.name, f"{made.key}.json"}


def test_the_memory_of_a_fit_reaches_the_tuning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from elocute.inversion.stylenerf import tuning

    monkeypatch.setenv("ELOCUTE_AVATARS", str(tmp_path))
    limits, tune = [], tuning.tune

    def watched(*given: Any) -> Any:
        limits.append(given[5].memory_mb)
        return tune(*given)

    monkeypatch.setattr(tuning, "tune", watched)
    monkeypatch.setattr(tuning, "least_step_mb", lambda config: 150.0)
    job = shot(tmp_path / "f", portrait=str(PORTRAIT), poses=tmp_path / "p.json", fit_steps=(1, 1), fit_memory_mb=100)
    first = pipeline.prepare(job.portrait, job.fit, lambda message: None)
    again = pipeline.prepare(job.portrait, replace(job.fit, fit_memory_mb=None), lambda message: None)
    assert any("takes about 150 MB" in note for note in first.report["notes"]), "a limit that can't be kept is told"
    assert limits == [100] and again.key == first.key, "memory is no part of who somebody is"
