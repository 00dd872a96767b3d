"""Hair: strands grown from the scalp in three dimensions, combed, drawn down, kept off the head, lit and drawn."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from ..head.model import HeadModel
from ..head.surface import vertex_normals
from ..ramps import smooth_step
from ..values import Camera
from .person import Person, Style
from .strands import CENTRE, STEPS, Strands, bun, children, shade_strands, together
from .strokes import draw_lines
from .studio import Lamp, to_screen

HAIRLINE = (10, 338, 297, 332, 284, 251, 389, 356, 454)  # landmarks from the forehead's middle to the ear
HIGHER = np.radians([5.0, 5.0, 5.0, 4.5, 3.5, 2.0, 1.0, 2.0, 7.0])  # the hairline lies above the landmarks by so much
BEHIND = ((1.75, -0.25), (2.1, -0.62), (3.2, -0.80))  # azimuth, elevation of the hairline behind the ear, radians
COUNTS = {"cropped": 9000, "shaved": 16000, "curly": 5200}  # strands; of the other cuts OTHERS
OTHERS = 4600
CHILDREN = {"cropped": 3, "shaved": 1, "curly": 3}
MANY = 5
# How strongly a cut is drawn down, stands up from its roots, and lies on the head
GRAVITY = {"bob": 0.55, "long": 0.55, "parted": 0.20, "swept": 0.16, "curly": 0.0, "tied": 0.0}
RISE = {"cropped": 1.1, "shaved": 1.2, "curly": 1.5, "parted": 0.5, "swept": 0.75, "tied": 0.15}
CLING = {"bob": 0.5, "long": 0.5, "parted": 0.55, "swept": 0.5, "tied": 0.8}
KNOT = np.array([0, 0.075, -0.095])  # head space: where tied hair meets
LOOKED_AT = slice(4, STEPS, 3)  # points of a strand that are compared with other strands
LONELY = (0.006, 8)  # metres, points of hair: fewer so near is a lone hair
NEAR = 0.035  # metres from the skin within which hair feels it


def hairline(style: Style, marks: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
    """Elevation in radians above which hair grows, for |azimuth| 0 (front) .. pi (nape)."""
    arm = marks[list(HAIRLINE)] - CENTRE
    az = np.abs(np.arctan2(arm[:, 0], arm[:, 2]))
    el = np.arctan2(arm[:, 1], np.hypot(arm[:, 0], arm[:, 2])) + HIGHER + np.radians(style.hairline)
    el = el + style.recede * 0.22 * np.exp(-(((az - 0.62) / 0.28) ** 2))
    order = np.argsort(az)
    az, el = az[order], el[order]
    keep = az < 1.7
    back = np.array(BEHIND)
    return np.interp(np.abs(azimuth), np.r_[az[keep], back[:, 0]], np.r_[el[keep], back[:, 1]])


def angles(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Azimuth and elevation of points [N, 3] about the scalp's centre."""
    arm = points - CENTRE
    return np.arctan2(arm[:, 0], arm[:, 2]), np.arctan2(arm[:, 1], np.hypot(arm[:, 0], arm[:, 2]))


