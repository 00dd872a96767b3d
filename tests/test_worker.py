"""A real worker process: the order of its lines, cancelling, its end with stdin, and a stream no print can break."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from elocute import __version__

CORE = Path(__file__).resolve().parents[1] / "core"
PATIENCE = 15  # seconds: a busy machine takes long to start and to end anything; the jobs below would take a minute

# Replaces the pipeline of the child process alone: a job as long as the test needs it, and as rude.
FAKE = """
import ctypes, os, sys, time, types
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from elocute.errors import BadInput, Cancelled
from elocute.files import Temporary
from elocute.pipeline import curves
from elocute.protocol import Frame, Progress

@dataclass(frozen=True)
class Result:
    frames: int; fps: Fraction; output: Path | None; warnings: list = field(default_factory=list)

def speak(shot, report, cancelled):
    print("a library prints"); os.write(1, b"native code writes\\n"); sys.stdout.flush()
    mood = shot.background
    if mood == "#000001": raise BadInput("no_face", "no face in it. Use another photo.")
    if mood == "#000002": raise RuntimeError("unforeseen")
    if mood == "#000003":  # deaf, in native code that holds a half-written file
        temporary = Temporary(shot.output); report(Progress("render", 0, 0)); time.sleep(60)
    for index in range(1, 4 if mood == "keep" else 1000):
        if cancelled(): raise Cancelled
        report(Progress("render", index, 3, 25.0)); report(Frame(index, f"{index}.png")); time.sleep(0.01)
    return Result(3, shot.fps, shot.output, ["a warning", "a warning"])

