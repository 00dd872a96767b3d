"""Builds the extension: `python scripts/build_extension.py` writes `dist/elocute-VERSION.zip` and a repository index.

Blender's own tool validates the manifest, builds the package and writes the index, so that no rule of Blender's is
repeated here. `dist/` can then be served as a repository: users add the address of its `index.json` in Blender's
preferences and get updates. The tool comes with every Blender: the one named by `--blender` (a `blender` program, or a
Python with the wheel `bpy`), else `blender` of the PATH, else one that `scripts/get_blender.py` got.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LARGEST_MB = 40  # of everything that is shipped, so that a stray video or environment doesn't leave the house
TOOL = """
import os, sys, bpy
scripts = os.path.join(bpy.utils.resource_path("LOCAL"), "scripts")
sys.stdout.write(scripts); sys.stdout.flush(); os._exit(0)  # some versions of the wheel don't end otherwise
"""


class Problem(Exception):
    """What is wrong with the package or with the tool, in a sentence."""


def candidates() -> Iterator[Path]:
    """Programs that may carry Blender's extension tool, best first."""
    if named := shutil.which("blender"):
        yield Path(named)
    blenders = Path(os.environ.get("ELOCUTE_BLENDERS") or ROOT / "build" / "blenders")
    yield from sorted(blenders.glob("*/bin/python"), reverse=True)
    yield from sorted(blenders.glob("*/blender"))


def find_tool(named: Path | None) -> list[str]:
    """The command that the tool's own arguments are added to. Raises Problem when no Blender is there."""
    for program in [named] if named else candidates():
        if not program.name.startswith("python"):
            return [str(program), "--factory-startup", "--command", "extension"]
        found = subprocess.run([str(program), "-c", TOOL], capture_output=True, text=True, env=_environment())
        tool = Path(found.stdout.strip()) / "addons_core" / "bl_pkg" / "cli" / "blender_ext.py"
        if found.stdout and tool.is_file():
            return [str(program), str(tool)]
    raise Problem("no Blender to build with. Name one with --blender, or run: python scripts/get_blender.py")


def _environment() -> dict[str, str]:
    return {**os.environ, "BLENDER_USER_RESOURCES": tempfile.gettempdir()}  # none of the user's add-ons and settings


def run(tool: list[str], *arguments: str | Path) -> None:
    """One command of the tool. Raises Problem with what it said when it fails."""
    done = subprocess.run([*tool, *map(str, arguments)], capture_output=True, text=True, env=_environment())
    said = done.stdout + done.stderr
    if done.returncode or "ERROR" in said:  # some versions say so and exit with 0
        raise Problem(f"{arguments[0]} failed: {said.strip()}")


def build(into: Path, tool: list[str]) -> Path:
    """Validate, build and index. Returns the package's path; raises Problem."""
    manifest = tomllib.loads((ROOT / "blender_manifest.toml").read_text(encoding="utf-8"))
    into.mkdir(parents=True, exist_ok=True)
    package = into / f"{manifest['id']}-{manifest['version']}.zip"
    with tempfile.TemporaryDirectory(dir=into) as folder:
        made = Path(folder) / package.name
        run(tool, "validate", ROOT)
        run(tool, "build", "--source-dir", ROOT, "--output-filepath", made)
        check(made)
        run(tool, "validate", made)
        made.replace(package)
    run(tool, "server-generate", "--repo-dir", into, "--html")
    return package


def check(package: Path) -> None:
    """What Blender's validation can't know: that the engine is inside and nothing else is. Raises Problem."""
    with zipfile.ZipFile(package) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist() if not entry.is_dir()}
    needed = {"blender_manifest.toml", "__init__.py", "addon/__init__.py", "core/elocute/__init__.py", "pyproject.toml"}
    if absent := needed - set(sizes):
        raise Problem(f"not in the package: {', '.join(sorted(absent))}")
    if stray := sorted(set(sizes) - kept_files()):
        raise Problem(f"not under version control, yet in the package: {', '.join(stray)}")
    if sum(sizes.values()) > LARGEST_MB * 2**20:
        largest = max(sizes, key=lambda name: sizes[name])
        raise Problem(f"the package has more than {LARGEST_MB} MB; the largest file is {largest}")


def kept_files() -> set[str]:
    """Files of this checkout that belong to the project: tracked, or new and not ignored. All, where git is not."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    if not (shutil.which("git") and (ROOT / ".git").exists()):
        return {file.relative_to(ROOT).as_posix() for file in ROOT.rglob("*")}
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines())


def main() -> int:
    parser = argparse.ArgumentParser(description="Builds the Blender extension.")
    parser.add_argument("--blender", type=Path, help="a blender program, or a Python that can import bpy")
    parser.add_argument("--into", type=Path, default=ROOT / "dist", help="the folder of the package (%(default)s)")
    options = parser.parse_args()
    try:
        package = build(options.into, find_tool(options.blender))
    except Problem as problem:
        print(f"build_extension: {problem}", file=sys.stderr)
        return 3
    print(package)
    return 0


if __name__ == "__main__":
    sys.exit(main())
