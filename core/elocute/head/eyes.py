"""Eyeballs: where they look and how they turn."""

from __future__ import annotations

import numpy as np

from elocute.values import ARKIT_NAMES, LOOK_DOWN, LOOK_SIDE, LOOK_UP

IRIS_RADIUS = 0.0059  # metres: the visible iris measures 11.8 mm in nearly everybody

_UNIT = {name: k for k, name in enumerate(ARKIT_NAMES) if name.startswith("eyeLook")}


def look_angles(units: np.ndarray) -> tuple[tuple[float, float], tuple[float, float]]:
    """(yaw, pitch) in radians of the left and the right eye from ARKit units [52]: yaw + towards the subject's left
    (+x), pitch + up."""

    def value(name: str) -> float:
        return float(units[_UNIT[f"eyeLook{name}"]])

    pitches = [value(f"Up{s}") * LOOK_UP - value(f"Down{s}") * LOOK_DOWN for s in ("Left", "Right")]
    left = (value("OutLeft") - value("InLeft")) * LOOK_SIDE
    right = (value("InRight") - value("OutRight")) * LOOK_SIDE
    return (left, pitches[0]), (right, pitches[1])


def look_units(left: tuple[float, float], right: tuple[float, float]) -> dict[str, float]:
    """The eyeLook units, each in 0..1, that give these (yaw, pitch) angles: the inverse of `look_angles`."""
    found = {}
    for side, (yaw, pitch), out in (("Left", left, 1), ("Right", right, -1)):
        found[f"eyeLookOut{side}"] = max(out * yaw, 0) / LOOK_SIDE
        found[f"eyeLookIn{side}"] = max(-out * yaw, 0) / LOOK_SIDE
        found[f"eyeLookUp{side}"] = max(pitch, 0) / LOOK_UP
        found[f"eyeLookDown{side}"] = max(-pitch, 0) / LOOK_DOWN
    return {name: float(min(value, 1)) for name, value in found.items()}


def look_rotation(yaw: float, pitch: float) -> np.ndarray:
    """Rotation [3, 3] that turns +z towards +x by yaw and towards +y by pitch."""
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    side = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    return side @ np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])


def ball_centre(ball: np.ndarray) -> np.ndarray:
    """Centre [3] of an eyeball's vertices: half-way between its poles (the mean leans to the denser front)."""
    return (ball[0] + ball[-1]) / 2


def turn_eyeball(ball: np.ndarray, yaw: float, pitch: float) -> np.ndarray:
    """Vertices [N, 3] of an eyeball turned about its centre."""
    if yaw == 0 and pitch == 0:
        return ball
    centre = ball_centre(ball)
    return (ball - centre) @ look_rotation(yaw, pitch).T.astype(ball.dtype) + centre
