"""The upsampling's last step in the fast version: quarters of coarse pixels to the filtered, activated fine picture.

Pictures are [H, W, C], and the gain of the activation is already in the weights.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .network import SLOPE, low_pass

COMPILED = (torch.float32, torch.float64)  # what the CPU kernels compute in


def enlarge(quarters: Tensor, near: Tensor, bias: Tensor, rows: slice, clamp: float, blur: bool) -> Tensor:
    """Activated fine rows [2N, 2W, C] of the N coarse `rows`, from quarters [H, W, 2, 2C] and near [H, W, K].

    The last C channels of `near` are what all quarters of a pixel share.
    """
    if blur and quarters.device.type == "cpu" and quarters.dtype in COMPILED:
        return _Enlarge.apply(quarters, near, bias, rows, clamp)
    height, width, channels = *near.shape[:2], len(bias)
    shared = near[:, :, None, None, -channels:]
    fine = (quarters.unflatten(3, (2, channels)) + shared).transpose(1, 2)  # [H, 2, W, 2, C]
    fine = fine.reshape(2 * height, 2 * width, channels)
    if blur:
        kernel = low_pass(fine.dtype).to(fine).expand(channels, 1, 4, 4)
        padded = F.pad(fine.permute(2, 0, 1)[None], (2, 1, 2, 1))
        fine = F.conv2d(padded, kernel, groups=channels)[0].permute(1, 2, 0)
    return activate(fine[2 * rows.start : 2 * rows.stop] + bias, clamp)


def activate(x: Tensor, clamp: float) -> Tensor:
    """Leaky ReLU and clamp, in place: nothing else may need `x`."""
    if x.requires_grad:
        return _Activate.apply(x, clamp)
    return F.leaky_relu_(x, SLOPE).clamp_(-clamp, clamp)


def enlarge_rgb(x: Tensor) -> Tensor:
    """[1, 3, H, W] -> [1, 3, 2H, 2W]: the filter over zeros between pixels is bilinear, with zeros outside."""
    return F.interpolate(F.pad(x, (1, 1, 1, 1)), scale_factor=2, mode="bilinear")[:, :, 2:-2, 2:-2]


class _Enlarge(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, quarters: Tensor, near: Tensor, bias: Tensor, rows: slice, clamp: float) -> Tensor:
        from . import kernels

        out = near.new_empty(2 * (rows.stop - rows.start), 2 * near.shape[1], len(bias))
        arrays = (t.detach().contiguous().numpy() for t in (quarters, near, bias))
        kernels.filter_rows(*arrays, out.numpy(), rows.start, SLOPE, clamp)  # type: ignore[call-arg]
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(out)
            ctx.clamp, ctx.near_shape, ctx.first = clamp, near.shape, rows.start
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        from . import kernels

        (out,) = ctx.saved_tensors
        (height, width), channels = ctx.near_shape[:2], out.shape[2]
        outside = (0, 0, 0, 0, 2 * ctx.first, 2 * (height - ctx.first) - len(out))  # rows that nobody asked for
        out, grad = (F.pad(each, outside) if any(outside) else each for each in (out, grad))
        quarters = out.new_empty(height, width, 2, 2 * channels)
        near, bias = out.new_empty(ctx.near_shape), out.new_empty(height, channels)
        arrays = (t.detach().numpy() for t in (grad.contiguous(), out, quarters, near, bias))
        kernels.filter_adjoint(*arrays, SLOPE, ctx.clamp)  # type: ignore[call-arg]
        return quarters, near, bias.sum(0), None, None


class _Activate(torch.autograd.Function):
    """In place, remembering the result only, whose sign and size tell what the gradient needs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, clamp: float) -> Tensor:
        ctx.mark_dirty(x)
        F.leaky_relu_(x, SLOPE).clamp_(-clamp, clamp)
        ctx.save_for_backward(x)
        ctx.clamp = clamp
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (out,) = ctx.saved_tensors
        grad = torch.ops.aten.leaky_relu_backward(grad, out, SLOPE, True)
        return torch.ops.aten.hardtanh_backward(grad, out, -ctx.clamp, ctx.clamp), None
