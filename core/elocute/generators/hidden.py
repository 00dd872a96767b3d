"""What the photo hides: teeth, the back of a head, the neck behind a chin and what a jaw uncovers, and the fine grain
of hair and skin."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

from ..head.model import HeadModel
from ..landmarks import LEFT_LIDS, OUTER_LIPS, RIGHT_LIDS
from ..portrait.fill import push_pull
from ..portrait.regions import disc, polygon_mask
from ..ramps import smooth_step
from ..rendering.shells import FAR, RELIEF, SKIN
from .appearance import PARTS, Appearance, as_vivid, harmonics
from .canonical import beyond_photo, neck_below, rim_distance, sample, skin_likeness
from .geometry import Geometry
from .members import covered_ears
from .planes import Layers
from .scene import Scene

GUMS = np.array([0.6, 0.82, 0.85], np.float32)  # light that dies out on teeth turns red, less than on flesh
TEETH_IN_ROW, GAP_SHADE = 14, 0.3  # of the model's rows; the light that dies out where two teeth touch
ROUND_SHADE = 0.12  # the same towards a crown's sides, which face away a little more than the mesh does
EDGE_SHADE = 0.1  # the same at a crown's edge, which lets light through, and on its back
INNER, INNER_SHADE = (0.6, 0.75), 0.4  # from the edge to the inner side, which the open mouth's light doesn't reach
TOUCHING = 0.95  # of the way from a crown's middle to its side: only the columns in which two teeth meet lie beyond
GUM_HEIGHT = 0.05, 0.15  # up to which gum goes on a crown, as the mesh counts, and how much further between two
CROWNS = 0.7  # light that teeth turned away from the viewer keep
# Of the light in front, what teeth keep at least: the upper row, and the lower one, whose molars show in an open mouth,
# deep between cheek and tongue. Teeth from the middle over which cheeks come to take so much of it.
DARKEST_TOOTH = (0.3, 0.2)
MOLARS, CHEEK_SHADE = ((2.5, 5), (2, 4.5)), (0.5, 0.9)
NECK_SHADE = 0.92
JAW = (172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397)  # landmarks from jaw angle to jaw angle
JAW_BAND = 0.2  # of the way to the nose
UNDER_JAW = 0.04  # of the side behind a jaw's outline, over which what it hides goes over into the neck
OUTLINE_BLUR = 0.004  # of the side: what is one colour at that outline
BARE_NECK = 0.01  # of the picture: less than so much may be an ear's or a cheek's below a full beard
BACK_SHADE = 0.8
EDGE_ON = 0.3  # cosine to the photo's ray below which the photo shows a surface from the side
FEWEST = 4e-4  # of the picture: less hair or neck than so much tells no colour
# Of what passes for hair: with less that isn't like skin, it is fair hair and not a bald head's. Of the face's light:
# what bald skin has at least, and in the middle; what is darker is hair in the skin's hue.
BALD, BALD_LIGHT = 0.15, (0.6, 0.9)
HAIR_EDGE, MUCH = 0.012, 0.25  # of the side; of the hair, what has to remain without its edge
GRAIN_BAND = 0.05  # of the side: from farther in, a cheek's grain would be the eye's or the mouth's
# Mouth, eyes with their brows, nose: landmarks around each.
FEATURES = (OUTER_LIPS, (*RIGHT_LIDS, 70, 105, 107), (*LEFT_LIDS, 300, 334, 336), (168, 129, 2, 358))
FEATURE_EDGE = 0.01  # of the side: they end so softly
FOREIGN_EDGE = 0.002  # of the side: so far around what is no skin, skin is mixed with it
BESIDE = 0.01  # of the side: so far inside the outline the photo shows a surface and not its edge
PORES = 0.7  # of the fine detail that hidden hair takes over, taken over by hidden skin


def fill_teeth(
    scene: Scene, geometry: Geometry, appearance: Appearance, model: HeadModel, layers: Layers, fill: np.ndarray
) -> None:
    """Crowns in the portrait's light, darker in the gaps between them, gum where they end."""
    upper, lower = (model.part(name) for name in ("teeth_upper", "teeth_lower"))
    teeth = np.concatenate([upper, lower])
    light = np.clip(harmonics(geometry.normal[teeth]) @ appearance.light, 0.85, 1.1)
    along, up = model.uv[teeth].T  # teeth counted along the row; 0 at the gum, 0.6 at the edge
    border = np.abs(2 * (along * TEETH_IN_ROW % 1) - 1)  # 1 where two teeth meet, 0 in the middle of a crown
    light *= ((1 - ROUND_SHADE * border**2) * (1 - EDGE_SHADE * smooth_step(up, 0.4, 0.6)))[:, None]
    light *= 1 - GAP_SHADE * (border > TOUCHING)[:, None]
    light *= CROWNS + (1 - CROWNS) * np.clip(geometry.facing[teeth, None], 0, 1)
    rows = np.repeat((0, 1), (len(upper), len(lower)))
    aside = smooth_step(np.abs(along - 0.5) * TEETH_IN_ROW, *np.array(MOLARS)[rows].T)
    beside = 1 - np.array(CHEEK_SHADE)[rows] * aside
    deep = np.maximum(beside * geometry.mouth_light[teeth], np.array(DARKEST_TOOTH)[rows])
    deep *= 1 - INNER_SHADE * smooth_step(up, *INNER)
    gum = np.clip(1 - up / (GUM_HEIGHT[0] + GUM_HEIGHT[1] * border**4), 0, 1)[:, None]
    colour = layers.tooth * (1 - gum) + appearance.albedo[PARTS.index("tongue")] * gum
    fading = as_vivid(GUMS, appearance.albedo[PARTS.index("skin")])
    left = deep[:, None] ** fading
    fill[teeth] = np.clip(colour * light * left + scene.black * (1 - left), 0, 1)


