"""The fast generator: for one person, styles and demodulation become plain weights, once; frames only use them.

The same function as `plain`, in fewer operations:

* a modulated, demodulated convolution for a fixed w is a plain one; constants (gains, running means, toRGB's and
  adapters' scales) and linear layers that follow each other are multiplied out beforehand;
* heads of the NeRFs are linear, so they are applied to what a ray sums up instead of to each of its samples;
* upsampling works on quarters of coarse pixels: nothing is computed four times, and the low-pass filter, bias,
  activation and clamp are one pass (`enlarge`);
* the 2-D blocks run strip by strip, so that what one operation writes is still in the cache when the next reads it.

Gradients pass through folding, so inversion uses it too; then a block runs whole, or strip by strip and once more for
the gradients.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ...rendering.device import Pieces
from .config import Config
from .enlarge import activate, enlarge, enlarge_rgb
from .network import GAIN, SLOPE, Block, Nerf, Synthesis
from .plain import modulated, style_of

POINTS = 1 << 14  # of the NeRF that are evaluated at once
TWICE_KB = 64 << 10  # of a strip that gradients compute again: smaller ones save nothing more


@dataclass(frozen=True)
class FoldedNerf:
    """Layers (weight [O, I], bias [O]) before the heads; the density head; the colour head [3 + F, hidden]."""

    layers: tuple[tuple[Tensor, Tensor], ...]
    density_head: tuple[Tensor, Tensor]
    colour_head: tuple[Tensor, Tensor]
    slope: float
    points: Pieces = field(default_factory=lambda: Pieces(POINTS, POINTS >> 4))  # at once

    def density(self, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """Encoded points [B, P, E] -> raw density [B, P, 1] and hidden values [B, P, hidden]."""
        if torch.is_grad_enabled() and self.density_head[0].requires_grad:  # what they need is kept, however small
            parts = self._parts(encoded, POINTS)
        else:
            parts = self.points.run(lambda count: self._parts(encoded, count))
        return torch.cat([raw for raw, _ in parts], 1), torch.cat([hidden for _, hidden in parts], 1)

    def _parts(self, encoded: Tensor, count: int) -> list[tuple[Tensor, Tensor]]:
        return [self._density(part) for part in encoded.split(count, 1)]

    def _density(self, encoded: Tensor) -> tuple[Tensor, Tensor]:
        x = encoded.flatten(0, 1)  # no views to activate in place, whose gradients would be copied
        for weight, bias in self.layers:
            x = F.leaky_relu_(F.linear(x, weight, bias), self.slope)
        raw = F.linear(x, *self.density_head)
        return raw.unflatten(0, encoded.shape[:2]), x.unflatten(0, encoded.shape[:2])

    def finish(self, summed: Tensor, weight: Tensor) -> Tensor:
        """Hidden values summed along rays [B, R, hidden], their weights [B, R, 1] -> rgb, features [B, R, 3 + F]."""
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
    """One 2-D block on [H, W, C] pictures. Matrices [O, I], or kernels [O, I, k, k] if the file's are larger than 1x1.

    `source` gives, channels beside each other, what the adapter's first layer makes of the input (pixelshuffle: one
    part, nn_cat: two, of the pixel itself and of its neighbours) and the input's own O channels; `outer` is the
    adapter's second layer.
    """

    source: tuple[Tensor, Tensor]
    outer: tuple[Tensor, Tensor]
    bias: Tensor
    conv: tuple[Tensor, Tensor]
    rgb: tuple[Tensor, Tensor]
    parts: int
    clamp: float
    blur: bool

    @property
    def dtype(self) -> torch.dtype:
        return self.bias.dtype

    def to(self, dtype: torch.dtype) -> FoldedBlock:
        """The same in another precision. Demodulated weights are small enough for float16."""
        pairs = {n: tuple(t.to(dtype) for t in getattr(self, n)) for n in ("source", "outer", "conv", "rgb")}
        return replace(self, bias=self.bias.to(dtype), **pairs)

    def run(self, x: Tensor, strip_kb: int | None = None, last: bool = False) -> tuple[Tensor, Tensor]:
        """x [H, W, I] -> features [2H, 2W, O] and the block's rgb [2H, 2W, 3].

        strip_kb: about what a strip's arrays take, None is everything at once; last: the features aren't needed.
        """
        parts = self._strips(x, strip_kb)
        if len(parts) == 1:
            return self._rows(x, parts[0])
        (height, width), channels = x.shape[:2], len(self.bias)
        features = x.new_empty(2 * (parts[0].stop if last else height), 2 * width, channels)
        rgb = x.new_empty(2 * height, 2 * width, 3)
        for part in parts:
            fine = slice(2 * part.start, 2 * part.stop)
            target = features[: fine.stop - fine.start] if last else features[fine]
            rgb[fine] = self._rows(x, part, target)[1]
        return features, rgb

    def run_recomputed(self, x: Tensor, strip_kb: int, last: bool = False) -> tuple[Tensor, Tensor]:
        """As `run`; gradients compute each strip again instead of keeping what they need. Of the `last` block, no
        features at all."""

        def strip(x: Tensor, part: slice) -> tuple[Tensor, Tensor]:
            features, rgb = self._rows(x, part)
            return features[:0] if last else features, rgb

        again = partial(checkpoint, strip, x, use_reentrant=False, preserve_rng_state=False)
        done = [again(part) for part in self._strips(x, strip_kb)]
        features, rgb = (torch.cat(rows) for rows in zip(*done, strict=True))
        return features, rgb

    def _strips(self, x: Tensor, strip_kb: int | None) -> list[slice]:
        """Rows of x [H, W, I] to take at once."""
        height, width = x.shape[:2]
        rows = height
        if strip_kb is not None and self.source[0].ndim == 2:
            row = 16 * len(self.bias) * width * x.element_size()  # quarters, fine features before and after conv
            rows = max(1, strip_kb * 1024 // row)
        return [slice(first, min(first + rows, height)) for first in range(0, height, rows)]

    def _rows(self, x: Tensor, rows: slice, target: Tensor | None = None) -> tuple[Tensor, Tensor]:
        height, reach = len(x), self.parts  # one row for the filter, one more for neighbours
        start, stop = max(rows.start - reach, 0), min(rows.stop + reach, height)
        near = _convolve(x[start:stop], *self.source)
        if self.parts == 1:
            inner = near[..., : -len(self.bias)].contiguous()
            quarters = _convolve(F.leaky_relu_(inner, SLOPE), *self.outer).unflatten(2, (2, -1))
        else:
            quarters = self._with_neighbours(near)
        if self.parts > 1:  # the outermost row lacks a neighbour unless the picture ends there
            cut = slice(int(start > 0), len(near) - int(stop < height))
            quarters, near, start = quarters[cut], near[cut], start + cut.start
        own = slice(rows.start - start, rows.stop - start)
        y = enlarge(quarters, near, self.bias, own, self.clamp, self.blur)
        if target is None:
            y = _convolve(y, *self.conv, self.clamp)
        else:
            weight, bias = self.conv
            torch.addmm(bias, y.flatten(0, 1), weight.T, out=target.view(-1, target.shape[2]))
            y = activate(target, self.clamp)
        return y, _convolve(y, *self.rgb).clamp(-self.clamp, self.clamp)

    def _with_neighbours(self, near: Tensor) -> Tensor:
        """[H, W, 2, 2C]: each quarter's two neighbours count with the pixel itself."""
        narrow = (near.shape[2] - len(self.bias)) // 2
        own, around = near[..., :narrow], F.pad(near[..., narrow : 2 * narrow], (0, 0, 1, 1, 1, 1))
        left, right, up, down = around[1:-1, :-2], around[1:-1, 2:], around[:-2, 1:-1], around[2:, 1:-1]
        quarters = torch.stack([left + up, up + right, left + down, right + down], 2)  # [H, W, 4, C / 4]
        quarters = F.leaky_relu_(quarters + own[:, :, None], SLOPE)
        return F.linear(quarters, *self.outer).unflatten(2, (2, 2)).flatten(3)


