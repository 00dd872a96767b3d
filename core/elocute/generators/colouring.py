"""What the field looks like: by its latents alone, and with the photo's layers in its planes."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from ..head.model import HeadModel
from ..portrait.fill import push_pull
from ..portrait.matting import OVAL
from ..portrait.regions import polygon_mask
from ..rendering.shells import CAVITY, RELIEF, SKIN, Shells
from .appearance import PARTS, Appearance, as_vivid, harmonics
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
    skin_likeness,
)  # fmt: skip
from .geometry import Geometry, model_layers
from .lids import closed_lids
from .motion import to_camera
from .planes import Layers
from .scene import Scene

FLESH = np.array([0.85, 1.15, 1.15], np.float32)  # light that dies out in the mouth turns red on its way
GUMS = np.array([0.6, 0.82, 0.85], np.float32)  # the same on teeth, which are pale and catch more of it
TEETH_IN_ROW, GAP_SHADE = 14, 0.3  # of the model's rows; the light that dies out where two teeth touch
ROUND_SHADE = 0.12  # the same towards a crown's sides, which face away a little more than the mesh does
EDGE_SHADE = 0.1  # the same at a crown's edge, which lets light through
GUM_HEIGHT = 0.05, 0.15  # up to which gum goes on a crown, as the mesh counts, and how much further between two
CROWNS = 0.7  # light that teeth turned away from the viewer keep
DARKEST_TOOTH = 0.2  # of the light in front
MOLARS, CHEEK_SHADE = (2.5, 5), 0.7  # teeth from the middle over which cheeks come to take so much of the light
NECK_SHADE = 0.92
JAW = (172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397)  # landmarks from jaw angle to jaw angle
JAW_BAND = 0.2  # of the way to the nose
UNDER_JAW = 0.04  # of the side behind a jaw's outline, over which what it hides goes over into the neck
OUTLINE_BLUR = 0.004  # of the side: what is one colour at that outline
BARE_NECK = 0.01  # of the picture: less than so much may be an ear's or a cheek's below a full beard
BACK_SHADE = 0.8
FEWEST = 4e-4  # of the picture: less hair or neck than so much tells no colour
# Of what passes for hair: with less that isn't like skin, it is fair hair and not a bald head's. Of the face's light:
# what bald skin has at least, and in the middle; what is darker is hair in the skin's hue.
BALD, BALD_LIGHT = 0.15, (0.6, 0.9)
HAIR_BLUR = 0.006  # of the side
CUT_FADE = (0.02, 0.06)  # of the side, beyond the photo's edge: its mirror image fades between these
CHIN_FADE = (0.5, 1.0)  # the same below it, of the way from there up to what hangs below the chin
CUT_BLUR = 0.06  # of the side: what the edge of hair and cloth is blurred by there, or it would be drawn out to streaks
CROWN_FADE = (0, 0.012)  # of the side, above a cut crown: the photo ends here
CROWN_RIM = 0.012  # of the side: how soft the outline is that closes it
GRAIN_BAND, BESIDE = 0.05, 0.01  # of the side: see hidden_grain, and _behind_outline
PORES = 0.7  # of the fine detail that hidden hair takes over, taken over by hidden skin
SEAM = (0.05, 0.3)  # cosine to the photo's ray from which the photo begins to be, and is, what is seen of the skin
UNDERSIDE = 0.3  # of the light, lost where skin faces straight down (under chin and jaw)


def latent_shells(scene: Scene, geometry: Geometry, appearance: Appearance, layers: Layers) -> Shells:
    """The field as its latents alone describe it: no texel of the photo, only the matte's outline."""
    fading = as_vivid(FLESH, appearance.albedo[PARTS.index("skin")])
    colour = appearance.colour(geometry.members, geometry.normal) * geometry.mouth_light[:, None] ** fading
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
    hair = _hair_colours(scene, inside, layers)
    _fill_scalp(geometry, model, shown, hair, fill[:count])
    _fill_neck(scene, geometry, model, layers, shown, fill)
    fill[skin] = continued_colour(own, shown, fill[:count], model.faces)[skin]
    _fill_under_jaw(scene, geometry, layers, skin, fill)
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
    _fill_teeth(geometry, appearance, model, layers, fill)
    layer = latent.layer.copy()
    if not layers.shows_teeth:  # then the upper row is, like the lower, part of what an open mouth happens to show
        layer[model.part_faces("teeth_upper")] = CAVITY
    # The nape would stick out beside hair and collar that the photo shows in front of it: it stays unseen.
    nape = (model.regions["neck"] > 0.3) & (geometry.facing[:count] < -0.1) & (np.abs(geometry.normal[:count, 1]) < 0.6)
    solid[:count][nape] = 0
    _close_crown(scene.matte, geometry, seen, solid)
    grain = hidden_grain(scene, geometry)
    grain[lids.at] = lids.grain
    return replace(latent, seen=seen, fill=fill, solid=solid, layer=layer, grain=grain)


