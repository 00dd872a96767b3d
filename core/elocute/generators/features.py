"""Eyes, lips, brows, lashes and stubble of a painted person."""

from __future__ import annotations

import cv2
import numpy as np

from ..head.eyes import IRIS_RADIUS, ball_centre
from ..head.model import HeadModel
from ..landmarks import OUTER_LIPS
from ..portrait.regions import polygon_mask
from ..ramps import smooth_step
from .person import Person
from .strokes import draw_lines
from .studio import Lamp, to_linear

UPPER_BROW = {"left": (336, 296, 334, 293, 300), "right": (107, 66, 105, 63, 70)}  # from the nose outwards
LOWER_BROW = {"left": (285, 295, 282, 283, 276), "right": (55, 65, 52, 53, 46)}
BROW_STROKES, LASHES, STUBBLE = 520, 110, 5200
PUPIL, LIMBUS = 0.36, 0.12  # of the iris radius: pupil, and width of the dark ring at its edge


def noise(rng: np.random.Generator, side: int, sigma: float) -> np.ndarray:
    """Smooth noise [side, side] of unit variance, `sigma` pixels fine. The same share of the side draws the same
    pattern at every size: on a grid of its own, one to two of whose points are a sigma."""
    size = 2 ** max(3, round(np.log2(1.5 * side / sigma)))
    out = cv2.GaussianBlur(rng.standard_normal((size, size)).astype(np.float32), (0, 0), sigma * size / side)
    out = cv2.resize(out, (side, side), interpolation=cv2.INTER_CUBIC if size < side else cv2.INTER_AREA)
    return out / max(float(out.std()), 1e-6)


def curve(points: np.ndarray, count: int, closed: bool = False) -> np.ndarray:
    """A smooth curve [count, D] through points [N, D] (Catmull-Rom)."""
    n = len(points)
    at = np.linspace(0, n if closed else n - 1, count, endpoint=not closed)
    i, t = np.floor(at).astype(int), (at - np.floor(at))[:, None]
    pick = (lambda k: points[k % n]) if closed else (lambda k: points[np.clip(k, 0, n - 1)])
    a, b, c, d = pick(i - 1), pick(i), pick(i + 1), pick(i + 2)
    return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))


def lip_mask(landmarks: np.ndarray, side: int, softness: float) -> np.ndarray:
    """[side, side] 0..1 from landmarks [478, 2+] in pixels; edge `softness` pixels."""
    outline = curve(landmarks[list(OUTER_LIPS), :2], 160, closed=True)
    return cv2.GaussianBlur(polygon_mask(outline, side, side), (0, 0), softness)


def eye_colour(
    person: Person, rng: np.random.Generator, offset: np.ndarray, gaze: np.ndarray, light: np.ndarray
) -> np.ndarray:
    """Linear colour [N, 3] of eyeball points: offset [N, 3] from the ball's centre in metres, gaze [3] unit, light
    [N, 3] that arrives there."""
    across = np.cross([0, 1, 0], gaze)
    across /= np.linalg.norm(across)
    up = np.cross(gaze, across)
    x, y = offset @ across, offset @ up
    r = np.hypot(x, y) / IRIS_RADIUS
    r = np.where(offset @ gaze > 0, r, 9)
    phi = np.arctan2(y, x)
    white = to_linear(np.array([0.87, 0.845, 0.83])) * np.ones((len(r), 1))
    corner = smooth_step(np.abs(x), 0.008, 0.0135)[:, None]
    white = white * (1 - corner * np.array([0.10, 0.30, 0.30]))
    fibre = np.zeros(len(r))
    for _ in range(26):
        k, bend = int(rng.integers(9, 60)), rng.normal(0, 1.2)
        fibre += np.cos(k * (phi + 0.06 * bend * r) + rng.uniform(0, 2 * np.pi)) * rng.uniform(0.3, 1)
    fibre /= 3.5
    iris = to_linear(person.iris)
    inner = iris * 0.75 + 0.25 * to_linear(np.array([0.62, 0.45, 0.25]))
    ring = smooth_step(r, 0.75, 0.4)[:, None]
    colour = (iris * (1 - ring) + inner * ring) * (1.25 + 0.38 * fibre * smooth_step(r, 0.3, 0.5))[:, None]
    caustic = np.clip(-(x * 0.3 + y) / (IRIS_RADIUS * np.maximum(r, 0.2)), -1, 1)  # light gathers opposite the key
    colour = colour * (1 + 0.45 * caustic * smooth_step(r, 0.3, 0.7))[:, None]
    colour = colour * (1 - 0.78 * smooth_step(r, 1 - 2.2 * LIMBUS, 1.02))[:, None]
    colour = colour * smooth_step(r, PUPIL - 0.05, PUPIL + 0.05)[:, None] + 0.004
    edge = smooth_step(r, 0.97, 1.10)[:, None]
    return (colour * (1 - edge) + white * edge) * light


