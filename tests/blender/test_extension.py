"""The zip in Blender's hands: it installs, enables, disables and goes without a word and without a trace."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

INSIDE = Path(__file__).parent / "inside"
pytestmark = pytest.mark.slow


def test_it_comes_and_goes_without_a_word(blender: Any, package: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        blender.command(INSIDE / "lifecycle.py", package), capture_output=True, text=True, timeout=300, env=environment
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0 and "LIFECYCLE COMPLETE" in said, said
    complaints = [line for line in said.splitlines() if re.search("warn|error|policy|elocute.*deprecat", line, re.I)]
    assert not complaints, complaints
    left = list(Path(environment["BLENDER_USER_RESOURCES"]).rglob("*elocute*"))
    assert not [path for path in left if path.is_file()], left


def test_the_repository_index_names_the_package(package: Path) -> None:
    (entry,) = json.loads((package.parent / "index.json").read_text())["data"]
    assert entry["id"] == "elocute" and package.name == entry["archive_url"].removeprefix("./")
    assert entry["archive_size"] == package.stat().st_size and "network" in entry["permissions"]
    assert (package.parent / "index.html").is_file()


def test_the_engine_in_the_zip_is_whole(package: Path, tmp_path: Path) -> None:
    """The doctor of the zip's own source answers, from a folder that knows nothing of this checkout."""
    with zipfile.ZipFile(package) as archive:
        archive.extractall(tmp_path)
        names = archive.namelist()
    assert not [name for name in names if re.match(r"(tests|build|examples|benchmarks)/|.*\.whl$|\.", name)]
    documents = [name for name in names if re.match("docs/.", name)]
    assert documents == ["docs/shot.md", "docs/weights.md"], "what README and engine refer to"
    assert "scripts/render.py" in names and not [name for name in names if name.startswith("scripts/b")]
    done = subprocess.run(
        [sys.executable, "-m", "elocute", "doctor", "--json"], capture_output=True, text=True, cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "core"), "PATH": "/usr/bin:/bin", "HOME": str(Path.home())},
    )  # fmt: skip
    answer = json.loads(done.stdout.splitlines()[-1])
    heads = [check for check in answer["checks"] if check["name"] == "model head_model"]
    assert heads[0]["ok"] and str(tmp_path) in heads[0]["detail"]
