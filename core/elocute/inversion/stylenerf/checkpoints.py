"""Where an interrupted inversion goes on: arrays in safetensors, nothing that could run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...files import write_whole
from ...generators.stylenerf.generator import StyleNerf
from .projection import Pivot

MOMENTS = ("exp_avg", "exp_avg_sq", "step")  # Adam's own names


def work_key(plan: Mapping[str, Any], arrays: Iterable[Tensor]) -> str:
    """Of everything that a result depends on: what was kept under another key isn't continued."""
    digest = hashlib.sha256(json.dumps(plan, sort_keys=True).encode())
    for array in arrays:
        digest.update(array.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def write_pivot(path: Path, key: str, pivot: Pivot) -> None:
    """A finished pivot, whole or not at all. A GPU doesn't find the same one twice, and tuning goes on from one only.

    Raises EnvironmentProblem output_not_writable or disk_full.
    """
    from safetensors.torch import save

    arrays = {"w": pivot.w.cpu().contiguous(), "background": pivot.background.cpu().contiguous()}
    write_whole(path, save(arrays, {"key": key, "distances": json.dumps(pivot.distances)}))


def read_pivot(path: Path, key: str, device: str) -> Pivot | None:
    """What `write_pivot` kept; None when it isn't there, is damaged or belongs to other work."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as stored:
            meta = stored.metadata() or {}
            if meta.get("key") != key:
                return None
            w, background = (stored.get_tensor(name).to(device) for name in ("w", "background"))
            return Pivot(w, background, tuple(float(value) for value in json.loads(meta["distances"])))
    except (OSError, SafetensorError, ValueError, KeyError):
        return None


def write_checkpoint(
    path: Path, key: str, generator: StyleNerf, optimiser: torch.optim.Adam, losses: list[float]
) -> None:
    """The generator's arrays, the optimiser's moments and the losses so far, whole or not at all.

    Raises EnvironmentProblem output_not_writable or disk_full.
    """
    from safetensors.torch import save

    arrays: dict[str, Tensor] = {}
    for name, parameter in generator.named_parameters():
        arrays[f"parameter.{name}"] = parameter.detach().cpu().contiguous()
        for moment, value in optimiser.state.get(parameter, {}).items():
            arrays[f"{moment}.{name}"] = value.detach().cpu().contiguous()
    write_whole(path, save(arrays, {"key": key, "losses": json.dumps(losses)}))


def read_checkpoint(path: Path, key: str, generator: StyleNerf, optimiser: torch.optim.Adam) -> list[float]:
    """Put generator and optimiser where the checkpoint left them and return its losses, one for each step made.

    A checkpoint that isn't there, is damaged or belongs to other work changes nothing and returns [].
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as stored:
            meta = stored.metadata() or {}
            if meta.get("key") != key:
                return []
            arrays = {name: stored.get_tensor(name) for name in stored.keys()}
            losses = [float(value) for value in json.loads(meta["losses"])]
    except (OSError, SafetensorError, ValueError, KeyError):
        return []
    parameters = dict(generator.named_parameters())
    if any(arrays.get(f"parameter.{name}", torch.empty(0)).shape != p.shape for name, p in parameters.items()):
        return []
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(arrays[f"parameter.{name}"])
            moments = {moment: arrays[f"{moment}.{name}"] for moment in MOMENTS if f"{moment}.{name}" in arrays}
            if moments:
                optimiser.state[parameter] = {
                    moment: value if moment == "step" else value.to(parameter) for moment, value in moments.items()
                }
    return losses
