"""The command line with a stand-in for the pipeline: options arrive, answers and exit codes are what they should be.

The real thing is run by test_end_to_end.py.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
import types
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import elocute
from elocute import errors, protocol
from elocute.cli import app
from elocute.doctor import examine
from elocute.limits import ARGUMENTS, OPTIONS, pip_install
from elocute.settings import FitSettings, Shot

CORE = Path(elocute.__file__).parents[1]


@dataclass(frozen=True)
class Result:
    frames: int
    fps: Fraction
    output: Path | None
    frames_dir: Path | None
    seconds: float = 1.0
    rendered: int = 3
    reused: int = 0
    warnings: list[str] = field(default_factory=lambda: ["poses end early", "poses end early"])


@dataclass(frozen=True)
class Avatar:
    report: dict[str, Any]


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """Takes the pipeline's place; remembers what it was asked, raises what `error` holds."""
    from elocute.pipeline import curves

    seen = types.SimpleNamespace(shot=None, fit=None, error=None, frames=3)

    def speak(shot: Shot, report, cancelled) -> Result:
        seen.shot = shot
        report(protocol.Progress("render", 1, 3, 25.0))
        if seen.error:
            raise seen.error
        return Result(seen.frames, shot.fps, shot.output, shot.frames_dir)

    def prepare(portrait: str, settings: FitSettings, report, size: int = 512) -> Avatar:
        seen.fit = settings
        if seen.error:
            raise seen.error
        return Avatar({"face_height_px": 231.5, "pose_deg": {"yaw": 3.0}, "cached": False})

    module = types.ModuleType("elocute.pipeline")
    module.speak, module.prepare, module.curves = speak, prepare, curves  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "elocute.pipeline", module)
    monkeypatch.setattr(elocute, "pipeline", module, raising=False)
    return seen


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def test_every_option_arrives(pipeline: types.SimpleNamespace) -> None:
    done = run(
        *("speak", "a.jpg", "v.wav", "-o", "o.mp4", "--fps", "23.976", "--size", "384", "--poses", "p.json"),
        *("--curves", "c.json", "--background", "#102030", "--frames-dir", "f", "--frames", "5-9"),
        *("--expression-scale", "1.5", "--no-blink", "--still", "--seed", "7", "--device", "cpu", "--memory", "256"),
    )
    assert done.exit_code == 0, done.output
    assert pipeline.shot == Shot(
        portrait="a.jpg", voice=Path("v.wav"), output=Path("o.mp4"), fps=Fraction(24000, 1001), size=384,
        poses=Path("p.json"), curves=Path("c.json"), background="#102030", frames_dir=Path("f"), frames=(5, 9),
        expression_scale=1.5, blink=False, still=True, seed=7, device="cpu", memory_mb=256,
    )  # fmt: skip
    assert done.stdout == "o.mp4, f: 3 frames at 24000/1001 fps in 1.0 s\n"
    assert done.stderr == "warning: poses end early\n", "a warning is said once"


def test_what_is_noted_of_a_portrait_is_told_with_its_head(pipeline: types.SimpleNamespace) -> None:
    made = {"output": "f", "vertices": 3, "triangles": 1, "shape_keys": 52, "notes": ["no room for a framing of 4"]}
    sys.modules["elocute.pipeline"].write_head = lambda settings, report: made  # type: ignore[attr-defined]
    told = run("head", "a.jpg", "-o", "f", "--framing", "4").stdout.splitlines()
    assert told == ["f: 3 vertices, 1 triangles, 52 shape keys", "no room for a framing of 4"]


@pytest.mark.parametrize("places", [("models", "--json", "import"), ("models", "import", "--json")])
def test_an_import_speaks_json_wherever_that_is_asked_for(places: tuple[str, ...], tmp_path: Path) -> None:
    done = run(*places, str(tmp_path / "none.pth"))
    assert done.exit_code == 2 and "code" in json.loads(done.stdout.splitlines()[-1])["error"]


def test_models_are_fetched_or_imported(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["models", "--fetch", "import", str(tmp_path / "a.pth")])
    assert done.exit_code == 2 and "run one" in done.output


