"""Generators that look like the official one: arguments, names and shapes, and pickles as the training code's."""

from __future__ import annotations

import collections
import contextlib
import json
import pickle
import sys
import types
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from elocute.models import layouts

Layout = layouts.Layout
SMALL = {"width": 16, "features": 16, "background": 8, "code": 8, "latent": 64, "channels": 32, "base": 1}
FULL = {"width": 128, "features": 256, "background": 64, "code": 32, "latent": 512, "channels": 1024, "base": 2}
YAML = {**FULL, "base": 1}


def generator_weights(layout: Layout) -> dict[str, np.ndarray]:
    """As a new StyleNeRF draws them: unit normal weights that the layers scale themselves, styles around one."""
    out = {}
    for name, shape in layout.items():
        draw = np.random.RandomState(zlib.crc32(name.encode()))
        if name.endswith(("alpha", "w_avg")) and not shape:
            value = np.ones(shape)
        elif name.endswith("resample_filter"):
            value = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64
        elif name.endswith("affine.bias"):
            value = np.ones(shape)
        elif name.startswith("mapping.fc") and name.endswith("weight"):
            value = draw.standard_normal(shape) * 100  # the mapping network learns a hundred times slower
        elif name.endswith("bias") or name == "mapping.w_avg":
            value = 0.1 * draw.standard_normal(shape)
        elif name.startswith("synthesis.bg_nerf") and len(shape) == 2:
            value = draw.standard_normal(shape) * np.sqrt(2 / shape[1])
        else:
            value = draw.standard_normal(shape)
        out[name] = np.asarray(value, np.float32)
    return out


def generator_arguments(
    resolution: int = 128, mode: str = "pixelshuffle", sizes: dict[str, int] = SMALL, layout: str = "nested",
    rays: int = 32,
) -> dict[str, Any]:
    """Constructor arguments. `layout`: "nested" has a group of camera and of renderer options, "flat" has them among
    the others, "defaults" leaves them to the classes."""
    camera = {
        "range_u": [-0.3, 0.3], "range_v": [1.4157963267948965, 1.7257963267948966], "range_radius": [1.0, 1.0],
        "depth_range": [0.88, 1.12], "fov": 12, "gaussian_camera": True, "angular_camera": True,
        "depth_transform": None, "dists_normalized": False, "bg_start": 0.5,
        "ray_align_corner": mode == "pixelshuffle",
    }  # fmt: skip
    renderer = {"n_bg_samples": 4, "n_ray_samples": 14, "abs_sigma": False, "hierarchical": True,
                "no_background": False}  # fmt: skip
    synthesis: dict[str, Any] = {
        "num_fp16_res": 4, "channel_base": sizes["base"], "channel_max": sizes["channels"], "conv_clamp": 256,
        "kernel_size": 1, "architecture": "skip", "upsample_mode": mode, "z_dim_bg": sizes["code"], "z_dim": 0,
        "resolution_vol": rays, "resolution_start": rays, "rgb_out_dim": sizes["features"], "use_noise": False,
        "module_name": "training.stylenerf.NeRFSynthesisNetwork", "no_bbox": True, "margin": 0,
        "magnitude_ema_beta": 0.999, "progressive": True,
        "foreground_kwargs": {"positional_encoding": "normal", "downscale_p_by": 1, "use_style": "StyleGAN2",
                              "predict_rgb": True, "use_viewdirs": False, "hidden_size": sizes["width"]},
        "background_kwargs": {"positional_encoding": "normal", "hidden_size": sizes["background"], "n_blocks": 4,
                              "downscale_p_by": 1, "skips": [], "inverse_sphere": True, "use_style": "StyleGAN2",
                              "predict_rgb": True, "use_viewdirs": False},
        "upsampler_kwargs": {"channel_base": sizes["base"], "channel_max": sizes["channels"], "no_2d_renderer": False,
                             "no_residual_img": False, "block_reses": None, "shared_rgb_style": False,
                             "upsample_type": "bilinear"},
    }  # fmt: skip
    if layout == "nested":
        synthesis |= {"camera_kwargs": camera, "renderer_kwargs": renderer}
    elif layout == "flat":
        synthesis |= camera | renderer
    latent = sizes["latent"]
    return {"z_dim": latent, "w_dim": latent, "c_dim": 0, "img_resolution": resolution, "img_channels": 3,
            "mapping_kwargs": {"num_layers": 8}, "synthesis_kwargs": synthesis}  # fmt: skip


