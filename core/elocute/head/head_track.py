"""A head's pose in every frame of a driving video or folder: gaps held, jitter taken out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from elocute.errors import BadInput

REACH = 3  # standard deviations of the smoothing window


@dataclass(frozen=True)
class HeadTrack:
    """`rotations` [T, 3, 3] for row vectors and `translations` [T, 3] in the Basel face's space; `held` are the frames
    that could not be read and repeat the last good one (before the first good one: that one)."""

    rotations: np.ndarray
    translations: np.ndarray
    held: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.rotations)


def hold_last_good(found: Sequence[tuple[np.ndarray, np.ndarray] | None], name: str) -> HeadTrack:
    """A track from what was found in each frame: rotation [3, 3] and translation [3], or None where nothing was.

    Raises BadInput("poses_empty") when no frame could be read; `name` is what the sentence calls the source.
    """
    good = [i for i, pose in enumerate(found) if pose is not None]
    if not good:
        raise BadInput("poses_empty", f"no frame of {name} shows a readable face. Use frames with one face in front.")
    source = np.maximum.accumulate([i if pose is not None else good[0] for i, pose in enumerate(found)])
    poses = [found[i] for i in source]
    return HeadTrack(
        np.stack([np.asarray(pose[0], float) for pose in poses]),
        np.stack([np.asarray(pose[1], float) for pose in poses]),
        tuple(i for i, pose in enumerate(found) if pose is None),
    )


def smoothed(track: HeadTrack, seconds: float, fps: Fraction) -> HeadTrack:
    """The track under a Gaussian window of `seconds` standard deviation; 0 leaves it alone.

    A rotation is the one nearest to the weighted mean of the matrices (Moakher, 2002). At the ends the window is cut
    off, so a still head stays where it is.
    """
    width = seconds * float(fps)
    if width <= 0 or len(track) < 2:
        return track
    reach = min(int(np.ceil(REACH * width)), len(track) - 1)
    weights = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / width))
    values = np.concatenate([track.rotations.reshape(len(track), 9), track.translations], 1)  # [T, 12]
    padded, there = np.pad(values, ((reach, reach), (0, 0))), np.pad(np.ones(len(values)), reach)
    mean = np.stack([np.convolve(column, weights, "valid") for column in padded.T], 1)
    mean /= np.convolve(there, weights, "valid")[:, None]
    u, _, vt = np.linalg.svd(mean[:, :9].reshape(-1, 3, 3))
    u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
    return HeadTrack(u @ vt, mean[:, 9:], track.held)
