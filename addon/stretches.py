"""What of an Action is the speech's: stretches of frames, each with a checksum of the keys that were written there and
the voice that says them.

On the frame before and after a stretch the face is at rest, unless another stretch of the speech has that frame.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Generator, Iterator
from typing import Any, NamedTuple

import bpy

from ..core.elocute.units import ARKIT_NAMES
from . import curves
from .compat import Curves

WRITTEN = "elocute_speech"  # custom property of our Actions: first and last frame, checksum and voice of each stretch
# Of a key, as foreach_get and foreach_set take them: the kind of the numbers, and how many a key has.
PARTS = {
    **dict.fromkeys(("co", "handle_left", "handle_right"), ("f", 2)),
    **dict.fromkeys(("back", "amplitude", "period"), ("f", 1)),
    **dict.fromkeys(("handle_left_type", "handle_right_type", "interpolation", "easing", "type"), ("i", 1)),
    **dict.fromkeys(("select_control_point", "select_left_handle", "select_right_handle"), ("i", 1)),
}
LINEAR = 1  # an interpolation, by Blender's number
DIGITS = 16  # of a checksum
Frames = tuple[int, int]
Parts = dict[str, array]


class Stretch(NamedTuple):
    """First and last frame that are the speech's. The first files named no voice."""

    first: int
    last: int
    checksum: str = ""
    voice: str = ""


def of(action: bpy.types.Action) -> list[Stretch]:
    """The stretches of an Action, in order; they don't overlap."""
    try:
        told = json.loads(action[WRITTEN])
        return sorted(Stretch(int(first), int(last), *map(str, more[:2])) for first, last, *more in told)
    except (KeyError, ValueError, TypeError):
        return []


def rests(stretches: list[Stretch]) -> set[int]:
    """The frames where the face is at rest beside its stretches."""
    beside = {frame for first, last, *_ in stretches for frame in (first - 1, last + 1)}
    return {frame for frame in beside if not any(first <= frame <= last for first, last, *_ in stretches)}


class Change:
    """What becomes of the stretches when a voice writes its frames: an earlier stretch of this voice goes, it was said
    elsewhere or longer; those of other voices keep the frames that they have besides. When Anna (A) comes between two
    stretches of Bob (B), with a frame at rest (-) beside each::

        before  -BBBBBBBB-  -BBB-
        frames        AAAAAAAA
        after   -BBBBBAAAAAAAABB-

    Here two stretches of Bob are `touched`, the rests between them are `gone`, and on the frames beside Anna's Bob's
    values are `held`. `due` are rests that have to be there.
    """

    def __init__(self, before: list[Stretch], frames: Frames, voice: str) -> None:
        low, high = self.frames = frames
        own = [stretch for stretch in before if stretch.voice == voice]
        cut = [stretch for stretch in before if stretch not in own and stretch.first <= high and low <= stretch.last]
        self.touched = [*own, *cut]
        pieces = [piece for first, last, checksum, whose in cut
                  for piece in (Stretch(first, low - 1, checksum, whose), Stretch(high + 1, last, checksum, whose))
                  if piece.first <= piece.last]  # fmt: skip
        apart = [stretch for stretch in before if stretch not in self.touched]
        self.after = sorted([*apart, *pieces, Stretch(low, high, "", voice)])
        self.new = {*pieces, Stretch(low, high, "", voice)}
        self.cleared = [frames, *((stretch.first, stretch.last) for stretch in own)]
        idle, beside = rests(self.after), {low - 1, high + 1}
        self.gone = rests(before) - idle  # rests that nothing needs any longer
        self.due = (idle & beside) | (idle - rests(before))  # rests that have to be there
        self.held = beside - idle  # on another voice's frames


def keys_for(values: array, first: int) -> array:
    """Frame, value, frame, value, ... of keys for values on frames from `first` on. Where a value only goes on, its
    first and last key say all; the first and last frame always have theirs, so that nothing beside them matters."""
    wanted = [round(value, curves.DECIMALS) for value in values]
    last = len(wanted) - 1
    keys = array("f")
    for i, value in enumerate(wanted):
        if i in (0, last) or not wanted[i - 1] == value == wanted[i + 1]:
            keys.extend((first + i, value))
    return keys


