"""One avatar in front of the camera: expression and pose in, finished frame out, recomputing only what moves."""

from __future__ import annotations

import cv2
import numpy as np

from .finishing.compositing import over, plain_colour, straight
from .generators.bust import build_bust, turns_at_edge
from .generators.headfield import HeadField
from .generators.trimmed import trimmed
from .ramps import smooth_step
from .rendering.renderer import Renderer
from .rendering.shells import project
from .spaces import viewer_rotation
from .values import AS_IN_PORTRAIT, View

Box = tuple[int, int, int, int]
# Radians after which outline and neck, and the mouth's inside, aren't what the photo shows of them any more. An outline
# that is left behind is a second one beside the first, however thin.
OUTLINE_TURNED, MOUTH_TURNED = 0.14, 0.2
MARGIN = 4  # pixels around moved triangles: cubic taps and the edge test reach one out, a finer mesh may bulge


class Shooting:
    """Renders frames of one avatar.

    While pose and view stay what they were, a pixel outside the triangles that moved since their base frame crosses
    the same triangles at the same places, so it is copied from there; a test compares with full renders.
    """

    def __init__(self, head: HeadField, side: int, background: str, device: str, memory_mb: int) -> None:
        self.head, self.side = head, side
        self.renderer = Renderer(head.shells, side, device, memory_mb)
        self.incremental = device == "cpu"
        self._memory_mb = memory_mb
        self._outside: _Outside | None = None  # made when a picture first shows what lies beyond the portrait
        self._behind: _Outside | None = None  # if these pictures show it
        self._photo_goes_on = head.around is not None and turns_at_edge(head.shells, head.motion, head.around)
        self._backdrop = _backdrop(background, head.background, side)
        self._aimed: tuple[tuple[float, ...], View] | None = None
        self._base_frame: np.ndarray | None = None  # made with this aim from the vertices `_base_moved`

    def frame(self, expression: np.ndarray, pose: np.ndarray, view: View = AS_IN_PORTRAIT) -> np.ndarray:
        """expression [52], pose (yaw, pitch, roll) radians -> uint8 [side, side, 3], or 4 when transparent."""
        angles = (float(pose[0]), float(pose[1]), float(pose[2]))
        moved = self.head.motion.moved(expression, angles, view.move)
        turned = self.head.motion.turned(expression, float(smooth_step(np.hypot.reduce(angles), 0, OUTLINE_TURNED)))
        # From the side, what the photo shows within the mouth would lie flat on whatever is deepest there.
        aside = float(smooth_step(np.hypot.reduce(angles[:2]), 0, MOUTH_TURNED))
        presence = (1 - aside) * self.head.motion.head.presence(expression)
        dimmed = self.head.motion.dimmed(moved)
        if (angles, view) != self._aimed:
            self._aimed, self._base_frame = (angles, view), None
            self._aim(angles, view)
        if self._behind is not None:
            moved, turned, dimmed = (self._behind.inner(a) for a in (moved, turned, dimmed))
        if self._base_frame is None or not self.incremental:
            frame = self._finish(self._render(moved, None, presence, turned, dimmed))
            self._base_frame, self._base_moved, self._base_looks = frame.copy(), moved, (turned, dimmed)
            return frame
        box = self._changed(moved, (turned, dimmed))
        out = self._base_frame.copy()
        if box:
            x0, y0, x1, y1 = box
            rgba = self._render(moved, box, presence, turned, dimmed)
            out[y0:y1, x0:x1] = self._finish(rgba[y0:y1, x0:x1], box)
        return out

    def _aim(self, angles: tuple[float, float, float], view: View) -> None:
        """Everything about the next pictures but the face."""
        self._now, self._behind = self.renderer, None
        size = self._size(view)
        if view != AS_IN_PORTRAIT or (any(angles) and self._photo_goes_on):
            if self._outside is None:
                self._outside = _Outside(self.head, self.renderer, self._memory_mb)
            self._now = self._outside.portrait
            self._outside.aim(angles, view, size)
            self._behind = self._outside
        self._now.aim(view.zoom, view.shift, size)

    def _size(self, view: View) -> float:
        """Of the head in the picture, over the portrait's."""
        away = float(self.head.motion.joint[2])
        return view.zoom * away / (away + view.move[2])

    def _render(
        self, moved: np.ndarray, box: Box | None, presence: float, turned: np.ndarray, dimmed: np.ndarray
    ) -> np.ndarray:
        """Premultiplied float [side, side, 4] of the person; with a box only there."""
        rgba = self._now.render(moved, box, presence, turned, dimmed)[0]
        return rgba if self._behind is None else self._behind.put(rgba, once=self._base_frame is None)

    def _changed(self, moved: np.ndarray, looks: tuple[np.ndarray, ...]) -> Box | None:
        """The pixels that triangles with a corner that has moved or looks different cover or, in the base frame,
        covered."""
        faces = self._now.shells.faces
        touched = _any_of_three(moved != self._base_moved)
        for now, then in zip(looks, self._base_looks, strict=True):
            touched |= now != then
        if not touched.any():
            return None
        for _ in range(3):  # a corner pulls at new vertices a ring away, and at the stretch of those around them
            touched[faces[_any_of_three(touched[faces])]] = True
        both = np.concatenate([moved[touched], self._base_moved[touched]])
        xy = project(both, *self._now.cam)[:, :2]
        low = np.clip(np.floor(xy.min(0)).astype(int) - MARGIN, 0, self.side)
        high = np.clip(np.ceil(xy.max(0)).astype(int) + MARGIN, 0, self.side)
        return (int(low[0]), int(low[1]), int(high[0]), int(high[1])) if (high > low).all() else None

    def _finish(self, rgba: np.ndarray, box: Box | None = None) -> np.ndarray:
        """Premultiplied float [h, w, 4] over the backdrop, or straight alpha, as uint8."""
        if self._backdrop is None:
            return straight(rgba)
        x0, y0, x1, y1 = box or (0, 0, self.side, self.side)
        return over(rgba, self._backdrop[y0:y1, x0:x1])


