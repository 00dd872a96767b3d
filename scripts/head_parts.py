"""The head's anatomy on MakeHuman's mesh: lip seam, lid margins, parts, eyeballs, regions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from head_assets import BODY, Rings

PARTS = ("skin", "mouth_cavity", "eye_socket", "teeth_upper", "teeth_lower", "tongue", "eye_left", "eye_right")
# Vertices of hm08 in the middle of the face, from the nose down: they name the edge loops of the mouth.
LIP_SEAM = (474, 493)  # where upper and lower lip touch
LIP_RINGS_OUT = ((468, 494), (509, 513), (467, 495), (466, 496), (455, 492))  # from the seam to the border of the red
LIP_RINGS_IN = ((520, 523), (537, 540))
CAVITY_VERTEX = 639  # the palate
LID_RING_VERTEX = 13352  # on the rim of the left eye's lids; the right eye is its mirror image
EYEBALL_RINGS, EYEBALL_SEGMENTS = 20, 32


@dataclass
class Seam:
    """Two chains of vertices, upper [U] and lower [L], from the subject's right corner to the left one, that meet when
    mouth or eye closes. Both contain the two corner vertices. `lower_of_upper` [U, L] weighs lower vertices into the
    point opposite each upper vertex, `upper_of_lower` [L, U] the other way round: the chains need not be equally long.
    """

    upper: np.ndarray
    lower: np.ndarray
    lower_of_upper: np.ndarray
    upper_of_lower: np.ndarray


def opposite_points(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Weights [N, M] of the point on the chain `others` with the same place along the seam as each of `points`.

    The place is x, made monotone from corner to corner: lips and lids meet by moving up and down.
    """
    place, other_place = (np.maximum.accumulate(p[:, 0]) for p in (points, others))
    weights = np.zeros((len(points), len(others)))
    for row, x in enumerate(place):
        k = int(np.clip(np.searchsorted(other_place, x, side="right") - 1, 0, len(others) - 2))
        t = float(np.clip((x - other_place[k]) / max(other_place[k + 1] - other_place[k], 1e-9), 0, 1))
        weights[row, k], weights[row, k + 1] = 1 - t, t
    return weights


def make_seam(upper: np.ndarray, lower: np.ndarray, vertices: np.ndarray) -> Seam:
    if len(upper) == len(lower):
        same = np.eye(len(upper))
        return Seam(upper, lower, same, same)
    above, below = vertices[upper], vertices[lower]
    return Seam(upper, lower, opposite_points(above, below), opposite_points(below, above))


def find_seams(rings: Rings, vertices: np.ndarray, shut: np.ndarray, mirror: np.ndarray) -> dict[str, Seam]:
    """Follows the edge loops of lips and lids. `shut` is the head with its left eye closed, which tells the corners of
    the lids: there, upper and lower vertices pair with the least distance."""
    ring = np.array(ring_through(rings, vertices, LIP_SEAM[0]))  # from the upper middle to the subject's left
    half = len(ring) // 2
    if ring[half] != LIP_SEAM[1]:
        raise ValueError("the lip seam's loop doesn't pass the middle of the lower lip")
    corner = int(np.argmax(vertices[ring, 0]))
    upper, lower = ring[: corner + 1], ring[corner : half + 1][::-1]
    upper, lower = (np.concatenate([mirror[side[:0:-1]], side]) for side in (upper, lower))
    lips = make_seam(upper, lower, vertices)

    loops = []
    for step in sorted(rings.neighbours[LID_RING_VERTEX]):
        try:
            loops.append(rings.ring(LID_RING_VERTEX, step))
        except ValueError:
            continue
    order = np.array(min((r for r in loops if len(r) == 28), key=lambda r: np.ptp(vertices[r, 2])))
    candidates = []
    for shift in (-1, 0, 1):  # the loop's halves are equally long, but its extremes in x are not quite its corners
        turned = np.roll(order, -int(np.argmin(vertices[order, 0])) - shift)
        middle = len(order) // 2
        sides = turned[: middle + 1], np.concatenate([turned[:1], turned[middle:][::-1]])
        top, bottom = sorted(sides, key=lambda s: -vertices[s, 1].mean())
        candidates.append((float(np.linalg.norm(shut[top] - shut[bottom], axis=1).sum()), top, bottom))
    _, top, bottom = min(candidates, key=lambda c: c[0])
    return {
        "lips": lips,
        "lids_left": make_seam(top, bottom, vertices),
        "lids_right": make_seam(mirror[top][::-1], mirror[bottom][::-1], vertices),
    }


def ring_through(rings: Rings, vertices: np.ndarray, middle: int) -> list[int]:
    """The loop through a vertex of the mid plane, leaving it to the subject's left."""
    step = max(rings.neighbours[middle], key=lambda n: vertices[n, 0])
    return rings.ring(middle, step)


