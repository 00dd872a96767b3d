"""Speech to Keys: the voice's curves as keyframes on the head's shape keys, in an Action of their own.

What a person has keyed or edited is never overwritten unless they say so: the Action remembers a checksum of the keys
that were written, and keys that no longer match it are the animator's.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import bpy

from ..core.elocute.errors import BadInput
from . import drafts, playing, rendering, shots, stretches
from .compat import Curves
from .stretches import PATHS, WRITTEN, Frames
from .task import Ask, Task

GROUP = "Speech"
ASK, LAYER, REPLACE = "ASK", "LAYER", "REPLACE"
EDITED, OTHERS = "EDITED", "OTHERS"  # whose keys are in the way: the speech's, changed by hand, or Actions of others
SAID = {EDITED: "The speech keys were edited by hand", OTHERS: "The head has keys that were made by hand"}


def write(ref: shots.Ref, existing: str, folder: Path, task: Task) -> Generator[Ask | None, Any, str]:
    """Steps of keying a shot's voice; returns the Action's name.

    `existing` says what becomes of keys that a person made. LAYER adds the speech to them: an Action of theirs stays in
    its place as an addition to the speech below it, or goes into the NLA as it is where it has strips of theirs below
    it; those stay as they are, with the speech as an addition above them. REPLACE puts the speech in the place of their
    Action, or of edited speech, and above their strips, which it hides; their Actions stay in the file. Raises BadInput
    keys_exist for ASK, nla_off, and head_linked when the head could not keep the Action.
    """
    _, shot = ref.find()
    _refuse_head(shot.head)
    plan, said = yield from rendering.listen(ref, rendering.ALL, folder, task)
    if not said:
        raise BadInput("voice_missing", "Speech to Keys needs a voice. Choose one")
    task.at("Writing keys", 0, len(said))
    first, last = plan.whole
    voice = _voice_of(ref.find()[1])
    _leave_tweak_mode(_keys_of(ref))
    theirs = yield from _whose(lambda: _keys_of(ref), plan.whole, voice)
    _refuse(_keys_of(ref), theirs, existing)
    speech, _ = _speech(_keys_of(ref))
    begun = speech.copy() if speech is not None else bpy.data.actions.new(f"{ref.find()[1].name} Speech")
    change = stretches.Change(stretches.of(begun), plan.whole, voice)
    mark = drafts.new_mark()
    drafts.begin(begun, mark)
    keyed: list[str] = []
    try:
        yield
        for unit, values in said.items():
            wanted = stretches.keys_for(values[first - plan.origin : last - plan.origin + 1], first)
            yield  # a step of its own: each half of a long voice's takes much of what a step may
            keys, draft = _still_there(ref, mark)
            if keys.key_blocks.get(unit) is not None:
                stretches.put(draft.ensure(stretches.path_of(unit), GROUP), wanted, change)
                keyed.append(unit)
            task.done += 1
            yield
        yield from stretches.remember(lambda: _still_there(ref, mark)[1], change, existing == REPLACE)
        keys, draft = _still_there(ref, mark)
        _leave_tweak_mode(keys)
        theirs = _at_once(_whose(lambda: keys, plan.whole, voice))  # with what follows: nobody edits a key in between
        _refuse(keys, theirs, existing)
    except BaseException:  # stopped too: half of the speech is of no use
        unfinished = drafts.find(bpy.data.actions, mark)
        if unfinished is not None:
            bpy.data.actions.remove(unfinished)
        raise
    drafts.finish(draft.action)
    _use(draft, first, existing, theirs)
    _, shot = ref.find()
    shot.face_source = "AUTO" if shot.face_source == "VOICE" else shot.face_source
    keys.update_tag()
    task.message = f"{len(keyed)} curves on frames {first}-{last} of {shot.head.name}"
    if (driven := _driven(keys, keyed)):
        task.warnings.append(f"Drivers move {', '.join(driven)}: the keys show when the drivers are deleted or muted")
    return str(draft.action.name)


def _driven(keys: Any, units: list[str]) -> list[str]:
    """The units whose shape keys have a driver, which wins over keys."""
    drivers = keys.animation_data.drivers if keys.animation_data is not None else ()
    driven = {driver.data_path for driver in drivers if not driver.mute}
    return [unit for unit in units if stretches.path_of(unit) in driven]


def _refuse_head(head: Any) -> None:
    """Raises BadInput head_without_keys, or head_linked: what moves linked shape keys isn't saved. That of overridden
    ones is; Blender says of those that they are the file's own."""
    keys = shots.shape_keys(head)
    if keys is None:
        raise BadInput("head_without_keys", "The head has none of the 52 shape keys. Add a head")
    if keys.library is not None:
        text = f"The shape keys of {head.name} are linked: make the object and its mesh local, or override both"
        raise BadInput("head_linked", text)


def _refuse(keys: Any, theirs: str, existing: str) -> None:
    """Raises BadInput keys_exist when a person has to decide first what becomes of keys of theirs, nla_off when speech
    that is added to them would not be seen."""
    animation = keys.animation_data
    if theirs == OTHERS and existing == LAYER and not (animation.use_nla and not playing.solo(animation)):
        text = "The NLA of the head is off or plays one track alone: speech is not seen there. Have all tracks play"
        raise BadInput("nla_off", text)
    if theirs and (existing == ASK or (theirs == EDITED and existing != REPLACE)):
        raise BadInput("keys_exist", f"{SAID[theirs]}. Speech to Keys in the panel asks what becomes of them")


