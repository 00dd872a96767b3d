"""`elocute models import`: official files in, safetensors and JSON out.

Every file of a command is read and checked before anything is written, so that a command imports all or nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from elocute.errors import BadInput, ElocuteError
from elocute.files import Temporary, check_writable, keep_all, remove_abandoned, write_problem
from elocute.models import layouts, matlab
from elocute.models.official import FORMAT, find_official, imported, official_folder
from elocute.models.recognise import Arrays, Piece, Source, read_file

Progress = Callable[[str], None]

# Parts that only together make a role: kind -> what the file is called.
TOGETHER: dict[str, dict[str, str]] = {
    "face_model": {
        "basel_scans": "01_MorphableModel.mat", "basel_expressions": "Exp_Pca.bin", "basel_deviations": "std_exp.txt",
        "basel_front": "BFM_front_idx.mat", "basel_trim": "BFM_exp_idx.mat", "basel_info": "facemodel_info.mat",
    },
    "lpips_alex": {"alexnet": "alexnet-owt-7be5be79.pth", "alex_channels": "LPIPS's alex.pth"},
    "lpips_vgg": {"vgg16": "vgg16-397923af.pth", "vgg_channels": "LPIPS's vgg.pth"},
}  # fmt: skip


@dataclass(frozen=True)
class Filled:
    """What a command keeps for a role."""

    role: str
    arrays: Arrays
    sources: tuple[Source, ...]
    config: dict[str, Any] = field(default_factory=dict)


def import_files(paths: Sequence[Path], progress: Progress | None = None) -> list[Filled]:
    """Import official files; returns what they filled.

    Raises BadInput import_... for a file that can't be taken (`elocute.models.recognise`), for two files of one role
    (import_twice) or a part without its others (import_incomplete); EnvironmentProblem output_not_writable or
    disk_full. Nothing of the command is kept then.
    """
    say = progress or (lambda line: None)
    check_writable(official_folder())
    pieces: list[Piece] = []
    for path in paths:
        say(f"reading {path.name}")
        pieces += read_file(path)
    roles = _roles(pieces)
    remove_abandoned(official_folder())
    with contextlib.ExitStack() as undo:
        waiting: list[Temporary] = []
        for role in roles:
            say(f"converting {role.role}")
            waiting += _write(role, undo)
        keep_all(waiting)
    return roles


def _roles(pieces: list[Piece]) -> list[Filled]:
    """Pieces as roles. A second choice steps back behind a first one of this command or of an earlier one."""
    first = {piece.kind for piece in pieces if not piece.second_choice}
    pieces = [p for p in pieces if not p.second_choice or (p.kind not in first and not _from_another(p))]
    by_kind: dict[str, Piece] = {}
    for piece in pieces:
        if piece.kind in by_kind and piece.source != by_kind[piece.kind].source:
            names = f"{by_kind[piece.kind].source.file} and {piece.source.file}"
            raise BadInput("import_twice", f"{names} are both for {_title(piece.kind)}: give one of them.")
        by_kind[piece.kind] = piece
    parts = {kind for members in TOGETHER.values() for kind in members}
    roles = [Filled(p.kind, p.arrays, (p.source,), p.config) for kind, p in by_kind.items() if kind not in parts]
    for role, members in TOGETHER.items():
        here = [by_kind[kind] for kind in members if kind in by_kind]
        if not here:
            continue
        missing = [name for kind, name in members.items() if kind not in by_kind]
        if missing:
            what = f"{here[0].source.file} is one part of {role}"
            raise BadInput("import_incomplete", f"{what}: give it together with {', '.join(missing)}.")
        if any(made.role == role for made in roles):
            raise BadInput("import_twice", f"there is more than one {role}: give the whole or its parts.")
        arrays = _COMBINE[role](*(by_kind[kind].arrays for kind in members))
        roles.append(Filled(role, arrays, tuple(piece.source for piece in here)))
    return [_checked_face(role) if role.role == "face_model" else role for role in roles]


def _title(kind: str) -> str:
    return next((members[kind] for members in TOGETHER.values() if kind in members), kind)


def _from_another(piece: Piece) -> bool:
    """Whether the role is filled already, from another kind of file: that was somebody's choice."""
    try:
        return all(source["file"] != piece.source.file for source in imported(piece.kind).note["sources"])
    except (ElocuteError, KeyError, TypeError):
        return False


