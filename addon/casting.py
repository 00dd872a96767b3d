"""Whose portrait speaks a sound strip: by a mapping, or by the strip's name. Plain text, no Blender."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path

from ..core.elocute.errors import BadInput
from ..core.elocute.limits import portrait_seed

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".avif", ".heic", ".heif")
# Of files that sound strips are added from, videos too.
SOUNDS = (".wav", ".mp3", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".ac3", ".aif", ".aiff", ".wma",
          ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".mts", ".ts", ".wmv")  # fmt: skip


def read_mapping(text: str, base: Path) -> dict[str, str]:
    """Lines "strip name, portrait": the portrait a path, from `base` when relative, or seed:7.

    Raises BadInput mapping_unreadable, naming the line.
    """
    found: dict[str, str] = {}
    for number, row in enumerate(_rows(text), 1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or cells[0].startswith("#"):
            continue
        if len(cells) != 2 or not all(cells):
            raise BadInput("mapping_unreadable", f"Line {number} of the mapping is not: strip name, portrait. Mend it")
        found[cells[0]] = cells[1] if portrait_seed(cells[1]) is not None else str(base / cells[1])
    return found


def _rows(text: str) -> Iterator[list[str]]:
    rows = csv.reader(text.splitlines(), skipinitialspace=True)
    try:
        yield from rows
    except csv.Error as error:
        told = f"Line {rows.line_num} of the mapping can't be read ({error}). Mend it"
        raise BadInput("mapping_unreadable", told) from None


def plain_name(name: str) -> str:
    """A strip's name without the suffix of its file. What else stands behind a dot tells it from others: "v2.1"."""
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in SOUNDS else name


def match(name: str, mapping: dict[str, str], folder: Path | None) -> str | None:
    """A strip's portrait: what the mapping says, else the picture in the folder with its name, else the one whose name
    it begins with, the longest first: "anna_01.wav" speaks as "anna.jpg".

    Raises BadInput folder_unreadable.
    """
    stem = plain_name(name)
    for key in (name, stem):
        if key in mapping:
            return mapping[key]
    if folder is None or not os.path.isdir(folder):  # which answers for a folder in a locked one, too
        return None
    try:
        pictures = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)
    except OSError as error:
        told = f"Can't read the folder {folder} ({error.strerror}). Check its rights or choose another"
        raise BadInput("folder_unreadable", told) from None
    fitting = [path for path in pictures if stem.lower().startswith(path.stem.lower())]
    return str(max(fitting, key=lambda path: len(path.stem))) if fitting else None
