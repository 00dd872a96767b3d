"""Where the field is dense, before any colour: head surface, relief, how they move, what the photo sees of them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..head.avatar import AvatarHead
from ..head.model import HeadModel
from ..head.surface import vertex_normals
from ..rendering.shells import CAVITY, RELIEF, SKIN, TEETH, project
from ..spaces import to_camera
from ..values import HeadFit
from .appearance import PARTS
from .canonical import (
    LAYER_OF_PART,
    Sight,
    bare_skin,
    beyond_photo,
    diffuse,
    look,
    overhang,
    part_members,
    sample,
)  # fmt: skip
from .motion import FieldMotion
from .relief import BEYOND, CELLS, Relief, build_relief
from .rims import foreign_light, outline_rim, sides_of
from .scene import Scene

APPEARANCE_OF_PART = {
    "teeth_upper": "teeth", "teeth_lower": "teeth", "tongue": "tongue", "mouth_cavity": "lips",
    "eye_left": "sclera", "eye_right": "sclera",
}  # fmt: skip
EAR = ((0.062, 0.1), (-0.04, 0.038), (-0.05, 0.018))  # metres, head space: |x|, y, z of what sticks out beside it
EAR_SEEN, EAR_COVERED = 0.15, 0.5  # of an ear shown, to judge it by itself; of that hair, to call it covered
EARS_TOP, EARS_BACK = 0.04, -0.025  # metres, head space: above or behind these lies no fold of an ear
TEMPLES = 0.01  # metres, head space: above this, hair on one side of the head is hair on the other
SCALP_FORGETTING = 1e-5  # see `diffuse`: a fringe goes on all the way around the head
HAIRY = 0.25  # of the seen scalp: more hair than this, and the unseen rest has hair
MOUTH_DEPTH = 0.055  # metres behind the lips over which light dies out in the mouth
MOUTH_DARKEST = 0.2
CHIN_LANDMARK = 152
LIP_LANDMARK = 13


@dataclass(frozen=True)
class Geometry:
    """Where the field is dense, before any colour: V moving points (the head's, then the relief's) in camera space,
    their triangles, and the photo's view of them."""

    motion: FieldMotion
    faces: np.ndarray  # [F, 3]
    layer: np.ndarray  # [F] layers of rendering.shells
    shown: np.ndarray  # [V] 0 or 1: by the photo, not beyond its top and sides
    normal: np.ndarray  # [V, 3] outward
    facing: np.ndarray  # [V] cosine between normal and the way to the camera
    uv: np.ndarray  # [V, 2] pixels of the frame
    members: np.ndarray  # [V, PARTS]
    shadow: np.ndarray  # [R, R], see Shells
    foreign: np.ndarray  # [R, R], see Shells
    rim: np.ndarray  # [V], see Shells
    mouth_light: np.ndarray  # [V] 1 in the open, towards MOUTH_DARKEST deep in the mouth


def build_geometry(scene: Scene, head: AvatarHead, model: HeadModel) -> Geometry:
    """Head surface, relief and how they move."""
    pose = scene.fit.camera.camera_to_world
    points = to_camera(head.surface(scene.fit.expression), pose)
    head_layer = model_layers(model)[model.face_part]
    skin_faces = model.faces[head_layer == SKIN]
    normals, neck = vertex_normals(points, model.faces), model.regions["neck"]
    sight = look(points, normals, skin_faces, neck, scene.lens, scene.side, _margin(scene.side))
    ear_plane = to_camera(np.zeros((1, 3)), pose)[0], pose[:3, :3].T[:, 2] * np.array([1, -1, -1])
    relief = build_relief(scene.matte, sight.depth, scene.lens, ear_plane, points[np.unique(skin_faces)])
    motion = field_motion(scene.fit, head, model, relief)
    return _join(scene, model, motion, relief, sight, head_layer)


def _margin(side: int) -> int:
    """Pixels around the picture in which the relief goes on."""
    return BEYOND * side // CELLS


def _join(
    scene: Scene, model: HeadModel, motion: FieldMotion, relief: Relief, sight: Sight, head_layer: np.ndarray
) -> Geometry:
    """Head and relief in one set of arrays, the head's vertices first."""
    count, extra = len(sight.uv), len(relief.points)
    relief_uv = project(relief.points, *scene.lens)[:, :2]
    relief_normal = vertex_normals(relief.points, relief.faces)
    view = relief.points / np.linalg.norm(relief.points, axis=1, keepdims=True)
    uv = np.concatenate([sight.uv[:, :2], relief_uv])
    beyond = beyond_photo(uv, scene.side) > 0
    shown = np.where(beyond, 0, np.concatenate([sight.shown, np.ones(extra)]))
    whole = scene.beyond_outline()
    members = part_members(whole.regions, whole.photo, uv, PARTS)
    _name_members(members[:count], model, shown[:count], beyond[:count] & (sight.shown > 0.5))
    _presume_ears(members[:count], model, (shown[:count] > 0.5) & (sample(scene.matte, uv[:count]) > 0.5))
    hangs = overhang(sight.below_jaw, bare_skin(scene.photo, scene.regions["skin"]))
    below = sample(hangs, uv[:count])[:, None]
    members[:count] += below * (np.eye(len(PARTS))[PARTS.index("skin")] - members[:count])
    margin = _margin(scene.side)
    depth = sight.depth[margin : margin + scene.side, margin : margin + scene.side]
    rim = outline_rim(scene, whole, depth, sight.below_jaw, relief_uv)
    light = np.concatenate([_mouth_light(model, motion.rest_head[:, 2]), np.ones(extra)])
    return Geometry(
        motion=motion,
        faces=np.concatenate([model.faces, relief.faces + count]).astype(np.int32),
        layer=np.concatenate([head_layer, np.full(len(relief.faces), RELIEF)]).astype(np.uint8),
        shown=shown.astype(np.float32),
        normal=np.concatenate([sight.normal, relief_normal]).astype(np.float32),
        facing=np.concatenate([sight.facing, -(relief_normal * view).sum(1)]).astype(np.float32),
        uv=uv,
        members=members,
        shadow=cv2.dilate(np.ascontiguousarray(depth), np.ones((3, 3), np.uint8)),
        foreign=np.maximum(hangs, foreign_light(scene, whole)),
        rim=np.concatenate([sides_of(model), rim]),
        mouth_light=light.astype(np.float32),
    )


