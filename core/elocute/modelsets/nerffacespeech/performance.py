"""A shot of a published generator's person: what its face and head do, and the frames that show it."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor

from ...drive import Drive, Inputs
from ...finishing.mouth_mask import keep_mask, mask_window, smooth_mask, to_pixels
from ...generators.face_points import face_points, torso_points
from ...generators.lipaint import mouth_styles
from ...generators.stylenerf.deformation import VertexDeformation, nearest_vertices
from ...generators.stylenerf.mixing import FeatureMix
from ...generators.stylenerf.volume import Deform, Positions, Volume
from ...head.basel import EXPRESSION
from ...head.spaces import front_camera
from ...inversion.avatar import Avatar
from ...models.catalogue import find_model
from ...models.official import ROLES, imported_if_any, official_folder
from ...portrait import parsing
from ...settings import Shot
from ...warm import Latest, file_state
from .cameras import cameras_of, placement_of
from .cutout import before
from .deformation import SpatialDeformation
from .drive import build_official_drive
from .field import PersonField
from .prepare import TUNED
from .weights import Networks

RENDERER = 1  # raise it whenever the same inputs would make another picture
MASK_SIDE = 256  # pixels at which a frame is looked at for its mouth
KEPT = 10  # frames whose volumes and masks are kept, as the frames around need them again

Value = TypeVar("Value")
Loaded = tuple[Networks, PersonField, dict[str, np.ndarray]]

_loaded: Latest[Loaded] = Latest(large=True)


def loaded(avatar: Avatar, device: str) -> Loaded:
    """The networks, the avatar's person and its smaller arrays; from memory when no file of theirs has changed."""

    def load() -> Loaded:
        networks, arrays = Networks(device), avatar.arrays()
        tuned = {name.removeprefix(TUNED): arrays.pop(name) for name in [*arrays] if name.startswith(TUNED)}
        ws, code = (torch.from_numpy(arrays[name]).to(device) for name in ("ws", "background"))
        return networks, PersonField(networks.generator(tuned or None), ws, code), arrays

    files = (avatar.path, *(official_folder() / f"{role}.safetensors" for role in ROLES))
    return _loaded.get((avatar.key, device, *map(file_state, files)), load)


def precision_of(wanted: str, device: str) -> str:
    """"full" or "mixed"; "auto" is half precision where it is fast, as the published program's."""
    if wanted != "auto":
        return wanted
    return "mixed" if device.startswith("cuda") else "full"


