"""Makes an environment for the engine: `python -m elocute.installation --into FOLDER` (standard library only).

Blender starts this with its own Python, which stays untouched: everything goes below FOLDER. It speaks the worker's
protocol: `progress`, `warning` and perhaps `failed`, `done` last; a cancel line on stdin, or stdin's end, stops it.
What pip says goes into FOLDER/setup.log. A finished step is noted in FOLDER, so that the next run goes on where one
was stopped; models are verified and the engine is examined every time.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from .errors import BadInput, Cancelled, ElocuteError, EnvironmentProblem
from .installing import Bar, Say
from .machine import binaries, clean_environment, explain, find_python, has_nvidia, probe, program_of, torch_arguments
from .protocol import Cancel, Done, Failed, Hello, Message, Warned, decode_request, encode

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT, LOG, READY = "environment", "setup.log", "ready"  # in FOLDER; the last holds what it is complete for
DISK_MB = {"cpu": 3000, "cuda": 9000}  # 1.8 GB measured, or about 6 with CUDA, and room for what pip unpacks
RAW_PROGRESS = (24, 1)  # the pip that tells bytes in a form for programs


class Installation:
    """One run: where it goes, what is wanted, and the program that is running for it."""

    def __init__(self, into: Path, say: Say, python: str | None = None, torch: str = "auto") -> None:
        """`torch`: "auto", "cpu", "cuda", or what pip should be given instead."""
        self.into, self.say, self.named, self.torch = into, say, python, torch
        self.python = program_of(into / ENVIRONMENT)
        self._noted = into / "steps.json"
        self._bar = Bar(say)
        self._log: IO[str] | None = None
        self._child: subprocess.Popen[str] | None = None
        self._cancelled = threading.Event()

    def run(self) -> dict[str, Any]:
        """All steps. Returns {"python", "doctor"}; raises EnvironmentProblem, BadInput, Cancelled."""
        try:
            return self._run()
        except ElocuteError:
            if self._cancelled.is_set():  # what failed was stopped, whatever it looks like
                raise Cancelled("stopped; set-up can go on later") from None
            raise

    def _run(self) -> dict[str, Any]:
        self.into.mkdir(parents=True, exist_ok=True)
        with only_one(self.into / "lock"), (self.into / LOG).open("w", encoding="utf-8") as self._log:
            (self.into / READY).unlink(missing_ok=True)
            cuda = has_nvidia()
            wanted = torch_arguments(self.torch, sys.platform, cuda)
            self._check_disk(cuda, shlex.join(wanted))
            self._environment()
            self._once("pip", "1", lambda: self._pip("install", "--upgrade", "pip"))
            self._once("torch", shlex.join(wanted), lambda: self._torch([*binaries(wanted), *wanted]))
            libraries = required_libraries()
            self._once("libraries", shlex.join(libraries), lambda: self._libraries(libraries))
            self._models()
            answer = self._doctor(cuda)
            (self.into / READY).write_text(needs(str(answer["version"])), encoding="utf-8")
            return {"python": str(self.python), "doctor": answer}

    def cancel(self) -> None:
        """Stop at once, from another thread or a signal; with what the running program has started in turn."""
        if self._cancelled.is_set():
            return
        self._cancelled.set()
        child = self._child
        if child is not None and child.poll() is None:
            child.kill()
        if os.name == "posix" and os.getpgrp() == os.getpid():  # this process was given a group of its own
            os.killpg(0, signal.SIGTERM)

    def _environment(self) -> None:
        self._bar.begin("environment")
        noted = self._notes().get("environment")
        if noted and self.python.exists() and (not self.named or noted == self.named) and probe(self.python):
            return
        base = find_python(self.named)
        for old in (self._noted, self.into / ENVIRONMENT):
            shutil.rmtree(old, ignore_errors=True) if old.is_dir() else old.unlink(missing_ok=True)
        self._call([base, "-m", "venv", self.into / ENVIRONMENT])
        self._note("environment", self.named or str(base))

    def _torch(self, arguments: list[str]) -> None:
        if "torch" in self._notes():  # another build: pip is content with any build of the version, so it is made to
            self._note("torch", "")  # a run that is stopped meanwhile leaves neither
            self._pip("install", "--force-reinstall", "--no-deps", *arguments)
        self._pip("install", *arguments)

    def _libraries(self, libraries: list[str]) -> None:
        self._pip("install", "--only-binary", ":all:", *libraries)
        found = self._call([self.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
        # The engine itself is this very source, not a copy of it: it can't fall behind the side that drives it.
        (Path(found[-1]) / "elocute.pth").write_text(f"{ROOT / 'core'}\n", encoding="utf-8")

    def _models(self) -> None:
        self._bar.begin("models")
        self._engine("models", "--fetch")

    def _doctor(self, cuda: bool) -> dict[str, Any]:
        self._bar.begin("check")
        answer = self._engine("doctor")
        if cuda and self.torch in ("auto", "cuda") and not any("cuda" in name for name in answer["devices"]):
            self.say(Warned("PyTorch can't use the NVIDIA card: its driver may be too old. The engine uses the CPU"))
        return answer

    def _engine(self, *arguments: str) -> dict[str, Any]:
        """The engine's last JSON object for a command. Raises EnvironmentProblem with the engine's own sentence."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "core"), "PYTHONUTF8": "1"}
        lines = self._call([self.python, "-m", "elocute", *arguments, "--json"], environment, may_fail=True)
        answer: dict[str, Any] = {}
        for line in lines:
            with suppress(ValueError, TypeError):
                answer = dict(json.loads(line))
        if "error" in answer:
            raise EnvironmentProblem(str(answer["error"]["code"]), str(answer["error"]["message"]))
        if not answer or answer.get("ok") is False:
            missing = [f"{c['name']}: {c['fix']}" for c in answer.get("checks", []) if c["needed"] and not c["ok"]]
            raise EnvironmentProblem("engine_incomplete", missing[0] if missing else f"the engine failed: {lines[-1]}")
        return answer

    def _pip(self, *arguments: str) -> None:
        bar = ["--progress-bar", "raw"] if self._pip_version() >= RAW_PROGRESS else ["--progress-bar", "off"]
        self._call([self.python, "-m", "pip", "--disable-pip-version-check", "--no-input", arguments[0], *bar,
                    *arguments[1:]])  # fmt: skip

    def _pip_version(self) -> tuple[int, ...]:
        said = self._call([self.python, "-m", "pip", "--version"])[-1]
        return tuple(int(part) for part in re.findall(r"\d+", said)[:2])

    def _call(
        self, command: list[Any], environment: Mapping[str, str] | None = None, may_fail: bool = False
    ) -> list[str]:
        """Run a program to its end: its lines, which go to the log too. Raises Cancelled, EnvironmentProblem."""
        words = [str(part) for part in command]
        print(f"$ {shlex.join(words)}", file=self._log, flush=True)
        if self._cancelled.is_set():
            raise Cancelled("stopped; set-up can go on later")
        try:
            child = self._child = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                encoding="utf-8", errors="replace", env=environment or clean_environment(),
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )  # fmt: skip
        except OSError as error:
            raise EnvironmentProblem("python_missing", f"{words[0]} can't be started: {error.strerror}") from error
        if self._cancelled.is_set():  # between the question above and the start
            child.kill()
        lines = []
        assert child.stdout is not None
        with child.stdout:
            for line in child.stdout:
                if not self._bar.heard(line):
                    lines.append(line.rstrip())
                    print(line, end="", file=self._log, flush=True)
        if child.wait() and self._cancelled.is_set():
            raise Cancelled("stopped; set-up can go on later")
        if child.returncode and not may_fail:
            raise explain(lines, self.into)
        return lines or [f"exit code {child.returncode}"]

    def _once(self, step: str, key: str, work: Callable[[], object]) -> None:
        """Do a step unless it was done with the same key."""
        self._bar.begin(step)
        if self._notes().get(step) != key:
            work()
            self._note(step, key)

    def _notes(self) -> dict[str, str]:
        try:
            return dict(json.loads(self._noted.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):  # none yet, or damaged: every step is done again
            return {}

    def _note(self, step: str, key: str) -> None:
        temporary = self._noted.with_suffix(".part")
        temporary.write_text(json.dumps({**self._notes(), step: key}), encoding="utf-8")
        temporary.replace(self._noted)

    def _check_disk(self, cuda: bool, torch: str) -> None:
        notes = self._notes()
        needed = DISK_MB["cuda" if self.torch == "cuda" or (cuda and self.torch != "cpu") else "cpu"]
        if notes.get("libraries"):
            if notes.get("torch") == torch:
                return
            needed -= DISK_MB["cpu"]  # which are here, whatever the build of PyTorch
        free = shutil.disk_usage(self.into).free >> 20
        if free < needed:
            raise EnvironmentProblem(
                "disk_full", f"{self.into} has {free} MB free and set-up needs {needed}. Free some space and try again"
            )


def required_libraries() -> list[str]:
    """The engine's dependencies, from the pyproject.toml beside the source."""
    with (ROOT / "pyproject.toml").open("rb") as stream:
        return list(tomllib.load(stream)["project"]["dependencies"])


def needs(version: str) -> str:
    """What an environment has to have for the engine of a version: an older one may lack a library or a model."""
    return "\n".join([version, *required_libraries(), ""])


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold a lock that ends with the process. Raises EnvironmentProblem setup_runs."""
    with path.open("a") as stream:
        try:
            if os.name == "nt":
                import msvcrt

                msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
            else:
                import fcntl

                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            words = "another Blender is setting the engine up. Wait until it is done"
            raise EnvironmentProblem("setup_runs", words) from None
        yield


def listen(installation: Installation) -> None:
    """Cancel on a cancel line and at the end of stdin."""
    for line in sys.stdin:
        with suppress(BadInput):
            if isinstance(decode_request(line), Cancel):
                break
    installation.cancel()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="elocute.installation", description="Makes an environment for the engine.")
    parser.add_argument("--into", type=Path, required=True, help="the folder of the environment")
    parser.add_argument("--python", help="the Python to make it from, instead of this one")
    parser.add_argument("--torch", default="auto", help="auto, cpu, cuda, or arguments for pip")
    options = parser.parse_args(arguments)
    lock = threading.Lock()

    def say(message: Message) -> None:
        with lock:
            print(encode(message), flush=True)

    say(Hello("installation"))
    installation = Installation(options.into.absolute(), say, options.python, options.torch)
    signal.signal(signal.SIGTERM, lambda *_: installation.cancel())
    threading.Thread(target=listen, args=(installation,), daemon=True).start()
    try:
        result = installation.run()
    except ElocuteError as error:
        say(Failed(error.code, str(error)))
        say(Done("installation", ok=False))
        return error.exit_code
    except OSError as error:
        problem = EnvironmentProblem("output_not_writable", f"{options.into} can't be written to: {error.strerror}")
        say(Failed(problem.code, str(problem)))
        say(Done("installation", ok=False))
        return problem.exit_code
    say(Done("installation", result=result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
