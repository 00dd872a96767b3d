"""Two rows of teeth: arches with crowns that bulge and edges that notch, in the place of MakeHuman's plain strips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TEETH = 14  # a row without wisdom teeth
COLUMNS = np.array([0, 0.07, 0.22, 0.5, 0.78, 0.93])  # across a tooth: close together where it meets its neighbour


@dataclass(frozen=True)
class Row:
    """Measures of a row of teeth in metres, head space. `edge` is the height of the incisors' edge, `front` their
    outermost z; `crown` is +height for an upper row (gum above), - for a lower one."""

    edge: float
    front: float
    half_width: float
    depth: float
    crown: float
    rise: float  # how much the edge recedes towards the last molar


@dataclass(frozen=True)
class Crowns:
    """Half a row from the middle outwards, [7] each: `widths` as shares of it; `shorter` metres by which the middle of
    an edge is shorter than the first incisor's, `corners` by which its corners are than its middle; `cusp` the exponent
    of the fall from the middle to the corners: 1 is a point, more a rounded corner."""

    widths: np.ndarray
    shorter: np.ndarray
    corners: np.ndarray
    cusp: np.ndarray


UPPER_CROWNS = Crowns(
    widths=np.array([8.6, 6.7, 7.7, 7.0, 6.8, 10.2, 9.7]),
    shorter=np.array([0, 7, -1, 4, 6, 8, 8]) * 1e-4,
    corners=np.array([7, 8, 14, 9, 8, 6, 6]) * 1e-4,
    cusp=np.array([4, 3.5, 1.4, 1.6, 1.8, 3, 3]),
)
LOWER_CROWNS = Crowns(
    widths=np.array([5.4, 6.0, 6.9, 7.1, 7.2, 11.0, 10.5]),
    shorter=np.array([0, 1, -3, 2, 4, 5, 5]) * 1e-4,
    corners=np.array([4, 5, 12, 9, 8, 6, 6]) * 1e-4,
    cusp=np.array([4, 4, 1.5, 1.6, 1.8, 3, 3]),
)
THICKNESS_FRONT, THICKNESS_BACK = 0.0045, 0.0095


def row_of_teeth(row: Row, crowns: Crowns) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices [N, 3], triangles [M, 3] seen from outside, and uv [N, 2]: u counts teeth from the subject's right (0)
    to the left (1), v goes from the gum in front (0) over the edge (0.6) to the gum behind (1)."""
    number = np.append(np.repeat(np.arange(TEETH), len(COLUMNS)), TEETH - 1)  # of each column's tooth
    within = np.append(np.tile(COLUMNS, TEETH), 1.0)
    share = np.concatenate([[0], np.cumsum(crowns.widths)]) / crowns.widths.sum()
    borders = np.concatenate([-share[:0:-1], share])  # of teeth along the arch, -1..1
    place = borders[number] + within * np.diff(borders)[number]
    angle = arch_angles(row, place)
    outward = np.stack([np.sin(angle) * row.depth, np.zeros_like(angle), np.cos(angle) * row.half_width], 1)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    curve = np.stack([np.sin(angle) * row.half_width, np.zeros_like(angle), (np.cos(angle) - 1) * row.depth], 1)
    curve[:, 2] += row.front
    back = np.abs(place) ** 2
    sign = np.sign(row.crown)
    edge = row.edge + sign * (row.rise * back + _notches(crowns, number, within))
    gum = row.edge + row.crown * (1 - 0.25 * back)
    thick = THICKNESS_FRONT + (THICKNESS_BACK - THICKNESS_FRONT) * np.clip(np.abs(place) * 1.6 - 0.5, 0, 1)
    border = np.abs(2 * within - 1) ** 4  # 1 between two teeth, 0 on a crown
    profile = (  # how far in (share of thickness), how far from edge to gum, v
        (0.05, 1.0, 0.0), (0.02, 0.82, 0.1), (0.0, 0.5, 0.25), (0.02, 0.2, 0.45), (0.22, 0.0, 0.6), (0.6, 0.0, 0.7),
        (1.0, 0.45, 0.85), (1.0, 1.0, 1.0),
    )  # fmt: skip
    rings, uv = [], []
    for inward, height, v in profile:
        sink = thick * inward + 0.0005 * border * (height < 1) * (inward < 0.5)
        ring = curve - outward * sink[:, None]
        ring[:, 1] = edge + (gum - edge) * height
        rings.append(ring)
        uv.append(np.stack([(number + within) / TEETH, np.full_like(place, v)], 1))
    return np.concatenate(rings), strip_faces(len(profile), len(place), sign > 0), np.concatenate(uv)


def _notches(crowns: Crowns, number: np.ndarray, within: np.ndarray) -> np.ndarray:
    """[N] metres by which an edge is shorter than the first incisor's, at places `within` teeth. Where two teeth
    meet the longer goes up to the shorter, or the mesh would be torn."""
    half = np.abs(number - (TEETH - 1) / 2).astype(int)  # 0 is an incisor beside the middle
    depth = crowns.shorter[half] + crowns.corners[half] * np.abs(2 * within - 1) ** crowns.cusp[half]
    end = (crowns.shorter + crowns.corners)[np.abs(np.arange(TEETH) - (TEETH - 1) / 2).astype(int)]
    first = within == 0
    depth[first] = np.maximum(end[number[first]], end[np.maximum(number[first] - 1, 0)])
    return depth


def arch_angles(row: Row, place: np.ndarray) -> np.ndarray:
    """Angles on the arch's half ellipse at equal shares of its length."""
    angle = np.linspace(-np.radians(86), np.radians(86), 400)
    points = np.stack([np.sin(angle) * row.half_width, np.cos(angle) * row.depth], 1)
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    return np.interp((place + 1) / 2 * length[-1], length, angle)


def strip_faces(rings: int, columns: int, upper: bool) -> np.ndarray:
    faces = []
    for r in range(rings - 1):
        for c in range(columns - 1):
            a, b = r * columns + c, r * columns + c + 1
            below, beside = a + columns, b + columns
            quad = (a, below, beside, b) if upper else (a, b, beside, below)
            faces += [(quad[0], quad[1], quad[2]), (quad[0], quad[2], quad[3])]
    return np.array(faces)


def mirror_of_row(rings: int, columns: int) -> np.ndarray:
    index = np.arange(rings * columns).reshape(rings, columns)
    return index[:, ::-1].ravel()


def carry_weights(points: np.ndarray, helper: np.ndarray, nearest: int = 8) -> np.ndarray:
    """Weights [N, H] that carry displacements of MakeHuman's strip [H, 3] to `points` [N, 3]: smooth, and a rigid
    motion stays nearly one."""
    distance = np.linalg.norm(points[:, None] - helper[None], axis=2)
    weights = 1 / (distance**2 + 0.003**2)
    cut = np.sort(weights, axis=1)[:, -nearest][:, None]
    weights = np.maximum(weights - cut * 0.999, 0)
    return weights / weights.sum(1, keepdims=True)
