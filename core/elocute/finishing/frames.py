"""Numbered PNG frames in a folder, with a manifest that says from which inputs each was made.

A run renders only frames whose input hash changed. The manifest also holds a checksum of each file's bytes, so a
file that was damaged, cut short or replaced by a run that was killed before it could tell is made again. A picture that
another program saved in a frame's place is somebody's work: a folder that holds one is refused.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np

from elocute.errors import BadInput, EnvironmentProblem
from elocute.files import check_not_input, check_writable, open_regular, quiet_stderr, remove_abandoned, write_whole
from elocute.spaces import frame_list

MANIFEST = "manifest.json"
_FRAME = re.compile(r"\d{6,}\.png")
_VERSION = 1
_FLUSH_SECONDS = 1.0  # what a killed run may have to render again; rewriting per frame would be quadratic
_PNG_LEVEL = 1  # 5 times faster than the default for 10 % more bytes
_SRGB_CHUNK = b"\x00\x00\x00\x01sRGB\x00" + struct.pack(">I", zlib.crc32(b"sRGB\x00"))  # perceptual intent
_AFTER_HEADER = 8 + 25  # PNG signature and IHDR chunk
_OURS = re.compile(rb"\x89PNG\r\n\x1a\n.{25}" + re.escape(_SRGB_CHUNK) + rb".{4}IDAT", re.DOTALL)
_OURS_BYTES = _AFTER_HEADER + len(_SRGB_CHUNK) + 8
_FORM = slice(16, 26)  # of a PNG's bytes: width, height, bits, with alpha or without
_NAMED = 3  # files of others that a refusal names


class FrameWriter:
    """Writes `000001.png`, ... into `folder`. Frame numbers count from 1. Use it as a context manager."""

    def __init__(self, folder: Path, frames: tuple[int, int] | None = None) -> None:
        """Reads the manifest of an earlier run, if there is one; writes no frames but the first to the last of `frames`
        (None: any). Raises as `check_frames_folder`."""
        remove_abandoned(folder)
        check_frames_folder(folder, frames=frames)
        self.folder = folder
        self._entries = _read_manifest(folder / MANIFEST)
        self._flushed = time.monotonic()
        self._mine: dict[str, tuple[str, int]] = {}  # what this run wrote: another may write other frames meanwhile
        self._dirty = False

    def __enter__(self) -> FrameWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()  # after an error or a cancel too: finished frames stay and count

    def path(self, index: int) -> Path:
        """The file of a frame."""
        return frame_file(self.folder, index)

    def have(self, index: int, input_hash: str) -> bool:
        """Whether the frame's file is there, intact, and was made from inputs with this hash."""
        entry = self._entries.get(str(index))
        if entry is None or entry[0] != input_hash:
            return False
        try:
            return zlib.crc32(_content(self.path(index))) == entry[1]
        except OSError:
            return False

    def write(self, index: int, image: np.ndarray, input_hash: str) -> Path:
        """Write uint8 [H, W, 3] or [H, W, 4] (straight alpha) atomically; the same pixels make the same bytes.

        Raises EnvironmentProblem disk_full or output_not_writable.
        """
        data = encode_png(image)
        path = self.path(index)
        write_whole(path, data)
        self._entries[str(index)] = self._mine[str(index)] = (input_hash, zlib.crc32(data))
        self._dirty = True
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self.flush()
        return path

    def read(self, index: int) -> np.ndarray:
        """A written frame, uint8 [H, W, 3] or [H, W, 4]."""
        return read_png(self.path(index))

    def flush(self) -> None:
        """Bring the manifest on disk up to date."""
        if not self._dirty:
            return
        started = time.monotonic()
        self._entries |= _read_manifest(self.folder / MANIFEST) | self._mine
        frames = {key: list(self._entries[key]) for key in sorted(self._entries, key=int)}
        rows = ",\n".join(f'"{key}": {json.dumps(value)}' for key, value in frames.items())
        text = f'{{"version": {_VERSION}, "frames": {{\n{rows}\n}}}}\n'
        write_whole(self.folder / MANIFEST, text.encode("ascii"))
        self._dirty = False
        took = time.monotonic() - started
        self._flushed = time.monotonic() + 20 * took  # at most one part in twenty of the time, however long the clip


def frames_beyond(folder: Path, count: int) -> list[int]:
    """Numbers of frames in `folder` after the last of a shot of `count`: an earlier, longer shot's. A compositor that
    reads the whole folder would show them."""
    return [number for number in _numbers(folder) if number > count]


def unlike_told(folder: Path, numbers: range) -> list[str]:
    """What to tell when the frames `numbers` have just been written among others that a range has left there from
    before, of another size or with alpha where these have none."""
    mine = _form(frame_file(folder, numbers[0]))
    others = {number: _form(frame_file(folder, number)) for number in _numbers(folder) if number not in numbers}
    unlike = [number for number, form in others.items() if form not in (None, mine)]
    if not unlike:
        return []
    count = f"{len(unlike)} frame{'s' if len(unlike) > 1 else ''}"
    what = f"{folder} keeps {count} of another size or background than those of this run"
    return [f"{what}: {frame_list(unlike)}. Render them again too, or remove them"]


def _numbers(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.iterdir() if _FRAME.fullmatch(path.name))


def _form(path: Path) -> bytes | None:
    """Size and channels of a frame as its header has them; None for what can't be read or is cut short."""
    try:
        with open_regular(path) as stream:
            begin = stream.read(_FORM.stop)
    except OSError:
        return None
    return begin[_FORM] if len(begin) == _FORM.stop else None


