"""The frames as an image strip above the sound strip: same start, same length, same rate, the job stored on it."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

from ..core.elocute.errors import BadInput
from . import compat, shotlist, shots

Frames = tuple[int, int]  # first and last, of the timeline

CHANNELS = 128
SLICE_SECONDS = 0.01  # of filling a strip between two turns of Blender's
SLICE = 100  # files looked into between two turns, a few milliseconds
NAMES = 5_000  # or names looked for
BEGINNINGS = 1_000  # of filling strips that something else changes again and again, seconds at least
# Views that show pictures as they are, Blender's and of studios' colour configurations. "Raw" makes them darker in 5.x.
NEUTRAL = ("Standard", "Un-tone-mapped")


def file_name(number: int) -> str:
    """As the engine names the frame."""
    return f"{number:06d}.png"


def strips_of(scene: bpy.types.Scene, uid: str) -> list[Any]:
    """The image strips that show a shot: one, or what became of it when it was cut or copied."""
    return [strip for strip in compat.all_strips(scene) if strip.type == "IMAGE" and strip.elocute.shot == uid]


@dataclass(frozen=True)
class _Place:
    """Where frames go: their folder, number and timeline frame of the first, how many, and the `span` that shows them.
    `width` is theirs in pixels."""

    folder: Path
    number: int
    first: int
    count: int
    span: Frames
    width: int


def show(
    ref: shots.Ref, folder: Path, files: set[str], origin: int, whole: Frames, rendered: Frames, span: Frames
) -> Generator[None, Any, str]:
    """Steps of putting frames into the sequencer; returns the strip's name.

    `files` are the names of all that is in `folder`. `origin` is the timeline frame of file 1, `whole` the frames that
    have sound, `rendered` those that this run made, `span` where the voice's strip shows: at its ends a picture may be
    held for a frame of rounding. A strip of the same shot is used again and keeps what was done to it; else there is
    a new one above the voice. Where nobody has trimmed or cut it, it covers the whole voice if all its frames are
    there, else as many around the rendered ones as are.
    """
    scene, shot = ref.find()
    if scene.sequence_editor is None:
        scene.sequence_editor_create()
    path = folder / file_name(rendered[0] - origin + 1)
    width = _width(path)
    strips = strips_of(scene, ref.uid) or [_new(scene, shot, path, span)]
    names = [str(strip.name) for strip in strips]
    resized = any(strip.elocute.width not in (0, width) for strip in strips)
    low, high = yield from _available(folder, files, origin, whole, rendered, width if resized else 0)
    shown = span[0] if low == whole[0] else low, span[1] if high == whole[1] else high
    place = _Place(folder, whole[0] - origin + 1, whole[0], whole[1] - whole[0] + 1, shown, width)
    beginnings = 1
    while not (yield from _renew_all(ref, names, place)):
        beginnings += 1
        if beginnings > BEGINNINGS:
            text = f"The strip {names[0]} was changed again and again while it was filled. Render again to fill it"
            raise BadInput("strip_changed", text)
    return names[0]


def keep_colors(scene: bpy.types.Scene, shot: Any) -> list[str]:
    """Have the scene show the frames' colours as they are, if the shot asks for that. Returns what to warn of."""
    view: Any = scene.view_settings  # the stubs don't know the views, which are the colour configuration's
    if not shot.keep_colors or view.view_transform in NEUTRAL:
        return []
    for name in NEUTRAL:
        with suppress(TypeError):  # the configuration has no such view
            view.view_transform = name
            return []
    views = " nor ".join(NEUTRAL)
    return [
        f"Colors may change on screen: the color configuration has neither the view {views}. Choose another under "
        "Color Management, or switch Keep Colors off"
    ]


def shown_frames(strip: Any, origin: int) -> Frames:
    """The first and last timeline frame of a shot whose files a strip shows, wherever it is. `origin` is the timeline
    frame of file 1."""
    first, last = compat.span(strip)
    number, start, held = strip.elocute.number, round(compat.content_start(strip)), compat.held_start(strip)
    if not number:  # made before strips told it: those are in sync
        return first, last
    final = len(strip.elements) - 1
    low, high = (min(max(frame - start, 0) + held, final) for frame in (first, last))
    if strip.use_reverse_frames:
        low, high = final - high, final - low
    return origin + number - 1 + low, origin + number - 1 + high


