"""What each point of the head consists of: what the photo shows of it, and where it shows nothing what is likely."""

from __future__ import annotations

import numpy as np

from ..head.model import HeadModel
from ..landmarks import CHIN, FOREHEAD
from ..portrait.regions import along_face
from ..ramps import ramp
from .appearance import PARTS
from .canonical import diffuse
from .scene import Scene

APPEARANCE_OF_PART = {
    "teeth_upper": "teeth", "teeth_lower": "teeth", "tongue": "tongue", "mouth_cavity": "lips",
    "eye_left": "sclera", "eye_right": "sclera",
}  # fmt: skip
EAR = ((0.062, 0.1), (-0.04, 0.038), (-0.05, 0.018))  # metres, head space: |x|, y, z of what sticks out beside it
# Metres, head space: |x| from which, y between which, and z from and up to which hidden skin before an ear that hair
# covers is not, and wholly, in that hair: where hair and skin cross as the head turns, no skin pokes out of it.
BEFORE_EARS = (0.05, (-0.055, 0.05), (0.045, 0.024))
EDGE_ON = (0.2, 0.45)  # cosine to the photo's ray from which on it begins to show, and surely shows, skin before an ear
# Of an ear shown, to judge it by itself; of that hair, to call it covered, and to call one covered that isn't shown, of
# somebody with long hair: over a short cut an ear's own shadows and the hair behind it look like as much.
EAR_SEEN, EAR_COVERED, EAR_TOUCHED = 0.15, 0.5, 0.25
BELOW_EARS = 0.65  # down the face, from forehead to chin
LONG = 0.05  # of the face's height, squared: more hair than this beside the face below the ears is long
EARS_TOP, EARS_BACK = 0.04, -0.025  # metres, head space: above or behind these lies no fold of an ear
TEMPLES = 0.01  # metres, head space: above this, hair on one side of the head is hair on the other
SCALP_FORGETTING = 1e-5  # see `diffuse`: a fringe goes on all the way around the head
HAIRY = 0.25  # of the seen scalp: more hair than this, and what the photo's edges cut off is hair
DRESSED = 0.8  # share of clothes from which on a neck is surely covered: shaded skin looks like cloth by half
FRINGE = (0.1, 0.35)  # of the nearest seen scalp: hair from which the unseen one begins to be, and is, hair


def named(part: str) -> np.ndarray:
    """Membership [PARTS] of what is wholly one part."""
    return np.eye(len(PARTS), dtype=np.float32)[PARTS.index(part)]


def head_members(
    in_photo: np.ndarray, model: HeadModel, shown: np.ndarray, facing: np.ndarray, cut: np.ndarray, below: np.ndarray,
    matte: np.ndarray, long: bool,
) -> np.ndarray:  # fmt: skip
    """Membership [V, PARTS] of every vertex of the head. in_photo [V, PARTS]: what the photo shows at its place;
    shown [V] 0 or 1: whether that is the vertex, and facing [V] at which cosine; cut [V]: what a larger photo would
    show; below [V]: what lies below the photo; matte [V] at its place; long: see `has_long_hair`."""
    members = in_photo.copy()
    beyond_ears = (model.base[:, 1] > EARS_TOP) | (model.base[:, 2] < EARS_BACK)
    temples = model.base[:, 1] > TEMPLES
    twin = np.where(temples, model.mirror, -1)
    _presume_members(members, shown, cut, model.regions["scalp"], beyond_ears, twin, model.faces)
    neck, cloth = model.regions["neck"] > 0.5, in_photo[:, PARTS.index("clothes")] > DRESSED
    members[neck & cloth & (shown < 0.5)] = named("clothes")  # behind a collar no skin stands out beside it
    members[neck & below] = named("skin")  # and below the photo, where clothes lie before it, a neck goes on as one
    for part, name in APPEARANCE_OF_PART.items():
        members[model.part(part)] = named(name)
    rims = np.concatenate([model.seams["lips"].upper, model.seams["lips"].lower])
    members[rims[shown[rims] < 0.5]] = named("lips")  # between them, closed lips hide no skin
    _presume_ears(members, model, (shown > 0.5) & (matte > 0.5), facing, long)
    return members


