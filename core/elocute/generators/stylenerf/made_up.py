"""Generators with random arrays in the official files' shapes: for benchmarks and for trying things without the files.

They draw no faces, but cost what the official ones cost and keep their numbers in the same range.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

LAYOUTS = {  # of the released file for 1024 pixels, and of its published training settings
    "released": {"upsample_mode": "pixelshuffle", "channel_base": 2},
    "published": {"upsample_mode": "nn_cat", "channel_base": 1},
}


def official_shapes(upsample_mode: str, channel_base: int, resolution: int = 1024) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a generator's arrays."""
    w, hidden, features, bg = 512, 128, 256, 64
    out: dict[str, tuple[int, ...]] = {"synthesis.alpha": (), "mapping.w_avg": (w,)}

    def layer(name: str, rows: int, columns: int, tail: tuple[int, ...] = (1, 1), style: bool = False) -> None:
        out[f"{name}.weight"], out[f"{name}.bias"] = (rows, columns, *tail), (rows,)
        if style:
            layer(f"{name}.affine", columns, w, ())

    for k in range(8):
        layer(f"mapping.fc{k}", w, w, ())
    for name, columns in [("fc_in", 60), *((f"blocks.{k}", hidden) for k in range(7))]:
        layer(f"synthesis.fg_nerf.{name}", hidden, columns, style=True)
    layer("synthesis.fg_nerf.sigma_out", 1, hidden, style=True)
    layer("synthesis.fg_nerf.feat_out", features, hidden, style=True)
    for name, columns in [("fc_in", 112), *((f"blocks.{k}", bg) for k in range(3))]:
        layer(f"synthesis.bg_nerf.{name}", bg, columns, ())
    layer("synthesis.bg_nerf.sigma_out", 1, bg, ())
    layer("synthesis.bg_nerf.feat_out", features, bg, ())
    for part in ("fg", "bg"):
        layer(f"synthesis.{part}_nerf.to_rgb", 3, features)
    source, side = features, 64
    while side <= resolution:
        block, channels = f"synthesis.b{side}", min(32768 * channel_base // side, 1024)
        layer(f"{block}.conv0", channels, source, style=True)
        layer(f"{block}.conv1", channels, channels, style=True)
        layer(f"{block}.torgb", 3, channels, style=True)
        shuffled = upsample_mode == "pixelshuffle"
        layer(f"{block}.conv0.adapter.0", channels // 4, channels if shuffled else 2 * channels)
        layer(f"{block}.conv0.adapter.1", 4 * channels if shuffled else channels, channels // 4)
        out.update({f"{block}.conv{k}.w_avg": () for k in range(2)})
        source, side = channels, 2 * side
    return out


def made_up(layout: str, resolution: int = 1024, seed: int = 0) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Constructor arguments and arrays of a generator in one of LAYOUTS."""
    random, state = torch.Generator().manual_seed(seed), {}
    for name, shape in official_shapes(**LAYOUTS[layout], resolution=resolution).items():  # type: ignore[arg-type]
        if name.endswith(("alpha", "affine.bias")) or shape == ():
            state[name] = torch.ones(shape)
            continue
        array = torch.randn(shape, generator=random)
        if name.endswith("bias") or name == "mapping.w_avg":
            array = 0.1 * array
        elif name.startswith("mapping."):
            array = 100 * array  # its layers divide by a hundred
        elif ".bg_nerf." in name and "to_rgb" not in name:
            array = array * (2 / shape[1]) ** 0.5  # the one network whose layers don't scale their weights
        state[name] = array
    camera = {
        "range_u": [-0.3, 0.3], "range_v": [1.4157963267948965, 1.7257963267948966], "range_radius": [1.0, 1.0],
        "depth_range": [0.88, 1.12], "fov": 12, "gaussian_camera": True, "angular_camera": True,
        "ray_align_corner": layout == "released", "bg_start": 0.5,
    }  # fmt: skip
    synthesis = {
        "camera_kwargs": camera, "renderer_kwargs": {"n_ray_samples": 14, "n_bg_samples": 4, "hierarchical": True},
        "foreground_kwargs": {"predict_rgb": True}, "background_kwargs": {"inverse_sphere": True},
        "conv_clamp": 256, "resolution_vol": 32, **LAYOUTS[layout],
    }  # fmt: skip
    return {"z_dim": 512, "w_dim": 512, "img_resolution": resolution, "synthesis_kwargs": synthesis}, state
