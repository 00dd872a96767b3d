"""Reading pickles without running them: an interpreter that has no way to call anything.

Python's own unpickler calls whatever a file names; an allow-list narrows that, but still runs constructors and still
lets a short file ask for gigabytes. Here the opcodes are decoded by `pickletools` and acted out on inert values: a
name is a string, an object is a `Record` of its state, a tensor is a view of bytes that the file really has. What
would be a call is looked up in a small table of functions of this module; any other name ends the reading.
"""

from __future__ import annotations

import math
import pickletools
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MAX_OPERATIONS = 5_000_000  # of one file; the largest official one has a fiftieth. Bounds memory to about a gigabyte
MAX_COPIED = 2**30  # bytes that calls may make out of what was read: a file could ask for one copy again and again
MAX_DIMENSIONS = 8
Persistent = Callable[[Any], Any]


class Unreadable(Exception):
    """A file that can't be taken: `code` as in errors, `reason` continues a sentence that starts with its name."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


def damaged(detail: str) -> Unreadable:
    """What is cut short or inconsistent."""
    return Unreadable("import_damaged", f"is damaged or cut short ({detail}): download it again")


def unsafe(name: str) -> Unreadable:
    """What no model file needs."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in name)[:80]
    return Unreadable("import_unsafe", f"would run {shown}, which no model file needs: don't trust where it came from")


def too_large() -> Unreadable:
    """What would fill the machine's memory."""
    return Unreadable("import_too_large", "is larger inside than any model file: don't trust where it came from")


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
class _Name:
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
    return {_key(pair[0]): pair[1] for pair in pairs}


def _persistent_object(meta: Any) -> Record:
    """A StyleGAN-style persistent object: it carries its class's source text, which is dropped unread."""
    if not isinstance(meta, dict) or not isinstance(meta.get("state"), dict):
        raise damaged("an object without a state")
    return Record(name_of(meta.get("class_name")), (), meta["state"])


def _encoded(text: Any, encoding: Any = "utf-8") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1", "utf-8"):
        raise damaged("text in an unknown encoding")
    return text.encode(encoding)


def _scalar(dtype: Any, data: Any = b"") -> int | float | bool:
    code = dtype.arguments[0] if isinstance(dtype, Record) and dtype.arguments else None
    if code not in ("f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1") or not isinstance(data, bytes):
        raise damaged("a number of unknown type")
    return np.frombuffer(data, np.dtype(code), 1)[0].item()


def _parameter(data: Any, *_rest: Any) -> Any:
    return data


def name_of(value: Any) -> str:
    """A name, or a number, as text. Nothing else: the text of a tuple of tuples can be endless."""
    if isinstance(value, _Name):
        return value.path
    if not isinstance(value, (str, int)):
        raise damaged("a name was expected")
    return str(value)


def _listed(items: Any = ()) -> list[Any]:
    return list(items)


# Everything a file may "call". Nothing here touches the file system, imports, or evaluates text.
CALLS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _mapping,
    "collections.Counter": _mapping,  # the milestones of a learning-rate schedule
    "dnnlib.util.EasyDict": _mapping,
    "builtins.dict": _mapping,
    "builtins.set": _listed,  # a list: hashing what a file nests can take for ever
    "builtins.frozenset": _listed,
    "_codecs.encode": _encoded,
    "numpy.dtype": lambda *arguments: Record("numpy.dtype", arguments),
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.multiarray._reconstruct": lambda *_: Record("numpy.ndarray"),
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
_OLD_NAMES = {"__builtin__": "builtins", "numpy._core.multiarray": "numpy.core.multiarray"}


def read_pickle(stream: Any, persistent: Persistent | None = None, calls: Mapping[str, Any] = CALLS) -> Any:
    """One pickle from `stream`, which stays behind its end. `persistent` answers persistent ids (of tensors' storages).

    Raises Unreadable import_unsafe (a name outside the tables, an opcode that none of the files uses) or
    import_damaged.
    """
    try:
        return _Machine(persistent, calls).run(stream)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, struct.error) as error:
        raise damaged(str(error)[:80] or type(error).__name__) from None


_MARK = object()
_LITERALS = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES",
    "BINBYTES8",
})  # fmt: skip
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict, "EMPTY_SET": list}


