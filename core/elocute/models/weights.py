"""Weights into networks: every name and shape has to fit, and what does not is said in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from elocute.errors import EnvironmentProblem

if TYPE_CHECKING:
    import torch

    Network = TypeVar("Network", bound=torch.nn.Module)


def load_weights(
    network: Network,
    weights: Mapping[str, torch.Tensor],
    what: str,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
) -> Network:
    """`network` with `weights` (name -> tensor) in it, in evaluation mode, without gradients, on `device`.

    `dtype` None keeps float32. `what` names the file or network in the message.
    Raises EnvironmentProblem("weights_mismatch").
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    needed = [name for name in wanted if not name.endswith("num_batches_tracked")]  # counts that nothing reads
    trouble = [f"{name} is missing" for name in needed if name not in given]
    trouble += [f"{name} is not known" for name in given if name not in wanted]
    trouble += [f"{name} is {given[name]} and has to be {shape}" for name, shape in wanted.items()
                if given.get(name, shape) != shape]  # fmt: skip
    if trouble:
        more = f" and {len(trouble) - 1} more" if len(trouble) > 1 else ""
        raise EnvironmentProblem(
            "weights_mismatch", f"the weights are not those of {what}: {trouble[0]}{more}. Import the original file."
        )
    network.load_state_dict(dict(weights), strict=False)
    return network.to(device=device, dtype=dtype).eval().requires_grad_(False)
