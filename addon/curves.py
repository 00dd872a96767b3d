"""What the face does, frame by frame: voice or shape keys, times the amounts of the panel, as a file for the engine.

Plain numbers, no Blender: columns are `array("d")`, one number a frame, frame 1 of the shot first.
"""

from __future__ import annotations

import json
import math
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.elocute.errors import BadInput
from ..core.elocute.units import ARKIT_NAMES

FORMAT = "elocute-curves-1"
DECIMALS = 5  # as the engine writes them
LONGEST_SMOOTHING = 0.5  # seconds; slower than this the mouth no longer follows speech
SLICE = 200  # rows between two turns for Blender, a few milliseconds
# The engine lets eyes live that no curve ever moves. Curves of this add-on mean what they say, so one of them always
# moves, by less than a ten-thousandth of a pixel.
STILL_EYES = 1e-5

_ABOUT_FRAMES = re.compile(
    r"frames? (?P<runs>\d+(-\d+)?(, \d+(-\d+)?)*)(?P<more>( and \d+ more stretches)?): (?P<what>.*)"
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


def read(path: Path) -> Columns:
    """A curves file as columns. Raises BadInput when it isn't one."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return {name: array("d", (row[i] for row in data["values"])) for i, name in enumerate(data["names"])}
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise BadInput("curves_unreadable", f"{path.name} is no curves file ({error}). Render again.") from None


def compose(columns: Columns, amounts: list[Amounts], fps: float) -> Iterator[Columns | None]:
    """`columns` times the amounts of each frame. Yields None between two columns and the composed columns last."""
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
                values = smooth(values, sigmas)
            out[name] = array("d", map(float.__mul__, values, factors))
            yield None
    yield out


def smooth(values: array, sigmas: list[float]) -> array:
    """Gaussian mean with a width (frames) of its own on each frame; beyond both ends the end values go on."""
    out = array("d", values)
    last = len(values) - 1
    kernels: dict[float, list[float]] = {}
    for i, sigma in enumerate(sigmas):
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
        out[i] = total
    return out


def reach(sigma: float) -> int:
    """How many frames on either side a mean of this width takes in."""
    return math.ceil(3 * sigma)


def shifted(columns: Columns, frames: float) -> Columns:
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
    return out


def held(columns: Columns, count: int) -> Columns:
    """The first `count` frames; after the end the last one goes on."""
    out: Columns = {}
    for name, values in columns.items():
        out[name] = values[:count]
        out[name].extend(values[-1:] * (count - len(values)))
    return out


def write(columns: Columns, fps: str, path: Path) -> Iterator[None]:
    """Write a curves file of all 52 units, whole or not at all. Yields between slices of rows."""
    count = len(next(iter(columns.values())))
    zeros = array("d", bytes(8 * count))
    full = [columns.get(name, zeros) for name in ARKIT_NAMES]
    still = ARKIT_NAMES.index(GAZE[0])
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8", newline="\n") as file:
        head = {"format": FORMAT, "fps": fps, "names": list(ARKIT_NAMES)}
        file.write(json.dumps(head, indent=1)[:-2] + ',\n "values": [\n  ')
        for i in range(count):
            row = [round(column[i], DECIMALS) for column in full]
            row[still] = max(row[still], STILL_EYES)
            file.write((",\n  " if i else "") + json.dumps(row))
            if i % SLICE == SLICE - 1:
                yield
        file.write("\n ]\n}\n")
    part.replace(path)


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
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path)
