"""Pictures in: the frames of a video or of a folder, one after the other, in memory that doesn't grow with them."""

from __future__ import annotations

import contextlib
import io
import math
import os
import re
import tempfile
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
# Pictures in boxes, as phones and browsers write them, by their brand: OpenCV sees a video of one tile, or of nothing.
_STILLS = {b"avif": "an AVIF", **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"mif1"), "a HEIC")}
_MOVING = {b"avis": "AVIF", **dict.fromkeys((b"hevc", b"hevx", b"msf1"), "HEIC")}
MOST_PIXELS = 64_000_000  # of one picture: more is a decoder's bomb or no frame
LONGEST_SECONDS = 3610  # the hour that a voice may last, and what a codec pads at its end
MOST_DAMAGED = 250  # frames one after the other, as far apart as key frames are: beyond, a file is cut off
HELD_BACK = 16  # frames at most that a decoder has in hand: by then what a damage cost has shown as a gap in the times
LONGEST_STILL = 10.0  # seconds that a frame may last: beyond, times jump and are counted from there on
WAVERS = 1.1  # so many times the mean, a rate that was told by the shortest distance of two pictures is no rate
WIDEST_PIXEL = 4.0  # times its height, or the other way round: beyond, a file says nonsense
ROUNDING = 0.01  # of the logarithm of that: less is what scaling to whole pixels leaves, and not worth a blur
STEADY = 0.75  # of a frame: so far from its place by time a frame stays in it, or rounding would drop some


@dataclass(frozen=True)
class Footage:
    """What a video, or a folder of pictures, says about itself: `fps` None for a folder; `count` as the container
    states it, else of what it holds; `files` of a folder in the order of the numbers in their names. One picture is
    a folder of one."""

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
    """Look at a video, a folder or one picture. Raises BadInput video_missing, video_unreadable (also for animated
    pictures, AVIF and HEIC), video_too_long or frames_empty."""
    if os.path.isfile(path):
        _refuse_other_pictures(path)
        if of_pictures(path):
            return Footage(path, None, 1, (path,))
    if not os.path.isdir(path):
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


def _refuse_other_pictures(path: Path) -> None:
    """Raises BadInput video_unreadable for pictures that can't be used, or only the first of them."""
    from PIL import Image

    from .files import BROKEN_PICTURE

    moving: str | None = None
    brand = b""
    try:
        with path.open("rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            head = stream.read(12)
            if head[4:8] == b"ftyp":
                brand = head[8:]
                moving = _MOVING.get(brand)
            elif getattr(picture := Image.open(stream, formats=("PNG", "WEBP")), "is_animated", False):
                moving = {"WEBP": "WebP"}.get(str(picture.format), picture.format)
    except (*BROKEN_PICTURE, Image.DecompressionBombError):
        return  # whatever else it may be
    if brand in _STILLS:
        why = f"{path.name} is {_STILLS[brand]} picture; pictures have to be PNG or JPEG here. Convert it."
        raise BadInput("video_unreadable", why)
    if moving:
        why = f"{path.name} is an animated {moving}, of which only the first picture could be used"
        raise BadInput("video_unreadable", f"{why}. Convert it to .mp4.")


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
    """Frame rate and number of frames by the container, or by what it holds where it doesn't say. Raises BadInput
    video_missing or video_unreadable."""
    if os.path.isdir(path):
        raise BadInput("video_unreadable", f"{path} is a folder. Name a video file.")
    try:
        if not path.is_file():
            raise BadInput("video_missing", f"there is no file {path}. Check the path of the video.")
        path.open("rb").close()
    except OSError as error:
        raise BadInput("video_unreadable", f"{path} can't be read ({error.strerror}). Check its rights.") from None
    capture = _open(path)
    try:
        rate, count = _rate_and_count(path, capture)
    finally:
        capture.release()
    fps = round(rate, 3)
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
    with _decodable_video(path, max_frames) as decodable:
        yield from _frames(path, decodable, max_frames)


@contextlib.contextmanager
def _decodable_video(path: Path, max_frames: int) -> Iterator[Path]:
    """The video itself, or a copy for as long as it is needed: OpenCV leaves AV1 to graphics cards that know it, and
    ffmpeg decodes it anywhere. Raises BadInput video_unreadable."""
    import cv2

    from .media import last_words, run_ffmpeg

    capture = _open(path)
    codec = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=True)
    known = codec.lower() != b"av01" or capture.read()[0]
    capture.release()
    if known:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="elocute-") as folder:
        copy = Path(folder) / "copy.mp4"
        same = f"-map 0:V:0 -frames:v {max_frames} -fps_mode passthrough -c:v libx264 -preset veryfast -crf 12".split()
        done = run_ffmpeg(path, *same, "-pix_fmt", "yuv444p", str(copy))  # which takes odd sizes too
        if done.returncode != 0:
            why = f"{path.name} is AV1 and can't be decoded ({last_words(done.stderr)})"
            raise BadInput("video_unreadable", f"{why}. Convert it to H.264.")
        yield copy


