"""Continuing a picture into a hole with patches of what surrounds it.

Patches of the visible part are put together so that they agree with each other and with what they meet at the hole's
rim (Wexler et al., "Space-Time Completion of Video", TPAMI 2007), at ever finer sizes. Besides its neighbours a patch
has to suit its place: the visible colours nearest to it, not far away, and not used everywhere already. All of that is
squared differences, so the best patch of all for every place is found by one matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

# Longer side at which patches are sought, and how often. At the last size the offsets found are only made to agree.
SIZES_AND_ROUNDS = ((32, 6), (44, 5), (64, 4), (90, 3), (128, 1), (256, 0))
PATCH = 2  # radius: patches of 5x5
FEWEST = 16  # sources; with less there is nothing to choose from
FADE = 0.8  # trust per pixel of depth: what joins the visible part decides, the inside follows
GUIDE = 0.5  # weight of the colours expected at a place against that of the patch's own pixels
RISE, ASIDE = 800, 600  # squared grey levels for a source one picture side away, up or down and sideways
REPEAT = 80  # squared grey levels for each time that a source is used more often than the average
ALONE = 120  # squared grey levels for each neighbour that was copied from elsewhere: a seam
SWEEPS = 4  # over the four neighbours whose offset may be taken over
CHUNK = 2048  # targets in one matrix product: 40 MB

GUIDE_SIZE = 96  # longer side
LOW = 2.0  # pixels there: what counts as a source's colour is that of its surroundings
NEAR = 0.1  # of the longer side: a visible pixel that much farther away counts 1/e
UPRIGHT = 1.5  # sideways things go on farther than up and down: a head is flanked, and stands before layers of a room


@dataclass(frozen=True)
class Patchwork:
    """The picture float32 [h, w, 3] at the finest size patches were sought at, its hole filled, and `offset` int
    [h, w, 2] (y, x) in its pixels: from where each pixel came, 0 where it is visible."""

    image: np.ndarray
    offset: np.ndarray


def continue_texture(rgb: np.ndarray, hole: np.ndarray) -> Patchwork | None:
    """Fill `hole` bool [H, W] of `rgb` uint8 [H, W, 3] at 256 pixels or less; None when too little is visible.
    Deterministic."""
    guide = _guide(rgb, hole)
    if guide is None:
        return None
    level, image, source = None, None, None
    for longest, rounds in SIZES_AND_ROUNDS:
        finer = _level(rgb, hole, guide, longest)
        if len(finer.sources) < FEWEST:
            continue
        if level is None or image is None or source is None:
            level, image = finer, finer.image
        else:
            source = _carried(level, source, finer)
            image = cv2.resize(image, finer.hole.shape[::-1], interpolation=cv2.INTER_LINEAR)
            level, image = finer, np.where(finer.hole[..., None], image, finer.image)
            source = _agreed(level, *_compared(level, image, source), source)
            image = _vote(level, image, source)
        for _ in range(rounds):
            wanted, offered = _compared(level, image, source)
            source = _agreed(level, wanted, offered, _search(wanted, offered))
            image = _vote(level, image, source)
    if level is None or image is None or source is None:
        return None
    offset = np.zeros((*level.hole.shape, 2), int)
    offset[tuple(level.targets.T)] = level.sources[source] - level.targets
    return Patchwork(image, offset)


@dataclass(frozen=True)
class _Level:
    """One size of the pyramid: `image` float32 [h, w, 3], `hole` bool [h, w]; `targets` [N, 2] and `sources` [M, 2]
    (y, x): centres of the patches that reach into the hole and of all others; `asked` [N, 5] and `had` [M, 5]: their
    colour and place, scaled so that squared differences are costs; `trust` float32 [h, w]: 1 where visible, falling
    with depth in the hole. Sources are spoken of by their number, int [N]."""

    image: np.ndarray
    hole: np.ndarray
    targets: np.ndarray
    sources: np.ndarray
    asked: np.ndarray
    had: np.ndarray
    trust: np.ndarray


def _level(rgb: np.ndarray, hole: np.ndarray, guide: tuple[np.ndarray, np.ndarray], longest: int) -> _Level:
    image, seen = _reduced(rgb, hole, longest)
    small = seen < 0.7
    side = np.ones((2 * PATCH + 1, 2 * PATCH + 1), np.uint8)
    reaching = cv2.dilate(small.astype(np.uint8), side) > 0
    targets, sources = np.argwhere(reaching), np.argwhere(~reaching)
    low, expected = (cv2.resize(g, small.shape[::-1], interpolation=cv2.INTER_LINEAR) for g in guide)
    depth = cv2.distanceTransform(small.astype(np.uint8), cv2.DIST_L2, 5)
    pull = np.sqrt(np.array([RISE, ASIDE])) / max(small.shape)

    def about(colour: np.ndarray, places: np.ndarray) -> np.ndarray:
        return np.hstack([np.sqrt(GUIDE) * colour[tuple(places.T)], places * pull]).astype(np.float32)

    return _Level(
        image=np.where(small[..., None], expected, image), hole=small, targets=targets, sources=sources,
        asked=about(expected, targets), had=about(low, sources), trust=np.maximum(FADE**depth, 0.02).astype(np.float32),
    )  # fmt: skip


def _reduced(rgb: np.ndarray, hole: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """The visible part alone, made smaller, float32 [h, w, 3], and how much of each pixel is visible [h, w]."""
    scale = min(longest / max(hole.shape), 1.0)
    size = (max(round(rgb.shape[1] * scale), 2), max(round(rgb.shape[0] * scale), 2))
    visible = (~hole).astype(np.float32)
    seen = cv2.resize(visible, size, interpolation=cv2.INTER_AREA)
    image = cv2.resize(rgb * visible[..., None], size, interpolation=cv2.INTER_AREA)
    return image / np.maximum(seen, 1e-3)[..., None], seen


def _guide(rgb: np.ndarray, hole: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The low-pass colours of the visible part, and what colours to expect everywhere: in the hole those of the
    nearest rim; float32 [h, w, 3] at GUIDE_SIZE. None when nothing is visible."""
    image, seen = _reduced(rgb, hole, GUIDE_SIZE)
    hidden = seen < 0.9
    visible = (~hidden).astype(np.float32)
    low = cv2.GaussianBlur(image * visible[..., None], (0, 0), LOW)
    low /= np.maximum(cv2.GaussianBlur(visible, (0, 0), LOW), 1e-3)[..., None]
    inside = np.argwhere(hidden).astype(np.float32)
    rim = np.argwhere((cv2.dilate(hidden.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & ~hidden)
    if not len(rim):
        return None
    dy, dx = (np.abs(inside[:, axis, None] - rim[:, axis].astype(np.float32)) for axis in (0, 1))
    away = UPRIGHT * dy + dx  # [inside, rim]
    share = np.exp((away.min(axis=1, keepdims=True) - away) / (NEAR * max(hidden.shape)))
    colours = image[tuple(rim.T)]
    apart = np.linalg.norm(colours[:, None] - colours[None], axis=2)
    expected = low.copy()
    expected[hidden] = colours[(share @ apart).argmin(axis=1)]  # the weighted median: a mean may be nobody's colour
    return low, expected


def _carried(coarse: _Level, source: np.ndarray, fine: _Level) -> np.ndarray:
    """The sources at the finer size that the coarser one's offsets lead to."""
    shape, ratio = np.array(fine.hole.shape), np.array(fine.hole.shape) / coarse.hole.shape
    offset = np.zeros((*coarse.hole.shape, 2))
    offset[tuple(coarse.targets.T)] = coarse.sources[source] - coarse.targets
    at = np.minimum(((fine.targets + 0.5) / ratio).astype(int), np.array(coarse.hole.shape) - 1)
    place = np.clip(fine.targets + np.round(offset[tuple(at.T)] * ratio).astype(int), 0, shape - 1)
    # Some places just miss the visible part at the finer size: then the nearest that doesn't.
    off = np.ones(fine.hole.shape, np.uint8)
    off[tuple(fine.sources.T)] = 0
    _, label = cv2.distanceTransformWithLabels(off, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    number = np.zeros(label.max() + 1, int)
    number[label[tuple(fine.sources.T)]] = np.arange(len(fine.sources))
    return number[label[tuple(place.T)]]


def _compared(level: _Level, image: np.ndarray, before: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Rows `wanted` [N, C] and `offered` [M, C] whose product is what a source costs a target, less what every source
    costs it: squared differences multiplied out, those of pixels weighted by trust."""
    a, b = _patches(image, level.targets), _patches(level.image, level.sources)
    w = _patches(level.trust[..., None], level.targets)
    w /= w.sum(axis=1, keepdims=True)
    squares = (b.reshape(len(b), -1, 3) ** 2).sum(axis=2)
    fixed = np.einsum("mc,mc->m", level.had, level.had) + (_wear(level, before) if before is not None else 0)
    wanted = np.hstack([-2 * np.repeat(w, 3, axis=1) * a, w, -2 * level.asked, np.ones((len(a), 1), np.float32)])
    return wanted, np.hstack([b, squares, level.had, fixed[:, None]])


def _patches(image: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The pixels around each centre [N, 25 C]."""
    padded = cv2.copyMakeBorder(image, PATCH, PATCH, PATCH, PATCH, cv2.BORDER_REFLECT_101)
    height, width = padded.shape[:2]
    dy, dx = np.mgrid[0 : 2 * PATCH + 1, 0 : 2 * PATCH + 1]
    corner = centres[:, 0] * width + centres[:, 1]
    return padded.reshape(height * width, -1)[corner[:, None] + (dy * width + dx).ravel()].reshape(len(centres), -1)


def _wear(level: _Level, source: np.ndarray) -> np.ndarray:
    """What each source costs for being used more often than others [M]: repetition gives a copy away."""
    size = (2 * PATCH + 1, 2 * PATCH + 1)
    used, there = np.zeros(level.hole.shape, np.float32), np.zeros(level.hole.shape, np.float32)
    used[tuple(level.sources.T)], there[tuple(level.sources.T)] = np.bincount(source, minlength=len(level.sources)), 1
    often = (cv2.blur(used, size) / np.maximum(cv2.blur(there, size), 1e-3))[tuple(level.sources.T)]
    return (REPEAT * np.clip(often / often.mean() - 1, 0, 5)).astype(np.float32)


def _search(wanted: np.ndarray, offered: np.ndarray) -> np.ndarray:
    """The cheapest source of each target [N]."""
    chunks = range(0, len(wanted), CHUNK)
    return np.concatenate([np.argmin(wanted[start : start + CHUNK] @ offered.T, axis=1) for start in chunks])


def _agreed(level: _Level, wanted: np.ndarray, offered: np.ndarray, source: np.ndarray) -> np.ndarray:
    """The sources after neighbours took over each other's offsets where that is cheaper, seams included (iterated
    conditional modes): what is copied in one piece has none."""
    height, width = level.hole.shape
    stride = 2 * width  # places as single numbers, so that offsets are too; nothing lies in the right half
    target, origin = (places @ np.array([stride, 1]) for places in (level.targets, level.sources))
    number = np.full(height * stride, -1)
    number[origin] = np.arange(len(origin))
    none = 4 * height * stride
    offset = np.full((height + 2) * stride, none)  # with a row of nothing above and below
    here = target + stride
    offset[here] = origin[source] - target
    cost = _products(wanted, offered[source])
    beside = np.array([1, stride, -1, -stride])
    around = np.concatenate([beside, [stride + 1, stride - 1, -stride + 1, -stride - 1]])
    for step in np.tile(beside, SWEEPS):
        candidate, own = offset[here + step], offset[here]
        place = target + candidate
        inside = (candidate != own) & (place >= 0) & (place < len(number))
        rows = np.flatnonzero(inside & (number[np.where(inside, place, 0)] >= 0))
        near = offset[here[rows] + around[:, None]]  # [8, rows]
        company = (near == candidate[rows]).sum(axis=0) - (near == own[rows]).sum(axis=0)
        rows, company = rows[company >= 0], company[company >= 0]
        new = _products(wanted[rows], offered[number[place[rows]]])
        better = new < cost[rows] + ALONE * company
        cost[rows[better]] = new[better]
        offset[here[rows[better]]] = candidate[rows[better]]
    return number[target + offset[here]]


def _products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("nc,nc->n", a, b)


def _vote(level: _Level, image: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Each pixel of the hole becomes the mean of what the overlapping patches say, by the trust at their centre."""
    said = np.dstack([level.image, np.ones(level.hole.shape, np.float32)])
    said = cv2.copyMakeBorder(said, PATCH, PATCH, PATCH, PATCH, cv2.BORDER_CONSTANT, value=(0, 0, 0, 0))
    stride = said.shape[1]
    to, origin = ((places + PATCH) @ np.array([stride, 1]) for places in (level.targets, level.sources[source]))
    flat, total = said.reshape(-1, 4), np.zeros((said.shape[0] * stride, 4), np.float32)
    trust = level.trust[tuple(level.targets.T)][:, None]
    for dy in range(-PATCH, PATCH + 1):
        for step in range(dy * stride - PATCH, dy * stride + PATCH + 1):
            total[to + step] += flat[origin + step] * trust  # no place twice: each target has its own
    total = total.reshape(said.shape)[PATCH:-PATCH, PATCH:-PATCH]
    mean = total[..., :3] / np.maximum(total[..., 3:], 1e-6)
    return np.where((level.hole & (total[..., 3] > 0))[..., None], mean, image)
