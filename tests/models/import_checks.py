"""What came of a file: arrays that are its own, or the code with which it was refused."""

from __future__ import annotations

import numpy as np
import pytest

from elocute.errors import BadInput
from elocute.models.importing import import_files
from elocute.models.official import imported, official_folder
from elocute.models.unreadable import Unreadable


def refused(*paths):
    """The code with which files are refused; nothing may be left behind."""
    before = sorted(official_folder().rglob("*")) if official_folder().exists() else []
    with pytest.raises(BadInput) as caught:
        import_files(paths)
    after = sorted(official_folder().rglob("*")) if official_folder().exists() else []
    assert after == before
    assert "\n" not in caught.value.message and caught.value.message.endswith(".")
    return caught.value.code


def same(role, weights):
    kept = imported(role).arrays()
    assert kept.keys() == weights.keys()
    for name, value in weights.items():
        assert np.array_equal(kept[name], value), name
    return True


def code_of(read, *arguments):
    with pytest.raises((Unreadable, BadInput)) as caught:
        read(*arguments)
    return caught.value.code
