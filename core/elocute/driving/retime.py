"""A followed head brought to a shot: its length, its frame rate, its place before the portrait's camera."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ..head.projection import pose_angles, pose_rotation
from ..spaces import placements_of_turns, turn_of
from ..values import Placements
from .follow import Followed


def source_times(count: int, source: Fraction, fps: Fraction, frames: int, rule: str) -> np.ndarray:
    """Where in a video of `count` frames each of a shot's `frames` lies, [frames] in 0..count - 1.

    `hold` keeps the last frame beyond the end, `loop` goes there and back again, which never jumps, `stretch` plays the
    whole video over the whole shot.
    """
    last = count - 1
    if rule == "stretch":
        return np.linspace(0, last, frames) if frames > 1 else np.zeros(1)
    at = [Fraction(i) * source / fps for i in range(frames)]  # exact: rates are fractions
    if rule == "loop" and last:
        at = [last - abs(last - t % (2 * last)) for t in at]
    return np.array([float(min(t, Fraction(last))) for t in at])


def at_shot(followed: Followed, fps: Fraction, frames: int, rule: str, smooth: float) -> Followed:
    """`frames` frames at `fps`, turns and places smoothed by a Gaussian of `smooth` seconds. A folder has the shot's
    own rate."""
    source = followed.fps or fps
    sigma = smooth * float(source)
    turns, places = followed.turns, followed.places
    if sigma > 0:
        turns, places = (gaussian_filter1d(v, sigma, axis=0, mode="nearest") for v in (turns, places))
    at = source_times(len(followed), source, fps, frames, rule)
    return replace(
        followed, turns=_rotations(_between(turns, at)), places=_between(places, at),
        expression=_between(followed.expression, at).astype(np.float32), fps=fps,
    )  # fmt: skip


def difference(
    followed: Followed, fps: Fraction, frames: int, rule: str, name: str, shown: tuple[int, int] | None = None
) -> list[str]:
    """What to tell when a video and the shot are not as long as each other; nothing of what lies beyond the frames
    `shown` that are asked for."""
    source = followed.fps or fps
    own = len(followed) * fps / source
    last = min(shown[1], frames) if shown and rule != "stretch" else frames
    if abs(own - frames) < 1 or (last < frames if own > frames else last <= own):
        return []
    how = {"hold": "the last is held", "loop": "it goes back and forth", "stretch": "it is stretched"}[rule]
    if own > frames:
        how = "it is compressed" if rule == "stretch" else "the rest is not used"
    count = max(1, round(own))
    return [f"{name} has {count} frame{'s' if count > 1 else ''} at the shot's rate and the shot {frames}: {how}"]


def placements(followed: Followed, own: Placements, amount: float) -> Placements:
    """The portrait's head, turned as the followed one is and moved by `amount` of how that moves about its usual place:
    as many metres aside, as much nearer in proportion. The lens stays the portrait's."""
    usual = np.median(followed.places, axis=0)
    joint = own.head_to_camera[0, :3, 3]
    move = amount * (followed.places - usual)
    move[:, 2] = joint[2] * amount * (followed.places[:, 2] / usual[2] - 1)
    turns = np.stack([_true(turn, followed.gains) for turn in followed.turns])
    against = _true(turn_of(own), followed.gains).T @ turn_of(own)
    return placements_of_turns(turns @ against, joint + move)


def _true(turn: np.ndarray, gains: tuple[float, float, float]) -> np.ndarray:
    """A head-to-camera turn [3, 3] freed of what its reader always adds or leaves out."""
    yaw, pitch, roll = np.array(pose_angles(turn)) / gains
    return pose_rotation(yaw, pitch, roll)


def _between(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Linear between rows [T, ...] at [N]."""
    low = np.minimum(at.astype(int), len(values) - 1)
    high = np.minimum(low + 1, len(values) - 1)
    share = (at - low).reshape(-1, *[1] * (values.ndim - 1))
    return values[low] * (1 - share) + values[high] * share


def _rotations(matrices: np.ndarray) -> np.ndarray:
    """The nearest rotations of [T, 3, 3] averaged ones."""
    u, _, vt = np.linalg.svd(matrices)
    sign = np.linalg.det(u @ vt)
    u[:, :, 2] *= sign[:, None]
    return u @ vt
