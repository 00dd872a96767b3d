"""Which device computes, and how much at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ..errors import EnvironmentProblem

Result = TypeVar("Result")


def pick_device(wanted: str) -> str:
    """The device to use: "auto" is CUDA when there, else the CPU; a named one must be there.

    Raises EnvironmentProblem device_missing.
    """
    if wanted == "cpu":
        return wanted
    import torch

    cuda = torch.cuda.is_available()
    if wanted == "auto":
        return "cuda" if cuda else "cpu"
    index = int(wanted.partition(":")[2] or 0)
    there = wanted.startswith("cuda") and cuda and index < torch.cuda.device_count()
    if not there and not (wanted == "mps" and torch.backends.mps.is_available()):
        raise EnvironmentProblem("device_missing", f"no device {wanted} here. Use --device cpu, or run elocute doctor.")
    return wanted


@dataclass
class Pieces:
    """Work that can be done in pieces: `size` of them, in whatever the work counts, and no smaller than `least`."""

    size: int
    least: int = 1

    def run(self, work: Callable[[int], Result], most: int | None = None) -> Result:
        """`work(size)`, or of `most` if that is smaller. A GPU that runs out of memory is asked again for half as much,
        and from then on."""
        import torch

        while True:
            piece = self.size if most is None else max(min(self.size, most), self.least)
            try:
                return work(piece)
            except torch.cuda.OutOfMemoryError:
                if piece <= self.least:
                    raise
            self.size = max(piece // 2, self.least)
            torch.cuda.empty_cache()  # not in the handler: what failed holds its arrays until the exception is gone