def _renew_all(ref: shots.Ref, names: list[str], place: _Place) -> Generator[None, Any, bool]:
    """Have strips show the files of `place`. False when something changed one meanwhile: undo changes all of them, so
    all have to be looked at again."""
    for name in names:
        if not (yield from _renew(ref, name, place, alone=len(names) == 1)):
            return False
    return True


def _renew(ref: shots.Ref, name: str, place: _Place, alone: bool) -> Generator[None, Any, bool]:
    """Have a strip show the files of `place`. What people did to it stays: where they trimmed it, it begins and ends as
    before; as one of several it stays where it is. Returns whether nothing else changed it meanwhile."""
    strip = _again(ref, name)
    about, channel = strip.elocute, strip.channel
    untouched, first, span = _target(strip, place, alone)
    if untouched:
        about.placed = 0, 0  # it grows: broken off or undone halfway, it is not to be taken for trimmed
    if not (yield from _fill(ref, name, place, held=not untouched)):
        return False
    strip = _again(ref, name)
    about = strip.elocute
    if untouched:
        compat.untrim(strip)
    if (round(compat.content_start(strip)), compat.span(strip)) != (first, span):
        compat.set_content_start(strip, first)
        compat.set_span(strip, *span)
        _back(ref.find()[0], strip, channel)
    if about.width not in (0, place.width):  # the picture stays as large as it was
        scale = about.width / place.width
        strip.transform.scale_x, strip.transform.scale_y = (
            strip.transform.scale_x * scale, strip.transform.scale_y * scale
        )  # fmt: skip
    shotlist.store(ref.find()[1], about)
    about.width, about.number = place.width, place.number
    if untouched:
        about.placed = [end - first for end in compat.span(strip)]
    compat.invalidate(strip)
    return True


def _target(strip: Any, place: _Place, alone: bool) -> tuple[bool, int, Frames]:
    """Whether nobody has trimmed or cut a strip, and where it goes: the start of its content and the frames that it
    shows. An untouched one covers all there is, a trimmed one keeps its ends on the same pictures, one of several its
    frames."""
    about, start, shown = strip.elocute, round(compat.content_start(strip)), compat.span(strip)
    if alone and tuple(about.placed) in {(0, 0), (shown[0] - start, shown[1] - start)}:
        return True, place.first, place.span
    late = place.first - place.number - (start - (about.number or place.number))  # frames that pictures come later now
    if alone:
        return False, place.first, (shown[0] + late, shown[1] + late)
    return False, place.first - late, shown


def _again(ref: shots.Ref, name: str) -> Any:
    """The strip, after Blender had its turn. Raises BadInput strip_gone."""
    scene, _ = ref.find()
    strip = next((strip for strip in strips_of(scene, ref.uid) if strip.name == name), None)
    if strip is None:
        raise BadInput("strip_gone", f"The strip {name} was removed while it was filled. Render again to add it")
    return strip


def _available(
    folder: Path, files: set[str], origin: int, whole: Frames, rendered: Frames, width: int
) -> Generator[None, Any, Frames]:
    """The longest stretch of timeline frames around the rendered ones whose files are all there, and have a width when
    one is given."""
    ends = []
    for end, limit, step in ((rendered[0], whole[0], -1), (rendered[1], whole[1], 1)):
        while end != limit and (name := file_name(end + step - origin + 1)) in files:
            if width and _width(folder / name) != width:
                break
            end += step
            if end % (SLICE if width else NAMES) == 0:
                yield
        ends.append(end)
    return ends[0], ends[1]


def _width(path: Path) -> int:
    """Of a PNG, from its header; 0 when it is none."""
    with path.open("rb") as file:
        header = file.read(24)
    return int.from_bytes(header[16:20], "big") if header[1:4] == b"PNG" else 0


def _new(scene: bpy.types.Scene, shot: Any, path: Path, span: Frames) -> Any:
    voice = shots.voice_strip(scene, shot) if shot.voice_source == "STRIP" else None
    owner = compat.owner_of(scene, voice) if voice is not None else scene.sequence_editor
    channel = _free_channel(owner, (voice.channel if voice is not None else 0) + 1, span)
    strip = compat.strips(owner).new_image(
        name=shot.name, filepath=str(path), channel=channel, frame_start=span[0], fit_method="FIT"
    )
    strip.blend_type = "ALPHA_OVER"
    strip.elocute.shot = shot.uid
    _fit_pixels(scene, strip, _width(path))
    return strip


