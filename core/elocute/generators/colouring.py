"""What the field looks like: by its latents alone, and with the photo's layers in its planes."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from ..head.model import HeadModel
from ..landmarks import OVAL
from ..portrait.fill import push_pull
from ..portrait.regions import polygon_mask
from ..ramps import ramp, smooth_step
from ..rendering.shells import CAVITY, RELIEF, SKIN, Shells
from .appearance import PARTS, Appearance, as_vivid
from .canonical import (
    HAIR_THICKNESS,
    OVERHANG,
    SKIN_THICKNESS,
    SOLIDITY_BLUR,
    beyond_photo,
    completed_colour,
    continued_colour,
    heights_above,
    rim_distance,
    sample,
)  # fmt: skip
from .geometry import Geometry, model_layers
from .hidden import fill_neck, fill_scalp, fill_teeth, fill_under_jaw, hair_colours, hidden_grain
from .lids import closed_lids
from .planes import Layers
from .scene import Scene

FLESH = np.array([0.85, 1.15, 1.15], np.float32)  # light that dies out in the mouth turns red on its way
HAIR_BLUR = 0.006  # of the side
CUT_FADE = (0.02, 0.06)  # of the side, beyond the photo's edge: its mirror image fades between these
CHIN_FADE = (0.5, 1.0)  # the same below it, of the way from there up to what hangs below the chin
CUT_BLUR = 0.06  # of the side: what the edge of hair and cloth is blurred by there, or it would be drawn out to streaks
CROWN_FADE = (0, 0.012)  # of the side, above a cut crown: the photo ends here
CROWN_RIM = 0.012  # of the side: how soft the outline is that closes it
SEAM = (0.05, 0.3)  # cosine to the photo's ray from which the photo begins to be, and is, what is seen of the skin
SPAN, SHOULDERS = 0.02, -0.13  # metres, head space: length of a shoulder's edges; y below which they are
UNDERSIDE = 0.3  # of the light, lost where skin faces straight down (under chin and jaw)


def latent_shells(scene: Scene, geometry: Geometry, appearance: Appearance, layers: Layers) -> Shells:
    """The field as its latents alone describe it: no texel of the photo, only the matte's outline."""
    fading = as_vivid(FLESH, appearance.albedo[PARTS.index("skin")])
    light = geometry.mouth_light[:, None] ** fading
    colour = appearance.colour(geometry.members, geometry.normal) * light + scene.black * (1 - light)
    count = len(geometry.uv)
    relief = np.arange(count) >= len(geometry.motion.rest_head)
    camera = scene.fit.camera
    return Shells(
        rest=geometry.motion.rest, faces=geometry.faces, layer=geometry.layer,
        seen=np.zeros(count, np.float32), fill=colour.astype(np.float32),
        grain=np.zeros((count, 3), np.float32), rim=geometry.rim,
        solid=np.where(relief, sample(scene.matte, geometry.uv), _solidity(scene, geometry.uv)).astype(np.float32),
        thickness=np.where(relief, HAIR_THICKNESS, SKIN_THICKNESS).astype(np.float32),
        normal=geometry.normal, planes=layers.planes, shadow=geometry.shadow, foreign=geometry.foreign,
        focal=camera.focal, cx=camera.cx, cy=camera.cy,
    )  # fmt: skip


def photo_shells(scene: Scene, geometry: Geometry, appearance: Appearance, layers: Layers, model: HeadModel) -> Shells:
    """The field with the photo's layers in its planes: where tuning starts."""
    latent = latent_shells(scene, geometry, appearance, layers)
    past = _past(geometry, scene)
    geometry = replace(geometry, shown=geometry.shown * (1 - past))
    seen = (1 - past).astype(np.float32)
    solid = latent.solid.copy()
    fill = latent.fill.copy()
    count = len(geometry.motion.rest_head)
    layer_of = model_layers(model)[model.vertex_part]
    skin = np.flatnonzero(layer_of == SKIN)
    own = sample(layers.planes[SKIN, ..., :3], geometry.uv[:count])
    inside = rim_distance(scene.matte)
    trust = np.where(layer_of == SKIN, geometry.shown[:count], 0) * np.clip(geometry.facing[:count], 0, 1) ** 2
    trust *= sample(inside * (1 - geometry.foreign), geometry.uv[:count])
    like = sample(scene.bare, geometry.uv[:count])
    trust *= 1 - geometry.members[:count, PARTS.index("skin")] * (1 - like)  # nor the frame of a pair of glasses
    trust *= 1 - geometry.members[:count, PARTS.index("clothes")]  # no collar's colour spreads over a neck
    fill[skin] = completed_colour(own, trust, fill[:count], model.mirror, model.faces)[skin]
    fill[skin] *= 1 - UNDERSIDE * np.clip(geometry.normal[skin, 1:2], 0, 1)
    shown = _shown(geometry, inside)
    hair = hair_colours(scene, inside, layers)
    fill_scalp(geometry, model, shown, hair, fill[:count])
    fill_neck(scene, geometry, model, layers, shown, fill)
    fill[skin] = continued_colour(own, shown, fill[:count], model.faces)[skin]
    fill_under_jaw(scene, geometry, layers, skin, fill)
    lids = closed_lids(scene, geometry, appearance, model, layers)
    fill[lids.at] += lids.weight[:, None] * (lids.fill - fill[lids.at])
    smooth = push_pull(layers.planes[RELIEF, ..., :3], inside)
    if hair is not None:
        strands = cv2.GaussianBlur(scene.outward(scene.regions["hair"]), (0, 0), HAIR_BLUR * scene.side)
        smooth += strands[..., None] * (hair - smooth)
    soft = cv2.GaussianBlur(smooth, (0, 0), CUT_BLUR * scene.side, borderType=cv2.BORDER_REPLICATE)
    fill[count:] = sample(smooth, geometry.uv[count:])
    fill[count:] += past[count:, None] * (sample(soft, geometry.uv[count:]) - fill[count:])
    eyes = np.flatnonzero(np.isin(model.vertex_part, [model.parts.index(n) for n in ("eye_left", "eye_right")]))
    seen[eyes] = np.clip(geometry.facing[eyes] * 4, 0, 1)
    seen[model.part("eye_socket")] = 1  # what it shows beside the eyeball is as wet
    fill_teeth(scene, geometry, appearance, model, layers, fill)
    layer = latent.layer.copy()
    if not layers.shows_teeth:  # then the upper row is, like the lower, part of what an open mouth happens to show
        layer[model.part_faces("teeth_upper")] = CAVITY
    # The nape would stick out beside hair and collar that the photo shows in front of it: it stays unseen.
    nape = (model.regions["neck"] > 0.3) & (geometry.facing[:count] < -0.1) & (np.abs(geometry.normal[:count, 1]) < 0.6)
    solid[:count][nape] = 0
    solid[:count] = _without_spans(solid[:count], model.base, model.faces)
    _close_crown(scene.matte, geometry, seen, solid)
    grain = hidden_grain(scene, geometry)
    grain[lids.at] = lids.grain
    return replace(latent, seen=seen, fill=fill, solid=solid, layer=layer, grain=grain)


