"""The names and shapes of every tensor that an official file has to hold; what differs is refused on import.

Names are those of the files themselves. A layout maps name -> shape. Sources: the papers' network tables (ResNet: He et
al. 2016; BiSeNet: Yu et al. 2018; LPIPS: Zhang et al. 2018; SadTalker: Zhang et al. 2023; StyleNeRF: Gu et al. 2022)
and the files' own state dictionaries.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Layout = dict[str, tuple[int, ...]]

COEFFICIENTS = (80, 64, 80, 3, 27, 2, 1)  # identity, expression, texture, angles, light, x and y, z: 257 in all
FACE_CLASSES = 16
VGG_SLICES = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))  # convolutions by their place in `features`
VGG_CHANNELS = (64, 128, 256, 512, 512)
ALEX_SLICES = ((0,), (3,), (6,), (8,), (10,))
ALEX_KERNELS = ((64, 3, 11, 11), (192, 64, 5, 5), (384, 192, 3, 3), (256, 384, 3, 3), (256, 256, 3, 3))


def _batch_norm(name: str, channels: int) -> Layout:
    vectors = {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}
    return {**vectors, f"{name}.num_batches_tracked": ()}


def _convolution(name: str, out: int, into: int, kernel: int, bias: bool = False) -> Layout:
    return {f"{name}.weight": (out, into, kernel, kernel)} | ({f"{name}.bias": (out,)} if bias else {})


def _unit(name: str, out: int, into: int, kernel: int) -> Layout:
    """Convolution and batch normalisation, as BiSeNet names them."""
    return _convolution(f"{name}.conv", out, into, kernel) | _batch_norm(f"{name}.bn", out)


def _resnet(name: str, blocks: tuple[int, ...], bottleneck: bool) -> Layout:
    """A residual network without its classifier."""
    kernels = (1, 3, 1) if bottleneck else (3, 3)
    expansion = 4 if bottleneck else 1
    out = _convolution(f"{name}.conv1", 64, 3, 7) | _batch_norm(f"{name}.bn1", 64)
    into = 64
    for stage, count in enumerate(blocks):
        width = 64 * 2**stage
        for block in range(count):
            prefix, channels = f"{name}.layer{stage + 1}.{block}", into
            for i, kernel in enumerate(kernels, 1):
                made = width * (expansion if i == len(kernels) else 1)
                out |= _convolution(f"{prefix}.conv{i}", made, channels, kernel) | _batch_norm(f"{prefix}.bn{i}", made)
                channels = made
            if block == 0 and (stage or bottleneck):
                out |= _convolution(f"{prefix}.downsample.0", channels, into, 1)
                out |= _batch_norm(f"{prefix}.downsample.1", channels)
            into = channels
    return out


def face_regressor() -> Layout:
    """Deep3DFaceRecon: ResNet-50 and seven linear heads."""
    out = _resnet("backbone", (3, 4, 6, 3), bottleneck=True)
    for i, count in enumerate(COEFFICIENTS):
        out |= _convolution(f"final_layers.{i}", count, 2048, 1, bias=True)
    return out


def segmentation() -> Layout:
    """BiSeNet with ResNet-18."""
    out = _resnet("cp.resnet", (2, 2, 2, 2), bottleneck=False)
    for name, into in (("arm16", 256), ("arm32", 512)):
        out |= _unit(f"cp.{name}.conv", 128, into, 3)
        out |= _convolution(f"cp.{name}.conv_atten", 128, 128, 1) | _batch_norm(f"cp.{name}.bn_atten", 128)
    out |= _unit("cp.conv_head32", 128, 128, 3) | _unit("cp.conv_head16", 128, 128, 3)
    out |= _unit("cp.conv_avg", 128, 512, 1) | _unit("ffm.convblk", 256, 256, 1)
    out |= _convolution("ffm.conv1", 64, 256, 1) | _convolution("ffm.conv2", 256, 64, 1)
    for name, into, width in (("conv_out", 256, 256), ("conv_out16", 128, 64), ("conv_out32", 128, 64)):
        out |= _unit(f"{name}.conv", width, into, 3) | _convolution(f"{name}.conv_out", FACE_CLASSES, width, 1)
    return out


def speech_expression() -> Layout:
    """SadTalker's audio2exp: 13 convolutions over a mel window, one linear map to 64 coefficients."""
    channels = (32, 32, 32, 64, 64, 64, 128, 128, 128, 256, 256, 512, 512)
    out: Layout = {}
    into = 1
    for i, width in enumerate(channels):
        prefix = f"audio_encoder.{i}.conv_block"
        out |= _convolution(f"{prefix}.0", width, into, 1 if i == 12 else 3, bias=True)
        out |= _batch_norm(f"{prefix}.1", width)
        into = width
    return out | {"mapping1.weight": (64, 512 + 64 + 1), "mapping1.bias": (64,)}


