"""What a process keeps from one job to the next, so that a preview of the next frame answers at once.

One place of each kind holds the latest only: a worker renders one avatar again and again, and memory stays bounded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

Kept = TypeVar("Kept")


class Latest(Generic[Kept]):
    """The value that was made last, with the key it was made for."""

    _large: ClassVar[list[Latest[Any]]] = []

    def __init__(self, *dependants: Latest[Any], large: bool = False) -> None:
        """`dependants`: places whose values are made of this one's, and would keep it alive. `large`: `make_room` lets
        go of this one."""
        self._held: tuple[Hashable, Kept] | None = None
        self._dependants = dependants
        if large:
            self._large.append(self)

    def get(self, key: Hashable, make: Callable[[], Kept]) -> Kept:
        """The held value when it was made for `key`, else a new one in its place. A value is shared by all who get
        it: nobody may change it."""
        if self._held is None or self._held[0] != key:
            self.forget()  # two avatars need not fit into memory
            self._held = (key, make())
        return self._held[1]

    def forget(self) -> None:
        """Let go of the value and of all that is made of it."""
        self._held = None
        for place in self._dependants:
            place.forget()


def make_room() -> None:
    """Let go of all that is large, whichever model set holds it: a fit needs the memory itself."""
    for place in Latest._large:
        place.forget()


def file_state(path: Path) -> Hashable:
    """What changes when a file's content does: (absolute path, size, time of change in nanoseconds)."""
    try:
        state = path.stat()
    except OSError:  # whoever reads it says what is wrong
        return os.path.abspath(path), None
    return os.path.abspath(path), state.st_size, state.st_mtime_ns
