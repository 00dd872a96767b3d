"""The stubborn user: what can't work is refused through the public command, at once, in one sentence with a code.

No avatar is ever fitted here: whatever needs a fit to be found out would be found out too late.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from refused_commands import PORTRAIT, ROOT, VOICE, needs_models, posix, told


def wav(path: Path, samples: np.ndarray, rate: int = 16000) -> Path:
    """Float WAV, so that it can hold what no sound card makes."""
    data = samples.astype("<f4").tobytes()
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, 1, rate, rate * 4, 4, 32)
    path.write_bytes(struct.pack("<4sI4s", b"RIFF", 36 + len(data), b"WAVE") + form)
    with path.open("ab") as file:
        file.write(struct.pack("<4sI", b"data", len(data)) + data)
    return path


def voices(folder: Path) -> dict[str, Path]:
    noise = np.random.default_rng(0).normal(0, 0.1, 16000)
    nan = noise.copy()
    nan[9000] = np.nan
    long = folder / "hours.wav"  # three hours, sparse on the disk
    size = 3 * 3600 * 8000
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 8000, 1, 8)
    long.write_bytes(struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE") + form + struct.pack("<4sI", b"data", size))
    os.truncate(long, 44 + size)
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("no sound, only words\n" * 50)
    return {
        "audio_missing": folder / "none.wav", "audio_is_directory": folder, "audio_empty": folder / "empty.wav",
        "audio_unreadable": folder / "text.wav", "audio_no_track": PORTRAIT, "audio_too_long": long,
        "audio_silent": wav(folder / "silent.wav", np.zeros(32000)), "audio_nan": wav(folder / "nan.wav", nan),
        "audio_too_short": wav(folder / "one.wav", np.array([0.5])),
    }  # fmt: skip


@needs_models
def test_voices_that_can_not_be_used(place: Path) -> None:
    for code, voice in voices(place).items():
        assert told("speak", PORTRAIT, voice, "-o", "o.mp4") == (2, code)
        assert told("curves", voice, "-o", "c.json") == (2, code)


@pytest.mark.parametrize(
    ("option", "text", "code"),
    [
        ("--curves", '{"fps": 25, "names": ["jawOpne"], "values": [[0]]}', "curves_unknown_names"),
        ("--curves", '{"fps": 25, "names": ["jawOpen"], "values": [[NaN]]}', "curves_nan"),
        ("--curves", '{"fps": 0, "names": ["jawOpen"], "values": [[0]]}', "curves_fps"),
        ("--curves", '{"fps": 1, "names": ["jawOpen"], "values": [' + "[0]," * 5000 + "[0]]}", "shot_too_long"),
        ("--curves", "jawOpen: 3", "curves_unreadable"),
        ("--curves", None, "curves_missing"),
        ("--poses", '{"fps": 25, "yaw_deg": [0, NaN]}', "poses_nan"),
        ("--poses", '{"fps": 25, "yaw_deg": [0, 1], "roll_deg": [0]}', "poses_lengths"),
        ("--poses", '{"fps": "x", "yaw_deg": [0]}', "poses_fps"),
        ("--poses", '{"fps": 25}', "poses_empty"),
        ("--poses", "no json", "poses_unreadable"),
        ("--poses", None, "poses_missing"),
    ],
)
def test_curves_and_poses_that_can_not_be_used(place: Path, option: str, text: str | None, code: str) -> None:
    if text is not None:
        Path("file.json").write_text(text)
    assert told("speak", PORTRAIT, option, "file.json", "-o", "o.mp4") == (2, code)


@pytest.mark.parametrize(
    "command",
    [
        ("speak", PORTRAIT, VOICE, "-o", "o.mp4", "--sheet", "https://a.org/s.png"), ("render", "https://a.org/s.json"),
        ("models", "import", "https://a.org/w.pt"), ("evaluate", "https://a.org/v.mp4"),
        *(("evaluate", VOICE, option, "https://a.org/x") for option in
          ("--portrait", "--voice", "--poses", "--labels", "--html", "--json-file", "--sheet")),
    ],
)  # fmt: skip
def test_addresses_are_no_files_of_the_command_line_either(place: Path, command: tuple[Any, ...]) -> None:
    assert told(*command) == (2, "address_not_file")


def test_a_folder_is_no_curves_file(place: Path) -> None:
    assert told("speak", PORTRAIT, "--curves", ".", "-o", "o.mp4") == (2, "curves_unreadable")
    assert told("speak", PORTRAIT, "--poses", ".", "-o", "o.mp4") == (2, "poses_unreadable")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--frames", "5-3"), "shot_range"),
        (("--frames", "9-10"), "frames_outside"),
        (("--frames", ""), "shot_range"),
        (("--size", "63"), "shot_range"),
        (("--fps", "0"), "shot_range"),
        (("--background", "#12"), "shot_range"),
        (("--background", "transparent"), "transparent_needs_frames"),
        (("--device", "nonsense"), "shot_range"),
    ],
)
def test_options_that_can_not_be_met(place: Path, options: tuple[str, ...], code: str) -> None:
    Path("c.json").write_text('{"fps": 25, "names": ["jawOpen"], "values": [[0], [1]]}')
    assert told("speak", PORTRAIT, "--curves", "c.json", "-o", "o.mp4", *options) == (2, code)


@posix
def test_what_could_be_read_for_ever_is_not_read(place: Path) -> None:
    os.mkfifo("pipe")
    for source in ("pipe", "/dev/zero"):
        started = time.monotonic()
        assert told("fit", source) == (2, "image_unreadable")
        assert told("speak", PORTRAIT, source, "-o", "o.mp4") == (2, "audio_unreadable")
        assert told("speak", PORTRAIT, "--poses", source, "-o", "o.mp4") == (2, "poses_unreadable")
        assert told("render", source) == (2, "shot_unreadable")
        assert told("evaluate", PORTRAIT, "--labels", source) == (2, "labels_unreadable")
        assert time.monotonic() - started < 10


def test_what_is_cheap_to_see_is_said_before_torch_is_loaded(place: Path) -> None:
    """Loading it takes seconds, or half a minute from a cold disk."""
    Path("p.json").write_text('{"fps": 25, "yaw_deg": [0, NaN]}')
    Path("c.json").write_text('{"fps": 25, "names": ["jawOpenn"], "values": [[0]]}')
    commands: tuple[tuple[Any, ...], ...] = (
        (PORTRAIT, "none.wav"), (PORTRAIT, VOICE, "--poses", "p.json"), (PORTRAIT, "--curves", "c.json"),
        (PORTRAIT, VOICE, "--frames", "90000-90001"), (PORTRAIT, VOICE, "--frames-dir", VOICE), (VOICE, VOICE),
        (PORTRAIT, "--drive", "none.mp4"), (PORTRAIT, VOICE, "--size", 9000),
    )  # fmt: skip
    listed = [[*map(str, command)] for command in commands]
    program = (
        "import sys; from typer.testing import CliRunner; from elocute.cli import app\n"
        f"for each in {listed}: print(CliRunner().invoke(app, ['speak', *each, '-o', 'o.mp4']).exit_code)\n"
        "print('torch' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "core")}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=60)
    assert done.stdout.split() == [*["2"] * len(commands), "False"], done.stderr
