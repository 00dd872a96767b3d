"""A photo studio for the head model: a smooth mesh, soft lights with their shadows, and what the camera sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ..head.projection import project
from ..head.surface import neighbours, vertex_normals
from ..rendering.raster import rasterise
from ..values import Camera
from .strokes import interpolate

ROUNDNESS = 0.75  # of Phong tessellation (Boubekeur & Alexa 2008); 0 keeps the triangles flat
DIRECTIONS = 96  # of light whose shadows are traced
SHADOW_SIDE = 320  # pixels of a shadow map
SHADOW_BIAS = 0.0035  # metres; less gives the mesh's own triangles shadow
SCATTER = (14, 5, 2)  # smoothing steps of red, green and blue light: light travels under the skin, red the farthest


@dataclass(frozen=True)
class Surface:
    """A refined head: points and unit normals [V, 3] in head space, faces [F, 3], part [F] of the head model's parts;
    `parents` [V, vertices before] sparse, rows sum to 1: values of the vertices before refining carried to these."""

    points: np.ndarray
    normals: np.ndarray
    faces: np.ndarray
    part: np.ndarray
    parents: sparse.csr_matrix

    def carry(self, values: np.ndarray) -> np.ndarray:
        """Values [vertices before, ...] on the refined vertices."""
        return self.parents @ values


def refine_surface(points: np.ndarray, faces: np.ndarray, part: np.ndarray) -> Surface:
    """Subdivides each triangle of a mesh [V, 3], [F, 3] into four and rounds it; its own vertices stay in place."""
    points = points.astype(np.float64)
    normals = vertex_normals(points, faces)
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1)
    pairs, place = np.unique(edges, axis=0, return_inverse=True)
    a, b = points[pairs[:, 0]], points[pairs[:, 1]]
    middle = (a + b) / 2
    drop = sum(
        ((middle - end) * n).sum(1)[:, None] * n for end, n in ((a, normals[pairs[:, 0]]), (b, normals[pairs[:, 1]]))
    )
    rows = np.repeat(np.arange(len(pairs)), 2)
    split = sparse.csr_matrix((np.full(2 * len(pairs), 0.5), (rows, pairs.ravel())), (len(pairs), len(points)))
    parents = sparse.vstack([sparse.identity(len(points)), split]).tocsr()
    ab, bc, ca = place.reshape(3, -1) + len(points)
    points = np.concatenate([points, middle - ROUNDNESS * drop / 2])
    corners = [(faces[:, 0], ab, ca), (ab, faces[:, 1], bc), (ca, bc, faces[:, 2]), (ab, bc, ca)]
    faces = np.ascontiguousarray(np.concatenate([np.stack(c, 1) for c in corners]), np.int32)
    return Surface(points, vertex_normals(points, faces), faces, np.tile(part, 4), parents)


@dataclass(frozen=True)
class Lamp:
    """A soft light: unit direction towards it in head space, colour [3] linear, sharpness of its lobe."""

    towards: np.ndarray
    colour: np.ndarray
    sharpness: float

    def radiance(self, directions: np.ndarray) -> np.ndarray:
        """[N, 3] for unit directions [N, 3]."""
        lobe = np.exp(self.sharpness * (directions @ self.towards - 1))
        return lobe[:, None] * self.colour


def direction(yaw: float, pitch: float) -> np.ndarray:
    """Unit vector: +z turned towards +x by yaw and up by pitch."""
    return np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])


def studio_lamps(key_yaw: float, key_pitch: float) -> tuple[Lamp, ...]:
    """Key, fill, two rims and the room."""
    side = np.sign(key_yaw)
    return (
        Lamp(direction(key_yaw, key_pitch), np.array([4.3, 4.05, 3.8]), 8.0),
        Lamp(direction(-0.8 * key_yaw, 0.15), np.array([0.47, 0.5, 0.55]), 2.5),
        Lamp(direction(-side * 2.45, 0.5), np.array([2.2, 2.25, 2.4]), 9.0),
        Lamp(direction(side * 2.5, 0.4), np.array([0.8, 0.8, 0.8]), 9.0),
        Lamp(direction(0, 1.3), np.array([0.30, 0.31, 0.33]), 0.6),
    )


def irradiance(surface: Surface, lamps: tuple[Lamp, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Light that arrives at each vertex with all shadows, [V, 3], 1 for a white room; and how open each vertex is to
    the room, [V] 0..1."""
    k = np.arange(DIRECTIONS) + 0.5
    height, turn = 1 - 2 * k / DIRECTIONS, np.pi * (1 + 5**0.5) * k  # Fibonacci sphere
    ring = np.sqrt(1 - height**2)
    towards = np.stack([ring * np.cos(turn), height, ring * np.sin(turn)], 1)
    towards = towards[towards[:, 1] > -0.75]
    light = sum(lamp.radiance(towards) for lamp in lamps)
    total = np.zeros((len(surface.points), 3))
    openness, possible = np.zeros(len(surface.points)), np.zeros(len(surface.points))
    for d, colour in zip(towards, light, strict=True):
        facing = surface.normals @ d
        cosine = np.maximum(facing, 0)
        seen = _lit(surface, d) * cosine
        total += seen[:, None] * colour
        openness += seen
        possible += cosine
    return total * (4 / DIRECTIONS), openness / np.maximum(possible, 1e-6)