def test_one_frame_is_not_called_frames(pipeline: types.SimpleNamespace) -> None:
    pipeline.frames = 1
    assert "o.mp4: 1 frame at 25 fps" in run("speak", "a.jpg", "v.wav", "-o", "o.mp4").stdout


def test_json_lines_end_with_the_result(pipeline: types.SimpleNamespace) -> None:
    done = run("speak", "seed:7", "v.wav", "-o", "o.mp4", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[0] == {"progress": {"stage": "render", "done": 1, "total": 3, "fps": 25.0, "message": None}}
    assert lines[1] == {"warning": {"message": "poses end early"}}
    assert lines[-1]["frames"] == 3 and lines[-1]["output"] == "o.mp4" and lines[-1]["fps"] == "25"
    assert not done.stderr


@pytest.mark.skipif(os.name != "posix", reason="links need rights elsewhere")
def test_json_names_the_contact_sheet_which_is_written_through_a_link(
    pipeline: types.SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    monkeypatch.setattr("elocute.evaluate.sheet.sheet_of_video", lambda video, path: written.append(path))
    (tmp_path / "real").mkdir()
    (tmp_path / "s.png").symlink_to(tmp_path / "real" / "latest.png")
    command = ("speak", "seed:7", "v.wav", "-o", "o.mp4", "--json")
    done = run(*command, "--sheet", str(tmp_path / "s.png"))
    assert json.loads(done.stdout.splitlines()[-1])["sheet"] == str(tmp_path / "s.png")
    assert written == [tmp_path.resolve() / "real" / "latest.png"]
    assert json.loads(run(*command).stdout.splitlines()[-1])["sheet"] is None


def test_render_runs_a_shot_file(pipeline: types.SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "shot.json").write_text(json.dumps({"portrait": "a.jpg", "voice": "v.wav", "output": "o.mp4"}))
    assert run("render", str(tmp_path / "shot.json")).exit_code == 0
    assert pipeline.shot.portrait == str(tmp_path / "a.jpg")
    assert pipeline.shot.output == tmp_path / "o.mp4"


def test_fit_prints_its_report(pipeline: types.SimpleNamespace) -> None:
    done = run("fit", "a.jpg", "--refit")
    assert pipeline.fit == FitSettings("a.jpg", refit=True)
    assert "face_height_px" in done.stdout and "231.5" in done.stdout
    assert json.loads(run("fit", "a.jpg", "--json").stdout.splitlines()[-1])["pose_deg"] == {"yaw": 3.0}


@pytest.mark.parametrize(
    ("error", "exit_code", "code"),
    [
        (errors.BadInput("no_face", "no face in a.jpg. Use another photo."), 2, "no_face"),
        (errors.EnvironmentProblem("model_missing", "a model is missing. Fetch it."), 3, "model_missing"),
        (errors.Cancelled(), 130, "cancelled"),
        (KeyboardInterrupt(), 130, "cancelled"),
        (OSError(28, "No space left on device"), 3, "disk_full"),
        (MemoryError(), 3, "out_of_memory"),
        (ZeroDivisionError("division by zero"), 1, "internal"),
    ],
)
def test_errors_are_sentences_with_codes(
    pipeline: types.SimpleNamespace, error: BaseException, exit_code: int, code: str, monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    pipeline.error = error
    done = run("speak", "a.jpg", "v.wav", "-o", "o.mp4", "--json")
    assert done.exit_code == exit_code
    told = json.loads(done.stdout.splitlines()[-1])["error"]
    assert told["code"] == code
    assert done.stderr == f"error: {told['message']}\n" and "Traceback" not in done.output
    logs = list(tmp_path.glob("elocute-*.log"))
    assert bool(logs) == (code == "internal")
    if logs:
        assert str(logs[0]) in told["message"] and "ZeroDivisionError" in logs[0].read_text()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("speak", "a.jpg", "-o", "o.mp4"), "shot_no_drive"),
        (("speak", "a.jpg", "v.wav"), "shot_no_output"),
        (("speak", "a.jpg", "v.wav", "-o", "o.mp4", "--fps", "0"), "shot_range"),
        (("speak", "a.jpg", "v.wav", "-o", "o.mp4", "--size", "7"), "shot_range"),
        (("speak", "a.jpg", "v.wav", "-o", "o.mp4", "--frames", "b-a"), "shot_range"),
        (("speak", "a.jpg", "v.wav", "-o", "o.mp4", "--background", "green"), "shot_range"),
        (("speak", "a.jpg", "v.wav", "-o", "o.mp4", "--sheet", "s.gif"), "sheet_type"),
        (("render", "nothing.json"), "shot_not_found"),
        (("curves", "nothing.wav", "-o", "c.json"), "audio_missing"),
        (("curves", "nothing.wav", "-o", "."), "output_is_directory"),
        (("evaluate", "nothing.mp4"), "video_missing"),
    ],
)
def test_bad_input_is_told_before_any_work(
    pipeline: types.SimpleNamespace, arguments: tuple[str, ...], code: str, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(*arguments, "--json")
    assert done.exit_code == 2
    assert json.loads(done.stdout.splitlines()[-1])["error"]["code"] == code
    assert pipeline.shot is None
    assert not list(tmp_path.iterdir())


def test_usage_errors_exit_with_2() -> None:
    for arguments in (("speak",), ("speak", "--nonsense"), ("sing",), ("speak", "a", "v", "--size", "big")):
        assert run(*arguments).exit_code == 2


def test_a_misspelt_command_is_answered_in_whole_sentences() -> None:
    told = start("speek").stderr
    meant = r"( Did you mean 'speak'\?)?"  # says a newer Typer
    assert re.fullmatch(rf"error: no such command 'speek'\.{meant} See elocute --help\.\n", told), told


def test_help_has_each_bracket_once_and_names_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    told = run("speak", "--help").stdout
    assert "[VOICE]" in told and "[[" not in told
    assert "hold|loop|stretch" in told and "auto|cpu|cuda|mps" in told


def test_models_are_listed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ELOCUTE_MODELS", str(tmp_path))
    rows = json.loads(run("models", "--json").stdout)["models"]
    for row in rows:
        assert {"role", "file", "source", "licence", "sha256", "present"} <= set(row)
    assert not next(row for row in rows if row["role"] == "face")["present"]
    assert "Apache-2.0" in run("models").stdout


def test_the_doctor_tells_what_is_missing_and_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ELOCUTE_MODELS", str(tmp_path))
    done = run("doctor", "--json")
    assert done.exit_code == 3
    result = json.loads(done.stdout)
    assert not result["ok"] and "cpu" in result["devices"]
    face = next(check for check in result["checks"] if check["name"] == "model face")
    assert not face["ok"] and face["fix"] == "elocute models --fetch"
    assert "MISSING  model face" in run("doctor").stdout


def test_the_doctor_names_the_variable_that_gives_a_folder_another_place(monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, variable in (("models folder", "ELOCUTE_MODELS"), ("avatars folder", "ELOCUTE_AVATARS")):
        for place, ok in ((tmp_path / "file", False), (tmp_path / "folder", True)):
            monkeypatch.setenv(variable, str(place))
            check = next(check for check in examine()["checks"] if check["name"] == name)
            assert check["ok"] is ok and str(place) in check["detail"] and (ok or variable in check["fix"])


def test_the_doctor_tells_what_a_user_without_a_home_does(homeless: None) -> None:
    told = [check for check in examine()["checks"] if "no home folder is known" in check["detail"]]
    assert {"model face", "folders"} <= {check["name"] for check in told} and not any(check["ok"] for check in told)
    assert {check["fix"] for check in told} == {"Set HOME, or name folders in ELOCUTE_MODELS and ELOCUTE_AVATARS."}


def start(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "elocute", *arguments], capture_output=True, text=True, timeout=60,
        env=os.environ | {"PYTHONPATH": str(CORE)} | environment,
    )  # fmt: skip


def test_the_module_runs_as_a_program() -> None:
    assert start("--version").stdout == f"elocute {elocute.__version__}\n"
    assert "speak" in start("--help").stdout
    assert (done := start()).returncode == 0 and "Usage" in done.stdout


def test_starting_imports_nothing_heavy() -> None:
    code = "import sys, elocute.cli; print(sorted({'torch', 'numpy', 'cv2', 'numba'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(CORE)}
    )
    assert done.stdout.strip() == "[]", done.stderr


