"""The fitted head as a mesh that other programs can animate: `head.json`, `head.bin` and `texture.png` in a folder.

`head.json` says at which byte of `head.bin` (little-endian) each array starts and how many entries it has: `vertices`
float32 [V, 3] in the head object's axes (`spaces`), metres, of the resting face to which a shot's curves are added;
`triangles` int32 [F, 3], counter-clockwise from outside; `uv` float32 [V, 2], v up: where `texture.png`, the portrait
as the field shows it, has each vertex; `colours` float32 [V, 4] sRGB, for what the portrait doesn't show (the back of
the head), with the texture's share as alpha: colour = alpha * texture + (1 - alpha) * colours; `materials` int32 [F]
with their `names`; `shape_keys`: float32 [V, 3] for each of the 52 ARKit names, what its value 1 adds. `camera` is the
portrait's own, as a pose file takes it: the fit's, or that of other models, for which the mesh is brought to where
their camera shows it as the fit's does (`Staging`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .drive import add_to_face, resting_face
from .files import write_all
from .finishing.frames import encode_png
from .generators.headfield import HeadField
from .head.avatar import AvatarHead
from .head.eyes import look_angles, turn_eyeball
from .rendering.kernels import SHADOW
from .rendering.shells import project
from .shooting import Shooting
from .spaces import JOINT, placement_of, to_object
from .values import ARKIT_NAMES, Camera, Placements

FORMAT = "elocute-head-1"
MATERIALS = ("skin", "eye", "teeth", "tongue", "mouth")
MATERIAL_OF_PART = {
    "skin": "skin", "eye_socket": "skin", "eye_left": "eye", "eye_right": "eye", "teeth_upper": "teeth",
    "teeth_lower": "teeth", "tongue": "tongue", "mouth_cavity": "mouth",
}  # fmt: skip
FACING = (0.05, 0.3)  # cosine to the camera from which the texture shows, and wholly: it smears along the outline


@dataclass(frozen=True)
class Staging:
    """A mesh before another camera than the fit's: a vertex v [3] of the head object goes to `linear` [3, 3] @ v +
    `offset` [3], metres, and `own` (one frame) is where that head object is before the camera."""

    linear: np.ndarray
    offset: np.ndarray
    own: Placements


def write_head(
    field: HeadField, folder: Path, device: str, memory_mb: int, staging: Staging | None = None
) -> dict[str, Any]:
    """Write the three files, all or none, head.json last: without it one would count as somebody else's.
    Returns what head.json says.

    Raises EnvironmentProblem output_not_writable or disk_full.
    """
    head = field.motion.head
    assert isinstance(head, AvatarHead)
    model = head.model
    rest = resting_face(field.fit.expression)
    parts = [MATERIALS.index(MATERIAL_OF_PART[part]) for part in model.parts]
    uv, colours = _looks(field)
    staging = staging or Staging(np.eye(3), np.zeros(3), placement_of(field.fit.camera))
    data = bytearray()

    def put(values: np.ndarray, kind: str) -> dict[str, int]:
        entry = {"offset": len(data), "count": len(values)}
        data.extend(np.ascontiguousarray(values, kind).tobytes())
        return entry

    about: dict[str, Any] = {
        "format": FORMAT,
        "counts": {"vertices": len(head.neutral), "triangles": len(model.faces), "shape_keys": len(ARKIT_NAMES)},
        "vertices": put(to_object(head.vertices(rest)) @ staging.linear.T + staging.offset, "<f4"),
        "triangles": put(model.faces, "<i4"),
        "uv": put(uv, "<f4"),
        "colours": put(colours, "<f4"),
        "materials": {**put(np.array(parts)[model.face_part], "<i4"), "names": list(MATERIALS)},
        "shape_keys": {
            name: put(shape @ staging.linear.T, "<f4")
            for name, shape in zip(ARKIT_NAMES, _shape_keys(head, rest), strict=True)
        },
        "camera": _camera(staging.own, field.fit.camera),
    }
    texture = Shooting(field, field.background.shape[0], "keep", device, memory_mb).frame(
        field.fit.expression, np.zeros(3)
    )
    text = json.dumps(about, indent=1).encode() + b"\n"
    contents = {"head.bin": bytes(data), "texture.png": encode_png(texture), "head.json": text}
    write_all({folder / name: content for name, content in contents.items()})
    return about


def _shape_keys(head: AvatarHead, rest: np.ndarray) -> np.ndarray:
    """float32 [52, V, 3] in the head object's axes. The units themselves, which the renderer adds up too, and the
    eyeballs' turns; a blink shuts lids that are half shut already by the rest."""
    values = add_to_face(rest, np.eye(len(ARKIT_NAMES), dtype=np.float32))  # [52, 52]
    added = np.diag(values) - rest
    shifts = added[:, None, None] * head.units
    resting = head.neutral + np.tensordot(rest, head.units, 1)
    for shift, now in zip(shifts, values, strict=True):
        turns = zip(head.model.eyeballs, look_angles(rest), look_angles(now), strict=True)
        for ball, before, after in turns:
            if before != after:
                shift[ball] += turn_eyeball(resting[ball], *after) - turn_eyeball(resting[ball], *before)
    return to_object(shifts + JOINT)


def _looks(field: HeadField) -> tuple[np.ndarray, np.ndarray]:
    """uv [V, 2] where the portrait shows each vertex, 0..1, v up, and colours [V, 4] to mix with it."""
    motion, shells = field.motion, field.shells
    points = motion.rest_head
    count, side = len(points), shells.shadow.shape[0]
    xy = project(points, shells.focal, shells.cx, shells.cy)[:, :2] / side
    away = points / np.linalg.norm(points, axis=1, keepdims=True)
    facing = -(shells.normal[:count] * away).sum(1)
    pixel = (xy * side).astype(int).clip(0, side - 1)
    front = points[:, 2] < shells.shadow[pixel[:, 1], pixel[:, 0], 0] + SHADOW[1]
    inside = ((xy >= 0) & (xy <= 1)).all(1)
    share = np.interp(facing, FACING, (0, 1)) * front * inside * shells.seen[:count]
    return np.stack([xy[:, 0], 1 - xy[:, 1]], 1), np.concatenate([shells.fill[:count], share[:, None]], 1)


def _camera(own: Placements, camera: Camera) -> dict[str, Any]:
    assert own.fov_y is not None and own.shift is not None
    return {
        "head_to_camera": own.head_to_camera[0].ravel().tolist(), "fov_y_deg": float(np.degrees(own.fov_y[0])),
        "shift": own.shift[0].tolist(), "size": [camera.width, camera.height],
    }  # fmt: skip