def fold_block(config: Config, block: Block, ws: Tensor) -> FoldedBlock:
    """ws [3, W] of one person: for conv0, conv1 and torgb."""
    first, second, rgb = block.conv0, block.conv1, block.torgb
    kernels = []
    for layer, w in ((first, ws[0]), (second, ws[1])):
        kernel = modulated(layer, style_of(layer, w[None]))[0]
        kernels.append(kernel if layer.w_avg is None else kernel * layer.w_avg.rsqrt())
    narrow, wide = first.adapters()
    channels = len(first.weight)
    inner = narrow.weight[..., 0, 0] * (GAIN / math.sqrt(narrow.weight.shape[1]))
    parts = inner.split(channels, 1)  # of the pixel; of its neighbours, whose mean is half their sum
    parts = (parts[0], *(part / 2 for part in parts[1:]))
    source = [torch.einsum("nc,cikl->nikl", part, kernels[0]) for part in parts] + [kernels[0] * GAIN]
    bias = torch.cat([narrow.bias * GAIN, narrow.bias.new_zeros(sum(map(len, source)) - len(narrow.bias))])
    outer = wide.weight[..., 0, 0] * (GAIN / math.sqrt(wide.weight.shape[1]))
    outer_bias = wide.bias * GAIN
    if len(parts) == 1:  # channels of a quarter beside each other, not quarters of a channel
        outer = outer.unflatten(0, (-1, 4)).transpose(0, 1).flatten(0, 1)
        outer_bias = outer_bias.unflatten(0, (-1, 4)).transpose(0, 1).flatten()
    style = style_of(rgb, ws[2][None]) / math.sqrt(channels)
    return FoldedBlock(
        source=(_matrix(torch.cat(source)), bias), outer=(outer, outer_bias), bias=first.bias * GAIN,
        conv=(_matrix(kernels[1] * GAIN), second.bias * GAIN),
        rgb=(_matrix(modulated(rgb, style, demodulate=False)[0]), rgb.bias),
        parts=len(parts), clamp=config.clamp, blur=config.blur,
    )  # fmt: skip