def _past(geometry: Geometry, scene: Scene) -> np.ndarray:
    """[V] 0..1: how far a point lies beyond where the photo's mirror image can stand for it. Below the photo that is
    before face and chin show a second time."""
    side = scene.side
    room = room_below(scene)[np.clip(geometry.uv[:, 0].astype(int), 0, side - 1)]
    below = _smooth_step((geometry.uv[:, 1] / side - 1) / room, CHIN_FADE)
    return np.maximum(below, _smooth_step(beyond_photo(geometry.uv, side), CUT_FADE))


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
    seen[above] *= 1 - _smooth_step(up / side, CROWN_FADE)
    solid[above] = np.clip(0.5 + (height - up) / (CROWN_RIM * side), 0, 1)


def _smooth_step(x: np.ndarray, between: tuple[float, float]) -> np.ndarray:
    t = np.clip((x - between[0]) / (between[1] - between[0]), 0, 1)
    return t * t * (3 - 2 * t)


def _shown(geometry: Geometry, inside: np.ndarray) -> np.ndarray:
    """[count] 0..1: how far the photo is what a renderer shows of each head vertex; little of it right at the outline,
    where its colour is half the background's, and none where it may be the jaw's or light from behind."""
    count = len(geometry.motion.rest_head)
    facing = np.clip((geometry.facing[:count] - SEAM[0]) / (SEAM[1] - SEAM[0]), 0, 1)
    own = sample(inside, geometry.uv[:count]) ** 2 * (1 - sample(geometry.foreign, geometry.uv[:count]))
    return geometry.shown[:count] * facing * own


def hidden_grain(scene: Scene, geometry: Geometry) -> np.ndarray:
    """[V, 3], see Shells: hair and skin that the photo doesn't show have the strands, stubble and pores of what is
    nearest to them, mirrored at the outline as far in as the point lies behind it, and back again and again at the end
    of a band that is all side of the head; where that is beyond the photo, hair alone, mirrored at the photo's edge."""
    normal = geometry.normal[:, :2]
    outward = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
    band = GRAIN_BAND * scene.side
    inwards = band - np.abs(_behind_outline(scene, geometry, outward) % (2 * band) - band)
    place = geometry.uv - inwards[:, None] * outward
    out = beyond_photo(place, scene.side) > 0
    place[out] = scene.side - np.abs(scene.side - np.abs(place[out]))
    hair, skin = (geometry.members[:, PARTS.index(name)].copy() for name in ("hair", "skin"))
    hair[out] *= sample(scene.regions["hair"], place[out])
    skin[out] = 0  # the mirror image of a forehead has brows and eyes in it
    pores = PORES * sample(rim_distance(scene.matte), place)  # no rim light's wisps on skin
    return np.concatenate([place / scene.side, (hair + pores * skin)[:, None]], 1).astype(np.float32)


def _behind_outline(scene: Scene, geometry: Geometry, outward: np.ndarray) -> np.ndarray:
    """[V] pixels by which points lie deeper than what the photo shows of the head beside them; of the relief, deeper
    than the ears."""
    points, count = geometry.motion.rest, len(geometry.motion.rest_head)
    pose = scene.fit.camera.camera_to_world
    ears, forward = to_camera(np.zeros((1, 3)), pose)[0], pose[:3, :3].T[:, 2] * np.array([1, -1, -1])
    deeper = (ears - points) @ forward
    x, y = np.clip(geometry.uv - BESIDE * scene.side * outward, 0, scene.side - 1)[:count].astype(int).T
    front = geometry.shadow[y, x]
    deeper[:count] = np.where(np.isfinite(front), points[:count, 2] - front, deeper[:count])
    return np.maximum(deeper, 0) * scene.lens[0] / points[:, 2]


def _fill_teeth(geometry: Geometry, appearance: Appearance, model: HeadModel, layers: Layers, fill: np.ndarray) -> None:
    """Crowns in the portrait's light, darker in the gaps between them, gum where they end."""
    teeth = np.flatnonzero(np.isin(model.vertex_part, [model.parts.index(n) for n in ("teeth_upper", "teeth_lower")]))
    light = np.clip(harmonics(geometry.normal[teeth]) @ appearance.light, 0.85, 1.1)
    along, up = model.uv[teeth].T  # teeth counted along the row; 0 at the gum, 0.6 at the edge
    border = np.abs(2 * (along * TEETH_IN_ROW % 1) - 1)  # 1 where two teeth meet, 0 in the middle of a crown
    light *= ((1 - ROUND_SHADE * border**2) * (1 - EDGE_SHADE * _smooth_step(up, (0.4, 0.6))))[:, None]
    light *= 1 - GAP_SHADE * (border > 0.95)[:, None]
    light *= CROWNS + (1 - CROWNS) * np.clip(geometry.facing[teeth, None], 0, 1)
    beside = 1 - CHEEK_SHADE * _smooth_step(np.abs(along - 0.5) * TEETH_IN_ROW, MOLARS)
    deep = np.maximum(beside * geometry.mouth_light[teeth], DARKEST_TOOTH)
    gum = np.clip(1 - up / (GUM_HEIGHT[0] + GUM_HEIGHT[1] * border**4), 0, 1)[:, None]
    colour = layers.tooth * (1 - gum) + appearance.albedo[PARTS.index("tongue")] * gum
    fading = as_vivid(GUMS, appearance.albedo[PARTS.index("skin")])
    fill[teeth] = np.clip(colour * light * deep[:, None] ** fading, 0, 1)