def _mouth_light(model: HeadModel, depth: np.ndarray) -> np.ndarray:
    """[V] light that reaches each head vertex of depth [V] through the lips, and about as much the eye sockets
    through the lids; 1 outside."""
    inside = np.isin(model_layers(model)[model.vertex_part], (CAVITY, TEETH))
    inside[model.part("eye_socket")] = True
    lip = depth[model.faces[model.landmark_faces[LIP_LANDMARK]][0]]
    return np.where(inside, np.clip(1 - (depth - lip) / MOUTH_DEPTH, MOUTH_DARKEST, 1), 1.0)


def _name_members(members: np.ndarray, model: HeadModel, shown: np.ndarray, cut: np.ndarray) -> None:
    """Parts of the head whose appearance the model knows, whatever the photo shows at their place. `cut` [V]: what a
    larger photo would show."""
    beyond_ears = (model.base[:, 1] > EARS_TOP) | (model.base[:, 2] < EARS_BACK)
    temples = model.base[:, 1] > TEMPLES
    twin = np.where(temples, model.mirror, -1)
    _presume_members(members, shown, cut, model.regions["scalp"], beyond_ears, twin, model.faces)
    for part, name in APPEARANCE_OF_PART.items():
        members[model.part(part)] = np.eye(len(PARTS))[PARTS.index(name)]


def _presume_members(
    members: np.ndarray, shown: np.ndarray, cut: np.ndarray, scalp: np.ndarray, beyond_ears: np.ndarray,
    twin: np.ndarray, faces: np.ndarray,
) -> None:  # fmt: skip
    """Unseen head surface is skin, or on the scalp what the seen scalp nearest to it is, or hair where its twin on the
    other side (-1: none) has it; never what happens to lie in front of it. What the photo's edges cut off is what the
    edge shows, up to the scalp, which is then what it mostly is."""
    skin, hair = (np.eye(len(PARTS))[PARTS.index(name)] for name in ("skin", "hair"))
    hidden = (shown < 0.5) & ~cut
    visible = (shown > 0.5) & (scalp > 0.5)
    other = (twin >= 0) * shown[twin] * members[twin, PARTS.index("hair")]
    members[hidden] = skin
    if visible.any():
        usual = hair if members[visible, PARTS.index("hair")].mean() > HAIRY else skin
        back = hidden & beyond_ears & (scalp > 0.5)
        share = _continued(members[:, PARTS.index("hair")], visible, faces)[back, None]
        members[back] = skin + np.clip(4 * share - 0.4, 0, 1) * (hair - skin)  # hairlines lie in front, not behind
        members[hidden & (other > 0.5)] = hair
        members[cut] += scalp[cut, None] * (usual - members[cut])  # softly: a hairline that nobody saw has no edge


def _continued(values: np.ndarray, known: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Values [V] of the `known` vertices, continued over all that hang together with them; 0 elsewhere."""
    weight = known.astype(float)
    total, share = diffuse(np.stack([values * weight, weight], 1), weight, faces, SCALP_FORGETTING).T
    return np.where(share > 1e-9, total / np.maximum(share, 1e-9), 0)


def _presume_ears(members: np.ndarray, model: HeadModel, visible: np.ndarray) -> None:
    """An ear that hair covers in the photo is hair in all its folds: a turn must not bring skin out of it. An ear that
    the photo doesn't show is like the other one. `visible` [V]: the photo shows this point of the person."""
    at = np.abs(model.base) * [1, 0, 0] + model.base * [0, 1, 1]
    ears = np.logical_and.reduce([(low < at[:, i]) & (at[:, i] < high) for i, (low, high) in enumerate(EAR)])
    hair = PARTS.index("hair")
    for side in (-1, 1):
        ear = ears & (np.sign(model.base[:, 0]) == side)
        seen = ear & visible
        witness = seen if seen.sum() > EAR_SEEN * ear.sum() else ears & visible
        if witness.any() and members[witness, hair].mean() > EAR_COVERED:
            members[ear & ~visible] = np.eye(len(PARTS))[hair]


def model_layers(model: HeadModel) -> np.ndarray:
    """Shell layer of each of the model's parts."""
    return np.array([LAYER_OF_PART[name] for name in model.parts])


def field_motion(fit: HeadFit, head: AvatarHead, model: HeadModel, relief: Relief) -> FieldMotion:
    """How a fitted head and its relief move."""
    outer = np.unique(model.faces[model_layers(model)[model.face_part] == SKIN])
    chin = int(model.faces[model.landmark_faces[CHIN_LANDMARK]][0])
    return FieldMotion(head, relief, outer, fit.expression, chin, fit.camera.camera_to_world)
