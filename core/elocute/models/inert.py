"""What a pickle becomes when nothing in it runs: names, records and tensors, and the few calls that make them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from elocute.models.unreadable import damaged

MAX_DIMENSIONS = 8


@dataclass
class Record:
    """An object that was pickled, without its class: the class's name, constructor arguments, and attributes."""

    name: str
    arguments: tuple[Any, ...] = ()
    state: dict[str, Any] = field(default_factory=dict)


@dataclass
class Storage:
    """Numbers that tensors look into; the container says how to `read` their bytes once they are used."""

    dtype: str
    count: int
    read: Callable[[], bytes | memoryview] | None = None


@dataclass(frozen=True)
class Tensor:
    """A strided view of a storage, in elements."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.size

    def array(self) -> np.ndarray:
        """Its values, without a copy where NumPy has the type. Raises Unreadable import_damaged."""
        data = self.storage.read() if self.storage.read else b""
        width = DTYPES[self.storage.dtype].itemsize
        if len(data) < self.storage.count * width:
            raise damaged("a tensor's numbers are missing")
        flat = np.frombuffer(data, DTYPES[self.storage.dtype], self.storage.count)[self.offset :]
        steps = [step * width for step in self.stride]
        view = np.lib.stride_tricks.as_strided(flat, self.size, steps, writeable=False)
        if self.storage.dtype == "BFloat16":  # the upper half of a float32
            return (view.astype(np.uint32) << 16).view(np.float32)
        return view


DTYPES: dict[str, np.dtype] = {
    "Float": np.dtype("<f4"), "Double": np.dtype("<f8"), "Half": np.dtype("<f2"), "BFloat16": np.dtype("<u2"),
    "Long": np.dtype("<i8"), "Int": np.dtype("<i4"), "Short": np.dtype("<i2"), "Char": np.dtype("i1"),
    "Byte": np.dtype("u1"), "Bool": np.dtype("?"),
}  # fmt: skip
STORAGE_NAMES = {f"torch.{name}Storage": name for name in DTYPES}


@dataclass(frozen=True)
class Name:
    """A global that the file mentions, "torch.FloatStorage"; it stays a name."""

    path: str


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_rest: Any) -> Tensor:
    """torch's rebuilding function, with the checks it lacks: every element lies inside the storage, once."""
    if not isinstance(storage, Storage) or not isinstance(size, tuple) or not isinstance(stride, tuple):
        raise damaged("a tensor without a storage")
    numbers = (offset, *size, *stride)
    if not all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 2**40 for n in numbers):
        raise damaged("a tensor of impossible size")
    if len(size) != len(stride) or len(size) > MAX_DIMENSIONS:
        raise damaged("a tensor of impossible size")
    count = math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if count else offset
    if count > storage.count or last >= max(storage.count, 1):  # also stops a small storage that repeats for ever
        raise damaged("a tensor reaches beyond its storage")
    return Tensor(storage, offset, size, stride)


def _mapping(items: Any = ()) -> dict[Any, Any]:
    pairs = items.items() if isinstance(items, dict) else items
    return {plain_key(pair[0]): pair[1] for pair in pairs}


def _persistent_object(meta: Any) -> Record:
    """A StyleGAN-style persistent object: it carries its class's source text, which is dropped unread."""
    if not isinstance(meta, dict) or not isinstance(meta.get("state"), dict):
        raise damaged("an object without a state")
    return Record(name_of(meta.get("class_name")), (), meta["state"])


def _encoded(text: Any, encoding: Any = "utf-8") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1", "utf-8"):
        raise damaged("text in an unknown encoding")
    return text.encode(encoding)


# The attributes that a pickled NumPy object sets, in their order, as far as they are used.
NUMPY_STATES = {"numpy.dtype": ("version", "order"), "numpy.ndarray": ("version", "shape", "dtype", "turned", "data")}


def _numpy_type(dtype: Any) -> np.dtype:
    code = dtype.arguments[0] if isinstance(dtype, Record) and dtype.arguments else None
    if code not in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"):
        raise damaged("a number of unknown type")
    return np.dtype(code).newbyteorder(">" if dtype.state.get("order") == ">" else "<")


def _scalar(dtype: Any, data: Any = b"") -> int | float | bool:
    if not isinstance(data, bytes):
        raise damaged("a number of unknown type")
    return np.frombuffer(data, _numpy_type(dtype), 1)[0].item()


