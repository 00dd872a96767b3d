"""HeadField: the embedded generator, a radiance field of one person's head in canonical space.

Canonical space is the head as the portrait shows it, in the portrait camera's axes. Density lives in shells around
the fitted head (skin, eyeballs, teeth, mouth cavity) and around a relief of hair and shoulders; colour in feature
planes aligned with the portrait's camera, one for each layer; the background is a separate frozen picture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from ..head.avatar import AvatarHead
from ..head.model import HeadModel, load_head_model
from ..head.surface import vertex_normals
from ..portrait.fill import push_pull
from ..rendering.shells import CAVITY, RELIEF, SKIN, TEETH, Shells
from ..values import Camera, HeadFit
from .appearance import PARTS, Appearance, harmonics
from .canonical import (
    HAIR_THICKNESS,
    LAYER_OF_PART,
    SKIN_THICKNESS,
    SOLIDITY_BLUR,
    bare_skin,
    completed_colour,
    look,
    part_members,
    rim_distance,
    sample,
)  # fmt: skip
from .motion import FieldMotion, to_camera
from .planes import Layers
from .relief import Relief, build_relief

FIT_ARRAYS = ("identity", "expression", "offsets", "expression_offsets")
HAIRY = 0.25  # of the seen scalp: more hair than this, and the unseen rest has hair
LIDS = ("lid_upper_l", "lid_upper_r")
GUMS = np.array([0.6, 0.75, 0.85], np.float32)  # the same on teeth, which are pale and catch more of it
NECK_SHADE = 0.92
CROWNS = 0.7  # light that teeth turned away from the viewer keep
TEETH_IN_ROW, GAP, GAP_SHADE = 14, 0.14, 0.3  # of the model's rows; a gap's half width in teeth, and what it takes
GUM_HEIGHT = 0.08  # of the crown's length
UNDERSIDE = 0.3  # of the light, lost where skin faces straight down (under chin and jaw)
FLESH = np.array([0.75, 1.25, 1.25], np.float32)  # light that dies out in the mouth turns red on its way
MOUTH_DEPTH = 0.045  # metres behind the lips over which light dies out in the mouth
MOUTH_DARKEST = 0.10
CHIN_LANDMARK = 152
LIP_LANDMARK = 13


@dataclass(frozen=True)
class Scene:
    """The framed portrait, float32 sRGB 0..1: photo and background [R, R, 3], matte [R, R], regions of
    values.REGION_NAMES [R, R], landmarks [478, 3] in pixels of the frame, camera of the frame inside `fit`."""

    photo: np.ndarray
    background: np.ndarray
    matte: np.ndarray
    regions: dict[str, np.ndarray]
    landmarks: np.ndarray
    fit: HeadFit

    @property
    def side(self) -> int:
        return self.photo.shape[0]

    @property
    def lens(self) -> tuple[float, float, float]:
        camera = self.fit.camera
        return camera.focal, camera.cx, camera.cy


@dataclass(frozen=True)
class Geometry:
    """Where the field is dense, before any colour: the moving points, their triangles and the photo's view of them."""

    motion: FieldMotion
    faces: np.ndarray
    layer: np.ndarray
    shown: np.ndarray
    normal: np.ndarray
    facing: np.ndarray
    uv: np.ndarray
    members: np.ndarray  # [V, PARTS]
    shadow: np.ndarray  # [R, R], see Shells
    mouth_light: np.ndarray  # [V] 1 in the open, towards MOUTH_DARKEST deep in the mouth


def build_geometry(scene: Scene, head: AvatarHead, model: HeadModel) -> Geometry:
    """Head surface, relief and how they move."""
    pose = scene.fit.camera.camera_to_world
    points = to_camera(head.vertices(scene.fit.expression), pose)
    layer_of = model_layers(model)
    head_layer = layer_of[model.face_part]
    skin_faces = model.faces[head_layer == SKIN]
    sight = look(points, vertex_normals(points, model.faces), skin_faces, scene.lens, scene.side)
    ear_plane = to_camera(np.zeros((1, 3)), pose)[0], pose[:3, :3].T[:, 2] * np.array([1, -1, -1])
    relief = build_relief(scene.matte, sight.depth, scene.lens, ear_plane, points[np.unique(skin_faces)])
    motion = field_motion(scene.fit, head, model, relief)
    return _join(scene, model, motion, relief, sight, head_layer, layer_of)


