"""The queue, with stand-ins for the engine: no Blender."""

from __future__ import annotations

import errno
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

Load = Callable[[str], ModuleType]
ENGINE = """
def say(**values): print(json.dumps(values), flush=True)
say(type="hello", version="0", protocol=1)
cancelled = False
for line in sys.stdin:
    request = json.loads(line)
    if request.get("cancel"):
        continue
    name, shot = request["job"], request["shot"]
    if shot.get("die"):
        sys.exit("the engine fell over")
    for i in range(shot.get("frames", 0)):
        say(type="frame", index=i + 1, path=f"{i + 1:06d}.png")
        say(type="progress", stage="render", done=i + 1, total=shot["frames"], fps=10.0)
    if shot.get("deaf"):
        time.sleep(60)
    if shot.get("wait"):
        json.loads(sys.stdin.readline())
        say(type="failed", code="cancelled", message="stopped; finished frames are kept")
        say(type="done", job=name, ok=False)
        continue
    if shot.get("refuse"):
        say(type="failed", code="no_face", message="no face in it. Use another.")
        say(type="done", job=name, ok=False)
        continue
    if shot.get("environment"):
        shot = os.environ[shot["environment"]]
    say(type="warning", message="be careful")
    say(type="done", job=name, ok=True, result={"echo": shot})
"""


@pytest.fixture
def tasks(load: Load, tmp_path: Path) -> Iterator[ModuleType]:
    python = tmp_path / "python"
    python.write_text(f"#!{sys.executable}\nimport json, os, sys, time\n{ENGINE}")
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    module = load("tasks")
    module.configure(lambda: python, lambda: tmp_path / "elocute.log")
    yield module
    module.stop_engine()


def task(tasks: ModuleType, *asks: dict, title: str = "one") -> object:
    def steps(own: object) -> Iterator:
        found = []
        for ask in asks:
            yield None
            found.append((yield tasks.Ask("speak", ask)))
        return found

    return tasks.add(tasks.Task("render", title, steps))


def pumped(tasks: ModuleType, until: Callable[[], bool], seconds: float = 20) -> float:
    """Pumps till something holds; returns the longest that a pump took."""
    longest, end = 0.0, time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "it never came"
        started = time.perf_counter()
        tasks.pump()
        longest = max(longest, time.perf_counter() - started)
        time.sleep(0.002)
    return longest


def test_answers_come_back_to_the_steps_and_nothing_waits(tasks: ModuleType) -> None:
    done = task(tasks, {"frames": 3}, {"frames": 2})
    longest = pumped(tasks, lambda: done.over)
    assert done.state == tasks.DONE and [answer["echo"] for answer in done.result] == [{"frames": 3}, {"frames": 2}]
    assert sorted(done.frames) == [1, 2, 3] and done.warnings == ["Be careful"]
    assert longest < 0.25, "the main thread waited"
    assert not tasks.busy() and tasks.worker is not None, "the engine stays for the next"


def test_one_that_fails_stops_no_other(tasks: ModuleType) -> None:
    first, second, third = (task(tasks, ask) for ask in ({"refuse": True}, {"die": True}, {"frames": 1}))
    pumped(tasks, lambda: third.over)
    assert (first.state, first.code, first.message) == (tasks.FAILED, "no_face", "No face in it. Use another.")
    assert (second.state, second.code) == (tasks.FAILED, "engine_ended") and "fell over" in second.message
    assert third.state == tasks.DONE


def test_a_running_job_can_be_cancelled(tasks: ModuleType) -> None:
    running, waiting = task(tasks, {"frames": 2, "wait": True}, {"frames": 9}), task(tasks, {})
    pumped(tasks, lambda: len(running.frames) == 2)
    tasks.cancel_all()
    assert waiting.state == tasks.CANCELLED
    pumped(tasks, lambda: running.over)
    assert running.state == tasks.CANCELLED and len(running.frames) == 2


def test_what_a_stopped_job_cannot_put_away_keeps_no_other_running(tasks: ModuleType, tmp_path: Path) -> None:
    def locked(own: object) -> Iterator:
        try:
            while True:
                yield None
        finally:
            raise PermissionError(errno.EACCES, "Permission denied", "curves.json.part")

    waiting, running = task(tasks, {}), tasks.add(tasks.Task("render", "locked", locked))
    tasks.tasks.reverse()  # the one that runs is stopped first
    tasks.pump()
    tasks.cancel_all()
    assert (waiting.state, running.state, running.message) == (tasks.CANCELLED, tasks.CANCELLED, "Stopped")
    assert not tasks.pump() and "PermissionError" in (tmp_path / "elocute.log").read_text()


