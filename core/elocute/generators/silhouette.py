"""The outline of the person beyond a portrait's edges: what a photo shows there, and what one expects beyond it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..ramps import runs

EXTENT = 3  # pictures: the painted canvas is one picture wider than the portrait on every side
LEAST_ROUNDING = 0.04  # of the picture: a shoulder ends no more abruptly than this
STEEPEST, TANGENT = 6.0, 0.08  # outward per downward run at the edge; share of the picture that it is measured over
DOME, TALLEST_DOME = 0.35, 0.25  # height of a dome over its width; of the picture
UNDERLAP = 0.03  # of the picture: so far at least it reaches under the portrait, where that is opaque
OPAQUE, WHOLLY = 0.9, 0.97  # coverage from which there is a colour and a depth, and from which nothing behind is seen
LEAST_MISSING = 0.01  # of coverage that can be seen missing
AROUND_MISSING = 0.006  # of the picture: so far around it there is something behind what is opaque


@dataclass(frozen=True)
class Known:
    """What is known of the person, `rgba` float32 [H, W, 4], premultiplied, in pixels of which the portrait is `side`
    wide and starts at (`left`, `top`). The canvas is EXTENT * `side` wide, with the portrait in its middle."""

    rgba: np.ndarray
    side: int
    left: int = 0
    top: int = 0

    @property
    def solid(self) -> np.ndarray:
        return self.rgba[..., 3] > 0.5

    @property
    def portrait(self) -> np.ndarray:
        return self.rgba[self.top : self.top + self.side, self.left : self.left + self.side]

    @property
    def on_canvas(self) -> tuple[slice, slice]:
        height, width = self.rgba.shape[:2]
        x, y = self.side - self.left, self.side - self.top
        return np.s_[y : y + height, x : x + width]

    @property
    def across(self) -> np.ndarray:
        """[EXTENT * side] where the centres of the canvas's columns are in `rgba`."""
        return np.arange(EXTENT * self.side) + 0.5 - self.side + self.left

    @property
    def down(self) -> np.ndarray:
        """The same of its rows."""
        return np.arange(EXTENT * self.side) + 0.5 - self.side + self.top


def outside(known: Known, middle: float, half_shoulders: float, inner: np.ndarray) -> np.ndarray:
    """Coverage [3 S, 3 S] of the person around the portrait, and behind it: where what lies wholly in the portrait
    covers less, `inner` [S, S], than the portrait does, so much that both together cover as it does. `middle` of the
    body in pixels of the portrait and `half_shoulders` in pixels."""
    solid, side = known.solid, known.side
    height, width = solid.shape
    middle += known.left
    x, y = known.across[None, :], known.down[:, None]
    cover = np.zeros((EXTENT * side,) * 2, np.float32)
    edges = {"top": solid[:3].mean(0) > 0.5, "left": solid[:, :3].mean(1) > 0.5, "right": solid[:, -3:].mean(1) > 0.5}
    bottom = solid[-3:].mean(0) > 0.5
    if bottom.any():
        left = width - _outline(solid[:, ::-1], width - middle, half_shoulders, known)
        right = _outline(solid, middle, half_shoulders, known)
        apart = x - left[:, None], right[:, None] - x
        inside = np.where(y > height, np.minimum(*apart), np.where(x < width / 2, *apart))
        cover = np.clip(inside + 0.5, 0, 1).astype(np.float32)
    for name, run in edges.items():
        for start, stop in stretches(run):
            if name != "top" and stop == height and bottom.any():
                continue  # a shoulder
            along, away = (x, -y) if name == "top" else (y, -x if name == "left" else x - width)
            cover = np.maximum(cover, _dome(along, away, start, stop, side))
    cover[known.on_canvas] = known.rgba[..., 3]
    cover[side : 2 * side, side : 2 * side] = _behind(known.portrait[..., 3], inner)
    return cover


def _behind(alpha: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Coverage [S, S] behind `inner` that makes it `alpha`, and where a movement could uncover it, if it is opaque."""
    side = alpha.shape[0]
    missing = (1 - (1 - alpha) / np.maximum(1 - inner, 1e-3)).clip(0, 1) * (alpha - inner > LEAST_MISSING)
    at = np.arange(side) + 0.5
    at = np.minimum(at, side - at)
    rim = np.minimum(at[:, None], at[None, :])
    near = rim < UNDERLAP * side
    wide = 2 * max(1, round(AROUND_MISSING * side)) + 1
    near |= cv2.dilate((missing > 0.5).astype(np.uint8), np.ones((wide, wide), np.uint8)) > 0
    behind = near * ((alpha - WHOLLY) / (1 - WHOLLY)).clip(0, 1)
    behind = np.maximum(behind, (rim < 1) * alpha / 3)  # of hair that the edge cuts too: less of a seam
    return np.asarray(np.maximum(missing, behind), np.float32)


def stretches(row: np.ndarray) -> np.ndarray:
    """`runs` that are more than noise."""
    found = runs(row)
    return found[found[:, 1] - found[:, 0] > 2]


def _dome(along: np.ndarray, away: np.ndarray, start: int, stop: int, side: int) -> np.ndarray:
    """Coverage of half an ellipse that stands on a stretch of an edge."""
    half = (stop - start) / 2
    height = dome_height(stop - start, side)
    radius = np.sqrt(((along - (start + half)) / half) ** 2 + (away / height) ** 2)
    return np.where(away > 0, np.clip((1 - radius) * height + 0.5, 0, 1), 0).astype(np.float32)


def dome_height(width: int, side: int) -> float:
    return min(width * DOME, TALLEST_DOME * side)


def _outline(solid: np.ndarray, middle: float, half_shoulders: float, known: Known) -> np.ndarray:
    """x [3 S] of the body's right outline beyond the picture `solid` [H, W] at the canvas's rows, -inf above its start.

    It leaves the picture where and how the person's own outline does, and nears the shoulders' width exponentially.
    """
    y, side = known.down, known.side
    height, width = solid.shape
    back = np.arange(max(2, round(TANGENT * side)))
    if solid[-3:, -3:].all():  # through the side
        tops = [_last_gap(solid[:, -1 - k]) for k in back]
        start, top = float(width), float(tops[0])
        run = 1 / max(-float(np.polyfit(back, tops, 1)[0]), 1 / STEEPEST)
    else:  # through the bottom
        ends = [width - _first(solid[-1 - k, ::-1]) for k in back]
        start, top = float(ends[0]), float(height)
        run = float(np.clip(-np.polyfit(back, ends, 1)[0], 0, STEEPEST))
    rounding = max(half_shoulders - (start - middle), LEAST_ROUNDING * side)
    out = start + rounding * (1 - np.exp(-np.maximum(y - top, 0) * run / rounding))
    return np.where(y >= top, out, -np.inf)


def _last_gap(column: np.ndarray) -> int:
    """First row of the stretch of True that reaches the end."""
    gaps = np.flatnonzero(~column)
    return int(gaps[-1]) + 1 if len(gaps) else 0


def _first(row: np.ndarray) -> int:
    inside = np.flatnonzero(row)
    return int(inside[0]) if len(inside) else len(row) // 2
