"""The framed portrait: what a field is made from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from ..values import HeadFit

WHOLLY = 0.9  # a matte of so much is nobody's but the person's


@dataclass(frozen=True)
class Scene:
    """The framed portrait, float32 sRGB 0..1: photo and background [R, R, 3], matte [R, R], regions of
    values.REGION_NAMES [R, R], landmarks [478, 3] in pixels of the frame, camera of the frame inside `fit`."""

    photo: np.ndarray
    background: np.ndarray
    matte: np.ndarray
    regions: dict[str, np.ndarray]
    landmarks: np.ndarray
    fit: HeadFit

    @property
    def side(self) -> int:
        return self.photo.shape[0]

    def beyond_outline(self) -> Scene:
        """Photo and regions as if the person had no outline: outside is what is nearest inside."""
        _, (row, column) = ndimage.distance_transform_edt(self.matte < WHOLLY, return_indices=True)
        regions = {name: mask[row, column] for name, mask in self.regions.items()}
        return replace(self, photo=self.photo[row, column], regions=regions)

    @property
    def lens(self) -> tuple[float, float, float]:
        camera = self.fit.camera
        return camera.focal, camera.cx, camera.cy
