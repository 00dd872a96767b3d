"""The generator's arrays as modules, under the official names, so that a state dict goes in and out unchanged."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import BadInput
from .checks import check_shape
from .config import Config

GAIN = math.sqrt(2)  # keeps the variance through a leaky ReLU (StyleGAN2)
SLOPE = 0.2
MAPPING_RATE = 0.01  # the mapping network's learning rate multiplier, which is part of its arithmetic
FILTER = (1.0, 3.0, 3.0, 1.0)  # the low-pass filter of every upsampling, in each direction, over 8
IGNORED = ("resample_filter",)  # constants that every layer repeats; checked, not kept


class Layer(nn.Module):
    """One layer's arrays. A modulated one has `affine` (style from w); an upsampling one has `adapter`."""

    affine: Layer | None
    w_avg: Tensor | None

    def __init__(self, arrays: _Arrays, name: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(arrays.take(f"{name}.weight"))
        self.bias = nn.Parameter(arrays.take(f"{name}.bias"))
        self.affine = Layer(arrays, f"{name}.affine") if arrays.has(f"{name}.affine.weight") else None
        up = arrays.has(f"{name}.adapter.0.weight")
        self.adapter = nn.ModuleList([Layer(arrays, f"{name}.adapter.{k}") for k in range(2)]) if up else None
        self.register_buffer("w_avg", arrays.take(f"{name}.w_avg") if arrays.has(f"{name}.w_avg") else None)

    def adapters(self) -> tuple[Layer, Layer]:
        """The two layers of an upsampling layer's adapter."""
        assert self.adapter is not None
        first, second = self.adapter
        return first, second  # type: ignore[return-value]


class Nerf(nn.Module):
    """A NeRF's layers: `fc_in`, `blocks`, then the heads `sigma_out`, `feat_out` and, on the features, `to_rgb`."""

    def __init__(self, arrays: _Arrays, name: str, blocks: int) -> None:
        super().__init__()
        self.fc_in = Layer(arrays, f"{name}.fc_in")
        self.blocks = nn.ModuleList([Layer(arrays, f"{name}.blocks.{k}") for k in range(blocks - 1)])
        self.sigma_out = Layer(arrays, f"{name}.sigma_out")
        self.feat_out = Layer(arrays, f"{name}.feat_out")
        self.to_rgb = Layer(arrays, f"{name}.to_rgb")

    def hidden(self) -> Iterator[Layer]:
        """The layers before the heads."""
        yield self.fc_in
        yield from self.blocks  # type: ignore[misc]


class Block(nn.Module):
    """A 2-D block, which doubles the side: `conv0` with the upsampling, `conv1`, `torgb`."""

    def __init__(self, arrays: _Arrays, name: str) -> None:
        super().__init__()
        self.conv0 = Layer(arrays, f"{name}.conv0")
        self.conv1 = Layer(arrays, f"{name}.conv1")
        self.torgb = Layer(arrays, f"{name}.torgb")


class MappingNetwork(nn.Module):
    """z -> one style w for each use: `fc0` ... and the mean face `w_avg` [W]."""

    w_avg: Tensor

    def __init__(self, arrays: _Arrays, config: Config) -> None:
        super().__init__()
        for k in range(config.mapping_layers):
            self.add_module(f"fc{k}", Layer(arrays, f"mapping.fc{k}"))
        self.register_buffer("w_avg", arrays.take("mapping.w_avg"))
        self.num_ws = config.num_ws

    def layers(self) -> list[Layer]:
        return [module for name, module in self.named_children() if name.startswith("fc")]  # type: ignore[misc]

    def forward(self, z: Tensor, truncation: float = 1.0, cutoff: int | None = None) -> Tensor:
        """z [B, Z] -> ws [B, num_ws, W].

        truncation: 1 leaves w as it is, 0 is the mean face; only the first `cutoff` styles are pulled there, or all.
        Raises BadInput generator_input_wrong.
        """
        check_shape("z", z, (*z.shape[:1], self.layers()[0].weight.shape[1]))
        x = z.to(self.w_avg)
        x = x * torch.rsqrt((x**2).mean(1, keepdim=True) + 1e-8)
        for layer in self.layers():
            scale = MAPPING_RATE / math.sqrt(layer.weight.shape[1])
            x = activate(F.linear(x, layer.weight * scale, layer.bias * MAPPING_RATE))
        ws = x[:, None].repeat(1, self.num_ws, 1)
        if truncation != 1:
            pulled = torch.lerp(self.w_avg.expand_as(ws), ws, truncation)
            ws = pulled if cutoff is None else torch.cat([pulled[:, :cutoff], ws[:, cutoff:]], 1)
        return ws


class Synthesis(nn.Module):
    """NeRF in front, NeRF behind (or None), 2-D blocks `b64` ... by side."""

    alpha: Tensor
    bg_nerf: Nerf | None

    def __init__(self, arrays: _Arrays, config: Config) -> None:
        super().__init__()
        self.register_buffer("alpha", arrays.take("synthesis.alpha"))
        self.fg_nerf = Nerf(arrays, "synthesis.fg_nerf", config.blocks)
        self.bg_nerf = Nerf(arrays, "synthesis.bg_nerf", config.background_blocks) if config.background else None
        for side in config.levels:
            self.add_module(f"b{side}", Block(arrays, f"synthesis.b{side}"))
        self.levels = config.levels

    def upsampler(self) -> list[Block]:
        """The 2-D blocks, coarse to fine."""
        return [getattr(self, f"b{side}") for side in self.levels]


class _Arrays:
    """A state dict that is used up: what is missing, has odd values or is left over is an error."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self.state = dict(state)

    def has(self, name: str) -> bool:
        return name in self.state

    def take(self, name: str) -> Tensor:
        try:
            array = self.state.pop(name)
        except KeyError:
            raise BadInput(
                "generator_arrays_missing", f"the generator has no array {name}. Import the official file again."
            ) from None
        return array.detach().clone() if array.is_floating_point() else array.to(torch.float32)

    def finish(self) -> None:
        for name, array in self.state.items():
            if not name.endswith(IGNORED):
                raise BadInput(
                    "generator_arrays_unknown",
                    f"the generator has an array {name} that its settings give no use. Import the official file again.",
                )
            if array.shape != (4, 4) or not torch.allclose(array.float().cpu(), low_pass(torch.float32), atol=1e-6):
                raise BadInput(
                    "generator_option_unknown",
                    f"the generator's {name} isn't the filter 1, 3, 3, 1. Use one of the released files.",
                )


def build(config: Config, state: Mapping[str, Tensor]) -> tuple[MappingNetwork, Synthesis]:
    """The two networks from the official arrays.

    Raises BadInput generator_arrays_missing, generator_arrays_unknown, generator_arrays_wrong, generator_unfinished.
    """
    arrays = _Arrays(state)
    mapping, synthesis = MappingNetwork(arrays, config), Synthesis(arrays, config)
    arrays.finish()
    if float(synthesis.alpha) != 1:
        raise BadInput(
            "generator_unfinished",
            f"the generator was saved in the middle of its training (alpha {float(synthesis.alpha):g}, not 1). "
            "Use a finished one.",
        )
    _check_shapes(config, mapping, synthesis)
    return mapping, synthesis


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU that keeps the variance."""
    return F.leaky_relu(x, SLOPE) * GAIN


def low_pass(dtype: torch.dtype) -> Tensor:
    """[4, 4], sums to 1."""
    line = torch.tensor(FILTER, dtype=dtype)
    return line[:, None] * line / 64


def _check_shapes(config: Config, mapping: MappingNetwork, synthesis: Synthesis) -> None:
    """Every layer's shape follows from the configuration. Raises BadInput generator_arrays_wrong."""
    w, features, hidden = config.w_dim, config.features, config.hidden
    wanted: list[tuple[str, Layer, tuple[int, ...]]] = []
    for k, layer in enumerate(mapping.layers()):
        wanted.append((f"mapping.fc{k}", layer, (w, config.z_dim if k == 0 else w)))
    nerfs = [("fg_nerf", synthesis.fg_nerf, hidden, 6 * config.frequencies, (1, 1))]
    if synthesis.bg_nerf is not None:
        inputs = synthesis.bg_nerf.fc_in.weight.shape[1]
        nerfs.append(("bg_nerf", synthesis.bg_nerf, config.background_hidden, inputs, ()))
    for name, nerf, width, inputs, tail in nerfs:
        for k, layer in enumerate(nerf.hidden()):
            wanted.append((f"{name} layer {k}", layer, (width, inputs if k == 0 else width, *tail)))
        wanted.append((f"{name}.sigma_out", nerf.sigma_out, (1, width, *tail)))
        wanted.append((f"{name}.feat_out", nerf.feat_out, (features, width, *tail)))
        wanted.append((f"{name}.to_rgb", nerf.to_rgb, (3, features, 1, 1)))
    source, kernel = features, (config.kernel, config.kernel)
    for side, block, width in zip(config.levels, synthesis.upsampler(), config.channels, strict=True):
        wanted.append((f"b{side}.conv0", block.conv0, (width, source, *kernel)))
        wanted.append((f"b{side}.conv1", block.conv1, (width, width, *kernel)))
        wanted.append((f"b{side}.torgb", block.torgb, (3, width, 1, 1)))
        if block.conv0.adapter is None:
            raise BadInput("generator_arrays_missing", f"the generator has no array synthesis.b{side}.conv0.adapter.")
        adapter = block.conv0.adapters()
        shuffled = config.upsampling.startswith("pixelshuffle")
        narrow = adapter[0].weight.shape[0]
        wanted.append((f"b{side}.adapter.0", adapter[0], (narrow, width if shuffled else 2 * width, 1, 1)))
        wanted.append((f"b{side}.adapter.1", adapter[1], (4 * width if shuffled else width, narrow, 1, 1)))
        source = width
    for name, layer, shape in wanted:
        found = tuple(layer.weight.shape)
        style = layer.affine is None or tuple(layer.affine.weight.shape) == (shape[1], w)
        if found != shape or tuple(layer.bias.shape) != shape[:1] or not style:
            raise BadInput(
                "generator_arrays_wrong",
                f"the generator's {name} is {list(found)}, not {list(shape)}. Import the official file again.",
            )
