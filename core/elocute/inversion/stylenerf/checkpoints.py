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

MOMENTS = ("exp_avg", "exp_avg_sq", "step")  # Adam's own names
RANDOM = "random"  # the random numbers' state


def work_key(plan: Mapping[str, Any], arrays: Iterable[Tensor]) -> str:
    """Of everything that a result depends on: what was kept under another key isn't continued."""
    digest = hashlib.sha256(json.dumps(plan, sort_keys=True).encode())
    for array in arrays:
        digest.update(array.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def write_checkpoint(
    path: Path, key: str, parameters: Mapping[str, Tensor], optimiser: torch.optim.Adam, losses: list[float],
    random: torch.Generator | None = None,
) -> None:  # fmt: skip
    """The parameters, the optimiser's moments, the losses so far and where `random` is, whole or not at all.

    Raises EnvironmentProblem output_not_writable or disk_full.
    """
    from safetensors.torch import save

    arrays = {} if random is None else {RANDOM: random.get_state()}
    for name, parameter in parameters.items():
        arrays[f"parameter.{name}"] = parameter.detach().cpu().contiguous()
        for moment, value in optimiser.state.get(parameter, {}).items():
            arrays[f"{moment}.{name}"] = value.detach().cpu().contiguous()
    write_whole(path, save(arrays, {"key": key, "losses": json.dumps(losses)}))


def read_checkpoint(
    path: Path, key: str, parameters: Mapping[str, Tensor], optimiser: torch.optim.Adam,
    random: torch.Generator | None = None,
) -> list[float]:  # fmt: skip
    """Put everything where the checkpoint left it and return its losses, one for each step made.

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
    if any(arrays.get(f"parameter.{name}", torch.empty(0)).shape != p.shape for name, p in parameters.items()):
        return []
    if random is not None and RANDOM not in arrays:
        return []
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(arrays[f"parameter.{name}"])
            moments = {moment: arrays[f"{moment}.{name}"] for moment in MOMENTS if f"{moment}.{name}" in arrays}
            if moments:
                optimiser.state[parameter] = {
                    moment: value if moment == "step" else value.to(parameter) for moment, value in moments.items()
                }
    if random is not None:
        random.set_state(arrays[RANDOM])
    return losses
