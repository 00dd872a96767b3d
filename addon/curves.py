"""What the face does, frame by frame: voice or shape keys, times the amounts of the panel, as a file for the engine.

Plain numbers, no Blender: columns are `array("d")`, one number a frame, frame 1 of the shot first.
"""

from __future__ import annotations

import json
import math
import re
import uuid
from array import array
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from ..core.elocute.errors import BadInput
from ..core.elocute.units import ARKIT_NAMES

FORMAT = "elocute-curves-1"
DECIMALS = 9  # as the engine writes them
LONGEST_SMOOTHING = 0.5  # seconds; slower than this the mouth no longer follows speech
SLICE = 200  # rows between two turns for Blender, a few milliseconds
# The engine lets eyes live that no curve ever moves. Curves of this add-on mean what they say, so one of them always
# moves, by less than a ten-thousandth of a pixel.
STILL_EYES = 1e-5

_ABOUT_FRAMES = re.compile(
    r"Frames? (?P<runs>\d+(-\d+)?(, \d+(-\d+)?)*)(?P<more>( and \d+ more stretches)?): (?P<what>.*)"
)

BLINKS = tuple(name for name in ARKIT_NAMES if name.startswith("eyeBlink"))
GAZE = tuple(name for name in ARKIT_NAMES if name.startswith("eyeLook"))
SPEECH = tuple(name for name in ARKIT_NAMES if name not in BLINKS + GAZE)


@dataclass(frozen=True)
class Amounts:
    """The sliders of the Face panel on one frame; `smoothing` in seconds."""

    expression: float = 1.0
    blinks: float = 1.0
    gaze: float = 1.0
    smoothing: float = 0.0


Columns = dict[str, array]  # unit -> a number for each frame
Steps = Generator[None, Any, Columns]  # towards columns, each a few milliseconds long


def read(path: Path) -> Steps:
    """A curves file, with a line for each row as the engine writes it, as columns. Raises BadInput when it is none."""
    try:
        with path.open(encoding="utf-8") as file:
            head = ""
            for line in file:
                head += line
                if line.endswith('"values": [\n'):
                    break
            columns = {name: array("d") for name in json.loads(head + "]}")["names"]}
            while rows := [line for line in islice(file, SLICE) if line.strip() not in ("]", "}")]:
                numbers = zip(*(json.loads(row.rstrip(",\n")) for row in rows), strict=True)
                for column, values in zip(columns.values(), numbers, strict=True):
                    column.extend(values)
                yield
        return columns
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput("curves_unreadable", f"{path.name} is no curves file ({error}). Render again.") from None


def compose(columns: Columns, amounts: list[Amounts], fps: float) -> Steps:
    """`columns` times the amounts of each frame."""
    sigmas = [min(amount.smoothing, LONGEST_SMOOTHING) * fps / 2 for amount in amounts]
    scales = {"expression": SPEECH, "blinks": BLINKS, "gaze": GAZE}
    out: Columns = {}
    for field, names in scales.items():
        factors = [getattr(amount, field) for amount in amounts]
        for name in names:
            values = columns.get(name)
            if values is None:
                continue
            if field == "expression" and any(sigmas):
                smoothed = array("d")
                for low in range(0, len(values), SLICE):
                    smoothed += smooth(values, sigmas, range(low, min(low + SLICE, len(values))))
                    yield
                values = smoothed
            out[name] = array("d", map(float.__mul__, values, factors))
            yield
    return out


def smooth(values: array, sigmas: list[float], frames: range) -> array:
    """Gaussian mean of some frames, with a width (frames) of its own on each; beyond both ends the end values go on."""
    out = values[frames.start : frames.stop]
    last = len(values) - 1
    kernels: dict[float, list[float]] = {}
    for i in frames:
        sigma = sigmas[i]
        if sigma < 0.1:
            continue
        kernel = kernels.get(sigma)
        if kernel is None:
            weights = [math.exp(-0.5 * (j / sigma) ** 2) for j in range(reach(sigma) + 1)]
            whole = weights[0] + 2 * sum(weights[1:])
            kernel = kernels[sigma] = [weight / whole for weight in weights]
        total = kernel[0] * values[i]
        for j in range(1, len(kernel)):
            total += kernel[j] * (values[max(i - j, 0)] + values[min(i + j, last)])
        out[i - frames.start] = total
    return out