def _fit_pixels(scene: bpy.types.Scene, strip: Any, width: int) -> None:
    """Where the scene's pixels aren't square, show frames `width` pixels wide as the square that they are: Blender fits
    them in as if these pixels were."""
    render: Any = scene.render
    if width and render.pixel_aspect_x != render.pixel_aspect_y:
        side = min(shots.picture(scene)) / width
        strip.transform.scale_x, strip.transform.scale_y = side / render.pixel_aspect_x, side / render.pixel_aspect_y


def _free_channel(owner: Any, lowest: int, span: Frames) -> int:
    """The lowest channel from `lowest` on that has nothing on these frames, and on which a strip shows and can be
    edited."""
    closed = {number for number, channel in enumerate(owner.channels) if channel.mute or channel.lock}
    taken = [(strip.channel, compat.span(strip)) for strip in compat.strips(owner)]
    for channel in range(lowest, CHANNELS + 1):
        held = (first <= span[1] and span[0] <= last for c, (first, last) in taken if c == channel)
        if channel not in closed and not any(held):
            return channel
    text = "There is no free channel above the voice that is neither muted nor locked. Make room; the frames are kept"
    raise BadInput("channels_full", text)


def _back(scene: bpy.types.Scene, strip: Any, channel: int) -> None:
    """Put a strip back on its channel, from which it went if it was in the way of a neighbour for a moment. Where one
    is in its way still it stays: Blender would push it aside in time, or 4.5 look for a place for ever."""
    first, last = compat.span(strip)
    others = (other for other in compat.strips(compat.owner_of(scene, strip)) if other != strip)
    spans = [compat.span(other) for other in others if other.channel == channel]
    if strip.channel != channel and not any(low <= last and first <= high for low, high in spans):
        strip.channel = channel


def _fill(ref: shots.Ref, name: str, place: _Place, held: bool) -> Generator[None, Any, bool]:
    """Have a strip consist of the files of `place`; a `held` one shows on the same frames all the while. Each file that
    it gets or loses moves all others in memory, which for a long voice takes seconds. One that was cut with Hold Split
    keeps as many as it has: Blender takes those that the cut hides for none when it makes room. False, broken off, when
    the strip is not as it was left after a turn of Blender's."""
    strip = _again(ref, name)
    count = min(place.count, len(strip.elements)) if compat.is_held(strip) else place.count
    strip.directory = _relative(place.folder) or f"{place.folder}/"
    done = 0
    while done < count or (len(strip.elements) > count and not compat.is_held(strip)):
        end, elements = time.perf_counter() + SLICE_SECONDS, strip.elements
        span, channel = compat.span(strip), strip.channel
        while time.perf_counter() < end:
            if done < count:
                _set_file(elements, done, file_name(place.number + done))
                done += 1
            elif len(elements) > count and not compat.is_held(strip):
                elements.pop(len(elements) - 1)
            else:
                break
        if held and compat.span(strip) != span:
            compat.set_span(strip, *span)
            _back(ref.find()[0], strip, channel)
        left = _state(strip, done)
        yield
        strip = _again(ref, name)
        if _state(strip, done) != left:
            return False
    return True


def _state(strip: Any, done: int) -> tuple[Any, ...]:
    """What tells whether a strip of which `done` files are set is as it was left. Undo reads it anew into another place
    of the memory."""
    last = strip.elements[done - 1].filename if 0 < done <= len(strip.elements) else ""
    return strip.as_pointer(), strip.directory, len(strip.elements), last


def _set_file(elements: Any, index: int, name: str) -> None:
    if index == len(elements):
        elements.append(name)
    elif elements[index].filename != name:
        elements[index].filename = name


def _relative(folder: Path) -> str:
    """As a path from the .blend file, when it lies in that file's folder."""
    if not bpy.data.filepath:
        return ""
    base = Path(bpy.data.filepath).parent
    return f"//{folder.relative_to(base).as_posix()}/" if folder.is_relative_to(base) else ""
