"""What a setting may be: ranges, texts that stand for numbers, one check for each name; and the places that the
environment names (standard library only)."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

from .errors import BadInput, EnvironmentProblem

SIZES = (64, 2048)  # below 64 px a face has no mouth to speak of; a head keeps 1024 pixels, twice enlarged at most
FRAME_RATES = (1, 240)
EXPRESSION_SCALES = (0.0, 4.0)  # 0 mutes the face, 1 is what was said, above 4 any mesh tears
MEMORY_MB = (64, 65536)
FIT_STEPS = (1, 100_000)
FRAMINGS = (1.6, 4.0)  # face heights in a picture's side: less cuts forehead or chin, more leaves no face to look at
# The FFHQ convention, which is what face generators show; measured on six photos, a looser frame loses detail of the
# face at 512 px (1.7: 4 %, 2.3: 22 %).
USUAL_FRAMING = 1.7
SEEDS = (0, 2**32 - 1)  # what NumPy's and torch's generators both accept
ORDER = "first to last, in this order"  # what frame numbers have to be
LAST_FRAME = 9_999_999  # three days at 30 fps; a larger number is a typing error
MODEL_SETS = ("embedded", "nerffacespeech")
POSES_FITS = ("hold", "loop", "stretch")
PRECISIONS = ("auto", "full", "mixed")
ARGUMENTS = ("portrait", "voice")  # on the command line these have a place and no name
OUTPUTS = ("output", "frames_dir", "json_file", "html", "sheet")
OPTIONS = {"memory_mb": "memory", "fit_memory_mb": "fit_memory"}  # settings that the command line calls otherwise
SMOOTHING = (0.0, 2.0)  # seconds; more than two leave nothing of a nod

_NTSC_NOMINAL = (24, 30, 48, 60, 120)  # rates that people write as 23.976, 29.97, ... and mean n * 1000 / 1001
# ASCII digits: others count for Python too, but what follows wouldn't know a zero of theirs. Bounded:
# Fraction("1e999999999") wouldn't return.
_FPS_TEXT = re.compile(r"\d{1,6}(\.\d{1,20})?|\d{1,12}/\d{1,12}", re.ASCII)
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?", re.ASCII)
_BACKGROUND = re.compile(r"keep|transparent|#[0-9a-fA-F]{6}")
_SEED_PORTRAIT = re.compile(r"seed:\d{1,10}", re.ASCII)
_ADDRESS = re.compile(r"(https?|ftps?|s3|gs|rts?p|rtmps?):/+", re.IGNORECASE)  # a Path keeps one slash of two
_FRAMES_TEXT = re.compile(r"(\d{1,7})(?:-(\d{1,7}))?", re.ASCII)

# What a job file's values are called there.
_KINDS = {
    bool: "true or false", str: "text in quotes", int: "a whole number", float: "a number", list: "a list",
    dict: "an object", type(None): "null",
}  # fmt: skip


def parse_fps(value: str | int | float | Fraction) -> Fraction:
    """Frame rate as an exact fraction: "25" -> 25, "12.5" -> 25/2, "24000/1001", and "23.976" -> 24000/1001.

    A broadcast rate written with two or more decimals means n * 1000 / 1001: taken literally, sound and picture
    would drift apart by a frame every few hours. Other decimals are rounded to six.
    Raises BadInput shot_type or shot_range.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Fraction)):
        raise wrong_type("fps", "a number, or text such as 25 or 24000/1001", value)
    text = str(value).strip()
    if not _FPS_TEXT.fullmatch(text) or text.endswith(tuple("/" + "0" * n for n in range(1, 13))):
        raise out_of_range("fps", f"between {FRAME_RATES[0]} and {FRAME_RATES[1]}, such as 25 or 24000/1001", value)
    fps = round(Fraction(text), 6) if "." in text else Fraction(text)
    nominal = round(fps * 1001 / 1000)
    if "." in text and nominal in _NTSC_NOMINAL and abs(fps - Fraction(nominal * 1000, 1001)) < Fraction(6, 1000):
        fps = Fraction(nominal * 1000, 1001)
    if not FRAME_RATES[0] <= fps <= FRAME_RATES[1]:
        raise out_of_range("fps", f"between {FRAME_RATES[0]} and {FRAME_RATES[1]}", value)
    return fps


