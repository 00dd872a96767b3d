"""The head model: MakeHuman's CC0 head in head space, with identity directions, 52 ARKit units and an anatomy.

`scripts/build_head_model.py` makes the data file. Everything is linear but the eyeballs, which turn, so vertices are
`neutral + identity . coefficients + expression . units` and then the eyes. For animation use `avatar.AvatarHead`, which
bakes one person and keeps lips and lids honest.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from elocute.head.eyes import ball_centre, look_angles, turn_eyeball
from elocute.head.seams import Seam
from elocute.values import ARKIT_NAMES

DATA_FILE = Path(__file__).parent / "data" / "head_model.safetensors"
SIDES = ("left", "right")


@dataclass(frozen=True)
class SparseRows:
    """K directions over V vertices, kept as the vertices that move: row k is `vertex[start[k]:start[k+1]]`."""

    start: np.ndarray
    vertex: np.ndarray
    value: np.ndarray
    vertices: int

    def dense(self) -> np.ndarray:
        """float32 [K, V, ...]."""
        count = len(self.start) - 1
        full = np.zeros((count, self.vertices, *self.value.shape[1:]), np.float32)
        full[np.repeat(np.arange(count), np.diff(self.start)), self.vertex] = self.value
        return full


@dataclass(frozen=True)
class HeadModel:
    """Shapes: V vertices, F triangles, I identity directions, S seam vertices.

    `base` [V, 3] metres, the average head with lips closed; `faces` [F, 3], counter-clockwise seen from outside;
    `vertex_part` [V] and `face_part` [F] index `parts`; `mirror` [V] is each vertex's twin on the other side;
    `uv` [V, 2]: MakeHuman's texture coordinates on skin and tongue; on teeth the place along the row of 14, and from
    the gum in front (0) over the edge (0.6) to the gum behind (1); on eyeballs the view from the front;
    `regions` name -> weight [V] in 0..1; `landmark_faces` [478] and `landmark_weights` [478, 3] place MediaPipe's
    landmarks; `seams`: lips, lids_left, lids_right.
    """

    base: np.ndarray
    faces: np.ndarray
    vertex_part: np.ndarray
    face_part: np.ndarray
    parts: tuple[str, ...]
    mirror: np.ndarray
    uv: np.ndarray
    regions: dict[str, np.ndarray]
    identity_names: tuple[str, ...]
    identity_rows: SparseRows
    expression_rows: SparseRows
    landmark_faces: np.ndarray
    landmark_weights: np.ndarray
    seams: dict[str, Seam]

    @cached_property
    def identity(self) -> np.ndarray:
        """Displacements [I, V, 3] of the identity directions, metres."""
        return self.identity_rows.dense()

    @cached_property
    def expression(self) -> np.ndarray:
        """Displacements [52, V, 3] of the ARKit units, metres. eyeLook units move lids here, eyeballs at run time."""
        return self.expression_rows.dense()

    def part(self, name: str) -> np.ndarray:
        """Vertices of a part, ascending. An eyeball's first vertex is the pupil's pole, its last the opposite one."""
        return np.flatnonzero(self.vertex_part == self.parts.index(name))

    def part_faces(self, *names: str) -> np.ndarray:
        """Triangles of the parts, as rows of `faces`."""
        return np.flatnonzero(np.isin(self.face_part, [self.parts.index(n) for n in names]))

    @cached_property
    def eyeballs(self) -> tuple[np.ndarray, np.ndarray]:
        """Vertices of the subject's left and right eyeball."""
        return self.part("eye_left"), self.part("eye_right")

    def vertices(
        self, identity: np.ndarray | None, expression: np.ndarray | None, offsets: np.ndarray | None = None
    ) -> np.ndarray:
        """float32 [V, 3] for coefficients [I] and units [52]; `offsets` [V, 3] metres are added before eyes turn."""
        shape = self.base.copy()
        if identity is not None:
            shape += np.tensordot(np.asarray(identity, np.float32), self.identity, 1)
        if offsets is not None:
            shape += offsets.astype(np.float32)
        if expression is not None:
            units = np.asarray(expression, np.float32)
            shape += np.tensordot(units, self.expression, 1)
            for ball, angles in zip(self.eyeballs, look_angles(units), strict=True):
                shape[ball] = turn_eyeball(shape[ball], *angles)
        return shape

    def landmarks(self, vertices: np.ndarray) -> np.ndarray:
        """The 478 landmarks [478, 3] on vertices [V, 3]."""
        corners = vertices[self.faces[self.landmark_faces]]
        return (corners * self.landmark_weights[..., None].astype(vertices.dtype)).sum(1)

    def eye_centres(self, vertices: np.ndarray) -> np.ndarray:
        """Centres [2, 3] of the left and right eyeball."""
        return np.stack([ball_centre(vertices[ball]) for ball in self.eyeballs])


@lru_cache(maxsize=1)
def load_head_model() -> HeadModel:
    """The head model that ships with the engine; loaded once."""
    from safetensors import safe_open

    with safe_open(DATA_FILE, framework="np") as file:
        names = json.loads(file.metadata()["names"])
        data = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    if tuple(names["expression"]) != ARKIT_NAMES:
        raise ValueError(f"{DATA_FILE.name} was built for other expression units; run scripts/build_head_model.py")
    count = len(data["vertices"])

    def rows(name: str) -> SparseRows:
        start, vertex, value = (data[f"{name}.{key}"] for key in ("start", "vertex", "value"))
        return SparseRows(start, vertex, value, count)

    fields = rows("seam_fields").dense()
    seams = {}
    for name in ("lips", "lids_left", "lids_right"):
        upper, lower = data[f"{name}.upper"], data[f"{name}.lower"]
        across = data[f"{name}.lower_of_upper"], data[f"{name}.upper_of_lower"]
        seams[name] = Seam.with_fields(upper, lower, *across, data["seam_movers"], fields)
    return HeadModel(
        base=data["vertices"],
        faces=data["faces"],
        vertex_part=data["vertex_part"],
        face_part=data["face_part"],
        parts=tuple(names["parts"]),
        mirror=data["mirror"],
        uv=data["uv"],
        regions=dict(zip(names["regions"], data["regions"].astype(np.float32), strict=True)),
        identity_names=tuple(names["identity"]),
        identity_rows=rows("identity"),
        expression_rows=rows("expression"),
        landmark_faces=data["landmark_faces"],
        landmark_weights=data["landmark_weights"],
        seams=seams,
    )