def eyeball(centre: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Sphere around +z: vertices [N, 3] with the pole at the pupil, triangles [M, 3] seen from outside."""
    # rings are denser towards the pupil, where iris and cornea are
    polar = np.pi * np.linspace(0, 1, EYEBALL_RINGS + 1)[1:-1] ** 1.5
    around = 2 * np.pi * np.arange(EYEBALL_SEGMENTS) / EYEBALL_SEGMENTS
    circle = np.stack([np.cos(around), np.sin(around), np.zeros_like(around)], 1)
    points = [np.array([[0, 0, 1.0]])]
    points += [circle * np.sin(p) + [0, 0, np.cos(p)] for p in polar]
    points.append(np.array([[0, 0, -1.0]]))
    vertices = centre + radius * np.concatenate(points)
    n, last = EYEBALL_SEGMENTS, len(vertices) - 1
    faces = []
    for k in range(n):
        following = (k + 1) % n
        faces.append((0, 1 + k, 1 + following))
        base = 1 + (len(polar) - 1) * n
        faces.append((last, base + following, base + k))
        for ring in range(len(polar) - 1):
            a, b = 1 + ring * n + k, 1 + ring * n + following
            faces += [(a, a + n, b + n), (a, b + n, b)]
    return vertices, np.array(faces)


def eyeball_mirror() -> np.ndarray:
    """For each vertex of the left eyeball the vertex of the right one at the mirrored place."""
    n = EYEBALL_SEGMENTS
    count = 2 + (EYEBALL_RINGS - 1) * n
    index = np.arange(count)
    ring, k = np.divmod(index[1:-1] - 1, n)
    index[1:-1] = 1 + ring * n + (n // 2 - k) % n
    return index


def ball_centre(ball: np.ndarray) -> np.ndarray:
    """Centre of an eyeball's vertices: half-way between its poles (the mean leans to the denser front)."""
    return (ball[0] + ball[-1]) / 2


def eyeball_delta(helper: np.ndarray, delta: np.ndarray, sphere: np.ndarray) -> np.ndarray:
    """Carries a displacement of MakeHuman's coarse eyeball [72, 3] over to ours: moved and scaled, still round."""
    shift = delta.mean(0)
    arm = helper - helper.mean(0)
    growth = float((arm * (delta - shift)).sum() / (arm**2).sum())
    return shift + growth * (sphere - ball_centre(sphere))


def triangulate(quads: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Two triangles per quad along the shorter diagonal, [2Q, 3]."""
    a, b, c, d = quads.T
    one_way, other_way = (np.linalg.norm(vertices[p] - vertices[q], axis=1) for p, q in ((a, c), (b, d)))
    first = one_way <= other_way + 1e-7
    one = np.where(first[:, None], np.stack([a, b, c], 1), np.stack([a, b, d], 1))
    two = np.where(first[:, None], np.stack([a, c, d], 1), np.stack([b, c, d], 1))
    return np.stack([one, two], 1).reshape(-1, 3)


def smoothstep(x: np.ndarray, low: float, high: float) -> np.ndarray:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def lip_weights(rings: Rings, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights [body] of upper and lower lip: 1 on the red of the lips, 0.5 on its border."""
    upper, lower = np.zeros(BODY.stop), np.zeros(BODY.stop)
    weights = (
        dict(zip(LIP_RINGS_OUT, (1, 1, 1, 1, 0.5), strict=True))
        | {LIP_SEAM: 1.0}
        | dict(zip(LIP_RINGS_IN, (1, 0.5), strict=True))
    )
    for (top, _), weight in weights.items():
        ring = ring_through(rings, vertices, top)
        corner = int(np.argmax(vertices[ring, 0]))
        for k, v in enumerate(ring):
            is_upper = min(k, len(ring) - k) <= corner
            (upper if is_upper else lower)[v] = weight
    return upper, lower


def head_regions(vertices: np.ndarray) -> dict[str, np.ndarray]:
    """Soft regions by place in head space: `face`, `neck`, `scalp`, each [V]."""
    x, y, z = vertices.T
    below_jaw = -(y + 0.03 + 0.8 * z)
    neck = smoothstep(below_jaw, 0.0, 0.05) * smoothstep(-y, 0.02, 0.06)
    hairline = y - 0.075 + 0.5 * np.maximum(0.05 - z, 0)
    scalp = np.maximum(smoothstep(hairline, 0.0, 0.03), smoothstep(-z, -0.01, 0.02)) * (1 - neck)
    face = smoothstep(z, 0.0, 0.04) * (1 - neck) * (1 - smoothstep(hairline, 0.0, 0.03))
    return {"face": face, "neck": neck, "scalp": scalp}
