"""What set-up has to know of a machine: its Pythons, its graphics card, what pip means (standard library only)."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import BadInput, EnvironmentProblem

VERSIONS = ((3, 11), (3, 13))  # of Python, as in pyproject.toml
TORCH = "torch==2.13.0"  # as in the Makefile: the version that everything was measured with
TORCH_WHEELS = "https://download.pytorch.org/whl"  # builds that pip's own index lacks: CPU only, CUDA for Windows
PROBE = (
    "import importlib.util, json, sys; print(json.dumps([sys.version_info[:2], sys.executable,"
    " all(importlib.util.find_spec(name) for name in ('venv', 'ensurepip'))]))"
)


@contextmanager
def room_for_compiled_code() -> Iterator[None]:
    """numba keeps what it compiles beside the sources or in the user's cache folder, and ends with an error where
    neither can be written (a container, a farm's shared installation): there this process has a folder of its own."""
    named = os.environ.get("LOCALAPPDATA") or os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = ""
    if not (os.environ.get("NUMBA_CACHE_DIR") or _writable(os.path.dirname(__file__)) or _writable(named)):
        with suppress(OSError):  # with no room at all, who compiles nothing can go on
            folder = os.environ["NUMBA_CACHE_DIR"] = tempfile.mkdtemp(prefix="elocute-")
    try:
        yield
    finally:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


def _writable(folder: str) -> bool:
    """Whether files can be made in a folder, or in the one where it would be made."""
    while not os.path.exists(folder) and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
    return os.path.isdir(folder) and os.access(folder, os.W_OK)


def program_of(environment: Path) -> Path:
    """The Python program of an environment's folder."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def clean_environment() -> dict[str, str]:
    """For pip and venv: the user's settings, less those that would send packages elsewhere."""
    unwanted = {"PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_REQUIRE_VIRTUALENV", "VIRTUAL_ENV"}
    kept = {key: value for key, value in os.environ.items() if key not in unwanted and not key.startswith("PYTHON")}
    return {**kept, "PYTHONUTF8": "1"}


def probe(python: Path | str) -> tuple[tuple[int, int], str, bool] | None:
    """Version, path, and whether it can make environments; None when it is no Python that starts."""
    with suppress(OSError, ValueError, subprocess.TimeoutExpired):
        answer = subprocess.run(
            [str(python), "-I", "-c", PROBE], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
        )
        version, program, able = json.loads(answer.stdout)
        return (version[0], version[1]), program, able
    return None


def find_python(named: str | None) -> str:
    """A Python to make the environment from: the named one, else this one, else another of the machine.

    Raises BadInput python_unsuitable, EnvironmentProblem python_missing.
    """
    others = [f"python3.{minor}" for minor in range(VERSIONS[1][1], VERSIONS[0][1] - 1, -1)]
    trouble = ""
    for candidate in [named] if named else [sys.executable, *others, "python3"]:
        found = probe(candidate)
        if found is None:
            trouble = trouble or f"{candidate} is no Python that starts"
        elif not VERSIONS[0] <= found[0] <= VERSIONS[1]:
            trouble = trouble or f"{candidate} is Python {found[0][0]}.{found[0][1]}, and the engine needs 3.11 to 3.13"
        elif not found[2]:
            trouble = trouble or (
                f"{candidate} can't make environments, because its ensurepip module is missing (on Debian and Ubuntu, "
                f"install python{found[0][0]}.{found[0][1]}-venv)"
            )
        else:
            return found[1]
    if named:
        raise BadInput("python_unsuitable", f"{trouble}. Choose another Python")
    raise EnvironmentProblem("python_missing", f"{trouble}. Choose a Python 3.11 to 3.13 of your own")


def has_nvidia() -> bool:
    """Whether a driver with at least one NVIDIA card answers."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return False
    with suppress(OSError, subprocess.TimeoutExpired):
        answer = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
        return answer.returncode == 0 and "GPU " in answer.stdout
    return False


def torch_arguments(choice: str, platform: str, nvidia: bool) -> list[str]:
    """What pip is given for PyTorch. pip's own index has CUDA builds for Linux and CPU builds for Windows.

    Raises BadInput torch_arguments for a choice that is none and can't be split into arguments either.
    """
    if choice not in ("auto", "cpu", "cuda"):
        return _split(choice, platform)
    if platform == "darwin":
        return [TORCH]
    if choice == "cuda" or (choice == "auto" and nvidia):
        return [TORCH] if platform != "win32" else [f"{TORCH}+cu130", "--extra-index-url", f"{TORCH_WHEELS}/cu130"]
    return [f"{TORCH}+cpu", "--extra-index-url", f"{TORCH_WHEELS}/cpu"]


def _split(text: str, platform: str) -> list[str]:
    """Arguments as a shell of the platform splits them."""
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    if platform == "win32":  # where backslashes are in every path, and apostrophes in some
        lexer.escape, lexer.quotes = "", '"'
    try:
        words = list(lexer)
    except ValueError:
        words = []
    if not words:
        example = f"{TORCH} --index-url {TORCH_WHEELS}/cpu"
        raise BadInput("torch_arguments", f"{text!r} are no arguments for pip. Write them as in: {example}")
    return words


def binaries(arguments: list[str]) -> list[str]:
    """Nothing is compiled, unless the user's own arguments say something about it."""
    return [] if any("binary" in argument for argument in arguments) else ["--only-binary", ":all:"]


def explain(lines: list[str], into: Path) -> EnvironmentProblem:
    """A failed program's output as one sentence."""
    said = "\n".join(lines)
    if re.search(r"No space left|Errno 28|not enough space", said, re.IGNORECASE):
        return EnvironmentProblem("disk_full", f"the disk of {into} is full. Free some space and try again")
    if re.search(r"ConnectionError|NewConnection|NameResolution|Max retries|ReadTimeout|ProxyError|SSLError", said):
        return EnvironmentProblem("network", "the download broke off. Check the network and set up again")
    told = [line for line in lines if line.startswith("ERROR")] or [line for line in lines if line.strip()]
    why = (told[-1] if told else "no output").removeprefix("ERROR: ").strip().rstrip(".")
    if "torch" in why and re.search(r"No matching distribution", said):
        return EnvironmentProblem("torch_missing", f"{why}. Choose another build of PyTorch, or another Python")
    return EnvironmentProblem("setup_failed", f"{why}. The log tells more")
