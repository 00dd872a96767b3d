"""Ears as large and as high as the photo's: no landmark says where they are, but free ears show beside the head."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import linalg

from ..generators.scene import Scene
from ..head.avatar import AvatarHead
from ..head.model import HeadModel
from ..head.surface import neighbours
from ..portrait.regions import disc
from ..rendering.raster import rasterise
from ..rendering.shells import project
from ..spaces import to_camera
from ..values import HeadFit

# The model's identity directions that an ear is fitted with; their opposites are nearly the same, the other way.
DIRECTIONS = ("scale-vert-incr", "trans-up", "wing-incr", "scale-incr")
STIFFNESS = 0.05  # of the fit, against the mean square of what a direction moves an ear's ends by
LIMIT = 0.015  # metres: what would have to move farther is no ear
ROUNDS, STEP = 6, 0.5  # each goes so far: what the ends' vertices move by is only about what the ends do
ON_EAR = 0.1  # of the farthest that "wing-incr" moves a vertex: what moves so much is ear
END = 3.0, 12.0  # percentiles of an ear's pixels at which it ends, and of its pixels or vertices that are its end
BEYOND = 0.6, 0.35  # of an ear's height, above and below the model's: a photo's ear ends within
STRIP = 0.08  # of the same: what of the photo's skin beside the model's head is no wider is no ear, but cheek
ENOUGH, TOO_MUCH = 0.4, 2.0  # of the model's ear: with less the photo's is under hair; with more it is no ear
SMALLEST = 0.03  # of the side, squared: less of the model's ear stands out of a head that is turned
FREE, FARTHER = 0.6, 0.2  # of an end's pixels have background beyond them, so much of an ear's size farther out
# Of what the photo shows of an ear, from which it is under hair; and the other ear, if the photo doesn't show that: one
# that grew out of a cheek as the head turns would be seen before any hair is missed.
COVERED, TOUCHED = 0.62, 0.35
UNCUT = 0.02  # of an ear's height: a photo's ear that comes so near to where it is looked for goes on from there


@dataclass(frozen=True)
class _Ear:
    """vertices [E] of the model; moves [D, V, 3] what the directions do; axes [2, 2]: outwards and up in the
    picture."""

    vertices: np.ndarray
    moves: np.ndarray
    axes: np.ndarray


def fit_ears(scene: Scene, model: HeadModel) -> HeadFit:
    """The fit with `offsets` that bring top, lobe and rim of each ear to where the photo shows them; one that the
    photo shows less far out than the model has it only where background lies beyond, or hair may cover the rest. An
    ear that hardly shows, and one that would go too far, stays as it is. One under hair is laid flat: nothing sticks
    out of the hair when the head turns."""
    fit = scene.fit
    ears = [_ear(scene, model, side) for side in ("l", "r")]
    for ear, covered in zip(ears, _covered(scene, model, ears), strict=True):
        if covered:
            fit = _laid_flat(fit, model, ear)
            continue
        start = fit
        for _ in range(ROUNDS):
            change = _towards_photo(replace(scene, fit=fit), model, ear)
            if change is None:  # on the way it came to look like none
                fit = start
            if change is None or not change.any():
                break
            fit = replace(fit, offsets=(fit.offsets + change).astype(np.float32))
        if np.linalg.norm(fit.offsets - start.offsets, axis=1).max() > LIMIT:
            fit = start
    return fit


def _ear(scene: Scene, model: HeadModel, side: str) -> _Ear:
    moves = model.identity[[model.identity_names.index(f"{side}-ear-{name}") for name in DIRECTIONS]]
    winged = np.linalg.norm(moves[DIRECTIONS.index("wing-incr")], axis=1)
    ways = np.array([[1 if side == "l" else -1, 0, 0], [0, 1, 0]], np.float32)  # head space
    rotation = scene.fit.camera.camera_to_world.copy()
    rotation[:3, 3] = 0
    axes = to_camera(ways, rotation)[:, :2]
    axes /= np.maximum(np.linalg.norm(axes, axis=1, keepdims=True), 1e-9)
    return _Ear(np.flatnonzero(winged > ON_EAR * winged.max()), moves, axes)


def _covered(scene: Scene, model: HeadModel, ears: list[_Ear]) -> list[bool]:
    """Whether hair covers each ear; one that the photo doesn't show is so if hair is over a part of the other one."""
    points = to_camera(AvatarHead(model, scene.fit).vertices(scene.fit.expression), scene.fit.camera.camera_to_world)
    skin = model.faces[model.part_faces("skin")]
    face = rasterise(project(points, *scene.lens), skin, scene.side, scene.side)[0]
    shares = []
    for ear in ears:
        shown = (face >= 0) & np.isin(skin, ear.vertices).all(1)[face] & (scene.matte > 0.5)
        much = shown.sum() > (SMALLEST * scene.side) ** 2
        shares.append(float(scene.regions["hair"][shown].mean()) if much else np.nan)
    known = [share for share in shares if not np.isnan(share)]
    return [bool(known) and (max(known) > TOUCHED if np.isnan(share) else share > COVERED) for share in shares]


