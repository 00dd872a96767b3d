"""scripts/render.py without a window, as a farm runs it: bytes, words, exit codes and signals."""

from __future__ import annotations

import re
import signal
import subprocess
import time
import wave
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "render.py"
EXAMPLES = ROOT / "examples"
pytestmark = pytest.mark.slow


def cut(path: Path, seconds: float) -> Path:
    with wave.open(str(EXAMPLES / "voice.wav")) as source:
        source.setpos(int(0.4 * source.getframerate()))
        data = source.readframes(int(seconds * source.getframerate()))
        with wave.open(str(path), "wb") as out:
            out.setparams(source.getparams())
            out.writeframes(data)
    return path


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.png"))}


class Script:
    def __init__(self, blender: Any, environment: dict[str, str]) -> None:
        self.blender, self.environment = blender, environment

    def command(self, file: Path | None, *arguments: str | Path) -> list[str]:
        words = list(map(str, arguments))
        if self.blender.is_wheel:
            return [str(self.blender.program), str(SCRIPT), *([str(file)] if file else []), "--", *words]
        opened = [str(file)] if file else []
        return [str(self.blender.program), "-b", *opened, "--python-exit-code", "1", "-P", str(SCRIPT), "--", *words]

    def run(self, file: Path | None, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(file, *arguments), capture_output=True, text=True, timeout=600, env=self.environment
        )


@pytest.fixture
def script(blender: Any, environment: dict[str, str]) -> Script:
    return Script(blender, environment)


@pytest.fixture(scope="module")
def made() -> dict[str, Path]:
    return {}


@pytest.fixture
def shot(
    blender: Any, package: Path, environment: dict[str, str], made: dict[str, Path], tmp_path_factory: Any
) -> Path:
    """A .blend, and beside it what the panel rendered of it. No test changes it, so there is one for each Blender."""
    if blender.name in made:
        return made[blender.name]
    folder = tmp_path_factory.mktemp(blender.name)
    voice = cut(folder / "voice.wav", 1.0)
    done = subprocess.run(
        blender.command(Path(__file__).parent / "inside" / "make_shot.py", package, folder, voice),
        capture_output=True, text=True, timeout=600, env=environment,
    )  # fmt: skip
    if "without Audaspace" in done.stderr:
        pytest.skip("this Blender is built without sound")
    assert done.returncode == 0, done.stdout + done.stderr
    made[blender.name] = folder / "shot.blend"
    return made[blender.name]


