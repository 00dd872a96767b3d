"""Where the field is dense, before any colour: head surface, relief, how they move, what the photo sees of them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..head.avatar import AvatarHead
from ..head.model import HeadModel
from ..head.surface import vertex_normals
from ..landmarks import CHIN, LEFT_LIDS, OUTER_LIPS, RIGHT_LIDS, STOMION
from ..portrait.regions import disc, polygon_mask
from ..rendering.shells import CAVITY, FAR, RELIEF, SKIN, TEETH, project
from ..spaces import to_camera
from ..values import HeadFit
from .canonical import (
    LAYER_OF_PART,
    Sight,
    beyond_photo,
    look,
    overhang,
    part_members,
    sample,
    without_rim,
    without_strips,
)  # fmt: skip
from .members import has_long_hair, head_members, named
from .motion import FieldMotion
from .relief import BEYOND, CELLS, Relief, build_relief
from .rims import bare_neck, foreign_light, other_than_skin, outline_rim, sides_of
from .scene import Scene

MOUTH_DEPTH = 0.055  # metres behind the lips over which light dies out in the mouth
MOUTH_DARKEST, CHEEKS_DARKEST = 0.24, 0.18  # what remains of it, and beside and above the tongue
AROUND_OPENINGS = 0.025  # of the side: so far around eyes and mouth nothing may lie under the skin
INCISORS = 0.003  # metres behind the lips as deep as which the foremost teeth lie: they are round, wet and catch light
TONGUE_TIP, TONGUE_FALL = 0.008, 1.5  # metres behind the lips as deep as which a tongue's tip lies; then so much faster
TONGUE_SIDES = 0.036  # metres by which a tongue's sides, down between the teeth, are as good as deeper
CHEEKS, CHEEKS_FALL = 0.006, 1.5  # metres behind the lips from which the cheeks' insides lose so much more
JAW_SLIT = 0.02  # of the side behind a jaw's edge


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
    shadow: np.ndarray  # [R, R, 2], see Shells
    foreign: np.ndarray  # [R, R], see Shells
    below_jaw: np.ndarray  # [R, R], see Sight
    hangs: np.ndarray  # [R, R], see `overhang`
    rim: np.ndarray  # [V], see Shells
    mouth_light: np.ndarray  # [V] 1 in the open, towards MOUTH_DARKEST deep in the mouth


def build_geometry(scene: Scene, head: AvatarHead, model: HeadModel) -> Geometry:
    """Head surface, relief and how they move."""
    to_world = scene.fit.camera.camera_to_world
    surface = head.surface(scene.fit.expression)
    points = to_camera(surface, to_world)
    head_layer = model_layers(model)[model.face_part]
    skin_faces = model.faces[head_layer == SKIN]
    normals, neck = vertex_normals(points, model.faces), model.regions["neck"]
    sight = look(points, normals, skin_faces, neck, scene.lens, scene.side, _margin(scene.side))
    skin = points[np.unique(skin_faces)]
    relief = build_relief(scene.matte, sight.depth, scene.lens, scene.ear_plane, skin, _openings(scene))
    motion = field_motion(scene.fit, head, model, relief)
    return _join(scene, model, motion, relief, sight, head_layer, _mouth_light(model, surface))


def _openings(scene: Scene) -> np.ndarray:
    """uint8 [R, R]: eyes and mouth, and what lies around them."""
    out = np.zeros((scene.side, scene.side), np.uint8)
    for outline in (OUTER_LIPS, RIGHT_LIDS, LEFT_LIDS):
        out |= polygon_mask(scene.landmarks[list(outline), :2], scene.side, scene.side) > 0.5
    return cv2.dilate(out, disc(AROUND_OPENINGS * scene.side))


def _margin(side: int) -> int:
    """Pixels around the picture in which the relief goes on."""
    return BEYOND * side // CELLS


def _join(
    scene: Scene, model: HeadModel, motion: FieldMotion, relief: Relief, sight: Sight, head_layer: np.ndarray,
    mouth_light: np.ndarray,
) -> Geometry:  # fmt: skip
    """Head and relief in one set of arrays, the head's vertices first."""
    count, extra = len(sight.uv), len(relief.points)
    relief_uv = project(relief.points, *scene.lens)[:, :2]
    relief_normal = vertex_normals(relief.points, relief.faces)
    view = relief.points / np.linalg.norm(relief.points, axis=1, keepdims=True)
    uv = np.concatenate([sight.uv[:, :2], relief_uv])
    beyond = beyond_photo(uv, scene.side) > 0
    shown = np.where(beyond, 0, np.concatenate([sight.shown, np.ones(extra)]))
    hangs = overhang(sight.below_jaw, scene.bare)
    cut = beyond[:count] & (sight.shown > 0.5)
    hair = without_rim(scene.regions["hair"], scene.matte)
    regions = scene.regions | {"hair": hair, "skin": scene.regions["skin"] + scene.regions["hair"] - hair}
    regions = {name: scene.outward(mask) for name, mask in regions.items()}
    members = part_members(regions, scene.outward(without_strips(scene.bare, scene.matte)), uv)
    members[:count] = head_members(
        members[:count], model, shown[:count], sight.facing, cut, uv[:count, 1] > scene.side,
        sample(scene.matte, uv[:count]), has_long_hair(scene),
    )
    members[:count] += sample(hangs, uv[:count])[:, None] * (named("skin") - members[:count])
    margin = _margin(scene.side)
    depth = sight.depth[margin : margin + scene.side, margin : margin + scene.side]
    rim = outline_rim(scene, depth, sight.below_jaw, relief_uv)
    rim *= 1 - bare_neck(scene, uv[:count][model.regions["neck"] > 0.5, :2], relief_uv)
    return Geometry(
        motion=motion,
        faces=np.concatenate([model.faces, relief.faces + count]).astype(np.int32),
        layer=np.concatenate([head_layer, np.full(len(relief.faces), RELIEF)]).astype(np.uint8),
        shown=shown.astype(np.float32),
        normal=np.concatenate([sight.normal, relief_normal]).astype(np.float32),
        facing=np.concatenate([sight.facing, -(relief_normal * view).sum(1)]).astype(np.float32),
        uv=uv,
        members=members,
        shadow=sight_depth(depth, sight.below_jaw),
        foreign=np.maximum.reduce([hangs, foreign_light(scene), other_than_skin(scene, depth)]),
        below_jaw=sight.below_jaw,
        hangs=hangs,
        rim=np.concatenate([sides_of(model), rim]),
        mouth_light=np.concatenate([mouth_light, np.ones(extra)]).astype(np.float32),
    )


