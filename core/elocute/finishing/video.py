"""Frames and sound into one video file that plays everywhere: H.264 yuv420p, AAC, BT.709 converted and tagged."""

from __future__ import annotations

import os
import subprocess
import threading
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from elocute.errors import BadInput, ElocuteError, EnvironmentProblem
from elocute.files import Temporary, check_writable, remove_abandoned
from elocute.media import ffmpeg, ffmpeg_broken, heard, input_options, last_words, probe_audio

SUFFIXES = (".mp4", ".mov", ".mkv")
# Constant quantiser instead of the usual CRF: rate control codes each key frame a little differently, and a wall that
# does not move pulsed by up to 10 grey levels every 250 frames; with QP it stays exactly still, at the same file size.
QP = 15  # with the rest: luma PSNR 43 to 44 dB, 99 % of a face's sharpness; a speaking 512 px head takes 1 to 4 Mbit/s
PRESET = "veryfast"  # 9 ms of one core for a frame of a still head, 14 of a turning one; medium takes 17 and 32
# The slower one's trellis keeps pores that veryfast's rounding drops, 4 to 9 % of the sharpness. Narrow dead zones keep
# them too, for a fifth to a third more bytes.
_KEEP_DETAIL = "deadzone-inter=6:deadzone-intra=6"
SOUND_RATE = 48000  # what every player and editor takes without resampling
_LOG_BYTES = 8192  # the end of ffmpeg's log, where the reason stands

