"""What callers give the generator, refused in one sentence: all raise BadInput generator_input_wrong."""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import BadInput
from .mixing import FeatureMix


def check_shape(name: str, tensor: Tensor, shape: tuple[int, ...] | torch.Size) -> None:
    if tuple(tensor.shape) != tuple(shape):
        raise BadInput("generator_input_wrong", f"{name} has the shape {list(tensor.shape)}, not {list(shape)}.")


def check_batch(name: str, tensor: Tensor) -> None:
    """One picture at least, along the first axis."""
    if not tensor.ndim or not len(tensor):
        raise BadInput("generator_input_wrong", f"{name} has the shape {list(tensor.shape)}, which is for no picture.")


def check_type(name: str, tensor: Tensor, like: Tensor) -> None:
    """Numbers of the generator's own precision: to convert one of them unasked could cost time or digits."""
    if tensor.dtype != like.dtype:
        given, wanted = (str(t.dtype).removeprefix("torch.") for t in (tensor, like))
        raise BadInput(
            "generator_input_wrong", f"{name} is {given} and the generator {wanted}. Convert one of them, with .to()."
        )


def check_count(name: str, count: int, batch: int, one_for_all: bool = True) -> None:
    """One for each picture of a batch, or one for all."""
    if count != batch and not (one_for_all and count == 1):
        raise BadInput("generator_input_wrong", f"{name} is for {count} pictures and not for {batch}.")


def check_mix(other: FeatureMix, shape: tuple[int, int, int]) -> None:
    """Features and mask for feature maps of `shape` [F, S, S]."""
    check_shape("mix.features", other.features, (*other.features.shape[:1], *shape))
    if other.mask is not None:
        check_shape("mix.mask", other.mask, (*other.mask.shape[:1], 1, *2 * other.mask.shape[-1:]))
