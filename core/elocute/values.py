"""Values that the stages hand to each other: plain frozen records of NumPy arrays.

Spaces and units (one place, used everywhere):

* head space: right-handed, metres, origin between the ears, +x to the subject's left, +y up, +z out of the face;
* camera: OpenGL/Blender, looks along -z, y up; `camera_to_world` maps camera to world, world being head space
  of the head in the portrait's own pose;
* image: pixels, x right, y down, pixel (0, 0) covers [0, 1) x [0, 1), so its centre is (0.5, 0.5);
* angles in radians inside, degrees only where a user types or reads them; time in seconds, fps rational.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from .units import ARKIT_NAMES as ARKIT_NAMES
from .units import BLINK as BLINK
from .units import MOUTH as MOUTH

# Radians that a person looks to the side, up and down without turning the head; ARKit's eyeLook units say 1 there.
LOOK_SIDE, LOOK_UP, LOOK_DOWN = np.radians(28.0), np.radians(22.0), np.radians(26.0)
# The Basel face's expression coefficients (Guo et al., as cropped by Deep3DFaceRecon): principal components without
# meanings of their own. They name the columns of a track, so that no track is taken for one of the other kind.
BASEL_NAMES: tuple[str, ...] = tuple(f"baselExpression{i:02d}" for i in range(64))


@dataclass(frozen=True)
class Face:
    """One detected face: `landmarks` [478, 3] in image pixels (z in the same scale, smaller is nearer),
    `scores` [52] ARKit scores in ARKIT_NAMES order, `box` (x0, y0, x1, y1) of the landmarks in pixels."""

    landmarks: np.ndarray
    scores: np.ndarray
    box: tuple[float, float, float, float]
    confidence: float


@dataclass(frozen=True)
class Portrait:
    """An analysed photo. `rgb` uint8 [H, W, 3]; `matte` float32 [H, W] in 0..1 (person, soft hair edges);
    `foreground` uint8 [H, W, 3] is the colour with the old background removed from mixed pixels;
    `regions` maps a name of REGION_NAMES to float32 [H, W] in 0..1."""

    rgb: np.ndarray
    matte: np.ndarray
    foreground: np.ndarray
    face: Face
    regions: dict[str, np.ndarray]
    notes: tuple[str, ...] = ()  # what the user should know: "two faces: the larger one is used", "tilted 31 degrees"


SURROUNDINGS_SIDE = 512  # pixels of a frame beyond which it is shown no finer: one looks at the face


@dataclass(frozen=True)
class Surroundings:
    """What the photo shows of the person around a square crop of it, the frame. `rgba` uint8 [H, W, 4], straight: the
    person's colour and alpha, the frame's own place included. `left`, `top`, `side`: the frame in it, in its pixels."""

    rgba: np.ndarray
    left: float
    top: float
    side: float


REGION_NAMES = ("skin", "lips", "mouth_interior", "eyes", "hair", "neck_shoulders", "background")


@dataclass(frozen=True)
class Camera:
    """Pinhole camera with square pixels. `focal`, `cx`, `cy` in pixels of a `width` x `height` image."""

    width: int
    height: int
    focal: float
    cx: float
    cy: float
    camera_to_world: np.ndarray = field(default_factory=lambda: np.eye(4))  # [4, 4]

    @property
    def fov_y(self) -> float:
        """Vertical field of view in radians."""
        return float(2 * np.arctan(self.height / (2 * self.focal)))


@dataclass(frozen=True)
class HeadFit:
    """The head model fitted to a portrait. `identity` [I]; `expression` [52] (the photo's own, ARKIT_NAMES);
    `offsets` [V, 3] metres, head space: the fine correction that puts lids, lips and jaw line on the photo's; `camera`
    is the photo's and carries the pose: head space is world space; `pose` (yaw, pitch, roll) radians of the head
    relative to the camera; `residual` mean landmark error in pixels before and after the fine correction;
    `expression_offsets` [V, 3] metres (or empty) belong to the photo's own mouth and fade as the expression leaves it,
    so that lips close whatever the photo shows."""

    identity: np.ndarray
    expression: np.ndarray
    offsets: np.ndarray
    camera: Camera
    pose: tuple[float, float, float]
    residual: tuple[float, float]
    expression_offsets: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), np.float32))


@dataclass(frozen=True)
class ExpressionTrack:
    """Expression over time: `values` [T, U] for the unit `names` [U], at a rational frame rate."""

    names: tuple[str, ...]
    values: np.ndarray
    fps: Fraction


@dataclass(frozen=True)
class View:
    """Where a picture has the person, against the portrait. `move` metres of head and shoulders in the viewer's axes
    (x right, y down, z away); `zoom` focal length over the portrait's; `shift` of the principal point from the
    portrait's, shares of the picture's side, x right, y down."""

    move: tuple[float, float, float] = (0.0, 0.0, 0.0)
    zoom: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)


AS_IN_PORTRAIT = View()


@dataclass(frozen=True)
class PoseTrack:
    """Head rotation added to the portrait's own, in radians, [T] each: yaw + to the viewer's right, pitch + up,
    roll + clockwise as the viewer sees it. `views`: one a frame, or none when all are the portrait's."""

    yaw: np.ndarray
    pitch: np.ndarray
    roll: np.ndarray
    views: tuple[View, ...] = ()

    def __len__(self) -> int:
        return len(self.yaw)


@dataclass(frozen=True)
class Placements:
    """A head object before a camera over time, both as in Blender (see `spaces`): `head_to_camera` [T, 4, 4] rigid,
    metres; `fov_y` [T] radians and `shift` [T, 2] of the square picture, None for the portrait's own."""

    head_to_camera: np.ndarray
    fov_y: np.ndarray | None = None
    shift: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.head_to_camera)