BARE = [sys.executable, "-S", "-m", "elocute"]  # without the installed libraries


def last_line(command: list[str], path: str = str(CORE)) -> tuple[dict[str, Any], int]:
    """What a command says at last, as JSON, and its exit code."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env=os.environ | {"PYTHONPATH": path}
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1]), done.returncode


def test_the_doctor_works_where_nothing_is_installed() -> None:
    result, code = last_line([*BARE, "doctor", "--json"])
    checks = {check["name"]: check for check in result["checks"]}
    assert code == 3 and not result["ok"] and result["devices"] == []
    assert checks["Python"]["ok"] and not checks["ffmpeg"]["ok"]
    for package in ("torch", "numpy", "typer", "imageio-ffmpeg"):
        assert not checks[package]["ok"] and checks[package]["fix"] == pip_install(package)
    refused, code = last_line([*BARE, "models", "--json"])
    assert code == 3 and refused["error"]["code"] == "library_missing" and "typer" in refused["error"]["message"]


def test_a_worker_examines_an_environment_where_nothing_is_installed() -> None:
    process = subprocess.Popen([*BARE, "worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               env=os.environ | {"PYTHONPATH": str(CORE)})  # fmt: skip
    assert process.stdin and process.stdout
    with process, process.stdin, process.stdout:
        process.stdin.write('{"job": "doctor"}\n')
        process.stdin.flush()
        answers = [json.loads(process.stdout.readline()) for _ in range(2)]
    assert answers[0]["type"] == "hello" and answers[1]["type"] == "done"
    assert not answers[1]["result"]["ok"] and answers[1]["result"]["checks"]


def test_the_doctor_tells_of_a_library_that_does_not_load(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise OSError('[WinError 126] The specified module could not be found')")
    command = [sys.executable, "-m", "elocute", "doctor", "--json"]
    result, code = last_line(command, f"{tmp_path}{os.pathsep}{CORE}")
    torch = next(check for check in result["checks"] if check["name"] == "torch")
    assert code == 3 and not torch["ok"] and "WinError 126" in torch["detail"]
    assert torch["fix"] == pip_install("--force-reinstall", "torch") and result["devices"] == []


def test_a_broken_installation_is_a_sentence_too(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise ImportError('half installed')")
    done = start("models", PYTHONPATH=f"{tmp_path}{os.pathsep}{CORE}")
    assert done.returncode == 1
    assert done.stderr.startswith("error: internal error (ImportError: half installed)")
    assert "Traceback" not in done.stderr


def test_a_reader_that_stops_reading_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "elocute", "models"], stdout=write, stderr=subprocess.PIPE, text=True, timeout=60,
        env=os.environ | {"PYTHONPATH": str(CORE)},
    )  # fmt: skip
    os.close(write)
    assert done.returncode == 1 and not done.stderr


def test_every_option_that_a_refusal_can_name_exists() -> None:
    speak = typer.main.get_command(app).commands["speak"]  # type: ignore[attr-defined]
    options = {name for parameter in speak.params for name in parameter.opts + parameter.secondary_opts}
    settings = {field.name for field in dataclasses.fields(Shot)} - set(ARGUMENTS)
    assert {"--" + OPTIONS.get(name, name).replace("_", "-") for name in settings} <= options


def test_tables_leave_out_what_is_empty() -> None:
    from elocute.console import table

    empty = {"none": None, "list": [], "pair": (), "inside": {"b": None, "c": {}}}
    assert table({"a": 1.25, **empty, "ok": {"d": [None, 2]}}) == "a   1.25\nok\n  d  -, 2"
    assert table({}) == ""
    assert table({"a": [], "b": {"c": None}}, unknown=True) == "b\n  c  -"
