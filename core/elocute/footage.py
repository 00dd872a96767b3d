"""Pictures in: the frames of a video or of a folder, one after the other, in memory that doesn't grow with them."""

from __future__ import annotations

import io
import math
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .errors import BadInput
from .limits import FRAME_RATES, parse_fps

if TYPE_CHECKING:
    import cv2

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")  # what Pillow calls them; it opens an MPO as the JPEG that it is
MOST_PIXELS = 64_000_000  # of one picture: more is a decoder's bomb or no frame
LONGEST_SECONDS = 3610  # the hour that a voice may last, and what a codec pads at its end
MOST_DAMAGED = 250  # frames one after the other, as far apart as key frames are: beyond, a file is cut off
HELD_BACK = 16  # frames at most that a decoder has in hand: by then what a damage cost has shown as a gap in the times
LONGEST_STILL = 10.0  # seconds that a frame may last: beyond, times jump and are counted from there on
STEADY = 0.75  # of a frame: so far from its place by time a frame stays in it, or rounding would drop some


@dataclass(frozen=True)
class Footage:
    """What a video, or a folder of pictures, says about itself: `fps` None for a folder; `count` as the container
    states it; `files` of a folder in the order of the numbers in their names. One picture is a folder of one."""

    path: Path
    fps: Fraction | None
    count: int
    files: tuple[Path, ...] = ()

    def frames(self) -> Iterator[np.ndarray | None]:
        """uint8 RGB [H, W, 3] each; None for one that can't be read."""
        if self.fps is None:
            return (_read_picture(file) for file in self.files)
        return read_frames(self.path, math.ceil(LONGEST_SECONDS * self.fps))

    def name(self, index: int) -> str:
        """What people call frame `index`, counted from 0."""
        return self.files[index].name if self.files else str(index + 1)


def open_footage(path: Path) -> Footage:
    """Look at a video or a folder. Raises BadInput video_missing, video_unreadable, video_too_long or frames_empty."""
    if not path.is_dir() and of_pictures(path) and path.is_file():
        return Footage(path, None, 1, (path,))
    if not path.is_dir():
        fps, count = probe(path)
        if count / fps > LONGEST_SECONDS:
            raise BadInput("video_too_long", f"{path.name} lasts over 1 hour. Cut it into parts.")
        return Footage(path, fps, count)
    try:
        seen = (f for f in path.iterdir() if f.suffix.lower() in PICTURES and not f.name.startswith("."))  # "._1.png"
        files = sorted((f for f in seen if f.is_file()), key=_natural)
    except OSError as error:
        raise BadInput("video_unreadable", f"{path} can't be read ({error.strerror}). Check its rights.") from None
    if not files:
        raise BadInput("frames_empty", f"the folder {path} holds no pictures ({', '.join(PICTURES)}). Name another.")
    return Footage(path, None, len(files), tuple(files))


def of_pictures(path: Path) -> bool:
    """Whether it is a folder or one picture: what has no sound and no rate of its own."""
    return path.is_dir() or path.suffix.lower() in PICTURES


def _natural(file: Path) -> list[tuple[int, str]]:
    """frame2 before frame10."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", file.name.lower())]


def _read_picture(file: Path) -> np.ndarray | None:
    import cv2

    from .files import quiet_stderr

    try:
        content = file.read_bytes()
        if not _decodable(content):
            return None
        with quiet_stderr():
            picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error):
        return None
    if picture is None:
        return None
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))


def _decodable(content: bytes) -> bool:
    """Whether a picture's header can be read and promises no more than MOST_PIXELS: some kilobytes can decode to
    gigabytes."""
    from PIL import Image

    from .files import BROKEN_PICTURE, quiet_stderr

    try:
        with warnings.catch_warnings(), quiet_stderr():
            warnings.simplefilter("ignore")
            width, height = Image.open(io.BytesIO(content), formats=_FORMATS).size
    except (*BROKEN_PICTURE, Image.DecompressionBombError):
        return False
    return width * height <= MOST_PIXELS


def probe(path: Path) -> tuple[Fraction, int]:
    """Frame rate and number of frames by the container. Raises BadInput video_missing or video_unreadable."""
    import cv2

    if not path.is_file():
        raise BadInput("video_missing", f"there is no file {path}. Check the path of the video.")
    capture = _open(path)
    try:
        fps, count = round(capture.get(cv2.CAP_PROP_FPS), 3), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    finally:
        capture.release()
    if not 0 < fps < math.inf or count < 1:
        raise BadInput("video_unreadable", f"{path.name} can't be read as a video. Use an .mp4, .mov or .mkv file.")
    usual = FRAME_RATES[0] <= fps <= FRAME_RATES[1]  # no limit for a video's own: slow motion, time lapse
    return parse_fps(fps) if usual else Fraction(str(fps)), count


def read_frames(path: Path, max_frames: int) -> Iterator[np.ndarray | None]:
    """Frames as uint8 RGB [H, W, 3] at the video's mean rate, on the time line of its sound; None for a damaged one, if
    one that can be read comes after it.

    A frame's place is told by its time as long as times go on, else by counting: where the rate varies, a frame that
    lasts longer comes again and of two in one place the first is shown; a decoder that reorders pictures (B-frames)
    hands out those from before some damage after it; and pictures may start later than sound, with the first one until
    then.
    """
    import cv2

    from .media import pictures_start

    capture = _open(path)
    fps = capture.get(cv2.CAP_PROP_FPS)
    late = math.floor(pictures_start(path) * fps + 0.5)  # whole frames, so that a steady rate stays one
    index = damaged = owed = since = 0
    before = 0.0
    last: np.ndarray | None = None
    first: float | None = None
    try:
        while index < max_frames:
            ok, frame = capture.read()
            if not ok:
                damaged, owed, since = damaged + 1, owed + 1, 0
                if damaged > MOST_DAMAGED:
                    return
                continue
            time = capture.get(cv2.CAP_PROP_POS_MSEC) * fps / 1000  # in frames
            if first is None:  # an AVI's isn't 0 where its decoder reorders pictures
                first = 0.0 if owed else time
                before = late - 1.0
            time += late - first
            before = time if before < time < before + LONGEST_STILL * fps else math.inf
            gap = damaged if before == math.inf else math.floor(time + 0.5) - index
            if abs(time - index) < STEADY:
                gap = 0
            damaged, since = 0, since + 1
            owed = owed if since <= HELD_BACK else 0
            if gap < 0:
                continue
            picture = np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
            lost = min(gap, owed)
            shown = [None] * lost + [last if last is not None else picture] * (gap - lost)
            yield from shown[: max_frames - index]
            owed -= lost
            index += gap + 1
            if index <= max_frames:
                yield picture
            last = picture
    finally:
        capture.release()


def _open(path: Path) -> cv2.VideoCapture:
    import cv2

    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # quiet: what is wrong with a file is said in our sentence
    return cv2.VideoCapture(str(path.absolute()))  # a relative "seed:7.mp4" would be taken for an address
