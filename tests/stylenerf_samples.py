"""The recorded arrays of the original programs, and a tiny generator for everybody who hasn't got them."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from elocute.generators.stylenerf.camera import look_from
from elocute.generators.stylenerf.deformation import VertexDeformation
from elocute.generators.stylenerf.mixing import FeatureMix

ROOT = Path(__file__).resolve().parents[1]
RECORDED = ROOT.parent / "shared" / "parity"
VARIANTS = ("nncat", "pshuf")


@dataclass(frozen=True)
class Recording:
    """One generator with what the original computed: `io` in float32, `exact` in float64 from the same inputs."""

    generator: Any
    io: dict[str, np.ndarray]
    exact: dict[str, np.ndarray]

    def tensor(self, name: str, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        array = torch.from_numpy(self.io[name])
        return array.to(dtype) if array.is_floating_point() else array.long()


def recorded(variant: str) -> Recording:
    """A recording by name. Skips the test where it isn't."""
    from safetensors.torch import load_file

    from elocute.models import load_generator

    folder = RECORDED / "stylenerf_small"
    if not folder.is_dir():
        pytest.skip("the recorded arrays of the original programs are not here (../shared/parity)")
    config = json.loads((folder / f"{variant}_config.json").read_text())
    generator = load_generator(config, load_file(folder / f"{variant}_weights.safetensors"))
    io, exact = (dict(np.load(folder / f"{variant}_{name}.npz")) for name in ("io", "f64"))
    return Recording(generator, io, exact)


def drawn(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """An array by its name: the rule that stands for files of weights."""
    random = np.random.RandomState(zlib.crc32(name.encode()))
    if name.endswith("bias"):
        array = 0.1 * random.standard_normal(shape)
    elif len(shape) == 1:
        array = random.uniform(0.5, 1.5, shape)
    else:
        array = random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
    return torch.from_numpy(np.asarray(array)).float()


def tiny_state(mode: str, kernel: int = 1, side: int = 32) -> dict[str, torch.Tensor]:
    """The arrays of a generator of 8 x 8 rays and two 2-D blocks (`side` pixels)."""
    w, hidden, features, code, width = 16, 12, 8, 4, (12, 8)
    out: dict[str, torch.Tensor] = {}

    def layer(name: str, *shape: int, style: bool = False, kernels: bool = True) -> None:
        tail = () if not kernels else (kernel, kernel) if ".conv" in name and "adapter" not in name else (1, 1)
        out[f"{name}.weight"] = drawn(f"{name}.weight", (*shape, *tail))
        out[f"{name}.bias"] = drawn(f"{name}.bias", shape[:1])
        if style:
            layer(f"{name}.affine", shape[1], w, kernels=False)
            out[f"{name}.affine.bias"] = out[f"{name}.affine.bias"] + 1

    for k in range(2):
        layer(f"mapping.fc{k}", w, w, kernels=False)
        out[f"mapping.fc{k}.weight"] *= 100  # the mapping network's arrays are a hundred times what they do
    out["mapping.w_avg"] = 0.1 * drawn("mapping.w_avg", (w,))
    out["synthesis.alpha"] = torch.ones(())
    for k in range(3):
        name = "fc_in" if k == 0 else f"blocks.{k - 1}"
        layer(f"synthesis.fg_nerf.{name}", hidden, 60 if k == 0 else hidden, style=True)
    layer("synthesis.fg_nerf.sigma_out", 1, hidden, style=True)
    out["synthesis.fg_nerf.sigma_out.weight"] *= 30
    layer("synthesis.fg_nerf.feat_out", features, hidden, style=True)
    for k in range(2):
        name = "fc_in" if k == 0 else f"blocks.{k - 1}"
        layer(f"synthesis.bg_nerf.{name}", 8, 80 + code if k == 0 else 8, kernels=False)
    layer("synthesis.bg_nerf.sigma_out", 1, 8, kernels=False)
    layer("synthesis.bg_nerf.feat_out", features, 8, kernels=False)
    for part in ("fg", "bg"):
        layer(f"synthesis.{part}_nerf.to_rgb", 3, features)
    source = features
    for k, channels in enumerate(width):
        block = f"synthesis.b{side // 2 << k}"
        layer(f"{block}.conv0", channels, source, style=True)
        layer(f"{block}.conv1", channels, channels, style=True)
        layer(f"{block}.torgb", 3, channels, style=True)
        shuffled = mode.startswith("pixelshuffle")
        layer(f"{block}.conv0.adapter.0", channels // 4, channels if shuffled else 2 * channels)
        layer(f"{block}.conv0.adapter.1", 4 * channels if shuffled else channels, channels // 4)
        for conv in ("conv0", "conv1"):
            out[f"{block}.{conv}.w_avg"] = torch.tensor(1.3)
            line = torch.tensor([1.0, 3, 3, 1])
            out[f"{block}.{conv}.resample_filter"] = line[:, None] * line / 64
        source = channels
    return out


CAMERA = {
    "range_u": [-0.3, 0.3], "range_v": [1.4157963, 1.7257963], "range_radius": [1, 1], "depth_range": [0.88, 1.12],
    "fov": 12, "gaussian_camera": True, "angular_camera": True, "ray_align_corner": False, "bg_start": 0.5,
}  # fmt: skip


def tiny_config(mode: str, **synthesis: Any) -> dict[str, Any]:
    """Constructor arguments for `tiny_state`, in the nested layout."""
    groups = {
        "camera_kwargs": CAMERA, "renderer_kwargs": {"n_ray_samples": 6, "n_bg_samples": 4, "hierarchical": True},
        "background_kwargs": {"inverse_sphere": True}, "foreground_kwargs": {"predict_rgb": True},
        "upsampler_kwargs": {"no_2d_renderer": False}, "upsample_mode": mode, "resolution_vol": 8, "conv_clamp": 256,
    }  # fmt: skip
    return {"z_dim": 16, "w_dim": 16, "img_resolution": 32, "synthesis_kwargs": {**groups, **synthesis}}


def inputs(generator: Any, batch: int = 1, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    """ws, camera, background code."""
    random = torch.Generator().manual_seed(4)
    z, code = (torch.randn(batch, size, generator=random) for size in (16, 4))
    with torch.no_grad():
        ws = generator.mapping(z)
    u, v = torch.linspace(0, 0.2, batch), torch.linspace(1.5, 1.6, batch)
    return [t.to(dtype) for t in (ws, look_from(u, v, torch.ones(batch)), code)]


def mixed_options(generator: Any) -> dict[str, Any]:
    """A deformation and a feature mix that fit the tiny generator."""
    random = torch.Generator().manual_seed(9)
    count = generator.config.rays * generator.config.samples
    nearest = torch.randint(0, 5, (2, count), generator=random)
    back = 0.02 * torch.randn(1, 5, 2, generator=random).double()
    features = torch.randn(1, generator.config.features, 8, 8, generator=random).double()
    mask = torch.rand(1, 1, 128, 128, generator=random).double()
    return {"deform": VertexDeformation(back, *nearest), "mix": FeatureMix(features, mask, 128)}
