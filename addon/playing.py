"""What moves a data-block now: its Action, the strips of its NLA that play, and drivers."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import Any

from .compat import Curves


def moves(owner: Any, paths: Container[str]) -> bool:
    """Whether keys or drivers move one of the properties `paths` of a data-block. What is muted doesn't, nor does an
    Action that has lost its keys or, since 4.4, whose slot isn't chosen."""
    animation = owner.animation_data
    if animation is None:
        return False
    if any(driver.data_path in paths and not driver.mute for driver in animation.drivers):
        return True
    chosen = animation.action is not None and getattr(animation, "action_slot", animation.action) is not None
    played = [Curves(animation.action, owner)] if chosen else []
    played += (Curves(strip.action, owner, slot=getattr(strip, "action_slot", None)) for strip in strips(animation))
    return any(curve.data_path in paths and _has_values(curve) for curves in played for curve in curves)


def strips(animation: Any) -> Iterator[Any]:
    """The NLA strips that play an Action, those within meta strips too."""
    alone = solo(animation)
    tracks = [track for track in animation.nla_tracks if animation.use_nla and (track in alone or not alone)]
    for track in tracks:
        if not track.mute:
            yield from _playing(track.strips)


def solo(animation: Any) -> list[Any]:
    """The NLA tracks that play alone."""
    return [track for track in animation.nla_tracks if track.is_solo]


def _playing(given: Iterable[Any]) -> Iterator[Any]:
    for strip in given:
        if not strip.mute:
            yield from _playing(strip.strips)
            if strip.action is not None:
                yield strip


def _has_values(curve: Any) -> bool:
    """Whether an F-curve says anything: keys, samples that were baked, or a modifier that makes its own."""
    return not curve.mute and bool(len(curve.keyframe_points) or len(curve.sampled_points) or len(curve.modifiers))