# RGB is full-range sRGB; video is limited-range BT.709. Without naming the matrix, swscale takes BT.601 and faces
# turn greenish. accurate_rnd and full_chroma_int avoid a dark cast and colour blocks at lips and hair edges.
_COLOUR = (
    "scale=in_range=pc:out_range=tv:out_color_matrix=bt709:flags=bicubic+accurate_rnd+full_chroma_int,"
    "format=yuv420p,setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
)
# A terminal's Ctrl-C must not reach the encoder: the writer decides what becomes of it.
OWN_GROUP: dict[str, Any] = (
    {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
    if os.name == "nt"
    else {"start_new_session": True}
)
_TAGS = ("-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709", "-color_range", "tv")


class VideoWriter:
    """Encodes RGB frames as they come. Use it as a context manager: leaving it normally completes the file,
    leaving it by any exception removes every trace.

    The file has an even size, as yuv420p needs: an odd width or height gets its last column or row twice.
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        fps: Fraction,
        audio: Path | None = None,
        duration: Fraction | float | None = None,
        audio_start: Fraction | float = 0,
    ) -> None:
        """`size` (width, height) in pixels; `duration` in seconds, the frames' total, to which the sound is cut or
        padded with silence; `audio_start` in seconds is where in the sound the first frame lies.

        Raises what `check_output` and `probe_audio` raise, EnvironmentProblem ffmpeg_missing.
        """
        remove_abandoned(path.parent, path)
        check_output(path)
        program = ffmpeg()  # before there is a file that its absence would leave behind
        sound = _sound_options(audio, audio_start, duration) if audio else ["-an"]
        self.path = path
        self.width, self.height = size
        self.frames = 0
        self._log = b""
        self._temporary = Temporary(path)
        command = [
            *(program, "-hide_banner", "-nostdin", "-v", "error", "-y"),
            *("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{_even(self.width)}x{_even(self.height)}"),
            *("-framerate", f"{fps.numerator}/{fps.denominator}", "-i", "pipe:0"),
            *(input_options(audio) if audio else ()),
            *("-map", "0:v:0", "-vf", _COLOUR, "-c:v", "libx264", "-profile:v", "high", "-preset", PRESET),
            *("-qp", str(QP), "-x264-params", _KEEP_DETAIL, "-pix_fmt", "yuv420p", *_TAGS),
            *sound,
            # No title, place or date of the voice recording leaks into the video; the same input, the same bytes.
            *("-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact"),
            *("-movflags", "+faststart", f"file:{self._temporary.path}"),
        ]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **OWN_GROUP
            )
        except OSError as error:
            self._temporary.discard()
            raise ffmpeg_broken(program, error.strerror or "no reason given") from error
        self._temporary.made_by(self._process)
        self._reader = threading.Thread(target=self._read_log, name="ffmpeg log", daemon=True)
        self._reader.start()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def write(self, frame: np.ndarray) -> None:
        """Append uint8 [height, width, 3]; of [height, width, 4] (straight alpha) the picture over black.

        Raises EnvironmentProblem disk_full or encoder_failed.
        """
        if frame.dtype != np.uint8 or frame.shape not in [(self.height, self.width, channels) for channels in (3, 4)]:
            raise ValueError(f"a frame is uint8 [{self.height}, {self.width}, 3 or 4], not {frame.dtype} {frame.shape}")
        if frame.shape[2] == 4:
            alpha = frame[..., 3:].astype(np.uint16)
            frame = ((frame[..., :3] * alpha + 127) // 255).astype(np.uint8)
        if self.width % 2 or self.height % 2:
            frame = np.pad(frame, ((0, self.height % 2), (0, self.width % 2), (0, 0)), mode="edge")
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(np.ascontiguousarray(frame).data)
        except (BrokenPipeError, OSError):
            raise self._failure() from None
        self.frames += 1

    def close(self) -> None:
        """Finish the file and give it its name. Raises EnvironmentProblem disk_full or encoder_failed."""
        try:
            self._finish()
        except BaseException:  # Ctrl-C while the encoder finishes, too
            self.abort()
            raise
        self._temporary.keep()

    def _finish(self) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except (BrokenPipeError, OSError):
            raise self._failure() from None
        if self._process.wait() != 0 or self.frames == 0:
            raise self._failure()
        self._reader.join()

    def abort(self) -> None:
        """Stop the encoder and remove what it wrote."""
        self._temporary.discard()

    def _failure(self) -> ElocuteError:
        """Clean up and say why the encoder stopped."""
        try:
            self._process.wait(timeout=10)  # it has closed its input: its last words are on the way
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reader.join(timeout=10)
        self.abort()
        log = self._log.decode(errors="replace")
        if "No space left on device" in log or "Disk quota exceeded" in log:
            return EnvironmentProblem(
                "disk_full", f"the disk is full: can't write {self.path}. Free some space and run again."
            )
        why = last_words(log) or f"exit code {self._process.returncode}"
        return EnvironmentProblem("encoder_failed", f"ffmpeg can't write {self.path.name} ({why}). Run elocute doctor.")

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            while block := stream.read1(4096):  # type: ignore[attr-defined]
                self._log = (self._log + block)[-_LOG_BYTES:]


def check_output(path: Path) -> None:
    """Make sure, before any work, that a video can be written to `path`.

    Raises BadInput output_type, output_is_directory or output_not_a_folder, EnvironmentProblem output_not_writable.
    """
    if path.is_dir():
        raise BadInput("output_is_directory", f"{path} is a directory. Name a file in it, such as {path / 'out.mp4'}.")
    if path.suffix.lower() not in SUFFIXES:
        kind = f"can't make a {path.suffix} video" if path.suffix else f"{path.name} names no kind of video"
        raise BadInput("output_type", f"{kind}. End it in {', '.join(SUFFIXES)}.")
    check_writable(path.parent)


def _sound_options(audio: Path, start: Fraction | float, duration: Fraction | float | None) -> list[str]:
    """What the face was made for, cut to the shot and padded to exactly its length."""
    info = probe_audio(audio)
    chain = heard(info)
    if info.mono or info.tracks:  # as loud on both sides: ffmpeg's own way to two channels is 3 dB quieter
        chain.append("pan=stereo|c0=c0|c1=c0")
    if start:
        chain += [f"atrim=start={float(start):.6f}", "asetpts=PTS-STARTPTS"]
    chain += [f"aresample={SOUND_RATE}", "apad"]
    if duration is not None:
        chain.append(f"atrim=end_sample={round(Fraction(duration) * SOUND_RATE)}")
    return [
        *("-map", "1:a:0", "-af", ",".join(chain), "-c:a", "aac", "-b:a", "160k"),
        *("-ac", "2", "-ar", str(SOUND_RATE), "-flags:a", "+bitexact"),
        *(("-shortest",) if duration is None else ()),
    ]


def _even(pixels: int) -> int:
    return pixels + pixels % 2
