"""The fast generator: for one person, styles and demodulation become plain weights, once; frames only use them.

The same function as `plain`, in fewer operations:

* a modulated, demodulated convolution for a fixed w is a plain one; constants (gains, running means, toRGB's and
  adapters' scales) and linear layers that follow each other are multiplied out beforehand;
* heads of the NeRFs are linear, so they are applied to what a ray sums up instead of to each of its samples;
* upsampling works on quarters of coarse pixels: nothing is computed four times, and the low-pass filter, bias,
  activation and clamp are one pass (`enlarge`);
* the 2-D blocks run strip by strip, so that what one operation writes is still in the cache when the next reads it.

Gradients pass through folding, so inversion uses it too; then a block runs whole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from .config import Config
from .enlarge import activate, enlarge, enlarge_rgb
from .network import GAIN, SLOPE, Block, Nerf, Synthesis
from .plain import modulated, style_of

HALF_FROM = 128  # blocks of this side and above may compute in half precision


@dataclass(frozen=True)
class FoldedNerf:
    """Layers (weight [O, I], bias [O]) before the heads; the density head; the colour head [3 + F, hidden]."""

    layers: tuple[tuple[Tensor, Tensor], ...]
    density_head: tuple[Tensor, Tensor]
    colour_head: tuple[Tensor, Tensor]
    slope: float
    chunk: int = 1 << 14  # points at once

    def density(self, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """Encoded points [B, P, E] -> raw density [B, P, 1] and hidden values [B, P, hidden]."""
        parts = [self._density(part) for part in encoded.split(self.chunk, 1)]
        return torch.cat([raw for raw, _ in parts], 1), torch.cat([hidden for _, hidden in parts], 1)

    def _density(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for weight, bias in self.layers:
            x = F.leaky_relu_(F.linear(x, weight, bias), self.slope)
        return F.linear(x, *self.density_head), x

    def finish(self, summed: Tensor, weight: Tensor) -> Tensor:
        """Hidden values summed along rays [B, R, hidden] with their weights [B, R, 1] -> rgb and features [B, R, 3 + F]."""
        matrix, bias = self.colour_head
        return F.linear(summed, matrix) + weight * bias


def fold_foreground(config: Config, nerf: Nerf, ws: Tensor) -> FoldedNerf:
    """ws [num_ws, W] of one person."""
    layers = []
    for k, layer in enumerate(nerf.hidden()):
        kernel = modulated(layer, style_of(layer, ws[k][None]))[0, :, :, 0, 0]
        layers.append((kernel * GAIN, layer.bias * GAIN))
    heads = []
    for k, head in enumerate((nerf.sigma_out, nerf.feat_out), config.blocks):
        style = style_of(head, ws[k][None]) / math.sqrt(config.hidden)
        heads.append((modulated(head, style, demodulate=False)[0, :, :, 0, 0], head.bias))
    return FoldedNerf(tuple(layers), heads[0], _with_rgb(nerf, *heads[1]), SLOPE)


def fold_background(nerf: Nerf) -> FoldedNerf:
    """The background has no styles; only its heads are folded."""
    layers = tuple((layer.weight, layer.bias) for layer in nerf.hidden())
    density = (nerf.sigma_out.weight, nerf.sigma_out.bias)
    return FoldedNerf(layers, density, _with_rgb(nerf, nerf.feat_out.weight, nerf.feat_out.bias), 0.0)


def _with_rgb(nerf: Nerf, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    rgb = nerf.to_rgb.weight[..., 0, 0] / math.sqrt(len(weight))  # [3, F]
    return torch.cat([rgb @ weight, weight]), torch.cat([rgb @ bias + nerf.to_rgb.bias, bias])


@dataclass(frozen=True)
class FoldedBlock:
    """One 2-D block. Kernels [O, I, k, k]; `inner` are what the adapter's first layer makes of the block's input
    (pixelshuffle: one; nn_cat: of the pixel itself and of its neighbours), `near` the input's own channels."""

    inner: tuple[Tensor, ...]
    inner_bias: Tensor
    near: Tensor
    outer: Tensor
    outer_bias: Tensor
    bias: Tensor
    conv: tuple[Tensor, Tensor]
    rgb: tuple[Tensor, Tensor]
    clamp: float
    blur: bool

    @property
    def local(self) -> bool:
        """Whether all kernels are 1x1."""
        return self.near.shape[-1] == 1

    def run(self, x: Tensor, strip: int | None = None) -> tuple[Tensor, Tensor]:
        """x [1, I, H, W] channels-last -> features [1, O, 2H, 2W] and the block's rgb [1, 3, 2H, 2W].

        strip: coarse rows at once (1x1 kernels only); None is all.
        """
        height = x.shape[2]
        if strip is None or strip >= height or not self.local:
            return self._rows(x, 0, height)
        parts = [self._rows(x, first, min(first + strip, height)) for first in range(0, height, strip)]
        features, rgb = zip(*parts, strict=True)
        return torch.cat(features, 2), torch.cat(rgb, 2)

    def _rows(self, x: Tensor, first: int, last: int) -> tuple[Tensor, Tensor]:
        height, reach = x.shape[2], len(self.inner)  # one row for the filter, one more for neighbours
        start, stop = max(first - reach, 0), min(last + reach, height)
        part = x[:, :, start:stop]
        quarters, cut = self._quarters(part, first - start, stop - last, stop - start)
        near = _last(_convolve(part[:, :, cut.start : cut.stop], self.near))
        rows = slice(first - start - cut.start, last - start - cut.start)
        y = enlarge(quarters, near, self.bias, rows, self.clamp, self.blur)
        y = activate(_convolve(y, *self.conv), self.clamp)
        return y, _convolve(y, *self.rgb).clamp(-self.clamp, self.clamp)

    def _quarters(self, x: Tensor, before: int, after: int, height: int) -> tuple[Tensor, slice]:
        """[N, W, 2, 2, C] of the rows of x that are complete, and which those are."""
        own = _convolve(x, self.inner[0], self.inner_bias)
        if len(self.inner) == 1:
            outer = _last(_convolve(F.leaky_relu_(own, SLOPE), self.outer, self.outer_bias))
            return outer.unflatten(2, (2, 2, -1)), slice(0, height)
        around = F.pad(_convolve(x, self.inner[1]), (1, 1, 1, 1))
        left, right = around[:, :, 1:-1, :-2], around[:, :, 1:-1, 2:]
        up, down = around[:, :, :-2, 1:-1], around[:, :, 2:, 1:-1]
        quarters = torch.stack([left + up, up + right, left + down, right + down], -1)  # [1, C, H, W, 4]
        quarters = F.leaky_relu_(quarters + own[..., None], SLOPE)
        cut = slice(int(before > 1), height - int(after > 1))  # the outermost row lacks a neighbour
        line = quarters[:, :, cut].permute(0, 2, 3, 4, 1).flatten(2, 3).permute(0, 3, 1, 2)  # [1, C, N, 4 W]
        outer = _last(_convolve(line, self.outer, self.outer_bias))
        return outer.unflatten(1, (-1, 2, 2)), cut


