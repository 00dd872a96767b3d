"""Blenders to test in: those that scripts/get_blender.py got, else skipped with its reason.

ELOCUTE_BLENDERS names their folder (default build/blenders). With ELOCUTE_DEMAND_BLENDERS=1 a missing one fails.
ELOCUTE_INSIDE has more options for the pytest inside, such as "-k cancel -x".
"""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("ELOCUTE_BLENDERS") or ROOT / "build" / "blenders").absolute()
PROGRAMS = {"bpy45": "bin/python", "bpy52": "bin/python", "blender43": "blender"}
# Tested with where they are, missed by nobody: get_blender.py gets them when named.
EXTRA = {"blender52": "blender", **dict.fromkeys(("bpy42", "bpy44", "bpy50", "bpy51"), "bin/python")}
PYTEST = ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments", "py")  # plain Python, for every version
SECONDS = 1800.0  # no test process takes longer; a Blender that hangs must not take the whole run along
collect_ignore = ["inside", "window"]


@dataclass(frozen=True)
class Blender:
    """One to test in. A wheel is a Python that can `import bpy`; a program is Blender itself."""

    name: str
    program: Path

    @property
    def is_wheel(self) -> bool:
        return self.program.name == "python"

    def command(self, script: Path, *arguments: str | Path) -> list[str]:
        """Runs a script without a window; an exception in it ends with exit code 1."""
        words = [str(self.program), str(script)] if self.is_wheel else [
            str(self.program), "-b", "--python-exit-code", "1", "--python", str(script), "--"
        ]  # fmt: skip
        return [*words, *map(str, arguments)]


def there(name: str) -> bool:
    return (FOLDER / name / (PROGRAMS | EXTRA)[name]).exists()


def find(name: str) -> Blender:
    """Skips, or fails where all are demanded, when it isn't there."""
    program = FOLDER / name / (PROGRAMS | EXTRA)[name]
    if not there(name):
        note = FOLDER / f"{name}.missing"
        reason = note.read_text().strip() if note.is_file() else "run scripts/get_blender.py"
        words = f"no {name}: {reason}"
        demanded = os.environ.get("ELOCUTE_DEMAND_BLENDERS") == "1" and name in PROGRAMS
        pytest.fail(words) if demanded else pytest.skip(words)
    return Blender(name, program)


@pytest.fixture(params=[*PROGRAMS, *(name for name in EXTRA if name.startswith("bpy") and there(name))])
def blender(request: pytest.FixtureRequest) -> Blender:
    return find(request.param)


@pytest.fixture
def bpy45() -> Blender:
    """One for what is the same in all of them and takes long."""
    return find("bpy45")


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("blender")


@pytest.fixture(scope="session")
def package(shared: Path) -> Path:
    """The extension's zip, built once by Blender's own tool."""
    if not any(map(there, PROGRAMS | EXTRA)):
        find(next(iter(PROGRAMS)))
    environment = {**os.environ, "ELOCUTE_BLENDERS": str(FOLDER)}
    command = [sys.executable, str(ROOT / "scripts" / "build_extension.py"), "--into", str(shared / "dist")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.fixture(scope="session")
def libraries(shared: Path) -> Path:
    """A folder with pytest alone, for Pythons that must not see this environment's other packages."""
    folder = shared / "libraries"
    folder.mkdir()
    for name in PYTEST:
        spec = importlib.util.find_spec(name)
        assert spec and spec.origin
        if spec.submodule_search_locations:
            shutil.copytree(Path(spec.origin).parent, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(spec.origin, folder)
    return folder


def of_its_own(shared: Path) -> dict[str, str]:
    """Variables for a Blender without any settings of the user or of a test before. Its folder is always the same, so
    that numba finds there what it compiled for an extension of the same content."""
    resources = shared / "resources"
    shutil.rmtree(resources, ignore_errors=True)
    resources.mkdir()
    left_out = ("PYTHON", "BLENDER", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS")  # an engine has all cores, as a user's
    kept = {key: value for key, value in os.environ.items() if not key.startswith(left_out)}
    return {
        **kept, "BLENDER_USER_RESOURCES": str(resources), "ELOCUTE_AVATARS": str(shared / "avatars"),
        "NUMBA_CACHE_DIR": str(shared / "compiled"), "LIBGL_ALWAYS_SOFTWARE": "1",
    }  # fmt: skip


@pytest.fixture
def environment(shared: Path) -> dict[str, str]:
    """For a Blender of its own: no settings of the user, the engine of this environment, one cache of avatars."""
    return {
        **of_its_own(shared), "ELOCUTE_PYTHON": sys.executable, "ELOCUTE_EXAMPLES": str(ROOT / "examples"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip


class Inside:
    """Runs test files inside a Blender and brings their results out."""

    def __init__(self, package: Path, libraries: Path, environment: dict[str, str], folder: Path) -> None:
        self.plan = {
            "package": str(package), "libraries": str(libraries), "report": str(folder / "report.json"),
            "ini": str(folder / "pytest.ini"), "temporary": str(folder / "inside"),
            "options": shlex.split(os.environ.get("ELOCUTE_INSIDE", "")),
        }  # fmt: skip
        self.environment, self.folder = environment, folder
        (folder / "pytest.ini").write_text("[pytest]\n")

    def run(self, blender: Blender, *files: str) -> None:
        """Fails with the failures inside."""
        tests = [str(Path(__file__).parent / "inside" / name) for name in files]
        plan = self.folder / "plan.json"
        plan.write_text(json.dumps({**self.plan, "tests": tests}))
        done = subprocess.run(
            blender.command(Path(__file__).parent / "inside" / "run.py"), capture_output=True, text=True,
            timeout=SECONDS, env={**self.environment, "ELOCUTE_TEST_PLAN": str(plan)}, errors="replace",
        )  # fmt: skip
        said = f"{done.stdout}\n{done.stderr}"
        report = Path(self.plan["report"])
        assert report.is_file(), f"{blender.name} ended with {done.returncode}:\n{said[-6000:]}"
        told = json.loads(report.read_text())
        failed = [f"{name}\n{text}" for name, (outcome, _, text) in told["tests"].items() if outcome == "failed"]
        for name, (outcome, seconds, _) in told["tests"].items():
            print(f"{outcome:7} {seconds:6.2f} s  {name}")
        assert not failed, f"in Blender {told['version']}:\n" + "\n\n".join(failed)
        assert told["tests"] and done.returncode == told["code"] == 0, said[-6000:]


@pytest.fixture
def inside(package: Path, libraries: Path, environment: dict[str, str], tmp_path: Path) -> Inside:
    return Inside(package, libraries, environment, tmp_path)