def _join(scene, model, motion, relief: Relief, sight, head_layer, layer_of) -> Geometry:  # type: ignore[no-untyped-def]
    count, extra = len(sight.uv), len(relief.points)
    lens = scene.lens
    relief_uv = np.stack([lens[0] * relief.points[:, k] / relief.points[:, 2] + lens[k + 1] for k in (0, 1)], 1)
    relief_normal = vertex_normals(relief.points, relief.faces)
    view = relief.points / np.linalg.norm(relief.points, axis=1, keepdims=True)
    uv = np.concatenate([sight.uv[:, :2], relief_uv])
    members = part_members(scene.regions, scene.photo, uv, PARTS)
    _presume_members(members[:count], sight.shown, model.regions["scalp"])
    for part, name in ((6, "teeth_upper"), (6, "teeth_lower"), (7, "tongue"), (1, "mouth_cavity")):
        members[:count][model.vertex_part == model.parts.index(name)] = np.eye(len(PARTS))[part]
    for name in ("eye_left", "eye_right"):
        members[:count][model.vertex_part == model.parts.index(name)] = np.eye(len(PARTS))[4]
    depth = motion.rest_head[:, 2]
    lip = depth[model.faces[model.landmark_faces[LIP_LANDMARK]][0]]
    inner = np.isin(layer_of[model.vertex_part], (CAVITY, TEETH))
    dim = np.clip(1 - (depth - lip) / MOUTH_DEPTH, MOUTH_DARKEST, 1)
    mouth_light = np.concatenate([np.where(inner, dim, 1.0), np.ones(extra)])
    return Geometry(
        motion=motion,
        faces=np.concatenate([model.faces, relief.faces + count]).astype(np.int32),
        layer=np.concatenate([head_layer, np.full(len(relief.faces), RELIEF)]).astype(np.uint8),
        shown=np.concatenate([sight.shown, np.ones(extra)]).astype(np.float32),
        normal=np.concatenate([sight.normal, relief_normal]).astype(np.float32),
        facing=np.concatenate([sight.facing, -(relief_normal * view).sum(1)]).astype(np.float32),
        uv=uv, members=members, shadow=cv2.dilate(sight.depth, np.ones((3, 3), np.uint8)),
        mouth_light=mouth_light.astype(np.float32),
    )  # fmt: skip


def _presume_members(members: np.ndarray, shown: np.ndarray, scalp: np.ndarray) -> None:
    """Unseen head surface is skin, or what the seen scalp mostly is; never what happens to lie in front of it."""
    hidden = shown < 0.5
    visible = (shown > 0.5) & (scalp > 0.5)
    members[hidden] = np.eye(len(PARTS))[PARTS.index("skin")]
    if visible.any():
        hair = members[visible, PARTS.index("hair")].mean() > HAIRY
        members[hidden & (scalp > 0.5)] = np.eye(len(PARTS))[PARTS.index("hair" if hair else "skin")]


def latent_shells(scene: Scene, geometry: Geometry, appearance: Appearance, layers: Layers) -> Shells:
    """The field as its latents alone describe it: no texel of the photo, only the matte's outline."""
    colour = appearance.colour(geometry.members, geometry.normal) * geometry.mouth_light[:, None] ** FLESH
    count = len(geometry.uv)
    relief = np.arange(count) >= len(geometry.motion.rest_head)
    camera = scene.fit.camera
    return Shells(
        rest=geometry.motion.rest, faces=geometry.faces, layer=geometry.layer,
        seen=np.zeros(count, np.float32), fill=colour.astype(np.float32),
        solid=np.where(relief, sample(scene.matte, geometry.uv), _solidity(scene, geometry.uv)).astype(np.float32),
        thickness=np.where(relief, HAIR_THICKNESS, SKIN_THICKNESS).astype(np.float32),
        normal=geometry.normal, planes=layers.planes, shadow=geometry.shadow,
        focal=camera.focal, cx=camera.cx, cy=camera.cy,
    )  # fmt: skip