def hair_colours(scene: Scene, inside: np.ndarray, layers: Layers) -> np.ndarray | None:
    """[R, R, 3]: the photo's hair continued everywhere, without the bald skin between it; None when there is none."""
    hair = scene.regions["hair"] * inside > 0.8
    if hair.mean() < FEWEST:
        return None
    like, light = skin_likeness(scene.photo, scene.regions["skin"])
    bald = hair & (like > 0.3) & (light > BALD_LIGHT[0])
    strands = hair & ~bald
    if strands.sum() > BALD * hair.sum() and bald.any() and np.median(light[bald]) > BALD_LIGHT[1]:
        hair = strands
    return push_pull(layers.planes[RELIEF, ..., :3], _thick(hair).astype(np.float32))


def _thick(hair: np.ndarray) -> np.ndarray:
    """The mask [R, R] without its edge, where it is mixed with what lies beside it; the mask itself if it is thin."""
    inner = cv2.erode(hair.astype(np.uint8), disc(HAIR_EDGE * len(hair))) > 0
    return inner if inner.sum() > MUCH * hair.sum() else hair


def fill_scalp(
    geometry: Geometry, model: HeadModel, shown: np.ndarray, hair: np.ndarray | None, fill: np.ndarray
) -> None:
    """The back of a head with hair is hair, a little darker than what the light in front shows. Below the scalp a line
    along the outline, where a segmentation sees hair in what ends before the background, is none, but for covered
    ears."""
    if hair is None:
        return
    facing = geometry.facing[: len(fill)]
    line = (facing > 0) * (1 - np.clip(facing / EDGE_ON, 0, 1)) * (1 - model.regions["scalp"])
    line *= 1 - covered_ears(geometry.members[: len(fill)], model)
    weight = geometry.members[: len(fill), PARTS.index("hair")] * (1 - shown) * (1 - line)
    at = np.flatnonzero(weight > 0)
    fill[at] += weight[at, None] * (BACK_SHADE * sample(hair, geometry.uv[at]) - fill[at])


def fill_neck(
    scene: Scene, geometry: Geometry, model: HeadModel, layers: Layers, shown: np.ndarray, fill: np.ndarray
) -> None:
    """The neck behind the chin is the visible neck, or the beard that hides it, continued in the chin's shade. (The
    mouth's inside, which is close to it, is none of it.)"""
    bare = 1 - geometry.members[: len(shown), PARTS.index("clothes")]
    weight = model.regions["neck"] * bare * (1 - shown) * (model.vertex_part == model.parts.index("skin"))
    source = (scene.regions["neck_shoulders"] > 0.8) & (scene.bare > 0.7)
    jaw = _jaw(scene)
    if source.mean() < BARE_NECK and jaw.any() and np.median(scene.bare[jaw]) < 0.5:
        source = jaw
    if source.mean() < FEWEST:
        return
    continued = push_pull(layers.planes[SKIN, ..., :3], source.astype(np.float32))
    at = np.flatnonzero(weight > 0)
    fill[at] += weight[at, None] * (NECK_SHADE * sample(continued, geometry.uv[at]) - fill[at])