def test_a_farm_renders_what_the_panel_did(script: Script, shot: Path, tmp_path: Path) -> None:
    wanted = pictures(shot.parent / "panel")
    out = tmp_path / "farm"
    done = script.run(shot, "--all", "--output", out, "--movie", tmp_path / "farm.mp4")
    assert done.returncode == 0, done.stdout + done.stderr
    out = out / "Anna"
    assert pictures(out) == wanted and len(wanted) == 25
    saved = re.findall(r"^Saved: '(.+)'$", done.stdout, re.MULTILINE)
    assert sorted(saved) == [str(out / name) for name in wanted]
    assert (tmp_path / "farm.mp4").stat().st_size > 1000

    done = script.run(shot, "--shot", "Anna", "--frames", "8-10", "--output", tmp_path / "part")
    assert done.returncode == 0, done.stdout + done.stderr
    assert pictures(tmp_path / "part") == {f"{n:06d}.png": wanted[f"{n:06d}.png"] for n in (4, 5, 6)}

    for arguments, told in (
        (["--shot", "Nobody"], "Nobody"), (["--frames", "soon"], "soon"), (["--scene", "Elsewhere"], "Elsewhere"),
        (["--frames", "900-910"], "900"), (["--frames=-20-4", "--all"], "-20-4"), (["--portrait", "seed:1"], "--voice"),
    ):  # fmt: skip
        done = script.run(shot, *arguments)
        assert done.returncode in (1, 2) and told in done.stderr + done.stdout, (arguments, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr


def test_two_slashes_are_the_folder_of_the_file_that_was_named(script: Script, shot: Path, tmp_path: Path) -> None:
    """By a link to a file of another folder, with an ending in capitals."""
    link = tmp_path / "LATEST.BLEND"
    link.symlink_to(shot)
    (tmp_path / "voice.wav").symlink_to(shot.parent / "voice.wav")
    done = script.run(link, "--frames", "8", "--output", "//out/frames")
    assert done.returncode == 0, done.stdout + done.stderr
    wanted = pictures(shot.parent / "panel")["000004.png"]
    assert pictures(tmp_path / "out" / "frames") == {"000004.png": wanted}
    done = script.run(None, "--portrait", "seed:1", "--voice", tmp_path / "voice.wav", "--output", "//out")
    assert done.returncode == 2 and "none is open" in done.stderr, done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly_and_it_goes_on_later(
    script: Script, shot: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "farm"
    arguments = ("--output", out, "--size", "512")
    process = subprocess.Popen(
        script.command(shot, *arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=script.environment,
    )  # fmt: skip
    assert process.stdout
    for line in process.stdout:
        if line.startswith("Saved: "):
            break
    began = time.monotonic()
    process.send_signal(number)
    said = process.stdout.read()
    assert process.wait(30) == 128 + number and time.monotonic() - began < 15, said
    kept = pictures(out)
    assert 0 < len(kept) < 25 and "Traceback" not in said and "kept" in said
    done = script.run(shot, *arguments)
    assert done.returncode == 0 and len(pictures(out)) == 25, done.stdout + done.stderr
    assert all(pictures(out)[name] == data for name, data in kept.items())


def test_without_a_blend_file(script: Script, tmp_path: Path) -> None:
    voice, out = cut(tmp_path / "voice.wav", 0.4), tmp_path / "out"
    arguments = ("--voice", voice, "--output", out, "--size", "64", "--fps", "24000/1001")
    done = script.run(None, "--portrait", EXAMPLES / "portrait.jpg", *arguments)
    assert done.returncode == 0 and 9 <= len(pictures(out)) <= 10, done.stdout + done.stderr
    plain = tmp_path / "plain"
    colour = ("--output", plain, "--background", "#204080", "--frames", "1")
    done = script.run(None, "--portrait", EXAMPLES / "portrait.jpg", *arguments, *colour)
    assert done.returncode == 0, done.stdout + done.stderr
    corner = cv2.imread(str(next(plain.glob("*.png"))))[0, 0]
    assert np.abs(corner[::-1].astype(int) - [0x20, 0x40, 0x80]).max() <= 2, corner
    nobody = tmp_path / "nobody.jpg"
    nobody.write_bytes((EXAMPLES / "portrait.jpg").read_bytes()[:2000])
    done = script.run(None, "--portrait", nobody, *arguments)
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr, done.stdout + done.stderr


def test_arguments_are_refused_before_anything_is_heard(script: Script, tmp_path: Path) -> None:
    voice = cut(tmp_path / "voice.wav", 0.4)
    for arguments in (
        ("--size", "0"), ("--size", "5000"), ("--frames", "5-2"), ("--fps", "300"), ("--background", "pink"),
    ):  # fmt: skip
        out = tmp_path / "out"
        done = script.run(None, "--portrait", "seed:1", "--voice", voice, "--output", out, *arguments)
        assert done.returncode == 2 and arguments[0] in done.stderr, (arguments, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr and not out.exists()
    if not script.blender.is_wheel:  # which has opened its file before it knows
        done = script.run(None, "--all", "--enable-autoexec")
        assert done.returncode == 2 and "blender -y" in done.stderr, (done.stdout, done.stderr)
    (tmp_path / "folder.mp4").mkdir()
    for option, name in (
        ("--movie", "m.avi"), ("--movie", "folder.mp4"), ("--movie", "voice.wav/m.mp4"), ("--voice", "folder.mp4"),
        ("--voice", "no.wav"), ("--output", "voice.wav"), ("--output", "voice.wav/frames"),
    ):  # fmt: skip
        usual = ("--voice", voice, "--output", tmp_path / "out")
        done = script.run(None, "--portrait", "seed:1", *usual, option, tmp_path / name)
        assert done.returncode == 2 and option in done.stderr, (option, name, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr and not (tmp_path / "out").exists()


def test_a_file_that_is_no_blend_is_refused(script: Script, tmp_path: Path) -> None:
    (tmp_path / "no.blend").write_text("no .blend at all")
    done = script.run(tmp_path / "no.blend", "--all")
    assert done.returncode in (1, 2) and "no.blend" in done.stderr + done.stdout and "Traceback" not in done.stderr
