"""Progress on a terminal, silence on a pipe."""

from __future__ import annotations

import io

import pytest

from elocute.console import Console, as_known_error
from elocute.errors import EnvironmentProblem
from elocute.protocol import Frame, Progress, Warned


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def talk(console: Console) -> None:
    console(Progress("fit", 0, 4, None, "reading the portrait"))
    console(Progress("render", 1, 40, 12.5))
    console(Frame(1, "000001.png"))
    console(Warned("poses end early"))
    console(Progress("render", 40, 40, 12.5))
    console.result({"frames": 40}, "40 frames")


def test_a_terminal_sees_bars_and_gets_its_line_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    talk(Console())
    seen = screen.getvalue()
    assert "4/4" in seen, "a stage that ended before the next has to look finished"
    assert "40/40" in seen and "12.5 frames/s" in seen and "warning: poses end early" in seen
    assert seen.rstrip().endswith("\x1b[?25h"), "the cursor stays hidden"
    assert capsys.readouterr().out == "40 frames\n"


def test_a_pipe_sees_results_and_warnings_only(capsys: pytest.CaptureFixture) -> None:
    talk(Console())
    assert capsys.readouterr() == ("40 frames\n", "warning: poses end early\n")


def test_what_nobody_foresaw_is_added_to_the_log_that_the_caller_names(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, own = tmp_path / "engine.log", tmp_path / "own"
    own.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(own))
    monkeypatch.setenv("ELOCUTE_LOG", str(log))
    for number in (1, 2):
        told = as_known_error(ValueError(f"odd {number} \udcff"))
        assert str(log) in told.message and not list(own.iterdir())
    assert "odd 1" in log.read_text() and "odd 2" in log.read_text()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("ELOCUTE_LOG", "~/engine.log")
    assert str(log) in as_known_error(ValueError("odd 3")).message and "odd 3" in log.read_text()
    for nowhere in (str(tmp_path), "~nobody-is-called-so/log"):  # a folder: the other way is left
        monkeypatch.setenv("ELOCUTE_LOG", nowhere)
        as_known_error(ValueError("odd"))
        (written,) = own.iterdir()
        assert "ValueError: odd" in written.read_text()
        written.unlink()


def test_torch_out_of_memory_is_no_defect(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(RuntimeError) as huge:  # 4 EB: no machine has them, and none is asked to touch them
        torch.empty(2**60)
    for error in (
        huge.value,
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:72] DefaultCPUAllocator: not enough memory: you tried ..."),
        RuntimeError("MPS backend out of memory (MPS allocated: 9.00 GB)"),
    ):
        told = as_known_error(error)
        assert (told.code, told.exit_code) == ("out_of_memory", 3) and "--fit-memory" in told.message
    assert not list(tmp_path.iterdir()), "a log for nothing"
    assert as_known_error(RuntimeError("shapes differ")).code == "internal"


def test_known_errors_stay_what_they_are(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = EnvironmentProblem("x", "a sentence.")
    assert as_known_error(error) is error
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    told = as_known_error(ValueError("odd\nlines"))
    assert as_known_error(ModuleNotFoundError("No module named 'elocute.x'", name="elocute.x")).code == "internal"
    assert told.code == "internal" and "no log could be written" in told.message and "\n" not in told.message