class _Outside:
    """The person beyond the portrait's edges, and a renderer of what lies within them alone."""

    def __init__(self, head: HeadField, whole: Renderer, memory_mb: int) -> None:
        shells, motion, side, device = whole.shells, head.motion, whole.side, whole.device
        whole.aim()
        own = motion.moved(head.fit.expression)
        self._trimmed = trimmed(shells)
        self.portrait = Renderer(self._trimmed.shells, side, device, memory_mb, whole)
        inner = self.portrait.render(self.inner(own))[0][..., 3]
        self.bust = build_bust(shells, motion, *whole.render(own), inner, head.around)
        self._renderer = Renderer(self.bust.shells, side, device, memory_mb, whole)
        self._moved = self.bust.shells.rest
        self._whole: np.ndarray | None = None  # the picture as long as it stays the same, once it is asked for again

    def inner(self, points: np.ndarray) -> np.ndarray:
        """The field's moved points, or what belongs to each, for `portrait`."""
        return self._trimmed.moved(points)

    def aim(self, angles: tuple[float, float, float], view: View, size: float) -> None:
        self._renderer.aim(view.zoom, view.shift, size)
        self._moved, self._whole = self.bust.moved(viewer_rotation(*angles), view.move), None

    def put(self, front: np.ndarray, once: bool) -> np.ndarray:
        """`front`, premultiplied float [side, side, 4], with this behind it; `front` is not to be used afterwards.
        `once`: another picture with this aim may never come, so that what `front` hides isn't worth rendering."""
        if once and self._renderer.device == "cpu":
            return self._renderer.render(self._moved, front=front)[0]
        if self._whole is None:
            self._whole = self._renderer.render(self._moved)[0]
        return front + (1 - front[..., 3:]) * self._whole


def _any_of_three(marked: np.ndarray) -> np.ndarray:
    """`marked.any(1)` of bool [N, 3], ten times faster."""
    return np.asarray(marked[:, 0] | marked[:, 1] | marked[:, 2])


def _backdrop(setting: str, own: np.ndarray, side: int) -> np.ndarray | None:
    """float32 [side, side, 3] in 0..1, or None for transparent."""
    if setting == "transparent":
        return None
    if setting == "keep":
        way = cv2.INTER_AREA if own.shape[0] > side else cv2.INTER_CUBIC
        resized = own if own.shape[0] == side else cv2.resize(own, (side, side), interpolation=way)
        return resized.astype(np.float32) / 255
    return np.broadcast_to(plain_colour(setting), (side, side, 3))
