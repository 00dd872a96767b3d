"""Head poses as JSON files, in two forms.

Angles added to the portrait's own pose: `{"fps": 25, "yaw_deg": [...], "pitch_deg": [...], "roll_deg": [...]}`.
A head object before a camera, as a scene has them (`spaces`), one entry a frame: `{"fps": 25, "head_to_camera":
[[16 numbers, row by row], ...], "fov_y_deg": [...], "shift": [[x, y], ...]}`: metres, the vertical field of view of
the square picture, Blender's lens shift. Without the last two the lens is the portrait's.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from elocute.errors import BadInput
from elocute.spaces import poses_against, reachable_poses
from elocute.speech.track_io import at_times, json_object, numbers, rate
from elocute.values import Placements, PoseTrack

AXES = ("yaw_deg", "pitch_deg", "roll_deg")
MATRICES = ("head_to_camera", "fov_y_deg", "shift")
EXPECTED = '"fps" and "yaw_deg", "pitch_deg", "roll_deg" or "head_to_camera", "fov_y_deg", "shift"'
MAX_DEGREES = 180.0
FOV_DEGREES = (0.5, 160.0)  # a telescope, and beyond any lens that isn't a fisheye
MAX_SHIFT = 10.0  # Blender's own limit
MAX_METRES = 1e4
RIGID = 1e-3  # how far a rotation may be from one: scenes compute in single precision


def read_poses(
    path: str | Path, fps: Fraction, frames: int, own: Placements | None = None, limited: bool = True,
    shown: tuple[int, int] | None = None,
) -> tuple[PoseTrack, list[str]]:  # fmt: skip
    """Read a pose file and bring it to `frames` frames at `fps`. Returns the track (radians) and what the user
    should know. An axis left out is 0; without "fps" one pose is one video frame; the last pose is held. Matrices are
    told against `own`, the portrait's placement before its camera, or their first frame; `limited` and `shown` as
    `poses_against` says.

    Raises BadInput: poses_missing, poses_unreadable, poses_empty, poses_lengths, poses_nan, poses_range,
    poses_fps, poses_two_forms, poses_matrix.
    """
    path = Path(path)
    data, count, given = _read(path)
    source = rate(data["fps"], "poses", path) if "fps" in data else fps
    warnings = []
    unknown = [key for key in data if key not in (*AXES, *MATRICES, "fps")]
    if unknown:
        warnings.append(f"{path.name}: {', '.join(unknown)} not understood and ignored")
    if "fps" not in data:
        warnings.append(f"{path.name} gives no fps; one pose is taken as one video frame ({fps} fps)")
    # A frame more or less is rounding. What lies beyond the frames that are asked for isn't spoken of.
    surplus, rounding = count * fps / source - frames, max(Fraction(1), fps / source)
    last = min(shown[1], frames) if shown else frames
    held = last - (count - 1) * fps // source - 1  # exact: fps are fractions
    if held > 0 and surplus < -rounding:
        warnings.append(
            f"{path.name} has {count} poses at {source} fps, fewer than the video's {frames} frames at {fps} fps: "
            f"the last pose is held for {held} frame{'s' if held > 1 else ''}"
        )
    if surplus > rounding and last >= frames:
        warnings.append(
            f"{path.name} has {count} poses at {source} fps, more than the video's {frames} frames at {fps} fps: "
            "the rest is not used"
        )
    if isinstance(given, Placements):
        placed = _resampled(given, source, fps, frames)
        track, clamped = poses_against(own or _first(placed), placed, limited, shown)
        return track, warnings + clamped
    still = np.zeros(count)
    radians = np.radians(np.stack([given.get(axis, still) for axis in AXES], 1))  # [count, 3]
    angles, clamped = at_times(radians, source, fps, frames), []
    if limited:
        angles, clamped = reachable_poses(angles, shown)
    yaw, pitch, roll = angles.T
    return PoseTrack(yaw, pitch, roll), warnings + clamped


def poses_seconds(path: str | Path, fps: Fraction) -> Fraction:
    """How long a pose file lasts, for a shot that nothing else gives a length. Raises as `read_poses`."""
    data, count, _ = _read(Path(path))
    return Fraction(count) / (rate(data["fps"], "poses", Path(path)) if "fps" in data else fps)


def _read(path: Path) -> tuple[dict[str, Any], int, dict[str, np.ndarray] | Placements]:
    """A checked pose file: its JSON, how many poses, and degrees [count] of each axis that it gives or placements."""
    data = json_object(path, "poses", EXPECTED)
    angles, matrices = ([key for key in keys if key in data] for keys in (AXES, MATRICES))
    if angles and matrices:
        raise BadInput(
            "poses_two_forms", f"{path.name} has both {angles[0]} and {matrices[0]}. Give angles or matrices, not both."
        )
    if not angles and "head_to_camera" not in data:
        raise BadInput(
            "poses_empty", f"{path.name} has none of {', '.join(AXES)}, nor head_to_camera. Give at least one of them."
        )
    given = {key: numbers(data[key], "poses", path) for key in (*angles, *matrices)}
    wanted = {"head_to_camera": (16,), "shift": (2,)}
    for key, values in given.items():
        if len(values.shape) == 0 or (values.size and values.shape[1:] != wanted.get(key, ())):
            raise BadInput("poses_unreadable", f"{key} of {path.name} is not a list of {_ENTRIES.get(key, 'degrees')}.")
    lengths = {key: len(values) for key, values in given.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{key} {length}" for key, length in lengths.items())
        raise BadInput("poses_lengths", f"the lists of {path.name} differ in length ({said}). Give each frame each.")
    count = next(iter(lengths.values()))
    if not count:
        raise BadInput("poses_empty", f"{path.name} holds no poses. Give at least one.")
    for key, values in given.items():
        _check_numbers(key, values, path)
    return data, count, _placements(given, path) if matrices else given


_ENTRIES = {
    "head_to_camera": "matrices. Give 16 numbers a frame, row by row",
    "shift": "pairs. Give x and y of the lens shift for each frame",
}


def _check_numbers(key: str, values: np.ndarray, path: Path) -> None:
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        what = "an angle in degrees" if key.endswith("_deg") else "numbers"
        raise BadInput("poses_nan", f"{key} at frame {bad[0][0] + 1} of {path.name} is not a number. Put {what}.")
    low, high, unit = _RANGES.get(key, (-MAX_DEGREES, MAX_DEGREES, "degrees"))
    outside = np.argwhere((values < low) | (values > high))
    if len(outside):
        at = tuple(outside[0])
        asked = f"within +-{high:g}" if low == -high else f"between {low:g} and {high:g}"
        raise BadInput(
            "poses_range",
            f"{key} at frame {at[0] + 1} of {path.name} is {values[at]:g}. Keep it {asked} {unit}.".rstrip(),
        )


_RANGES = {
    "fov_y_deg": (*FOV_DEGREES, "degrees"),
    "shift": (-MAX_SHIFT, MAX_SHIFT, "sides of the picture"),
    "head_to_camera": (-MAX_METRES, MAX_METRES, "metres"),
}


def _placements(given: dict[str, np.ndarray], path: Path) -> Placements:
    matrices = given["head_to_camera"].reshape(-1, 4, 4)
    turns = matrices[:, :3, :3]
    off = np.abs(turns @ turns.transpose(0, 2, 1) - np.eye(3)).max((1, 2))
    off = np.where(np.linalg.det(turns) > 0, off, 2.0)
    off = np.maximum(off, np.abs(matrices[:, 3] - (0, 0, 0, 1)).max(1))
    if off.max() > RIGID:
        frame = int(np.flatnonzero(off > RIGID)[0]) + 1
        raise BadInput(
            "poses_matrix",
            f"head_to_camera at frame {frame} of {path.name} is not a turn and a move alone. "
            "Take scale, mirroring and shear out; give it row by row.",
        )
    fov = given.get("fov_y_deg")
    return Placements(matrices, np.radians(fov) if fov is not None else None, given.get("shift"))


def _first(placed: Placements) -> Placements:
    return Placements(
        placed.head_to_camera[:1], placed.fov_y[:1] if placed.fov_y is not None else None,
        placed.shift[:1] if placed.shift is not None else None,
    )  # fmt: skip


def _resampled(placed: Placements, source: Fraction, fps: Fraction, frames: int) -> Placements:
    """Placements at times i / fps: turns along the shortest way, the rest linear; the last is held."""
    count = len(placed)
    when = at_times(np.arange(count, dtype=float)[:, None], source, fps, frames)[:, 0]
    turns = placed.head_to_camera[:, :3, :3]
    matrices = np.tile(np.eye(4), (frames, 1, 1))
    matrices[:, :3, 3] = at_times(placed.head_to_camera[:, :3, 3], source, fps, frames)
    if count == 1 or (when == when.round()).all():
        matrices[:, :3, :3] = turns[when.astype(int)]
    else:
        matrices[:, :3, :3] = Slerp(np.arange(count), Rotation.from_matrix(turns))(when).as_matrix()
    fov, shift = placed.fov_y, placed.shift
    return Placements(
        matrices,
        at_times(fov[:, None], source, fps, frames)[:, 0] if fov is not None else None,
        at_times(shift, source, fps, frames) if shift is not None else None,
    )
