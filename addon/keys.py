"""Speech to Keys: the voice's curves as keyframes on the head's shape keys, in an Action of their own.

What a person has keyed or edited is never overwritten unless they say so: the Action remembers a checksum of the keys
that were written, and keys that no longer match it are the animator's.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import bpy

from ..core.elocute.errors import BadInput
from ..core.elocute.units import ARKIT_NAMES
from . import curves, drafts, rendering, shots
from .compat import Curves
from .task import Ask, Task

WRITTEN = "elocute_speech"  # custom property of our Actions: stretch of frames -> checksum of its keys
GROUP = "Speech"
ASK, LAYER, REPLACE = "ASK", "LAYER", "REPLACE"
EDITED, OTHERS = "EDITED", "OTHERS"  # whose keys are in the way: the speech's, changed by hand, or an Action of others
SAID = {EDITED: "The speech keys were edited by hand", OTHERS: "The head has keys that were made by hand"}
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


def write(ref: shots.Ref, existing: str, folder: Path, task: Task) -> Generator[Ask | None, Any, str]:
    """Steps of keying a shot's voice; returns the Action's name.

    `existing` says what becomes of keys that a person made: LAYER keeps an Action of theirs on top of the speech,
    REPLACE puts the speech in its place, or in that of edited speech, and keeps the old Action in the file. Raises
    BadInput keys_exist for ASK.
    """
    _, shot = ref.find()
    if shots.shape_keys(shot.head) is None:
        raise BadInput("head_without_keys", "The head has none of the 52 shape keys. Add a head")
    plan, said = yield from rendering.listen(ref, rendering.ALL, folder, task)
    if not said:
        raise BadInput("voice_missing", "Speech to Keys needs a voice. Choose one")
    task.at("Writing keys", 0, len(said))
    _refuse((yield from _whose(lambda: _keys_of(ref), plan.whole)), existing)
    speech, _ = _speech(_keys_of(ref))
    begun = speech.copy() if speech is not None else bpy.data.actions.new(f"{ref.find()[1].name} Speech")
    mark = drafts.new_mark()
    drafts.begin(begun, mark)
    try:
        yield
        for unit, values in said.items():
            wanted = _keys_for(values[plan.whole[0] - plan.origin : plan.whole[1] - plan.origin + 1], plan.whole[0])
            yield  # a step of its own: each half of a long voice's takes much of what a step may
            keys, draft = _still_there(ref, mark)
            if keys.key_blocks.get(unit) is not None:
                _key(draft.ensure(path_of(unit), GROUP), wanted, plan.whole)
            task.done += 1
            yield
        yield from _remember(lambda: _still_there(ref, mark)[1], plan.whole)
        keys, draft = _still_there(ref, mark)
        theirs = hand_made(keys, plan.whole)  # in one step with what follows: nobody edits a key in between
        _refuse(theirs, existing)
    except BaseException:  # stopped too: half of the speech is of no use
        unfinished = drafts.find(bpy.data.actions, mark)
        if unfinished is not None:
            bpy.data.actions.remove(unfinished)
        raise
    drafts.finish(draft.action)
    _use(draft, plan.whole, existing, theirs)
    _, shot = ref.find()
    shot.face_source = "AUTO" if shot.face_source == "VOICE" else shot.face_source
    keys.update_tag()
    task.message = f"{len(said)} curves on frames {plan.whole[0]}-{plan.whole[1]} of {shot.head.name}"
    return str(draft.action.name)


def _refuse(theirs: str, existing: str) -> None:
    """Raises BadInput keys_exist when a person has to decide first what becomes of keys of theirs."""
    if theirs and (existing == ASK or (theirs == EDITED and existing != REPLACE)):
        raise BadInput("keys_exist", f"{SAID[theirs]}. Speech to Keys in the panel asks what becomes of them")


def _keys_of(ref: shots.Ref) -> Any:
    """The head's shape keys, found again after Blender had its turn."""
    keys = shots.shape_keys(ref.find()[1].head)
    if keys is None:
        raise _gone()
    return keys


