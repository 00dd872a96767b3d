"""The frames as an image strip above the sound strip: same start, same length, same rate, the job stored on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy

from ..core.elocute.errors import BadInput
from . import compat, shots

Frames = tuple[int, int]  # first and last, of the timeline

CHANNELS = 128
STANDARD: Any = "Standard"  # the stubs don't know the names of the configuration's transforms


def file_name(number: int) -> str:
    """As the engine names the frame."""
    return f"{number:06d}.png"


def strip_of(scene: bpy.types.Scene, uid: str) -> Any:
    """The image strip that shows a shot, or None."""
    strips = [strip for strip in compat.all_strips(scene) if strip.type == "IMAGE" and strip.elocute.shot == uid]
    return strips[0] if strips else None


def show(ref: shots.Ref, folder: Path, origin: int, whole: Frames, rendered: Frames, span: Frames) -> str:
    """Put frames into the sequencer; returns the strip's name.

    `origin` is the timeline frame of file 1, `whole` the frames that have sound, `rendered` those that this run made,
    `span` where the voice's strip shows: at its ends a picture may be held for a frame of rounding. A strip of the same
    shot is used again and keeps what was done to it; else there is a new one above the voice. It covers the whole voice
    where all its frames are there, else as many around the rendered ones as are.
    """
    scene, shot = ref.find()
    if scene.sequence_editor is None:
        scene.sequence_editor_create()
    first, last = whole
    strip = strip_of(scene, ref.uid)
    fits = strip is not None and _shows(strip, first, last) and _within(rendered, compat.span(strip))
    if strip is None:
        strip = _new(scene, shot, folder / file_name(first - origin + 1), span)
    if not fits:
        compat.untrim(strip)
    _fill(strip, folder, first - origin + 1, last - first + 1)
    if not fits:
        low, high = _available(folder, origin, whole, rendered)
        compat.set_content_start(strip, first)
        compat.set_span(strip, span[0] if low == whole[0] else low, span[1] if high == whole[1] else high)
    strip.elocute.shot, strip.elocute.job = ref.uid, shots.store(shot)
    compat.invalidate(strip)
    if shot.keep_colors and scene.view_settings.view_transform != STANDARD:
        scene.view_settings.view_transform = STANDARD
    return str(strip.name)


def _shows(strip: Any, first: int, last: int) -> bool:
    """Whether a strip's content is at these frames, however it is trimmed."""
    return round(compat.content_start(strip)) == first and len(strip.elements) == last - first + 1


def _within(inner: Frames, outer: Frames) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]


def _available(folder: Path, origin: int, whole: Frames, rendered: Frames) -> Frames:
    """The longest stretch of timeline frames around the rendered ones whose files are all there."""
    first, last = rendered
    while first > whole[0] and (folder / file_name(first - origin)).is_file():
        first -= 1
    while last < whole[1] and (folder / file_name(last + 1 - origin + 1)).is_file():
        last += 1
    return first, last


def _new(scene: bpy.types.Scene, shot: Any, path: Path, span: Frames) -> Any:
    voice = shots.voice_strip(scene, shot) if shot.voice_source == "STRIP" else None
    owner = compat.owner_of(scene, voice) if voice is not None else scene.sequence_editor
    channel = _free_channel(owner, (voice.channel if voice is not None else 0) + 1, span)
    strip = compat.strips(owner).new_image(
        name=shot.name, filepath=str(path), channel=channel, frame_start=span[0], fit_method="FIT"
    )
    strip.blend_type = "ALPHA_OVER"
    return strip


def _free_channel(owner: Any, lowest: int, span: Frames) -> int:
    """The lowest channel from `lowest` on that has nothing on these frames."""
    taken = [(strip.channel, compat.span(strip)) for strip in compat.strips(owner)]
    for channel in range(lowest, CHANNELS + 1):
        if not any(c == channel and first <= span[1] and span[0] <= last for c, (first, last) in taken):
            return channel
    raise BadInput("channels_full", "There is no free channel above the voice. Make room; the frames are kept")


def _fill(strip: Any, folder: Path, number: int, count: int) -> None:
    """Have a strip consist of the files `number` to `number + count - 1` of a folder."""
    strip.directory = str(folder) + "/" if not _relative(folder) else _relative(folder)
    elements = strip.elements
    while len(elements) > count:
        elements.pop(len(elements) - 1)
    for _ in range(count - len(elements)):
        elements.append("")
    for i, element in enumerate(strip.elements):
        name = file_name(number + i)
        if element.filename != name:
            element.filename = name


def _relative(folder: Path) -> str:
    """As a path from the .blend file, when it lies in that file's folder."""
    if not bpy.data.filepath:
        return ""
    base = Path(bpy.data.filepath).parent
    return f"//{folder.relative_to(base).as_posix()}/" if folder.is_relative_to(base) else ""