def test_a_file_that_cannot_be_removed_hides_no_reason(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", held)
    with pytest.raises(ZeroDivisionError), load("curves")._whole(tmp_path / "curves.json"):
        raise ZeroDivisionError


def test_an_engine_that_does_not_listen_is_ended(tasks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "CANCEL_SECONDS", 0.2)
    running = task(tasks, {"frames": 1, "deaf": True})
    pumped(tasks, lambda: len(running.frames) == 1)
    pid = tasks.worker.pid
    tasks.cancel(running)
    pumped(tasks, lambda: running.over, 5)
    assert running.state == tasks.CANCELLED and tasks.worker is None
    assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text()


def test_a_killed_engine_is_told_and_started_again(tasks: ModuleType) -> None:
    running = task(tasks, {"frames": 1, "deaf": True})
    pumped(tasks, lambda: len(running.frames) == 1)
    tasks.worker._process.kill()
    pumped(tasks, lambda: running.over)
    assert running.code == "engine_ended" and "render again" in running.message
    after = task(tasks, {"frames": 1})
    pumped(tasks, lambda: after.over)
    assert after.state == tasks.DONE


def test_a_defect_is_noted_and_the_queue_goes_on(tasks: ModuleType, tmp_path: Path) -> None:
    def broken(own: object) -> Iterator:
        yield None
        raise ZeroDivisionError("oh")

    first = tasks.add(tasks.Task("render", "broken", broken))
    second = task(tasks, {})
    pumped(tasks, lambda: second.over)
    assert first.code == "internal" and "ZeroDivisionError" in (tmp_path / "elocute.log").read_text()
    assert second.state == tasks.DONE


def test_a_log_that_cannot_be_written_stops_nothing(tasks: ModuleType, tmp_path: Path) -> None:
    python = tasks._find_python()
    tasks.configure(lambda: python, lambda: tmp_path / "no folder" / "elocute.log")

    def broken(own: object) -> Iterator:
        yield None
        raise ZeroDivisionError("oh")

    first, second = tasks.add(tasks.Task("render", "broken", broken)), task(tasks, {})
    pumped(tasks, lambda: second.over)
    assert (first.code, second.state) == ("internal", tasks.DONE)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full", "The disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "/films/job"), "file_refused", "/films/job: Permission"),
        (OSError("something else"), "internal", "defect of Elocute"),
    ],
)
def test_what_the_system_refuses_is_no_defect(
    tasks: ModuleType, tmp_path: Path, error: OSError, code: str, words: str
) -> None:
    def refused(own: object) -> Iterator:
        yield None
        raise error

    done = tasks.add(tasks.Task("render", "refused", refused))
    pumped(tasks, lambda: done.over)
    assert (done.state, done.code) == (tasks.FAILED, code) and words in done.message
    assert (tmp_path / "elocute.log").exists() == (code == "internal")


def test_another_engine_is_used_at_once(tasks: ModuleType, tmp_path: Path) -> None:
    tasks.run(task(tasks, {}))
    first, old = tasks.worker, tasks._find_python()
    tasks.run(task(tasks, {}))
    assert tasks.worker is first, "the same engine stays"
    other = tmp_path / "other"
    other.write_bytes(old.read_bytes())
    other.chmod(0o755)
    tasks.configure(lambda: other, lambda: tmp_path / "elocute.log")
    assert tasks.run(task(tasks, {})).state == tasks.DONE
    assert tasks.worker is not first and not first.running()


def test_the_engine_is_told_where_the_log_is(tasks: ModuleType, tmp_path: Path) -> None:
    done = tasks.run(task(tasks, {"environment": "ELOCUTE_LOG"}))
    assert done.result == [{"echo": str(tmp_path / "elocute.log")}]


def test_without_an_engine_the_task_says_so(tasks: ModuleType, tmp_path: Path) -> None:
    tasks.configure(lambda: tmp_path / "nothing", lambda: tmp_path / "log")
    done = task(tasks, {})
    pumped(tasks, lambda: done.over)
    assert (done.state, done.code) == (tasks.FAILED, "engine_missing")


def test_a_background_run_is_over_when_it_returns(tasks: ModuleType) -> None:
    assert tasks.run(task(tasks, {"frames": 2})).state == tasks.DONE
    stopped = tasks.run(task(tasks, {"frames": 1, "wait": True}), lambda: bool(tasks.tasks[-1].frames))
    assert stopped.state == tasks.CANCELLED


def test_nothing_is_touched_while_it_only_listens(tasks: ModuleType) -> None:
    waiting = task(tasks, {"frames": 2})
    for _ in range(3):
        assert tasks.pump(only_listen=True) and waiting.state == "waiting"
    while not waiting.asked:
        tasks.pump()
    end = time.monotonic() + 20
    while waiting.asked:
        assert time.monotonic() < end and tasks.pump(only_listen=True)
        time.sleep(0.002)
    assert len(waiting.frames) == 2 and waiting.state == tasks.RUNNING, "the engine is heard, the steps don't go on"
    assert tasks.run(waiting).state == tasks.DONE


def test_what_is_over_can_be_forgotten(tasks: ModuleType) -> None:
    tasks.run(task(tasks, {}))
    waiting = task(tasks, {})
    tasks.clear()
    assert tasks.tasks == [waiting]