def _presume_members(
    members: np.ndarray, shown: np.ndarray, cut: np.ndarray, scalp: np.ndarray, beyond_ears: np.ndarray,
    twin: np.ndarray, faces: np.ndarray,
) -> None:  # fmt: skip
    """Unseen head surface is skin, or on the scalp what the seen scalp nearest to it is, or hair where its twin on the
    other side (-1: none) has it; never what happens to lie in front of it. What the photo's edges cut off is what the
    edge shows, up to the scalp, which is then what it mostly is."""
    skin, hair = named("skin"), named("hair")
    hidden = (shown < 0.5) & ~cut
    visible = (shown > 0.5) & (scalp > 0.5)
    other = (twin >= 0) * shown[twin] * members[twin, PARTS.index("hair")]
    members[hidden] = skin
    if visible.any():
        usual = hair if members[visible, PARTS.index("hair")].mean() > HAIRY else skin
        back = hidden & beyond_ears & (scalp > 0.5)
        share = _continued(members[:, PARTS.index("hair")], visible, faces)[back, None]
        share = ramp(share, *FRINGE)  # hairlines lie in front, not behind
        members[back] = skin + share * (hair - skin)
        members[hidden & (other > 0.5)] = hair
        members[cut] += scalp[cut, None] * (usual - members[cut])  # softly: a hairline that nobody saw has no edge


def _continued(values: np.ndarray, known: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Values [V] of the `known` vertices, continued over all that hang together with them; 0 elsewhere."""
    weight = known.astype(float)
    total, share = diffuse(np.stack([values * weight, weight], 1), weight, faces, SCALP_FORGETTING).T
    return np.where(share > 1e-9, total / np.maximum(share, 1e-9), 0)


def has_long_hair(scene: Scene) -> bool:
    """Whether hair hangs beside the face below the ears; what a beard looks like lies within the face's width."""
    marks = scene.landmarks[:, :2]
    down = marks[CHIN] - marks[FOREHEAD]
    height = float(np.linalg.norm(down))
    across = np.array([-down[1], down[0]]) / height
    y, x = np.mgrid[0 : scene.side, 0 : scene.side] + 0.5
    place, face = x * across[0] + y * across[1], marks @ across
    beside = (place < face.min()) | (place > face.max())
    below = along_face(marks, scene.side, scene.side) > BELOW_EARS
    return float(scene.regions["hair"][beside & below].sum()) > LONG * height**2


def _presume_ears(
    members: np.ndarray, model: HeadModel, visible: np.ndarray, facing: np.ndarray, long: bool
) -> None:
    """An ear that hair covers in the photo is hair in all its folds, and so is what lies right before it, hidden or
    edge-on: a turn must not bring skin out of it. So is an ear that the photo doesn't show, if the other one is, or if
    `long` hair is over a part of it. `visible` [V]: the photo shows this point of the person; facing [V]: cosine at
    which it does."""
    ears, near = ears_of(model), near_ears(model)
    hidden = np.where(ears, ~visible, 1 - visible * ramp(facing, *EDGE_ON))
    hair = PARTS.index("hair")
    for side in (-1, 1):
        ear = ears & (np.sign(model.base[:, 0]) == side)
        seen = ear & visible
        itself = seen.sum() > EAR_SEEN * ear.sum()
        witness, enough = (seen, EAR_COVERED) if itself else (ears & visible, EAR_TOUCHED if long else EAR_COVERED)
        if witness.any() and members[witness, hair].mean() > enough:
            share = near * (np.sign(model.base[:, 0]) == side) * hidden
            members += share[:, None] * (named("hair") - members)


def ears_of(model: HeadModel) -> np.ndarray:
    """[V] whether a vertex is one of the ears, in all their folds."""
    at = np.abs(model.base) * [1, 0, 0] + model.base * [0, 1, 1]
    return np.logical_and.reduce([(low < at[:, i]) & (at[:, i] < high) for i, (low, high) in enumerate(EAR)])


def near_ears(model: HeadModel) -> np.ndarray:
    """[V] 0..1: 1 on the ears, fading before them."""
    aside, (low, high), reach = BEFORE_EARS
    x, y, z = model.base.T
    before = (np.abs(x) > aside) & (low < y) & (y < high) & (z > EAR[2][0])
    return np.maximum(ears_of(model), before * ramp(z, *reach)).astype(np.float32)


def covered_ears(members: np.ndarray, model: HeadModel) -> np.ndarray:
    """[V] 0..1: how far a vertex is one of an ear, or close before it, that, by members [V, PARTS], hair covers."""
    ears, hair, near = ears_of(model), members[:, PARTS.index("hair")], near_ears(model)
    sides = [np.sign(model.base[:, 0]) == side for side in (-1, 1)]
    return np.sum([near * side * (hair[ears & side].mean() > EAR_COVERED) for side in sides], 0)