def _gone() -> BadInput:
    return BadInput("head_missing", "The head or its Action was removed while keys were written. Try again")


def _still_there(ref: shots.Ref, mark: str) -> tuple[Any, Curves]:
    """The head's shape keys and the draft, found again after Blender had its turn."""
    keys, found = _keys_of(ref), drafts.find(bpy.data.actions, mark)
    if found is None:
        raise _gone()
    return keys, Curves(found, keys, create=True)


def _fit(strip: Any, action: bpy.types.Action) -> None:
    """Have an NLA strip play its Action where its keys are."""
    first, last = action.curve_frame_range.x, action.curve_frame_range.y
    strip.action_frame_end = last  # before the start, which can't lie behind it
    strip.action_frame_start, strip.frame_start, strip.frame_end = first, first, last
    strip.extrapolation = "NOTHING"


def path_of(name: str) -> str:
    return f'key_blocks["{name}"].value'


PATHS = {path_of(name) for name in ARKIT_NAMES}


def hand_made(keys: Any, frames: Frames) -> str:
    """Whether writing these frames would touch what a person made: OTHERS, an Action of theirs; EDITED, keys of ours
    that they changed; "" nothing."""
    steps = _whose(lambda: keys, frames)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return str(end.value)


def _whose(find: Callable[[], Any], frames: Frames) -> Generator[None, None, str]:
    """`hand_made` in steps, of the shape keys that `find` finds after each."""

    def ours() -> Curves:
        keys = find()
        speech, _ = _speech(keys)
        if speech is None:
            raise _gone()
        return Curves(speech, keys)

    keys = find()
    action, _ = _speech(keys)
    if action is None:
        animation = keys.animation_data
        theirs = animation.action if animation else None
        there = theirs is not None and any(len(curve.keyframe_points) for curve in Curves(theirs, keys))
        return OTHERS if there else ""
    written = sorted(_written(action))
    near = {(a, b): checksum for a, b, checksum in written if a <= frames[1] + 1 and frames[0] - 1 <= b}
    sums = {stretch: hashlib.sha256() for stretch in near}
    known = [(first - 1, last + 1) for first, last, _ in written]
    for path, points, kinds in _contents(ours):
        if _are_between(known, points[::2], frames):
            return EDITED
        _add(sums, path, points, kinds)
        yield
    return EDITED if any(sums[stretch].hexdigest()[:DIGITS] != checksum for stretch, checksum in near.items()) else ""


def _are_between(known: list[Frames], times: array, frames: Frames) -> bool:
    """Whether some of `times` on these frames are in none of the known stretches; all in order."""
    at, end = bisect_left(times, frames[0]), bisect_right(times, frames[1])
    for first, last in known:
        if at < min(bisect_left(times, first), end):
            return True
        at = max(at, bisect_right(times, last))
    return at < end


def _speech(keys: Any) -> tuple[bpy.types.Action | None, Any]:
    """The Action that an earlier Speech to Keys wrote for this head, and its NLA strip when it was layered."""
    animation = keys.animation_data
    if animation is None:
        return None, None
    if animation.action is not None and WRITTEN in animation.action:
        return animation.action, None
    for track in animation.nla_tracks:
        for strip in track.strips:
            if strip.action is not None and WRITTEN in strip.action:
                return strip.action, strip
    return None, None


def _use(draft: Curves, frames: Frames, existing: str, theirs: str) -> None:
    """Have a finished draft move the head: in the place of the speech before it, else in one of its own."""
    keys, action = draft.owner, draft.action
    speech, strip = _speech(keys)
    animation = keys.animation_data or keys.animation_data_create()
    if speech == action:
        pass  # somebody has it move the head already
    elif speech is not None:
        name = speech.name
        if speech.asset_data is not None:
            action.asset_mark()
            action.asset_data = speech.asset_data
        speech.user_remap(action)
        if theirs:
            speech.name, speech.use_fake_user = f"{name} Edited", True  # the edited keys stay in the file
        else:
            bpy.data.actions.remove(speech)
        action.name = name
    elif not theirs or existing == REPLACE:
        if theirs:
            animation.action.use_fake_user = True
        draft.assign()
    else:
        strip = draft.push_down(action.name, frames[0] - 1)
        animation.action_blend_type = "ADD"  # the hand's keys come on top of the speech
    if strip is not None:
        _fit(strip, action)


