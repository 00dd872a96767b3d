"""What is behind the person: the photo's background completed where the person hid it.

Near the silhouette, where a turning head uncovers it, the texture is continued by copying patches of the visible
background (image completion as in Wexler et al., "Space-Time Completion of Video", TPAMI 2007, with a PatchMatch
search, Barnes et al., SIGGRAPH 2009); deeper inside, where nobody ever looks, a smooth spread is enough.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from elocute.portrait.fill import push_pull

DILATE = 0.008  # of the longer side: hair finer than the matte sees must not be copied
BAND = 0.14  # of the longer side: how deep behind the silhouette texture is continued
FINEST = 224  # longer side at which patches are searched; finer detail is copied along with them
COARSEST = 28
PATCH = 3  # radius: patches of 7x7
ROUNDS = 4  # of search and vote at each size
NEARNESS = 200  # squared grey levels for a source one picture width away
FADE = 0.8  # trust per pixel of depth: what joins the visible background decides, the inside follows
SEAM = 40  # grey levels
SEARCHES = 4  # propagation + random search passes in each round


def complete_background(rgb: np.ndarray, matte: np.ndarray, seed: int = 0) -> np.ndarray:
    """The background uint8 [H, W, 3] without the person of `matte` float32 [H, W]. Pixels outside the matte and a
    few pixels around it stay exactly as they are. Deterministic for a seed. 1 to 2 s."""
    height, width = matte.shape
    hole = _hole(matte)
    if not hole.any():
        return rgb.copy()
    if hole.mean() > 0.985:  # nothing to continue from
        return _spread(rgb, hole)
    smooth = _spread(rgb, hole)
    depth = cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, 5)
    band = BAND * max(height, width)
    if min(height, width) < 4 * COARSEST // 2:
        return smooth
    textured = _continue_texture(rgb, smooth, hole, seed)
    # From texture to the smooth spread over the inner half of the band.
    share = np.clip((band - depth) / (band / 2), 0, 1)[..., None].astype(np.float32)
    filled = smooth + share * (textured - smooth)
    return np.where(hole[..., None], np.clip(np.round(filled), 0, 255).astype(np.uint8), rgb)


def _hole(matte: np.ndarray) -> np.ndarray:
    radius = max(round(DILATE * max(matte.shape)), 2)
    return _grown(matte > 0.02, radius)


def _spread(rgb: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The hole filled smoothly; float values as uint8 [H, W, 3]."""
    filled = push_pull(rgb.astype(np.float32), (~hole).astype(np.float32))
    soft = cv2.GaussianBlur(filled, (0, 0), max(max(hole.shape) * 0.01, 1))  # no trace of the pyramid's squares
    edge = cv2.GaussianBlur(hole.astype(np.float32), (0, 0), max(max(hole.shape) * 0.005, 1))[..., None]
    filled = np.where(hole[..., None], filled + edge * (soft - filled), rgb)
    return np.clip(np.round(filled), 0, 255).astype(np.uint8)


@dataclass
class _Level:
    """One size of the pyramid: `image` float32 [h, w, 3], `hole` bool [h, w], `targets` [N, 2] (y, x): centres of
    the patches that reach into the hole, `allowed` bool [h, w] where whole patches of background lie, `trust`
    float32 [h, w]: 1 in the visible background, falling with depth in the hole."""

    image: np.ndarray
    hole: np.ndarray
    targets: np.ndarray
    allowed: np.ndarray
    trust: np.ndarray


def _continue_texture(rgb: np.ndarray, smooth: np.ndarray, hole: np.ndarray, seed: int) -> np.ndarray:
    """The hole filled with patches of the background, at full size; float32 [H, W, 3]."""
    rng = np.random.default_rng(seed)
    height, width = hole.shape
    longest = max(height, width)
    sizes = [FINEST]
    while sizes[-1] / 1.6 > COARSEST:
        sizes.append(round(sizes[-1] / 1.6))
    levels = [_level(rgb, smooth, hole, min(size / longest, 1.0)) for size in reversed(sizes)]
    levels = [level for level in levels if level.allowed.sum() >= 16 and len(level.targets)]
    if not levels:
        return smooth.astype(np.float32)
    source = _random_sources(levels[0], rng)
    image = levels[0].image
    for number, level in enumerate(levels):
        if number:
            source, image = _carry_over(levels[number - 1], source, image, level, rng)
        for _ in range(ROUNDS):
            source = _search(level, image, source, rng)
            image = _vote(level, image, source)
    return _copy_at_full_size(rgb, smooth, hole, levels[-1], source)


