"""Everything that Blender 4.2 to 5.2 name differently, in one place: the rest of the add-on knows no version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import bpy

STRIP_TYPE: Any = getattr(bpy.types, "Strip", None) or bpy.types.Sequence  # renamed in 4.4
# Of a path that may begin with //: from 4.5 on Blender marks it red unless it is said to.
PATH_OPTIONS: set[str] = {"PATH_SUPPORTS_BLEND_RELATIVE"} if bpy.app.version >= (4, 5, 0) else set()


def strips(owner: Any) -> Any:
    """The strips of a sequence editor or of a meta strip, for adding and removing."""
    return owner.strips if hasattr(owner, "strips") else owner.sequences


def all_strips(scene: bpy.types.Scene) -> list[Any]:
    """Every strip of a scene's sequencer, those within meta strips too."""
    editor = scene.sequence_editor
    if editor is None:
        return []
    return list(editor.strips_all if hasattr(editor, "strips_all") else editor.sequences_all)


def owner_of(scene: bpy.types.Scene, strip: Any) -> Any:
    """The sequence editor or meta strip that holds a strip."""
    metas = (meta for meta in all_strips(scene) if meta.type == "META")
    return next((meta for meta in metas if strip.name in strips(meta)), scene.sequence_editor)


def selected_strips(context: bpy.types.Context) -> list[Any]:
    """The strips that are selected in the sequencer that the user looks at, and all within selected meta strips; those
    within a closed one keep a mark of their own from before."""
    editor: Any = sequencer_scene(context).sequence_editor
    if editor is None:
        return []
    level = editor.meta_stack[-1] if len(editor.meta_stack) else editor
    return list(_with_contents(strip for strip in strips(level) if strip.select))


def _with_contents(chosen: Iterable[Any]) -> Iterator[Any]:
    for strip in chosen:
        yield strip
        if strip.type == "META":
            yield from _with_contents(strips(strip))


def active_strip(scene: bpy.types.Scene) -> Any:
    """The active strip of a scene's sequencer, or None."""
    editor = scene.sequence_editor
    return editor.active_strip if editor else None


def sequencer_scene(context: bpy.types.Context) -> bpy.types.Scene:
    """The scene whose sequencer is on screen: since 5.0 it can be another one than the active scene."""
    workspace = context.workspace
    return getattr(workspace, "sequencer_scene", None) or context.scene


def content_start(strip: Any) -> float:
    """The timeline frame at which a strip's content begins, whether trimmed or not; sounds may begin between frames."""
    return float(strip.content_start if hasattr(strip, "content_start") else strip.frame_start)


def held_start(strip: Any) -> int:
    """So many frames of a strip's file lie before its content: a cut with Hold Split (Shift+K) takes them away."""
    return _held(strip, "start")


def is_held(strip: Any) -> bool:
    """Whether a cut with Hold Split has taken frames away."""
    return bool(_held(strip, "start") or _held(strip, "end"))


def file_length(strip: Any) -> int:
    """Frames of a strip's file, with those that Hold Split has taken away."""
    return int(strip.frame_duration) + _held(strip, "start") + _held(strip, "end")


def _held(strip: Any, end: str) -> int:
    name = f"content_trim_{end}" if hasattr(strip, "content_trim_start") else f"animation_offset_{end}"
    return int(getattr(strip, name, 0))


def set_content_start(strip: Any, frame: int) -> None:
    if hasattr(strip, "content_start"):
        strip.content_start = frame
    else:
        strip.frame_start = frame


def span(strip: Any) -> tuple[int, int]:
    """First and last timeline frame on which a strip shows."""
    if hasattr(strip, "left_handle"):
        return int(strip.left_handle), int(strip.right_handle) - 1
    return int(strip.frame_final_start), int(strip.frame_final_end) - 1


def untrim(strip: Any) -> None:
    """Let a strip show its whole content."""
    names = ("left_handle_offset", "right_handle_offset")
    for name in names if hasattr(strip, names[0]) else ("frame_offset_start", "frame_offset_end"):
        setattr(strip, name, 0)


def set_span(strip: Any, first: int, last: int) -> None:
    """Trim or extend a strip so that it shows on these frames; beyond its content the nearest picture is held."""
    if hasattr(strip, "left_handle"):
        strip.left_handle, strip.right_handle = first, last + 1
    else:
        strip.frame_final_start, strip.frame_final_end = first, last + 1


