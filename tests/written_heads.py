"""A head that was written for other programs, read as its format says and by nothing of the engine's."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from elocute.rendering.raster import rasterise

SIDE = 256


class Mesh:
    """head.json, head.bin and texture.png of a folder."""

    def __init__(self, folder: Path) -> None:
        self.about = json.loads((folder / "head.json").read_text())
        self.data = (folder / "head.bin").read_bytes()
        self.vertices, self.uv = self.array("vertices", "<f4", 3), self.array("uv", "<f4", 2)
        self.triangles = self.array("triangles", "<i4", 3)
        self.colours = self.array("colours", "<f4", 4)
        self.materials = self.array("materials", "<i4", 1)[:, 0]
        self.texture = cv2.cvtColor(cv2.imread(str(folder / "texture.png")), cv2.COLOR_BGR2RGB)

    def array(self, name: str, kind: str, width: int, within: str = "") -> np.ndarray:
        entry = (self.about[within] if within else self.about)[name]
        return np.frombuffer(self.data, kind, entry["count"] * width, entry["offset"]).reshape(-1, width)

    def key(self, name: str) -> np.ndarray:
        return self.array(name, "<f4", 3, "shape_keys")

    def seen(self, points: np.ndarray, side: int, matrix: np.ndarray | None = None) -> np.ndarray:
        """Pixels and distance [N, 3] of points of the head object in a picture of `side` before the head's camera (or
        another placement)."""
        camera = self.about["camera"]
        matrix = np.reshape(camera["head_to_camera"], (4, 4)) if matrix is None else matrix
        at = points @ matrix[:3, :3].T + matrix[:3, 3]
        focal = side / 2 / np.tan(np.radians(camera["fov_y_deg"]) / 2)
        x, y, away = at[:, 0], at[:, 1], -at[:, 2]
        return np.stack([side / 2 + focal * x / away, side / 2 - focal * y / away, away], 1)

    def picture(self, vertices: np.ndarray, matrix: np.ndarray | None = None) -> np.ndarray:
        """The textured mesh before its camera (or another placement), [SIDE, SIDE, 3]; black where there is none."""
        points = self.seen(vertices, SIDE, matrix)
        ids, _ = rasterise(points.astype(np.float32), self.triangles, SIDE, SIDE)
        ys, xs = np.nonzero(ids >= 0)
        corners = self.triangles[ids[ys, xs]]
        a, b, c = (points[corners[:, k], :2] for k in range(3))
        p = np.stack([xs, ys], 1) + 0.5
        cross = lambda u, v: u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]  # noqa: E731
        area = cross(b - a, c - a)
        w = np.stack([cross(b - p, c - p), cross(c - p, a - p), cross(a - p, b - p)], 1) / area[:, None]
        uv = np.einsum("nk,nkc->nc", w, self.uv[corners])
        side = self.texture.shape[0]
        u = (uv * (1, -1) + (0, 1)) * side
        out = np.zeros((SIDE, SIDE, 3), np.uint8)
        u = u.clip(0, side - 1).astype(int)
        colour = np.einsum("nk,nkc->nc", w, self.colours[corners])
        share = colour[:, 3:]
        out[ys, xs] = np.round(share * self.texture[u[:, 1], u[:, 0]] + (1 - share) * colour[:, :3] * 255).clip(0, 255)
        return out
