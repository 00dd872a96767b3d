"""Expression curves as JSON files that people and programs can edit, and what reading poses (`pose_io`) shares.

Curves: `{"format": "elocute-curves-1", "fps": "24000/1001", "names": [...], "values": [[...], ...]}`, one row a frame.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from elocute.errors import BadInput
from elocute.files import read_input, write_whole
from elocute.limits import parse_fps
from elocute.values import ARKIT_NAMES, BASEL_NAMES, ExpressionTrack

FORMAT = "elocute-curves-1"
DECIMALS = 9  # a float32's: with fewer, curves that nobody edited would make other frames than their voice
NEUTRAL = "_neutral"  # MediaPipe's own column before ARKit's, which moves nothing
MAX_BYTES = 1 << 30  # an hour of 52 curves that all move, at 240 fps, takes 580 MB as text


def check_curves_output(path: Path) -> None:
    """Refuse a name that is no curves file's before something else is replaced. Raises BadInput output_type."""
    if path.suffix.lower() != ".json" and not path.is_dir():
        kind = f"curves are no {path.suffix} file" if path.suffix else f"{path.name} names no kind of file"
        raise BadInput("output_type", f"{kind}. End it in .json.")


def write_curves(track: ExpressionTrack, path: str | Path) -> None:
    """Write a track; the file appears complete or not at all. Raises EnvironmentProblem output_not_writable or
    disk_full."""
    rows = ",\n  ".join(json.dumps([round(float(v), DECIMALS) for v in row]) for row in track.values)
    head = {"format": FORMAT, "fps": str(track.fps), "names": list(track.names)}
    text = json.dumps(head, indent=1)[:-2] + f',\n "values": [\n  {rows}\n ]\n}}\n'
    write_whole(Path(path), text.encode())


def read_curves(path: str | Path, vocabularies: Sequence[tuple[str, ...]] = (ARKIT_NAMES,)) -> ExpressionTrack:
    """Read a curves file. Any subset of a vocabulary's names in any order; its others are 0 in the returned full track.

    `vocabularies`: the sets of names that the caller understands, ARKit's 52 units or (also) the Basel face's 64
    coefficients (`values.BASEL_NAMES`). A file uses one of them, and the track's `names` say which.

    Raises BadInput: curves_missing, curves_unreadable, curves_unknown_names, curves_shape, curves_nan,
    curves_fps.
    """
    return curves_and_notes(path, vocabularies)[0]


def curves_and_notes(
    path: str | Path, vocabularies: Sequence[tuple[str, ...]] = (ARKIT_NAMES,)
) -> tuple[ExpressionTrack, list[str]]:
    """What `read_curves` gives, and what the user should know."""
    path = Path(path)
    data = json_object(path, "curves", f'"format": "{FORMAT}", "fps", "names" and "values"')
    if data.get("format", FORMAT) != FORMAT:
        raise BadInput(
            "curves_unreadable",
            f"{path.name} has format {data['format']!r}, this version reads {FORMAT}. Export the curves again.",
        )
    missing = [key for key in ("fps", "names", "values") if key not in data]
    if missing:
        raise BadInput("curves_unreadable", f"{path.name} lacks {', '.join(missing)}. Export the curves again.")
    names, vocabulary = _known_names(data["names"], path, vocabularies)
    values = numbers(data["values"], "curves", path)
    if values.ndim != 2 or values.shape[1] != len(names) or not len(values):
        got = " x ".join(map(str, values.shape))
        raise BadInput(
            "curves_shape",
            f'"values" of {path.name} is {got}, not frames x {len(names)}. Give one row a frame, one number a name.',
        )
    told = []
    if NEUTRAL in names:
        told.append(f"{path.name}: {NEUTRAL} moves nothing and is ignored")
        values = np.delete(values, names.index(NEUTRAL), axis=1)
        names = [name for name in names if name != NEUTRAL]
    if not (kept := np.abs(values) <= np.finfo(np.float32).max).all():  # which NaN is not either
        frame, column = np.argwhere(~kept)[0]
        wrong = "not a number" if np.isnan(values[frame, column]) else "beyond all bounds"
        where = f"{names[column]} at frame {frame + 1} of {path.name}"
        raise BadInput("curves_nan", f"{where} is {wrong}. Put a value between 0 and 1.")
    full = np.zeros((len(values), len(vocabulary)), np.float32)
    full[:, [vocabulary.index(name) for name in names]] = values
    return ExpressionTrack(vocabulary, full, rate(data["fps"], "curves", path)), told


