"""Which part of the person each pixel shows: skin, lips, mouth interior, eyes, hair, neck and shoulders.

Landmarks give the exact outlines (lips, eyes, face); three colour models, learnt from places of this very photo
that are surely skin, hair and clothes, decide what the outlines leave open (ears, fringe, long hair, neck).
A hat counts as hair, glasses and a beard as skin: they move with the head as those do.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import csgraph

from elocute.landmarks import CHIN, FOREHEAD, INNER_LIPS, LEFT_LIDS, OUTER_LIPS, OUTER_MOUTH_CORNERS, OVAL, RIGHT_LIDS
from elocute.portrait.face import face_height
from elocute.values import REGION_NAMES, Face

BROWS = (105, 334)

WORK_FACE_HEIGHT = 160  # pixels: enough for the colour models, and the same cost for every photo
SAMPLES = 4000  # pixels a colour model learns from
FEWEST = 50  # pixels: fewer teach no colour
SHARP = 10.0  # difference from one pixel to the next that makes an edge, in 8-bit CIELAB: of light, hue or both
WAY = 0.02  # of crossing such an edge: what each pixel of even colour on the way costs
FINER = 4  # subpixels along each side of a pixel, for outlines
BEARD = 0.08  # of the way from forehead to chin, above the mouth's corners: where a moustache may begin
FEATURES = 0.1  # of a face's skin: what has a colour of its own in less is nostrils, lashes and such
HAZE = 16  # of 255: light that isn't the skin's lies on top of it, and takes the more of its hue the darker it is
# In chroma over light: photos with less have no hue to tell skin by, and what differs from the skin's by more than this
# share of it isn't skin in a shade.
PALE, SAME_HUE = 0.06, 0.35
HALF_LIGHT = 0.55  # of the skin's CIELAB lightness: so much is left in a shade
SKIN, HAIR, CLOTHES = range(3)
# Log-odds by place, beside those of the colour: of skin within the face's oval, beside it between brow and mouth (where
# ears are), beyond, and what they lose a face height from it; of hair, of clothes above the mouth and right below it,
# and what hair loses and clothes gain a face height below; of a neck, which looks like the face but isn't moved by it.
ON_FACE, AT_EARS, ELSEWHERE, AWAY = 4.5, 2.5, 1.5, 12.0
USUALLY_HAIR, NOT_CLOTHES, NECKLINE, BELOW_MOUTH, LIKE_FACE = 3.0, -6.0, -2.0, 11.0, 2.0
COLOUR, UNLIKELY = 0.5, -12.0  # how much a colour's log-odds count, and the least of them
SURELY = 20.0  # log-odds that no colour overrules


def find_regions(rgb: np.ndarray, matte: np.ndarray, face: Face) -> dict[str, np.ndarray]:
    """Soft masks float32 [H, W] for REGION_NAMES that add up to 1 at every pixel.

    `rgb` uint8 [H, W, 3]; `matte` float32 [H, W] in 0..1.
    """
    height, width = matte.shape
    points = face.landmarks[:, :2]
    lips_and_mouth = polygon_mask(points[list(OUTER_LIPS)], height, width)
    mouth = np.minimum(polygon_mask(points[list(INNER_LIPS)], height, width), lips_and_mouth)
    eyes = np.maximum(
        polygon_mask(points[list(RIGHT_LIDS)], height, width),
        polygon_mask(points[list(LEFT_LIDS)], height, width),
    )
    skin, hair, _ = _body_shares(rgb, matte, face)
    rest = matte * (1 - np.maximum(lips_and_mouth, eyes))
    regions = {
        "skin": rest * skin,
        "lips": matte * (lips_and_mouth - mouth),
        "mouth_interior": matte * mouth,
        "eyes": matte * eyes * (1 - lips_and_mouth),
        "hair": rest * hair,
        "background": 1 - matte,
    }
    regions["neck_shoulders"] = np.clip(1 - sum(regions.values()), 0, 1)
    return {name: regions[name].astype(np.float32) for name in REGION_NAMES}


def firm(mask: np.ndarray) -> np.ndarray:
    """Where a soft mask [H, W] is surest, bool [H, W]; never empty."""
    return mask >= min(0.8, float(mask.max()))


def disc(radius: float) -> np.ndarray:
    """What `cv2` opens, closes and grows masks by: a disc of a radius in pixels, at least one."""
    side = 2 * max(1, round(radius)) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))


def polygon_mask(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """A polygon [N, 2] in pixels as a float32 [H, W] mask of exact coverage, its edge about a pixel soft."""
    low = np.maximum(np.floor(points.min(axis=0)).astype(int) - 2, 0)
    high = np.minimum(np.ceil(points.max(axis=0)).astype(int) + 2, [width, height])
    mask = np.zeros((height, width), np.float32)
    if (high <= low).any():
        return mask
    # Drawn FINER times larger and averaged down: OpenCV's own antialiased polygons come out 0.7 pixels too large.
    x, y = high - low
    large = np.zeros((y * FINER, x * FINER), np.uint8)
    fixed = np.round(((points - low) * FINER - 0.5) * 256).astype(np.int32)  # its pixel centres are whole numbers
    cv2.fillPoly(large, [fixed], 255, lineType=cv2.LINE_8, shift=8)
    exact = cv2.resize(large, (int(x), int(y)), interpolation=cv2.INTER_AREA)
    mask[low[1] : high[1], low[0] : high[0]] = cv2.GaussianBlur(exact, (3, 3), 0.5).astype(np.float32) / 255
    return mask


def _body_shares(rgb: np.ndarray, matte: np.ndarray, face: Face) -> np.ndarray:
    """Shares [3, H, W] of skin, hair, neck-and-clothes at each pixel of the person; they add up to 1."""
    height, width = matte.shape
    scale = min(WORK_FACE_HEIGHT / face_height(face), 1.0)
    size = (max(round(width * scale), 2), max(round(height * scale), 2))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    small_matte = cv2.resize(matte, size, interpolation=cv2.INTER_AREA)
    points = face.landmarks[:, :2] * [size[0] / width, size[1] / height]
    logits = _logits(small, small_matte, points)
    guide = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    shares = _softmax(np.stack([_guided(layer, guide, radius=3, eps=1e-3) for layer in _softmax(logits)]) * 12)
    shares = np.stack([cv2.resize(layer, (width, height), interpolation=cv2.INTER_LINEAR) for layer in shares])
    return shares / np.maximum(shares.sum(axis=0), 1e-6)


def _logits(rgb: np.ndarray, matte: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Log-likelihoods [3, H, W] of skin, hair, clothes: colour and place together."""
    height, width = matte.shape
    down = along_face(points, height, width)
    brow, mouth = (float(_along(points, points[list(pair)]).mean()) for pair in (BROWS, OUTER_MOUTH_CORNERS))
    unit = float(np.linalg.norm(points[CHIN] - points[FOREHEAD]))
    oval = polygon_mask(points[list(OVAL)], height, width) > 0.5
    outside = cv2.distanceTransform((~oval).astype(np.uint8), cv2.DIST_L2, 5) / unit  # in face heights
    person, solid = matte > 0.5, matte > 0.9

    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB).astype(np.float32)
    face = oval & (down < 0.95)
    own, lower = _bare_face(lab, face, _before(points, oval) & (down < mouth - BEARD), down > brow + 0.12)
    face_colour, skin_colour = _colour_logits(lab, lab[own | lower]), _colour_logits(lab, lab[own])
    # Around the upper face is hair, except what looks like skin: a high forehead, a bald head, ears.
    around = solid & (outside > 0.06) & (outside < 0.6) & (down < brow) & (skin_colour < -4)
    framed = np.pad(person, ((1, 0), (1, 1)))  # where the picture cuts hair off is an outline too
    edge = cv2.distanceTransform(framed.astype(np.uint8), cv2.DIST_L2, 5)[1:, 1:-1] / unit
    crown = around & (edge > 0.02) & (((edge < 0.12) & (down < -0.1)) | (outside > 0.25))
    upper = person & (outside < 0.5) & (down < brow + 0.12)
    forehead = np.zeros_like(person)
    if not person[0].any() or (crown & (outside < 0.3)).sum() >= FEWEST:  # else what hair there was may be cut off
        forehead = _nearer(lab, face & (skin_colour > -5), crown, upper)
        forehead &= (down < brow) & _before(points, oval)
    if forehead.any() and (around & ~forehead).sum() >= FEWEST:
        around &= ~forehead
        skin_colour = _colour_logits(lab, lab[own | (forehead & solid)])
    worn = solid & (down > 1.35) | solid & (down > 1.05) & (outside > 0.35)
    colour = np.stack([skin_colour, _colour_logits(lab, lab[around]), _colour_logits(lab, lab[worn])])
    place = _place(oval, outside, down, brow, mouth)
    place[SKIN][forehead & (colour[SKIN] > colour[HAIR] - 2)] = ON_FACE  # a high one, above the oval
    logits = COLOUR * np.clip(colour, UNLIKELY, 0) + place
    # Neck skin belongs to the part that stays with the shoulders.
    below = ~oval & (down > mouth)
    neck = COLOUR * np.clip(face_colour, UNLIKELY, 0) + LIKE_FACE
    logits[CLOTHES][below] = np.maximum(logits[CLOTHES], neck)[below]
    logits[SKIN][below] = -SURELY
    logits[SKIN][oval & (down > brow)] = SURELY  # a beard or glasses stay skin
    logits[CLOTHES][~person & (down < mouth)] = -SURELY
    spots, _ = ndimage.label(logits.argmax(0) == HAIR)
    logits[HAIR][oval & ~np.isin(spots, spots[~oval])] = -SURELY  # a frown's or a brow's: hair comes from without
    return logits


