"""Between head space, the head as a Blender object, cameras of other programs and the viewer's axes.

* head space: `values`: metres, origin between the ears, +x to the subject's left, +y up, +z out of the face;
* head object: the head as a Blender object: x to the subject's left, -y out of the face, z up, origin in the JOINT, so
  that turning the object turns the head as a neck does;
* camera: Blender's and OpenGL's: looks along -z, y up. `head_to_camera` [4, 4] takes points of the head object there;
* viewer: the camera with x right, y down, z away from it, as in OpenCV: the axes in which fields move and pictures are
  drawn; where another module's docstrings say camera space, it is these.

A pose is told against the portrait's own: the rotation between the two head-to-camera matrices, in the viewer's axes,
turns the head about the joint; where the joint went, everything went (`View.move`).
"""

from __future__ import annotations

import numpy as np

from .values import Camera, Placements, PoseTrack, View

JOINT = np.array([0.0, -0.045, -0.015])  # head space, metres: the atlanto-occipital joint
_Y_DOWN = np.array([1.0, -1.0, -1.0])
_HEAD_OF_OBJECT = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # head-space axes of a head-object vector
# A pose given as a matrix comes through single-precision scenes, where moving the head or the camera rounds
# differently. On this grid (metres, radians, shares of the picture; a twentieth of a pixel at 512) both give the same
# picture, and what is nearer to its place than REST is there: no rounding may bring in what lies beyond the photo.
GRID, REST = 5e-5, 1e-4

# What a field made of one photo can show, as turns of the nose in the viewer's picture and of the head about it.
FARTHEST_SIDEWAYS = np.radians(45)  # beyond, the back of the head comes into sight
FARTHEST_UP_DOWN = np.radians(35)  # beyond, the underside of the jaw
FARTHEST_ROLL = np.radians(45)  # beyond, the neck folds
FARTHEST = (("yaw", FARTHEST_SIDEWAYS), ("pitch", FARTHEST_UP_DOWN), ("roll", FARTHEST_ROLL))
PROFILE = 1e-9  # cosine of a yaw that is a quarter turn but for rounding
NEAREST = 0.35  # metres from the joint to the camera: nearer, the nose passes through the lens
SIZES = (1 / 8, 16.0)  # of the head in the picture over the portrait's
ANY_SIZE = (0.0, np.inf)


def to_camera(points: np.ndarray, camera_to_world: np.ndarray) -> np.ndarray:
    """Head-space points [N, 3] to viewer's axes, float32."""
    rotation, origin = camera_to_world[:3, :3], camera_to_world[:3, 3]
    return ((points - origin) @ rotation * _Y_DOWN).astype(np.float32)


def to_head(points: np.ndarray, camera_to_world: np.ndarray) -> np.ndarray:
    """The inverse of `to_camera`."""
    rotation, origin = camera_to_world[:3, :3], camera_to_world[:3, 3]
    return (points * _Y_DOWN) @ rotation.T + origin


def to_object(points: np.ndarray) -> np.ndarray:
    """Head-space points [N, 3] in the head object's axes."""
    return (points - JOINT) @ _HEAD_OF_OBJECT


def head_to_camera(camera: Camera) -> np.ndarray:
    """[4, 4] of the head object before a portrait's own camera."""
    rotation = camera.camera_to_world[:3, :3].T
    out = np.eye(4)
    out[:3, :3] = rotation @ _HEAD_OF_OBJECT
    out[:3, 3] = rotation @ (JOINT - camera.camera_to_world[:3, 3])
    return out


def blender_shift(camera: Camera) -> tuple[float, float]:
    """A camera's principal point as Blender's shift_x and shift_y: shares of the picture's larger side."""
    side = max(camera.width, camera.height)
    return (camera.width / 2 - camera.cx) / side, (camera.cy - camera.height / 2) / side


def viewer_rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """[3, 3] turn in the viewer's axes (x right, y down, z forward), Rz(roll) Ry(yaw) Rx(pitch): a nod about the
    head's own ear axis, then a turn about the vertical, then a tilt in the picture. Positive yaw turns the face to the
    viewer's right, positive pitch looks up, positive roll is clockwise for the viewer; radians."""
    (cy, sy), (cp, sp), (cr, sr) = ((np.cos(t), np.sin(t)) for t in (yaw, pitch, roll))
    # the face looks along -z; turning it right takes -z to +x, looking up takes -z to -y, clockwise takes x to y
    turn = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    nod = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    tilt = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return tilt @ turn @ nod


