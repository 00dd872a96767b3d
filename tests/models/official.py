"""Files that look like the official ones, written with random numbers: right names, right shapes, right containers.

`write_all` makes a whole set; the writers below make one file each.
"""

from __future__ import annotations

import collections
import contextlib
import io
import json
import pickle
import struct
import sys
import tarfile
import types
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file

from elocute.models import layouts

Layout = layouts.Layout
SMALL = {"width": 16, "features": 16, "background": 8, "code": 8, "latent": 64, "channels": 32, "base": 1}
FULL = {"width": 128, "features": 256, "background": 64, "code": 32, "latent": 512, "channels": 1024, "base": 2}
YAML = {**FULL, "base": 1}


# Numbers --------------------------------------------------------------------------------------------------------------
def random_weights(layout: Layout) -> dict[str, np.ndarray]:
    """Seeded by each name, spread so that signals keep their size through a network of rectified layers."""
    out = {}
    for name, shape in layout.items():
        draw = np.random.RandomState(zlib.crc32(name.encode()))
        if name.endswith("num_batches_tracked"):
            out[name] = np.zeros(shape, np.int64)
            continue
        if name.endswith("running_var") or (len(shape) == 1 and not name.endswith(("bias", "running_mean"))):
            value = draw.uniform(0.5, 1.5, shape)
        elif name.endswith(("bias", "running_mean")):
            value = 0.1 * draw.standard_normal(shape)
        else:
            value = draw.standard_normal(shape) * np.sqrt(2 / max(1, np.prod(shape[1:])))
        out[name] = np.asarray(value, np.float32)
    return out


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


# The generator --------------------------------------------------------------------------------------------------------
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


# torch's containers ---------------------------------------------------------------------------------------------------
def tensors(weights: dict[str, np.ndarray]) -> collections.OrderedDict[str, torch.Tensor]:
    state = collections.OrderedDict((name, torch.tensor(value)) for name, value in weights.items())
    state._metadata = collections.OrderedDict()  # type: ignore[attr-defined]
    return state


