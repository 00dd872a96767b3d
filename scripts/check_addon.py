"""Type-checks addon/ against the stubs of several Blenders: `python scripts/check_addon.py`, part of `make lint`.

Each set of stubs gets an environment without anything else in build/types, because all of them are called `bpy`. What
the stubs can't know, or get wrong, is in EXPECTED; everything else is an error. Exit code 1 when there is one.
"""

from __future__ import annotations

import re
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "types"
STUBS = {"4.3": "20260730", "4.5": "20260730", "5.2": "20260730"}  # Blender -> release of fake-bpy-module
OPTIONS = [
    "--config-file=", "--explicit-package-bases", "--namespace-packages", "--ignore-missing-imports",
    "--check-untyped-defs", "--show-error-codes", "--no-error-summary", "--no-color-output",
    "--no-strict-optional",  # by the stubs every member of the context may be None
    # Blender's way of declaring properties, its mix-ins, and return types that name each allowed string:
    *(f"--disable-error-code={code}" for code in ("valid-type", "misc", "override", "return-value", "var-annotated")),
]  # fmt: skip
EXPECTED = [
    r'has no attribute "elocute"',  # what the extension adds to Blender's types
    r"addon/compat\.py:.*\[attr-defined\]",  # names of other versions, the purpose of that file
    r'"(PointerProperty|is_job_running)" does not return a value',  # wrong in the stubs
    r'Argument "type" to "PointerProperty"',
    r'Argument "icon" to',  # icons are chosen at run time
    r'"(Node|Attribute)" has no attribute',  # stubs name only the base class
    r'"ContextTempOverride" has no attribute|"Matrix" has no attribute "__iter__"|in \("Action"\)',
    r'Argument 1 to "Translation" of "Matrix"',
]


def python_with_stubs(blender: str) -> Path:
    """The Python of an environment that has the stubs of one Blender."""
    folder = FOLDER / blender
    program = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    wanted = f"fake-bpy-module-{blender}=={STUBS[blender]}"
    note = folder / "stubs"
    if not note.is_file() or note.read_text() != wanted:
        venv.create(folder, clear=True)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "--python", str(program)]
        subprocess.run([*pip, "install", "--no-deps", wanted], check=True)
        note.write_text(wanted)
    return program


def errors(blender: str) -> list[str]:
    """What mypy finds with the stubs of one Blender, less what is expected."""
    package = FOLDER / "extension"  # the repository's root is the package, whatever its folder is called
    if not package.exists():
        package.symlink_to(ROOT, target_is_directory=True)
    command = [sys.executable, "-m", "mypy", *OPTIONS, "--cache-dir", str(FOLDER / f"cache-{blender}"),
               "--python-executable", str(python_with_stubs(blender)), "-p", "extension.addon"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=FOLDER)
    if done.returncode not in (0, 1):
        return [done.stdout + done.stderr]
    found = [line for line in done.stdout.splitlines() if ": error: " in line]
    return [line for line in found if not any(re.search(pattern, line) for pattern in EXPECTED)]


def main() -> int:
    FOLDER.mkdir(parents=True, exist_ok=True)
    failed = False
    for blender in STUBS:
        found = errors(blender)
        failed = failed or bool(found)
        print(f"addon/ against Blender {blender}: {len(found) or 'no'} errors")
        for line in found:
            print("  " + line.removeprefix("extension/")[:300])
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
