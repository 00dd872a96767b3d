"""Expression curves and head poses as JSON files that people and programs can edit.

Curves: `{"format": "elocute-curves-1", "fps": "24000/1001", "names": [...], "values": [[...], ...]}`, one row a frame.
Poses: `{"fps": 25, "yaw_deg": [...], "pitch_deg": [...], "roll_deg": [...]}`, angles added to the portrait's own pose.
"""

from __future__ import annotations

import difflib
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from elocute.errors import BadInput
from elocute.files import read_input, write_whole
from elocute.settings import parse_fps
from elocute.values import ARKIT_NAMES, ExpressionTrack, PoseTrack

FORMAT = "elocute-curves-1"
DECIMALS = 5  # a hundredth of what an 8-bit picture can show; keeps files small
AXES = ("yaw_deg", "pitch_deg", "roll_deg")
MAX_DEGREES = 180.0
MAX_BYTES = 1 << 29  # an hour of 52 curves at 240 fps takes 400 MB as text


def write_curves(track: ExpressionTrack, path: str | Path) -> None:
    """Write a track; the file appears complete or not at all. Raises EnvironmentProblem output_not_writable or
    disk_full."""
    rows = ",\n  ".join(json.dumps([round(float(v), DECIMALS) for v in row]) for row in track.values)
    head = {"format": FORMAT, "fps": str(track.fps), "names": list(track.names)}
    text = json.dumps(head, indent=1)[:-2] + f',\n "values": [\n  {rows}\n ]\n}}\n'
    write_whole(Path(path), text.encode())


def read_curves(path: str | Path) -> ExpressionTrack:
    """Read a curves file. Any subset of the 52 names in any order; the others are 0 in the returned full track.

    Raises BadInput: curves_missing, curves_unreadable, curves_unknown_names, curves_shape, curves_nan,
    curves_fps.
    """
    path = Path(path)
    data = _json_object(path, "curves", f'"format": "{FORMAT}", "fps", "names" and "values"')
    if data.get("format", FORMAT) != FORMAT:
        raise BadInput(
            "curves_unreadable",
            f"{path.name} has format {data['format']!r}, this version reads {FORMAT}. Export the curves again.",
        )
    missing = [key for key in ("fps", "names", "values") if key not in data]
    if missing:
        raise BadInput("curves_unreadable", f"{path.name} lacks {', '.join(missing)}. Export the curves again.")
    names = _known_names(data["names"], path)
    values = _numbers(data["values"], "curves", path)
    if values.ndim != 2 or values.shape[1] != len(names) or not len(values):
        got = " x ".join(map(str, values.shape))
        raise BadInput(
            "curves_shape",
            f'"values" of {path.name} is {got}, not frames x {len(names)}. Give one row a frame, one number a name.',
        )
    if not np.isfinite(values).all():
        frame, column = np.argwhere(~np.isfinite(values))[0]
        raise BadInput(
            "curves_nan",
            f"{names[column]} at frame {frame} of {path.name} is not a number. Put a value between 0 and 1.",
        )
    full = np.zeros((len(values), len(ARKIT_NAMES)), np.float32)
    full[:, [ARKIT_NAMES.index(name) for name in names]] = values
    return ExpressionTrack(ARKIT_NAMES, full, _rate(data["fps"], "curves", path))


def resample(track: ExpressionTrack, fps: Fraction, frames: int) -> ExpressionTrack:
    """The track at `frames` times i / fps, linear between its frames; it holds its last frame beyond the end."""
    if track.fps == fps and len(track.values) >= frames:
        return ExpressionTrack(track.names, track.values[:frames], fps)
    values = _at_times(np.asarray(track.values, np.float64), track.fps, fps, frames)
    return ExpressionTrack(track.names, values.astype(np.float32), fps)


def read_poses(path: str | Path, fps: Fraction, frames: int) -> tuple[PoseTrack, list[str]]:
    """Read a pose file and bring it to `frames` frames at `fps`. Returns the track (radians) and what the user
    should know. An axis left out is 0; without "fps" one pose is one video frame; the last pose is held.

    Raises BadInput: poses_missing, poses_unreadable, poses_empty, poses_lengths, poses_nan, poses_range,
    poses_fps.
    """
    path = Path(path)
    data, given, source = _poses(path, fps)
    count = len(next(iter(given.values())))
    warnings = []
    unknown = [key for key in data if key not in (*AXES, "fps")]
    if unknown:
        warnings.append(f"{path.name}: {', '.join(unknown)} not understood and ignored")
    if "fps" not in data:
        warnings.append(f"{path.name} gives no fps; one pose is taken as one video frame ({fps} fps)")
    held = frames - (count - 1) * fps // source - 1  # exact: fps are fractions
    if held > 0:
        warnings.append(
            f"{path.name} has {count} poses at {source} fps, fewer than the video's {frames} frames at {fps} fps: "
            f"the last pose is held for {held} frames"
        )
    still = np.zeros(count)
    radians = np.radians(np.stack([given.get(axis, still) for axis in AXES], 1))  # [count, 3]
    yaw, pitch, roll = _at_times(radians, source, fps, frames).T
    return PoseTrack(yaw, pitch, roll), warnings