def sight_depth(depth: np.ndarray, below_jaw: np.ndarray) -> np.ndarray:
    """[R, R, 2] metres up to which the photo counts as seen, of the head's surface `depth` [R, R]: a pixel more than
    that, and a little of the neck behind a jaw's edge: what shows where the jaw closes is like the edge. That much less
    it is when the head turns and shows the neck itself."""
    depth = np.minimum(depth, FAR)
    shadow = cv2.dilate(depth, np.ones((3, 3), np.uint8))
    wide = 2 * max(1, round(JAW_SLIT * len(below_jaw))) + 1
    neck = np.where((below_jaw >= 0) & np.isfinite(below_jaw), depth, 0).astype(np.float32)
    behind = cv2.dilate(neck, np.ones((wide, wide), np.uint8))
    slit = (below_jaw > -JAW_SLIT) & (below_jaw <= 0) & (shadow < FAR)
    more = np.where(slit, np.maximum(behind - shadow, 0, where=slit, out=np.zeros_like(shadow)), 0)
    return np.stack([shadow + more, more], -1)


def _mouth_light(model: HeadModel, points: np.ndarray) -> np.ndarray:
    """[V] light that reaches each head vertex, `points` [V, 3] in head space, through the lips; 1 outside."""
    inside = np.isin(model_layers(model)[model.vertex_part], (CAVITY, TEETH))
    behind = points[model.faces[model.landmark_faces[STOMION]][0], 2] - points[:, 2]
    tongue, cheeks = model.part("tongue"), model.part("mouth_cavity")
    for row in (model.part("teeth_upper"), model.part("teeth_lower")):
        behind[row] += INCISORS - behind[row].min()
    aside = np.abs(points[tongue, 0] - points[tongue, 0].mean())
    along = behind[tongue] - behind[tongue].min()
    behind[tongue] = TONGUE_TIP + along * TONGUE_FALL + TONGUE_SIDES * (aside / aside.max()) ** 3
    behind[cheeks] += np.maximum(behind[cheeks] - CHEEKS, 0) * CHEEKS_FALL
    darkest = np.full(len(points), MOUTH_DARKEST)
    darkest[cheeks] = CHEEKS_DARKEST
    return np.where(inside, np.clip(1 - behind / MOUTH_DEPTH, darkest, 1), 1.0)


def model_layers(model: HeadModel) -> np.ndarray:
    """Shell layer of each of the model's parts."""
    return np.array([LAYER_OF_PART[name] for name in model.parts])


def field_motion(fit: HeadFit, head: AvatarHead, model: HeadModel, relief: Relief) -> FieldMotion:
    """How a fitted head and its relief move."""
    outer = np.unique(model.faces[model_layers(model)[model.face_part] == SKIN])
    chin = int(model.faces[model.landmark_faces[CHIN]][0])
    return FieldMotion(head, relief, outer, fit.expression, chin, fit.camera.camera_to_world)
