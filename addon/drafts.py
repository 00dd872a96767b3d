"""Data-blocks that a job has begun and nothing uses yet. Undo can put another data-block under a draft's name while the
job runs, so that only its mark tells which one it is.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

import bpy

MARK = "elocute_draft"  # custom property of a draft


def begin(block: bpy.types.ID) -> str:
    """Make a data-block a draft; returns the mark by which `find` knows it."""
    mark = uuid.uuid4().hex
    block[MARK] = mark
    return mark


def find(blocks: Iterable[Any], mark: str) -> Any:
    """The draft with this mark among some data-blocks, or None when it is gone."""
    return next((block for block in blocks if block.get(MARK) == mark), None)


def finish(block: bpy.types.ID) -> None:
    """A draft is one no longer."""
    del block[MARK]
