"""Canonical geometry: from a fitted head and a photo to the shells of a radiance field.

Decides for every vertex how far the photo shows it, and what it looks like where the photo doesn't: the pivot's
colour plus what the seen surface around it, and the mirrored side of the face, add to that colour.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import sparse
from scipy.sparse import linalg

from ..head.surface import neighbours
from ..portrait.regions import disc, firm
from ..ramps import ramp, runs, smooth_step
from ..rendering.raster import rasterise
from ..rendering.shells import CAVITY, EYES, FAR, SKIN, TEETH, project
from .appearance import PARTS

LAYER_OF_PART = {
    "skin": SKIN, "mouth_cavity": CAVITY, "eye_socket": EYES, "teeth_upper": TEETH, "teeth_lower": CAVITY,
    "tongue": CAVITY, "eye_left": EYES, "eye_right": EYES,
}  # fmt: skip
SKIN_THICKNESS = 0.0008  # metres: under a pixel at 1024, so skin stays sharp
HAIR_THICKNESS = 0.005  # hair and cloth are soft at this scale
DEPTH_SLACK = 0.004  # metres a vertex may lie behind what the photo shows and still count as shown
SOLIDITY_BLUR = 0.006  # of the side: unseen surface outside the softened matte is not there
RIM = 0.03  # of the side: rim light and matting errors reach so far in from the outline
RIM_LINE, RIM_REACH = 0.016, 0.03  # of the side: what is narrower, so close to the outline, is no hair
COLLAR = 0.03  # of the side: what is narrower between a neck and the background is none
EVEN_LIGHT = 1.2  # of a face lit from the front: its brightest over its median; lit from the side it is more
SHADED = 0.7  # see `skin_likeness`
SKIN_HUE = 0.035  # share of red, green or blue by which bare skin may differ from the face's median
DIFFUSION = 3.0  # seen colour spreads over unseen surface for about sqrt(DIFFUSION / FORGETTING) = 30 edges,
FORGETTING = 0.003  # then the pivot's own colour takes over
SEAM_FORGETTING = 0.05  # the photo's colour goes on for about sqrt(DIFFUSION / SEAM_FORGETTING) = 8 edges
JAW_STEP = 0.01  # metres at least from the jaw's outline back to the neck
OVERHANG = (0.025, 0.05)  # of the side below the jaw: how far what hangs there covers the neck wholly, and at most
JAW_EDGE = 0.012  # of the side above it: the photo's jaw never ends exactly where the head's does
REMAP_ROWS = 32000  # OpenCV's remap counts a picture's rows in 16 bits
ARCH_ROWS = 0.05  # of the side: how far down the outline is looked at to go on with it above the photo
ARCH, TALLEST_ARCH = 0.35, 0.095  # height of what is added there over its width; of the side: the relief ends there


@dataclass(frozen=True)
class Sight:
    """What the portrait's camera sees of the head: uv [V, 3] image space; normal [V, 3] unit, camera space; facing
    [V] cosine; shown [V] 0 or 1, beyond the picture as a larger one would; depth [R + 2 M, R + 2 M] of the head's own
    outer surface, with a margin of M pixels around the picture (inf: none); below_jaw [R, R]: how far, in sides, a
    pixel of the neck lies below the jaw's outline, or, negative, one of the head above it (inf: neither)."""

    uv: np.ndarray
    normal: np.ndarray
    facing: np.ndarray
    shown: np.ndarray
    depth: np.ndarray
    below_jaw: np.ndarray


def look(
    points: np.ndarray, normals: np.ndarray, outer_faces: np.ndarray, neck: np.ndarray,
    lens: tuple[float, float, float], side: int, margin: int = 0,
) -> Sight:  # fmt: skip
    """points, normals [V, 3] camera space; outer_faces: the skin's triangles; neck [V] 0..1: how far each belongs
    to the neck; lens (focal, cx, cy), side and margin in pixels."""
    uv = project(points, *lens)
    full = side + 2 * margin
    ids, depth = rasterise(uv + np.array([margin, margin, 0], np.float32), outer_faces, full, full)
    on_neck = (neck[outer_faces].mean(1)[ids] > 0.3) & (ids >= 0)
    view = points / np.linalg.norm(points, axis=1, keepdims=True)
    facing = -(normals * view).sum(1)
    finite = np.where(np.isfinite(depth), depth, 0).astype(np.float32)
    farthest = cv2.dilate(finite, np.ones((3, 3), np.uint8))
    x, y = (np.clip(np.floor(uv[:, k]).astype(int) + margin, 0, full - 1) for k in (0, 1))
    open_to_view = (uv[:, 2] <= farthest[y, x] + DEPTH_SLACK) | (farthest[y, x] == 0)
    open_to_view |= (uv[:, :2] < -margin).any(1) | (uv[:, :2] >= side + margin).any(1)
    shown = np.where(open_to_view & (facing > 0), 1.0, 0.0)
    within = slice(margin, margin + side)
    below_jaw = np.ascontiguousarray(_below_jaw(depth, on_neck, side)[within, within])
    return Sight(uv, normals, facing.astype(np.float32), shown.astype(np.float32), depth, below_jaw)


