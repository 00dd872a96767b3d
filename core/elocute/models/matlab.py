"""MATLAB files (version 5 to 7) and the plain files beside them: the Basel face model and its parts."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np

from elocute.head.basel_parts import EXPRESSION_VERTICES
from elocute.models.unreadable import Unreadable, damaged, too_large

MAX_INFLATED = 2**30  # bytes of one compressed variable; the largest of the Basel model has 255 MB
MAX_VARIABLES = 64
MAX_TEXT = 64 * 1024
COMPRESSED, MATRIX = 15, 14  # miCOMPRESSED, miMATRIX
PLAIN_CLASSES = frozenset({"double", "single", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
                           "logical", "char"})  # fmt: skip
FACE_MODEL = ("meanshape", "meantex", "idBase", "exBase", "texBase", "tri", "point_buf", "tri_mask2", "keypoints",
              "frontmask2_idx", "skinmask")  # fmt: skip
# Which variables make a file what it is, most telling first.
KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("face_model", FACE_MODEL),
    ("basel_scans", ("shapePC", "shapeEV", "shapeMU", "texPC", "texEV", "texMU")),
    ("basel_info", ("tri", "point_buf", "tri_mask2", "keypoints", "frontmask2_idx", "skinmask")),
    ("basel_trim", ("trimIndex",)),
    ("basel_front", ("idx",)),
)
INDICES = frozenset({"tri", "point_buf", "tri_mask2", "keypoints", "frontmask2_idx", "trimIndex", "idx"})


def read(data: memoryview) -> list[tuple[str, dict[str, np.ndarray]]]:
    """What a MATLAB file holds, as (kind, variables). Raises Unreadable."""
    import io

    from scipy.io import loadmat, whosmat

    _check_sizes(data)
    stream = io.BytesIO(data)
    try:
        listed = {name: (shape, kind) for name, shape, kind in whosmat(stream)}
        kind = next((kind for kind, wanted in KINDS if set(wanted) <= set(listed)), None)
        if kind is None:
            if "idBase" in listed:
                lacking = ", ".join(name for name in FACE_MODEL if name not in listed)
                raise Unreadable("import_missing_keys", f"lacks {lacking}: it is another version of the model")
            raise Unreadable("import_unknown", "is a MATLAB file without a face model: docs/weights.md lists the files")
        wanted = dict(KINDS)[kind]
        odd = [name for name in wanted if listed[name][1] not in PLAIN_CLASSES]
        if odd:
            raise damaged(f"{odd[0]} is no array of numbers")
        stream.seek(0)
        arrays = loadmat(stream, variable_names=list(wanted))
    except (ValueError, TypeError, KeyError, IndexError, OSError, EOFError, zlib.error, NotImplementedError) as error:
        raise damaged(str(error)[:80]) from None
    return [(kind, {name: _plain_numbers(name, np.asarray(arrays[name])) for name in wanted})]


def _plain_numbers(name: str, array: np.ndarray) -> np.ndarray:
    """The variable, if it holds real numbers, and whole ones from 1 on where they are indices."""
    if array.dtype.kind == "c":
        raise Unreadable("import_values", f"has complex numbers in {name}: it is another model")
    if array.dtype.kind not in "biuf":
        raise damaged(f"{name} is no array of numbers")
    if name in INDICES and array.size and ((array < 1) | (array != np.trunc(array))).any():
        raise Unreadable("import_values", f"has numbers in {name} that can't be indices: download it again")
    return array


def _check_sizes(data: memoryview) -> None:
    """Compressed variables inflate to what they announce, and that fits into memory."""
    if len(data) < 128 or bytes(data[126:128]) != b"IM":
        raise damaged("not little-endian" if bytes(data[126:128]) == b"MI" else "its header")
    place = 128
    for _ in range(MAX_VARIABLES):
        if place + 8 > len(data):
            break
        kind, size = struct.unpack("<II", data[place : place + 8])
        if kind not in (COMPRESSED, MATRIX) or place + 8 + size > len(data):
            raise damaged("a variable is cut off")
        if kind == COMPRESSED and _inflated(data[place + 8 : place + 8 + size]) > MAX_INFLATED:
            raise too_large()
        place += 8 + size
    else:
        raise too_large()


def _inflated(data: memoryview) -> int:
    """Bytes that a compressed variable inflates to, counted up to a little beyond the limit."""
    engine, total, rest = zlib.decompressobj(), 0, bytes(data)
    try:
        while rest and not engine.eof and total <= MAX_INFLATED:
            total += len(engine.decompress(rest, 2**20))
            rest = engine.unconsumed_tail
    except zlib.error as error:
        raise damaged(str(error)) from None
    if not engine.eof and total <= MAX_INFLATED:
        raise damaged("a variable is cut off")
    return total


def plain_parts(data: memoryview) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """The two parts of the Basel face without a header: Exp_Pca.bin, known by its length, and std_exp.txt."""
    count = int.from_bytes(data[:4], "little")
    if 0 < count < 1000 and len(data) == 4 + 4 * 3 * EXPRESSION_VERTICES * (count + 1):
        yield "basel_expressions", {"content": np.frombuffer(data, np.uint8)}
    elif len(data) <= MAX_TEXT:
        try:
            numbers = [float(word) for word in bytes(data).decode("ascii").split()]
        except (UnicodeDecodeError, ValueError):
            return
        if len(numbers) >= 64 and all(number > 0 for number in numbers):
            yield "basel_deviations", {"content": np.array(numbers)}
