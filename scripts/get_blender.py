"""Gets Blenders to test with: `python scripts/get_blender.py [NAME ...] [--into build/blenders]`.

| name | what | how | needs |
|---|---|---|---|
| bpy45 | Blender 4.5 LTS without a window | wheel `bpy`, in an environment of its own | Python 3.11 |
| bpy52 | Blender 5.2 LTS without a window | wheel `bpy`, in an environment of its own | Python 3.13 |
| bpy42, bpy44, bpy50, bpy51 | 4.2, 4.4, 5.0, 5.1, only when named | the same | Python 3.11, 5.1: 3.13 |
| blender43 | Blender 4.3 with a window | Debian 13 in a folder, entered by chroot | Debian or Ubuntu, root |
| blender52 | Blender 5.2 with a window | Debian unstable, the same way; it moves, so only when named | the same |

Each ends as one program that runs: `INTO/bpy45/bin/python`, `INTO/blender43/blender`. What is there already is kept.
Prints a line for each, and leaves why one is missing in `INTO/NAME.missing`. Exit code 3 when one is missing.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

HOST_PACKAGES = {  # what Blender's wheels and the screen of the windowed tests need -> a file that tells it is there
    "libx11-6 libxrender1 libxxf86vm1 libxfixes3 libxi6 libxkbcommon0 libsm6 libice6 libgl1 libgomp1": "libSM.so.6",
    "xvfb": "Xvfb",
    "xdotool": "xdotool",
    "debootstrap": "debootstrap",
}
ROOT_PACKAGES = ["blender", "libgl1-mesa-dri", "libgl1", "libegl1", "python3-numpy", "python3-requests"]
UNSTABLE_PACKAGES = ["python3-cattr", "python3-zstandard"]  # Blender 5.2's own scripts import them

# Blender believes it is alone on the machine; the tests' files, the engine's Python and its models are the host's.
# So every top-level folder that is not the system's own is shown inside at its own place. The mount namespace is
# private to this process: nothing stays mounted, however it ends.
LAUNCHER = """#!/bin/sh
exec unshare --mount --propagation private sh -c '
  root=$1; shift
  for place in /*; do
    case $place in
      /bin|/boot|/dev|/etc|/lib*|/lost+found|/proc|/run|/sbin|/sys|/usr|/var) ;;
      *) if [ -d "$place" ]; then mkdir -p "$root$place" && mount --rbind "$place" "$root$place"; fi ;;
    esac
  done
  mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev"
  exec chroot "$root" /usr/bin/env --chdir="$PWD" PATH=/usr/local/bin:/usr/bin:/bin blender "$@"
' sh "$(dirname "$(readlink -f "$0")")/root" "$@"
"""


class Missing(Exception):
    """This Blender can't be had on this machine; the text says why and what would change that."""


def run(*command: str | Path, log: Path | None = None, **options: object) -> str:
    """Standard output of a command. Raises Missing with the last lines that it said when it fails."""
    if log is not None:
        with log.open("ab") as stream:
            done = subprocess.run([*map(str, command)], stdout=stream, stderr=subprocess.STDOUT, **options)  # type: ignore[call-overload]
        said = log.read_text(errors="replace")
    else:
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, **options)  # type: ignore[call-overload]
        said = done.stdout + done.stderr
    if done.returncode:
        raise Missing(f"{Path(command[0]).name} failed: {' / '.join(said.strip().splitlines()[-3:]) or 'no output'}")
    return "" if log else done.stdout


def host_packages() -> None:
    """Install what is missing of HOST_PACKAGES, where that is possible; otherwise whoever needs it will say so."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    libraries = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True).stdout
    wanted = [name for name, sign in HOST_PACKAGES.items() if not (shutil.which(sign) or sign in libraries)]
    if wanted:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        run("apt-get", "-qq", "update", env=environment)
        run("apt-get", "-qq", "install", "-y", "--no-install-recommends", *" ".join(wanted).split(), env=environment)


def find_python(version: str) -> Path:
    """A Python of exactly this version, "3.13", that can make environments. Raises Missing."""
    installed = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}"))
    named = shutil.which(f"python{version}")
    for candidate in [Path(sys.executable), *([Path(named)] if named else []), *installed]:
        probe = "import ensurepip, sys; print('%d.%d' % sys.version_info[:2])"
        answer = subprocess.run([str(candidate), "-c", probe], capture_output=True, text=True)
        if answer.stdout.strip() == version:
            return candidate
    raise Missing(f"needs Python {version} with its venv module")


def wheel(release: str, python: str, folder: Path, log: Path, *also: str) -> Path:
    """An environment with the wheel of a Blender release."""
    program = folder / "bin" / "python"
    run(find_python(python), "-m", "venv", "--clear", folder, log=log)
    run(program, "-m", "pip", "--disable-pip-version-check", "-q", "install", f"bpy=={release}", *also, log=log)
    return program


def wheel_with_old_numpy(release: str, python: str, folder: Path, log: Path) -> Path:
    """The same for a wheel that needs a NumPy before 2 and doesn't say so."""
    return wheel(release, python, folder, log, "numpy<2")


def root(suite: str, extra: list[str], folder: Path, log: Path) -> Path:
    """A small Debian with Blender in `folder`/root, and a program beside it that starts this Blender."""
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        raise Missing("needs debootstrap and root")
    debian = folder / "root"
    recipe = Path("/usr/share/debootstrap/scripts") / suite
    if not recipe.exists():  # a debootstrap older than the suite; all recent suites share one recipe
        recipe.symlink_to("sid")
    run("debootstrap", "--variant=minbase", suite, debian, *mirror(), log=log)
    shutil.copy("/etc/resolv.conf", debian / "etc/resolv.conf")
    (debian / "etc/mtab").unlink(missing_ok=True)
    (debian / "etc/mtab").symlink_to("/proc/self/mounts")  # Blender's file browser looks for drives
    # A mirror may be a snapshot, whose signed lists have expired.
    configuration = 'Acquire::Check-Valid-Until "false"; Acquire::Languages "none";'
    (debian / "etc/apt/apt.conf.d/99elocute").write_text(configuration)
    lean = ["force-unsafe-io", *(f"path-exclude /usr/share/{name}/*" for name in ("doc", "man", "locale"))]
    (debian / "etc/dpkg/dpkg.cfg.d/99elocute").write_text("\n".join(lean) + "\n")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    inside = partial(run, "chroot", debian, log=log, env=environment)
    inside("apt-get", "-qq", "update")
    inside("apt-get", "-qq", "install", "-y", "--no-install-recommends", *ROOT_PACKAGES, *extra)
    inside("apt-get", "clean")
    launcher = folder / "blender"
    launcher.write_text(LAUNCHER)
    launcher.chmod(0o755)
    return launcher


def mirror() -> list[str]:
    """The mirror that this machine uses, for debootstrap; nothing when it is no Debian: debootstrap has its own."""
    for file in sorted(Path("/etc/apt").glob("sources.list*/**/*")) + [Path("/etc/apt/sources.list")]:
        found = re.search(r"^(?:URIs:|deb)\s+(?:\[.*?\]\s+)?(\S+/debian/?)(?:\s|$)", _text(file), re.MULTILINE)
        if found:
            return [found[1]]
    return []


def _text(file: Path) -> str:
    return file.read_text(errors="replace") if file.is_file() else ""


@dataclass(frozen=True)
class Blender:
    """One that can be had: the release it has to answer with, the program below its folder, and who makes it."""

    release: str
    program: str
    make: Callable[[Path, Path], Path]
    by_default: bool = True

    def answers(self, folder: Path) -> bool:
        """Whether it is there, starts, and is the release asked for."""
        program = folder / self.program
        if not program.exists():
            return False
        if program.name == "python":
            command = [str(program), "-c", "import bpy, os; print(bpy.app.version_string, flush=True); os._exit(0)"]
        else:
            command = [str(program), "--version"]
        said = subprocess.run(command, capture_output=True, text=True).stdout
        return re.search(rf"\b{re.escape(self.release)}\b", said) is not None


BLENDERS = {
    "bpy45": Blender("4.5.15", "bin/python", partial(wheel, "4.5.15", "3.11")),
    "bpy52": Blender("5.2.3", "bin/python", partial(wheel, "5.2.3", "3.13")),
    "bpy42": Blender("4.2.23", "bin/python", partial(wheel_with_old_numpy, "4.2.23", "3.11"), by_default=False),
    "bpy44": Blender("4.4.0", "bin/python", partial(wheel_with_old_numpy, "4.4.0", "3.11"), by_default=False),
    "bpy50": Blender("5.0.1", "bin/python", partial(wheel, "5.0.1", "3.11"), by_default=False),
    "bpy51": Blender("5.1.2", "bin/python", partial(wheel, "5.1.2", "3.13"), by_default=False),
    "blender43": Blender("4.3", "blender", partial(root, "trixie", [])),
    "blender52": Blender("5.2", "blender", partial(root, "sid", UNSTABLE_PACKAGES), by_default=False),
}


def get(name: str, into: Path) -> str | None:
    """Make one Blender be there. None when it is, else why not."""
    folder, note, log = into / name, into / f"{name}.missing", into / f"{name}.log"
    note.unlink(missing_ok=True)
    if BLENDERS[name].answers(folder):
        return None
    print(f"{name}: getting Blender {BLENDERS[name].release}; the first time this takes minutes", flush=True)
    log.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        BLENDERS[name].make(folder, log)
        if not BLENDERS[name].answers(folder):
            raise Missing(f"what came does not answer as Blender {BLENDERS[name].release}")
    except Missing as problem:
        shutil.rmtree(folder, ignore_errors=True)
        note.write_text(f"{problem}\n")
        return str(problem)
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description="Gets Blenders to test with.")
    default = [name for name, blender in BLENDERS.items() if blender.by_default]
    offered = f"of {', '.join(BLENDERS)}; default {' '.join(default)}"
    parser.add_argument("names", nargs="*", metavar="NAME", help=offered)
    parser.add_argument("--into", type=Path, default=Path("build/blenders"), help="the folder for them (%(default)s)")
    parser.add_argument("--optional", action="store_true", help="exit code 0 also when one can't be had")
    options = parser.parse_args()
    if unknown := set(options.names) - set(BLENDERS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    into = options.into.absolute()
    into.mkdir(parents=True, exist_ok=True)
    try:
        host_packages()
    except Missing as problem:
        print(f"host packages: {problem}", flush=True)
    problems = {name: get(name, into) for name in options.names or default}
    for name, problem in problems.items():
        print(f"{name}: {problem or into / name / BLENDERS[name].program}", flush=True)
    return 3 if any(problems.values()) and not options.optional else 0


if __name__ == "__main__":
    sys.exit(main())
