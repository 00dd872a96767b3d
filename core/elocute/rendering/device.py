"""Which device computes."""

from __future__ import annotations

from ..errors import EnvironmentProblem


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