def _write(role: Filled, undo: contextlib.ExitStack) -> tuple[Temporary, Temporary]:
    """The weights, and the note that goes beside them, under temporary names, removed again unless kept."""
    from safetensors.numpy import save_file

    entry = find_official(role.role)
    weights = Temporary(official_folder() / f"{role.role}.safetensors")
    undo.callback(weights.discard)
    note = Temporary(official_folder() / f"{role.role}.json")
    undo.callback(note.discard)
    try:
        save_file(role.arrays, weights.path)
        with weights.path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        words = {
            "format": FORMAT, "role": role.role, "sha256": digest, "source": entry.source, "licence": entry.licence,
            "sources": [dataclasses.asdict(source) for source in role.sources], "config": role.config,
        }  # fmt: skip
        note.path.write_bytes(json.dumps(words, indent=1, sort_keys=True).encode())
    except OSError as error:
        raise write_problem(weights.target, error) from error
    return weights, note


# Roles out of parts ---------------------------------------------------------------------------------------------------
def _lpips(slices: tuple[tuple[int, ...], ...]) -> Callable[[Arrays, Arrays], Arrays]:
    """Backbone and channel weights under the names of LPIPS's own module."""

    def combine(backbone: Arrays, channels: Arrays) -> Arrays:
        places = {f"features.{place}": f"net.slice{i}.{place}" for i, group in enumerate(slices, 1) for place in group}
        named = {}
        for name, array in backbone.items():
            layer, _, part = name.rpartition(".")
            named[f"{places[layer]}.{part}"] = array
        return named | channels

    return combine


def _basel(
    scans: Arrays, expressions: Arrays, deviations: Arrays, front: Arrays, trim: Arrays, info: Arrays
) -> Arrays:
    from elocute.head.basel_parts import basel_from_parts, read_expression_basis

    try:
        content = expressions["content"].tobytes()
        basis = read_expression_basis(content, deviations["content"], matlab.EXPRESSION_VERTICES)
        return basel_from_parts(scans, basis, front["idx"], trim["trimIndex"], info)
    except (ValueError, IndexError) as error:
        why = f"the face model's parts don't fit together ({error}): fetch them again."
        raise BadInput("import_shapes", why) from None


_COMBINE: dict[str, Callable[..., Arrays]] = {
    "face_model": _basel,
    "lpips_alex": _lpips(layouts.ALEX_SLICES),
    "lpips_vgg": _lpips(layouts.VGG_SLICES),
}


def _checked_face(role: Filled) -> Filled:
    """The face model with every array of the size that the number of its vertices asks for, and indices that exist
    (they count from 1, as MATLAB does)."""
    arrays, named = role.arrays, role.sources[0].file
    vertices, triangles = arrays["meanshape"].size // 3, len(np.atleast_2d(arrays["tri"]))
    shapes: dict[str, tuple[int, ...]] = {
        "meanshape": (3 * vertices,), "meantex": (3 * vertices,), "keypoints": (68,), "skinmask": (vertices,),
        "idBase": (3 * vertices, 80), "exBase": (3 * vertices, 64), "texBase": (3 * vertices, 80),
        "tri": (triangles, 3), "point_buf": (vertices, 8), "tri_mask2": (len(np.atleast_2d(arrays["tri_mask2"])), 3),
    }  # fmt: skip
    for name, shape in shapes.items():
        found = arrays[name].shape
        if len(shape) == 1:  # a row or a column; of points also one to a row
            fits = found in (shape, (1, *shape), (*shape, 1), (vertices, 3)) and arrays[name].size == shape[0]
        else:
            fits = found == shape
        if not fits or not arrays[name].size:
            wanted = "[..., 3]" if name.startswith("tri") else list(shape)  # of triangles there may be any number
            why = f"{named} has {name} of shape {list(found)} and not {wanted}: it is another model."
            raise BadInput("import_shapes", why)
    limits = {"tri": vertices, "tri_mask2": vertices, "point_buf": triangles + 1, "keypoints": vertices,
              "frontmask2_idx": vertices}  # fmt: skip
    out = {}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise BadInput("import_values", f"{named} has numbers in {name} that are not finite: download it again.")
        if name not in limits:
            out[name] = np.array(array, np.result_type(array, np.float32), order="C")
            continue
        if array.size and (array.min() < 1 or array.max() > limits[name]):
            raise BadInput("import_values", f"{named} names vertices in {name} that don't exist: download it again.")
        out[name] = np.array(array, np.int32, order="C")
    return dataclasses.replace(role, arrays=out)