def poses_seconds(path: str | Path, fps: Fraction) -> Fraction:
    """How long a pose file lasts, for a shot that nothing else gives a length. Raises as `read_poses`."""
    _, given, source = _poses(Path(path), fps)
    return Fraction(len(next(iter(given.values())))) / source


def _poses(path: Path, fps: Fraction) -> tuple[dict[str, Any], dict[str, np.ndarray], Fraction]:
    """A checked pose file: its JSON, degrees [count] of each axis that it gives, its frame rate."""
    data = _json_object(path, "poses", '"fps", "yaw_deg", "pitch_deg" and "roll_deg"')
    given = {axis: _numbers(data[axis], "poses", path) for axis in AXES if axis in data}
    if not given:
        raise BadInput("poses_empty", f"{path.name} has none of {', '.join(AXES)}. Give at least one of them.")
    if any(values.ndim != 1 for values in given.values()):
        raise BadInput(
            "poses_unreadable", f"an axis of {path.name} is not a plain list of degrees. Give one number a frame."
        )
    lengths = {axis: len(values) for axis, values in given.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{axis} {length}" for axis, length in lengths.items())
        raise BadInput(
            "poses_lengths", f"the lists of {path.name} differ in length ({said}). Give each frame every angle."
        )
    if not next(iter(lengths.values())):
        raise BadInput("poses_empty", f"{path.name} holds no poses. Give at least one.")
    for axis, values in given.items():
        _check_angles(axis, values, path)
    return data, given, _rate(data["fps"], "poses", path) if "fps" in data else fps


def _rate(value: Any, kind: str, path: Path) -> Fraction:
    try:
        return parse_fps(value)
    except BadInput:
        wrong = f'"fps" of {path.name} is {str(value)[:60]!r}. Give a rate from 1 to 240, such as 25 or "24000/1001".'
        raise BadInput(f"{kind}_fps", wrong) from None


def _check_angles(axis: str, values: np.ndarray, path: Path) -> None:
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise BadInput(
            "poses_nan", f"{axis} at frame {bad[0]} of {path.name} is not a number. Put an angle in degrees."
        )
    if np.abs(values).max() > MAX_DEGREES:
        frame = int(np.abs(values).argmax())
        raise BadInput(
            "poses_range",
            f"{axis} at frame {frame} of {path.name} is {values[frame]:g}. Keep angles within +-180 degrees.",
        )


def _known_names(names: Any, path: Path) -> list[str]:
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise BadInput("curves_unreadable", f'"names" of {path.name} is not a list of curve names. Export it again.')
    lower = {name.lower(): name for name in ARKIT_NAMES}
    wrong = []
    for name in names:
        if name not in ARKIT_NAMES:
            near = difflib.get_close_matches(name.lower(), lower, 1, 0.6)
            wrong.append(f"{name} (did you mean {lower[near[0]]}?)" if near else name)
    if wrong:
        raise BadInput(
            "curves_unknown_names",
            f"{path.name} names curves that don't exist: {', '.join(wrong)}. Use ARKit's 52 names.",
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInput("curves_shape", f"{path.name} gives {', '.join(twice)} more than once. Keep one column each.")
    return names


def _json_object(path: Path, kind: str, expected: str) -> dict[str, Any]:
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


def _numbers(data: Any, kind: str, path: Path) -> np.ndarray:
    """Nested lists -> float64 array; null becomes NaN, which the caller reports with its place."""
    try:
        return np.array(data, np.float64)
    except (TypeError, OverflowError):
        raise BadInput(
            f"{kind}_unreadable", f"{path.name} holds something that is not a number. Use numbers only."
        ) from None
    except ValueError:
        if _only_numbers(data):  # rows of different lengths
            raise BadInput(
                f"{kind}_shape", f"the rows of {path.name} differ in length. Give each frame every value."
            ) from None
        raise BadInput(
            f"{kind}_unreadable", f"{path.name} holds something that is not a number. Use numbers only."
        ) from None


def _only_numbers(data: Any) -> bool:
    if isinstance(data, list):
        return all(_only_numbers(item) for item in data)
    return data is None or (isinstance(data, int | float) and not isinstance(data, bool))


def _at_times(values: np.ndarray, source: Fraction, fps: Fraction, frames: int) -> np.ndarray:
    """Rows of [T, C] at `source` fps -> [frames, C] at times i / fps; exact where the times coincide."""
    position = np.array([float(Fraction(i) * source / fps) for i in range(frames)])
    low = np.minimum(position.astype(int), len(values) - 1)
    high = np.minimum(low + 1, len(values) - 1)
    blend = np.where(low < high, position - low, 0.0)[:, None]
    return values[low] * (1 - blend) + values[high] * blend
