"""The generator in a training snapshot: its constructor's arguments, its tensors, and whether they make a network."""

from __future__ import annotations

from typing import Any

import numpy as np

from elocute.errors import BadInput
from elocute.models.inert import Record, Tensor, numpy_array
from elocute.models.unreadable import Room, Unreadable, damaged

POSITIONS = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")  # of StyleNeRF's constructor
MAX_DEPTH = 32
MAX_ROOM = 2**18  # values, and letters of names, that a walk may come across; the official generator takes 21000


def configuration(network: Record) -> dict[str, Any]:
    """What the generator was made with, by name. Raises Unreadable import_damaged or import_too_large."""
    positional, named = network.state.get("_init_args", ()), network.state.get("_init_kwargs")
    if not isinstance(positional, (tuple, list)) or not isinstance(named, dict) or len(positional) > len(POSITIONS):
        raise damaged("its generator has no configuration")
    made = plain({**dict(zip(POSITIONS, positional, strict=False)), **named})
    assert isinstance(made, dict)
    synthesis = made.get("synthesis_kwargs")
    for options in (made, synthesis if isinstance(synthesis, dict) else {}):
        for name, group in options.items():
            if name.endswith("_kwargs") and group and not isinstance(group, dict):
                raise damaged(f"its generator's {name[:60]} are no group of options")
    return made


def state_dict(module: Record, depth: int = 0, room: Room | None = None) -> dict[str, Tensor]:
    """What torch's `state_dict` gives for a module: parameters, lasting buffers, and those of its children."""
    room = room or Room(MAX_ROOM)
    if depth > MAX_DEPTH:
        raise damaged("networks inside networks")
    parts = [module.state.get(name) or {} for name in ("_parameters", "_buffers", "_modules")]
    passing = module.state.get("_non_persistent_buffers_set") or []
    if not all(isinstance(part, dict) for part in parts) or not isinstance(passing, list):
        raise damaged("its generator is not a network")
    parameters, buffers, children = parts
    lasting = {name: value for name, value in buffers.items() if name not in passing}
    out = {name: value for name, value in {**parameters, **lasting}.items() if value is not None}
    room.take(1 + len(children) + len(parameters) + len(buffers))
    for name, child in children.items():
        if isinstance(child, Record):
            inside = state_dict(child, depth + 1, room)
            room.take(sum(len(str(name)) + len(str(inner)) for inner in inside))
            out |= {f"{name}.{inner}": value for inner, value in inside.items()}
    return out


def plain(value: Any, depth: int = 0, room: Room | None = None) -> Any:
    """A configuration as JSON has it. Raises Unreadable import_damaged for anything else, import_too_large."""
    room = room or Room(MAX_ROOM)
    room.take(1 + len(value) if isinstance(value, str) else 1)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Record) and value.name == "numpy.ndarray":
        array = numpy_array(value)
        room.take(array.size)
        return array.tolist()
    if depth < MAX_DEPTH and isinstance(value, (list, tuple)):
        return [plain(item, depth + 1, room) for item in value]
    if depth < MAX_DEPTH and isinstance(value, dict):
        return {str(plain(key, MAX_DEPTH, room)): plain(item, depth + 1, room) for key, item in value.items()}
    kind = value.name[:80] if isinstance(value, Record) else type(value).__name__
    raise damaged(f"a setting of type {kind}")


def try_out(config: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Make the network once: a file that no run can use is refused now, not after it was taken."""
    import torch

    from elocute.models import load_generator

    try:
        load_generator(config, {name: torch.from_numpy(array) for name, array in arrays.items()})
    except BadInput as error:
        code = "import_unsupported" if error.code == "generator_option_unknown" else "import_damaged"
        raise Unreadable(code, f"can't be used: {error.message.removesuffix('.')}") from None
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
        raise damaged(f"its generator's configuration: {str(error)[:80]}") from None