def resample(track: ExpressionTrack, fps: Fraction, frames: int) -> ExpressionTrack:
    """The track at `frames` times i / fps, linear between its frames; it holds its last frame beyond the end."""
    if track.fps == fps and len(track.values) >= frames:
        return ExpressionTrack(track.names, track.values[:frames], fps)
    values = at_times(np.asarray(track.values, np.float64), track.fps, fps, frames)
    return ExpressionTrack(track.names, values.astype(np.float32), fps)


def rate(value: Any, kind: str, path: Path) -> Fraction:
    """A file's frame rate. Raises BadInput curves_fps or poses_fps by `kind`."""
    try:
        return parse_fps(value)
    except BadInput:
        wrong = f'"fps" of {path.name} is {str(value)[:60]!r}. Give a rate from 1 to 240, such as 25 or "24000/1001".'
        raise BadInput(f"{kind}_fps", wrong) from None


def _known_names(names: Any, path: Path, vocabularies: Sequence[tuple[str, ...]]) -> tuple[list[str], tuple[str, ...]]:
    """The names of a file, checked, and the vocabulary that they are of: the one that knows most of them."""
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise BadInput("curves_unreadable", f'"names" of {path.name} is not a list of curve names. Export it again.')
    vocabulary = max(vocabularies, key=lambda known: sum(name in known for name in names))
    lower = {name.lower(): name for name in vocabulary}
    wrong = []
    for name in names:
        if name not in vocabulary and name != NEUTRAL:
            near = difflib.get_close_matches(name.lower(), lower, 1, 0.6)
            wrong.append(f"{name} (did you mean {lower[near[0]]}?)" if near else name)
    if wrong:
        raise BadInput(
            "curves_unknown_names",
            f"{path.name} names curves that don't exist: {', '.join(wrong)}. {_advice(names, vocabulary)}",
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInput("curves_shape", f"{path.name} gives {', '.join(twice)} more than once. Keep one column each.")
    return names, vocabulary


def _advice(names: list[str], vocabulary: tuple[str, ...]) -> str:
    if vocabulary == BASEL_NAMES:
        return f"Use {BASEL_NAMES[0]} to {BASEL_NAMES[-1]}, or ARKit's 52 names."
    if set(names) <= set(BASEL_NAMES):
        return "They are the Basel face's, which the chosen models don't have. Use ARKit's 52 names."
    return "Use ARKit's 52 names."


def json_object(path: Path, kind: str, expected: str) -> dict[str, Any]:
    """A file's JSON object. Raises BadInput curves_missing, curves_unreadable or the same of poses by `kind`."""
    try:
        text = read_input(path, MAX_BYTES)
        data = json.loads(text.decode("utf-8-sig"))
    except FileNotFoundError:
        raise BadInput(f"{kind}_missing", f"there is no file {path}. Check the path of the {kind} file.") from None
    except OSError as error:
        why = error.strerror or error
        raise BadInput(f"{kind}_unreadable", f"{path} can't be read ({why}). Name a {kind} file.") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{kind}_unreadable", f"{path.name} is not a JSON file ({error}). Export it again.") from None
    if not isinstance(data, dict):
        raise BadInput(f"{kind}_unreadable", f"{path.name} is not a JSON object with {expected}. Export it again.")
    return data


def numbers(data: Any, kind: str, path: Path) -> np.ndarray:
    """Nested lists -> float64 array; null becomes NaN, which the caller reports with its place."""
    other = BadInput(f"{kind}_unreadable", f"{path.name} holds something that is not a number. Use numbers only.")
    if not _only_numbers(data):  # "10" and true are numbers to NumPy
        raise other
    try:
        return np.array(data, np.float64)
    except (TypeError, OverflowError):
        raise other from None
    except ValueError:
        raise BadInput(
            f"{kind}_shape", f"the rows of {path.name} differ in length. Give each frame every value."
        ) from None


def _only_numbers(data: Any) -> bool:
    if isinstance(data, list):
        return all(_only_numbers(item) for item in data)
    return data is None or (isinstance(data, int | float) and not isinstance(data, bool))


def at_times(values: np.ndarray, source: Fraction, fps: Fraction, frames: int) -> np.ndarray:
    """Rows of [T, C] at `source` fps -> [frames, C] at times i / fps; exact where the times coincide."""
    position = np.array([float(Fraction(i) * source / fps) for i in range(frames)])
    low = np.minimum(position.astype(int), len(values) - 1)
    high = np.minimum(low + 1, len(values) - 1)
    blend = np.where(low < high, position - low, 0.0)[:, None]
    return values[low] * (1 - blend) + values[high] * blend