def generator_layout(arguments: dict[str, Any]) -> Layout:
    """Names and shapes for `generator_arguments`."""
    synthesis = arguments["synthesis_kwargs"]
    foreground, background = synthesis["foreground_kwargs"], synthesis["background_kwargs"]
    shapes: Layout = {
        "synthesis.fg_nerf.fc_in.weight": (foreground["hidden_size"], 60, 1, 1),
        "synthesis.bg_nerf.fc_in.weight": (background["hidden_size"], 80 + synthesis["z_dim_bg"]),
        "synthesis.fg_nerf.feat_out.weight": (synthesis["rgb_out_dim"], foreground["hidden_size"], 1, 1),
        **{f"synthesis.fg_nerf.blocks.{i}.weight": () for i in range(7)},
    }
    size = 2 * synthesis["resolution_start"]
    while size <= arguments["img_resolution"]:
        width = min(32768 * synthesis["channel_base"] // size, synthesis["channel_max"])
        doubled = 2 if synthesis["upsample_mode"] == "nn_cat" else 1
        shapes[f"synthesis.b{size}.conv0.adapter.0.weight"] = (width // 4, doubled * width, 1, 1)
        shapes[f"synthesis.b{size}.conv0.weight"] = (width, 0, 1, 1)
        size *= 2
    return layouts.generator(arguments, shapes)


@contextlib.contextmanager
def training_modules() -> Iterator[types.SimpleNamespace]:
    """The modules of the training code that its pickles name, for as long as something is pickled."""
    persistence, util = types.ModuleType("torch_utils.persistence"), types.ModuleType("dnnlib.util")

    def _reconstruct_persistent_obj(meta: dict[str, Any]) -> Any:
        module: dict[str, Any] = {}
        exec(meta["module_src"], module)  # what the training code does, and an import must not
        return module.get(meta["class_name"])

    class EasyDict(dict):  # type: ignore[type-arg]
        pass

    for owner, thing in ((persistence, _reconstruct_persistent_obj), (util, EasyDict)):
        thing.__module__, thing.__qualname__ = owner.__name__, thing.__name__
        setattr(owner, thing.__name__, thing)
    added = {"torch_utils": types.ModuleType("torch_utils"), "torch_utils.persistence": persistence,
             "dnnlib": types.ModuleType("dnnlib"), "dnnlib.util": util}  # fmt: skip
    before = {name: sys.modules.get(name) for name in added}
    sys.modules.update(added)
    try:
        yield types.SimpleNamespace(reconstruct=_reconstruct_persistent_obj, EasyDict=EasyDict)
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


class Persistent:
    """An object that pickles as the training code's persistent objects do: with its source."""

    def __init__(self, call: Any, name: str, source: str, state: dict[str, Any]) -> None:
        self.call, self.meta = call, {"type": "class", "version": 6, "module_src": source, "class_name": name,
                                      "state": state}  # fmt: skip

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call, (self.meta,)


def _module_state(parameters: Any = (), buffers: Any = (), modules: Any = (), **rest: Any) -> dict[str, Any]:
    """What a torch module keeps in its `__dict__`."""
    ordered = collections.OrderedDict
    return {
        "training": False, "_parameters": ordered(parameters), "_buffers": ordered(buffers),
        "_non_persistent_buffers_set": set(), "_backward_hooks": ordered(), "_is_full_backward_hook": None,
        "_forward_hooks": ordered(), "_modules": ordered(modules), **rest,
    }  # fmt: skip


def network(call: Any, name: str, weights: dict[str, np.ndarray], source: str, **rest: Any) -> Any:
    """Weights by dotted name as nested modules: persistent ones, and torch's own lists and sequences."""
    own = {key: torch.tensor(value) for key, value in weights.items() if "." not in key}
    inner: dict[str, dict[str, np.ndarray]] = {}
    for key, value in weights.items():
        head, dot, tail = key.partition(".")
        if dot:
            inner.setdefault(head, {})[tail] = value
    modules = {head: network(call, head, part, source) for head, part in inner.items()}
    buffers = {key for key in own if key in ("alpha", "w_avg", "resample_filter", "noise_const")}
    state = _module_state(
        [(key, torch.nn.Parameter(value)) for key, value in own.items() if key not in buffers],
        [(key, own[key]) for key in own if key in buffers],
        modules.items(),
        **rest,
    )
    kinds = {"blocks": torch.nn.ModuleList, "adapter": torch.nn.Sequential}
    if name not in kinds:
        return Persistent(call, name, source, state)
    module = kinds[name].__new__(kinds[name])
    module.__dict__.update(state)
    return module


def write_generator(
    path: Path,
    arguments: dict[str, Any],
    weights: dict[str, np.ndarray] | None = None,
    source: str = "class Generator: pass\n",
    protocol: int = 4,
) -> dict[str, np.ndarray]:
    """A training snapshot such as ffhq_1024.pkl; returns the weights of its G_ema."""
    weights = generator_weights(generator_layout(arguments)) if weights is None else weights
    with training_modules() as code:
        made = network(
            code.reconstruct, "Generator", weights, source, z_dim=arguments["z_dim"], _init_args=(),
            _init_kwargs=code.EasyDict(json.loads(json.dumps(arguments), object_hook=code.EasyDict)),
            half=np.float64(0.5), resolutions={64, 128},
        )  # fmt: skip
        snapshot = {"training_set_kwargs": code.EasyDict(path="ffhq"), "G": made, "D": None, "G_ema": made,
                    "augment_pipe": None}  # fmt: skip
        path.write_bytes(pickle.dumps(snapshot, protocol=protocol))
    return weights