def viewer_angles(rotation: np.ndarray) -> tuple[float, float, float]:
    """(yaw, pitch, roll) of a turn [3, 3] with a yaw within +-90 degrees: the inverse of `viewer_rotation`. A face in
    profile, where a nod is a tilt as well, only tilts."""
    if np.hypot(rotation[2, 1], rotation[2, 2]) < PROFILE:
        return float(np.copysign(np.pi / 2, rotation[2, 0])), 0.0, float(np.arctan2(-rotation[0, 1], rotation[1, 1]))
    yaw = np.arcsin(np.clip(rotation[2, 0], -1, 1))
    pitch = np.arctan2(-rotation[2, 1], rotation[2, 2])
    roll = np.arctan2(rotation[1, 0], rotation[0, 0])
    return float(yaw), float(pitch), float(roll)


def placement_of(camera: Camera) -> Placements:
    """A portrait's own camera as a placement of one frame."""
    shift = np.array([blender_shift(camera)])
    return Placements(head_to_camera(camera)[None], np.array([camera.fov_y]), shift)


def placements_of_turns(turns: np.ndarray, joints: np.ndarray) -> Placements:
    """Head-to-camera turns [T, 3, 3] and places [T, 3] of the joint before the camera as placements."""
    matrices = np.tile(np.eye(4), (len(turns), 1, 1))
    matrices[:, :3, :3] = turns @ _HEAD_OF_OBJECT
    matrices[:, :3, 3] = joints
    return Placements(matrices)


def turn_of(placed: Placements) -> np.ndarray:
    """Head-to-camera turn [3, 3] of the first placement: the inverse of `placements_of_turns`."""
    return np.asarray(placed.head_to_camera[0, :3, :3] @ _HEAD_OF_OBJECT.T)


def poses_against(
    own: Placements, placed: Placements, limited: bool = True, shown: tuple[int, int] | None = None
) -> tuple[PoseTrack, list[str]]:
    """Placements of the head before any camera as poses against the one of `own` (one frame), and what had to be
    clamped, naming the frames, counted from 1 (with `shown`, those from its first to its last). Not `limited`,
    they are kept to the last digit however far they go; only before the camera, and not nearer than NEAREST, the head
    has to be."""
    count = len(placed)
    snap = _snap if limited else np.asarray
    zoom, shift = _lens_against(own, placed)
    move = (placed.head_to_camera[:, :3, 3] - own.head_to_camera[0, :3, 3]) * _Y_DOWN  # [T, 3]
    turns = placed.head_to_camera[:, :3, :3] @ own.head_to_camera[0, :3, :3].T * np.outer(_Y_DOWN, _Y_DOWN)
    depth = -own.head_to_camera[0, 2, 3]
    angles, views = np.zeros((count, 3)), []
    clamped: dict[str, list[int]] = {}
    for i in range(count):
        turn, beyond = _reachable_turn(turns[i]) if limited else (turns[i], [])
        z, zoom[i], far = _reachable_place(move[i, 2], zoom[i], depth, SIZES if limited else ANY_SIZE)
        angles[i] = snap(viewer_angles(turn))
        x, y, z = snap((move[i, 0], move[i, 1], z)).tolist()
        views.append(View((x, y, z), 1 + float(snap(zoom[i] - 1)), tuple(snap(shift[i]).tolist())))
        for what in (*beyond, *far):
            clamped.setdefault(what, []).append(i + 1)
    yaw, pitch, roll = angles.T
    return PoseTrack(yaw, pitch, roll, tuple(views)), told_frames(clamped, shown)


def reachable_poses(angles: np.ndarray, shown: tuple[int, int] | None = None) -> tuple[np.ndarray, list[str]]:
    """Yaw, pitch, roll [T, 3] in radians, each as far as can be shown, and what was clamped, told as by
    `poses_against`."""
    limits = np.array([limit for _, limit in FARTHEST])
    beyond = np.abs(angles) > limits + GRID
    clamped = {_beyond(*FARTHEST[k]): (np.flatnonzero(beyond[:, k]) + 1).tolist() for k in range(3)}
    return angles.clip(-limits, limits), told_frames(clamped, shown)