def _level(rgb: np.ndarray, smooth: np.ndarray, hole: np.ndarray, scale: float) -> _Level:
    size = (max(round(rgb.shape[1] * scale), 2), max(round(rgb.shape[0] * scale), 2))
    small_hole = cv2.resize(hole.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.001
    image = cv2.resize(smooth, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    side = 2 * PATCH + 1
    forbidden = cv2.dilate(small_hole.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    forbidden[:PATCH], forbidden[-PATCH:], forbidden[:, :PATCH], forbidden[:, -PATCH:] = True, True, True, True
    depth = cv2.distanceTransform(small_hole.astype(np.uint8), cv2.DIST_L2, 5)
    reaching = cv2.dilate(small_hole.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    targets = np.argwhere(reaching & (depth <= BAND * max(size) + PATCH))
    return _Level(image, small_hole, targets, ~forbidden, np.maximum(FADE**depth, 0.02).astype(np.float32))


def _random_sources(level: _Level, rng: np.random.Generator) -> np.ndarray:
    """A source (y, x) for every target: allowed places, the nearest few more likely."""
    places = np.argwhere(level.allowed)
    return places[rng.integers(0, len(places), len(level.targets))]


def _carry_over(
    coarse: _Level, source: np.ndarray, image: np.ndarray, fine: _Level, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Sources and image of the next finer size from those of the coarser one."""
    ratio = np.array(fine.hole.shape) / coarse.hole.shape
    offset = np.zeros((*coarse.hole.shape, 2))
    known = np.zeros(coarse.hole.shape, bool)
    offset[tuple(coarse.targets.T)], known[tuple(coarse.targets.T)] = source - coarse.targets, True
    at = np.minimum((fine.targets / ratio).astype(int), np.array(coarse.hole.shape) - 1)
    guess = np.round(fine.targets + offset[tuple(at.T)] * ratio).astype(int)
    guess = np.clip(guess, 0, np.array(fine.hole.shape) - 1)
    usable = known[tuple(at.T)] & fine.allowed[tuple(guess.T)]
    guess = np.where(usable[:, None], guess, _random_sources(fine, rng))
    up = cv2.resize(image, fine.hole.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return guess, np.where(fine.hole[..., None], up, fine.image).astype(np.float32)


def _search(level: _Level, image: np.ndarray, source: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Better sources: those of neighbours shifted along, and random places ever nearer to the current one."""
    patches = _Patches(image)
    wanted = patches.at(level.targets)
    trust = _Patches(np.repeat(level.trust[..., None], 3, axis=2)).at(level.targets)[..., 0]
    trust /= trust.sum(axis=1, keepdims=True)
    shape = np.array(level.hole.shape)
    best, cost = source, patches.cost(wanted, trust, source, level.targets)
    index = np.full(level.hole.shape, -1)
    index[tuple(level.targets.T)] = np.arange(len(level.targets))

    def consider(candidate: np.ndarray, valid: np.ndarray) -> None:
        nonlocal best, cost
        candidate = np.clip(candidate, 0, shape - 1)
        rows = np.flatnonzero(valid & level.allowed[tuple(candidate.T)] & (candidate != best).any(axis=1))
        if len(rows):
            new = patches.cost(wanted[rows], trust[rows], candidate[rows], level.targets[rows])
            better = rows[new < cost[rows]]
            cost[better] = new[new < cost[rows]]
            best = best.copy()
            best[better] = candidate[better]

    for step in range(SEARCHES):
        jump = (8, 4, 2, 1)[step % 4]
        for shift in ((0, jump), (0, -jump), (jump, 0), (-jump, 0)):
            neighbour = level.targets + shift
            inside = ((neighbour >= 0) & (neighbour < shape)).all(axis=1)
            which = np.where(inside, index[tuple(np.clip(neighbour, 0, shape - 1).T)], -1)
            consider(best[which] - shift, which >= 0)
        reach = max(shape) * 0.5 ** (step * 2)
        consider(np.round(best + rng.uniform(-reach, reach, best.shape)).astype(int), np.ones(len(best), bool))
    return best


class _Patches:
    """All 7x7 patches of an image as rows, gathered by their centre."""

    def __init__(self, image: np.ndarray) -> None:
        self._padded = cv2.copyMakeBorder(image, PATCH, PATCH, PATCH, PATCH, cv2.BORDER_REFLECT_101)
        self._flat = self._padded.reshape(-1, 3)
        dy, dx = np.mgrid[0 : 2 * PATCH + 1, 0 : 2 * PATCH + 1]
        self._steps = (dy * self._padded.shape[1] + dx).ravel()
        self._shape = image.shape[:2]

    def at(self, centres: np.ndarray) -> np.ndarray:
        """[N, 49, 3]"""
        corner = centres[:, 0] * self._padded.shape[1] + centres[:, 1]
        return self._flat[corner[:, None] + self._steps]

    def cost(self, wanted: np.ndarray, trust: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Mean squared difference [N] weighted by trust, and a little for distance: what is near continues best."""
        difference = self.at(source) - wanted
        away = np.abs(source - target).sum(axis=1) / max(self._shape)
        return np.einsum("npc,npc,np->n", difference, difference, trust) + NEARNESS * away


def _vote(level: _Level, image: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Each pixel of the hole becomes the mean of what the overlapping patches say, by the trust at their centre."""
    total = np.zeros((*level.hole.shape, 3), np.float32)
    count = np.zeros(level.hole.shape, np.float32)
    limit = np.array(level.hole.shape) - 1
    trust = level.trust[tuple(level.targets.T)]
    for dy in range(-PATCH, PATCH + 1):
        for dx in range(-PATCH, PATCH + 1):
            to = level.targets + (dy, dx)
            inside = ((to >= 0) & (to <= limit)).all(axis=1)
            said = level.image[tuple((source[inside] + (dy, dx)).T)]
            weight = trust[inside]
            total[tuple(to[inside].T)] += said * weight[:, None]  # one target per place and shift: no double writes
            count[tuple(to[inside].T)] += weight
    mean = total / np.maximum(count, 1e-6)[..., None]
    return np.where((level.hole & (count > 0))[..., None], mean, image).astype(np.float32)


def _copy_at_full_size(
    rgb: np.ndarray, smooth: np.ndarray, hole: np.ndarray, level: _Level, source: np.ndarray
) -> np.ndarray:
    """Follow the found sources in the full picture, averaging the four nearest offsets (overlapping, so that no
    edges of cells show); float32 [H, W, 3]."""
    height, width = hole.shape
    ratio = np.array([height, width]) / level.hole.shape
    offset = np.zeros((*level.hole.shape, 2))
    known = np.zeros(level.hole.shape, np.float32)
    offset[tuple(level.targets.T)], known[tuple(level.targets.T)] = (source - level.targets) * ratio, 1
    depth = cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, 5)
    rim = _grown(hole, 2) & ~hole
    places = np.argwhere((hole & (depth <= BAND * max(height, width))) | rim)
    at = (places + 0.5) / ratio - 0.5
    low = np.floor(at).astype(int)
    total, weight = np.zeros((len(places), 3)), np.zeros(len(places))
    for corner in ((0, 0), (0, 1), (1, 0), (1, 1)):
        cell = np.clip(low + corner, 0, np.array(level.hole.shape) - 1)
        share = np.prod(1 - np.abs(at - (low + corner)), axis=1) * known[tuple(cell.T)]
        origin = np.clip(np.round(places + offset[tuple(cell.T)]).astype(int), 0, [height - 1, width - 1])
        share = np.where(hole[tuple(origin.T)], 0, share)
        total += share[:, None] * rgb[tuple(origin.T)]
        weight += share
    result = smooth.astype(np.float32)
    good = weight > 1e-3
    result[tuple(places[good].T)] = (total[good] / weight[good, None]).astype(np.float32)
    return result + _seam_correction(rgb, result, rim)


def _seam_correction(rgb: np.ndarray, copied: np.ndarray, rim: np.ndarray) -> np.ndarray:
    """What to add to the copied texture so that it meets the photo at the rim: the difference there, spread inward.
    Large differences are an edge in the picture, not a seam, and are left alone."""
    difference = rgb.astype(np.float32) - copied
    seam = rim & (np.abs(difference).max(axis=2) < SEAM)
    return push_pull(difference * seam[..., None], seam.astype(np.float32))


def _grown(mask: np.ndarray, radius: int) -> np.ndarray:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.dilate(mask.astype(np.uint8), kernel) > 0
