"""Sound in: any audio or video file that ffmpeg reads becomes 16 kHz mono float32, or a sentence why it can't.

ffmpeg decodes at the file's own rate and soxr (high quality, phase-linear) resamples here while the stream arrives,
so memory holds the 16 kHz result only, and files that claim nothing about their length are stopped at the limit.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path

import numpy as np

from elocute.errors import BadInput, EnvironmentProblem

SAMPLE_RATE = 16000
MIN_SECONDS = 0.1  # shorter than a syllable: nothing to speak
MAX_SECONDS = 3600.0
SILENCE_PEAK = 1e-4  # -80 dBFS: below 16-bit dither
CANCELLED_RATIO = 0.02  # mid/side energy: under it the two channels cancel each other and one of them is taken alone
CUT_SECONDS = 0.1  # less than promised that isn't worth a word: codecs round their lengths
_UNSAID = 0x7FFF0000  # bytes of a WAV from which on its size stands for one that its writer didn't know
_PLAIN = (1, 3, 0xFFFE)  # kinds of WAV whose samples aren't compressed: integers, floats, either with more about them
_EXACT = ("flac", "aiff", "au")  # formats of one track whose header counts its samples
_BLOCK = 1 << 18  # samples per channel read at once: bounds memory while decoding
_LOG_TAIL = 4096  # bytes of what ffmpeg says, of which the last line is told


@dataclass(frozen=True)
class AudioInfo:
    """What the container says: `seconds` (None when it doesn't say, or only guesses), `rate` in Hz, whether it is
    `mono`, how many `tracks` stand beside each other (0 where channels have places around the listener, as in stereo
    and 5.1), ffmpeg's name of its format."""

    seconds: float | None
    rate: int
    mono: bool
    tracks: int = 0
    format: str = ""


def load_audio(path: str | Path, keep_offset: bool = False) -> np.ndarray:
    """Decode the first audio track of `path`. `keep_offset`: a constant offset of its samples stays.

    Returns float32 [N], 16 kHz, mono, as long as the track on the file's own time line (a track that starts late
    begins with silence). Raises BadInput: audio_missing, audio_is_directory, audio_unreadable, audio_no_track,
    audio_empty, audio_nan, audio_silent, audio_too_short, audio_too_long.
    """
    return hear(path, keep_offset)[0]


def hear(path: str | Path, keep_offset: bool = False) -> tuple[np.ndarray, list[str]]:
    """What `load_audio` gives, and what to tell: a file that was cut off holds less than its header promises."""
    path = _existing(path)
    info = probe_audio(path)
    if info.seconds is not None and info.seconds > MAX_SECONDS:
        raise _too_long(path, minutes(info.seconds))
    audio, cancelled = _decode(path, info, "mid")
    if cancelled:  # out-of-phase stereo: the mean of both channels is nearly nothing
        audio, _ = _decode(path, info, "left")
    promised = _wav_seconds(path) if info.format == "wav" else info.seconds if info.format in _EXACT else None
    seconds = len(audio) / SAMPLE_RATE
    told = []
    if promised is not None and promised - seconds > CUT_SECONDS:
        cut = f"{path.name} is cut off: the file promises {promised:.2f} s and holds {seconds:.2f} s"
        told.append(f"{cut}. Copy or export it again")
    return _checked(audio, path, keep_offset), told


def probe_audio(path: str | Path) -> AudioInfo:
    """Read the header only. Raises BadInput when there is no readable audio track."""
    path = _existing(path)
    log = _described(path)
    if "Input #0" not in log:
        raise _unreadable(path, log)
    streams = re.findall(r"^\s*Stream #0:\d+.*?: Audio: (.*)$", log, re.MULTILINE)
    if not streams:
        raise BadInput("audio_no_track", f"{path.name} has no audio track. Use a file with sound in it.")
    sound = re.search(r"(\d+) Hz(?:, (?:(\d+) channels(?! \()|(mono))\b)?", streams[0])
    if sound is None:
        raise _unreadable(path, streams[0])
    channels = int(sound[2] or 0)  # counted where they have no layout
    length = re.search(r"^  Duration: (\d+):(\d+):([\d.]+)", log, re.MULTILINE)  # tags are indented further
    guessed = "Estimating duration from bitrate" in log  # can be wrong by any factor
    seconds = None
    if length and not guessed:
        hours, minutes, rest = length.groups()
        seconds = int(hours) * 3600 + int(minutes) * 60 + float(rest)
    mono = channels == 1 or sound[3] is not None
    named = re.search(r"Input #0, (\w+)", log)
    return AudioInfo(seconds, int(sound[1]), mono, 0 if mono else channels, named.group(1) if named else "")


def heard(info: AudioInfo) -> list[str]:
    """ffmpeg's filters for what is heard of a track: the face follows it, and the finished video plays it.

    Silence stands where the track starts late or has holes, so sound stays where a player would play it. Tracks beside
    each other, as recorders and editors write them, count alike whichever the voice is on; where they are louder
    together than a file can be, a limiter holds them.
    """
    in_place = ["aresample=async=1:first_pts=0"]
    if not info.tracks:
        return in_place
    mix = "+".join(f"c{i}" for i in range(info.tracks))
    return ["aformat=sample_fmts=fltp", f"pan=mono|c0={mix}", "alimiter=level=0:latency=1", *in_place]


def pictures_start(path: Path) -> float:
    """Seconds that a video's pictures start after the file does, on whose time line sound is heard; 0 where it doesn't
    say."""
    log = _described(path)
    whole = re.search(r"^  Duration: .*?, start: (-?[\d.]+)", log, re.MULTILINE)
    stream = re.search(r"^\s*Stream #0:\d+.*?: Video: .*?, start (-?[\d.]+)", log, re.MULTILINE)
    return max(float(stream[1]) - float(whole[1]), 0.0) if stream and whole else 0.0


def _described(path: Path) -> str:
    """What ffmpeg says of a file whose header it reads."""
    return run_ffmpeg(path).stderr


def run_ffmpeg(path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """What ffmpeg says (`stderr`) and writes (`stdout`) of a file. Raises EnvironmentProblem ffmpeg_missing."""
    command = [ffmpeg(), "-hide_banner", "-nostdin", *input_options(path), *options]
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace")
    except OSError as error:  # of another kind of machine, or no program at all
        raise ffmpeg_broken(command[0], error.strerror or "no reason given") from error


def _wav_seconds(path: Path) -> float | None:
    """What a WAV's header promises, which ffmpeg overrules where the file is shorter. None where it says nothing."""
    with path.open("rb") as stream:
        if stream.read(12)[:4] != b"RIFF":  # others, such as RF64, keep their size elsewhere
            return None
        bytes_a_second = 0
        while len(head := stream.read(8)) == 8:
            name, size = struct.unpack("<4sI", head)
            if name == b"data":
                return size / bytes_a_second if bytes_a_second and 0 < size < _UNSAID else None
            start = stream.tell()
            if name == b"fmt ":
                kind, _, rate, _, moment = struct.unpack("<HHIIH", stream.read(14).ljust(14, b"\0"))
                bytes_a_second = rate * moment if kind in _PLAIN else 0
            stream.seek(start + size + size % 2)
    return None


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if os.path.isdir(path):
        raise BadInput("audio_is_directory", f"{path} is a directory. Name one audio or video file.")
    try:
        status = path.stat()
        readable = os.access(path, os.R_OK)
    except PermissionError:
        readable = False
    except OSError:
        raise BadInput("audio_missing", f"there is no file {path}. Check the path of the voice recording.") from None
    if not readable:
        raise BadInput("audio_unreadable", f"{path} can't be read (no permission). Check its rights.")
    if not stat.S_ISREG(status.st_mode):  # a pipe can be read once only, a device for ever
        raise BadInput("audio_unreadable", f"{path} is no file but a pipe or a device. Save the sound to a file first.")
    if status.st_size == 0:
        raise BadInput("audio_empty", f"{path.name} is empty (0 bytes). Record or export it again.")
    return path


def ffmpeg() -> str:
    """imageio-ffmpeg's ffmpeg, or what IMAGEIO_FFMPEG_EXE names. Raises EnvironmentProblem ffmpeg_missing."""
    try:
        import imageio_ffmpeg

        found = str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        advice = "Install imageio-ffmpeg again, or set IMAGEIO_FFMPEG_EXE."
        raise EnvironmentProblem("ffmpeg_missing", f"no ffmpeg ({error}). {advice}") from error
    if shutil.which(found) is None:  # imageio-ffmpeg tests its own, but takes what the user names unseen
        raise ffmpeg_broken(found, "there is no such program")
    return found


def ffmpeg_broken(path: str, why: str) -> EnvironmentProblem:
    """An ffmpeg that can't be started."""
    advice = "Unset IMAGEIO_FFMPEG_EXE" if os.environ.get("IMAGEIO_FFMPEG_EXE") else "Install imageio-ffmpeg again"
    return EnvironmentProblem("ffmpeg_missing", f"can't start ffmpeg {path} ({why}). {advice}.")


def input_options(path: Path) -> list[str]:
    """How ffmpeg is told to open a file."""
    # "file:" keeps names such as "-y" or "concat:a" from being read as options or protocols, and the whitelist
    # keeps playlists from opening anything but local files. Of more than two channels no layout is guessed: a third
    # would be taken for a subwoofer, which nobody hears in stereo.
    return ["-protocol_whitelist", "file,crypto,data", "-guess_layout_max", "2", "-i", f"file:{path}"]


def _decode(path: Path, info: AudioInfo, channel: str) -> tuple[np.ndarray, bool]:
    """Stream the track through the resampler. Returns float32 [N] and whether mixing down cancelled the sound."""
    import soxr

    rate = info.rate
    resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
    parts: list[np.ndarray] = []
    mid_energy = side_energy = 0.0
    samples = 0
    for block in _blocks(path, info):  # [n, 1 or 2]
        if not np.isfinite(block).all():
            raise BadInput("audio_nan", f"{path.name} holds samples that are not numbers. Export it again.")
        samples += len(block)
        if samples > MAX_SECONDS * rate + rate:  # one second of grace: lossy codecs pad the end
            raise _too_long(path, "more than 1 hour")
        mid = block.mean(axis=1)
        mid_energy += float(mid @ mid)
        side_energy += float(np.square(block[:, 0] - mid).sum())
        parts.append(resampler.resample_chunk(mid if channel == "mid" else np.ascontiguousarray(block[:, 0])))
    if not samples:
        raise BadInput("audio_empty", f"the audio track of {path.name} is empty. Record or export it again.")
    parts.append(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
    return np.concatenate(parts), mid_energy < CANCELLED_RATIO * side_energy


def _blocks(path: Path, info: AudioInfo) -> Iterator[np.ndarray]:
    """Decoded sound as float32 blocks [n, 2], or [n, 1] of what has or becomes one channel, which ffmpeg would make
    3 dB quieter on its way to two; ffmpeg is always ended, also when the reader stops early."""
    channels = 1 if info.mono or info.tracks else 2
    sample = 4 * channels  # bytes of one moment
    command = [
        *(ffmpeg(), "-v", "error", "-nostdin", *input_options(path), "-map", "0:a:0", "-vn", "-sn", "-dn"),
        *("-af", ",".join(heard(info)), "-ac", str(channels)),
        *("-ar", str(info.rate), "-f", "f32le", "-"),
    ]
    with tempfile.TemporaryFile() as log:  # not a pipe: one that nobody reads fills up and stops ffmpeg for ever
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        assert process.stdout is not None
        got_any = False
        try:
            while data := process.stdout.read(_BLOCK * sample):
                got_any = True
                yield np.frombuffer(data[: len(data) // sample * sample], "<f4").reshape(-1, channels)
            # Damage still leaves usable sound (players play it too); nothing decoded at all does not.
            if process.wait() != 0 and not got_any:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_TAIL))
                raise _unreadable(path, log.read().decode(errors="replace"))
        finally:
            process.kill()
            process.stdout.close()
            process.wait()


def _checked(audio: np.ndarray, path: Path, keep_offset: bool) -> np.ndarray:
    if len(audio) < MIN_SECONDS * SAMPLE_RATE:
        raise BadInput(
            "audio_too_short",
            f"{path.name} holds {len(audio) / SAMPLE_RATE:.3f} s of sound. Use at least {MIN_SECONDS} s.",
        )
    offset = audio.mean(dtype=np.float64).astype(np.float32)  # a sound card's is not sound
    if max(float(audio.max() - offset), float(offset - audio.min())) < SILENCE_PEAK:
        raise BadInput("audio_silent", f"{path.name} is silent. Check the microphone or the exported track.")
    if not keep_offset:
        audio -= offset
    return audio


def minutes(seconds: float | Fraction) -> str:
    """A length that is too long for them, in minutes: begun ones count, so that it is more than the limit."""
    return f"{ceil(seconds / 60)} minutes"


def _too_long(path: Path, how_long: str) -> BadInput:
    text = f"{path.name} lasts {how_long}; the limit is 1 hour. Export what is spoken as a file of its own."
    return BadInput("audio_too_long", text)


def last_words(log: str) -> str:
    """The last line of what ffmpeg says, without the addresses of its parts; "" when it says nothing."""
    lines = [line for line in log.splitlines() if line.strip()]
    return re.sub(r"\[[^\[\]]* @ (0x)?[0-9a-fA-F]+\] *", "", lines[-1]).strip() if lines else ""


def _unreadable(path: Path, log: str) -> BadInput:
    why = last_words(log).removeprefix(f"file:{path}").lstrip(": ") or "ffmpeg gave no reason"
    return BadInput(
        "audio_unreadable", f"{path.name} can't be read as audio ({why}). Convert it to WAV, MP3, M4A or FLAC."
    )
