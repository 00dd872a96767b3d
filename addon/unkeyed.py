"""Poses that nobody has keyed yet. Going to another frame and back takes the keyed ones instead, so they are put back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bpy

from . import compat

Value = tuple[Any, str, int, Any]  # whose, the path of a property, which of its numbers, and the number


def values(scenes: list[bpy.types.Scene]) -> list[Value]:
    """What animated properties of the scenes and of their objects are now."""
    return [(owner, *found) for owner in _owners(scenes) for found in _animated(owner)]


def put_back(before: list[Value]) -> None:
    """Give properties that have changed since the value that they had."""
    for owner, path, index, value in before:
        if _get(owner, path, index) != value:
            _set(owner, path, index, value)


def _owners(scenes: list[bpy.types.Scene]) -> dict[Any, None]:
    found: dict[Any, None] = dict.fromkeys(scenes)
    for scene in scenes:
        for obj in scene.objects:
            data = obj.data
            for owner in (obj, data, getattr(data, "shape_keys", None)):
                if getattr(owner, "animation_data", None) is not None:  # an image of an empty has none
                    found[owner] = None
    return found


def _animated(owner: Any) -> Iterator[tuple[str, int, Any]]:
    animation = owner.animation_data
    if animation is None:
        return
    driven = {(driver.data_path, driver.array_index) for driver in animation.drivers}
    curves = (curve for curves in compat.all_curves(owner) for curve in curves)
    for place in dict.fromkeys((curve.data_path, curve.array_index) for curve in curves):
        value = None if place in driven else _get(owner, *place)
        if value is not None:
            yield (*place, value)


def _get(owner: Any, path: str, index: int) -> Any:
    """None where a curve's property is gone."""
    try:
        value = owner.path_resolve(path)
        return value[index] if hasattr(value, "__len__") and not isinstance(value, str) else value
    except (ValueError, IndexError, TypeError):
        return None


def _set(owner: Any, path: str, index: int, value: Any) -> None:
    now = owner.path_resolve(path)
    if hasattr(now, "__len__") and not isinstance(now, str):
        now[index] = value
    elif path.endswith('"]'):  # a custom property
        place, _, name = path[:-2].rpartition('["')
        (owner.path_resolve(place) if place else owner)[bpy.utils.unescape_identifier(name)] = value
    else:
        place, _, name = path.rpartition(".")
        setattr(owner.path_resolve(place) if place else owner, name, value)
