"""The stubborn user: what can't work is refused through the public command, at once, in one sentence with a code.

No avatar is ever fitted here: whatever needs a fit to be found out would be found out too late.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from elocute import pipeline
from elocute.cli import app
from elocute.errors import BadInput
from elocute.models.store import models_folder, verify
from elocute.modelsets import embedded
from elocute.portrait.face import choose_face, detect_faces
from elocute.portrait.image import load_image

ROOT = Path(__file__).resolve().parents[1]
PORTRAIT, VOICE = ROOT / "examples" / "portrait.jpg", ROOT / "examples" / "voice.wav"
needs_models = pytest.mark.skipif(not verify("face"), reason="models not fetched: elocute models --fetch")
posix = pytest.mark.skipif(os.name == "nt", reason="POSIX files and signals")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own, empty cache, a folder to work in, and a fit that must not begin."""
    monkeypatch.setenv("ELOCUTE_AVATARS", str(tmp_path / "avatars"))
    monkeypatch.setattr(embedded, "_invert", lambda *_: pytest.fail("a fit was begun"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def told(*arguments: object) -> tuple[int, str]:
    """Exit code and error code; checks on the way that stdout is JSON lines and stderr the same sentence."""
    before = set(Path().rglob("*"))
    done = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
    error = [json.loads(line) for line in done.stdout.splitlines()][-1]["error"]
    assert done.stderr == f"error: {error['message']}\n"
    assert "\n" not in error["message"] and error["message"].endswith(".")
    assert set(Path().rglob("*")) == before, "something was left behind"
    return done.exit_code, error["code"]


def start(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "elocute", *map(str, arguments)], capture_output=True, text=True, timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT / "core")} | environment,
    )  # fmt: skip


def wav(path: Path, samples: np.ndarray, rate: int = 16000) -> Path:
    """Float WAV, so that it can hold what no sound card makes."""
    data = samples.astype("<f4").tobytes()
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, 1, rate, rate * 4, 4, 32)
    path.write_bytes(struct.pack("<4sI4s", b"RIFF", 36 + len(data), b"WAVE") + form)
    with path.open("ab") as file:
        file.write(struct.pack("<4sI", b"data", len(data)) + data)
    return path