def fill_under_jaw(scene: Scene, geometry: Geometry, layers: Layers, skin: np.ndarray, fill: np.ndarray) -> None:
    """What a jaw hides in the photo and uncovers begins in the colour at its outline: beard, shade or skin, whichever
    the photo shows there on either side; but for a bare neck, which goes on. `skin` [S]: the skin's vertices."""
    outline = geometry.below_jaw == 0
    if not outline.any():
        return
    side = scene.side
    within = skin[((geometry.uv[skin] >= 0) & (geometry.uv[skin] < side)).all(1)]
    x, y = geometry.uv[within].astype(int).T
    below = geometry.below_jaw[y, x]
    on, behind = below >= 0, (geometry.shown[within] < 0.5) & (below < 0)
    away, nearest = ndimage.distance_transform_edt(~outline, return_indices=True)
    photo = cv2.GaussianBlur(layers.planes[SKIN, ..., :3], (0, 0), OUTLINE_BLUR * side)
    hangs = geometry.hangs[..., None]
    neck = NECK_SHADE * neck_below(geometry.below_jaw, photo)
    photo += hangs * (neck - photo)
    fill[within[on]] += hangs[y[on], x[on]] * (neck[y[on], x[on]] - fill[within[on]])
    at, x, y = within[behind], x[behind], y[behind]
    share = 1 - smooth_step(away[y, x] / (UNDER_JAW * side), 0, 1)
    fill[at] += share[:, None] * (photo[nearest[0, y, x], nearest[1, y, x]] - fill[at])


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
    thick = scene.outward(_thick(scene.regions["hair"] > 0.5)).astype(np.float32)
    hair *= sample(cv2.GaussianBlur(thick, (0, 0), HAIR_EDGE * scene.side), place)  # no forehead's folds on a scalp
    skin[out] = 0  # the mirror image of a forehead has brows and eyes in it
    pores = PORES * sample(rim_distance(scene.matte), place)  # no rim light's wisps on skin
    wide = 2 * round(FOREIGN_EDGE * scene.side) + 1
    pores *= 1 - sample(np.maximum(_features(scene), cv2.dilate(geometry.foreign, np.ones((wide, wide)))), place)
    return np.concatenate([place / scene.side, (hair + pores * skin)[:, None]], 1).astype(np.float32)


def _features(scene: Scene) -> np.ndarray:
    """[R, R] 0..1: eyes with their brows, nose and mouth, which of a turned face lie close to its outline."""
    out, marks = np.zeros(scene.matte.shape, np.float32), scene.landmarks[:, :2]
    for ring in FEATURES:
        hull = cv2.convexHull(marks[list(ring)].astype(np.float32))[:, 0]
        out = np.maximum(out, polygon_mask(hull, scene.side, scene.side))
    wide = 2 * round(FEATURE_EDGE * scene.side) + 1
    return cv2.GaussianBlur(cv2.dilate(out, np.ones((wide, wide), np.uint8)), (0, 0), FEATURE_EDGE * scene.side)


def _behind_outline(scene: Scene, geometry: Geometry, outward: np.ndarray) -> np.ndarray:
    """[V] pixels by which points lie deeper than what the photo shows of the head beside them; of the relief, and
    where the photo shows none of the head, deeper than the ears."""
    points, count = geometry.motion.rest, len(geometry.motion.rest_head)
    ears, forward = scene.ear_plane
    deeper = (ears - points) @ forward
    x, y = np.clip(geometry.uv - BESIDE * scene.side * outward, 0, scene.side - 1)[:count].astype(int).T
    front = geometry.shadow[y, x, 0]
    deeper[:count] = np.where(front < FAR, points[:count, 2] - front, deeper[:count])
    return np.maximum(deeper, 0) * scene.lens[0] / points[:, 2]


def _jaw(scene: Scene) -> np.ndarray:
    """Pixels [R, R] of the person along the jaw's lower edge, inside the face."""
    edge, nose = scene.landmarks[list(JAW), :2], scene.landmarks[1, :2]
    band = np.concatenate([edge, (edge + JAW_BAND * (nose - edge))[::-1]])
    return (polygon_mask(band, scene.side, scene.side) > 0.5) & (scene.matte > 0.9)