def eye_glints(offset: np.ndarray, gaze: np.ndarray, view: np.ndarray, lamps: tuple[Lamp, ...]) -> np.ndarray:
    """Reflections [N, 3] of key and fill in the cornea, which bulges out of the ball; view [3] towards the camera."""
    normal = offset - 0.0058 * gaze
    normal = normal / np.linalg.norm(normal, axis=1, keepdims=True)
    mirrored = 2 * (normal @ view)[:, None] * normal - view
    out = np.zeros((len(offset), 3))
    for lamp, size, strength in ((lamps[0], 0.27, 1.0), (lamps[1], 0.16, 0.16)):
        across = np.cross([0, 1, 0], lamp.towards)
        across /= np.linalg.norm(across)
        up = np.cross(lamp.towards, across)
        x, y = np.abs(mirrored @ across), np.abs(mirrored @ up)
        shape = (x**3 + y**3) ** (1 / 3)  # a softbox: a square with round corners
        out += (strength * smooth_step(shape, size * 1.25, size * 0.8) * (mirrored @ lamp.towards > 0))[:, None]
    return out


def eye_axes(model: HeadModel, points: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray, float]]:
    """Centre [3], unit gaze [3] and radius of each eyeball of head vertices [V, 3]."""
    out = {}
    for name, ball in zip(("eye_left", "eye_right"), model.eyeballs, strict=True):
        centre = ball_centre(points[ball])
        arm = points[ball[0]] - centre
        out[name] = centre, arm / np.linalg.norm(arm), float(np.linalg.norm(arm))
    return out


def draw_brows(
    person: Person, rng: np.random.Generator, xy: np.ndarray, unit: float, light: np.ndarray, out: np.ndarray
) -> None:
    """Short hairs along the brows, in place; xy [478, 2] pixels, unit pixels per metre, light [H, W, 3] there."""
    for side in ("left", "right"):
        top, bottom = (curve(xy[list(ids[side])], 64) for ids in (UPPER_BROW, LOWER_BROW))
        n = int(BROW_STROKES * (0.75 + 0.5 * person.brow))
        along = rng.beta(1.15, 1.15, n)
        thick = (0.9 + 0.6 * person.brow) * np.where(along < 0.6, 1, 1 - 0.75 * (along - 0.6) / 0.4)
        height = 0.5 + (rng.beta(1.8, 1.8, n) - 0.5) * thick
        at = (along * 0.97 * 63).astype(int)
        root = bottom[at] + (top[at] - bottom[at]) * height[:, None]
        run = np.gradient((top + bottom) / 2, axis=0)[at]
        run /= np.linalg.norm(run, axis=1, keepdims=True)
        rise = (top - bottom)[at]
        rise /= np.linalg.norm(rise, axis=1, keepdims=True)
        # upright near the nose, lying outwards along the arch; upper hairs point down a little
        stand = np.interp(along, [0, 0.15, 0.5, 1], [1.5, 0.7, 0.25, 0.0]) + 0.7 * (0.5 - height)
        way = run + rise * (stand + rng.normal(0, 0.18, n))[:, None]
        way /= np.linalg.norm(way, axis=1, keepdims=True)
        length = unit * (0.0062 + 0.0028 * person.brow) * np.interp(along, [0, 0.2, 0.8, 1], [0.7, 1, 1, 0.7])
        length *= rng.uniform(0.7, 1.2, n)
        t = np.linspace(0, 1, 5)[None, :, None]
        lines = root[:, None] + way[:, None] * length[:, None, None] * t
        lines += run[:, None] * length[:, None, None] * 0.25 * t**2
        fade = np.interp(along, [0, 0.12, 0.85, 1], [0.3, 0.8, 0.75, 0.4]) * (0.5 + 0.35 * person.brow)
        hair = to_linear(person.hair * (1 - 0.3 * person.grey) * 0.85 * np.array([1.04, 1, 0.94]))
        _strokes(lines, 0.00030 * unit, fade, hair, rng, light, out)


