"""What an official file is, told by its content, and what it holds: names and arrays, nothing of it run."""

from __future__ import annotations

import errno
import hashlib
import math
import mmap
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from elocute.errors import BadInput
from elocute.files import open_regular
from elocute.models import layouts, matlab
from elocute.models.inert import Record, Tensor
from elocute.models.snapshot import configuration, state_dict, try_out
from elocute.models.torch_files import LEGACY_START, read_legacy, read_snapshot, read_tar, read_zip
from elocute.models.unreadable import Room, Unreadable, damaged, too_large

MAX_BYTES = 4 * 2**30  # of one file; the largest official one has 0.7 GB
MAX_NUMBERS = 2**29  # of all tensors of a network together, which may share theirs; VGG-16 has 138 million
LONGEST_HEADER = 100_000_000  # bytes, of a safetensors file
PARALLEL = "module."  # before every name, where a network was trained on several devices at once
COUNTER = "num_batches_tracked"  # of a batch normalisation: nothing reads it
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Source:
    """The file that something was read from."""

    file: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Piece:
    """What a file holds: a whole role, or one part of it. `second_choice`: only used where nothing else is."""

    kind: str
    arrays: Arrays
    source: Source
    config: dict[str, Any] = field(default_factory=dict)
    second_choice: bool = False


def read_file(path: Path) -> list[Piece]:
    """Everything usable in one file. Raises BadInput import_..., one code for each thing that can be wrong."""
    try:
        with open_regular(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size == 0:
                raise BadInput("import_damaged", f"{path.name} is empty: download it again.")
            if size > MAX_BYTES:
                raise too_large()
            source = Source(path.name, hashlib.file_digest(stream, "sha256").hexdigest(), size)
            # Mapped, so that a file's length bounds what reading it can take. The map lives as long as its views do.
            data = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        return [_checked(piece) for piece in _pieces(path, data, source)]
    except FileNotFoundError:
        raise BadInput("import_not_found", f"no file {path}. Check the path.") from None
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EISDIR):
            raise BadInput("import_not_a_file", f"{path} is not a file. Name the file with the weights.") from None
        raise BadInput("import_unreadable", f"can't read {path} ({error.strerror}). Check its rights.") from None
    except Unreadable as error:
        raise BadInput(error.code, f"{path.name} {error.reason}.") from None


def _pieces(path: Path, data: memoryview, source: Source) -> list[Piece]:
    """By the first bytes."""
    start = bytes(data[:512])
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"version https://git-lfs"):
        raise Unreadable("import_lfs_pointer", "is a git-lfs pointer, not the file: run `git lfs pull`, or download it")
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise Unreadable("import_html", "is a web page, not the file: download it again, logged in if need be")
    if start.startswith(b"MATLAB 5.0 MAT-file"):
        return [Piece(kind, arrays, source) for kind, arrays in matlab.read(data)]
    if start.startswith((b"MATLAB 7.3", b"\x89HDF")):
        raise Unreadable("import_unknown", "is MATLAB 7.3: save it as version 7 (`save -v7`) and import that")
    if start.startswith(b"PK\x03\x04"):
        return _networks(read_zip(data), source)
    if start.startswith(LEGACY_START):
        return _networks(read_legacy(data), source)
    if start[257:262] == b"ustar":
        return _networks(read_tar(data), source)
    if start[:1] == b"\x80" and len(start) > 1 and start[1] <= 5:
        return _networks(read_snapshot(data), source)
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= LONGEST_HEADER:  # one that is cut short too
        return _safetensors(path, source)
    for kind, arrays in matlab.plain_parts(data):
        return [Piece(kind, arrays, source)]
    raise _unknown()


def _unknown() -> Unreadable:
    return Unreadable("import_unknown", "is none of the files that Elocute knows: docs/weights.md lists them")


def _safetensors(path: Path, source: Source) -> list[Piece]:
    """SadTalker's file: audio2exp, and Deep3DFaceRecon's network once more; its other networks are not needed."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            names = list(file.keys())

            def part(prefix: str) -> Arrays:
                chosen = [name for name in names if name.startswith(prefix)]
                return {name[len(prefix) :]: file.get_tensor(name) for name in chosen}

            pieces = []
            if any(name.startswith("audio2exp.") for name in names):
                pieces.append(Piece("speech_expression", part("audio2exp."), source))
            if any(name.startswith("face_3drecon.") for name in names):
                pieces.append(Piece("face_regressor", part("face_3drecon."), source, second_choice=True))
    except (SafetensorError, TypeError) as error:
        raise damaged(str(error)[:80]) from None
    if not pieces:
        raise _unknown()
    return pieces


def _networks(root: Any, source: Source) -> list[Piece]:
    """By the names in what was pickled."""
    if isinstance(root, Record):
        raise Unreadable(
            "import_unknown",
            "holds one network alone, such as a person's tuned generator: import the official ffhq_1024.pkl, and "
            "prepare the person with `elocute fit`",
        )
    if not isinstance(root, dict):
        raise _unknown()
    if "G_ema" in root:
        return [_generator(root["G_ema"], source)]
    if isinstance(root.get("net_recon"), dict):
        return [Piece("face_regressor", _arrays(_plain_names(root["net_recon"])), source)]
    state = _plain_names(root["model_state_dict"] if isinstance(root.get("model_state_dict"), dict) else root)
    kind = _kind_of({name: value.size for name, value in state.items() if isinstance(value, Tensor)})
    arrays = _arrays(state)
    if kind in ("alexnet", "vgg16"):  # the classifier has no part in a perceptual distance
        arrays = {name: array for name, array in arrays.items() if not name.startswith("classifier.")}
    return [Piece(kind, arrays, source)]


def _kind_of(shapes: dict[str, tuple[int, ...]]) -> str:
    """A plain state dictionary's network, by a name and shape that no other has."""
    if "cp.resnet.conv1.weight" in shapes:
        return "segmentation"
    if "fc1.weight" in shapes and "fc4.weight" in shapes:
        return "mouth"
    first: dict[tuple[int, ...], str] = {(64, 3, 11, 11): "alexnet", (64, 3, 3, 3): "vgg16"}
    second: dict[tuple[int, ...], str] = {(1, 192, 1, 1): "alex_channels", (1, 128, 1, 1): "vgg_channels"}
    kind = first.get(shapes.get("features.0.weight", ())) or second.get(shapes.get("lin1.model.1.weight", ()))
    if kind is None:
        raise _unknown()
    return kind


