"""Where an interrupted tuning goes on: arrays in safetensors, nothing that could run."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from ...files import write_whole
from ...generators.stylenerf.generator import StyleNerf

MOMENTS = ("exp_avg", "exp_avg_sq", "step")  # Adam's own names


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