def plant(
    style: Style, model: HeadModel, points: np.ndarray, marks: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Roots [N, 3] and their normals [N, 3] on the scalp, and how far inside the hairline [N] radians."""
    faces = model.faces[model.part_faces("skin")]
    normals = vertex_normals(points.astype(np.float64), model.faces)
    corners = points[faces]
    middle = corners.mean(1)
    az, el = angles(middle)
    faces = faces[(el > hairline(style, marks, az) - 0.15) & (np.abs(middle[:, 0]) < 0.09)]
    corners = points[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    pick = rng.choice(len(faces), 2 * count, p=area / area.sum())
    u, v = rng.random((2, 2 * count, 1))
    flip = u + v > 1
    u, v = np.where(flip, 1 - u, u), np.where(flip, 1 - v, v)
    weights = np.concatenate([1 - u - v, u, v], 1)
    root = np.einsum("nk,nkc->nc", weights, corners[pick])
    normal = np.einsum("nk,nkc->nc", weights, normals[faces[pick]])
    az, el = angles(root)
    inside = el - hairline(style, marks, az)
    x, y, z = root.T
    ears = (np.abs(x) > 0.066) & (z > -0.03) & (y < 0.028) & (np.abs(az) > 1.35)
    keep = np.flatnonzero((inside > rng.exponential(0.035, len(root)) - 0.02) & ~ears)[:count]
    return root[keep], normal[keep] / np.linalg.norm(normal[keep], axis=1, keepdims=True), inside[keep]


def comb(style: Style, root: np.ndarray, inside: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Direction [N, 3] in which hair is combed at its root, and its length [N] in metres."""
    x, y, z = root.T
    n = len(root)
    across = np.where(x > style.mirror * style.part, 1.0, -1.0)
    top = smooth_step(y, 0.05, 0.095)
    length = style.length * rng.uniform(0.85, 1.05, n)
    if style.cut in ("cropped", "shaved"):
        way = np.stack([0.25 * style.mirror + 0.5 * x / 0.07, 0.85 * top - 0.6, 1.35 * top - 0.45], 1)
        length *= 0.45 + 0.55 * top
    elif style.cut == "parted":
        side = np.where(x * style.mirror > style.part, 1.0, -1.0) * style.mirror
        way = np.stack([side, 0.15 - 1.15 * (1 - top), -0.45 * top - 0.55 * (1 - top)], 1)
        length *= 0.28 + 0.72 * top
    elif style.cut == "swept":
        way = np.stack([0.25 * style.mirror * top + 0.6 * x / 0.07, 0.15 - 0.75 * (1 - top), -1 + 0.3 * top], 1)
        length *= 0.3 + 0.7 * top
    elif style.cut == "tied":
        way = (np.array([0, 0.105, KNOT[2]]) if style.knot else KNOT) - root
        length = 1.05 * np.linalg.norm(way, axis=1)
    elif style.cut == "curly":
        way = (root - CENTRE) * [1, 1, 0.9]
        length *= 0.75 + 0.4 * top
    else:
        way = np.stack([across, np.full(n, -0.25), -0.35 + 0.55 * smooth_step(z, 0.0, 0.08) * (top < 0.6)], 1)
        length *= 1 - 0.25 * smooth_step(y, 0.02, -0.04)
        if style.fringe:
            front = (z > 0.05) & (np.abs(x) < 0.045) & (y > 0.05)
            way[front] = np.stack([0.25 * x[front] / 0.04, np.full(front.sum(), -0.55), np.ones(front.sum())], 1)
            length[front] = rng.uniform(0.055, 0.066, front.sum())
    if style.cut in ("parted", "swept", "curly", "cropped"):
        length *= np.interp(y, [-0.01, 0.05], [0.35, 1.0])  # trimmed around the ears
    length *= np.interp(inside, [-0.03, 0.05, 0.16], [0.35, 0.7, 1.0]) if style.cut != "tied" else 1
    return way / np.linalg.norm(way, axis=1, keepdims=True), length


def grow(
    style: Style, model: HeadModel, points: np.ndarray, marks: np.ndarray, rng: np.random.Generator
) -> Strands:
    """Guide strands, stepped from their roots: combed, drawn down, kept off the skin by their layer's height."""
    root, normal, inside = plant(style, model, points, marks, COUNTS.get(style.cut, OTHERS), rng)
    way, length = comb(style, root, inside, rng)
    skin = np.unique(model.faces[model.part_faces("skin")])
    x, y, z = points[skin].T
    skin = skin[~((np.abs(x) > 0.069) & (y > -0.055) & (y < 0.04) & (z > -0.04))]  # hair falls behind the ears
    tree = cKDTree(points[skin])
    normals = vertex_normals(points.astype(np.float64), model.faces)[skin]
    n = len(root)
    layer = rng.random(n)
    lift = style.lift * (0.25 + layer) * np.interp(inside, [0, 0.25], [0.25, 1.0])
    if style.cut == "tied":
        lift *= 0.4
    gravity = GRAVITY.get(style.cut, 0.06)
    stand = RISE.get(style.cut, 0.45) * (0.5 + 0.5 * layer)
    if style.cut in ("cropped", "parted", "swept"):
        stand = stand * (0.45 + 0.55 * smooth_step(root[:, 1], 0.05, 0.095))  # flat at the sides
    heading = way + normal * stand[:, None]
    heading /= np.linalg.norm(heading, axis=1, keepdims=True)
    stray = rng.normal(0, 0.01 if style.cut == "tied" else 0.035, (n, 3))
    wave, phase = rng.uniform(0.7, 1.3, n), _clumped(root, rng)
    track = np.empty((n, STEPS, 3))
    at = root + normal * 0.0005
    step = (length / (STEPS - 1))[:, None]
    cling = CLING.get(style.cut, 0.0)
    for k in range(STEPS):
        track[:, k] = at
        t = k / (STEPS - 1)
        grown = (k + 1) * step[:, 0]
        pull = np.clip(grown / 0.05, 0, 1)[:, None]  # a hair's own weight bends it after some length
        keen = np.exp(-grown / 0.06)[:, None]  # and the comb's direction is forgotten
        heading = heading + way * 0.22 * keen + np.array([0, -1.0, 0]) * gravity * pull + stray
        if style.cut == "curly":
            heading = heading + _spiral(normal, phase, 2 * np.pi * 3.2 * t * wave) * 1.1
        elif style.curl:
            bend = _spiral(way, phase, 2 * np.pi * (length / 0.085) * t * wave)
            heading = heading + bend * (0.40 * style.curl * pull)
        heading = heading / np.linalg.norm(heading, axis=1, keepdims=True)
        height = lift * min(1.0, (k + 1) / 5)
        at = at + heading * step
        near, above, out = _beside(at, tree, points[skin], normals)
        low = 1 - smooth_step(at[:, 1], 0.0, 0.05)
        hold = cling * (1 - 0.88 * low) if gravity > 0.3 else np.full(n, cling)  # long hair hangs free of the neck
        leaving = (heading * out).sum(1) * near
        heading = heading - out * np.clip(leaving, -1, 1)[:, None] * np.where(above > height, hold, 0)[:, None]
        at = at + out * (near * (np.maximum(height - above, 0) - hold * 0.25 * np.maximum(above - height, 0)))[:, None]
        if gravity > 0.3:
            at = _curtain(at, marks, length)
    strands = Strands(track, _openness(layer, style), rng.uniform(0.7, 1.3, n))
    if gravity > 0.3:
        keep = ~_in_the_face(track, marks, length, style)
        strands = Strands(*(values[keep] for values in (strands.points, strands.shade, strands.width)))
    if style.cut == "tied" and style.knot:
        knot = bun(np.array([0, points[skin, 1].max() + 0.012, KNOT[2]]), 0.034, 1100, rng)
        strands = together([strands, knot])
    return strands


def _clumped(root: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Phases [N] that neighbours nearly share: locks of hair curl together."""
    centres = root[rng.choice(len(root), min(180, len(root)), replace=False)]
    _, lock = cKDTree(centres).query(root)
    return rng.uniform(0, 2 * np.pi, len(centres))[lock] + rng.normal(0, 0.35, len(root))


def _spiral(axis: np.ndarray, phase: np.ndarray, turn: np.ndarray) -> np.ndarray:
    across = np.cross(axis, [0.31, 0.22, 0.93])
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-6)
    up = np.cross(axis, across)
    return across * np.cos(turn + phase)[:, None] + up * np.sin(turn + phase)[:, None]


def _beside(
    at: np.ndarray, tree: cKDTree, skin: np.ndarray, normals: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For points [N, 3]: 1 or 0 whether skin is near, the height above it in metres, its outward normal [N, 3]."""
    distance, nearest = tree.query(at, workers=1, eps=0.3, distance_upper_bound=NEAR)
    found = np.isfinite(distance)
    nearest = np.where(found, nearest, 0)
    out = normals[nearest]
    return found.astype(float), ((at - skin[nearest]) * out).sum(1), out


def _free_width(at: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """Metres on either side of the middle that long hair leaves free at each point's height."""
    half, brow, chin = marks[454, 0], marks[9, 1], marks[152, 1]
    down = smooth_step(at[..., 1], brow + 0.055, brow)
    return half * (0.93 - 0.10 * smooth_step(at[..., 1], chin + 0.05, chin)) * down


def _curtain(at: np.ndarray, marks: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Keeps long hair beside the face."""
    bound = (at[:, 2] > 0.0) & (length > 0.075)
    short = np.where(bound, np.maximum(_free_width(at, marks) - np.abs(at[:, 0]), 0), 0)
    at[:, 0] += np.sign(at[:, 0] + 1e-9) * short * 0.5
    return at


def _in_the_face(track: np.ndarray, marks: np.ndarray, length: np.ndarray, style: Style) -> np.ndarray:
    """Which strands [N], a fringe excepted, hang into the face all the same, or cross the forehead alone."""
    x, y, z = np.moveaxis(track, -1, 0)
    inside = (np.abs(x) < 0.86 * _free_width(track, marks)) & (z > 0.045)
    knots = track[:, LOOKED_AT]
    neighbours = cKDTree(knots.reshape(-1, 3)).query_ball_point(knots, LONELY[0], return_length=True)
    bare = (z > 0.05) & (y < marks[9, 1] + 0.075) & (np.abs(x) < 0.8 * marks[454, 0])
    alone = (bare[:, LOOKED_AT] & (neighbours < LONELY[1])).any(1)
    return (inside.any(1) | alone) & (length > (0.075 if style.fringe else 0))


def _openness(layer: np.ndarray, style: Style) -> np.ndarray:
    """Inner layers and roots lie in the shadow of the rest, [N, STEPS]."""
    t = np.linspace(0, 1, STEPS)
    rooted = np.interp(t, [0, 0.25, 1], [0.55, 0.9, 1.0])
    if style.cut in ("cropped", "shaved", "tied"):
        rooted = np.interp(t, [0, 0.5, 1], [0.8, 0.95, 1.0])
    return rooted[None] * (0.45 + 0.55 * layer[:, None])


def draw_hair(
    person: Person, model: HeadModel, points: np.ndarray, marks: np.ndarray, camera: Camera, scale: int,
    lamps: tuple[Lamp, ...], depth: np.ndarray, rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """Premultiplied linear hair [H, W, 4] in front of what lies at `depth` [H, W] metres (inf: nothing)."""
    style = person.style
    strands = grow(style, model, points, marks, rng)
    spread = 0.0011 if style.cut not in ("curly", "cropped") else 0.0016
    strands = children(strands, CHILDREN.get(style.cut, MANY), spread, rng)
    colour = shade_strands(person, strands, lamps, camera.camera_to_world[:3, 3], rng)
    screen = to_screen(strands.points, camera, scale)
    unit = scale * camera.focal / float(np.median(screen[..., 2]))
    t = np.linspace(0, 1, STEPS)
    taper = np.interp(t, [0, 0.1, 0.75, 1], [0.7, 1, 0.9, 0.15])
    width = 0.00034 * unit * strands.width[:, None] * taper
    opacity = np.broadcast_to(np.interp(t, [0, 0.08, 0.8, 1], [0.4, 0.9, 0.85, 0.3])[None, :, None], (*width.shape, 1))
    out = np.zeros((*depth.shape, 4), np.float32)
    draw_lines(screen, width, np.concatenate([colour, opacity], 2), depth + 0.003, out)
    return out
