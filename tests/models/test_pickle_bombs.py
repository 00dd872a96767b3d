"""Nothing that a pickle or its container asks for fills the memory, takes for ever or reaches beyond what is there."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
import time
import tracemalloc
import zipfile
import zlib

import numpy as np
import official
import pytest
import torch
from import_checks import code_of

from elocute.models.inert import Record
from elocute.models.pickles import read_pickle
from elocute.models.recognise import read_file
from elocute.models.snapshot import plain
from elocute.models.torch_files import read_snapshot, read_tar, read_zip

pytestmark = pytest.mark.usefixtures("here")


def peak(read, *arguments):
    """Megabytes that a refused read took at most."""
    tracemalloc.start()
    try:
        code = code_of(read, *arguments)
        return code, tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


def tensor_pickle(offset, size, stride, count):
    """A tensor over a storage of `count` floats, as in the data.pkl of a zip file."""

    class Storage:
        pass

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing):
            return ("storage", torch.FloatStorage, "0", "cpu", count) if isinstance(thing, Storage) else None

        def reducer_override(self, thing):
            if isinstance(thing, Tensor):
                return torch._utils._rebuild_tensor_v2, (Storage(), offset, size, stride, False, None)
            return NotImplemented

    class Tensor:
        pass

    stream = io.BytesIO()
    Pickler(stream, 2).dump(Tensor())
    return stream.getvalue()


def torch_zip(pickled, numbers=b"", compression=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/data/0", numbers)
    return memoryview(stream.getvalue())


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"\x80\x02]r\xff\xff\xff\xff0j\xfe\xff\xff\xff.", "import_damaged"),  # memo number four billion
        (b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x.", "import_damaged"),  # bytes that aren't there
        (b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"0.", "import_damaged"),  # a frame
        (b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"\x01.", "import_damaged"),  # a number of two gigabytes
        (b"\x80\x02]q\x00" + b"h\x00h\x00\x86q\x00" * 200 + b"}h\x00K\x01s.", "import_damaged"),  # hash of 2^200 leaves
        (b"\x80\x02" + b"c_codecs\nencode\nq\x000X" + struct.pack("<I", 2**20) + b"a" * 2**20 + b"q\x010"
         + b"h\x00h\x01\x85R" * 2000 + b".", "import_too_large"),  # two gigabytes of copies
    ],
)  # fmt: skip
def test_what_asks_for_more_than_it_has(content, code):
    refused, megabytes = peak(read_pickle, io.BytesIO(content))
    assert refused == code and megabytes < 1100


def test_endless_instructions(monkeypatch):
    monkeypatch.setattr("elocute.models.pickles.MAX_OPERATIONS", 1000)
    assert code_of(read_pickle, io.BytesIO(b"\x80\x02" + b"]" * 2000 + b".")) == "import_too_large"


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (2**30, 2**9), (0, 0)),  # one number, repeated for ever
        (0, (5,), (1,)), (3, (2,), (1,)), (0, (2, 2), (1, 3)), (-1, (1,), (1,)), (0, (2,), (-1,)),
        (0, (1,) * 9, (1,) * 9), (2**50, (1,), (1,)), (0, (1.5,), (1,)), (0, (2,), (1, 1)),
    ],
)  # fmt: skip
def test_a_tensor_never_reaches_beyond_its_numbers(offset, size, stride):
    data = torch_zip(tensor_pickle(offset, size, stride, 4), bytes(16))
    assert code_of(read_zip, data) == "import_damaged"


def test_numpy_arrays_that_are_not_what_they_say():
    names = np.array([{"a": 1}, None], object)
    exchanged = np.zeros((2, 3, 4)).transpose(1, 0, 2)
    assert code_of(read_pickle, io.BytesIO(pickle.dumps(exchanged, protocol=5))) == "import_damaged"
    cut = pickle.dumps(np.zeros(4), protocol=5).replace(b"K\x04\x85", b"K\x05\x85")
    assert code_of(plain, read_pickle(io.BytesIO(cut))) == "import_damaged"
    assert code_of(plain, read_pickle(io.BytesIO(pickle.dumps([names], protocol=2)))) == "import_damaged"
    array = read_pickle(io.BytesIO(pickle.dumps(np.zeros(4), protocol=2)))
    for more in ({"shape": (5,)}, {"shape": (2**39, 0, 2**39)}, {"shape": [4]}, {"shape": (-4,)}, {"data": "text"},
                 {"shape": (1,) * 40}, {"dtype": None}):  # fmt: skip
        wrong = Record(array.name, array.arguments, {**array.state, **more})
        assert code_of(plain, wrong) == "import_damaged", more
    assert code_of(plain, Record("numpy.ndarray")) == "import_damaged"
    large = Record(array.name, (), {**array.state, "shape": (2**17,), "data": bytes(2**20)})
    assert code_of(plain, [large] * 3) == "import_too_large"


def test_a_tensor_s_numbers_are_all_there():
    whole = read_zip(torch_zip(tensor_pickle(0, (2, 2), (2, 1), 4), bytes(16)))
    assert whole.array().tolist() == [[0, 0], [0, 0]]
    for count, numbers in ((4, bytes(15)), (2**35, bytes(16))):
        tensor = read_zip(torch_zip(tensor_pickle(0, (2, 2), (2, 1), count), numbers))
        assert code_of(tensor.array) == "import_damaged"


def test_zip_bombs(here):
    bomb = torch_zip(tensor_pickle(0, (1,), (1,), 2**24), bytes(2**26), zipfile.ZIP_DEFLATED)
    assert len(bomb) < 2**18
    refused, megabytes = peak(read_zip, bomb)
    assert refused == "import_too_large" and megabytes < 1
    shared = io.BytesIO()  # members that lie in the same bytes
    with zipfile.ZipFile(shared, "w") as archive:
        archive.writestr("archive/data.pkl", b"x" * 1000)
        only = archive.infolist()[0]
        archive.filelist += [_other_name(only, f"archive/data/{i}") for i in range(100)]
    assert code_of(read_zip, memoryview(shared.getvalue())) == "import_too_large"


def test_what_was_packed_again_is_read(here):
    numbers = np.random.default_rng(0).normal(size=4096).astype(np.float32)
    pickled = tensor_pickle(0, (4096,), (1,), 4096)
    data = torch_zip(pickled, numbers.tobytes(), zipfile.ZIP_DEFLATED)
    assert np.array_equal(read_zip(data).array(), numbers)
    assert code_of(read_zip, torch_zip(pickled, numbers.tobytes(), zipfile.ZIP_LZMA)) == "import_damaged"
    spoiled = bytearray(data)
    spoiled[len(spoiled) // 2] ^= 0xFF
    assert code_of(read_zip(memoryview(spoiled)).array) == "import_damaged"


@pytest.mark.parametrize("packed", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_numbers_that_many_tensors_share_are_read_once(packed):
    """A megabyte behind a thousand names would else become a gigabyte."""
    stream = io.BytesIO()
    shared = torch.arange(2**18, dtype=torch.float32)
    torch.save({f"t{i}": shared[i : i + 1] for i in range(1000)}, stream)
    archive = zipfile.ZipFile(stream)
    again = io.BytesIO()
    with zipfile.ZipFile(again, "w", packed) as made:
        for name in archive.namelist():
            made.writestr(name, archive.read(name))
    root = read_zip(memoryview(again.getvalue()))
    tracemalloc.start()
    arrays = [tensor.array() for tensor in root.values()]
    megabytes = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    assert [array[0] for array in arrays] == list(range(1000)) and megabytes < 10


def test_one_tensor_under_many_names_is_too_much(here, monkeypatch):
    monkeypatch.setattr("elocute.models.recognise.MAX_NUMBERS", 4000)
    whole = torch.zeros(512, 512)
    torch.save({"fc1.weight": whole[:40, :40], "fc4.weight": whole[:40, :40], "more": whole[:40, :40]}, here / "m.pt")
    assert code_of(read_file, here / "m.pt") == "import_too_large"


def _other_name(entry, name):
    other = zipfile.ZipInfo(name)
    for field in ("compress_size", "file_size", "CRC", "header_offset", "compress_type", "external_attr"):
        setattr(other, field, getattr(entry, field))
    return other


def test_a_matlab_bomb(here, monkeypatch):
    monkeypatch.setattr("elocute.models.matlab.MAX_INFLATED", 2**22)
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    packed = zlib.compress(struct.pack("<II", 14, 2**31) + bytes(2**26), 9)
    (here / "x.mat").write_bytes(header + struct.pack("<II", 15, len(packed)) + packed)
    refused, megabytes = peak(read_file, here / "x.mat")
    assert refused == "import_too_large" and megabytes < 32  # of which SciPy's import takes ten


def test_a_network_inside_itself(here):
    state: dict = {"_init_args": (), "_init_kwargs": {}}
    with official.training_modules() as code:
        made = official.Persistent(code.reconstruct, "Generator", "", state)
        content = pickle.dumps({"G_ema": made})
    record = read_snapshot(memoryview(content))["G_ema"]
    record.state["_modules"] = {"inner": record}
    from elocute.models.snapshot import state_dict

    assert code_of(state_dict, record) == "import_damaged"
    nest: list = []
    nest.append(nest)
    assert code_of(plain, nest) == "import_damaged"


def test_what_is_the_same_in_many_places_is_not_walked_for_ever():
    nest, empty = [], {"_parameters": {}, "_buffers": {}}
    module = Record("torch.nn.modules.module.Module")
    module.state.update(empty)
    for _ in range(31):
        nest, outer = [nest, nest], Record("torch.nn.modules.module.Module")
        outer.state.update({**empty, "_modules": {"a": module, "b": module}})
        module = outer
    from elocute.models.snapshot import state_dict

    began = time.monotonic()
    assert code_of(plain, nest) == "import_too_large"
    assert code_of(plain, [["x" * 2**17] * 2] * 2) == "import_too_large"
    assert code_of(plain, {"x" * 2**17: 1, "y" * 2**17: 1}) == "import_too_large"
    assert code_of(state_dict, module) == "import_too_large"
    assert time.monotonic() - began < 5


def test_a_tar_bomb(here):
    """GNU's sparse members: a file that is a hole of 6 GB takes 1536 bytes."""
    member = tarfile.TarInfo("pickle")
    member.type, member.size = tarfile.GNUTYPE_SPARSE, 0
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    header[386:398], header[398:410] = b"%011o\0" % 2**32, b"%011o\0" % 0  # one piece: nothing, at the end
    header[483:495] = b"%011o\0" % (6 * 2**30)
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * 32 + sum(header[156:]))
    content = bytes(header) + bytes(1024)
    refused, megabytes = peak(read_tar, memoryview(content))
    assert refused == "import_too_large" and megabytes < 1