def draw_lashes(
    person: Person, rng: np.random.Generator, lids: dict[str, np.ndarray], unit: float, light: np.ndarray,
    out: np.ndarray,
) -> None:  # fmt: skip
    """Lid lines and lashes, in place. lids: "upper_left" … -> rim [N, 2] pixels from the subject's right corner."""
    for name, rim in lids.items():
        upper = name.startswith("upper")
        smooth = curve(rim, 96)
        inner_first = name.endswith("left")
        from_nose = np.linspace(0, 1, 96) if inner_first else np.linspace(1, 0, 96)
        outwards = 1.0 if inner_first else -1.0
        weight = np.interp(from_nose, [0, 0.25, 0.85, 1], [0.15, 0.7, 1, 0.75])
        made_up = 0.4 + 0.6 * person.femininity
        dark = to_linear(np.array([0.10, 0.075, 0.065]) + 0.12 * person.hair)
        if upper:
            ribbon = np.full((1, 96), 0.0011 * unit) * weight * (0.7 + 0.5 * made_up)
            tint = np.concatenate([np.broadcast_to(dark * 0.6, (1, 96, 3)), 0.6 * weight[None, :, None]], 2)
            level = np.concatenate([smooth, np.zeros((96, 1))], 1)[None]
            draw_lines(level, ribbon, tint, np.full(out.shape[:2], np.inf, np.float32), out, sort=False)
        n = LASHES if upper else LASHES // 2
        at = np.sort(rng.uniform(0.03, 0.99, n))
        place = ((at if inner_first else 1 - at) * 95).astype(int)
        fan = (at - 0.42) * 1.5 * outwards
        long = unit * (0.0030 + 0.0009 * made_up if upper else 0.0018) * rng.uniform(0.75, 1.15, n)
        long = long * np.interp(at, [0, 0.4, 0.85, 1], [0.45, 0.8, 1, 0.8])
        t = np.linspace(0, 1, 6)[None, :]
        side = long[:, None] * (fan[:, None] * t + rng.normal(0, 0.12, n)[:, None] * t**2)
        # seen from the front an upper lash runs towards the viewer, dips, and curls up
        rise = long[:, None] * ((0.75 * t**1.6 - 0.12 * t) if upper else -0.8 * t)
        lines = smooth[place][:, None] + np.stack([side, -rise], 2)
        fade = np.interp(at, [0, 0.3, 1], [0.3, 0.75, 0.9]) * (0.45 + 0.45 * made_up if upper else 0.3 * made_up)
        _strokes(lines, 0.00030 * unit, fade, dark, rng, light, out)


def draw_stubble(
    person: Person, rng: np.random.Generator, weight: np.ndarray, unit: float, light: np.ndarray, out: np.ndarray
) -> None:
    """Beard hairs a day or two old, in place; weight [H, W] 0..1 where they grow."""
    if person.stubble < 0.05:
        return
    weight = np.where(weight > 0.05, weight, 0)
    total = np.cumsum(weight.sum(1))
    if total[-1] <= 0:
        return
    n = int(STUBBLE * (0.4 + person.stubble))
    down, across = rng.random((2, n))  # shares of the beard: a row, then a place in it, the same ones at every size
    y = np.interp(down * total[-1], np.concatenate([[0], total]), np.arange(len(total) + 1))
    row = np.cumsum(weight[np.minimum(y.astype(int), len(weight) - 1)], axis=1)
    x = (row < across[:, None] * row[:, -1:]).sum(1) + rng.random(n)
    root = np.stack([x, y], 1)
    angle = np.pi / 2 + rng.normal(0, 0.5, n)
    length = unit * rng.uniform(0.0008, 0.0018, n) * (0.6 + person.stubble)
    way = np.stack([np.cos(angle), np.sin(angle)], 1) * length[:, None]
    lines = root[:, None] + way[:, None] * np.linspace(0, 1, 3)[None, :, None]
    fade = np.full(n, 0.25 + 0.4 * person.stubble)
    _strokes(lines, 0.00022 * unit, fade, to_linear(person.hair * 0.7), rng, light, out)


def _strokes(
    lines: np.ndarray, width: float, fade: np.ndarray, colour: np.ndarray, rng: np.random.Generator,
    light: np.ndarray, out: np.ndarray,
) -> None:  # fmt: skip
    """Tapered strokes lines [N, K, 2] with opacity fade [N] in a colour lit by the skin's own light."""
    n, k = lines.shape[:2]
    x, y = (np.clip(lines[:, 0, c].astype(int), 0, light.shape[1 - c] - 1) for c in (0, 1))
    lit = colour * light[y, x] * rng.uniform(0.75, 1.3, (n, 1))
    taper = np.interp(np.linspace(0, 1, k), [0, 0.3, 1], [0.9, 1, 0.25])
    ink = np.concatenate([lit, fade[:, None]], 1)
    level = np.concatenate([lines, np.zeros((n, k, 1))], 2)
    depth = np.full(out.shape[:2], np.inf, np.float32)
    widths, inks = np.broadcast_to(width * taper, (n, k)), np.broadcast_to(ink[:, None], (n, k, 4))
    draw_lines(level, widths, inks, depth, out, sort=False)