def fold_block(config: Config, block: Block, ws: Tensor) -> FoldedBlock:
    """ws [3, W] of one person: for conv0, conv1 and torgb."""
    first, second, rgb = block.conv0, block.conv1, block.torgb
    kernels = []
    for layer, w in ((first, ws[0]), (second, ws[1])):
        kernel = modulated(layer, style_of(layer, w[None]))[0]
        kernels.append(kernel if layer.w_avg is None else kernel * layer.w_avg.rsqrt())
    assert first.adapter is not None
    narrow, wide = first.adapter
    scale = GAIN / math.sqrt(narrow.weight.shape[1])
    channels = len(first.weight)
    parts = (narrow.weight[..., 0, 0] * scale).split(channels, 1)  # of the pixel; of its neighbours
    parts = (parts[0], *(part / 2 for part in parts[1:]))
    outer = wide.weight * (GAIN / math.sqrt(wide.weight.shape[1]))
    outer_bias = wide.bias * GAIN
    if len(parts) == 1:  # channels of a quarter beside each other, not quarters of a channel
        outer = outer.unflatten(0, (-1, 4)).transpose(0, 1).flatten(0, 1)
        outer_bias = outer_bias.unflatten(0, (-1, 4)).transpose(0, 1).flatten()
    style = style_of(rgb, ws[2][None]) / math.sqrt(channels)
    return FoldedBlock(
        inner=tuple(_channels_last(torch.einsum("nc,cikl->nikl", part, kernels[0])) for part in parts),
        inner_bias=narrow.bias * GAIN, near=_channels_last(kernels[0] * GAIN), outer=_channels_last(outer),
        outer_bias=outer_bias, bias=first.bias * GAIN,
        conv=(_channels_last(kernels[1] * GAIN), second.bias * GAIN),
        rgb=(_channels_last(modulated(rgb, style, demodulate=False)[0]), rgb.bias),
        clamp=config.clamp, blur=config.blur,
    )  # fmt: skip


def fold_blocks(config: Config, synthesis: Synthesis, ws: Tensor) -> tuple[FoldedBlock, ...]:
    """ws [num_ws, W] of one person."""
    starts = [config.first_2d + 2 * k for k in range(len(config.channels))]
    return tuple(
        fold_block(config, block, ws[start : start + 3])
        for start, block in zip(starts, synthesis.upsampler(), strict=True)
    )


def upsample(
    blocks: tuple[FoldedBlock, ...], features: Tensor, rgb: Tensor, strip_mb: float | None = None, save: bool = False
) -> Tensor:
    """Features [1, F, S, S] and rgb [1, 3, S, S] -> picture [1, 3, H, W] after all `blocks`.

    strip_mb: about how much a strip's arrays take; save: gradients compute blocks again instead of keeping them.
    """
    x = features.contiguous(memory_format=torch.channels_last)
    for block in blocks:
        x = x.to(block.near.dtype)
        strip = None
        if strip_mb is not None:
            row = 16 * len(block.near) * x.shape[3] * x.element_size()  # quarters, fine features before and after
            strip = max(1, int(strip_mb * 2**20 / row))
        if save:
            x, own = checkpoint(block.run, x, None, use_reentrant=False)
        else:
            x, own = block.run(x, strip)
        rgb = enlarge_rgb(rgb) + own.to(rgb.dtype)
    return rgb


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)


def _last(x: Tensor) -> Tensor:
    """[1, C, H, W] channels-last -> [H, W, C], the same memory."""
    return x[0].permute(1, 2, 0)


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