def mouth() -> Layout:
    """LipaintNet: latent and expression in, latent out."""
    widths = (512 + 64, 512, 512, 512, 512)
    out: Layout = {}
    for i in range(4):
        out |= {f"fc{i + 1}.weight": (widths[i + 1], widths[i]), f"fc{i + 1}.bias": (widths[i + 1],)}
    return out


def alexnet() -> Layout:
    """The convolutions of AlexNet under torchvision's names."""
    out: Layout = {}
    for (place,), kernel in zip(ALEX_SLICES, ALEX_KERNELS, strict=True):
        out |= {f"features.{place}.weight": kernel, f"features.{place}.bias": kernel[:1]}
    return out


def vgg16() -> Layout:
    """The convolutions of VGG-16 under torchvision's names."""
    out: Layout = {}
    into = 3
    for places, width in zip(VGG_SLICES, VGG_CHANNELS, strict=True):
        for place in places:
            out |= _convolution(f"features.{place}", width, into, 3, bias=True)
            into = width
    return out


def lpips_weights(channels: tuple[int, ...]) -> Layout:
    """LPIPS's own file: how much each channel counts."""
    return {f"lin{i}.model.1.weight": (1, width, 1, 1) for i, width in enumerate(channels)}


MAX_BLOCKS = 64  # of a field or the mapping network; a file could ask for a table of a billion
FILTER = (4, 4)  # the up-sampling filter that StyleGAN-like layers keep as a buffer


def generator(arguments: dict[str, Any], shapes: Layout) -> Layout:
    """StyleNeRF for its constructor's arguments. What they leave to a class's default, the file's own `shapes` tell.

    Buffers that follow from the arguments (`generator_buffers`) are part of it.
    Raises KeyError, TypeError or ValueError when the arguments make no sense.
    """
    synthesis = arguments["synthesis_kwargs"]
    upsampler = {**synthesis, **(synthesis.get("upsampler_kwargs") or {})}
    w = int(arguments["w_dim"])
    out: Layout = {"synthesis.alpha": ()}
    into = _fields(synthesis, w, shapes, out)
    channel_base, channel_max = upsampler.get("channel_base"), int(upsampler.get("channel_max", 1024))
    size = int(synthesis.get("resolution_start", synthesis.get("resolution_vol", 32)))
    while size < int(arguments["img_resolution"]):
        size *= 2
        name = f"synthesis.b{size}"
        found = shapes[f"{name}.conv0.weight"]
        width = found[0] if channel_base is None else min(int(32768 * float(channel_base)) // size, channel_max)
        kernel = int(upsampler.get("kernel_size", found[-1]))
        out[f"{name}.resample_filter"] = FILTER
        for i, channels in enumerate((into, width)):
            layer = f"{name}.conv{i}"
            out |= _modulated(layer, width, channels, kernel, w)
            out |= {f"{layer}.resample_filter": FILTER, f"{layer}.w_avg": ()}
            if upsampler.get("use_noise", f"{layer}.noise_strength" in shapes):
                out |= {f"{layer}.noise_const": (size, size), f"{layer}.noise_strength": ()}
        out |= _adapter(f"{name}.conv0.adapter", width, shapes)
        out |= _modulated(f"{name}.torgb", int(arguments.get("img_channels", 3)), width, 1, w)
        into = width
    return out | _mapping(arguments, w)


def generator_buffers(layout: Layout) -> dict[str, np.ndarray]:
    """What a new generator holds in the buffers that training doesn't need: a file without them means these."""
    blur, one = np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32) / 64, np.ones((), np.float32)
    out = {name: blur for name in layout if name.endswith(".resample_filter")}
    return out | {name: one for name, shape in layout.items() if name.endswith(".w_avg") and not shape}