def bomb(width: int, height: int) -> bytes:
    """A PNG of some bytes that claims to be huge."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


# --- voices, curves, poses, ranges: refused before the fit ---


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


# --- portraits ---


def test_files_that_are_no_portrait(place: Path) -> None:
    photo = PORTRAIT.read_bytes()
    Path("text.jpg").write_text("hello")
    Path("broken.jpg").write_bytes(photo[:4000])
    Path("bomb.png").write_bytes(bomb(2**31 - 1, 2**31 - 1))
    Path("large.png").write_bytes(bomb(12000, 12000))
    Image.new("RGB", (300, 300)).save("page.eps")
    for name, code in (
        ("none.jpg", "image_missing"), (".", "image_is_directory"), ("text.jpg", "image_unreadable"),
        ("broken.jpg", "image_truncated"), ("bomb.png", "image_too_large"), ("large.png", "image_too_large"),
        ("page.eps", "image_unreadable"),
    ):  # fmt: skip
        with pytest.raises(BadInput) as problem:
            load_image(name)
        assert problem.value.code == code
    for name, code in (("none.jpg", "image_missing"), (".", "image_is_directory")):
        assert told("fit", name) == (2, code)
        assert told("speak", name, VOICE, "-o", "o.mp4") == (2, code)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "JPEG2000", "AVIF"])
def test_damaged_photos_are_read_or_refused_but_never_a_defect(place: Path, kind: str) -> None:
    stream = io.BytesIO()
    try:
        Image.open(PORTRAIT).resize((96, 112)).save(stream, format=kind)
    except (OSError, KeyError):
        pytest.skip(f"this Pillow can't write {kind}")
    rng = np.random.default_rng(5)
    for _ in range(40):
        data = np.frombuffer(stream.getvalue(), np.uint8)[: rng.integers(1, len(stream.getvalue()) + 1)].copy()
        places = rng.integers(0, min(len(data), rng.choice([64, 400, 10**6])), rng.choice([1, 3, 20]))
        data[places] = rng.integers(0, 256, len(places))
        Path("damaged").write_bytes(data.tobytes())
        with contextlib.suppress(BadInput):
            assert load_image("damaged").rgb.dtype == np.uint8


@posix
def test_what_could_be_read_for_ever_is_not_read(place: Path) -> None:
    os.mkfifo("pipe")
    for source in ("pipe", "/dev/zero"):
        started = time.monotonic()
        assert told("fit", source) == (2, "image_unreadable")
        assert told("speak", PORTRAIT, source, "-o", "o.mp4") == (2, "audio_unreadable")
        assert told("speak", PORTRAIT, "--poses", source, "-o", "o.mp4") == (2, "poses_unreadable")
        assert time.monotonic() - started < 10


# --- outputs ---


def test_an_output_never_replaces_its_own_input(place: Path) -> None:
    Path("voice.mp4").write_bytes(VOICE.read_bytes())
    Path("face.png").write_bytes(PORTRAIT.read_bytes())
    refused = (2, "output_is_input")
    assert told("speak", PORTRAIT, "voice.mp4", "-o", place / "voice.mp4") == refused
    assert told("speak", "face.png", VOICE, "-o", "o.mp4", "--sheet", "face.png") == refused
    assert told("curves", "voice.mp4", "-o", "voice.mp4") == refused
    assert told("evaluate", "voice.mp4", "--html", "voice.mp4") == refused
    assert Path("voice.mp4").read_bytes() == VOICE.read_bytes()


def test_places_where_nothing_can_be_written(place: Path) -> None:
    Path("file").touch()
    for output, code in (("o.avi", "output_type"), (".", "output_is_directory"), ("file/o.mp4", "output_not_a_folder")):
        assert told("speak", PORTRAIT, VOICE, "-o", output) == (2, code)
    assert told("speak", PORTRAIT, VOICE, "--frames-dir", "file") == (2, "output_not_a_folder")
    assert told("speak", PORTRAIT, VOICE, "-o", "x" * 300 + ".mp4") == (3, "file_refused")
    assert told("evaluate", VOICE, "--html", ".") == (2, "output_is_directory")


def test_a_name_as_long_as_names_may_be(place: Path) -> None:
    from elocute.files import write_whole

    target = place / ("x" * 250 + ".json")
    write_whole(target, b"{}")
    assert target.read_bytes() == b"{}" and len(list(place.iterdir())) == 1


def test_an_avatar_that_could_not_be_kept_is_not_fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not verify("face"):
        pytest.skip("models not fetched: elocute models --fetch")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    monkeypatch.setenv("ELOCUTE_AVATARS", str(tmp_path / "file" / "avatars"))
    assert told("fit", PORTRAIT, "--device", "cpu") == (3, "cache_not_writable")


# --- what the machine lacks ---


def test_models_that_are_missing_or_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ELOCUTE_AVATARS", str(tmp_path / "avatars"))
    monkeypatch.setenv("ELOCUTE_MODELS", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    commands: list[tuple[Any, ...]] = [
        ("fit", PORTRAIT, "--device", "cpu"), ("curves", VOICE, "-o", "c.json"),
        ("speak", PORTRAIT, VOICE, "-o", "o.mp4"),
    ]  # fmt: skip
    for command in commands:
        assert told(*command) == (3, "model_missing")
    for name in ("face_landmarker.task", "asr_waveform.hama"):
        (tmp_path / "models" / name).write_bytes(b"something else")
    for command in commands:
        assert told(*command) == (3, "model_hash")


def test_a_device_that_is_not_there(place: Path) -> None:
    Path("c.json").write_text('{"fps": 25, "names": ["jawOpen"], "values": [[0], [1]]}')
    command = ("speak", PORTRAIT, "--curves", "c.json", "-o", "o.mp4")
    assert told(*command, "--device", "cuda:99") == (3, "device_missing")
    assert told(*command, "--model-set", "nerffacespeech") == (3, "model_not_imported")


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


# --- the process itself ---


@pytest.mark.parametrize(
    "arguments", [("speak",), ("frob",), ("speak", "a", "--nonsense"), ("speak", "a", "--size", "x"), ("speak", "-o")]
)
def test_a_misspelt_command_is_one_sentence_and_json(arguments: tuple[str, ...]) -> None:
    done = start(*arguments, "--json") if arguments[-1] != "-o" else start("--json", *arguments)
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["code"]) == (2, "usage")
    assert done.stderr == f"error: {error['message']}\n" and "--help" in error["message"]


@needs_models
def test_finding_a_face_says_nothing_and_tells_nobody(tmp_path: Path) -> None:
    Image.fromarray(np.full((300, 300, 3), 128, np.uint8)).save(tmp_path / "grey.png")
    folders = {"ELOCUTE_AVATARS": str(tmp_path / "a"), "ELOCUTE_MODELS": str(models_folder())}
    done = start("fit", tmp_path / "grey.png", "--device", "cpu", **folders)
    assert done.returncode == 2 and done.stderr.startswith("error: no face in grey.png")
    assert done.stderr.count("\n") == 1 and not done.stdout
    program = "from elocute.portrait.matting import _network; _network()"
    home = tmp_path / "home"
    home.mkdir()
    environment = os.environ | folders | {"HOME": str(home), "PYTHONPATH": str(ROOT / "core")}
    environment.pop("XDG_CACHE_HOME", None)
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, timeout=60)
    assert not list(home.rglob("*")), "a library keeps a device id"


@posix
@pytest.mark.parametrize("sign", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_unwinds_and_further_ones_do_not_disturb(sign: str, tmp_path: Path) -> None:
    program = f"""