def frame_file(folder: Path, index: int) -> Path:
    """The file of a frame, counted from 1."""
    return folder / f"{index:06d}.png"


def check_frames_folder(
    folder: Path, *inputs: Path | str | None, frames: tuple[int, int] | None = None
) -> None:
    """Whether `frames`, first and last (None: any), can be written there without one of them, or the manifest,
    replacing one of the `inputs` or another program's file, a frame that was painted over among them. Raises BadInput
    output_not_a_folder, output_is_input or frames_folder_taken, EnvironmentProblem."""
    if folder.exists() and not folder.is_dir():
        raise BadInput("output_not_a_folder", f"{folder} is a file, not a folder. Choose another frames folder.")
    check_writable(folder)
    for source in inputs:
        for name in {Path(source).name, Path(source).resolve().name} if source is not None else ():
            if _FRAME.fullmatch(name) or name == MANIFEST:
                check_not_input(folder / name, source)
    strangers = sorted(file.name for file in _strangers(folder, frames))
    if len(strangers) == 1:
        why = f"{folder} holds a {strangers[0]} that isn't Elocute's, or was changed since, and would be replaced"
        raise BadInput("frames_folder_taken", f"{why}. Move it away, or choose another frames folder.")
    if strangers:
        more = f" and {len(strangers) - _NAMED} more files" if len(strangers) > _NAMED else ""
        names = ", ".join(strangers[:_NAMED]) + more
        why = f"{folder} holds {names} that aren't Elocute's, or were changed since, and would be replaced"
        raise BadInput("frames_folder_taken", f"{why}. Move them away, or choose another frames folder.")


def _strangers(folder: Path, frames: tuple[int, int] | None) -> Iterator[Path]:
    """What another program left in `folder` under a name that one of the frames or the manifest may take."""
    first, last = frames or (0, math.inf)
    known = _read_manifest(folder / MANIFEST)
    for file in folder.iterdir() if folder.is_dir() else ():
        name = file.name if sys.platform == "linux" else file.name.lower()  # other systems see one file in both
        if name != MANIFEST and not (_FRAME.fullmatch(name) and first <= int(file.stem) <= last):
            continue
        with contextlib.suppress(OSError):
            if not file.is_file():
                ours = not file.exists()  # a pipe or a folder is somebody's, a link to nothing is nobody's
            elif name == MANIFEST:
                ours = _is_manifest(_content(file))
            else:
                ours = _is_ours(file, known.get(str(int(file.stem))))
            if not ours:
                yield file


def _is_ours(frame: Path, entry: tuple[str, int] | None) -> bool:
    """Whether a frame's file, with the manifest's entry for it, is one that Elocute wrote (a killed run's are in no
    manifest), or what damage has left of one."""
    with open_regular(frame) as stream:
        begin = stream.read(_OURS_BYTES)
        if not begin or _OURS.fullmatch(begin):
            return True
        if entry is None:
            return False
        content = begin + stream.read()
    return zlib.crc32(content) == entry[1] or not _is_picture(content)


def _is_picture(content: bytes) -> bool:
    import cv2

    with quiet_stderr():
        try:
            return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) is not None
        except cv2.error:
            return False


def _content(path: Path) -> bytes:
    with open_regular(path) as stream:
        return stream.read()


def _is_manifest(content: bytes) -> bool:
    """Whether a manifest.json is one of ours, of any version, or nothing."""
    try:
        data = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        return False
    return data == {} or (isinstance(data, dict) and set(data) == {"version", "frames"})


def check_no_frame(path: Path, folder: Path | None) -> None:
    """Whether a picture beside the frames leaves them alone. Raises BadInput output_is_frame."""
    if folder is not None and _FRAME.fullmatch(path.name.lower()) and path.parent.resolve() == folder.resolve():
        why = f"{path.name} in {folder} is the name of a frame"
        raise BadInput("output_is_frame", f"{why}. Choose another name, such as sheet.png.")


def encode_png(image: np.ndarray) -> bytes:
    """PNG bytes, tagged sRGB, of uint8 [H, W, 3] or [H, W, 4]."""
    import cv2

    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (3, 4):
        raise ValueError(f"a frame is uint8 [H, W, 3 or 4], not {image.dtype} {image.shape}")
    swapped = cv2.cvtColor(image, cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    ok, data = cv2.imencode(".png", swapped, [cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL])
    if not ok:
        raise EnvironmentProblem("png_failed", "OpenCV could not encode a PNG. Install opencv-python-headless again.")
    png = data.tobytes()
    return png[:_AFTER_HEADER] + _SRGB_CHUNK + png[_AFTER_HEADER:]


def read_png(path: Path) -> np.ndarray:
    """uint8 [H, W, 3] or [H, W, 4]. Raises BadInput frame_unreadable."""
    import cv2

    try:  # imread can't open every path that Python can (Windows, non-ASCII)
        image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    except (OSError, cv2.error):
        image = None
    if image is None or image.ndim != 3:
        raise BadInput("frame_unreadable", f"{path} is not a frame of ours. Remove it and run again.")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB if image.shape[2] == 3 else cv2.COLOR_BGRA2RGBA))


def _read_manifest(path: Path) -> dict[str, tuple[str, int]]:
    """Frame number -> (input hash, CRC-32 of the file). Anything unreadable means: render again."""
    try:
        data = json.loads(_content(path).decode("ascii"))
        if data["version"] != _VERSION:
            return {}
        return {str(int(key)): (str(value[0]), int(value[1])) for key, value in data["frames"].items()}
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return {}
