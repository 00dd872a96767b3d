"""Strands of hair as they are: bundles of curves in space, their neighbours, and the light on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .person import Person
from .studio import Lamp, to_linear

STEPS = 26  # points of a strand
CENTRE = np.array([0.0, 0.030, -0.008])  # metres, head space: what azimuth and elevation on the scalp are seen from


@dataclass(frozen=True)
class Strands:
    """points [N, STEPS, 3] head space; shade [N, STEPS] 0..1 how open to light; width [N] relative."""

    points: np.ndarray
    shade: np.ndarray
    width: np.ndarray


def together(parts: list[Strands]) -> Strands:
    """All strands of several bundles."""
    return Strands(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("points", "shade", "width")))


def bun(centre: np.ndarray, radius: float, count: int, rng: np.random.Generator) -> Strands:
    """A knot of hair: arcs about a tilted axis on a ball."""
    axis = np.array([0.25, 0.9, 0.3]) + rng.normal(0, 0.35, (count, 3))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    start = np.cross(axis, rng.normal(0, 1, (count, 3)))
    start /= np.linalg.norm(start, axis=1, keepdims=True)
    other = np.cross(axis, start)
    turn = np.linspace(0, 1, STEPS) * rng.uniform(1.2, 2.4, (count, 1))
    lift = rng.uniform(-0.8, 0.8, (count, 1, 1))
    circle = np.cos(turn)[..., None] * start[:, None] + np.sin(turn)[..., None] * other[:, None]
    layer = rng.random(count)
    reach = radius * (0.86 + 0.16 * layer)[:, None, None]
    points = centre + reach * (np.sqrt(1 - lift**2) * circle + lift * axis[:, None])
    return Strands(points, np.repeat(0.45 + 0.55 * layer[:, None], STEPS, 1), rng.uniform(0.7, 1.3, count))


def children(strands: Strands, count: int, spread: float, rng: np.random.Generator) -> Strands:
    """Each guide with `count` - 1 neighbours that follow it at up to `spread` metres."""
    if count <= 1:
        return strands
    parts = [strands]
    n = len(strands.points)
    t = np.linspace(0, 1, STEPS)
    for _ in range(count - 1):
        shift, drift = rng.normal(0, spread, (2, n, 3))
        apart = shift[:, None] * np.interp(t, [0, 0.15, 0.7, 1], [0.6, 1, 0.8, 0.45])[None, :, None]
        apart = apart + drift[:, None] * (0.5 * t * t)[None, :, None]
        cut = rng.uniform(0.8, 1.0, n)[:, None] * t[None]
        low = np.minimum((cut * (STEPS - 1)).astype(int), STEPS - 2)
        part = (cut * (STEPS - 1) - low)[..., None]
        rows = np.arange(n)[:, None]
        path = strands.points[rows, low] * (1 - part) + strands.points[rows, low + 1] * part + apart
        parts.append(Strands(path, strands.shade * rng.uniform(0.8, 1.1, (n, 1)), rng.uniform(0.6, 1.2, n)))
    return together(parts)


def shade_strands(
    person: Person, strands: Strands, lamps: tuple[Lamp, ...], eye: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Linear colours [N, STEPS, 3] (Kajiya & Kay 1989, on hair whose mass turns away from the light like a head)."""
    p = strands.points
    tangent = np.gradient(p, axis=1)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=2, keepdims=True), 1e-9)
    mass = p - (CENTRE + np.array([0, -0.02, 0]))
    mass = mass * [1, 0.8, 1]
    mass /= np.linalg.norm(mass, axis=2, keepdims=True)
    view = eye - p
    view /= np.linalg.norm(view, axis=2, keepdims=True)
    tone = rng.lognormal(0, 0.16, (len(p), 1, 1))
    tint = 1 + rng.normal(0, 0.03, (len(p), 1, 3))
    silver = (rng.random((len(p), 1, 1)) < 0.5 * person.grey) * person.grey
    base = to_linear(person.hair) * tone * tint
    base = base + silver * (to_linear(np.array([0.72, 0.72, 0.72])) - base) * 0.5
    gloss = np.array([1.0, 0.95, 0.88])
    shift = rng.normal(0, 0.05, (len(p), 1))  # scales of the cuticle tilt the highlight, differently on each hair
    out = np.zeros_like(p)
    for lamp in lamps:
        along = tangent @ lamp.towards
        turned = np.clip(0.35 + 0.65 * (mass @ lamp.towards), 0, 1)
        spread = np.pi * 0.6 / lamp.sharpness
        diffuse = np.sqrt(np.clip(1 - along**2, 0, 1)) * turned * spread
        half = view + lamp.towards
        half /= np.linalg.norm(half, axis=2, keepdims=True)
        slant = (tangent * half).sum(2) + shift
        shine = np.clip(1 - (slant + 0.10) ** 2, 0, 1) ** 70 * 0.035 * turned
        second = np.clip(1 - (slant - 0.14) ** 2, 0, 1) ** 14 * turned
        out += (base * diffuse[..., None] + gloss * shine[..., None] + base * 0.35 * second[..., None]) * lamp.colour
    return out * strands.shade[..., None]
