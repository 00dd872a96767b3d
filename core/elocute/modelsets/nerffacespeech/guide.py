"""What Deep3DFaceRecon reads in pictures: pose, place and expression of a head, in one or in every frame of a video."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...driving.follow import Followed, Tick, hold_gaps, resting
from ...errors import BadInput
from ...head.basel import ANGLES, DISTANCE, EXPRESSION, rotations
from ...values import BASEL_NAMES, Face

if TYPE_CHECKING:
    from ...footage import Footage
    from .weights import Networks

METRES = 0.1  # of a Basel unit
AT_REST = 50  # percentile over a video at which a coefficient rests: it goes both ways from there, unlike a unit
STILL = 0.01  # of an expression's coefficient, which is about 1 in a lively face: less can't be seen


def coefficients_of(networks: Networks, rgb: np.ndarray, face: Face | None) -> tuple[np.ndarray, np.ndarray] | None:
    """The 257 coefficients of a `face` in a picture uint8 [H, W, 3], and the head's translation [3] in it as a square.

    None when the face's landmarks fall together. Without a face the picture is squeezed whole, as in the published
    programs, which look for none.
    """
    from ...portrait import deep3d
    from ...portrait.landmarks68 import face_68

    if face is None:
        crop = deep3d.crop_whole(rgb)
    else:
        try:
            crop = deep3d.crop_aligned(rgb, face_68(face), _standard_points(networks))
        except BadInput:  # landmarks that fall together are no face
            return None
    found = deep3d.read_coefficients(networks.regressor, crop)
    return found, deep3d.translation_in_picture(found, crop, (rgb.shape[1], rgb.shape[0]))


def same_face(rgb: np.ndarray, previous: Face | None) -> Face | None:
    """The face of a frame where it was in the one before, else the largest: a passer-by nearer to the camera takes
    over from nobody whose face stays in sight."""
    from ...portrait.face import detect_faces, shared_landmarker

    found = shared_landmarker().track(rgb, previous) if previous else None
    return found or next(iter(detect_faces(rgb)), None)  # which finds a small one too


def rotation_of(coefficients: np.ndarray) -> np.ndarray:
    """[3, 3] for row vectors, of 257 coefficients."""
    import torch

    return np.asarray(rotations(torch.from_numpy(coefficients[None, ANGLES]))[0].numpy())


def follow_by_regressor(device: str, footage: Footage, reference: bool, tick: Tick | None = None) -> Followed:
    """One person's head followed frame by frame, with Basel expressions against the person's own rest, or with
    `reference` as they were read. Raises BadInput video_no_face or video_empty."""
    from .weights import Networks

    networks = Networks(device)
    rows: list[tuple[np.ndarray, np.ndarray, np.ndarray] | None] = []
    face: Face | None = None  # the last that was found: over a gap a person stays about where they were
    decoded = False
    for index, frame in enumerate(footage.frames()):
        found, decoded = None, decoded or frame is not None
        if frame is not None and reference:
            found = coefficients_of(networks, frame, None)
        elif frame is not None and (seen := same_face(frame, face)) is not None:
            face, found = seen, coefficients_of(networks, frame, seen)
        if found is None:
            rows.append(None)
        else:
            coefficients, place = found
            turn = rotation_of(coefficients).T  # the Basel camera has the axes of any: x right, y up, z back
            rows.append((turn, METRES * (place - [0, 0, DISTANCE]), coefficients[EXPRESSION].astype(np.float32)))
        if tick:
            tick(index + 1, footage.count)
    kept, missing = hold_gaps(rows if decoded else [], footage)
    turns, places, expression = (np.stack([row[i] for row in kept]) for i in range(3))
    held = False
    if not reference:
        expression = (expression - resting(expression, missing, AT_REST)).astype(np.float32)
        held = bool(np.abs(expression).max() < STILL)
    names = tuple(footage.name(i) for i in missing) if footage.files else ()
    return Followed(turns, places, expression, footage.fps, missing, names, BASEL_NAMES, held=held)


def _standard_points(networks: Networks) -> np.ndarray:
    """[5, 3]: eyes, nose and mouth corners of the mean face, where the regressor expects them."""
    from ...portrait.deep3d import five_points

    mean = networks.face.only_keypoints().mean_shape.cpu().double().numpy().reshape(68, 3)
    return five_points(mean)
