"""The framed portrait: what a field is made from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from scipy import ndimage

from ..portrait.regions import firm
from ..spaces import to_camera
from ..values import HeadFit, Surroundings
from .canonical import bare_skin

WHOLLY = 0.9  # a matte of so much is nobody's but the person's
DARKEST, PUPILS = 0.003, 0.03  # shares of a person, of the eyes, that hardly any light comes from
NEVER_BLACK = 0.09  # they are as bright in a photo with a full black
SPECK = 0.002  # of the side: what is as small is noise


@dataclass(frozen=True)
class Scene:
    """The framed portrait, float32 sRGB 0..1: photo and background [R, R, 3], matte [R, R], regions of
    values.REGION_NAMES [R, R], landmarks [478, 3] in pixels of the frame, camera of the frame inside `fit`; `around`:
    what the photo shows beyond the frame."""

    photo: np.ndarray
    background: np.ndarray
    matte: np.ndarray
    regions: dict[str, np.ndarray]
    landmarks: np.ndarray
    fit: HeadFit
    around: Surroundings | None = None

    @property
    def side(self) -> int:
        return self.photo.shape[0]

    def outward(self, values: np.ndarray) -> np.ndarray:
        """values [R, R] or [R, R, C] as if the person had no outline: outside is what is nearest inside."""
        row, column = self._nearest_inside
        return values[row, column]

    @property
    def ear_plane(self) -> tuple[np.ndarray, np.ndarray]:
        """The plane through both ears, in camera space: a point of it [3] and the way the face looks [3]."""
        to_world = self.fit.camera.camera_to_world
        return to_camera(np.zeros((1, 3)), to_world)[0], to_world[:3, :3].T[:, 2] * np.array([1, -1, -1])

    @cached_property
    def bare(self) -> np.ndarray:
        """[R, R] 0..1, see `bare_skin`."""
        return bare_skin(self.photo, self.regions["skin"])

    @cached_property
    def black(self) -> np.ndarray:
        """[3]: what the photo makes of no light at all, more than 0 in haze or on faded film."""
        smooth = cv2.GaussianBlur(self.photo, (0, 0), SPECK * self.side)
        person = self.matte >= min(WHOLLY, float(self.matte.max()))
        eyes = firm(self.regions["eyes"])
        darkest = np.minimum(np.quantile(smooth[person], DARKEST, axis=0), np.quantile(smooth[eyes], PUPILS, axis=0))
        haze = max(float(darkest.min()) - NEVER_BLACK, 0)  # light on brown hair is as red, but dark in blue
        return (darkest * haze / max(float(darkest.min()), NEVER_BLACK)).astype(np.float32)

    @cached_property
    def _nearest_inside(self) -> np.ndarray:
        outside = self.matte < min(WHOLLY, float(self.matte.max()))
        return ndimage.distance_transform_edt(outside, return_distances=False, return_indices=True)

    @property
    def lens(self) -> tuple[float, float, float]:
        camera = self.fit.camera
        return camera.focal, camera.cx, camera.cy
