"""Reading pickles without running them: an interpreter that has no way to call anything.

Python's own unpickler calls whatever a file names; an allow-list narrows that, but still runs constructors and still
lets a short file ask for gigabytes. Here the opcodes are decoded by `pickletools` and acted out on inert values: a
name is a string, an object is a `Record` of its state, a tensor is a view of bytes that the file really has. What
would be a call is looked up in a small table of functions (`inert.CALLS`); any other name ends the reading.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable, Mapping
from typing import Any

from elocute.models.inert import CALLS, CLASSES, NUMPY_STATES, OLD_NAMES, VALUES, Name, Record, name_of, plain_key
from elocute.models.unreadable import damaged, too_large, unsafe

MAX_OPERATIONS = 5_000_000  # of one file; the largest official one has a fiftieth. Bounds memory to about a gigabyte
MAX_COPIED = 2**30  # bytes that calls may make out of what was read: a file could ask for one copy again and again
Persistent = Callable[[Any], Any]


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

    def _bytearray8(self, data: bytearray) -> None:
        self.stack.append(bytes(data))

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
        self.stack.append({plain_key(key): value for key, value in zip(items[::2], items[1::2], strict=True)})

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
        self.stack[-1].update({plain_key(key): value for key, value in items})

    # Names and objects -----------------------------------------------------------------------------------------------
    def _global(self, path: str) -> None:
        module, _, name = path.partition(" ")
        self.stack.append(self._allowed(module, name))

    def _stack_global(self, _: None) -> None:
        module, name = self._take(2)
        self.stack.append(self._allowed(name_of(module), name_of(name)))

    def _allowed(self, module: str, name: str) -> Name:
        path = f"{OLD_NAMES.get(module, module)}.{name}"
        if path not in self.calls and path not in CLASSES and path not in VALUES:
            raise unsafe(path)
        return Name(path)

    def _reduce(self, _: None) -> None:
        called, arguments = self._take(2)
        self.stack.append(self._call(called, arguments))

    def _newobj(self, _: None) -> None:
        made, arguments = self._take(2)
        if isinstance(made, Name) and made.path in CLASSES:
            self.stack.append(Record(made.path))
        else:
            self.stack.append(self._call(made, arguments))

    def _call(self, called: Any, arguments: Any) -> Any:
        if not isinstance(called, Name) or called.path not in self.calls or not isinstance(arguments, tuple):
            raise unsafe(called.path if isinstance(called, Name) else f"an object of type {type(called).__name__}")
        made = self.calls[called.path](*arguments)
        if isinstance(made, (bytes, list, dict, tuple)):
            self.room -= len(made) * (1 if isinstance(made, bytes) else 100)
        if self.room < 0:
            raise too_large()
        return made

    def _build(self, _: None) -> None:
        state = self.stack.pop()
        made = self.stack[-1]
        if isinstance(made, Record) and isinstance(state, dict):
            made.state.update(state)  # other objects (an OrderedDict's version note) have no use for theirs
        elif isinstance(made, Record) and isinstance(state, tuple) and made.name in NUMPY_STATES:
            made.state.update(zip(NUMPY_STATES[made.name], state, strict=False))

    def _persid(self, identity: Any) -> None:
        if self.persistent is None:
            raise damaged("a reference outside of the file")
        self.stack.append(self.persistent(identity))

    def _binpersid(self, _: None) -> None:
        self._persid(self.stack.pop())
