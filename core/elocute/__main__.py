"""`python -m elocute` and the `elocute` command."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn

# The fit solves many small systems; on busy cores OpenBLAS threads spin against each other and take ten times longer.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# onnxruntime's official builds send usage events to Microsoft and keep a device id in the user's home unless told
# otherwise before the import.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def main() -> None:
    """Run the command line and exit with its code; never shows a traceback."""
    try:
        code: str | int | None = _run()
    except SystemExit as end:
        code = end.code
    except KeyboardInterrupt:  # while the modules below were still being imported
        print("error: stopped", file=sys.stderr)
        code = 130
    # A signal that came while Python ran a text, as importing a dataclass does, makes `python -m` end by SIGINT however
    # it was answered; and taking apart what a worker has loaded takes longer than it may after stdin has ended.
    if code == 130 or (isinstance(code, int) and sys.argv[1:] == ["worker"]):
        _leave(code)
    sys.exit(code)


def _leave(code: int) -> NoReturn:
    """End at once. What is open and half-written is gone by now: whoever wrote it has unwound."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


def _open_streams() -> None:
    """Under a daemon, or after `2>&-`, streams are missing: what is said there goes nowhere, and no file that is opened
    later may get their numbers."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            handle = os.open(os.devnull, os.O_RDWR)
            if handle != number:
                os.dup2(handle, number)
                os.close(handle)
            os.set_inheritable(number, True)  # nor may a child's
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))


def _run() -> int:
    from elocute.console import Console, as_known_error, terminated_like_interrupted
    from elocute.errors import Cancelled, EnvironmentProblem
    from elocute.machine import room_for_compiled_code

    arguments = sys.argv[1:]
    _open_streams()
    with terminated_like_interrupted(), room_for_compiled_code():
        try:
            try:
                os.getcwd()
            except FileNotFoundError:  # libraries would die of it in sentences of their own
                why = "the current folder is gone. Change to another and run the command again."
                raise EnvironmentProblem("folder_gone", why) from None
            for stream in (sys.stdout, sys.stderr):  # a file name that is no text must not break a sentence about it
                if hasattr(stream, "reconfigure"):
                    stream.reconfigure(errors="backslashreplace")
            # What tells what an environment lacks has to work without it, and Typer may be what is lacking.
            if arguments == ["worker"]:
                from elocute.worker import serve

                return serve()
            if arguments in (["doctor"], ["doctor", "--json"]):
                from elocute.doctor import tell

                tell("--json" in arguments)
                return 0
            from elocute.cli import app

            code = int(app(arguments or ["--help"], prog_name="elocute", standalone_mode=False) or 0)
            if code == Cancelled.exit_code and not Console.told_error:
                raise KeyboardInterrupt
            return code
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - imports, usage
            known = as_known_error(error)
            Console("--json" in arguments).error(known)
            return known.exit_code


if __name__ == "__main__":
    main()