def _past(geometry: Geometry, scene: Scene) -> np.ndarray:
    """[V] 0..1: how far a point lies beyond where the photo's mirror image can stand for it. Below the photo that is
    before face and chin show a second time."""
    side = scene.side
    room = room_below(scene)[np.clip(geometry.uv[:, 0].astype(int), 0, side - 1)]
    below = smooth_step((geometry.uv[:, 1] / side - 1) / room, *CHIN_FADE)
    return np.maximum(below, smooth_step(beyond_photo(geometry.uv, side), *CUT_FADE))


def room_below(scene: Scene) -> np.ndarray:
    """[R] of the side: how far the photo's mirror image below its lower edge goes in each column before it comes to
    the face, or to what hangs from it; at least a hundredth."""
    side = scene.side
    face = polygon_mask(scene.landmarks[list(OVAL), :2], side, side) > 0.5
    lowest = np.where(face.any(0), side - face[::-1].argmax(0), 0) / side
    reach = 2 * round(OVERHANG[0] * side) + 1
    lowest = cv2.dilate(lowest[None].astype(np.float32), np.ones((1, reach), np.uint8))
    lowest = cv2.GaussianBlur(lowest, (0, 0), OVERHANG[0] * side / 2, borderType=cv2.BORDER_REPLICATE)[0]
    return np.maximum(1 - lowest - OVERHANG[1], 0.01)


def _close_crown(matte: np.ndarray, geometry: Geometry, seen: np.ndarray, solid: np.ndarray) -> None:
    """Hair that the photo's top edge cuts goes on as round as it begins there; its mirror image would be a tuft."""
    side, count = len(matte), len(geometry.motion.rest_head)
    above = count + np.flatnonzero(geometry.uv[count:, 1] < 0)
    height = heights_above(matte)[np.clip(geometry.uv[above, 0].astype(int), 0, side - 1)]
    above, height = above[height < np.inf], height[height < np.inf]
    up = -geometry.uv[above, 1]
    seen[above] *= 1 - smooth_step(up / side, *CROWN_FADE)
    solid[above] = np.clip(0.5 + (height - up) / (CROWN_RIM * side), 0, 1)


def _shown(geometry: Geometry, inside: np.ndarray) -> np.ndarray:
    """[count] 0..1: how far the photo is what a renderer shows of each head vertex; little of it right at the outline,
    where its colour is half the background's, and none where it may be the jaw's or light from behind."""
    count = len(geometry.motion.rest_head)
    facing = ramp(geometry.facing[:count], *SEAM)
    own = sample(inside, geometry.uv[:count]) ** 2 * (1 - sample(geometry.foreign, geometry.uv[:count]))
    return geometry.shown[:count] * facing * own


def _without_spans(solid: np.ndarray, points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """solid [V] without what a shoulder's long triangles would span between the person and the background: a point at
    the end of an edge of SPAN is there when the other end is. points [V, 3] in the model's head space."""
    out = solid.copy()
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    long = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1) > SPAN
    edges = edges[long & (points[edges, 1] < SHOULDERS).all(1)]
    np.minimum.at(out, edges, solid[edges[:, ::-1]])
    return out


def _solidity(scene: Scene, uv: np.ndarray) -> np.ndarray:
    """[V] 0..1: unseen surface is solid where its projection falls on the person, with a soft rim."""
    blurred = cv2.GaussianBlur(scene.matte, (0, 0), SOLIDITY_BLUR * scene.side)
    return np.clip(sample(blurred, uv) * 4 - 0.6, 0, 1)
