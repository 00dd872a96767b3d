"""A second device that isn't there: tensors on DEVICE hold their values on the CPU, but mix with the CPU's no more than
a GPU's do.

Inside `with pretend_device():` whatever asks for DEVICE gets such tensors, and what CUDA refuses is a RuntimeError
(`.numpy()`: TypeError). Autograd works. Not refused: what a device lacks (float64 on MPS, say), and arithmetic stays
the CPU's, so that results can be compared closely. DEVICE is a meta device, for which torch needs no driver, with a
number by which it is told from the meta device itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = "meta:1"
_HERE, _CPU = torch.device(DEVICE), torch.device("cpu")
_COPIES = ("copy_", "_to_copy")
_INDEXING = ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index")
_SCALARS = ("where", "fill_", "fill", "masked_fill", "masked_fill_")  # and what is done number by number


class OnDevice(torch.Tensor):
    """A tensor on DEVICE; `held` has its values."""

    held: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> OnDevice:
        return torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined, no-any-return]
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
            device=_HERE,
        )  # fmt: skip

    def __init__(self, held: torch.Tensor) -> None:
        self.held = held

    def __repr__(self) -> str:  # type: ignore[override]
        return f"OnDevice({self.held})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})

    def numpy(self, *, force: bool = False) -> np.ndarray:
        if not force:
            raise TypeError("can't convert a tensor on the pretended device to numpy. Use Tensor.cpu() first.")
        return self.detach().cpu().numpy()

    def tolist(self) -> Any:
        return self.detach().cpu().tolist()

    def new_tensor(self, data: Any, *, dtype: torch.dtype | None = None, device: Any = None) -> torch.Tensor:
        return torch.tensor(data, dtype=dtype or self.dtype, device=device or _HERE)

    def __getitem__(self, index: Any) -> Any:
        return super().__getitem__(_indices(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(_indices(index), value)


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


@contextmanager
def pretend_device() -> Iterator[str]:
    """DEVICE, as the name of a device that there is in this block."""

    def made_here(make: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def call(data: Any, *, device: Any = None, **more: Any) -> torch.Tensor:  # torch leaves a meta tensor empty
            if device is None or torch.device(device) != _HERE:
                return make(data, device=device, **more)
            return (data if isinstance(data, OnDevice) else make(data, **more)).to(_HERE, more.get("dtype"))

        return call

    with pytest.MonkeyPatch.context() as patch, _Mode():
        for name in ("tensor", "as_tensor"):
            patch.setattr(torch, name, made_here(getattr(torch, name)))
        yield DEVICE


def _run(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """One operation, on the values held, after the checks that a GPU makes."""
    if func.__name__.startswith("to."):  # comes here whole in inference mode, with a device in any place
        with _Mode():
            return func.decompose(*args, **kwargs)
    given = tree_leaves((args, kwargs))
    here = {id(each.held): each for each in given if isinstance(each, OnDevice)}
    device = kwargs.get("device")
    wanted = bool(here) if device is None else device == _HERE
    if wanted and any(isinstance(each, torch.Generator) for each in given):
        raise RuntimeError(f"{func}: a generator of random numbers on the CPU for a tensor on the device")
    if here:
        _refuse_mixed(func, args, kwargs)
    if device == _HERE:
        kwargs = {**kwargs, "device": _CPU}
    held = lambda each: each.held if isinstance(each, OnDevice) else each  # noqa: E731
    out = func(*tree_map(held, args), **tree_map(held, kwargs))

    def put(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        known = here.get(id(value))  # what was written to keeps its place
        if known is not None and known.shape != value.shape:
            raise NotImplementedError(f"{func} gives a tensor another shape in place")
        return known if known is not None else OnDevice(value) if wanted else value

    return tree_map(put, out)


def _refuse_mixed(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Raise where CUDA would: only numbers, indices and what is copied may come from the CPU."""
    name = func.__name__.partition(".")[0]
    if name in _COPIES:
        return
    on_cpu = lambda each: isinstance(each, torch.Tensor) and not isinstance(each, OnDevice)  # noqa: E731
    others = [each for each in tree_leaves((args, kwargs)) if on_cpu(each)]
    numbers = torch.Tag.pointwise in func.tags or name in _SCALARS
    if name in _INDEXING and isinstance(args[0], OnDevice):
        others, numbers = [each for each in args[2:3] if on_cpu(each)], True
    written = [each for each, known in zip(args, func._schema.arguments, strict=False)
               if on_cpu(each) and known.alias_info is not None and known.alias_info.is_write]  # fmt: skip
    if written or any(each.dim() > 0 or not numbers for each in others):
        raise RuntimeError(f"{func}: expected all tensors to be on the same device, found the CPU and the device")


def _indices(index: Any) -> Any:
    """Lists as tensors, which torch would leave empty on a meta device."""
    if isinstance(index, tuple):
        return tuple(_indices(each) for each in index)
    return torch.tensor(index) if isinstance(index, list) else index
