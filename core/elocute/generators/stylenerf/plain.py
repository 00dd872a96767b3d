"""The generator as its authors describe it, one operation after the other, for any batch and dtype.

This is the oracle of the fast version (`folded`) and the cost that it is measured against.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .config import Config
from .mixing import FeatureMix, mix_plainly
from .network import Block, Layer, Nerf, Synthesis, activate, low_pass
from .volume import Deform, Positions, Volume, render_background, render_volume

HALF_FROM = 128  # blocks of this side and above compute in float16 where `half` is asked for


def style_of(layer: Layer, w: Tensor) -> Tensor:
    """w [B, W] -> the layer's style [B, I]."""
    affine = layer.affine
    assert affine is not None
    return F.linear(w, affine.weight / math.sqrt(w.shape[1]), affine.bias)


def modulated(layer: Layer, style: Tensor, demodulate: bool = True) -> Tensor:
    """The layer's kernels for a style: [B, I] -> [B, O, I, k, k] (StyleGAN2, Karras et al. 2020, eq. 1-3)."""
    weight = layer.weight * style[:, None, :, None, None]
    if demodulate:
        weight = weight * torch.rsqrt((weight**2).sum((2, 3, 4), keepdim=True) + 1e-8)
    return weight


def convolve(x: Tensor, kernels: Tensor) -> Tensor:
    """x [B, I, H, W] with every sample's own kernels [B, O, I, k, k]."""
    batch, out, _, size, _ = kernels.shape
    y = F.conv2d(x.flatten(0, 1)[None], kernels.flatten(0, 1), padding=size // 2, groups=batch)
    return y[0].unflatten(0, (batch, out))


class PlainForeground:
    """The style-modulated NeRF: [rgb, features] at every point."""

    def __init__(self, nerf: Nerf, ws: Tensor) -> None:
        self.nerf, self.ws = nerf, ws

    def density(self, encoded: Tensor) -> tuple[Tensor, Tensor]:
        x = encoded
        for k, layer in enumerate(self.nerf.hidden()):
            kernels = modulated(layer, style_of(layer, self.ws[:, k]))[..., 0, 0]
            x = activate(torch.baddbmm(layer.bias, x, kernels.transpose(1, 2)))
        heads = []
        for k, layer in enumerate((self.nerf.sigma_out, self.nerf.feat_out), len(self.nerf.blocks) + 1):
            style = style_of(layer, self.ws[:, k]) / math.sqrt(layer.weight.shape[1])
            kernels = modulated(layer, style, demodulate=False)[..., 0, 0]
            heads.append(torch.baddbmm(layer.bias, x, kernels.transpose(1, 2)))
        return heads[0], torch.cat([rgb_of(self.nerf.to_rgb, heads[1]), heads[1]], -1)

    def finish(self, summed: Tensor, weight: Tensor) -> Tensor:
        return summed


class PlainBackground:
    """The background's NeRF, whose layers have no style: [rgb, features] at every point."""

    def __init__(self, nerf: Nerf) -> None:
        self.nerf = nerf

    def density(self, encoded: Tensor) -> tuple[Tensor, Tensor]:
        x = encoded
        for layer in self.nerf.hidden():
            x = F.linear(x, layer.weight, layer.bias).relu()
        features = F.linear(x, self.nerf.feat_out.weight, self.nerf.feat_out.bias)
        density = F.linear(x, self.nerf.sigma_out.weight, self.nerf.sigma_out.bias)
        return density, torch.cat([rgb_of(self.nerf.to_rgb, features), features], -1)

    def finish(self, summed: Tensor, weight: Tensor) -> Tensor:
        return summed


def rgb_of(layer: Layer, features: Tensor) -> Tensor:
    return F.linear(features, layer.weight[..., 0, 0] / math.sqrt(features.shape[-1]), layer.bias)


def upsample(config: Config, block: Block, features: Tensor, rgb: Tensor, ws: Tensor) -> tuple[Tensor, Tensor]:
    """One 2-D block: features [B, I, H, W], rgb [B, 3, H, W], ws [B, 3, W] -> both at twice the side."""
    x = features
    for k, layer in enumerate((block.conv0, block.conv1)):
        style = style_of(layer, ws[:, k])
        if layer.w_avg is not None:
            x = x * layer.w_avg.rsqrt().to(x.dtype)
        kernels = half_safe(layer, style) if x.dtype == torch.float16 else modulated(layer, style)
        x = convolve(x, kernels.to(x.dtype))
        if k == 0:
            x = enlarge(config, layer, x)
        x = activate(x + layer.bias.to(x.dtype)[:, None, None]).clamp(-config.clamp, config.clamp)
    style = style_of(block.torgb, ws[:, 2]) / math.sqrt(x.shape[1])
    y = convolve(x, modulated(block.torgb, style, demodulate=False).to(x.dtype))
    y = (y + block.torgb.bias.to(x.dtype)[:, None, None]).clamp(-config.clamp, config.clamp)
    return x, enlarge_rgb(rgb) + y.to(rgb.dtype)


def half_safe(layer: Layer, style: Tensor) -> Tensor:
    """Kernels that float16 can hold: weights and styles are divided by their largest first, which cancels out."""
    weight = layer.weight
    size = weight[0].numel()
    scaled = weight / (math.sqrt(size) * weight.abs().amax((1, 2, 3), keepdim=True))
    kernels = scaled * (style / style.abs().amax(1, keepdim=True))[:, None, :, None, None]
    return kernels * torch.rsqrt((kernels**2).sum((2, 3, 4), keepdim=True) + 1e-8)


def enlarge(config: Config, layer: Layer, x: Tensor) -> Tensor:
    """Twice the side: the nearest neighbour plus what the adapter adds, then the low-pass filter."""
    first, second = layer.adapters()
    near = F.interpolate(x, scale_factor=2, mode="nearest")

    def adapt(y: Tensor) -> Tensor:
        y = F.conv2d(y, (first.weight / math.sqrt(y.shape[1])).to(y.dtype), first.bias.to(y.dtype))
        y = activate(y)
        return F.conv2d(y, (second.weight / math.sqrt(y.shape[1])).to(y.dtype), second.bias.to(y.dtype))

    if config.upsampling.startswith("pixelshuffle"):
        x = near + F.pixel_shuffle(adapt(x), 2)
    else:
        x = near + adapt(torch.cat([near, neighbours(x)], 1))
    return filtered(x) if config.blur else x


def neighbours(x: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, C, 2H, 2W]: each quarter of a pixel is the mean of the two neighbours it touches."""
    padded = F.pad(x, (1, 1, 1, 1))
    left, right = padded[:, :, 1:-1, :-2], padded[:, :, 1:-1, 2:]
    up, down = padded[:, :, :-2, 1:-1], padded[:, :, 2:, 1:-1]
    quarters = torch.stack([left + up, up + right, left + down, right + down], 2) / 2  # [B, C, 4, H, W]
    return F.pixel_shuffle(quarters.flatten(1, 2), 2)


def filtered(x: Tensor, gain: float = 1.0) -> Tensor:
    """The low-pass filter 1, 3, 3, 1 over zeros outside, same size."""
    kernel = (gain * low_pass(x.dtype)).to(x).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(F.pad(x, (2, 1, 2, 1)), kernel, groups=x.shape[1])


def enlarge_rgb(x: Tensor) -> Tensor:
    """Twice the side: zeros between pixels, then the low-pass filter with gain 4."""
    spread = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    spread[:, :, ::2, ::2] = x
    return filtered(spread, 4.0)


def render_plainly(
    config: Config,
    synthesis: Synthesis,
    ws: Tensor,
    camera: Tensor,
    code: Tensor,
    *,
    freeze_background: bool = False,
    positions: Positions | None = None,
    deform: Deform | None = None,
    mix: FeatureMix | None = None,
    half: bool = False,
    size: int | None = None,
) -> tuple[Tensor, Volume]:
    """(image [B, 3, H, W], volume) for ws [B, num_ws, W], camera [B, 4, 4] and background code [B, Z].

    half: blocks of side 128 and above compute in float16, as the official program does. size: one of the levels, to
    stop there.
    """
    background = None
    if synthesis.bg_nerf is not None:
        background = render_background(config, camera, PlainBackground(synthesis.bg_nerf), code, freeze_background)
    volume = render_volume(config, camera, PlainForeground(synthesis.fg_nerf, ws), background, positions, deform)
    x, rgb = volume.features, volume.rgb
    if mix is not None:
        x = mix_plainly(x, mix)
    for k, (side, block) in enumerate(zip(config.levels, synthesis.upsampler(), strict=True)):
        first = config.first_2d + 2 * k
        x = x.to(torch.float16 if half and side >= HALF_FROM else ws.dtype)
        x, rgb = upsample(config, block, x, rgb, ws[:, first : first + 3])
        if side == size:
            break
    return rgb, volume
