"""The pretended device refuses what a GPU refuses, and computes what the CPU computes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from pretend_device import DEVICE, OnDevice, pretend_device
from torch import Tensor, nn


@pytest.fixture(autouse=True)
def device() -> Iterator[str]:
    with pretend_device() as name:
        yield name


def there(*shape: int) -> Tensor:
    return torch.ones(shape, device=DEVICE)


REFUSED: dict[str, Callable[[], object]] = {
    "sum with the CPU's": lambda: there(3) + torch.ones(3),
    "the CPU's with a sum": lambda: torch.ones(3) + there(3),
    "a number there for the CPU's": lambda: torch.ones(3) * there(),
    "product": lambda: there(2, 3) @ torch.ones(3, 2),
    "layer": lambda: nn.Linear(3, 2)(there(1, 3)),
    "moved layer": lambda: nn.Linear(3, 2).to(DEVICE)(torch.ones(1, 3)),
    "joined": lambda: torch.cat([there(2), torch.ones(2)]),
    "numbers joined": lambda: torch.stack([there(), torch.ones(())]),
    "choice": lambda: torch.where(there(2) > 0, there(2), torch.ones(2)),
    "written in place": lambda: torch.ones(3).add_(there(3)),
    "a number written in place": lambda: torch.ones(()).add_(there()),
    "index there, values here": lambda: torch.ones(3)[torch.zeros(2, dtype=torch.long, device=DEVICE)],
    "mask there, values here": lambda: torch.ones(3)[there(3) > 0],
    "gathered by the CPU's": lambda: there(3).gather(0, torch.zeros(2, dtype=torch.long)),
    "selected by the CPU's": lambda: there(3).index_select(0, torch.zeros(2, dtype=torch.long)),
    "values put": lambda: there(3).index_put((torch.tensor([0, 1]),), torch.ones(2)),
    "scattered": lambda: there(3).scatter_(0, torch.zeros(1, dtype=torch.long, device=DEVICE), torch.ones(1)),
    "compared": lambda: torch.equal(there(3), torch.ones(3)),
    "searched": lambda: torch.searchsorted(there(3), torch.ones(1)),
    "written out": lambda: torch.add(there(3), there(3), out=torch.ones(3)),
    "generator": lambda: torch.randn(3, device=DEVICE, generator=torch.Generator()),
    "generator in place": lambda: there(3).normal_(generator=torch.Generator()),
}


@pytest.mark.parametrize("what", REFUSED)
def test_mixing_is_refused(what: str) -> None:
    with pytest.raises(RuntimeError, match="the CPU"):
        REFUSED[what]()


@pytest.mark.parametrize("read", [lambda t: t.numpy(), np.asarray, lambda t: t.detach().numpy()])
def test_numpy_needs_a_copy_on_the_cpu(read: Callable[[Tensor], object]) -> None:
    with pytest.raises(TypeError, match="cpu"):
        read(there(3))
    assert there(3).cpu().numpy().tolist() == there(3).tolist() == [1, 1, 1]


ALLOWED: dict[str, Callable[[], Tensor]] = {
    "number": lambda: there(3) * 2,
    "the CPU's number": lambda: there(3) * torch.tensor(2.0),
    "chosen number": lambda: torch.where(there(3) > 0, torch.tensor(2.0), there(3)),
    "index": lambda: (there(3) * 2)[torch.tensor([0, 1, 2])],
    "list": lambda: (there(3) * 2)[[0, 1, 2]],
    "mask": lambda: (there(4) * 2)[torch.tensor([True, True, False, True])],
    "number put": lambda: there(3).index_put((torch.arange(3),), torch.tensor(2.0)),
    "tensor": lambda: torch.tensor([2.0, 2, 2], device=DEVICE),
    "array": lambda: torch.as_tensor(np.full(3, 2, np.float32), device=DEVICE),
    "like another": lambda: there(1).new_tensor([2, 2, 2]),
    "moved": lambda: torch.full((3,), 2.0).to(there(1)),
    "copied": lambda: there(3).copy_(torch.full((3,), 2.0)),
    "random": lambda: torch.randn(3, generator=torch.Generator()).to(DEVICE) * 0 + 2,
    "out": lambda: torch.add(there(3), there(3), out=there(3)),
}


@pytest.mark.parametrize("what", ALLOWED)
def test_what_cuda_allows_is_allowed(what: str) -> None:
    made = ALLOWED[what]()
    assert isinstance(made, OnDevice) and made.device == torch.device(DEVICE)
    assert made.tolist() == [2, 2, 2] and made.dtype == torch.float32


def test_what_is_put_stays_put() -> None:
    values = there(4, 3)
    values[[0, 2]] = 5
    values[1, :2] = torch.tensor([6.0, 7], device=DEVICE)
    values[3].mul_(3)
    assert values.tolist() == [[5, 5, 5], [6, 7, 1], [5, 5, 5], [3, 3, 3]]
    with pytest.raises(NotImplementedError):
        values.unsqueeze_(0)


def test_blocks_of_a_device_and_other_devices() -> None:
    with torch.device(DEVICE):
        assert isinstance(torch.zeros(2), OnDevice) and isinstance(torch.arange(3), OnDevice)
    for name in ("cpu", "meta"):
        assert type(torch.zeros(2, device=name)) is Tensor
        assert type(torch.tensor([1.0], device=name)) is Tensor
    assert type(there(2).cpu()) is Tensor


def test_networks_learn_there_as_here() -> None:
    def learnt(where: str) -> list[list[float]]:
        torch.manual_seed(0)
        layer = nn.Linear(3, 2).to(where)
        other = copy.deepcopy(layer)
        optimiser = torch.optim.Adam(layer.parameters())
        for _ in range(3):
            optimiser.zero_grad()
            (layer(torch.tensor([[1.0, 2, 3]], device=where)) - other.bias).square().sum().backward()
            optimiser.step()
        return [p.cpu().tolist() for p in layer.parameters()]  # type: ignore[misc]

    assert learnt(DEVICE) == learnt("cpu")


def test_the_same_is_refused_where_gradients_are_ruled_out() -> None:
    """inference_mode leaves out what splits operations into simpler ones."""
    layers = nn.Linear(3, 2), nn.Linear(3, 2).to(DEVICE)
    with torch.inference_mode():
        moved = torch.ones(1, 3).to(DEVICE)
        assert isinstance(moved, OnDevice) and type(moved.cpu()) is Tensor
        assert layers[1](moved).shape == (1, 2)
        with pytest.raises(RuntimeError, match="the CPU"):
            layers[0](moved)
        with pytest.raises(TypeError, match="cpu"):
            moved.numpy()


def test_torch_is_as_before_afterwards() -> None:
    outside = torch.tensor, torch.as_tensor
    with pretend_device():
        assert torch.tensor is not outside[0]
    assert (torch.tensor, torch.as_tensor) == outside
