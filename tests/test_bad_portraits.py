"""Photos that are none, damaged or of somebody who looks away are refused in one sentence, and never a defect."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pillow_heif import register_heif_opener
from refused_commands import PORTRAIT, VOICE, needs_models, told

from elocute.errors import BadInput
from elocute.portrait.face import choose_face, detect_faces
from elocute.portrait.image import load_image


def bomb(width: int, height: int) -> bytes:
    """A PNG of some bytes that claims to be huge."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def test_files_that_are_no_portrait(place: Path) -> None:
    photo = PORTRAIT.read_bytes()
    Path("text.jpg").write_text("hello")
    Path("broken.jpg").write_bytes(photo[:4000])
    Path("bomb.png").write_bytes(bomb(2**31 - 1, 2**31 - 1))
    Path("large.png").write_bytes(bomb(12000, 12000))
    Image.new("RGB", (300, 300)).save("page.eps")
    for name, code in (
        ("none.jpg", "image_missing"), (".", "image_is_directory"), ("text.jpg", "image_unreadable"),
        ("broken.jpg", "image_truncated"), ("bomb.png", "image_too_large"), ("large.png", "image_too_large"),
        ("page.eps", "image_unreadable"),
    ):  # fmt: skip
        with pytest.raises(BadInput) as problem:
            load_image(name)
        assert problem.value.code == code
    for name, code in (("none.jpg", "image_missing"), (".", "image_is_directory")):
        assert told("fit", name) == (2, code)
        assert told("speak", name, VOICE, "-o", "o.mp4") == (2, code)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "JPEG2000", "AVIF", "HEIF"])
def test_damaged_photos_are_read_or_refused_but_never_a_defect(place: Path, kind: str) -> None:
    register_heif_opener()
    stream = io.BytesIO()
    try:
        Image.open(PORTRAIT).resize((96, 112)).save(stream, format=kind)
    except (OSError, KeyError):
        pytest.skip(f"this Pillow can't write {kind}")
    rng = np.random.default_rng(5)
    for _ in range(40):
        data = np.frombuffer(stream.getvalue(), np.uint8)[: rng.integers(1, len(stream.getvalue()) + 1)].copy()
        places = rng.integers(0, min(len(data), rng.choice([64, 400, 10**6])), rng.choice([1, 3, 20]))
        data[places] = rng.integers(0, 256, len(places))
        Path("damaged").write_bytes(data.tobytes())
        with contextlib.suppress(BadInput):
            assert load_image("damaged").rgb.dtype == np.uint8


@needs_models
def test_a_profile_whose_landmarks_collapse_is_turned_away() -> None:
    """The network then gives a small frontal face somewhere in the profile, and says itself that it is unsure."""
    face = detect_faces(load_image(PORTRAIT).rgb)[0]
    assert face.confidence > 0.999
    with pytest.raises(BadInput) as problem:
        choose_face([dataclasses.replace(face, confidence=0.8)])
    assert problem.value.code == "face_turned_away"