def _leave_tweak_mode(keys: Any) -> None:
    """While an NLA strip is edited, its Action is in the place of the head's own, and nobody may put another there."""
    if keys.animation_data is not None and keys.animation_data.use_tweak_mode:
        keys.animation_data.use_tweak_mode = False


def _voice_of(shot: Any) -> str:
    """What a voice of a shot is known by, wherever it is in the timeline."""
    sound = shot.voice_file if shot.voice_source == "FILE" else shot.voice_id or shot.voice_strip
    return f"{shot.uid} {sound}"


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


def hand_made(keys: Any, frames: Frames, shot: Any = None) -> str:
    """Whether writing a shot's voice on these frames would touch what a person made: OTHERS, Actions of theirs; EDITED,
    keys of ours that they changed, on these frames or where this voice was written before; "" nothing."""
    return _at_once(_whose(lambda: keys, frames, _voice_of(shot) if shot is not None else ""))


def _at_once(steps: Generator[None, None, str]) -> str:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return str(end.value)


def _whose(find: Callable[[], Any], frames: Frames, voice: str) -> Generator[None, None, str]:
    """`hand_made` in steps, of the shape keys that `find` finds after each."""

    def ours() -> Curves:
        keys = find()
        speech, _ = _speech(keys)
        if speech is None:
            raise _gone()
        return Curves(speech, keys)

    keys = find()
    if _speech(keys)[0] is None:
        return OTHERS if _others(keys) else ""
    return EDITED if (yield from stretches.edited(ours, frames, voice)) else ""


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


def _others(keys: Any) -> list[bpy.types.Action]:
    """Actions of others in the way of a first speech: one in the place that it would have, and those of NLA strips that
    move the face. On whichever frames: an Action holds its last keys, so that strips below it are seen nowhere."""
    animation = keys.animation_data
    if animation is None:
        return []
    action = animation.action
    found = [action] if action is not None and any(len(curve.keyframe_points) for curve in Curves(action, keys)) else []
    for strip in playing.strips(animation):
        curves = Curves(strip.action, keys, slot=getattr(strip, "action_slot", None))
        if any(curve.data_path in PATHS and len(curve.keyframe_points) for curve in curves):
            found.append(strip.action)
    return found


def _use(draft: Curves, first: int, existing: str, theirs: str) -> None:
    """Have a finished draft move the head: in the place of the speech before it, else in one of its own."""
    keys, action = draft.owner, draft.action
    speech, strip = _speech(keys)
    if speech is not None and speech != action:  # else somebody has it move the head already
        _succeed(action, speech, bool(theirs))
    elif speech is None and theirs and existing != REPLACE:
        strip = _add(draft, first)
    elif speech is None:
        _assign(draft)
    if strip is not None:
        _fit(strip, action)


def _assign(draft: Curves) -> None:
    """A first speech in the place of Actions of others, which stay in the file."""
    animation = draft.owner.animation_data or draft.owner.animation_data_create()
    for other in _others(draft.owner):
        other.use_fake_user = True
        animation.action_blend_type = "REPLACE"  # it may have been an addition to what is below
    draft.assign()


def _add(draft: Curves, first: int) -> Any:
    """A first speech that is added to Actions of others; returns its NLA strip."""
    animation = draft.owner.animation_data
    if animation.action is not None and len(_others(draft.owner)) > 1:
        _push_down(draft.owner)  # to the strips below it, it stays what it is
    strip = draft.push_down(draft.action.name, first - 1)  # above all others: what those give together stays the same
    strip.blend_type = "ADD"
    if animation.action is not None:
        animation.action_blend_type = "ADD"  # the hand's keys come on top of the speech
    return strip


def _push_down(keys: Any) -> None:
    """Put the Action that is in place into the NLA, above the strips there, where it gives what it gave."""
    animation = keys.animation_data
    action = animation.action
    strip = Curves(action, keys).push_down(action.name, int(action.curve_frame_range.x))
    strip.blend_type = animation.action_blend_type
    _fit(strip, action)
    strip.extrapolation = animation.action_extrapolation
    animation.action = None
    animation.action_blend_type = "REPLACE"


def _succeed(action: bpy.types.Action, speech: bpy.types.Action, is_edited: bool) -> None:
    """Put an Action in the place of the speech before it, under its name; edited speech stays in the file, linked
    speech in its own."""
    name = speech.name
    if speech.asset_data is not None:
        action.asset_mark()
        action.asset_data = speech.asset_data
    speech.user_remap(action)
    if speech.library is not None:
        pass
    elif is_edited:
        speech.name, speech.use_fake_user = f"{name} Edited", True
    else:
        bpy.data.actions.remove(speech)
    action.name = name


def _fit(strip: Any, action: bpy.types.Action) -> None:
    """Have an NLA strip play its Action where its keys are."""
    first, last = action.curve_frame_range.x, action.curve_frame_range.y
    strip.action_frame_end = last  # before the start, which can't lie behind it
    strip.action_frame_start, strip.frame_start, strip.frame_end = first, first, last
    strip.extrapolation = "NOTHING"