module = types.ModuleType("elocute.pipeline"); module.speak, module.curves = speak, curves
sys.modules["elocute.pipeline"] = module
import elocute; elocute.pipeline = module
from elocute.worker import serve
sys.exit(serve())
"""


class Worker:
    def __init__(self, fake: bool, cwd: Path) -> None:
        program = ["-c", textwrap.dedent(FAKE)] if fake else ["-m", "elocute", "worker"]
        self.process = subprocess.Popen(
            [sys.executable, *program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(CORE)}, cwd=cwd, text=True,
        )  # fmt: skip

        self.watchdog = threading.Timer(60, self.process.kill)  # a test that would hang fails instead
        self.watchdog.start()

    def send(self, **values: object) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(values) + "\n")
        self.process.stdin.flush()

    def read(self) -> dict:
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())

    def until(self, kind: str) -> list[dict]:
        messages = [self.read()]
        while messages[-1]["type"] != kind:
            messages.append(self.read())
        return messages

    def end(self) -> tuple[float, str]:
        """Close stdin; seconds until the process is gone, and what it still said."""
        assert self.process.stdin and self.process.stdout
        started = time.monotonic()
        self.process.stdin.close()
        self.process.wait(timeout=20)
        return time.monotonic() - started, self.process.stdout.read()


@pytest.fixture
def worker(tmp_path: Path):
    workers: list[Worker] = []

    def start(fake: bool = True) -> Worker:
        workers.append(Worker(fake, tmp_path))
        return workers[-1]

    yield start
    for one in workers:
        one.watchdog.cancel()
        one.process.kill()
        one.process.wait()
        for stream in (one.process.stdin, one.process.stdout, one.process.stderr):
            if stream:
                stream.close()


def shot(**changes: object) -> dict:
    return {"portrait": "a.jpg", "voice": "v.wav", "output": "o.mp4"} | changes


def test_a_job_from_hello_to_done(worker) -> None:
    one = worker()
    assert one.read() == {"type": "hello", "version": __version__, "protocol": 1}
    one.send(job="speak", shot=shot(fps="24000/1001"))
    messages = one.until("done")
    kinds = [message["type"] for message in messages]
    assert kinds == ["progress", "frame"] * 3 + ["warning", "warning", "done"]
    assert messages[1] == {"type": "frame", "index": 1, "path": "1.png"}
    assert messages[-1]["ok"] and messages[-1]["job"] == "speak"
    assert messages[-1]["result"]["fps"] == "24000/1001"
    one.send(job="speak", shot=shot())  # a warm worker takes the next job
    assert one.until("done")[-1]["ok"]
    seconds, rest = one.end()
    assert one.process.returncode == 0 and seconds < PATIENCE and not rest


def test_nothing_that_libraries_print_reaches_the_stream(worker) -> None:
    one = worker()
    one.send(job="speak", shot=shot())
    one.until("done")  # every line was JSON
    one.end()
    told = one.process.stderr.read()
    assert "a library prints" in told and "native code writes" in told


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"job": "speak", "shot": shot(background="#000001")}, "no_face"),
        ({"job": "speak", "shot": shot(background="#000002")}, "internal"),
        ({"job": "speak", "shot": shot(size=3)}, "shot_range"),
        ({"job": "speak", "shot": {"portrait": "a"}}, "shot_no_drive"),
        ({"job": "dance"}, "unknown_job"),
        ({"hello": 1}, "unknown_job"),
        ({"job": "curves", "shot": {"voice": "nothing.wav", "output": "c.json"}}, "audio_missing"),
    ],
)
def test_what_fails_says_why_and_is_done(worker, request_: dict, code: str) -> None:
    one = worker()
    one.read()
    one.send(**request_)
    messages = [message for message in one.until("done") if message["type"] != "progress"]
    assert [message["type"] for message in messages] == ["failed", "done"]
    assert messages[0]["code"] == code and messages[0]["message"].endswith(".")
    assert messages[1]["ok"] is False
    one.send(job="speak", shot=shot())
    assert one.until("done")[-1]["ok"], "the worker did not survive the failure"


@pytest.mark.parametrize(
    ("job", "settings", "code"),
    [
        ("speak", [], "shot_type"),
        ("models", {"fetch": "false"}, "shot_type"),
        ("models", {"fetsh": True}, "shot_unknown_key"),
        ("doctor", {"fetch": True}, "shot_unknown_key"),
    ],
)
def test_every_job_is_strict_and_keeps_its_name(worker, job: str, settings: object, code: str) -> None:
    one = worker()
    one.read()
    one.send(job=job, shot=settings)
    failed, done = one.until("done")[-2:]
    assert (failed["type"], failed["code"], done["job"], done["ok"]) == ("failed", code, job, False)


def test_cancel_stops_the_running_job_only(worker) -> None:
    one = worker()
    one.read()
    one.send(cancel=True)  # before any job: means nothing
    for places, told in ({"frames_dir": "f"}, "stopped; finished frames are kept"), ({}, "stopped"):
        one.send(job="speak", shot=shot(background="transparent", **places))
        one.until("frame")
        one.send(cancel=True)
        assert one.until("done")[-2] == {"type": "failed", "code": "cancelled", "message": told}
    one.send(job="speak", shot=shot())
    assert one.until("done")[-1]["ok"]


def test_the_end_of_stdin_ends_a_running_job_within_a_second(worker) -> None:
    one = worker()
    one.read()
    one.send(job="speak", shot=shot(background="transparent"))
    one.until("frame")
    seconds, _ = one.end()
    assert seconds < PATIENCE
    assert one.process.returncode == 130, "a job was cut"


def test_a_worker_does_not_wait_for_libraries_once_all_is_said(tmp_path: Path) -> None:
    """Taking torch and numba apart takes longer than it may after stdin has ended."""
    (tmp_path / "sitecustomize.py").write_text("import atexit, time; atexit.register(time.sleep, 50)")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(CORE)])}
    command = [sys.executable, "-m", "elocute", "worker"]
    done = subprocess.run(command, input="", capture_output=True, text=True, timeout=40, env=environment)
    assert done.returncode == 0 and json.loads(done.stdout)["type"] == "hello", done.stderr


@pytest.mark.parametrize(("late", "told"), [("doctor", "doctor"), ("nonsense", "")])
def test_what_never_began_is_told_at_the_end_of_stdin(worker, late: str, told: str) -> None:
    """A job as cancelled; a bad line in its own words."""
    one = worker()
    one.read()
    one.send(job="speak", shot=shot(background="transparent"))
    one.send(job=late)
    one.until("frame")
    rest = [json.loads(line) for line in one.end()[1].splitlines()]
    assert [(m["type"], m.get("job")) for m in rest[-2:]] == [("failed", None), ("done", told)]
    assert (rest[-2]["code"] == "cancelled") == (late == "doctor") and one.process.returncode == 130


def test_a_reader_that_stopped_reading_holds_nobody_up(worker) -> None:
    one = worker()
    one.read()
    for _ in range(3000):
        one.send(job="doctor")
    one.process.stdin.close()
    one.process.wait(timeout=20)  # stdout stays open and full
    assert one.process.returncode == 130


def test_the_end_of_stdin_ends_a_deaf_job_too_and_its_files(worker, tmp_path: Path) -> None:
    one = worker()
    one.read()
    one.send(job="speak", shot=shot(background="#000003"))
    one.until("progress")
    assert list(tmp_path.iterdir())
    seconds, _ = one.end()
    assert seconds < PATIENCE and one.process.returncode == 130
    assert not list(tmp_path.iterdir())


def test_stdin_that_ends_while_a_job_is_handed_out_ends_that_job_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from elocute import worker as module

    ready, asked, forced = threading.Event(), threading.Event(), threading.Event()
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(module.os, "_exit", lambda code: forced.set())

    class Ended(threading.Event):
        def is_set(self) -> bool:
            """No, but stdin ends as soon as it was asked."""
            ended = super().is_set()
            asked.set()
            self.wait(0.3)
            return ended

    def lines():
        ready.wait()
        yield '{"job": "doctor"}'
        asked.wait()

    requests = module.Requests(lines())
    requests._ended = Ended()
    ready.set()
    jobs = iter(requests)
    next(jobs)
    assert forced.wait(PATIENCE), "a deaf job would go on behind a closed Blender"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
def test_terminated_it_reports_and_goes(worker) -> None:
    one = worker()
    one.read()
    one.send(job="speak", shot=shot(background="transparent"))
    one.until("frame")
    one.process.send_signal(signal.SIGTERM)
    assert one.until("done")[-2]["code"] == "cancelled"
    assert one.process.wait(timeout=10) == 130


def test_a_reader_that_goes_away_ends_it(worker) -> None:
    one = worker()
    one.read()
    one.send(job="speak", shot=shot(background="transparent"))
    one.until("frame")
    one.process.stdout.close()
    one.process.stdout = None
    assert one.process.wait(timeout=10) != 0


def test_the_real_worker_examines_the_machine(worker) -> None:
    one = worker(fake=False)
    assert one.read()["type"] == "hello"
    one.send(job="doctor")
    done = one.until("done")[-1]
    assert done["ok"] and {"name", "ok", "needed", "detail", "fix"} <= set(done["result"]["checks"][0])
    one.send(job="models")
    rows = one.until("done")[-1]["result"]["models"]
    assert {row["role"] for row in rows} >= {"face", "matting", "speech_encoder"}
    assert one.end()[0] < PATIENCE