class OfficialPerformance:
    """Frames of one shot. A frame depends on the drive around it alone, so any order gives the same pictures."""

    def __init__(self, avatar: Avatar, shot: Shot, inputs: Inputs, device: str) -> None:
        self.networks, self.field, arrays = loaded(avatar, device)
        self.reference, self.size, self._background = shot.reference, shot.size, shot.background
        self._precision = precision_of(shot.precision, device)
        self._memory_mb = shot.memory_mb
        own, fov = arrays["camera"][0].astype(float), math.radians(self.field.config.camera.fov)
        self._coefficients = torch.from_numpy(arrays["coefficients"]).to(self.field.ws)[None]
        drive = build_official_drive(shot, inputs, self.networks, arrays["coefficients"], placement_of(own, fov))
        cameras, clamped = cameras_of(own, drive.poses, drive.views, fov, not shot.reference, shot.frames)
        self._cameras = torch.from_numpy(cameras).to(self.field.ws)
        self._camera_bytes = [camera.tobytes() for camera in self._cameras.cpu().numpy()]
        self._paints = self.networks.mouth is not None and self.networks.parser is not None
        lacking = [] if self._paints else ["without LipaintNet and the parsing network mouths show what the field has"]
        self._drive = Drive(
            drive.expression, drive.poses, drive.views, (*drive.warnings, *clamped, *lacking), drive.names
        )
        found = [imported_if_any(role) for role in ("mouth", "segmentation", "face_model")]
        models = [each.sha256 if each else "" for each in found]
        if shot.background != "keep":
            models += [find_model(role).sha256 for role in ("face", "matting")]
        kind = device.partition(":")[0]  # any card makes the same picture
        what = f"{shot.size}|{shot.reference}|{shot.background}|{kind}|{models}"
        what += "|mixed" if self._precision == "mixed" else ""
        what += "|compiled" if shot.compile else ""  # sums in another order
        self._told: list[str] = []  # nothing more of this object stays with the field, which is kept for the next one
        self.field.compile(shot.compile, self._told.append)
        self._base = f"nerffacespeech {RENDERER}|{avatar.content}|{what}".encode()
        self._volumes: OrderedDict[int, Volume] = OrderedDict()
        self._mouths: OrderedDict[int, Volume] = OrderedDict()
        self._masks: OrderedDict[int, Tensor] = OrderedDict()
        with torch.no_grad():
            self._prepare_bending(torch.from_numpy(arrays["torso"]).to(device))

    @property
    def drive(self) -> Drive:
        return replace(self._drive, warnings=(*self._drive.warnings, *self._told))

    def fingerprint(self, at: int) -> bytes:
        window, _ = mask_window(at, len(self.drive), self.reference)
        parts = [self._base, str(at - window.start).encode()]
        for frame in (at, *window):
            parts += [self.drive.expression[frame].tobytes(), self._camera_bytes[frame]]
        return b"|".join(parts)

    @torch.no_grad()
    def frame(self, at: int) -> np.ndarray:
        mouth = FeatureMix(self._mouth(at).features, self._mask(at)) if self._paints else None
        image = self.field.picture(self._volume(at), mouth, self._precision, memory_mb=self._memory_mb)
        pixels = to_pixels(image)[0].cpu().numpy()
        if pixels.shape[0] != self.size:
            way = cv2.INTER_AREA if pixels.shape[0] > self.size else cv2.INTER_CUBIC
            pixels = cv2.resize(pixels, (self.size, self.size), interpolation=way)
        return before(pixels, self._background)

    # What a frame is made of ------------------------------------------------------------------------------------------
    def _volume(self, at: int) -> Volume:
        """The person with the frame's expression, bent."""
        camera = self._cameras[at : at + 1]
        return _kept(self._volumes, at, lambda: self.field.volume(
            camera, freeze_background=True, positions=self._positions, deform=self._deform(at)))  # fmt: skip

    def _mouth(self, at: int) -> Volume:
        """The person whose styles LipaintNet changed, not bent: what the mouth's inside is taken from."""

        def render() -> Volume:
            assert self.networks.mouth is not None
            styles = mouth_styles(self.networks.mouth, self.field.ws, self._expression(at), self.field.config.first_2d)
            return self.field.with_styles(self._cameras[at : at + 1], styles, self._positions)

        return _kept(self._mouths, at, render)

    def _mask(self, at: int) -> Tensor:
        """[1, 1, S, S]: 0 in the mouth, smoothed over the frames around."""
        return smooth_mask(self._own_mask, at, len(self.drive), self.reference)

    def _own_mask(self, at: int) -> Tensor:
        """Where the mouth is. The published program looks at the unbent picture of the changed styles; by default it
        is looked for in the frame itself, small."""

        def look() -> Tensor:
            assert self.networks.parser is not None
            if self.reference:
                picture = self.field.picture(self._mouth(at), None, self._precision, memory_mb=self._memory_mb)
                side = parsing.SIDE
            else:
                size = self.field.level(MASK_SIDE)
                picture = self.field.picture(self._volume(at), size=size, memory_mb=self._memory_mb)
                side = MASK_SIDE
            classes = parsing.parse(self.networks.parser, picture, side, self.reference)
            return keep_mask(parsing.is_one_of(classes, parsing.MOUTH)).to(picture)

        return _kept(self._masks, at, look)

    # Bending ----------------------------------------------------------------------------------------------------------
    def _prepare_bending(self, torso: Tensor) -> None:
        """The vertices at rest; for the published deformation also where the front view's samples are, for every
        frame and camera."""
        self._still = torso_points(torso, self.reference).to(self._coefficients)
        rest = face_points(self.networks.face, self._coefficients, self.reference)[0]
        self._rest = torch.cat([rest, self._still])
        self._positions: Positions | None = None
        if self.reference:
            front = self.field.volume(front_camera(torch.eye(3)[None]).to(self.field.ws), freeze_background=True)
            self._positions = front.positions
            points = (front.points, front.points if front.fine_points is None else front.fine_points)
            self._nearest = [nearest_vertices(self._rest, each[0, :, 1:]) for each in points]

    def _expression(self, at: int) -> Tensor:
        """[1, 64]"""
        return torch.from_numpy(self.drive.expression[at : at + 1]).to(self._coefficients)

    def _deform(self, at: int) -> Deform:
        coefficients = self._coefficients.clone()
        coefficients[:, EXPRESSION] = self._expression(at)
        moved = torch.cat([face_points(self.networks.face, coefficients, self.reference)[0], self._still])
        if self.reference:
            return VertexDeformation((self._rest - moved)[None], *self._nearest)
        return SpatialDeformation(self._rest, moved)


def _kept(kept: OrderedDict[int, Value], at: int, make: Callable[[], Value]) -> Value:
    """The value of a frame, from the last few or made now."""
    if at not in kept:
        kept[at] = make()
        while len(kept) > KEPT:
            kept.popitem(last=False)
    return kept[at]
