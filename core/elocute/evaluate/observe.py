"""One pass over a video: what the measurements need from each frame, in memory that does not grow with its pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from elocute.errors import BadInput
from elocute.footage import probe, read_frames
from elocute.values import BLINK, Face

SHARP_SIDE = 192  # faces are compared at this size, so that a large photo is not sharper than a small video
IDENTITY_FRAMES, SHEET_FRAMES = 12, 12
SHEET_WIDTH = 320  # of one picture of the contact sheet


@dataclass(frozen=True)
class Observation:
    """Per frame: `landmarks` [n, 478, 3] in pixels (NaN where no face was found), `blink` [n] in 0..1,
    `sharpness` [n] (NaN without a face). `pictures` are small frames for the contact sheet, `samples` full frames
    for the identity, `low` and `high` [H, W, 3] the darkest and brightest value of each pixel over time. The video
    `goes_on` where it has frames beyond these."""

    fps: Fraction
    width: int
    height: int
    landmarks: np.ndarray
    blink: np.ndarray
    sharpness: np.ndarray
    low: np.ndarray
    high: np.ndarray
    goes_on: bool = False
    pictures: list[np.ndarray] = field(default_factory=list)
    samples: list[np.ndarray] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.landmarks)

    @property
    def found(self) -> np.ndarray:
        """[n] bool: a face was found."""
        return ~np.isnan(self.landmarks[:, 0, 0])

    @property
    def face_height(self) -> float:
        """Pixels from the highest landmark to the lowest, in the middle of the frames with a face."""
        return float(np.median(np.ptp(self.landmarks[self.found][:, :, 1], axis=1)))


def observe(path: Path, max_frames: int, progress: Callable[[int, int], None] | None = None) -> Observation:
    """Read a video.

    Raises BadInput video_missing, video_unreadable or video_empty, EnvironmentProblem for a missing face model.
    """
    from elocute.portrait.face import shared_landmarker

    finder = shared_landmarker()
    fps, total = probe(path)
    count = min(total, max_frames)
    keep = {kind: _spread(count, wanted) for kind, wanted in (("sheet", SHEET_FRAMES), ("identity", IDENTITY_FRAMES))}
    rows: list[np.ndarray] = []
    blink: list[float] = []
    sharp: list[float] = []
    pictures: list[np.ndarray] = []
    samples: list[np.ndarray] = []
    low = high = np.empty((0, 0, 3), np.uint8)
    face: Face | None = None
    goes_on = False
    for index, frame in enumerate(read_frames(path, max_frames + 1)):
        if goes_on := index == max_frames:
            break
        # A face counts when a single look finds it; its landmarks come from the crop that the frame before suggests,
        # which agrees best with MediaPipe's own runtime in lip gap and jitter.
        face = finder.track(frame, face) if frame is not None and finder.detector.detect(frame) else None
        rows.append(face.landmarks if face else np.full((478, 3), np.nan))
        blink.append(float(face.scores[list(BLINK)].mean()) if face else 0.0)
        sharp.append(sharpness(frame, face.landmarks) if face and frame is not None else np.nan)
        if progress:
            progress(index + 1, max(index + 1, count))
        if frame is None:
            continue
        low = np.minimum(low, frame) if low.size else frame.copy()
        high = np.maximum(high, frame) if high.size else frame.copy()
        if index in keep["sheet"]:
            pictures.append(shrink(frame))
        if index in keep["identity"]:
            samples.append(frame)
    if not rows:
        raise BadInput("video_empty", f"{path.name} has no frames that can be read. Render it again.")
    height, width = int(low.shape[0]), int(low.shape[1])
    return Observation(
        fps, width, height, np.stack(rows), np.array(blink), np.array(sharp), low, high, goes_on, pictures, samples
    )


def sharpness(rgb: np.ndarray, landmarks: np.ndarray) -> float:
    """Variance of the Laplacian of the face's box at SHARP_SIDE pixels; NaN when the box lies outside the image."""
    import cv2

    height, width = rgb.shape[:2]
    x0, y0 = np.clip(landmarks[:, :2].min(axis=0).astype(int), 0, [width, height])
    x1, y1 = np.clip(landmarks[:, :2].max(axis=0).astype(int), 0, [width, height])
    if x1 <= x0 or y1 <= y0:
        return float("nan")
    grey = cv2.cvtColor(rgb[y0:y1, x0:x1], cv2.COLOR_RGB2GRAY)
    equal = cv2.resize(grey, (SHARP_SIDE, SHARP_SIDE), interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(equal, cv2.CV_64F).var())


def shrink(frame: np.ndarray) -> np.ndarray:
    """A frame at the contact sheet's width."""
    import cv2

    height = max(1, round(SHEET_WIDTH * frame.shape[0] / frame.shape[1]))
    return np.asarray(cv2.resize(frame, (SHEET_WIDTH, height), interpolation=cv2.INTER_AREA))


def _spread(count: int, wanted: int) -> set[int]:
    return {int(i) for i in np.linspace(0, max(0, count - 1), min(wanted, max(1, count)))}
