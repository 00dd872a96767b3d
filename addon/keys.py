"""Speech to Keys: the voice's curves as keyframes on the head's shape keys, in an Action of their own.

What a person has keyed or edited is never overwritten unless they say so: the Action remembers a checksum of the keys
that were written, and keys that no longer match it are the animator's.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Generator
from pathlib import Path
from typing import Any

import bpy

from ..core.elocute.errors import BadInput
from ..core.elocute.units import ARKIT_NAMES
from . import compat, curves, rendering, shots
from .compat import Curves
from .tasks import Ask, Task

WRITTEN = "elocute_speech"  # custom property of our Actions: stretch of frames -> checksum of its keys
GROUP = "Speech"
ASK, LAYER, REPLACE = "ASK", "LAYER", "REPLACE"
Frames = tuple[int, int]


def write(ref: shots.Ref, existing: str, folder: Path, task: Task) -> Generator[Ask | None, Any, str]:
    """Steps of keying a shot's voice; returns the Action's name.

    `existing` says what becomes of keys that a person made: LAYER keeps them on top of the speech, REPLACE puts the
    speech in their place and keeps the old Action in the file. Raises BadInput keys_exist for ASK.
    """
    _, shot = ref.find()
    if shots.shape_keys(shot.head) is None:
        raise BadInput("head_without_keys", "The head has none of the 52 shape keys. Add a head")
    plan, said = yield from rendering.listen(ref, None, folder, task)
    if not said:
        raise BadInput("voice_missing", "Speech to Keys needs a voice. Choose one")
    task.at("Writing keys")
    scene, shot = ref.find()
    keys = shots.shape_keys(shot.head)
    if existing == ASK and hand_made(keys, plan.whole):
        raise BadInput("keys_exist", "The head has keys made by hand. Choose what becomes of them")
    target, strip = _target(keys, plan.whole, existing, shot.name)
    for name in said:
        block = keys.key_blocks.get(name)
        if block is not None:
            columns = [(plan.whole[0] + i, value) for i, value in enumerate(_part(said[name], plan))]
            _key(target.ensure(path_of(name), GROUP), columns, plan.whole)
    if strip is not None:
        _fit(strip, target.action)
    _remember(target, plan.whole)
    shot.face_source = "AUTO" if shot.face_source == "VOICE" else shot.face_source
    keys.update_tag()
    task.message = f"{len(said)} curves on frames {plan.whole[0]}-{plan.whole[1]} of {keys.user.name}"
    return str(target.action.name)


def _fit(strip: Any, action: bpy.types.Action) -> None:
    """Have an NLA strip play its Action where its keys are."""
    first, last = action.curve_frame_range
    strip.action_frame_end = last  # before the start, which can't lie behind it
    strip.action_frame_start, strip.frame_start, strip.frame_end = first, first, last
    strip.extrapolation = "NOTHING"


def path_of(name: str) -> str:
    return f'key_blocks["{name}"].value'


def hand_made(keys: Any, frames: Frames) -> bool:
    """Whether writing these frames would touch what a person made: an Action of theirs, or keys of ours they edited."""
    action, _ = _speech(keys)
    if action is None:
        animation = keys.animation_data
        theirs = animation.action if animation else None
        return theirs is not None and any(len(curve.keyframe_points) for curve in Curves(theirs, keys))
    ours = Curves(action, keys)
    known = [(first, last) for first, last, _ in _written(action)]
    edited = [
        checksum != _checksum(ours, (first, last))
        for first, last, checksum in _written(action)
        if first <= frames[1] + 1 and frames[0] - 1 <= last
    ]
    return any(edited) or any(
        frames[0] <= key.co.x <= frames[1] and not any(first - 1 <= key.co.x <= last + 1 for first, last in known)
        for curve in ours
        for key in curve.keyframe_points
    )


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


def _target(keys: Any, frames: Frames, existing: str, name: str) -> tuple[Curves, Any]:
    """The Action to write into, in its place, and its NLA strip if it has one."""
    speech, strip = _speech(keys)
    if speech is not None:
        if hand_made(keys, frames):
            speech.copy().use_fake_user = True  # the edited keys stay in the file
        return Curves(speech, keys, create=True), strip
    animation = keys.animation_data or keys.animation_data_create()
    theirs = animation.action
    target = Curves(bpy.data.actions.new(f"{name} Speech"), keys, create=True)
    if theirs is None or not any(len(curve.keyframe_points) for curve in Curves(theirs, keys)):
        target.assign()
    elif existing == REPLACE:
        theirs.use_fake_user = True
        target.assign()
    else:
        strip = target.push_down(target.action.name, frames[0] - 1)
        animation.action_blend_type = "ADD"  # the hand's keys come on top of the speech
    return target, strip


def _part(values: array, plan: rendering.Plan) -> array:
    return values[plan.whole[0] - plan.origin : plan.whole[1] - plan.origin + 1]


def _key(curve: bpy.types.FCurve, points: list[tuple[int, float]], frames: Frames) -> None:
    """Put linear keys on `frames`, at rest on the frame before and after; other keys stay. Where a value only goes on,
    its first and last key say all."""
    points = [(frames[0] - 1, 0.0), *points, (frames[1] + 1, 0.0)]
    kept = [
        (key.co.x, key.co.y, compat.INTERPOLATION.get(key.interpolation, 2))
        for key in curve.keyframe_points
        if key.co.x < frames[0] - 1 or key.co.x > frames[1] + 1
    ]
    values = [round(value, curves.DECIMALS) for _, value in points]
    inner = range(1, len(points) - 1)
    needed = {0, len(points) - 1} | {i for i in inner if not values[i - 1] == values[i] == values[i + 1]}
    linear = compat.INTERPOLATION["LINEAR"]
    rows = sorted([*kept, *((float(points[i][0]), values[i], linear) for i in needed)])
    curve.keyframe_points.clear()
    curve.keyframe_points.add(len(rows))
    curve.keyframe_points.foreach_set("co", array("f", (value for row in rows for value in row[:2])))
    curve.keyframe_points.foreach_set("interpolation", [row[2] for row in rows])
    curve.update()


def _written(action: bpy.types.Action) -> list[tuple[int, int, str]]:
    try:
        return [(int(first), int(last), str(checksum)) for first, last, checksum in json.loads(action[WRITTEN])]
    except (ValueError, TypeError):
        return []


def _remember(target: Curves, frames: Frames) -> None:
    apart = [
        (first, last) for first, last, _ in _written(target.action) if last < frames[0] - 1 or first > frames[1] + 1
    ] if WRITTEN in target.action else []  # fmt: skip
    stretches = sorted([*apart, frames])
    target.action[WRITTEN] = json.dumps([(*stretch, _checksum(target, stretch)) for stretch in stretches])


def _checksum(ours: Curves, frames: Frames) -> str:
    """Of every key on these frames, of the expression units."""
    found = hashlib.sha256()
    paths = {path_of(name) for name in ARKIT_NAMES}
    for curve in sorted((curve for curve in ours if curve.data_path in paths), key=lambda curve: curve.data_path):
        found.update(curve.data_path.encode())
        for key in curve.keyframe_points:
            if frames[0] <= key.co.x <= frames[1]:
                found.update(f"{key.co.x:.3f} {key.co.y:.5f} {key.interpolation};{curve.mute}".encode())
    return found.hexdigest()[:16]