def _laid_flat(fit: HeadFit, model: HeadModel, ear: _Ear) -> HeadFit:
    """The fit with the side of the head drawn smoothly over the place of an ear: each vertex amid its neighbours."""
    points = AvatarHead(model, fit).vertices(fit.expression)
    inside = np.isin(np.arange(len(points)), ear.vertices)
    link = neighbours(model.faces, len(points))[ear.vertices]
    system = sparse.diags(np.asarray(link.sum(1)).ravel()) - link[:, ear.vertices]
    flat = linalg.spsolve(system.tocsc(), link[:, ~inside] @ points[~inside])
    offsets = fit.offsets.copy()
    offsets[ear.vertices] += (flat - points[ear.vertices]).astype(np.float32)
    return replace(fit, offsets=offsets)


def _towards_photo(scene: Scene, model: HeadModel, ear: _Ear) -> np.ndarray | None:
    """[V, 3] metres, head space, that bring the ear's free ends nearer to the photo's; None where that shows none."""
    to_world = scene.fit.camera.camera_to_world
    points = to_camera(AvatarHead(model, scene.fit).vertices(scene.fit.expression), to_world)
    uv = project(points, *scene.lens)
    skin = model.faces[model.part_faces("skin")]
    on_ear = np.isin(skin, ear.vertices).all(1)
    own, head = (rasterise(uv, skin[part], scene.side, scene.side)[0] >= 0 for part in (on_ear, ~on_ear))
    own &= ~head
    seen = _photo_ear(scene, own, head, ear.axes)
    if seen is None:
        return None
    linear = to_world.copy()
    linear[:3, 3] = 0
    at = uv[ear.vertices, :2] @ ear.axes.T
    rows, missing = [], []
    for axis, sign in ((0, 1), (1, 1), (1, -1)):  # rim, top, lobe
        way = sign * ear.axes[axis]
        more = _end(seen, way) - _end(own, way)
        if more < 0 and not _free(scene.matte, seen, way):
            continue
        missing.append(more)
        along = sign * at[:, axis]
        end = ear.vertices[along >= np.percentile(along, 100 - END[1])]
        shift = np.stack([to_camera(move[end], linear)[:, :2] for move in ear.moves])
        rows.append((shift @ way * (scene.lens[0] / points[end, 2])).mean(1))
    if not rows:
        return np.zeros_like(points)
    a = np.array(rows)
    ridge = STIFFNESS * (a**2).mean() * np.eye(len(DIRECTIONS))
    share = np.linalg.solve(a.T @ a + ridge, a.T @ np.array(missing))
    return STEP * np.tensordot(share, ear.moves, 1)


def _photo_ear(scene: Scene, own: np.ndarray, head: np.ndarray, axes: np.ndarray) -> np.ndarray | None:
    """[R, R] the photo's ear where it stands out from the model's `head` [R, R] without ears, near the model's `own`
    [R, R]; None where too little of it shows."""
    if own.sum() < (SMALLEST * scene.side) ** 2:
        return None
    y, x = np.indices(own.shape)
    height = x * axes[1, 0] + y * axes[1, 1]
    top, bottom = _end(own, axes[1]), -_end(own, -axes[1])
    tall = top - bottom
    highest, lowest = top + BEYOND[0] * tall, bottom - BEYOND[1] * tall
    near = (height < highest) & (height > lowest)
    skin = (scene.regions["skin"] > 0.5) & (scene.matte > 0.5)
    strip = disc(STRIP * tall / 2)
    whole = cv2.morphologyEx(skin.astype(np.uint8), cv2.MORPH_CLOSE, strip)  # folds pass for hair
    beside = cv2.morphologyEx(whole * (near & ~head), cv2.MORPH_OPEN, strip)
    labels, count = ndimage.label(beside)
    overlap = np.bincount(labels[own], minlength=count + 1)
    overlap[0] = 0
    if not overlap.any():
        return None
    seen = labels == overlap.argmax()
    room = UNCUT * tall + 1
    cut = height[seen].max() > highest - room or height[seen].min() < lowest + room
    cut = cut or seen[[0, -1]].any() or seen[:, [0, -1]].any()
    fits = overlap.max() > ENOUGH * own.sum() and seen.sum() < TOO_MUCH * own.sum()
    return seen if fits and not cut else None


def _end(mask: np.ndarray, way: np.ndarray) -> float:
    """Where mask [R, R] ends along the direction `way` [2], in pixels."""
    y, x = np.nonzero(mask)
    return float(np.percentile(np.stack([x, y], 1) @ way, 100 - END[0]))


def _free(matte: np.ndarray, mask: np.ndarray, way: np.ndarray) -> bool:
    """Whether background lies beyond the end of mask [R, R] along the direction `way` [2]."""
    pixels = np.argwhere(mask)[:, ::-1]
    along = pixels @ way
    reach = np.ptp(along)
    end = pixels[along >= np.percentile(along, 100 - END[1])]
    beyond = np.round(end + FARTHER * reach * way).astype(int)
    inside = ((beyond >= 0) & (beyond < len(matte))).all(1)
    x, y = np.clip(beyond, 0, len(matte) - 1).T
    return bool((inside & (matte[y, x] < 0.5)).mean() > FREE)