def invalidate(strip: Any) -> None:
    """Have the sequencer read a strip's files again."""
    if hasattr(strip, "invalidate_cache"):
        strip.invalidate_cache("RAW")
    strip.directory = strip.directory  # its update forgets open files and cached pictures


def is_retimed(strip: Any) -> bool | None:
    """Whether a sound strip may play at another speed than its file's: nothing tells how long a retimed file really is.
    None up to 4.3, which doesn't tell."""
    return len(strip.retiming_keys) > 0 if hasattr(strip, "retiming_keys") else None


class Curves:
    """The F-curves of one data-block in an action: plain lists up to 4.3, channel bags of slots since 4.4."""

    def __init__(self, action: bpy.types.Action, owner: Any, create: bool = False, slot: Any = None) -> None:
        """`slot`: that of an NLA strip, which can play another than the one that fits the owner first."""
        self.action, self.owner = action, owner
        self._slot: Any = None
        if hasattr(action, "slots"):
            self._slot = slot or self._find_slot(create)
            self._holder = self._find_bag(create) if self._slot else None
        else:
            self._holder = action

    def _find_slot(self, create: bool) -> Any:
        animation = self.owner.animation_data
        used = animation.action_slot if animation else None
        if used and animation.action == self.action:
            return used
        fitting = [slot for slot in self.action.slots if slot.target_id_type == self.owner.id_type]
        fitting.sort(key=lambda slot: used is None or slot.identifier != used.identifier)  # of a copied action the same
        if fitting or not create:
            return fitting[0] if fitting else None
        return self.action.slots.new(self.owner.id_type, self.owner.name)

    def _find_bag(self, create: bool) -> Any:
        for layer in self.action.layers:
            for strip in layer.strips:
                bag = strip.channelbag(self._slot, ensure=create)
                if bag is not None:
                    return bag
        if not create:
            return None
        layer = self.action.layers[0] if self.action.layers else self.action.layers.new("Layer")
        return layer.strips.new(type="KEYFRAME").channelbag(self._slot, ensure=True)

    def is_same(self, other: Curves) -> bool:
        """Whether both are the same curves: an action may be in several NLA strips."""
        return bool(self.action == other.action and self._slot == other._slot)

    def __iter__(self) -> Iterator[bpy.types.FCurve]:
        return iter(self._holder.fcurves if self._holder else ())

    def find(self, path: str) -> bpy.types.FCurve | None:
        return self._holder.fcurves.find(path) if self._holder else None

    def ensure(self, path: str, group: str) -> bpy.types.FCurve:
        """The curve of a property, made when there is none."""
        found = self.find(path)
        if found is not None:
            return found
        curve = self._holder.fcurves.new(path)
        groups = self._holder.groups
        curve.group = groups.get(group) or groups.new(group)
        return curve

    def remove(self, curve: bpy.types.FCurve) -> None:
        self._holder.fcurves.remove(curve)

    def assign(self) -> None:
        """Make the action the one that moves the owner."""
        animation = self.owner.animation_data or self.owner.animation_data_create()
        animation.action = self.action
        if self._slot is not None:
            animation.action_slot = self._slot

    def push_down(self, name: str, frame: int) -> Any:
        """Put the action into an NLA track of its own. Returns the NLA strip."""
        animation = self.owner.animation_data or self.owner.animation_data_create()
        track = animation.nla_tracks.new()
        track.name = name
        strip = track.strips.new(name, frame, self.action)
        if self._slot is not None:
            strip.action_slot = self._slot
        return strip


def fcurves_of(owner: Any) -> list[bpy.types.FCurve]:
    """The F-curves of the action that moves a data-block now, if any."""
    animation = owner.animation_data
    return list(Curves(animation.action, owner)) if animation and animation.action else []


def all_curves(owner: Any) -> list[Curves]:
    """The F-curves of the action that moves a data-block, and of the strips in its NLA, each once."""
    animation = owner.animation_data
    strips = [strip for track in animation.nla_tracks for strip in track.strips] if animation else []
    found = [Curves(strip.action, owner, slot=getattr(strip, "action_slot", None)) for strip in strips if strip.action]
    if animation and animation.action:
        found.insert(0, Curves(animation.action, owner))
    return [curves for at, curves in enumerate(found) if not any(map(curves.is_same, found[:at]))]