def _lit(surface: Surface, towards: np.ndarray) -> np.ndarray:
    """[V] 0..1: not in the shadow of anything nearer to a light in that direction, with soft edges."""
    across = np.cross([0, 1, 0] if abs(towards[1]) < 0.9 else [1, 0, 0], towards)  # right, as the light sees it
    across /= np.linalg.norm(across)
    up = np.cross(towards, across)
    xy = surface.points @ np.stack([across, up], 1)
    low, span = xy.min(0), float((xy.max(0) - xy.min(0)).max())
    xy = (xy - low) / span * (SHADOW_SIDE - 4) + 2
    away = 2.0 - surface.points @ towards  # metres from a plane in front of everything
    view = np.stack([xy[:, 0], SHADOW_SIDE - xy[:, 1], away], 1)
    _, depth = rasterise(view, surface.faces, SHADOW_SIDE, SHADOW_SIDE)
    out = np.zeros(len(away))
    for dx, dy in ((-0.7, 0), (0.7, 0), (0, -0.7), (0, 0.7), (0, 0)):
        x = np.clip((view[:, 0] + dx).astype(int), 0, SHADOW_SIDE - 1)
        y = np.clip((view[:, 1] + dy).astype(int), 0, SHADOW_SIDE - 1)
        out += np.clip((depth[y, x] + 2 * SHADOW_BIAS - away) / SHADOW_BIAS, 0, 1)
    return out / 5


def scatter(surface: Surface, light: np.ndarray) -> np.ndarray:
    """Light [V, 3] as it comes out of skin again: smoothed along the surface, red the farthest."""
    link = neighbours(surface.faces, len(surface.points))
    mean = sparse.diags(1 / np.maximum(np.asarray(link.sum(1)).ravel(), 1)) @ link
    out = light.copy()
    for channel, steps in enumerate(SCATTER):
        for _ in range(steps):
            out[:, channel] = (out[:, channel] + mean @ out[:, channel]) / 2
    return out


@dataclass(frozen=True)
class Buffers:
    """What the camera sees, [H, W]: `ids` triangle or -1, `depth` metres, `table` [H, W, K] vertex values there."""

    ids: np.ndarray
    depth: np.ndarray
    table: np.ndarray


def to_screen(points: np.ndarray, camera: Camera, scale: float) -> np.ndarray:
    """Head-space points [..., 3] to x, y in pixels of a picture `scale` times the camera's and depth in metres."""
    pixels = project(points.reshape(-1, 3), camera) * (scale, scale, 1)
    return pixels.reshape(points.shape).astype(np.float32)


def expose(surface: Surface, camera: Camera, scale: int, table: np.ndarray) -> Buffers:
    """Rasterises the surface with vertex values `table` [V, K] at `scale` times the camera's size."""
    side = camera.width * scale
    points = to_screen(surface.points, camera, scale)
    ids, depth = rasterise(points, surface.faces, side, side)
    out = np.zeros((side, side, table.shape[1]), np.float32)
    interpolate(ids, points, surface.faces, np.ascontiguousarray(table, np.float32), out)
    return Buffers(ids, depth, out)


def to_linear(colour: np.ndarray) -> np.ndarray:
    """sRGB 0..1 to linear light (the plain power, good enough for paint)."""
    return np.maximum(colour, 0) ** 2.2


def to_srgb(light: np.ndarray) -> np.ndarray:
    """Linear light to sRGB 0..1 with a soft shoulder, so that highlights don't clip."""
    soft = np.where(light > 0.7, 0.7 + 0.3 * np.tanh((light - 0.7) / 0.45), light)
    return (np.clip(soft, 0, 1) ** (1 / 2.2)).astype(np.float32)