def write_torch(path: Path, content: Any, container: str = "zip") -> None:
    """`container`: "zip", "legacy" (before 1.6) or "tar" (before 0.1.10; a flat state dictionary)."""
    if container == "tar":
        path.write_bytes(_tar(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=container == "zip")


def _tar(state: dict[str, torch.Tensor]) -> bytes:
    class Reference:
        def __init__(self, key: int) -> None:
            self.key = key

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing: Any) -> Any:
            return str(thing.key) if isinstance(thing, Reference) else None

    def dumps(*values: Any) -> bytes:
        return b"".join(pickle.dumps(value, protocol=2) for value in values)

    storages, views = dumps(len(state)), dumps(len(state))
    for key, tensor in enumerate(state.values()):
        numbers = tensor.contiguous().numpy()
        storages += dumps((key + 1000, "cpu", torch.FloatStorage))
        storages += struct.pack("<q", numbers.size) + numbers.tobytes()
        views += dumps((key, key + 1000, torch.FloatTensor)) + struct.pack("<ii", numbers.ndim, 0)
        steps = [step // 4 for step in numbers.strides]
        views += struct.pack(f"<{2 * numbers.ndim + 1}q", *numbers.shape, *steps, 0)
    storages += dumps([])
    root = io.BytesIO()
    Pickler(root, 2).dump(collections.OrderedDict((name, Reference(key)) for key, name in enumerate(state)))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:", format=tarfile.PAX_FORMAT) as archive:
        for name, content in (("sys_info", dumps({"protocol_version": 1000})), ("pickle", root.getvalue()),
                              ("storages", storages), ("tensors", views)):  # fmt: skip
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


# The other files ------------------------------------------------------------------------------------------------------
def optimiser(weights: dict[str, np.ndarray]) -> dict[str, Any]:
    """An Adam state for the first two parameters, with a schedule beside it."""
    some = [torch.zeros(value.shape) for value in list(weights.values())[:2]]
    state = {i: {"step": 7, "exp_avg": value, "exp_avg_sq": value} for i, value in enumerate(some)}
    return {"state": state, "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.999), "params": [0, 1]}]}


def regressor_weights() -> dict[str, np.ndarray]:
    """Random, with heads so small that faces are in front of the camera and look at it."""
    weights = random_weights(layouts.face_regressor())
    return {n: 1e-4 * v if n.startswith("final_layers") and n.endswith("weight") else v for n, v in weights.items()}


def write_face_regressor(path: Path) -> dict[str, np.ndarray]:
    """epoch_20.pth."""
    weights = regressor_weights()
    schedule = {"milestones": collections.Counter({10: 1}), "last_epoch": 20, "gamma": 0.1}
    write_torch(path, {"net_recon": tensors(weights), "opt_00": optimiser(weights), "sched_00": schedule})
    return weights


def write_sadtalker(path: Path, with_regressor: bool = True) -> dict[str, np.ndarray]:
    """SadTalker_V0.0.2_256.safetensors: two networks that are used, one that is not."""
    speech = random_weights(layouts.speech_expression())
    content = {f"audio2exp.{name}": value for name, value in speech.items()}
    if with_regressor:
        content |= {f"face_3drecon.{name}": value for name, value in regressor_weights().items()}
    save_file({**content, "audio2pose.fc.weight": np.zeros((2, 2), np.float32)}, path)
    return speech


def write_mouth(path: Path) -> dict[str, np.ndarray]:
    """LipaintNet.pt."""
    weights = {name: 0.3 * value for name, value in random_weights(layouts.mouth()).items()}
    write_torch(path, {"epoch": 3, "model_state_dict": tensors(weights), "optimizer_state_dict": optimiser(weights)})
    return weights


def write_segmentation(path: Path) -> dict[str, np.ndarray]:
    """seg.pth."""
    weights = random_weights(layouts.segmentation())
    write_torch(path, tensors(weights))
    return weights


def write_lpips(folder: Path, name: str, container: str = "legacy") -> list[Path]:
    """`name` "alex" or "vgg": the backbone as torchvision has it, with a bit of classifier, and LPIPS's own file."""
    layout = layouts.alexnet() if name == "alex" else layouts.vgg16()
    channels = tuple(kernel[0] for kernel in layouts.ALEX_KERNELS) if name == "alex" else layouts.VGG_CHANNELS
    backbone, own = folder / f"backbone-{name}.pth", folder / f"{name}.pth"
    write_torch(backbone, tensors(random_weights(layout | {"classifier.1.weight": (4, 4)})), container)
    counted = {key: 0.02 * np.abs(value) for key, value in random_weights(layouts.lpips_weights(channels)).items()}
    write_torch(own, tensors(counted), container)
    return [backbone, own]


# The face model -------------------------------------------------------------------------------------------------------
def face_model(rows: int = 24, columns: int = 24, seed: int = 0) -> dict[str, np.ndarray]:
    """A face-like bulge of `rows` x `columns` vertices with the fields, units and 1-based indices of the Basel face."""
    draw = np.random.RandomState(seed)
    v, u = np.meshgrid(np.linspace(1, -1, rows), np.linspace(-1, 1, columns), indexing="ij")
    x, y = 0.8 * u, 1.1 * v
    z = 0.8 * np.sqrt(np.clip(1 - 0.6 * u**2 - 0.5 * v**2, 0.02, None)) + 0.25 * np.exp(-30 * u**2 - 12 * v**2)
    shape = np.stack([x, y, z], -1).reshape(-1, 3)
    count = len(shape)
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).reshape(-1)
    faces = np.concatenate([np.stack([corner, corner + columns, corner + 1], 1),
                            np.stack([corner + 1, corner + columns, corner + columns + 1], 1)]) + 1  # fmt: skip
    ring = np.full((count, 8), len(faces) + 1)
    filled = np.zeros(count, int)
    for number, face in enumerate(faces, 1):
        for vertex in face - 1:
            if filled[vertex] < 8:
                ring[vertex, filled[vertex]] = number
                filled[vertex] += 1

    def waves(number: int, size: float) -> np.ndarray:
        """Smooth displacement fields [3 * count, number]."""
        out = np.empty((count, 3, number))
        for k in range(number):
            a, b, phase = draw.randint(1, 5), draw.randint(1, 5), draw.uniform(0, 6, 3)
            wave = np.cos(a * 1.5 * u.reshape(-1)[:, None] + phase) * np.cos(b * 1.5 * v.reshape(-1)[:, None] + phase)
            out[..., k] = size * wave
        return out.reshape(3 * count, number)

    return {
        "meanshape": shape.reshape(1, -1), "meantex": np.tile([180.0, 140.0, 120.0], count)[None],
        "idBase": waves(80, 0.01).astype(np.float32), "exBase": waves(64, 0.02).astype(np.float32),
        "texBase": waves(80, 2.0).astype(np.float32), "tri": faces.astype(float), "point_buf": ring.astype(float),
        "tri_mask2": faces[::2].astype(float), "keypoints": (_keypoints(shape) + 1)[None].astype(float),
        "frontmask2_idx": (np.arange(0, count, 2) + 1)[:, None].astype(float), "skinmask": np.ones((1, count)),
    }  # fmt: skip


def _keypoints(shape: np.ndarray) -> np.ndarray:
    """Vertices nearest to where the 68 landmarks of a face lie (x to the picture's right, y up)."""
    jaw = [(-np.cos(t) * 0.75, 0.1 - np.sin(t) * 1.0) for t in np.linspace(0, np.pi, 17)]
    brows = [(x, 0.55) for x in (-0.55, -0.45, -0.35, -0.25, -0.15, 0.15, 0.25, 0.35, 0.45, 0.55)]
    bridge = [(0, 0.4), (0, 0.25), (0, 0.1), (0, -0.05)]
    nose = [*bridge, (-0.15, -0.15), (-0.08, -0.18), (0, -0.2), (0.08, -0.18), (0.15, -0.15)]
    eyes = [(c + 0.12 * np.cos(t), 0.35 + 0.05 * np.sin(t)) for c in (-0.33, 0.33)
            for t in np.linspace(np.pi, -np.pi, 6, endpoint=False)]  # fmt: skip
    lips = [(0.28 * np.cos(t), -0.5 + 0.12 * np.sin(t)) for t in np.linspace(np.pi, -np.pi, 12, endpoint=False)]
    inner = [(0.2 * np.cos(t), -0.5 + 0.05 * np.sin(t)) for t in np.linspace(np.pi, -np.pi, 8, endpoint=False)]
    points = np.array([*jaw, *brows, *nose, *eyes, *lips, *inner])
    return np.linalg.norm(shape[None, :, :2] - points[:, None], axis=2).argmin(1)


def write_face_model(path: Path, compressed: bool = False, **changed: np.ndarray) -> dict[str, np.ndarray]:
    """BFM_model_front.mat."""
    from scipy.io import savemat

    content = {**face_model(), **changed}
    savemat(path, content, do_compression=compressed)
    return content


def write_face_parts(folder: Path, spare: int = 24) -> tuple[list[Path], dict[str, np.ndarray]]:
    """The six files that BFM_model_front.mat is made from, and what has to come of them. `spare` more vertices are in
    the expressions, twice as many in the scans; `matlab.EXPRESSION_VERTICES` has to be told how many that makes."""
    from scipy.io import savemat

    model, draw = face_model(), np.random.RandomState(1)
    count = model["meanshape"].size // 3
    middle, most = count + spare, count + 2 * spare
    trim, front = draw.permutation(most)[:middle], draw.permutation(middle)[:count]

    def spread(values: np.ndarray, rows: np.ndarray, total: int) -> np.ndarray:
        """Values [3 count, K] at their rows among `total` vertices; other rows are noise."""
        out = draw.standard_normal((total, 3, values.shape[1]))
        out[rows] = values.reshape(count, 3, -1)
        return out.reshape(3 * total, -1)

    def components(values: np.ndarray, rows: np.ndarray, total: int, kept: int) -> tuple[np.ndarray, np.ndarray]:
        """Unscaled components with `kept` of them in all, and their deviations."""
        deviations = draw.uniform(1, 5, (kept, 1))
        basis = spread(values, rows, total)
        more = draw.standard_normal((len(basis), kept - basis.shape[1]))
        return np.concatenate([basis, more], 1) / deviations.T, deviations

    scans = trim[front]
    shape_pc, shape_ev = components(model["idBase"] * 1e5, scans, most, 199)
    tex_pc, tex_ev = components(model["texBase"], scans, most, 199)
    exp_pc, exp_ev = components(model["exBase"] * 1e5, front, middle, 79)
    savemat(folder / "01_MorphableModel.mat", {
        "shapePC": shape_pc, "shapeEV": shape_ev, "shapeMU": spread(model["meanshape"].T * 1e5, scans, most),
        "texPC": tex_pc, "texEV": tex_ev, "texMU": spread(model["meantex"].T, scans, most), "tl": np.zeros((3, 3)),
    }, do_compression=True)  # fmt: skip
    binary = np.array([79], "<i4").tobytes() + np.zeros(3 * middle, "<f4").tobytes() + exp_pc.T.astype("<f4").tobytes()
    (folder / "Exp_Pca.bin").write_bytes(binary)
    np.savetxt(folder / "std_exp.txt", exp_ev.T)
    savemat(folder / "BFM_front_idx.mat", {"idx": front[:, None] + 1})
    savemat(folder / "BFM_exp_idx.mat", {"trimIndex": trim[:, None] + 1})
    info = ("tri", "point_buf", "tri_mask2", "keypoints", "frontmask2_idx", "skinmask")
    savemat(folder / "facemodel_info.mat", {name: model[name] for name in info})
    names = ("01_MorphableModel.mat", "Exp_Pca.bin", "std_exp.txt", "BFM_front_idx.mat", "BFM_exp_idx.mat")
    return [*(folder / name for name in names), folder / "facemodel_info.mat"], model


def write_all(folder: Path, arguments: dict[str, Any], lpips: bool = False) -> list[Path]:
    """One file for every role, in `folder`; returns them."""
    folder.mkdir(parents=True, exist_ok=True)
    write_generator(folder / "ffhq.pkl", arguments)
    write_face_regressor(folder / "epoch_20.pth")
    write_face_model(folder / "BFM_model_front.mat")
    write_sadtalker(folder / "SadTalker_V0.0.2_256.safetensors", with_regressor=False)
    write_mouth(folder / "LipaintNet.pt")
    write_segmentation(folder / "seg.pth")
    more = [path for name in ("alex", "vgg") for path in write_lpips(folder, name)] if lpips else []
    names = ("ffhq.pkl", "epoch_20.pth", "BFM_model_front.mat", "LipaintNet.pt", "seg.pth")
    return [*(folder / name for name in names), folder / "SadTalker_V0.0.2_256.safetensors", *more]