def reach(sigma: float) -> int:
    """How many frames on either side a mean of this width takes in."""
    return math.ceil(3 * sigma)


def shifted(columns: Columns, frames: float) -> Steps:
    """The same curves `frames` later, for a sound that begins between two frames; linear, the ends are held."""
    if not frames:
        return columns
    out: Columns = {}
    for name, values in columns.items():
        last = len(values) - 1
        moved = array("d")
        for i in range(len(values)):
            at = min(max(i - frames, 0.0), float(last))
            low = int(at)
            moved.append(values[low] + (at - low) * (values[min(low + 1, last)] - values[low]))
        out[name] = moved
        yield
    return out


def held(columns: Columns, count: int) -> Columns:
    """The first `count` frames; after the end the last one goes on."""
    out: Columns = {}
    for name, values in columns.items():
        out[name] = values[:count]
        out[name].extend(values[-1:] * (count - len(values)))
    return out


def write(columns: Columns, fps: str, path: Path) -> Iterator[None]:
    """Write a curves file of all 52 units. Yields between slices of rows."""
    count = len(next(iter(columns.values())))
    zeros = array("d", bytes(8 * count))
    full = [columns.get(name, zeros) for name in ARKIT_NAMES]
    still = ARKIT_NAMES.index(GAZE[0])
    with _whole(path) as file:
        head = {"format": FORMAT, "fps": fps, "names": list(ARKIT_NAMES)}
        file.write(json.dumps(head, indent=1)[:-2] + ',\n "values": [\n  ')
        for i in range(count):
            row = [round(column[i], DECIMALS) for column in full]
            row[still] = max(row[still], STILL_EYES)
            file.write((",\n  " if i else "") + json.dumps(row))
            if i % SLICE == SLICE - 1:
                yield
        file.write("\n ]\n}\n")


def write_lists(fps: str, lists: dict[str, list[Any]], path: Path) -> Iterator[None]:
    """Write a JSON object of a frame rate and lists with an entry for each frame. Yields between slices of a list."""
    with _whole(path) as file:
        file.write(f'{{\n "fps": {json.dumps(fps)}')
        for name, entries in lists.items():
            file.write(f",\n {json.dumps(name)}: [")
            for low in range(0, len(entries), SLICE):
                file.write((",\n  " if low else "\n  ") + json.dumps(entries[low : low + SLICE])[1:-1])
                yield
            file.write("\n ]")
        file.write("\n}\n")


@contextmanager
def _whole(path: Path) -> Iterator[TextIO]:
    """A file to write that has its name once it is complete, and is gone when that is broken off. Two runs that write
    one file at the same time don't mix."""
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with part.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        part.replace(path)
    finally:
        with suppress(OSError):  # a virus scanner may hold it
            part.unlink(missing_ok=True)


def on_timeline(warning: str, origin: int, frames: tuple[int, int]) -> str:
    """An engine's warning about frames with their numbers on the timeline, "" when none of them is among `frames`.
    `origin` is the timeline frame of the engine's frame 1."""
    found = _ABOUT_FRAMES.fullmatch(warning)
    if found is None:
        return warning
    runs = []
    for run in found["runs"].split(", "):
        first, _, last = run.partition("-")
        low, high = max(int(first) + origin - 1, frames[0]), min(int(last or first) + origin - 1, frames[1])
        if low <= high:
            runs.append(str(low) if low == high else f"{low}-{high}")
    several = len(runs) > 1 or "-" in runs[0][1:] if runs else False
    return f"Frame{'s' if several else ''} {', '.join(runs)}{found['more']}: {found['what']}" if runs else ""


def write_json(data: dict[str, Any], path: Path) -> None:
    """Write a small JSON file, whole or not at all."""
    with _whole(path) as file:
        file.write(json.dumps(data, indent=1, ensure_ascii=False) + "\n")