def parse_frames(text: str) -> tuple[int, int]:
    """Frame numbers as typed, "10-40" or "7", counted from 1 as in the file names, both ends included."""
    match = _FRAMES_TEXT.fullmatch(text.strip())
    if not match:
        raise out_of_range("frames", "first-last, such as 10-40", text)
    first, last = int(match[1]), int(match[2] or match[1])
    if first > last:
        raise out_of_range("frames", ORDER, text)
    return first, last


def portrait_seed(portrait: str) -> int | None:
    """7 for "seed:7", None for a photo's path. Raises BadInput when it isn't a number, or out of range."""
    if not _SEED_PORTRAIT.fullmatch(portrait):
        if portrait.startswith("seed:"):
            raise out_of_range("the portrait's seed", f"a whole number up to {SEEDS[1]}, such as seed:7", portrait)
        return None
    return _integer(*SEEDS)("the portrait's seed", int(portrait.removeprefix("seed:")))


def wrong_type(name: str, wanted: str, value: Any) -> BadInput:
    given = _KINDS.get(type(value), type(value).__name__)
    if isinstance(value, float) or (isinstance(value, list) and len(value) < 4):
        given = json.dumps(value, default=str)[:60]  # its kind alone might be the right one
    return BadInput("shot_type", f"{name} has to be {wanted}, not {given}. {_remedy(name)}")


def out_of_range(name: str, wanted: str, value: Any) -> BadInput:
    given = str(value).removesuffix(".0") if isinstance(value, float) else str(value)  # who types 9 means no 9.0
    return BadInput("shot_range", f"{name} has to be {wanted}, not {given[:60]!r}. {_remedy(name)}")


def _remedy(name: str) -> str:
    """Where to change a setting: nobody here knows whether it was typed as an option or read from a job."""
    if name not in CHECKS or name in ARGUMENTS:
        return "Change it."
    option = OPTIONS.get(name, name).replace("_", "-")
    return f"Change --{option}, or {name} in the job file."


