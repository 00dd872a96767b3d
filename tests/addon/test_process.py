"""The child process behind Blender's window: messages come, nothing waits, nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PATIENCE = 20.0
pytestmark = pytest.mark.skipif(os.name != "posix", reason="the stand-ins are POSIX programs")


@pytest.fixture
def start(load: Callable[[str], ModuleType], tmp_path: Path) -> Iterator[Callable[[str], Any]]:
    """start(code) runs Python code as the child."""
    module, started = load("process"), []

    def begin(code: str) -> Any:
        started.append(module.Process([sys.executable, "-u", "-c", code], os.environ, tmp_path))
        return started[-1]

    yield begin
    for process in started:
        process.stop()


def until(condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)
    return found


def alive(pid: int) -> bool:
    """Whether the process runs; one that ended and waits to be reaped by nobody's parent doesn't."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_messages_come_in_order_and_noise_is_kept_as_words(start: Callable[[str], Any]) -> None:
    code = """
import json
for line in ({"type": "hello", "version": "1", "protocol": 1}, {"type": "not yet known"}):
    print(json.dumps(line))
print("a library says something")
print(json.dumps({"type": "done", "job": "x", "ok": True, "result": {"n": 3}}))
"""
    process = start(code)
    until(lambda: not process.running())
    assert [message.type for message in process.messages()] == ["hello", "done"]
    assert process.messages() == [] and process.last_words() == "a library says something"


def test_requests_reach_it_and_closing_ends_it(start: Callable[[str], Any], load: Any) -> None:
    process = start("import sys; [print(line.replace('\"job\"', '\"type\": \"done\", \"job\"')) for line in sys.stdin]")
    protocol = load("process").Job("fit")
    process.send(protocol)
    message = until(process.messages)[0]
    assert message.type == "done" and message.job == "fit" and process.running()
    process.close()
    until(lambda: not process.running())


def test_a_child_that_no_longer_listens_doesnt_kill_its_parent(load: Any, tmp_path: Path) -> None:
    """In a Python of its own whose SIGPIPE is the system's, as inside some builds of Blender."""
    code = f"""
import os, signal, sys, time, types
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
root = {str(Path(load("process").__file__).parents[1])!r}
for name, path in (("package", root), ("package.addon", root + "/addon")):  # without Blender's own modules
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [path]
from package.addon.process import Job, Process
deaf = "import os, sys, time; os.close(0); print('deaf', file=sys.stderr); time.sleep(60)"
process = Process([sys.executable, "-c", deaf], os.environ, {str(tmp_path)!r})
while not process._said:
    time.sleep(0.01)
process.send(Job("fit"))
process._threads[2].join(20)
process.stop()
print("alive")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr


def test_nothing_waits_for_a_child_that_neither_reads_nor_answers(start: Callable[[str], Any], load: Any) -> None:
    started = time.monotonic()
    process = start("import time; time.sleep(60)")
    for _ in range(100):
        process.send(load("process").Job("speak", {"text": "x" * 10_000}))  # more than a pipe holds
        assert process.messages() == []
    process.stop()
    assert time.monotonic() - started < 20
    until(lambda: not process.running())


def test_stopping_ends_what_the_child_started(start: Callable[[str], Any]) -> None:
    process = start(
        "import json, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(json.dumps({'type': 'warning', 'message': str(child.pid)}))\n"
        "time.sleep(60)"
    )
    grandchild = int(until(process.messages)[0].message)
    assert alive(grandchild)
    process.stop()
    until(lambda: not alive(grandchild))


def test_a_child_may_put_its_things_away_before_it_is_killed(start: Callable[[str], Any], tmp_path: Path) -> None:
    tidy = "import pathlib, sys; print('up', file=sys.stderr); sys.stdin.read(); pathlib.Path('tidy').touch()"
    process = start(tidy)
    until(lambda: process._said)
    process.stop(PATIENCE)
    assert (tmp_path / "tidy").exists() and process._process.returncode == 0
    deaf = start("import time; time.sleep(60)")
    began = time.monotonic()
    deaf.stop(0.2)
    assert 0.2 <= time.monotonic() - began < PATIENCE and deaf._process.returncode < 0


def test_the_number_of_a_child_that_is_gone_is_never_killed(
    start: Callable[[str], Any], load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be another's by then."""
    killed: list[int] = []
    process = start("pass")
    monkeypatch.setattr(load("process").os, "killpg", lambda number, _: killed.append(number))
    until(lambda: not process.running())
    assert len(killed) <= 1, "what it left, at once"
    killed.clear()
    for _ in range(3):
        process.stop()
    assert killed == []


def test_a_child_that_ends_takes_along_what_it_started(start: Callable[[str], Any]) -> None:
    process = start(
        "import json, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(json.dumps({'type': 'warning', 'message': str(child.pid)}))"
    )
    until(lambda: not process.running())
    left = int(process.messages()[0].message)
    until(lambda: not alive(left))


def test_a_program_that_keeps_the_pipe_does_not_hide_the_end(
    start: Callable[[str], Any], load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load("process"), "WORDS_SECONDS", 0.1)
    process = start(
        "import json, subprocess, sys\n"
        "sleep = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
        "child = subprocess.Popen(sleep, stdout=subprocess.DEVNULL, start_new_session=True)\n"
        "print(json.dumps({'type': 'warning', 'message': str(child.pid)}))"
    )
    until(lambda: not process.running())
    os.kill(int(process.messages()[0].message), signal.SIGKILL)


@pytest.mark.parametrize(("code", "words"), [("raise SystemExit('no such thing')", "no such thing"),
                                             ("raise SystemExit(7)", "exit code 7")])  # fmt: skip
def test_why_it_ended_is_told(start: Callable[[str], Any], code: str, words: str) -> None:
    process = start(code)
    until(lambda: not process.running())
    assert process.last_words() == words


def test_a_talkative_child_does_not_stall(start: Callable[[str], Any]) -> None:
    process = start("import sys; sys.stderr.write('x\\n' * 200_000); print('y\\n' * 200_000)")
    until(lambda: not process.running())
    assert len(process._said) <= 80


def test_what_is_no_program_is_an_os_error(load: Callable[[str], ModuleType], tmp_path: Path) -> None:
    with pytest.raises(OSError):
        load("process").Process([tmp_path / "nothing"], os.environ, tmp_path)