def photo_shells(scene: Scene, geometry: Geometry, appearance: Appearance, layers: Layers, model: HeadModel) -> Shells:
    """The field with the photo's layers in its planes: where tuning starts."""
    latent = latent_shells(scene, geometry, appearance, layers)
    seen = np.ones(len(geometry.shown), np.float32)
    solid = latent.solid.copy()
    fill = latent.fill.copy()
    count = len(geometry.motion.rest_head)
    layer_of = model_layers(model)[model.vertex_part]
    skin = np.flatnonzero(layer_of == SKIN)
    own = sample(layers.planes[SKIN, ..., :3], geometry.uv[:count])
    inside = rim_distance(scene.matte)
    trust = np.where(layer_of == SKIN, geometry.shown[:count], 0) * np.clip(geometry.facing[:count], 0, 1) ** 2
    trust *= sample(inside, geometry.uv[:count])
    trust *= 1 - geometry.members[:count, PARTS.index("clothes")]  # no collar's colour spreads over a neck
    fill[skin] = completed_colour(own, trust, fill[:count], model.mirror, model.faces)[skin]
    fill[skin] *= 1 - UNDERSIDE * np.clip(geometry.normal[skin, 1:2], 0, 1)
    _fill_lids(geometry, model, layers, fill)
    _fill_neck(scene, geometry, model, layers, fill)
    smooth = push_pull(layers.planes[RELIEF, ..., :3], inside)
    fill[count:] = sample(smooth, geometry.uv[count:])
    eyes = np.flatnonzero(np.isin(model.vertex_part, [model.parts.index(n) for n in ("eye_left", "eye_right")]))
    seen[eyes] = np.clip(geometry.facing[eyes] * 4, 0, 1)
    inner = np.flatnonzero(np.isin(layer_of, (TEETH, CAVITY)) & (model.vertex_part != model.parts.index("eye_socket")))
    seen[inner] = sample(layers.opening, geometry.uv[inner])
    _fill_teeth(geometry, appearance, model, layers, fill)
    if not layers.shows_teeth:
        seen[model.part("teeth_upper")] = 0
    # The nape would stick out beside hair and collar that the photo shows in front of it: it stays unseen.
    nape = (model.regions["neck"] > 0.3) & (geometry.facing[:count] < -0.1) & (np.abs(geometry.normal[:count, 1]) < 0.6)
    solid[:count][nape] = 0
    return replace(latent, seen=seen, fill=fill, solid=solid)


def _fill_teeth(
    geometry: Geometry, appearance: Appearance, model: HeadModel, layers: Layers, fill: np.ndarray
) -> None:
    """Crowns in the portrait's light, darker in the gaps between them, gum where they end."""
    teeth = np.flatnonzero(np.isin(model.vertex_part, [model.parts.index(n) for n in ("teeth_upper", "teeth_lower")]))
    light = np.clip(harmonics(geometry.normal[teeth]) @ appearance.light, 0.85, 1.1)
    along, up = model.uv[teeth].T  # teeth counted along the row, 0 at the gum
    from_gap = np.abs(along * TEETH_IN_ROW - np.round(along * TEETH_IN_ROW))
    light *= (1 - GAP_SHADE * np.exp(-((from_gap / GAP) ** 2)))[:, None]
    light *= CROWNS + (1 - CROWNS) * np.clip(geometry.facing[teeth, None], 0, 1)
    gum = np.clip(1 - up / GUM_HEIGHT, 0, 1)[:, None]
    colour = layers.tooth * (1 - gum) + appearance.albedo[PARTS.index("tongue")] * gum
    fill[teeth] = np.clip(colour * light * geometry.mouth_light[teeth, None] ** GUMS, 0, 1)


