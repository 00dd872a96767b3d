"""Work in pieces: what a device has no memory for is asked again for half as much."""

from __future__ import annotations

import weakref

import pytest
import torch

from elocute.rendering.device import Pieces


def test_pieces_halve_until_they_fit_and_stay_so() -> None:
    pieces, asked = Pieces(1000, 100), []

    def work(size: int) -> int:
        asked.append(size)
        if size > 300:
            raise torch.cuda.OutOfMemoryError
        return size

    assert pieces.run(work) == 250 and asked == [1000, 500, 250]
    assert pieces.run(work) == 250 and pieces.run(work, most=120) == 120
    assert pieces.run(work, most=5) == 100, "never below the least"
    assert asked[3:] == [250, 120, 100]


def test_what_does_not_fit_in_the_smallest_pieces_is_an_error() -> None:
    asked = []

    def work(size: int) -> None:
        asked.append(size)
        raise torch.cuda.OutOfMemoryError

    with pytest.raises(torch.cuda.OutOfMemoryError):
        Pieces(8, 3).run(work)
    assert asked == [8, 4, 3]


def test_what_failed_is_given_back_before_the_next_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its arrays are as good as in use for as long as the exception holds the function that made them."""
    arrays: list[weakref.ref[torch.Tensor]] = []
    held: list[bool] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: held.append(arrays[-1]() is not None))

    def work(size: int) -> float:
        array = torch.ones(size)
        arrays.append(weakref.ref(array))
        if size > 1:
            raise torch.cuda.OutOfMemoryError
        return float(array.sum())

    assert Pieces(4).run(work) == 1 and held == [False, False]
