"""Data-blocks that a job has begun and nothing uses yet. Undo can put another data-block under a draft's name while the
job runs, so that only its mark tells which one it is.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

import bpy

MARK = "elocute_draft"  # custom property of a draft


def new_mark() -> str:
    """A job's own, by which `find` knows what it has begun."""
    return uuid.uuid4().hex


def begin(block: bpy.types.ID, mark: str) -> None:
    """Make a data-block a draft."""
    block[MARK] = mark


def find(blocks: Iterable[Any], mark: str) -> Any:
    """The draft with this mark among some data-blocks, or None when it is gone."""
    return next((block for block in blocks if block.get(MARK) == mark), None)


def finish(block: bpy.types.ID) -> None:
    """Have a data-block be no draft any longer, if it is one."""
    block.pop(MARK, None)