def told_frames(clamped: dict[str, list[int]], shown: tuple[int, int] | None) -> list[str]:
    """Sentences about what was clamped at which frames; those outside `shown`, first and last, aren't spoken of."""
    first, last = shown or (1, np.inf)
    seen = {what: [frame for frame in frames if first <= frame <= last] for what, frames in clamped.items()}
    return [f"{frame_list(frames)}: {what}, clamped" for what, frames in seen.items() if frames]


def _lens_against(own: Placements, placed: Placements) -> tuple[np.ndarray, np.ndarray]:
    """Zoom [T] and shift [T, 2] to the right and down of the principal point, against the portrait's lens."""
    zoom, shift = np.ones(len(placed)), np.zeros((len(placed), 2))
    if placed.fov_y is not None and own.fov_y is not None:
        zoom = np.tan(own.fov_y[0] / 2) / np.tan(placed.fov_y / 2)
    if placed.shift is not None:
        base = own.shift[0] if own.shift is not None else np.zeros(2)
        shift = (placed.shift - base) * (-1, 1)  # a lens shifted right shows more of the right: the person goes left
    return zoom, shift


def _reachable_turn(rotation: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """The nearest turn that can be shown: the swing that takes the nose where it points and the twist about it are
    limited each, so that a head that turns on and on stops and never jumps."""
    nose = rotation @ np.array([0, 0, -1.0])
    across = np.hypot(nose[0], nose[1])
    angle = np.arctan2(across, -nose[2])
    swing = np.zeros(2) if across < 1e-9 else angle * nose[:2] / across  # to the right, down
    if across < 1e-9 and nose[2] > 0:
        swing = np.array([np.pi, 0.0])  # exactly away: any way round is as near
    twist = _swing(swing).T @ rotation
    roll = np.arctan2(twist[1, 0], twist[0, 0])
    values = (*swing, roll)
    beyond = [_beyond(*far) for far, value in zip(FARTHEST, values, strict=True) if abs(value) > far[1] + GRID]
    if not beyond:
        return rotation, []
    swing = swing.clip([-FARTHEST_SIDEWAYS, -FARTHEST_UP_DOWN], [FARTHEST_SIDEWAYS, FARTHEST_UP_DOWN])
    return _swing(swing) @ viewer_rotation(0, 0, float(np.clip(roll, -FARTHEST_ROLL, FARTHEST_ROLL))), beyond


def _beyond(name: str, limit: float) -> str:
    return f"{name} beyond {np.degrees(limit):.0f} degrees"


def _swing(by: np.ndarray) -> np.ndarray:
    """[3, 3] shortest turn that moves the nose, -z, by an angle [2] to the right and down (Rodrigues)."""
    angle = float(np.hypot(*by))
    if angle < 1e-12:
        return np.eye(3)
    x, y = by / angle  # the axis is -z cross (x, y, 0), which is (y, -x, 0)
    cross = np.array([[0, 0, -x], [0, 0, -y], [x, y, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def _reachable_place(z: float, zoom: float, depth: float, sizes: tuple[float, float]) -> tuple[float, float, list[str]]:
    """Move away from the camera and zoom that can be shown with the head's size within `sizes` times the portrait's;
    `depth` of the joint in the portrait, metres. A portrait's camera is never nearer than NEAREST; a pose file whose
    first frame stands in for it may be anywhere."""
    beyond = []
    distance = max(depth, NEAREST)
    if depth + z < NEAREST:
        beyond.append(f"the head is nearer to the camera than {NEAREST * 100:.0f} cm")
        z = NEAREST - depth
    size, (least, most) = zoom * distance / (depth + z), sizes
    shown = min(max(size, least), most)
    if size < least:
        beyond.append(f"the head is smaller than 1/{1 / least:.0f} of the portrait's")
    if size > most:
        beyond.append(f"the head is larger than {most:.0f} times the portrait's")
    return z, zoom if shown == size else shown * (depth + z) / distance, beyond


def _snap(values: tuple[float, ...] | np.ndarray | float) -> np.ndarray:
    snapped = np.round(np.asarray(values, float) / GRID) * GRID
    return np.where(np.abs(snapped) <= REST, 0.0, snapped)


def frame_list(frames: list[int]) -> str:
    """Frame numbers as people write them: "frame 7", "frames 3-5, 9"."""
    runs: list[list[int]] = []
    for number in frames:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    said = [str(a) if a == b else f"{a}-{b}" for a, b in runs]
    shown = ", ".join(said[:8]) + (f" and {len(said) - 8} more stretches" if len(said) > 8 else "")
    return f"frame{'s' if len(frames) > 1 else ''} {shown}"
