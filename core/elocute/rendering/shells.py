"""The radiance field's dense parts, as the renderer wants them: thin shells around surfaces.

A `Shells` record describes the field in canonical space (the head as the portrait shows it, in the portrait camera's
coordinates: x right, y down, z forward, metres). Inside a shell of thickness L below a surface, at normal offset
q*L (0 <= q <= 1), with (u, v) the point's own projection into the portrait camera:

* density   sigma = od(u, v) * kernel(q) / L, kernel(q) = 2 sin^2(pi q), od = -log(1 - alpha), alpha from the layer's
  feature plane where the photo saw the point, `solid` elsewhere and in what lids and lips enclose;
* colour    the layer's feature plane at (u, v) where the photo saw the point well enough for this view, `fill`
  elsewhere, with the fine grain that the photo has at another, similar place (`grain`). Above SKIN the plane's fourth
  channel says, to the pixel, what the photo shows there: 1 an eye or an upper tooth, always to be seen; 1/2 what else
  is in the mouth, to be seen as far as that has the photo's shape (`presence`, 1 for the portrait's own mouth); 0
  neither. What only the view from the front puts into the photo, a head that turns leaves behind: the share of skin
  that is jaw over neck, background or light from behind there (`foreign`) is scaled by 1 - `turned`, and so is the
  relief's alpha in the outline's strip beside the surface it belongs to (`rim`). So is the neck below a chin that is
  higher than in the photo.

Both are smooth in the point, so a ray that crosses the shell slantwise integrates over its own range of (u, v).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

# Layers, each with a feature plane. Compiled into `kernels.py`: change that file too, and its cache is made anew.
RELIEF, SKIN, EYES, TEETH, CAVITY = range(5)
PLANES = 5
FAR = 100.0  # metres: as good as nothing there; compiled with fast arithmetic, infinities would be nobody's promise
DETAIL = 0.008  # of the side: what varies over less is detail that a fill borrows
DETAIL_LIMIT = 0.16  # sRGB: stronger is an edge and not grain


@dataclass(frozen=True)
class Shells:
    """rest [V, 3] canonical points; faces [F, 3] counter-clockwise from outside; layer [F] uint8 (constants above);
    seen [V] 0..1: how much the photo shows of this point; fill [V, 3] sRGB 0..1; solid [V] 0..1 alpha where unseen;
    grain [V, 3]: where in the photo (x, y in 0..1 of its width) the fill finds its fine detail, and how much of it;
    rim [V] 0..1: of the relief, how far it is only the photo's outline beside the head, which goes with a turn; of
    skin, how far it lies at the head's sides, where a turn counts more against the photo;
    thickness [V] metres; normal [V, 3] outward unit normals at rest;
    planes [PLANES, R, R, 4] sRGB and alpha (above SKIN: what the photo shows), 0..1, aligned with the portrait camera;
    shadow [R, R, 2] metres: the depth up to which the photo sees (FAR where nothing hides anything), and by how much
    less when the head has turned; foreign [R, R] 0..1: how much of what the photo shows of skin there may be something
    else: jaw and beard before a neck, background, light from behind; focal, cx, cy of that camera in pixels of a plane
    R wide; extent: how many pictures wide the planes are, with the picture in their middle; painted: the planes are
    nobody's photo, so their say doesn't fade where they are stretched."""

    rest: np.ndarray
    faces: np.ndarray
    layer: np.ndarray
    seen: np.ndarray
    fill: np.ndarray
    solid: np.ndarray
    grain: np.ndarray
    rim: np.ndarray
    thickness: np.ndarray
    normal: np.ndarray
    planes: np.ndarray
    shadow: np.ndarray
    foreign: np.ndarray
    focal: float
    cx: float
    cy: float
    extent: int = 1
    painted: bool = False

    def at(self, side: int) -> Shells:
        """The same field for a picture `side` wide: planes larger than it are averaged down, or fine detail would
        flicker between the picture's pixels. Smaller planes stay."""
        side *= self.extent
        factor = side / self.planes.shape[1]
        if factor >= 1:
            return self
        size = (side, side)
        planes = np.stack([cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in self.planes])
        shadow = cv2.resize(self.shadow, size, interpolation=cv2.INTER_NEAREST)
        foreign = cv2.resize(self.foreign, size, interpolation=cv2.INTER_AREA)
        lens = {"focal": self.focal * factor, "cx": self.cx * factor, "cy": self.cy * factor}
        return replace(self, planes=planes, shadow=shadow, foreign=foreign, **lens)

    @property
    def vertex_table(self) -> np.ndarray:
        """[V, 16]: rest, seen, fill, solid, thickness, normal, grain, rim side by side: one cache line a vertex."""
        columns = (self.rest, self.seen[:, None], self.fill, self.solid[:, None], self.thickness[:, None])
        columns += (self.normal, self.grain, self.rim[:, None])
        return np.ascontiguousarray(np.concatenate(columns, 1), np.float32)

    @property
    def detail(self) -> np.ndarray:
        """[R, R] sRGB: the lightness of the photo's person without what varies slowly: strands, pores, noise."""
        light = np.ascontiguousarray(self.planes[RELIEF, ..., :3]).mean(-1)
        slow = cv2.GaussianBlur(light, (0, 0), DETAIL * light.shape[0])
        return np.clip(light - slow, -DETAIL_LIMIT, DETAIL_LIMIT)


def smoothed(planes: np.ndarray, size: float) -> np.ndarray:
    """Planes [P, R, R, 4] for texels that are `size` <= 1 pixels wide in the picture: the blur that makes the texels
    of a pixel one, less the one that the look-up itself has."""
    if size >= 1:
        return planes
    sigma = 0.5 * float(np.sqrt(1 / size**2 - 1))
    return np.stack([cv2.GaussianBlur(plane, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE) for plane in planes])


def spheres(rest: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """float32 [F, 4]: centre and radius of a sphere around each triangle of rest [V, 3]."""
    corners = rest[faces]
    centre = corners.mean(1)
    radius = np.linalg.norm(corners - centre[:, None], axis=2).max(1)
    return np.concatenate([centre, radius[:, None]], 1).astype(np.float32)


def project(points: np.ndarray, focal: float, cx: float, cy: float) -> np.ndarray:
    """Camera points [N, 3] to image space [N, 3]: x, y in pixels and depth."""
    z = points[:, 2]
    return np.stack([focal * points[:, 0] / z + cx, focal * points[:, 1] / z + cy, z], 1).astype(np.float32)