def _integer(low: int, high: int) -> Callable[[str, Any], int]:
    def check(name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(name, "a whole number", value)
        if not low <= value <= high:
            raise out_of_range(name, f"between {low} and {high}", value)
        return value

    return check


def _number(low: float, high: float) -> Callable[[str, Any], float]:
    def check(name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise wrong_type(name, "a number", value)
        if not (math.isfinite(value) and low <= value <= high):
            raise out_of_range(name, f"between {low:g} and {high:g}", value)
        return float(value)

    return check


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise wrong_type(name, "true or false", value)
    return value


def _pattern(pattern: re.Pattern[str], wanted: str) -> Callable[[str, Any], str]:
    def check(name: str, value: Any) -> str:
        if not isinstance(value, str):
            raise wrong_type(name, wanted, value)
        if not pattern.fullmatch(value):
            raise out_of_range(name, wanted, value)
        return value

    return check


def _encodable(text: str) -> bool:
    """Whether a file can be called so: a job file can spell halves of characters."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def a_path(name: str, value: Any) -> Path:
    """A file or folder of this machine. Raises BadInput shot_type, shot_range or address_not_file."""
    if not isinstance(value, (str, Path)):
        raise wrong_type(name, "a path", value)
    if not str(value).strip() or "\0" in str(value) or not _encodable(str(value)):
        raise out_of_range(name, "a path", value)
    if address := _ADDRESS.match(str(value)):
        text = f"{address[1]}://{str(value)[address.end():]}"
        how = "Name one of this machine" if name in OUTPUTS else "Download it first, and name what was saved"
        raise BadInput("address_not_file", f"{text} is an address, and {name} has to be a file or folder. {how}.")
    return Path(value)


def at_home(name: str, value: Any) -> Any:
    """A path of a file that passes through no shell: `~/` is the user's own folder. Other values as they are."""
    return from_home(value) if CHECKS.get(name) in (a_path, _portrait) and isinstance(value, str) else value


def from_home(path: str) -> str:
    """A path of which `~/` is the user's own folder. Raises EnvironmentProblem home_missing."""
    return str(home("write the path out") / path[2:]) if path.startswith(("~/", "~\\")) else path


def home(otherwise: str) -> Path:
    """The user's own folder. `otherwise` is what helps without one. Raises EnvironmentProblem home_missing."""
    try:
        return _expanded("~")
    except RuntimeError:  # no HOME, and a user without an account, as in a container
        raise EnvironmentProblem("home_missing", f"no home folder is known. Set HOME, or {otherwise}.") from None


def named_place(variable: str) -> Path | None:
    """The file or folder that a variable of the environment names, where `~` is a user's own folder; None when it names
    none. Raises EnvironmentProblem home_missing."""
    named = os.environ.get(variable)
    try:
        return _expanded(named) if named else None
    except RuntimeError:
        why = f"{variable} is {named}, and no such home folder is known"
        raise EnvironmentProblem("home_missing", f"{why}. Write the path out.") from None


def _expanded(path: str) -> Path:
    """A path where `~` is a user's own folder. Raises RuntimeError where none is known."""
    if path.partition("/")[0] == "~" and os.environ.get("HOME") == "" and os.name != "nt":
        raise RuntimeError("HOME is empty, which would be taken for the root folder")
    return Path(path).expanduser()


def pip_install(*what: str) -> str:
    """The command that installs packages where this program runs, and nowhere else."""
    program = sys.executable or "python"
    program = f'"{program}"' if " " in program else program
    return f"{program} -m pip install {' '.join(what)}"


def _portrait(name: str, value: Any) -> str:
    text = str(a_path(name, value)) if isinstance(value, Path) else value
    if isinstance(text, str) and portrait_seed(text) is not None:
        return text
    return str(a_path(name, text))


def _frames(name: str, value: Any) -> tuple[int, int]:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise wrong_type(name, "two frame numbers, [first, last]", value)
    check = _integer(1, LAST_FRAME)
    first, last = check(name, value[0]), check(name, value[1])
    if first > last:
        raise out_of_range(name, ORDER, list(value))
    return first, last


def _fit_steps(name: str, value: Any) -> tuple[int, int]:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise wrong_type(name, "two numbers of steps, [pivot, tuning]", value)
    check = _integer(*FIT_STEPS)
    return check(name, value[0]), check(name, value[1])


# For every setting: its name and a value to the value as it is kept. Raises BadInput shot_type or shot_range.
CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "portrait": _portrait,
    "voice": a_path,
    "curves": a_path,
    "poses": a_path,
    "poses_from": a_path,
    "drive": a_path,
    "poses_fit": _pattern(re.compile("|".join(POSES_FITS)), " or ".join(POSES_FITS)),
    "poses_smooth": _number(*SMOOTHING),
    "poses_move": _number(0.0, 1.0),
    "drive_mouth": _number(0.0, 1.0),
    "drive_eyes": _number(0.0, 1.0),
    "drive_brows": _number(0.0, 1.0),
    "output": a_path,
    "frames_dir": a_path,
    "fps": lambda name, value: parse_fps(value),
    "size": _integer(*SIZES),
    "framing": _number(*FRAMINGS),
    "background": _pattern(_BACKGROUND, "keep, transparent or #rrggbb"),
    "expression_scale": _number(*EXPRESSION_SCALES),
    "blink": _flag,
    "still": _flag,
    "refit": _flag,
    "reference": _flag,
    "fit_steps": _fit_steps,
    "fit_memory_mb": _integer(*MEMORY_MB),
    "precision": _pattern(re.compile("|".join(PRECISIONS)), " or ".join(PRECISIONS)),
    "compile": _flag,
    "fetch": _flag,
    "frames": _frames,
    "seed": _integer(*SEEDS),
    "device": _pattern(_DEVICE, "auto, cpu, mps, cuda or cuda:0"),
    "model_set": _pattern(re.compile("|".join(MODEL_SETS)), " or ".join(MODEL_SETS)),
    "memory_mb": _integer(*MEMORY_MB),
}
