"""Nothing in a pickle is ever run, whatever it names, and damage of any kind is refused in the same way."""

from __future__ import annotations

import collections
import io
import os
import pickle
from dataclasses import replace

import numpy as np
import official
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from import_checks import code_of

from elocute.models.inert import CALLS, Record
from elocute.models.pickles import read_pickle
from elocute.models.recognise import read_file
from elocute.models.snapshot import plain
from elocute.models.torch_files import read_legacy, read_snapshot, read_zip
from elocute.models.unreadable import Unreadable

CANARY = "ran"
pytestmark = pytest.mark.usefixtures("here")


class Command:
    """Runs a command when it is unpickled by an ordinary reader."""

    def __reduce__(self):
        return os.system, (f"touch {CANARY}",)


class Evaluate:
    def __reduce__(self):
        return eval, (f"open({CANARY!r}, 'w').close()",)


class Deep:
    """Hides behind an allowed name: the function is an attribute of what is allowed."""

    def __reduce__(self):
        return getattr, (collections.OrderedDict, "__init__")


SOURCE = f"open({CANARY!r}, 'w').close()\nclass Generator: pass\n"


def test_the_source_inside_a_training_snapshot_is_never_run(here):
    arguments = official.generator_arguments()
    weights = official.write_generator(here / "ffhq.pkl", arguments, source=SOURCE)
    assert SOURCE.encode() in (here / "ffhq.pkl").read_bytes()
    (piece,) = read_file(here / "ffhq.pkl")
    assert piece.arrays.keys() == weights.keys()
    assert not (here / CANARY).exists()
    with official.training_modules():  # and it is no dud: the training code's own way of reading runs it
        pickle.loads((here / "ffhq.pkl").read_bytes())
    assert (here / CANARY).exists()


def test_the_source_inside_a_torch_file_is_never_run(here):
    with official.training_modules() as code:
        made = official.Persistent(code.reconstruct, "Generator", SOURCE, {"_parameters": {}})
        torch.save({"G_ema": made}, here / "x.pt")
        torch.save({"G_ema": made}, here / "y.pt", _use_new_zipfile_serialization=False)
    for read, name in ((read_zip, "x.pt"), (read_legacy, "y.pt")):
        record = read(memoryview((here / name).read_bytes()))["G_ema"]
        assert record == Record("Generator", (), {"_parameters": {}})
    assert not (here / CANARY).exists()


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("evil", [Command(), Evaluate(), Deep(), print, os.system, pickle.loads, torch.load, Record])
def test_what_would_be_a_call_is_refused(here, evil, protocol):
    content = pickle.dumps({"G_ema": evil, "cp.resnet.conv1.weight": 0}, protocol=protocol)
    assert code_of(read_pickle, io.BytesIO(content)) == "import_unsafe"
    (here / "x.pkl").write_bytes(content)
    assert code_of(read_file, here / "x.pkl") == ("import_unsafe" if protocol >= 2 else "import_unknown")
    for new in (True, False):
        torch.save({"a": torch.zeros(2), "evil": evil}, here / "x.pt", _use_new_zipfile_serialization=new)
        assert code_of(read_file, here / "x.pt") == "import_unsafe"
    assert not (here / CANARY).exists()


def test_a_pickle_inside_a_tensor_s_bytes_is_read_as_carefully(here):
    class Inner:
        def __reduce__(self):
            return torch.storage._load_from_bytes, (pickle.dumps(Command()),)

    class Legacy:
        def __reduce__(self):
            stream = io.BytesIO()
            torch.save(Command(), stream, _use_new_zipfile_serialization=False)
            return torch.storage._load_from_bytes, (stream.getvalue(),)

    for evil in (Inner(), Legacy()):
        assert code_of(read_snapshot, memoryview(pickle.dumps(evil))) == "import_unsafe"
    nested = pickle.dumps(Inner())
    assert code_of(read_pickle, io.BytesIO(nested)) == "import_unsafe"  # only snapshots have such tensors
    assert not (here / CANARY).exists()


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",  # the name alone, by STACK_GLOBAL
        b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.__init__\x93.",
        b"\x80\x02cos\nsystem\n.",
        b"(S'echo'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'echo'\no.",  # OBJ
        b"\x80\x02\x82\x01.",  # EXT1: a name by number
        b"\x80\x02ccollections\nOrderedDict\n}\x92.",  # NEWOBJ_EX
        b"\x80\x05\x97.",  # NEXT_BUFFER
        b"\x80\x02]]R.",  # a call of a list
        b"\x80\x02ctorch\nFloatStorage\n)R.",  # a value is no function
        b"\x80\x02ctorch\nFloatStorage\n)\x81.",
    ],
)
def test_every_other_way_to_name_or_call_something(content):
    assert code_of(read_pickle, io.BytesIO(content)) == "import_unsafe"


def test_attributes_that_would_replace_methods_stay_values():
    content = b"\x80\x02ctorch.nn.modules.container\nModuleList\n)\x81}U\x0b__getitem__K\x01sb."
    assert read_pickle(io.BytesIO(content)) == Record(
        "torch.nn.modules.container.ModuleList", (), {"__getitem__": 1}
    )


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_numpy_arrays_among_settings_become_lists(protocol):
    arrays = {
        "pair": np.array([-0.3, 0.3]), "turned": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "one": np.array(7),
        "big": np.array([1, 2], ">i4"), "flags": np.array([True, False]), "none": np.zeros((0, 2)),
        "scalar": np.array([5], ">f8")[0], "half": np.array([0.5, -2], np.float16), "half scalar": np.float16(0.25),
        "steps": np.arange(6)[::2],
    }  # fmt: skip
    arrays["fixed"] = np.arange(3)
    arrays["fixed"].flags.writeable = False  # protocol 5 writes other bytes for it
    read = read_pickle(io.BytesIO(pickle.dumps(arrays, protocol=protocol)))
    assert plain(read) == {name: array.tolist() for name, array in arrays.items()}


def sample():
    """A small snapshot with everything that one has, as bytes."""
    with official.training_modules() as code:
        weights = {"fc0.weight": official.np.ones((2, 3), "float32"), "blocks.0.bias": official.np.ones(2, "float32")}
        made = official.network(code.reconstruct, "Generator", weights, "pass", _init_kwargs=code.EasyDict(a=1))
        return pickle.dumps({"G_ema": made}, protocol=4)


SAMPLE = sample()


@settings(max_examples=400, deadline=None)
@given(st.integers(0, len(SAMPLE) - 1), st.integers(0, 255), st.integers(0, len(SAMPLE)))
def test_any_damage_is_refused_in_the_same_way(place, byte, end):
    damaged = bytearray(SAMPLE)
    damaged[place] = byte
    for content in (bytes(damaged), SAMPLE[:end], bytes(damaged[:end])):
        try:
            read_snapshot(memoryview(content))
        except Unreadable as error:
            assert error.code in ("import_damaged", "import_unsafe", "import_too_large")


def test_the_tables_name_nothing_that_acts():
    """Whoever extends them: no module that runs, opens or imports."""
    for name in CALLS:
        assert name.split(".")[0] in ("collections", "builtins", "dnnlib", "_codecs", "numpy", "torch", "torch_utils")
        assert name.rsplit(".", 1)[1] not in ("eval", "exec", "getattr", "open", "load", "import", "compile")
    assert replace(Record("a")) == Record("a")