def _place(oval: np.ndarray, outside: np.ndarray, down: np.ndarray, brow: float, mouth: float) -> np.ndarray:
    """What skin, hair and clothes are likely by their place alone, log-odds [3, H, W]: `outside` [H, W] face heights
    from the `oval`; `down` [H, W] along the face, with its `brow` and `mouth`."""
    at_ears = (down > brow) & (down < mouth)
    skin = np.where(oval, ON_FACE, np.where(at_ears, AT_EARS, ELSEWHERE) - AWAY * outside)
    # Hair is everything around the upper face; below the mouth it has to look more and more like hair.
    lower = BELOW_MOUTH * np.maximum(down - mouth, 0)
    return np.stack([skin, USUALLY_HAIR - lower, np.where(down < mouth, NOT_CLOTHES, NECKLINE + lower)])


def _bare_face(
    lab: np.ndarray, face: np.ndarray, middle: np.ndarray, below_eyes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """[H, W] twice: the pixels of the `face` that look like its cheeks, which lie in the `middle` `below_eyes`, or like
    them in a shade; and all of it below the eyes. A forehead that nothing covers has more of the skin's colours: it
    shines, or is paler or darker than a cheek. So has a chin, but a beard's colours may be the hair's."""
    cheeks = face & middle & below_eyes
    like = _colour_logits(lab, lab[cheeks], FEATURES) > -5
    lower = face & below_eyes
    return face & like | lower & _shaded(lab, lab[cheeks & like]), lower


def _nearer(lab: np.ndarray, one: np.ndarray, other: np.ndarray, domain: np.ndarray) -> np.ndarray:
    """Which pixels of `domain` [H, W] are nearer to the pixels `one` than to the `other`, on ways within it that avoid
    edges: a shining, wrinkled forehead goes over into the face little by little, and ends sharply at the hair."""
    x, y, width, height = cv2.boundingRect(domain.astype(np.uint8))
    box = slice(y, y + height), slice(x, x + width)
    out = np.zeros_like(domain)
    smooth, one, other, domain = cv2.GaussianBlur(lab, (0, 0), 0.8)[box], one[box], other[box], domain[box]
    number = np.arange(domain.size).reshape(domain.shape)
    links = []
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        a = slice(0, height - dy), slice(max(-dx, 0), width - max(dx, 0))
        b = slice(dy, height), slice(max(dx, 0), width - max(-dx, 0))
        both = domain[a] & domain[b]
        length = np.hypot(dx, dy)
        slope = np.linalg.norm(smooth[a] - smooth[b], axis=-1)[both] / (SHARP * length)
        links.append(np.stack([number[a][both], number[b][both], (slope**4 + WAY) * length]))
    i, j, cost = np.concatenate(links, axis=1)
    graph = sparse.coo_matrix((cost, (i.astype(int), j.astype(int))), (domain.size, domain.size)).tocsr()
    away = [_distances(graph, number[seeds & domain]) for seeds in (one, other)]
    out[box] = domain & (away[0] < away[1]).reshape(domain.shape)
    return out


def _distances(graph: sparse.csr_matrix, seeds: np.ndarray) -> np.ndarray:
    """From the nearest of the `seeds` to each node, [N]."""
    if not len(seeds):
        return np.full(graph.shape[0], np.inf)
    return csgraph.dijkstra(graph, directed=False, indices=seeds, min_only=True)


def _before(points: np.ndarray, oval: np.ndarray) -> np.ndarray:
    """[H, W]: between the sides of the face's `oval` [H, W], but for a tenth of its width at each."""
    across = points[CHIN] - points[FOREHEAD]
    y, x = np.indices(oval.shape)
    at = x * across[1] - y * across[0]
    low, high = (at[oval].min(), at[oval].max()) if oval.any() else (0, 0)
    margin = 0.1 * (high - low)
    return (at > low + margin) & (at < high - margin)


def along_face(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """[H, W]: 0 at the top of the forehead, 1 at the chin, measured along the face, for every pixel."""
    y, x = np.mgrid[0:height, 0:width] + 0.5
    return _along(points, np.stack([x, y], axis=-1))


def _along(points: np.ndarray, where: np.ndarray) -> np.ndarray:
    axis = points[CHIN] - points[FOREHEAD]
    return (where - points[FOREHEAD]) @ axis / float(axis @ axis)


def _colour_logits(lab: np.ndarray, samples: np.ndarray, least: float = 0.0) -> np.ndarray:
    """Log-density [H, W] of each pixel's colour under a small Gaussian mixture of `samples` [N, 3], relative to a
    perfect match, without colours that fewer than the share `least` of them have; a flat -6 when there is nothing to
    learn from."""
    if len(samples) < FEWEST:
        return np.full(lab.shape[:2], -6.0, np.float32)
    samples = samples[:: max(len(samples) // SAMPLES, 1)]
    # Deterministic k-means: seeds at the quantiles of lightness.
    order = np.argsort(samples[:, 0], kind="stable")
    centres = samples[order[np.linspace(0, len(order) - 1, 7).astype(int)[1:-1]]]
    for _ in range(8):
        nearest = ((samples[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        centres = np.stack(
            [samples[nearest == k].mean(axis=0) if (nearest == k).any() else centres[k] for k in range(len(centres))]
        )
    density = []
    for k, centre in enumerate(centres):
        member = samples[nearest == k]
        if len(member) < max(8, least * len(samples)):
            continue
        spread = np.maximum(member.std(axis=0), [7.0, 4.0, 4.0])  # noise and shading of one material
        density.append(np.log(len(member) / len(samples)) - 0.5 * (((lab - centre) / spread) ** 2).sum(axis=2))
    return np.max(np.stack(density), axis=0) if density else np.full(lab.shape[:2], -6.0, np.float32)


def _shaded(lab: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """[H, W] which pixels may be what the `samples` [N, 3] are in a shade: of their hue, or where they have hardly one,
    as in black and white, not much darker."""
    if not len(samples):
        return np.zeros(lab.shape[:2], bool)
    tints, own = ((values[..., 1:] - 128) / (values[..., :1] + HAZE) for values in (lab, samples))
    usual = np.median(own, axis=0)
    vivid = float(np.linalg.norm(usual))
    if vivid < PALE:
        return lab[..., 0] > HALF_LIGHT * np.median(samples[:, 0])
    return np.linalg.norm(tints - usual, axis=2) < SAME_HUE * vivid


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Over the first axis, float32."""
    exponent = np.exp(logits - logits.max(axis=0))
    return (exponent / exponent.sum(axis=0)).astype(np.float32)


def _guided(mask: np.ndarray, guide: np.ndarray, radius: int, eps: float) -> np.ndarray:
    """Edge-aware smoothing (He et al., "Guided Image Filtering", TPAMI 2013)."""
    size = (2 * radius + 1, 2 * radius + 1)
    mean_guide, mean_mask = cv2.blur(guide, size), cv2.blur(mask, size)
    slope = (cv2.blur(guide * mask, size) - mean_guide * mean_mask) / (
        cv2.blur(guide * guide, size) - mean_guide * mean_guide + eps
    )
    return cv2.blur(slope, size) * guide + cv2.blur(mean_mask - slope * mean_guide, size)