def _fill_lids(geometry: Geometry, model: HeadModel, layers: Layers, fill: np.ndarray) -> None:
    """A lid's own pixels are lashes and folds; closed, it shows skin like that around it."""
    weight = np.clip(3 * np.maximum(*(model.regions[name] for name in LIDS)), 0, 1)
    at = np.flatnonzero(weight > 0)
    skin = sample(layers.lid, geometry.uv[at])
    fill[at] += weight[at, None] * (skin - fill[at])


def _fill_neck(scene: Scene, geometry: Geometry, model: HeadModel, layers: Layers, fill: np.ndarray) -> None:
    """The neck behind the chin is the visible neck continued, in the chin's shade."""
    count = len(model.vertex_part)
    weight = model.regions["neck"] * (1 - geometry.shown[:count])
    neck = scene.regions["neck_shoulders"] > 0.8
    like = bare_skin(scene.photo, scene.regions["skin"]) > 0.7
    if (neck & like).sum() < 4e-4 * scene.side**2:
        return
    continued = push_pull(layers.planes[SKIN, ..., :3], (neck & like).astype(np.float32))
    at = np.flatnonzero(weight > 0)
    fill[at] += weight[at, None] * (NECK_SHADE * sample(continued, geometry.uv[at]) - fill[at])


def _solidity(scene: Scene, uv: np.ndarray) -> np.ndarray:
    """[V] 0..1: unseen surface is solid where its projection falls on the person, with a soft rim."""
    blurred = cv2.GaussianBlur(scene.matte, (0, 0), SOLIDITY_BLUR * scene.side)
    return np.clip(sample(blurred, uv) * 4 - 0.6, 0, 1)


@dataclass(frozen=True)
class HeadField:
    """A finished field: shells, how they move, the frozen background uint8 [R, R, 3] and the fit it came from."""

    shells: Shells
    motion: FieldMotion
    background: np.ndarray
    fit: HeadFit

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Plain arrays for safetensors; what the head model can make again is left out."""
        shells, relief, fit = self.shells, self.motion.relief, self.fit
        camera = fit.camera
        return {
            **{f"shells.{name}": getattr(shells, name) for name in ("seen", "fill", "solid", "normal", "shadow")},
            "shells.planes": shells.planes.astype(np.float16),
            "relief.points": relief.points, "relief.faces": relief.faces,
            "relief.bound": relief.bound.astype(np.int32), "relief.weights": relief.weights,
            "background": self.background,
            "camera": np.array([camera.width, camera.height, camera.focal, camera.cx, camera.cy]),
            "camera_to_world": np.asarray(camera.camera_to_world, np.float64),
            "fit.pose": np.array(fit.pose), "fit.residual": np.array(fit.residual),
            **{f"fit.{name}": np.asarray(getattr(fit, name)) for name in FIT_ARRAYS},
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
        head_layer = model_layers(model)[model.face_part]
        is_relief = np.arange(len(motion.rest)) >= len(motion.rest_head)
        shells = Shells(
            rest=motion.rest,
            faces=np.concatenate([model.faces, relief.faces + len(motion.rest_head)]).astype(np.int32),
            layer=np.concatenate([head_layer, np.full(len(relief.faces), RELIEF)]).astype(np.uint8),
            thickness=np.where(is_relief, HAIR_THICKNESS, SKIN_THICKNESS).astype(np.float32),
            planes=arrays["shells.planes"].astype(np.float32), focal=camera.focal, cx=camera.cx, cy=camera.cy,
            **{name: arrays[f"shells.{name}"] for name in ("seen", "fill", "solid", "normal", "shadow")},
        )  # fmt: skip
        return cls(shells, motion, arrays["background"], fit)


def model_layers(model: HeadModel) -> np.ndarray:
    """Shell layer of each of the model's parts."""
    return np.array([LAYER_OF_PART[name] for name in model.parts])


def field_motion(fit: HeadFit, head: AvatarHead, model: HeadModel, relief: Relief) -> FieldMotion:
    """How a fitted head and its relief move."""
    outer = np.unique(model.faces[model_layers(model)[model.face_part] == SKIN])
    chin = int(model.faces[model.landmark_faces[CHIN_LANDMARK]][0])
    return FieldMotion(head, relief, outer, fit.expression, chin, fit.camera.camera_to_world)