def _frames(path: Path, decodable: Path, max_frames: int) -> Iterator[np.ndarray | None]:
    """`read_frames` of a video, whose pictures are in the file `decodable`."""
    import cv2

    from .media import pictures_start

    capture = _open(decodable)
    fps, _ = _rate_and_count(decodable, capture)
    late = math.floor(pictures_start(path) * fps + 0.5)  # whole frames, so that a steady rate stays one
    wider = _pixel_aspect(capture)
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
            picture = np.asarray(cv2.cvtColor(_square(frame, wider), cv2.COLOR_BGR2RGB))
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


def _pixel_aspect(capture: cv2.VideoCapture) -> float:
    """How many times wider than high a video's pixels are, as it is shown: not 1 on DV, HDV and DVD."""
    import cv2

    up, down = capture.get(cv2.CAP_PROP_SAR_NUM), capture.get(cv2.CAP_PROP_SAR_DEN)
    if not (0 < up < math.inf and 0 < down < math.inf and WIDEST_PIXEL > up / down > 1 / WIDEST_PIXEL):
        return 1.0
    lies = capture.get(cv2.CAP_PROP_ORIENTATION_AUTO) and capture.get(cv2.CAP_PROP_ORIENTATION_META) % 180 == 90
    return down / up if lies else up / down


def _square(frame: np.ndarray, wider: float) -> np.ndarray:
    """A frame [H, W, 3] with square pixels."""
    import cv2

    if abs(math.log(wider)) < ROUNDING:
        return frame
    return cv2.resize(frame, None, fx=max(wider, 1.0), fy=max(1 / wider, 1.0), interpolation=cv2.INTER_LINEAR)


def _rate_and_count(path: Path, capture: cv2.VideoCapture) -> tuple[float, int]:
    """As the container states them; a count below 1 when there is none.

    A recording of a browser, or one that was broken off, states no length. Its packets are counted then, of which
    nothing is decoded, and where the distances of its pictures waver the mean rate counts, in whole frames.
    """
    import cv2

    from .media import run_ffmpeg

    fps, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    if count >= 1 or not 0 < fps < math.inf:
        return fps, int(count) if count >= 1 else 0
    most = math.ceil(LONGEST_SECONDS * fps) + 1
    copied = f"-map 0:V:0 -c copy -frames:v {most} -f null -progress pipe:1 -".split()
    said = dict(re.findall(r"^(\w+)= *(\d+)", run_ffmpeg(path, *copied).stdout, re.MULTILINE))  # the last of each
    counted, micros = int(said.get("frame", 0)), int(said.get("out_time_us", 0))
    if counted < 2:
        return fps, 0  # one picture, which OpenCV takes for a video
    if micros and fps > WAVERS * (mean := (counted - 1) * 1e6 / micros):  # to the last one's beginning
        fps = max(1.0, float(round(mean)))
    return fps, counted


def _open(path: Path) -> cv2.VideoCapture:
    import cv2

    from .files import quiet_stderr

    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # quiet: what is wrong with a file is said in our sentence
    with quiet_stderr():
        return cv2.VideoCapture(str(path.absolute()))  # a relative "seed:7.mp4" would be taken for an address