def put(curve: bpy.types.FCurve, wanted: array, change: Change) -> None:
    """Put the linear keys of `keys_for` on a change's frames, and rests beside them where there are no keys yet; other
    keys stay as they are."""
    points = curve.keyframe_points
    beside = [(frame, curve.evaluate(frame)) for frame in change.held] + [(frame, 0.0) for frame in change.due]
    kept = _parts_of(points)
    points.clear()
    points.add(1)
    usual = _parts_of(points) | {"interpolation": array("i", [LINEAR])}
    for first, last in change.cleared:
        _replace(kept, *_range(kept, first, last))
    for frame in change.gone:
        low, high = _range(kept, frame, frame)
        if not any(kept["co"][2 * low + 1 : 2 * high : 2]):  # else somebody made it
            _replace(kept, low, high)
    _replace(kept, *_range(kept, *change.frames), usual, wanted)
    for frame, value in beside:
        low, high = _range(kept, frame - 0.5, frame + 0.5)
        if low == high:
            _replace(kept, low, high, usual, array("f", (frame, value)))
    points.add(len(kept["co"]) // 2 - 1)
    for name, numbers in kept.items():
        points.foreach_set(name, numbers)
    curve.update()


def _parts_of(points: Any) -> Parts:
    """Everything that makes keys what they are, as Blender's numbers: part -> those of all keys."""
    found = {name: array(kind, bytes(4 * width * len(points))) for name, (kind, width) in PARTS.items()}
    for name, numbers in found.items():
        points.foreach_get(name, numbers)
    return found


def _range(parts: Parts, first: float, last: float) -> tuple[int, int]:
    """Which of the keys are on these frames, as a slice's bounds."""
    times = parts["co"][::2]
    return bisect_left(times, first), bisect_right(times, last)


def _replace(parts: Parts, low: int, high: int, usual: Parts | None = None, keys: array | None = None) -> None:
    """Have other keys in the place of those from `low` to `high`: frames and values, otherwise like the one `usual`."""
    for name, (kind, width) in PARTS.items():
        other = array(kind) if usual is None or keys is None else usual[name] * (len(keys) // 2)
        parts[name][width * low : width * high] = keys if name == "co" and keys is not None else other


def path_of(name: str) -> str:
    return f'key_blocks["{name}"].value'


PATHS = {path_of(name) for name in ARKIT_NAMES}


def edited(find: Callable[[], Curves], frames: Frames, voice: str) -> Generator[None, None, bool]:
    """Steps of finding out whether a voice that writes these frames would touch keys that aren't as the speech's were
    written; `find` finds the Action after each."""
    known = of(find().action)
    idle = rests(known)
    touched = Change(known, frames, voice).touched
    sums = {stretch: hashlib.sha256() for stretch in touched}
    for path, points, kinds in _contents(find):
        if are_between(known, idle, points, frames):
            return True
        _add(sums, path, points, kinds)
        yield
    return any(found.hexdigest()[:DIGITS] != stretch.checksum for stretch, found in sums.items())


def are_between(known: list[Stretch], idle: set[int], points: array, frames: Frames) -> bool:
    """Whether some keys on these frames are in none of the known stretches and aren't rests; all in order."""
    times = points[::2]
    at, end = bisect_left(times, frames[0]), bisect_right(times, frames[1])
    for first, last, *_ in [*known, Stretch(frames[1] + 1, frames[1] + 1)]:
        strange = range(at, min(bisect_left(times, first), end))
        if any(times[i] not in idle or points[2 * i + 1] for i in strange):
            return True
        at = max(at, bisect_right(times, last))
    return False


def remember(find: Callable[[], Curves], change: Change, replaced: bool) -> Generator[None, None, None]:
    """Note which keys are the speech's after a change, in steps; `find` finds the Action after each. What is left of a
    stretch that was edited and `replaced` remains edited, as one that the change doesn't touch does."""
    counted = [stretch for stretch in change.new if not (replaced and stretch.checksum)]
    sums = {stretch: hashlib.sha256() for stretch in counted}
    for content in _contents(find):
        _add(sums, *content)
        yield
    after = [stretch._replace(checksum=sums[stretch].hexdigest()[:DIGITS]) if stretch in sums else stretch
             for stretch in change.after]  # fmt: skip
    find().action[WRITTEN] = json.dumps(after)


def _contents(find: Callable[[], Curves]) -> Iterator[tuple[str, array, array]]:
    """Of one curve after the other: path, frame, value, frame, value, ... of its keys in order, and interpolations;
    `find` finds the curves for each."""
    for path in sorted(curve.data_path for curve in find()):
        curve = find().find(path)
        if curve is not None:
            count = len(curve.keyframe_points)
            points, kinds = array("f", bytes(8 * count)), array("i", bytes(4 * count))
            curve.keyframe_points.foreach_get("co", points)
            curve.keyframe_points.foreach_get("interpolation", kinds)
            yield path, points, kinds


def _add(sums: dict[Stretch, Any], path: str, points: array, kinds: array) -> None:
    """Have the checksum of each stretch take in the keys of an expression unit; of others none."""
    if path not in PATHS:
        return
    times = points[::2]
    for stretch, found in sums.items():
        low, high = bisect_left(times, stretch.first), bisect_right(times, stretch.last)
        for content in (path.encode(), points[2 * low : 2 * high].tobytes(), kinds[low:high].tobytes()):
            found.update(content)
