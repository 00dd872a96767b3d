"""The three containers that torch has had: a zip archive, a sequence of pickles, a tar archive. None of them is run.

Tensors stay views of the mapped file until somebody asks for their numbers.
"""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
import zlib
from functools import cache
from typing import Any

from elocute.models.inert import CALLS, DTYPES, STORAGE_NAMES, Storage, Tensor, name_of, storage_of
from elocute.models.pickles import read_pickle
from elocute.models.unreadable import Unreadable, damaged, too_large

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of torch's files before 1.6
LEGACY_START = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # that pickle, the same in every file
LEGACY_PROTOCOL = 1001
MAX_TENSORS = 100_000
MOST_GROWTH = 8  # weights shrink by a tenth, an optimiser's zeros beside them to nothing


def read_snapshot(data: memoryview) -> Any:
    """A pickle that holds tensors as whole legacy files, as StyleGAN-like training code writes its networks."""
    return read_pickle(_Stream(data), None, {**CALLS, "torch.storage._load_from_bytes": _storage_file})


def read_legacy(data: memoryview) -> Any:
    """Magic number, protocol, system; the object; the storages' keys; their numbers, each after its count."""
    stream = _Stream(data)
    if read_pickle(stream) != LEGACY_MAGIC or read_pickle(stream) != LEGACY_PROTOCOL:
        raise damaged("not torch's format")
    read_pickle(stream)  # byte order and type sizes: little-endian on every machine that torch runs on
    storages: dict[str, Storage] = {}
    root = read_pickle(stream, lambda identity: storage_of(identity, storages))
    keys = read_pickle(stream)
    if not isinstance(keys, list) or set(map(name_of, keys)) != set(storages):
        raise damaged("its list of tensors")
    for key in keys:
        _fill(storages[name_of(key)], stream, data)
    return root