def _points(curve: bpy.types.FCurve) -> array:
    """Frame, value, frame, value, ... of a curve's keys, in order."""
    points = array("f", bytes(8 * len(curve.keyframe_points)))
    curve.keyframe_points.foreach_get("co", points)
    return points


def _keys_for(values: array, first: int) -> array:
    """Frame, value, frame, value, ... of keys for values on frames from `first` on, at rest on the frame before and
    after. Where a value only goes on, its first and last key say all."""
    wanted = [0.0, *(round(value, curves.DECIMALS) for value in values), 0.0]
    last = len(wanted) - 1
    keys = array("f")
    for i, value in enumerate(wanted):
        if i in (0, last) or not wanted[i - 1] == value == wanted[i + 1]:
            keys.extend((first - 1 + i, value))
    return keys


def _key(curve: bpy.types.FCurve, wanted: array, frames: Frames) -> None:
    """Put the linear keys of `_keys_for` on `frames`, the one before and the one after; other keys stay as they are."""
    count = len(wanted) // 2
    points = curve.keyframe_points
    kept = _parts_of(points)
    times = kept["co"][::2]
    before, after = bisect_left(times, frames[0] - 1), len(times) - bisect_right(times, frames[1] + 1)
    points.clear()
    points.add(before + count + after)
    parts = _parts_of(points)  # of new keys
    parts["co"] = wanted
    parts["interpolation"] = array("i", [LINEAR]) * count
    for name, (_, width) in PARTS.items():
        own, mine = kept[name], parts[name][: width * count]
        points.foreach_set(name, own[: width * before] + mine + own[len(own) - width * after :])
    curve.update()


def _parts_of(points: Any) -> dict[str, array]:
    """Everything that makes keys what they are, as Blender's numbers: part -> those of all keys."""
    found = {name: array(kind, bytes(4 * width * len(points))) for name, (kind, width) in PARTS.items()}
    for name, numbers in found.items():
        points.foreach_get(name, numbers)
    return found


def _written(action: bpy.types.Action) -> list[tuple[int, int, str]]:
    try:
        return [(int(first), int(last), str(checksum)) for first, last, checksum in json.loads(action[WRITTEN])]
    except (KeyError, ValueError, TypeError):
        return []


def _remember(find: Callable[[], Curves], frames: Frames) -> Generator[None, None, None]:
    """Note that the keys of these frames are the speech's, in steps; `find` finds the Action after each."""
    written = _written(find().action)
    apart = [(first, last) for first, last, _ in written if last < frames[0] - 1 or first > frames[1] + 1]
    sums = {stretch: hashlib.sha256() for stretch in sorted([*apart, frames])}
    for content in _contents(find):
        _add(sums, *content)
        yield
    find().action[WRITTEN] = json.dumps([(*stretch, found.hexdigest()[:DIGITS]) for stretch, found in sums.items()])


def _contents(find: Callable[[], Curves]) -> Iterator[tuple[str, array, array]]:
    """Of one curve after the other: path, `_points` and interpolations; `find` finds the curves for each."""
    for path in sorted(curve.data_path for curve in find()):
        curve = find().find(path)
        if curve is not None:
            kinds = array("i", bytes(4 * len(curve.keyframe_points)))
            curve.keyframe_points.foreach_get("interpolation", kinds)
            yield path, _points(curve), kinds


def _add(sums: dict[Frames, Any], path: str, points: array, kinds: array) -> None:
    """Have the checksum of each stretch of frames take in the keys of an expression unit; of others none."""
    if path not in PATHS:
        return
    times = points[::2]
    for (first, last), found in sums.items():
        low, high = bisect_left(times, first), bisect_right(times, last)
        for content in (path.encode(), points[2 * low : 2 * high].tobytes(), kinds[low:high].tobytes()):
            found.update(content)