def _plain_names(state: dict[Any, Any]) -> dict[Any, Any]:
    """A state dictionary with the names that the network itself has."""
    if state and all(isinstance(name, str) and name.startswith(PARALLEL) for name in state):
        return {name.removeprefix(PARALLEL): value for name, value in state.items()}
    return state


def _arrays(state: dict[Any, Any]) -> Arrays:
    room = Room(MAX_NUMBERS)
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise Unreadable("import_unknown", f"has {str(name)[:60]!r} where weights should be: it is another file")
        room.take(math.prod(value.size))
    return {name: value.array() for name, value in state.items()}


def _generator(network: Any, source: Source) -> Piece:
    """The averaged generator G_ema of a training snapshot: its constructor's arguments, its tensors by dotted name."""
    if not isinstance(network, Record):
        raise damaged("its generator is not a network")
    return Piece("generator", _arrays(state_dict(network)), source, configuration(network))


# What has to be there -------------------------------------------------------------------------------------------------
def _checked(piece: Piece) -> Piece:
    """The piece with exactly the names and shapes of its network, float32 (counters int64), finite."""
    if piece.kind == "generator":
        return _checked_generator(piece)
    layout = _LAYOUTS.get(piece.kind)
    return piece if layout is None else _replaced(piece, fitted(piece.arrays, layout()))


def _checked_generator(piece: Piece) -> Piece:
    try:
        layout = layouts.generator(piece.config, {name: array.shape for name, array in piece.arrays.items()})
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise damaged(f"its generator's configuration lacks {error}") from None
    arrays = fitted(piece.arrays, layout, layouts.generator_buffers(layout))
    alpha = float(arrays["synthesis.alpha"])
    if alpha != 1:
        raise Unreadable(
            "import_alpha",
            f"was saved while the generator still grew (alpha is {alpha:g} and not 1): import a finished ffhq_1024.pkl",
        )
    try_out(piece.config, arrays)
    return _replaced(piece, arrays)


def _replaced(piece: Piece, arrays: Arrays) -> Piece:
    return Piece(piece.kind, arrays, piece.source, piece.config, piece.second_choice)


_LAYOUTS: dict[str, Callable[[], layouts.Layout]] = {
    "face_regressor": layouts.face_regressor,
    "speech_expression": layouts.speech_expression,
    "mouth": layouts.mouth,
    "segmentation": layouts.segmentation,
    "alexnet": layouts.alexnet,
    "vgg16": layouts.vgg16,
    "alex_channels": lambda: layouts.lpips_weights(tuple(kernel[0] for kernel in layouts.ALEX_KERNELS)),
    "vgg_channels": lambda: layouts.lpips_weights(layouts.VGG_CHANNELS),
}


def fitted(arrays: Arrays, layout: layouts.Layout, defaults: Arrays | None = None) -> Arrays:
    """Own, contiguous arrays in the layout's order; what is missing and has a default takes it.

    Raises Unreadable import_missing_keys, import_extra_keys, import_shapes or import_values.
    """
    counters = {name: np.zeros((), np.int64) for name in layout if name.endswith(COUNTER)}  # files before torch 0.4.1
    defaults = {**counters, **(defaults or {})}
    missing = [name for name in layout if name not in arrays and name not in defaults]
    if missing:
        raise Unreadable("import_missing_keys", f"lacks {_some(missing)}: it is another version or another network")
    extra = [name for name in arrays if name not in layout]
    if extra:
        raise Unreadable("import_extra_keys", f"has {_some(extra)} too many: it is another version or another network")
    out = {}
    for name, shape in layout.items():
        array = arrays[name] if name in arrays else defaults[name]
        if array.shape != shape:
            raise Unreadable(
                "import_shapes", f"has {name} of shape {list(array.shape)} and not {list(shape)}: it is another network"
            )
        kind = np.int64 if name.endswith(COUNTER) else np.float32
        out[name] = np.array(array, kind, order="C")
        if not np.isfinite(out[name]).all():
            raise Unreadable("import_values", f"has numbers in {name} that are not finite: download it again")
    return out


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0][:80]}{more}"
