"""HeadField: the embedded generator, a radiance field of one person's head in canonical space.

Canonical space is the head as the portrait shows it, in the portrait camera's axes. Density lives in shells around
the fitted head (skin, eyeballs, teeth, mouth cavity) and around a relief of hair and shoulders; colour in feature
planes aligned with the portrait's camera, one for each layer; the background is a separate frozen picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..head.avatar import AvatarHead
from ..head.model import load_head_model
from ..rendering.shells import Shells
from ..values import Camera, HeadFit, Surroundings
from .canonical import HAIR_THICKNESS, SKIN_THICKNESS
from .geometry import field_motion
from .motion import FieldMotion
from .relief import Relief

STORED = ("seen", "fill", "solid", "grain", "rim", "normal", "shadow", "foreign", "layer")
FIT_ARRAYS = ("identity", "expression", "offsets", "expression_offsets")
NOTHING = Surroundings(np.zeros((0, 0, 4), np.uint8), 0, 0, 0)  # beyond the portrait


@dataclass(frozen=True)
class HeadField:
    """A finished field: shells, how they move, the frozen background uint8 [R, R, 3], the fit it came from, and what
    the photo shows around it."""

    shells: Shells
    motion: FieldMotion
    background: np.ndarray
    fit: HeadFit
    around: Surroundings | None = None

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Plain arrays for safetensors; what the head model can make again is left out."""
        shells, relief, fit = self.shells, self.motion.relief, self.fit
        camera, around = fit.camera, self.around or NOTHING
        return {
            **{f"shells.{name}": getattr(shells, name) for name in STORED},
            "shells.planes": shells.planes.astype(np.float16),
            "relief.points": relief.points, "relief.faces": relief.faces,
            "relief.bound": relief.bound.astype(np.int32), "relief.weights": relief.weights,
            "background": self.background,
            "camera": np.array([camera.width, camera.height, camera.focal, camera.cx, camera.cy]),
            "camera_to_world": np.asarray(camera.camera_to_world, np.float64),
            "fit.pose": np.array(fit.pose), "fit.residual": np.array(fit.residual),
            **{f"fit.{name}": np.asarray(getattr(fit, name)) for name in FIT_ARRAYS},
            "around.rgba": around.rgba, "around.frame": np.array([around.left, around.top, around.side]),
        }  # fmt: skip

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> HeadField:
        """The inverse of `to_arrays`. Raises KeyError when something is missing."""
        width, height, focal, cx, cy = arrays["camera"]
        camera = Camera(int(width), int(height), float(focal), float(cx), float(cy), arrays["camera_to_world"])
        fit = HeadFit(
            camera=camera, pose=tuple(arrays["fit.pose"]), residual=tuple(arrays["fit.residual"]),
            **{name: arrays[f"fit.{name}"] for name in FIT_ARRAYS},
        )  # fmt: skip
        model = load_head_model()
        relief = Relief(*(arrays[f"relief.{name}"] for name in ("points", "faces", "bound", "weights")))
        motion = field_motion(fit, AvatarHead(model, fit), model, relief)
        is_relief = np.arange(len(motion.rest)) >= len(motion.rest_head)
        shells = Shells(
            rest=motion.rest,
            faces=np.concatenate([model.faces, relief.faces + len(motion.rest_head)]).astype(np.int32),
            thickness=np.where(is_relief, HAIR_THICKNESS, SKIN_THICKNESS).astype(np.float32),
            planes=arrays["shells.planes"].astype(np.float32), focal=camera.focal, cx=camera.cx, cy=camera.cy,
            **{name: arrays[f"shells.{name}"] for name in STORED},
        )  # fmt: skip
        around = Surroundings(arrays["around.rgba"], *(float(value) for value in arrays["around.frame"]))
        return cls(shells, motion, arrays["background"], fit, around if around.side else None)