def _array_of_buffer(data: Any, dtype: Any, shape: Any, order: Any, _axes: Any = None) -> Record:
    """An array as protocol 5 writes it. Order "K", with axes, is that of three or more in another order."""
    if order not in ("C", "F"):
        raise damaged("an array with its axes exchanged")
    return Record("numpy.ndarray", (), {"shape": shape, "dtype": dtype, "turned": order == "F", "data": data})


def numpy_array(record: Record) -> np.ndarray:
    """What a pickled NumPy array of plain numbers holds, a view. Raises Unreadable import_damaged."""
    kind, shape, data = _numpy_type(record.state.get("dtype")), record.state.get("shape"), record.state.get("data")
    if not isinstance(shape, tuple) or not isinstance(data, bytes) or len(shape) > MAX_DIMENSIONS:
        raise damaged("an array without numbers")
    if not all(isinstance(n, int) and 0 <= n < 2**40 for n in shape) or len(data) != math.prod(shape) * kind.itemsize:
        raise damaged("an array of impossible size")
    return np.frombuffer(data, kind).reshape(shape, order="F" if record.state.get("turned") else "C")


def _parameter(data: Any, *_rest: Any) -> Any:
    return data


def name_of(value: Any) -> str:
    """A name, or a number, as text. Nothing else: the text of a tuple of tuples can be endless."""
    if isinstance(value, Name):
        return value.path
    if not isinstance(value, (str, int)):
        raise damaged("a name was expected")
    return str(value)


def _no_bytes() -> bytes:
    """What protocol 2 writes for empty bytes; others it encodes."""
    return b""


def _listed(items: Any = ()) -> list[Any]:
    return list(items)


# Everything a file may "call". Nothing here touches the file system, imports, or evaluates text.
CALLS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _mapping,
    "collections.Counter": _mapping,  # the milestones of a learning-rate schedule
    "dnnlib.util.EasyDict": _mapping,
    "builtins.dict": _mapping,
    "builtins.bytes": _no_bytes,
    "builtins.set": _listed,  # a list: hashing what a file nests can take for ever
    "builtins.frozenset": _listed,
    "_codecs.encode": _encoded,
    "numpy.dtype": lambda *arguments: Record("numpy.dtype", arguments),
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.multiarray._reconstruct": lambda *_: Record("numpy.ndarray"),
    "numpy.core.numeric._frombuffer": _array_of_buffer,
    "torch.Size": tuple,
    "torch.device": lambda *arguments: ":".join(name_of(part) for part in arguments),
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch_utils.persistence._reconstruct_persistent_obj": _persistent_object,
}
# Classes that become a `Record`: NEWOBJ makes one, BUILD fills it.
CLASSES = frozenset({
    "torch.nn.modules.container.ModuleList", "torch.nn.modules.container.Sequential",
    "torch.nn.modules.container.ModuleDict", "torch.nn.modules.container.ParameterList",
    "torch.nn.modules.linear.Identity", "torch.nn.modules.activation.LeakyReLU", "torch.nn.modules.activation.ReLU",
})  # fmt: skip
# Names that are only handed on, as the type of a storage or of an array.
VALUES = frozenset({
    *STORAGE_NAMES, *(f"torch.{name}Tensor" for name in DTYPES), "numpy.ndarray", "torch.float16", "torch.float32",
    "torch.float64", "torch.bfloat16", "torch.int64",
})  # fmt: skip
OLD_NAMES = {
    "__builtin__": "builtins", "numpy._core.multiarray": "numpy.core.multiarray",
    "numpy._core.numeric": "numpy.core.numeric",
}  # fmt: skip


def plain_key(key: Any) -> Any:
    """Dictionary keys are plain: hashing a tuple of tuples can take for ever."""
    if key is None or isinstance(key, (str, int, float, bytes)):
        return key
    raise damaged(f"a key of type {type(key).__name__}")


def storage_of(identity: Any, storages: dict[str, Storage]) -> Storage:
    """The storage of torch's persistent id ("storage", type, key, location, count, ...), made when it is new."""
    if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] not in ("storage", b"storage"):
        raise damaged("an unknown reference")
    _, kind, key, _location, count = identity[:5]
    dtype = STORAGE_NAMES.get(kind.path) if isinstance(kind, Name) else None
    if dtype is None or not isinstance(count, int) or not 0 <= count < 2**40:
        raise damaged("a storage of unknown type")
    known = storages.setdefault(name_of(key), Storage(dtype, count))
    if (known.dtype, known.count) != (dtype, count):
        raise damaged("a storage of two kinds")
    return known
