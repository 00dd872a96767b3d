"""The upsampling's last step in the fast version: quarters of coarse pixels to the filtered, activated fine picture.

Everything here is channels-last, and the gain of the activation is already in the weights.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .network import SLOPE, low_pass

COMPILED = (torch.float32, torch.float64)  # what the CPU kernels compute in


def enlarge(quarters: Tensor, near: Tensor, bias: Tensor, rows: slice, clamp: float, blur: bool) -> Tensor:
    """quarters [H, W, 2, 2, C] + near [H, W, C] -> activated [1, C, 2N, 2W] for the N coarse `rows`, channels-last."""
    if blur and quarters.device.type == "cpu" and quarters.dtype in COMPILED:
        out = _Enlarge.apply(quarters.flatten(3), near, bias, rows, clamp)
        return out.permute(2, 0, 1)[None]
    height, width, _, _, channels = quarters.shape
    fine = (quarters + near[:, :, None, None]).permute(0, 2, 1, 3, 4).reshape(2 * height, 2 * width, channels)
    x = fine.permute(2, 0, 1)[None]
    if blur:
        kernel = low_pass(x.dtype).to(x).expand(channels, 1, 4, 4)
        x = F.conv2d(F.pad(x, (2, 1, 2, 1)), kernel, groups=channels)
    x = x[:, :, 2 * rows.start : 2 * rows.stop] + bias[:, None, None]
    return activate(x, clamp)


def activate(x: Tensor, clamp: float) -> Tensor:
    """Leaky ReLU and clamp, in place: nothing else may need `x`."""
    return _Activate.apply(x, clamp) if x.requires_grad else F.leaky_relu_(x, SLOPE).clamp_(-clamp, clamp)


def enlarge_rgb(x: Tensor) -> Tensor:
    """[1, 3, H, W] -> [1, 3, 2H, 2W]: the filter over zeros between pixels and outside is bilinear over zeros outside."""
    return F.interpolate(F.pad(x, (1, 1, 1, 1)), scale_factor=2, mode="bilinear")[:, :, 2:-2, 2:-2]


class _Enlarge(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, quarters: Tensor, near: Tensor, bias: Tensor, rows: slice, clamp: float) -> Tensor:
        from . import kernels

        height, width, channels = near.shape
        quarters, near = quarters.contiguous(), near.contiguous()
        out = near.new_empty(2 * (rows.stop - rows.start), 2 * width, channels)
        arrays = (t.detach().numpy() for t in (quarters, near, bias.contiguous(), out))
        kernels.filter_rows(*arrays, rows.start, SLOPE, clamp)
        if any(ctx.needs_input_grad):
            if len(out) != 2 * height:
                raise ValueError("gradients need all rows at once")
            ctx.save_for_backward(out)
            ctx.clamp = clamp
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        from . import kernels

        (out,) = ctx.saved_tensors
        height, width, channels = out.shape[0] // 2, out.shape[1] // 2, out.shape[2]
        quarters = out.new_empty(height, width, 2, 2 * channels)
        near, bias = out.new_empty(height, width, channels), out.new_empty(height, channels)
        arrays = (t.detach().numpy() for t in (grad.contiguous(), out, quarters, near, bias))
        kernels.filter_adjoint(*arrays, SLOPE, ctx.clamp)
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
