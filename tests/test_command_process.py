"""The process itself: its words for a misspelt command, what it leaves on the machine, and how it stops."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from refused_commands import ROOT, needs_models, posix

from elocute import pipeline
from elocute.models.store import models_folder

TELEMETRY = "ORT_DISABLE_TELEMETRY"


def start(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "elocute", *map(str, arguments)], capture_output=True, text=True, timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT / "core")} | environment,
    )  # fmt: skip


@pytest.mark.parametrize(
    "arguments", [("speak",), ("frob",), ("speak", "a", "--nonsense"), ("speak", "a", "--size", "x"), ("speak", "-o")]
)
def test_a_misspelt_command_is_one_sentence_and_json(arguments: tuple[str, ...]) -> None:
    done = start(*arguments, "--json") if arguments[-1] != "-o" else start("--json", *arguments)
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["code"]) == (2, "usage")
    assert done.stderr == f"error: {error['message']}\n" and "--help" in error["message"]


@posix
@pytest.mark.parametrize("closed", ["<&-", "2>&-", ">&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("command", ["worker", "curves missing.wav -o c.json"])
def test_missing_streams_are_none_of_its_business(closed: str, command: str, tmp_path: Path) -> None:
    """As under a daemon."""
    done = subprocess.run(
        ["bash", "-c", f"exec {sys.executable} -m elocute {command} {closed}"], input="", capture_output=True,
        text=True, timeout=60, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT / "core")},
    )  # fmt: skip
    assert done.returncode == (0 if command == "worker" else 2)
    assert "Traceback" not in done.stderr and "internal" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_results_for_a_full_disk_are_one_sentence() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "elocute", "models", "--json"], stdout=full, stderr=subprocess.PIPE, text=True,
            timeout=60, env=os.environ | {"PYTHONPATH": str(ROOT / "core")},
        )  # fmt: skip
    assert done.returncode == 3 and done.stderr.startswith("error: the disk is full.") and done.stderr.count("\n") == 1


@posix
def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    script = f"mkdir gone; cd gone; rmdir ../gone; exec {sys.executable} -m elocute doctor --json"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, cwd=tmp_path,
                          env=os.environ | {"PYTHONPATH": str(ROOT / "core")})  # fmt: skip
    assert done.returncode == 3 and json.loads(done.stdout)["error"]["code"] == "folder_gone"


@pytest.mark.parametrize(
    "arguments", [("speak", "a.jpg", ""), ("speak", "a.jpg", "v.wav", "--frames-dir", " "), ("models", "import", "")]
)
def test_an_empty_path_is_not_the_current_folder(arguments: tuple[str, ...]) -> None:
    done = start(*arguments, "--json")
    assert done.returncode == 2 and "empty path" in json.loads(done.stdout)["error"]["message"]


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
def test_the_doctor_leaves_nothing_of_a_library_s_in_a_home(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("XDG_CACHE_HOME", TELEMETRY)}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT / "core")}
    for program in (["-m", "elocute", "doctor"], ["-c", "from elocute import doctor; doctor.examine()"]):
        subprocess.run([sys.executable, *program], capture_output=True, env=environment, timeout=60)
        assert not list(tmp_path.rglob("*icrosoft*")), "a library keeps a device id"


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
def test_a_signal_that_came_while_python_ran_a_text_is_an_exit_code_too(tmp_path: Path) -> None:
    """By itself Python would end by SIGINT then, although the signal was answered."""
    program = """
from elocute import __main__ as command
def stopped():
    try:
        exec("raise KeyboardInterrupt")
    except KeyboardInterrupt:
        print("said", end="")
        return 130
command._run = stopped
command.main()
"""
    (tmp_path / "stopped_command.py").write_text(program)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT / "core")])}
    command = [sys.executable, "-m", "stopped_command"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment)
    assert (done.returncode, done.stdout) == (130, "said"), done.stderr


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