def _below_jaw(depth: np.ndarray, on_neck: np.ndarray, side: int) -> np.ndarray:
    finite = np.where(np.isfinite(depth), depth, FAR).astype(np.float32)
    head = np.where(on_neck, FAR, finite).astype(np.float32)  # a neck's own folds and shoulders hang over nothing
    outline = on_neck & (finite - cv2.erode(head, np.ones((3, 3), np.uint8)) > JAW_STEP)
    if not outline.any():
        return np.full(depth.shape, np.inf, np.float32)
    away = cv2.distanceTransform((~outline).astype(np.uint8), cv2.DIST_L2, 5) / side
    return np.where(on_neck, away, np.where(np.isfinite(depth), -away, np.inf)).astype(np.float32)


def overhang(below_jaw: np.ndarray, bare: np.ndarray) -> np.ndarray:
    """[R, R] 0..1: how much of the neck there may be jaw and beard before it. 1 right below the jaw, 0 from OVERHANG on
    and where a collar follows: only a bare neck can be told from what hangs over it. below_jaw [R, R], see Sight; bare
    [R, R] 0..1 bare skin."""
    soft = cv2.GaussianBlur(bare, (0, 0), 0.015 * len(bare))  # more than a fold's or a strand's shadow
    neck = neck_below(below_jaw, soft)
    share = ramp(below_jaw, OVERHANG[1], OVERHANG[0]) * np.clip(1 + below_jaw / JAW_EDGE, 0, 1)
    return (smooth_step(share, 0, 1) * np.clip(3 * neck - 1, 0, 1)).astype(np.float32)