def _hair_colours(scene: Scene, inside: np.ndarray, layers: Layers) -> np.ndarray | None:
    """[R, R, 3]: the photo's hair continued everywhere, without the bald skin between it; None when there is none."""
    hair = scene.regions["hair"] * inside > 0.8
    if hair.mean() < FEWEST:
        return None
    like, light = skin_likeness(scene.photo, scene.regions["skin"])
    bald = hair & (like > 0.3) & (light > BALD_LIGHT[0])
    strands = hair & ~bald
    if strands.sum() > BALD * hair.sum() and bald.any() and np.median(light[bald]) > BALD_LIGHT[1]:
        hair = strands
    return push_pull(layers.planes[RELIEF, ..., :3], hair.astype(np.float32))


def _fill_scalp(
    geometry: Geometry, model: HeadModel, shown: np.ndarray, hair: np.ndarray | None, fill: np.ndarray
) -> None:
    """The back of a head with hair is hair, a little darker than what the light in front shows. Below the scalp a line
    along the outline, where a segmentation sees hair in what ends before the background, is none."""
    if hair is None:
        return
    facing = geometry.facing[: len(fill)]
    line = (facing > 0) * (1 - np.clip(facing / SEAM[1], 0, 1)) * (1 - model.regions["scalp"])
    weight = geometry.members[: len(fill), PARTS.index("hair")] * (1 - shown) * (1 - line)
    at = np.flatnonzero(weight > 0)
    fill[at] += weight[at, None] * (BACK_SHADE * sample(hair, geometry.uv[at]) - fill[at])


def _fill_neck(
    scene: Scene, geometry: Geometry, model: HeadModel, layers: Layers, shown: np.ndarray, fill: np.ndarray
) -> None:
    """The neck behind the chin is the visible neck, or the beard that hides it, continued in the chin's shade."""
    bare = 1 - geometry.members[: len(shown), PARTS.index("clothes")]
    weight = model.regions["neck"] * bare * (1 - shown)
    source = (scene.regions["neck_shoulders"] > 0.8) & (scene.bare > 0.7)
    jaw = _jaw(scene)
    if source.mean() < BARE_NECK and jaw.any() and np.median(scene.bare[jaw]) < 0.5:
        source = jaw
    if source.mean() < FEWEST:
        return
    continued = push_pull(layers.planes[SKIN, ..., :3], source.astype(np.float32))
    at = np.flatnonzero(weight > 0)
    fill[at] += weight[at, None] * (NECK_SHADE * sample(continued, geometry.uv[at]) - fill[at])


def _fill_under_jaw(scene: Scene, geometry: Geometry, layers: Layers, skin: np.ndarray, fill: np.ndarray) -> None:
    """What a jaw hides in the photo and uncovers where it closes begins in the colour at its outline: beard, shade or
    skin, whichever the photo shows there on either side. `skin` [S]: the skin's vertices."""
    side = scene.side
    above = np.where(np.isfinite(geometry.below_jaw), -geometry.below_jaw, 1).astype(np.float32)
    at = skin[(geometry.shown[skin] < 0.5) & ~beyond_photo(geometry.uv[skin], side).astype(bool)]
    away = sample(above, geometry.uv[at])
    at, away = at[(away > 0) & (away < UNDER_JAW)], away[(away > 0) & (away < UNDER_JAW)]
    down = -np.stack(np.gradient(cv2.GaussianBlur(above, (0, 0), OUTLINE_BLUR * side))[::-1], -1)
    way = sample(down.astype(np.float32), geometry.uv[at])
    way /= np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-9)
    photo = cv2.GaussianBlur(layers.planes[SKIN, ..., :3], (0, 0), OUTLINE_BLUR * side)
    outline = sample(photo, geometry.uv[at] + away[:, None] * side * way)
    fill[at] += (1 - _smooth_step(away / UNDER_JAW, (0, 1)))[:, None] * (outline - fill[at])


def _jaw(scene: Scene) -> np.ndarray:
    """Pixels [R, R] of the person along the jaw's lower edge, inside the face."""
    edge, nose = scene.landmarks[list(JAW), :2], scene.landmarks[1, :2]
    band = np.concatenate([edge, (edge + JAW_BAND * (nose - edge))[::-1]])
    return (polygon_mask(band, scene.side, scene.side) > 0.5) & (scene.matte > 0.9)


def _solidity(scene: Scene, uv: np.ndarray) -> np.ndarray:
    """[V] 0..1: unseen surface is solid where its projection falls on the person, with a soft rim."""
    blurred = cv2.GaussianBlur(scene.matte, (0, 0), SOLIDITY_BLUR * scene.side)
    return np.clip(sample(blurred, uv) * 4 - 0.6, 0, 1)