def _fields(synthesis: dict[str, Any], w: int, shapes: Layout, out: Layout) -> int:
    """Adds the radiance fields, of which the one behind may be left out; returns how many features they give."""
    renderer = synthesis.get("renderer_kwargs") or synthesis
    fields = (("fg_nerf", "foreground_kwargs", 3), ("bg_nerf", "background_kwargs", 4))
    features = int(synthesis.get("rgb_out_dim", shapes["synthesis.fg_nerf.feat_out.weight"][0]))
    for name, group, axes in fields[:1] if renderer.get("no_background") else fields:
        options, field = synthesis.get(group) or {}, f"synthesis.{name}"
        found, into = shapes[f"{field}.fc_in.weight"][:2]
        width = int(options.get("hidden_size", found))
        own = sum(f"{field}.blocks.{i}.weight" in shapes for i in range(MAX_BLOCKS))
        depth = int(options.get("n_blocks", own + 1))
        if depth > MAX_BLOCKS:
            raise ValueError("a possible n_blocks")
        octaves = int(options.get("n_freq_posenc", 10))
        code = int(synthesis.get("z_dim_bg") or into - 2 * axes * octaves) if axes == 4 else 0
        inner = [(f"blocks.{i}", width, width) for i in range(depth - 1)]
        layers = [("fc_in", 2 * axes * octaves + code, width), *inner]
        for layer, inside, made in [*layers, ("sigma_out", width, 1), ("feat_out", width, features)]:
            prefix = f"{field}.{layer}"
            out |= _modulated(prefix, made, inside, 1, w) if axes == 3 else _linear(prefix, made, inside)
        out |= {f"{field}.{layer}.resample_filter": FILTER for layer, _, _ in layers}
        out |= _to_rgb(f"{field}.to_rgb", features)
    return features


def _linear(name: str, made: int, into: int) -> Layout:
    return {f"{name}.weight": (made, into), f"{name}.bias": (made,)}


def _to_rgb(name: str, features: int) -> Layout:
    return _convolution(name, 3, features, 1, bias=True) | {f"{name}.resample_filter": FILTER}


def _modulated(name: str, made: int, into: int, kernel: int, w: int) -> Layout:
    """A convolution whose input channels a latent scales."""
    style = {f"{name}.affine.weight": (into, w), f"{name}.affine.bias": (into,)}
    return _convolution(name, made, into, kernel, bias=True) | style


def _adapter(name: str, width: int, shapes: Layout) -> Layout:
    """The two 1x1 layers that learned up-sampling has: `pixelshuffle` makes four pixels of one, `nn_cat` mixes two.
    Its shapes say which it is."""
    first = shapes.get(f"{name}.0.weight")
    if first is None:
        return {}
    into, made = (2 * width, width) if first[1] == 2 * width else (width, 4 * width)
    out = _convolution(f"{name}.0", width // 4, into, 1, bias=True)
    out |= _convolution(f"{name}.1", made, width // 4, 1, bias=True)
    return out | {f"{name}.0.resample_filter": FILTER, f"{name}.1.resample_filter": FILTER}


def _mapping(arguments: dict[str, Any], w: int) -> Layout:
    options = arguments.get("mapping_kwargs") or {}
    layers = int(options.get("num_layers", 8))
    if layers > MAX_BLOCKS:
        raise ValueError("a possible num_layers")
    middle = int(options.get("layer_features", w) or w)
    widths = [int(arguments["z_dim"]), *[middle] * (layers - 1), w]
    out: Layout = {"mapping.w_avg": (w,)}
    for i in range(layers):
        out |= _linear(f"mapping.fc{i}", widths[i + 1], widths[i])
    return out