def fold_blocks(config: Config, synthesis: Synthesis, ws: Tensor) -> tuple[FoldedBlock, ...]:
    """ws [num_ws, W] of one person."""
    starts = [config.first_2d + 2 * k for k in range(len(config.channels))]
    return tuple(
        fold_block(config, block, ws[start : start + 3])
        for start, block in zip(starts, synthesis.upsampler(), strict=True)
    )


def upsample(
    blocks: tuple[FoldedBlock, ...], features: Tensor, rgb: Tensor, strip_kb: int | None = None, save: bool = False
) -> Tensor:
    """Features [1, F, S, S] and rgb [1, 3, S, S] -> picture [1, 3, H, W] after all `blocks`.

    strip_kb: as in FoldedBlock.run; save: gradients compute blocks again, strip by strip, instead of keeping what they
    need.
    """
    x = features[0].permute(1, 2, 0).contiguous()
    for block in blocks:
        run = partial(block.run_recomputed, strip_kb=TWICE_KB) if save else partial(block.run, strip_kb=strip_kb)
        x, own = run(x.to(block.dtype), last=block is blocks[-1])
        rgb = enlarge_rgb(rgb) + own.to(rgb.dtype).permute(2, 0, 1)
    return rgb


def _convolve(x: Tensor, weight: Tensor, bias: Tensor, clamp: float | None = None) -> Tensor:
    """[H, W, I] -> [H, W, O], activated if `clamp` is given. A matrix is faster than a 1x1 convolution on strips.

    What is activated in place must not be a view: its gradient would be copied twice.
    """
    if weight.ndim == 2:
        y = F.linear(x.flatten(0, 1), weight, bias)
        return (y if clamp is None else activate(y, clamp)).unflatten(0, x.shape[:2])
    y = F.conv2d(x.permute(2, 0, 1)[None], weight, bias, padding=weight.shape[-1] // 2)
    return (y if clamp is None else activate(y, clamp))[0].permute(1, 2, 0)


def _matrix(kernel: Tensor) -> Tensor:
    if kernel.shape[-1] == 1:
        return kernel[..., 0, 0].contiguous()
    return kernel.contiguous(memory_format=torch.channels_last)
