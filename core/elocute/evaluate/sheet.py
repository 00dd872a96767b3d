"""A contact sheet: twelve frames of a video, evenly spread, in one picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from elocute.errors import BadInput
from elocute.evaluate.observe import SHEET_FRAMES, shrink
from elocute.files import check_writable, write_whole
from elocute.footage import probe, read_frames
from elocute.portrait.image import on_grey

COLUMNS = 4
SUFFIXES = (".png", ".jpg", ".jpeg")


def check_sheet(path: Path) -> None:
    """Before any work: whether a sheet can be written there.

    Raises BadInput sheet_type or output_is_directory, EnvironmentProblem.
    """
    if path.suffix.lower() not in SUFFIXES:
        kind = f"can't make a {path.suffix} picture" if path.suffix else f"{path.name} names no kind of picture"
        raise BadInput("sheet_type", f"{kind}. End it in .png or .jpg.")
    if path.is_dir():
        raise BadInput("output_is_directory", f"{path} is a directory. Name a file for the contact sheet.")
    check_writable(path.parent)


def sheet_of_video(video: Path, path: Path) -> None:
    """Write the contact sheet of a video file."""
    _, count = probe(video)
    wanted = {int(i) for i in np.linspace(0, count - 1, min(SHEET_FRAMES, count))}
    frames = enumerate(read_frames(video, count))
    pictures = [shrink(frame) for index, frame in frames if index in wanted and frame is not None]
    write_whole(path, encode_sheet(pictures, path.suffix))


def sheet_of_frames(folder: Path, numbers: range, path: Path) -> None:
    """Write the contact sheet of the frames `numbers` in a folder of numbered PNG frames; transparent ones on grey."""
    from elocute.finishing.frames import frame_file, read_png

    places = np.linspace(0, len(numbers) - 1, min(SHEET_FRAMES, len(numbers))).astype(int)
    picked = [frame_file(folder, numbers[i]) for i in places]
    write_whole(path, encode_sheet([shrink(_opaque(read_png(file))) for file in picked], path.suffix))


def encode_sheet(pictures: list[np.ndarray], suffix: str = ".png") -> bytes:
    """Pictures of one size, uint8 [h, w, 3] each, as one image file."""
    import cv2

    _, encoded = cv2.imencode(suffix, cv2.cvtColor(arrange(pictures), cv2.COLOR_RGB2BGR))
    return bytes(encoded.tobytes())


def arrange(pictures: list[np.ndarray]) -> np.ndarray:
    """Rows of COLUMNS pictures; the last row is filled up with white. Raises BadInput video_empty."""
    if not pictures:
        raise BadInput("video_empty", "no frame for the contact sheet can be read. Render the video again.")
    blank = np.full_like(pictures[0], 255)
    filled = pictures + [blank] * (-len(pictures) % COLUMNS if len(pictures) > COLUMNS else 0)
    rows = [np.hstack(filled[start : start + COLUMNS]) for start in range(0, len(filled), COLUMNS)]
    return np.vstack(rows)


def _opaque(frame: np.ndarray) -> np.ndarray:
    return on_grey(frame[..., :3], frame[..., 3] / 255.0 if frame.shape[2] == 4 else None)
