"""Files that look like the official ones, written with random numbers: right names, right shapes, right containers.

`write_all` makes a whole set; the writers below, in official_generator.py and in official_face_model.py make one file
each.
"""

from __future__ import annotations

import collections
import io
import pickle
import struct
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from official_face_model import face_model, write_face_model, write_face_parts
from official_generator import (
    FULL,
    SMALL,
    YAML,
    Layout,
    Persistent,
    generator_arguments,
    generator_layout,
    generator_weights,
    network,
    training_modules,
    write_generator,
)
from safetensors.numpy import save_file

from elocute.models import layouts

__all__ = [  # whoever writes files finds every writer here
    "FULL", "SMALL", "YAML", "Persistent", "face_model", "generator_arguments", "generator_layout", "generator_weights",
    "network", "optimiser", "random_weights", "regressor_weights", "tensors", "training_modules", "write_all",
    "write_face_model", "write_face_parts", "write_face_regressor", "write_generator", "write_lpips", "write_mouth",
    "write_sadtalker", "write_segmentation", "write_torch",
]  # fmt: skip


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
