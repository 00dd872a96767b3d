"""What Deep3DFaceRecon reads in the frames of a guiding video or folder: pose, place and expression of a head."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from ...errors import BadInput
from ...head.basel import ANGLES, EXPRESSION, rotations
from ...head.head_track import HeadTrack, hold_last_good, smoothed
from ...spaces import viewer_angles
from ...values import BASEL_NAMES, ExpressionTrack, PoseTrack, View
from .cameras import VIEWER

if TYPE_CHECKING:
    from .weights import Networks

METRES = 0.1  # of a Basel unit


@dataclass(frozen=True)
class Guide:
    """`head` in the Basel face's space, gaps held; `expression` [T, 64], which repeats with the held frames."""

    head: HeadTrack
    expression: ExpressionTrack


def read_guide(
    networks: Networks, frames: Iterable[np.ndarray | None], fps: Fraction, name: str, reference: bool
) -> Guide:
    """From frames uint8 [H, W, 3], None for one that can't be read. A frame without a face counts as unreadable, except
    with `reference`: the published programs don't look for one. Raises BadInput poses_empty."""
    seen = [None if frame is None else coefficients_of(networks, frame, reference) for frame in frames]
    poses = [None if each is None else (_rotation(each[0]), each[1]) for each in seen]
    head = hold_last_good(poses, name)
    good = [i for i, each in enumerate(seen) if each is not None]
    last = np.maximum.accumulate([i if each is not None else good[0] for i, each in enumerate(seen)])
    values = np.stack([seen[i][0][EXPRESSION] for i in last])  # type: ignore[index]
    return Guide(head, ExpressionTrack(BASEL_NAMES, values.astype(np.float32), fps))


def coefficients_of(networks: Networks, rgb: np.ndarray, reference: bool) -> tuple[np.ndarray, np.ndarray] | None:
    """The 257 coefficients of one picture, and the head's translation [3] in it as a square; None without a face."""
    from ...portrait import deep3d
    from ...portrait.landmarks68 import find_68

    if reference:
        crop = deep3d.crop_whole(rgb)
    else:
        try:
            landmarks = find_68(rgb, "the frame", networks.device)
            crop = deep3d.crop_aligned(rgb, landmarks, standard_points(networks))
        except BadInput:
            return None
    found = deep3d.read_coefficients(networks.regressor, crop)
    return found, deep3d.translation_in_picture(found, crop, (rgb.shape[1], rgb.shape[0]))


def standard_points(networks: Networks) -> np.ndarray:
    """[5, 3]: eyes, nose and mouth corners of the mean face, where the regressor expects them."""
    from ...portrait.deep3d import five_points

    mean = networks.face.only_keypoints().mean_shape.double().cpu().numpy().reshape(68, 3)
    return five_points(mean)


def _rotation(coefficients: np.ndarray) -> np.ndarray:
    import torch

    return rotations(torch.from_numpy(coefficients[None, ANGLES]))[0].numpy()


def poses_of(head: HeadTrack, own: np.ndarray, fps: Fraction, smoothing: float, follow_place: bool) -> PoseTrack:
    """The head's own pose in each guiding frame as a turn of the portrait's, whose camera is `own` [4, 4].

    `smoothing` in seconds; `follow_place`: moves and sizes too, against the middle of those in the video.
    """
    track = smoothed(head, smoothing, fps)
    front = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])  # the Basel face's axes in StyleNeRF's world
    turns = np.stack([VIEWER @ (front @ rotation).T @ own[:3, :3] @ VIEWER for rotation in track.rotations])
    angles = np.array([viewer_angles(turn) for turn in turns])
    views: tuple[View, ...] = ()
    if follow_place:
        moves = METRES * (track.translations - np.median(track.translations, 0)) @ VIEWER
        views = tuple(View(tuple(move.tolist())) for move in moves)  # type: ignore[arg-type]
    yaw, pitch, roll = angles.T
    return PoseTrack(yaw, pitch, roll, views)
