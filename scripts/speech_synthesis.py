"""Synthetic speech whose phoneme timings are known exactly: flite (English) and espeak-ng (100 languages).

Both are system packages with permissive or GPL licences (Debian: flite, libflite1, espeak-ng). Nothing they make is
kept in the repository; `train_speech_head.py` learns from it.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import random
import re
import subprocess
import tempfile
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from speech_phones import Segment

from elocute.media import load_audio

FLITE_VOICES = ("slt", "rms", "awb", "kal16")
FLITE_STRETCH = (0.85, 1.0, 1.0, 1.2)  # speaking rates
ESPEAK_VARIANTS = ("", "+m3", "+f2", "+m7", "+f4", "+f5")
ESPEAK_RATES = (130, 155, 175, 200)  # words a minute
_PHONEME_EVENT, _END_EVENT = 7, 0
_SYNCHRONOUS, _PHONEME_EVENTS_IPA = 2, 3
_RATE, _PITCH, _RANGE = 1, 3, 4
_UTF8 = 1


@dataclass(frozen=True)
class Utterance:
    """One spoken sentence: float32 16 kHz `audio`, timed `segments` in `alphabet`, and who speaks."""

    audio: np.ndarray
    segments: list[Segment]
    alphabet: str
    voice: str


def sentences_from(path: Path, shortest: int = 25, longest: int = 110) -> list[str]:
    """Plain sentences of a text file (fortune files, books), in an order that depends on the text only."""
    text = re.sub(r"\s+", " ", path.read_text(encoding="utf-8", errors="ignore").replace("\n%", ". "))
    found = {s.strip() for s in re.split(r"(?<=[.!?])\s+", text)}
    plain = [s for s in found if shortest <= len(s) <= longest and not re.search(r"[^\w ,.'!?;-]|\d|[A-Z]{3}", s)]
    plain.sort()
    random.Random(1).shuffle(plain)
    return plain


def flite(sentences: list[str], voice: str, program: str = "flite") -> Iterator[Utterance]:
    """Speak with one flite voice; `-psdur` prints each phone with the time at which it ends."""
    draw = random.Random(voice)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out.wav"
        for sentence in sentences:
            stretch = draw.choice(FLITE_STRETCH)
            command = [program, "-voice", voice, "-psdur", "--setf", f"duration_stretch={stretch}"]
            run = subprocess.run(
                [*command, "-t", sentence, "-o", str(path)], capture_output=True, text=True, check=True
            )
            segments: list[Segment] = []
            for item in run.stdout.split():
                phone, _, end = item.rpartition(":")
                if phone:
                    segments.append((phone, segments[-1][2] if segments else 0.0, float(end)))
            yield Utterance(load_audio(path), segments, "arpabet", f"flite_{voice}")


class _Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h."""

    _fields_ = [
        ("type", ctypes.c_int), ("unique_identifier", ctypes.c_uint), ("text_position", ctypes.c_int),
        ("length", ctypes.c_int), ("audio_position", ctypes.c_int), ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p), ("string", ctypes.c_char * 8),
    ]  # fmt: skip


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


def espeak(
    sentences: list[str], language: str, library: str | None = None, data: str | None = None
) -> Iterator[Utterance]:
    """Speak with espeak-ng's library, whose events carry every phoneme (IPA) and its start in milliseconds.

    `library` and `data` override where libespeak-ng and the folder that holds espeak-ng-data are found.
    """
    name = library or ctypes.util.find_library("espeak-ng")
    if not name:
        raise FileNotFoundError("libespeak-ng was not found. Install the system package espeak-ng.")
    engine = ctypes.CDLL(name)
    rate = engine.espeak_Initialize(_SYNCHRONOUS, 200, data.encode() if data else None, _PHONEME_EVENTS_IPA)
    if rate <= 0:
        raise FileNotFoundError("espeak-ng found no voice data. Install the system package espeak-ng-data.")
    samples: list[np.ndarray] = []
    starts: list[tuple[str, float]] = []

    def receive(block, count, events) -> int:  # called by espeak-ng with sound and what begins in it
        if block and count:
            samples.append(np.ctypeslib.as_array(block, (count,)).copy())
        index = 0
        while events[index].type != _END_EVENT:
            if events[index].type == _PHONEME_EVENT:
                starts.append((events[index].string.decode("utf-8", "ignore"), events[index].audio_position / 1000))
            index += 1
        return 0

    callback = _Callback(receive)
    engine.espeak_SetSynthCallback(callback)
    draw = random.Random(language)
    for sentence in sentences:
        samples.clear()
        starts.clear()
        variant = draw.choice(ESPEAK_VARIANTS)
        if engine.espeak_SetVoiceByName((language + variant).encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {language}")
        for parameter, choices in ((_RATE, ESPEAK_RATES), (_PITCH, (35, 50, 65)), (_RANGE, (40, 60, 80))):
            engine.espeak_SetParameter(parameter, draw.choice(choices), 0)
        text = sentence.encode() + b"\0"
        engine.espeak_Synth(text, len(text), 0, 0, 0, _UTF8, None, None)
        engine.espeak_Synchronize()
        if not samples or not starts:
            continue
        audio = _at_16k(np.concatenate(samples), rate)
        ends = [at for _, at in starts[1:]] + [len(audio) / 16000]
        segments = [(phone, at, end) for (phone, at), end in zip(starts, ends, strict=True)]
        yield Utterance(audio, segments, "ipa", f"espeak_{language}")


def _at_16k(samples: np.ndarray, rate: int) -> np.ndarray:
    """int16 [N] at `rate` -> float32 at 16 kHz, by the product's own way in."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(samples.tobytes())
        return load_audio(path)