def read_zip(data: memoryview) -> Any:
    """`*/data.pkl` with every storage as a file `*/data/KEY` of its own.

    torch stores them uncompressed. Who packed an archive again may have compressed them, by as much as weights can be:
    a file that would grow by more than MOST_GROWTH while it is read is none.
    Raises Unreadable, import_torchscript for a program.
    """
    try:
        return _read_archive(zipfile.ZipFile(_Stream(data)), len(data))  # stays open: tensors are read when used
    except (zipfile.BadZipFile, zlib.error, KeyError, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise damaged(str(error)[:80]) from None


def _read_archive(archive: zipfile.ZipFile, size: int) -> Any:
    members = archive.infolist()
    names = {member.filename for member in members}
    root = next((name[: -len("data.pkl")] for name in sorted(names) if name.endswith("/data.pkl")), None)
    if root is None:
        raise Unreadable("import_unknown", "is an archive but not one of torch's: unpack it and import what is inside")
    if any(name.startswith(f"{root}code/") for name in names):
        raise Unreadable(
            "import_torchscript",
            "is a TorchScript program, which is never run here: import plain weights, in place of NVIDIA's vgg16.pt "
            "torchvision's vgg16-397923af.pth and the lpips package's weights/v0.1/vgg.pth together (`elocute models "
            "import vgg16-397923af.pth vgg.pth`)",
        )
    packed = [member.compress_type for member in members if member.compress_type != zipfile.ZIP_STORED]
    if any(kind != zipfile.ZIP_DEFLATED for kind in packed):  # other methods take memory before they give any numbers
        raise damaged("compressed in a way that torch never does")
    # Of plain members, too: they may share their bytes. No member gives more than the size that it announces.
    if sum(member.file_size for member in members) > size * (MOST_GROWTH if packed else 1):
        raise too_large()
    if f"{root}byteorder" in names and archive.read(f"{root}byteorder") != b"little":
        raise damaged("numbers in big-endian order")
    storages: dict[str, Storage] = {}

    def storage(identity: Any) -> Storage:
        found = storage_of(identity, storages)
        member = f"{root}data/{name_of(identity[2])}"
        if member not in names:
            raise damaged("a tensor's numbers are missing")
        found.read = found.read or cache(lambda: _checked(archive, member))  # once, however many tensors look into it
        return found

    return read_pickle(io.BytesIO(archive.read(f"{root}data.pkl")), storage)


def _checked(archive: zipfile.ZipFile, member: str) -> bytes:
    try:
        return archive.read(member)  # compares the checksum
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise damaged(str(error)[:80]) from None


def read_tar(data: memoryview) -> Any:
    """torch's first format: members `storages` and `tensors` with keyed objects, and `pickle` that refers to them."""
    try:
        with tarfile.open(fileobj=_Stream(data), mode="r:") as archive:
            members = [member for member in archive if member.isreg()]
            if any(member.issparse() or member.size > len(data) for member in members):  # holes take no room in a file
                raise too_large()
            parts = {member.name: archive.extractfile(member).read() for member in members}  # type: ignore[union-attr]
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        raise damaged(str(error)[:80]) from None
    if not parts.keys() >= {"pickle", "storages", "tensors"}:
        raise Unreadable("import_unknown", "is an archive but not one of torch's: unpack it and import what is inside")
    storages = _tar_storages(io.BytesIO(parts["storages"]))
    objects: dict[str, Any] = {**storages, **_tar_tensors(io.BytesIO(parts["tensors"]), storages)}

    def known(identity: Any) -> Any:
        if name_of(identity) not in objects:
            raise damaged("an unknown reference")
        return objects[name_of(identity)]

    return read_pickle(io.BytesIO(parts["pickle"]), known)


def _tar_storages(stream: Any) -> dict[str, Storage]:
    found = {}
    for _ in range(_count(read_pickle(stream))):
        key, _location, kind = _items(read_pickle(stream), 3)
        dtype = STORAGE_NAMES.get(name_of(kind))
        if dtype is None:
            raise damaged("a storage of unknown type")
        (count,) = _unpack("<q", stream)
        numbers = _read(stream, count * DTYPES[dtype].itemsize)
        found[name_of(key)] = Storage(dtype, count, lambda numbers=numbers: numbers)  # type: ignore[misc]
    if read_pickle(stream):
        raise damaged("storages inside storages")
    return found


def _tar_tensors(stream: Any, storages: dict[str, Storage]) -> dict[str, Tensor]:
    found = {}
    for _ in range(_count(read_pickle(stream))):
        key, storage, _kind = _items(read_pickle(stream), 3)
        dimensions, _unused = _unpack("<ii", stream)
        if not 0 <= dimensions <= 8 or name_of(storage) not in storages:
            raise damaged("a tensor without a storage")
        size, stride = _unpack(f"<{dimensions}q", stream), _unpack(f"<{dimensions}q", stream)
        (offset,) = _unpack("<q", stream)
        found[name_of(key)] = CALLS["torch._utils._rebuild_tensor"](storages[name_of(storage)], offset, size, stride)
    return found


def _storage_file(content: Any) -> Storage:
    """The bytes of a storage's own legacy file, which a snapshot carries in place of the storage."""
    if not isinstance(content, bytes):
        raise damaged("a tensor without numbers")
    storage = read_legacy(memoryview(content))
    if not isinstance(storage, Storage):
        raise damaged("a tensor without numbers")
    return storage


def _fill(storage: Storage, stream: Any, data: memoryview) -> None:
    (count,) = _unpack("<q", stream)
    start, size = stream.tell(), storage.count * DTYPES[storage.dtype].itemsize
    if count != storage.count or start + size > len(data):
        raise damaged("a tensor's numbers are missing")
    numbers = data[start : start + size]
    storage.read = lambda: numbers
    stream.seek(start + size)


def _unpack(pattern: str, stream: Any) -> tuple[int, ...]:
    return struct.unpack(pattern, _read(stream, struct.calcsize(pattern)))


def _read(stream: Any, size: int) -> bytes:
    content = stream.read(size) if 0 <= size < 2**40 else b""
    if len(content) != size:
        raise damaged("a tensor's numbers are missing")
    return content


def _count(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value <= MAX_TENSORS:
        raise damaged("an impossible number of tensors")
    return value


def _items(value: Any, count: int) -> tuple[Any, ...]:
    if not isinstance(value, tuple) or len(value) != count:
        raise damaged("an unknown entry")
    return value


class _Stream(io.RawIOBase):
    """A memoryview as a file that can be read and sought, without a copy of the whole."""

    def __init__(self, data: memoryview) -> None:
        self.data, self.place = data, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: len(self.data)}[whence]
        if base + offset < 0:
            raise OSError("before the start")
        self.place = base + offset
        return self.place

    def tell(self) -> int:
        return self.place

    def read(self, size: int | None = -1) -> bytes:
        end = len(self.data) if size is None or size < 0 else min(len(self.data), self.place + size)
        content = bytes(self.data[self.place : end])
        self.place = max(self.place, end)
        return content

    def readline(self, size: int | None = -1) -> bytes:
        """Up to a kilobyte: what pickles write as lines are names and numbers."""
        ahead = bytes(self.data[self.place : self.place + 1024])
        line = ahead[: ahead.find(b"\n") + 1] or ahead
        self.place += len(line)
        return line