class _Machine:
    """The pickle virtual machine: a stack, a memo, and no way out."""

    def __init__(self, persistent: Persistent | None, calls: Mapping[str, Any]) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}  # a dict: a memo number of four billion takes no room
        self.persistent, self.calls = persistent, calls
        self.room = MAX_COPIED

    def run(self, stream: Any) -> Any:
        for count, (code, argument, _place) in enumerate(pickletools.genops(stream)):
            if count > MAX_OPERATIONS:
                raise too_large()
            name = code.name
            if name == "STOP":
                break
            if name in _LITERALS:
                self.stack.append(argument)
            elif name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name])
            elif name in _EMPTY:
                self.stack.append(_EMPTY[name]())
            else:
                act = getattr(self, f"_{name.lower()}", None)
                if act is None:
                    raise unsafe(f"the pickle instruction {name}")
                act(argument)
        return self.stack.pop()

    def _proto(self, version: int) -> None:
        if version > 5:
            raise damaged(f"pickle protocol {version}")

    def _frame(self, size: int) -> None:
        """Only announces a size; what follows is read as it comes."""

    def _mark(self, _: None) -> None:
        self.stack.append(_MARK)

    def _since_mark(self) -> list[Any]:
        start = len(self.stack) - 1
        while self.stack[start] is not _MARK:
            start -= 1
            if start < 0:
                raise damaged("no mark")
        items = self.stack[start + 1 :]
        del self.stack[start:]
        return items

    def _pop(self, _: None) -> None:
        self.stack.pop()

    def _pop_mark(self, _: None) -> None:
        self._since_mark()

    def _dup(self, _: None) -> None:
        self.stack.append(self.stack[-1])

    # Memo ------------------------------------------------------------------------------------------------------------
    def _put(self, number: int) -> None:
        self.memo[number] = self.stack[-1]

    _binput = _long_binput = _put

    def _memoize(self, _: None) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _get(self, number: int) -> None:
        self.stack.append(self.memo[number])

    _binget = _long_binget = _get

    # Containers ------------------------------------------------------------------------------------------------------
    def _list(self, _: None) -> None:
        self.stack.append(self._since_mark())

    def _tuple(self, _: None) -> None:
        self.stack.append(tuple(self._since_mark()))

    def _take(self, count: int) -> tuple[Any, ...]:
        if len(self.stack) < count:
            raise damaged("too few values")
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        return items

    def _tuple1(self, _: None) -> None:
        self.stack.append(self._take(1))

    def _tuple2(self, _: None) -> None:
        self.stack.append(self._take(2))

    def _tuple3(self, _: None) -> None:
        self.stack.append(self._take(3))

    def _dict(self, _: None) -> None:
        items = self._since_mark()
        self.stack.append({_key(key): value for key, value in zip(items[::2], items[1::2], strict=True)})

    def _append(self, _: None) -> None:
        self._extend([self.stack.pop()])

    def _appends(self, _: None) -> None:
        self._extend(self._since_mark())

    _additems = _appends

    def _frozenset(self, _: None) -> None:
        self.stack.append(self._since_mark())

    def _extend(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise damaged("a list was expected")
        self.stack[-1].extend(items)

    def _setitem(self, _: None) -> None:
        key, value = self._take(2)
        self._update([(key, value)])

    def _setitems(self, _: None) -> None:
        items = self._since_mark()
        self._update(list(zip(items[::2], items[1::2], strict=True)))

    def _update(self, items: list[tuple[Any, Any]]) -> None:
        if not isinstance(self.stack[-1], dict):
            raise damaged("a dictionary was expected")
        self.stack[-1].update({_key(key): value for key, value in items})

    # Names and objects -----------------------------------------------------------------------------------------------
    def _global(self, path: str) -> None:
        module, _, name = path.partition(" ")
        self.stack.append(self._allowed(module, name))

    def _stack_global(self, _: None) -> None:
        module, name = self._take(2)
        self.stack.append(self._allowed(name_of(module), name_of(name)))

    def _allowed(self, module: str, name: str) -> _Name:
        path = f"{_OLD_NAMES.get(module, module)}.{name}"
        if path not in self.calls and path not in CLASSES and path not in VALUES:
            raise unsafe(path)
        return _Name(path)

    def _reduce(self, _: None) -> None:
        called, arguments = self._take(2)
        self.stack.append(self._call(called, arguments))

    def _newobj(self, _: None) -> None:
        made, arguments = self._take(2)
        if isinstance(made, _Name) and made.path in CLASSES:
            self.stack.append(Record(made.path))
        else:
            self.stack.append(self._call(made, arguments))

    def _call(self, called: Any, arguments: Any) -> Any:
        if not isinstance(called, _Name) or called.path not in self.calls or not isinstance(arguments, tuple):
            raise unsafe(called.path if isinstance(called, _Name) else f"an object of type {type(called).__name__}")
        made = self.calls[called.path](*arguments)
        if isinstance(made, (bytes, list, dict, tuple)):
            self.room -= len(made) * (1 if isinstance(made, bytes) else 100)
        if self.room < 0:
            raise too_large()
        return made

    def _build(self, _: None) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], Record) and isinstance(state, dict):
            self.stack[-1].state.update(state)  # other objects (an OrderedDict's version note) have no use for theirs

    def _persid(self, identity: Any) -> None:
        if self.persistent is None:
            raise damaged("a reference outside of the file")
        self.stack.append(self.persistent(identity))

    def _binpersid(self, _: None) -> None:
        self._persid(self.stack.pop())


def _key(key: Any) -> Any:
    """Dictionary keys are plain: hashing a tuple of tuples can take for ever."""
    if key is None or isinstance(key, (str, int, float, bytes)):
        return key
    raise damaged(f"a key of type {type(key).__name__}")


def storage_of(identity: Any, storages: dict[str, Storage]) -> Storage:
    """The storage of torch's persistent id ("storage", type, key, location, count, ...), made when it is new."""
    if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] not in ("storage", b"storage"):
        raise damaged("an unknown reference")
    _, kind, key, _location, count = identity[:5]
    dtype = STORAGE_NAMES.get(kind.path) if isinstance(kind, _Name) else None
    if dtype is None or not isinstance(count, int) or not 0 <= count < 2**40:
        raise damaged("a storage of unknown type")
    known = storages.setdefault(name_of(key), Storage(dtype, count))
    if (known.dtype, known.count) != (dtype, count):
        raise damaged("a storage of two kinds")
    return known