def neck_below(below_jaw: np.ndarray, image: np.ndarray) -> np.ndarray:
    """What image [R, R(, C)] has where nothing hangs over the neck any more, straight below a jaw's outline, for each
    pixel around it."""
    side = len(below_jaw)
    away = np.clip(below_jaw, -OVERHANG[1], 2 * OVERHANG[1])
    down = np.stack(np.gradient(cv2.GaussianBlur(away, (0, 0), 0.02 * side)))[::-1]
    down /= np.maximum(np.linalg.norm(down, axis=0), 1e-9)
    step = np.maximum(OVERHANG[1] - away, 0) * side
    x, y = (np.indices(below_jaw.shape)[::-1] + step * down).astype(np.float32)
    return np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def sample(image: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Bilinear values of image [R, R(, C)] at pixel coordinates uv [N, 2+], clamped at the border."""
    if len(uv) == 0:  # remap refuses
        return np.zeros((0, *image.shape[2:]), np.float32)
    image, at = image.astype(np.float32), uv[:, None, :2].astype(np.float32) - 0.5
    out = np.concatenate([
        cv2.remap(image, part[..., 0], part[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for part in np.array_split(at, -(-len(at) // REMAP_ROWS))
    ])  # fmt: skip
    return out.reshape(len(uv), -1) if image.ndim == 3 else out.reshape(len(uv))


def beyond_photo(uv: np.ndarray, side: int) -> np.ndarray:
    """[N] how far points uv [N, 2+] in pixels lie beyond the top, left or right edge of a photo, in its sides. Of what
    lies below it, clothes mostly, the mirror image serves longer."""
    return np.maximum.reduce([-uv[:, 0], uv[:, 0] - side, -uv[:, 1], np.zeros(len(uv))]) / side


def heights_above(matte: np.ndarray) -> np.ndarray:
    """[R] pixels above the photo's top edge up to which the person of matte [R, R] goes on in each column: over each
    stretch that the edge cuts, the circle that its outline begins, made flatter where it would be a tower. -inf where
    nothing is cut, inf where a stretch reaches the photo's corners."""
    side = len(matte)
    down = int(ARCH_ROWS * side)
    top, lower = matte[0] > 0.5, matte[down] > 0.5
    out = np.full(side, -np.inf, np.float32)
    for first, last in runs(top):
        if first == 0 or last == side:
            out[first:last] = np.inf
            continue
        middle, half = (first + last) / 2, (last - first) / 2
        wider = next((run[1] - run[0] for run in runs(lower) if run[0] <= middle < run[1]), last - first) / 2
        centre = max((wider**2 - half**2 + down**2) / (2 * down), 0)  # below the edge
        radius = np.hypot(half, centre)
        across = np.arange(first, last) + 0.5 - middle
        arch = np.sqrt(np.maximum(radius**2 - across**2, 0)) - centre
        tallest = min(ARCH * (last - first), TALLEST_ARCH * side)
        out[first:last] = arch * min(1, tallest / max(float(arch.max()), 1e-6))
    return out


def diffuse(values: np.ndarray, weight: np.ndarray, faces: np.ndarray, forgetting: float = FORGETTING) -> np.ndarray:
    """Values [V, C] kept where weight [V] is high and carried over the surface where it is low; they fade to 0 far
    from every known vertex. Solves (W + D L + forgetting I) x = W values with the mesh's graph Laplacian L."""
    link = neighbours(faces, len(values))
    laplacian = sparse.diags(np.asarray(link.sum(1)).ravel()) - link
    system = sparse.diags(weight * 10 + forgetting) + DIFFUSION * laplacian
    solve = linalg.factorized(system.tocsc())
    return np.stack([solve(weight * 10 * values[:, c]) for c in range(values.shape[1])], 1)


def bare_skin(photo: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """[R, R] 0..1: pixels of the face's own hue, lighter or darker; tells a bare neck from a collar."""
    like, light = skin_likeness(photo, skin, SHADED)
    lit = max(1.0, float(np.quantile(light[firm(skin)], 0.95)) / EVEN_LIGHT)
    return (like * np.clip(4 * light - 0.8, 0, 1) * np.clip(4 - 3 * light / lit, 0, 1)).astype(np.float32)


def skin_likeness(photo: np.ndarray, skin: np.ndarray, shaded: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """[R, R] 0..1: how much a pixel has the face's hue, and [R, R]: its light over the face's median. By so much,
    `shaded`, skin without any light would be more vivid than the face: in a shade, light comes from skin to skin."""
    face = np.median(photo[firm(skin)], axis=0)
    total = photo.sum(2)
    light = total / face.sum()
    hue, own = photo / (total[..., None] + 0.05), face / (face.sum() + 0.05)
    grey, vivid = own.mean(), own - own.mean()
    if vivid @ vivid > 1e-6:
        more = (hue - grey) @ vivid / (vivid @ vivid) - 1
        hue = hue - np.clip(more, 0, shaded * np.clip(1 - light, 0, 1))[..., None] * vivid
    return np.clip(2 - np.abs(hue - own).max(2) / SKIN_HUE, 0, 1), light


def without_rim(mask: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """mask [R, R] without what is thin close to the outline of matte [R, R]: where skin ends before the background a
    segmentation sees hair."""
    inside = cv2.distanceTransform((matte > 0.1).astype(np.uint8), cv2.DIST_L2, 5)
    opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc(RIM_LINE * len(mask) / 2))
    return np.where(inside < RIM_REACH * len(mask), opened, mask)


def without_strips(bare: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """`bare` [R, R] also where a strip of something else lies between it and the outline of matte [R, R]: light from
    behind or shade, which has not the skin's colour, is no collar."""
    person, width = matte > 0.5, COLLAR * len(bare)
    closed = cv2.morphologyEx(np.where(person, bare, 1).astype(np.float32), cv2.MORPH_CLOSE, disc(width / 2))
    at_outline = cv2.distanceTransform(person.astype(np.uint8), cv2.DIST_L2, 5) < width
    return np.where(at_outline, closed, bare).astype(np.float32)


def part_members(regions: dict[str, np.ndarray], bare: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Membership of photo points uv [N, 2+] in the appearance's PARTS, rows sum to 1, [N, PARTS].

    `neck_shoulders` holds both bare neck and clothes: what is `bare` [R, R] 0..1 counts as skin.
    """
    value = {name: sample(mask, uv) for name, mask in regions.items()}
    bare = sample(bare, uv)
    out = np.zeros((len(uv), len(PARTS)), np.float32)
    out[:, PARTS.index("lips")] = value["lips"]
    out[:, PARTS.index("hair")] = value["hair"]
    out[:, PARTS.index("clothes")] = value["neck_shoulders"] * (1 - bare)
    out[:, PARTS.index("skin")] = value["skin"] + value["neck_shoulders"] * bare + 1e-3
    return out / out.sum(1, keepdims=True)


def completed_colour(
    photo_colour: np.ndarray, trust: np.ndarray, pivot: np.ndarray, mirror: np.ndarray, faces: np.ndarray
) -> np.ndarray:
    """Colour [V, 3] of every vertex as the photo, its mirror image and smoothness suggest, sRGB 0..1. `trust` [V]
    0..1 is how far the photo's colour at a vertex is the surface's own (frontal, away from the outline's rim light).

    The mirrored side lends its difference from the pivot, not its colour: light from one side stays on its side.
    """
    residual = photo_colour - pivot
    mirrored = 0.5 * trust[mirror] * (1 - trust)
    known = np.where((trust >= mirrored)[:, None], residual, residual[mirror])
    return np.clip(pivot + diffuse(known, np.maximum(trust, mirrored), faces), 0, 1).astype(np.float32)


def continued_colour(own: np.ndarray, shown: np.ndarray, fill: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """`fill` [V, 3] without a seam where the photo ends: it begins there in the photo's colour `own` [V, 3] and takes
    its own over little by little. shown [V] 0..1: how far a viewer sees the photo and not the fill."""
    return np.clip(fill + diffuse(own - fill, shown, faces, SEAM_FORGETTING), 0, 1).astype(np.float32)


def rim_distance(matte: np.ndarray) -> np.ndarray:
    """[R, R] 0..1: how far inside the person's outline a pixel lies: 0 up to 0.15 RIM of the side, 1 from 1.15 RIM
    on."""
    inside = cv2.distanceTransform((matte > 0.9).astype(np.uint8), cv2.DIST_L2, 5)
    return np.clip(inside / (RIM * matte.shape[0]) - 0.15, 0, 1).astype(np.float32)
