"""Renderer: moved vertices in, picture out, on the device of choice."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch

from . import gradients, kernels
from .device import Pieces
from .finer import finer
from .march import ShellTensors, render_tensors
from .raster import rasterise_into
from .shells import RELIEF, Shells, project, smoothed, spheres

# Measured peak of march.render_tensors in float32, with four rays in every pixel, which few pixels need. It turns the
# memory setting into a chunk.
BYTES_PER_RAY = 2200
FEWEST_RAYS = 4096  # fewer take hardly less memory than what a picture keeps whole
SIZES_AN_OCTAVE = 6  # steps of smoothness while a head gets half as large: no step is seen


class Renderer:
    """Renders one avatar's shells again and again.

    `device` "cpu" uses the compiled kernels, anything else tensor operations there. `memory_mb` bounds a chunk of
    rays on those devices. The picture is `side` x `side`, seen through the portrait's lens or as `aim` says.
    `shells` are those given, at this side; what is rendered has a finer mesh, which `groups` number. `beside`: a
    renderer of as large pictures whose working memory this one uses too, so that they can't render at the same time.
    """

    def __init__(
        self, shells: Shells, side: int, device: str = "cpu", memory_mb: int = 512, beside: Renderer | None = None
    ) -> None:
        shells = shells.at(side)
        plane = shells.planes.shape[1]
        self.side, self.device = side, device
        self.scale = side * shells.extent / plane
        self.shells = shells
        self._finer = finer(shells, self.scale)
        shells = self._finer.shells
        self._level = 0  # of the planes' smoothness
        order = [np.flatnonzero(shells.layer == RELIEF), np.flatnonzero(shells.layer != RELIEF)]
        self.groups = [np.ascontiguousarray(i, np.int32) for i in order]
        self._rays = Pieces(max(FEWEST_RAYS, memory_mb * 1_000_000 // BYTES_PER_RAY), FEWEST_RAYS)
        if device == "cpu":
            self._table = shells.vertex_table
            self._faces = np.ascontiguousarray(shells.faces, np.int32)
            self._group_faces = [np.ascontiguousarray(self._faces[g]) for g in self.groups]
            self._layer = np.ascontiguousarray(shells.layer, np.uint8)
            self._spheres = spheres(shells.rest, shells.faces)
            self.repaint(shells.planes)
            self._lens = np.array([shells.focal, shells.cx, shells.cy], np.float32)
            self._shadow = np.ascontiguousarray(shells.shadow, np.float32)
            self._foreign = np.ascontiguousarray(shells.foreign, np.float32)
            self._rest = np.ascontiguousarray(shells.rest, np.float32)
            self._grown = np.empty((2, len(self._rest)), np.float32)
            self._pull = np.empty((len(self._faces), 3, 3), np.float32)
            size = 2, 2 * side, 2 * side
            self._ids: np.ndarray = beside._ids if beside else np.empty(size, np.int32)
            self._depths: np.ndarray = beside._depths if beside else np.empty(size, np.float32)
        else:
            self._tensors = ShellTensors.of(shells, device)
            self._group_tensors = tuple(torch.as_tensor(g, device=device).long() for g in self.groups)
        self.aim()

    def aim(self, zoom: float = 1.0, shift: tuple[float, float] = (0.0, 0.0), size: float = 1.0) -> None:
        """The lens of the pictures from here on: focal length over the portrait's and shift of the principal point,
        shares of the side, x right, y down; `size` of what is seen over the portrait's: smaller, its planes are
        smoothed, or fine detail would flicker between the picture's pixels."""
        focal, cx, cy = (value * self.scale for value in (self.shells.focal, self.shells.cx, self.shells.cy))
        corner = (self.shells.extent - 1) / 2 * self.side  # of the picture on the planes
        cx, cy = cx - corner, cy - corner
        self.cam = (focal * zoom, cx + shift[0] * self.side, cy + shift[1] * self.side)
        level = max(0, round(-SIZES_AN_OCTAVE * math.log2(size)))
        if level != self._level:
            self._level = level
            self.repaint(self.shells.planes)

    def repaint(self, planes: np.ndarray) -> None:
        """`planes` [PLANES, R, R, 4] in the place of those of the same size in `shells`."""
        self.shells = dataclasses.replace(self.shells, planes=planes)
        smooth = smoothed(planes, 2 ** (-self._level / SIZES_AN_OCTAVE))
        shells = dataclasses.replace(self.shells, planes=np.ascontiguousarray(smooth, np.float32))
        if self.device == "cpu":
            self._planes, self._detail = shells.planes, np.ascontiguousarray(shells.detail, np.float32)
        else:
            planes, detail = (torch.as_tensor(a).to(self._tensors.planes) for a in (shells.planes, shells.detail))
            self._tensors = dataclasses.replace(self._tensors, planes=planes, detail=detail)

    def render(
        self, moved: np.ndarray, box: tuple[int, int, int, int] | None = None, presence: float = 1.0,
        turned: np.ndarray | float = 0.0, dimmed: np.ndarray | None = None, front: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """moved: float32 [V, 3] camera space; presence: how much of the photo's own mouth there is;
        turned: float32 [V] 0..1, how far each vertex has left what the photo shows of it and around it (a number: all
        of them); dimmed: float32 [V] 0..1, the share of its light that each lacks (None: no light is missing); front,
        on the CPU alone: a picture as returned, behind which this one goes, and whose memory it takes.

        Returns premultiplied rgba float32 [side, side, 4] and depth [side, side] in metres; with `box` (x0, y0, x1,
        y1) only those pixels are sure to be there, and on the CPU the rest is 0, or the `front`. The depth is of what
        this picture adds.
        """
        lit = self._finer.values(1 - (np.zeros(len(moved), np.float32) if dimmed is None else dimmed))
        left = self._finer.values(np.broadcast_to(np.float32(turned), len(moved)))
        moved = self._finer.points(np.ascontiguousarray(moved, np.float32))
        if self.device != "cpu":
            points, light, gone = (torch.as_tensor(a, device=self.device) for a in (moved, lit, left))
            rgba, depth = self._rays.run(lambda rays: render_tensors(
                self._tensors, points, self._group_tensors, self.cam, self.side, self.side, rays, presence, gone,
                light,
            ))  # fmt: skip
            return rgba.cpu().numpy(), depth.cpu().numpy()
        x0, y0, x1, y1 = box or (0, 0, self.side, self.side)
        points = project(moved, *self.cam)
        doubled = points * np.array([2, 2, 1], np.float32)
        for g, faces in enumerate(self._group_faces):
            rasterise_into(doubled, faces, self.groups[g], self._ids[g], self._depths[g], (2 * y0, 2 * y1))
        gradients.pullback(self._rest, moved, self._faces, self._pull)
        if self.shells.painted:
            self._grown[0] = 1
        else:
            gradients.stretch(self._rest, moved, self._faces, *self._grown)
        rgba = np.zeros((self.side, self.side, 4), np.float32) if front is None else front
        out = np.zeros((self.side, self.side), np.float32)
        kernels.shade(
            self._ids, self._depths, points, np.array(self.cam, np.float32), self._faces, self._layer,
            self._spheres, self._table, self._pull, self._grown[0], lit, left, self._planes, self._detail,
            self._shadow, self._foreign, self._lens, presence, np.array([x0, y0, x1, y1]), rgba, out,
        )  # fmt: skip
        return rgba, out