import os, signal, sys, time
from pathlib import Path
import typer
from elocute.console import reporting, terminated_like_interrupted
from elocute.files import Temporary
try:
    with terminated_like_interrupted(), reporting(True):
        temporary = Temporary(Path({str(tmp_path / "o.mp4")!r}))
        try:
            os.kill(os.getpid(), signal.{sign})
            time.sleep(20)
        finally:
            os.kill(os.getpid(), signal.{sign})  # the impatient user
            time.sleep(0.05)
            temporary.discard()
except typer.Exit as stopped:
    os.kill(os.getpid(), signal.{sign})  # while Python ends
    sys.exit(stopped.exit_code)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "core")}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, env=environment)
    assert done.returncode == 130, done.stderr
    assert json.loads(done.stdout)["error"]["code"] == "cancelled" and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@posix
def test_a_command_that_ignores_a_closed_terminal_goes_on_ignoring_it() -> None:
    from elocute.console import terminated_like_interrupted

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with terminated_like_interrupted():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_bytes_that_are_no_text_do_not_stop_the_worker() -> None:
    worker = subprocess.Popen(
        [sys.executable, "-m", "elocute", "worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT / "core")},
    )  # fmt: skip
    watchdog = threading.Timer(60, worker.kill)  # a worker that answers nothing fails the test instead of hanging it
    watchdog.start()
    with worker:
        assert worker.stdin and worker.stdout
        worker.stdin.write(b'\xff\xfe\n{"job": "models"}\n')
        worker.stdin.flush()
        messages = [json.loads(worker.stdout.readline()) for _ in range(4)]
        worker.stdin.close()
    watchdog.cancel()
    assert [m["type"] for m in messages] == ["hello", "failed", "done", "done"]
    assert messages[1]["code"] == "protocol_line" and messages[3]["ok"] and worker.returncode == 0


def test_a_cancelled_fit_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    from elocute import jobs
    from elocute.errors import Cancelled
    from elocute.protocol import Progress
    from elocute.settings import FitSettings

    def prepare(portrait: str, settings: FitSettings, report: Any) -> None:
        report(Progress("fit", 1, 4))
        pytest.fail("the fit went on")

    monkeypatch.setattr(pipeline, "prepare", prepare)
    with pytest.raises(Cancelled):
        jobs.fit(FitSettings("a.jpg"), lambda message: None, lambda: True)


@needs_models
def test_a_profile_whose_landmarks_collapse_is_turned_away() -> None:
    """The network then gives a small frontal face somewhere in the profile, and says itself that it is unsure."""
    face = detect_faces(load_image(PORTRAIT).rgb)[0]
    assert face.confidence > 0.999
    with pytest.raises(BadInput) as problem:
        choose_face([dataclasses.replace(face, confidence=0.8)])
    assert problem.value.code == "face_turned_away"
