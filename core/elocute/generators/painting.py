"""Paints a person's body: skin, lips, eyes and a garment, lit in the studio."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..head.model import HeadModel
from ..head.surface import vertex_normals
from ..landmarks import CHIN
from ..ramps import smooth_step
from ..values import Camera
from .features import (
    draw_brows,
    draw_lashes,
    draw_stubble,
    eye_axes,
    eye_colour,
    eye_glints,
    lip_mask,
    noise,
)  # fmt: skip
from .hairdo import angles, hairline
from .person import Person
from .studio import Lamp, Surface, expose, irradiance, refine_surface, scatter, to_linear, to_screen

LIGHT, ALBEDO, NORMAL, PLACE, GLOSS, OPEN, CLOTH, BEARD = (
    slice(0, 3), slice(3, 6), slice(6, 9), slice(9, 12), 12, 13, 14, 15,
)  # fmt: skip
NOTHING = 255  # where no part of the model is seen
THICKNESS = 0.005  # metres that cloth stands off the skin
FLESH = np.array([0.74, 0.52, 0.49])  # sRGB of the wet rim between eyeball and lid
CHEEKS, NOSE_TIP, UNDER_EYES = (205, 425), 4, (119, 348)  # landmarks


@dataclass(frozen=True)
class Body:
    """The painted body at the studio's own resolution, [H, W]: `colour` linear light, `cover` 0..1, `depth` metres
    (inf: none), `cloth` and `eyes` 0..1 memberships, `surface` what was painted."""

    colour: np.ndarray
    cover: np.ndarray
    depth: np.ndarray
    cloth: np.ndarray
    eyes: np.ndarray
    surface: Surface


def paint_body(
    person: Person, model: HeadModel, points: np.ndarray, camera: Camera, scale: int, lamps: tuple[Lamp, ...],
    rng: np.random.Generator,
) -> Body:  # fmt: skip
    """points [V, 3] are the moved vertices of the head model; the picture is `scale` times the camera's size."""
    rng, stubble, brows, lashes, *irises = rng.spawn(6)  # what draws more at another size puts nothing else off
    marks = model.landmarks(points)
    inside = neckline(person, points, marks)
    on_skin = model.vertex_part == model.parts.index("skin")
    dressed = _dressed(points, model.faces, np.where(on_skin, inside, -1), rng)
    coarse = refine_surface(dressed, model.faces, model.face_part)
    light, openness = irradiance(coarse, lamps)
    soft = np.where((coarse.carry(inside) > 0)[:, None], light, scatter(coarse, light))  # cloth isn't translucent
    surface = refine_surface(coarse.points, coarse.faces, coarse.part)

    def carry(values: np.ndarray) -> np.ndarray:
        return surface.carry(coarse.carry(values))

    albedo, beard = skin_albedo(person, model, points, marks)
    cloth = np.where(carry(on_skin.astype(float)) > 0.5, neckline(person, carry(points), marks), -1)
    own = [carry(_gloss(points, marks)), surface.carry(openness), cloth, carry(beard)]
    table = np.concatenate(
        [surface.carry(soft), carry(albedo), surface.normals, surface.points, np.stack(own, 1)], 1
    )
    seen = expose(surface, camera, scale, table)
    part = np.where(seen.ids >= 0, surface.part[np.maximum(seen.ids, 0)], NOTHING)
    xy = to_screen(marks, camera, scale)[:, :2]
    unit = scale * camera.focal / float(np.median(seen.depth[np.isfinite(seen.depth)]))
    colour, cloth_share = _skin_and_cloth(person, seen.table, xy, unit, lamps, camera, rng)
    socket = part == model.parts.index("eye_socket")
    colour[socket] = to_linear(FLESH * person.skin / person.skin.max()) * seen.table[socket][:, LIGHT]
    eyes = _paint_eyes(person, model, points, camera, lamps, part, seen.table, unit, colour, irises)
    light_map = np.ascontiguousarray(seen.table[..., LIGHT])
    hairs = np.zeros((*part.shape, 4), np.float32)
    bearded = seen.table[..., BEARD] * (1 - lip_mask(xy, len(part), 0.0009 * unit))
    bearded *= part == model.parts.index("skin")
    draw_stubble(person, stubble, bearded, unit, light_map, hairs)
    draw_brows(person, brows, xy, unit, light_map, hairs)
    lids = {
        f"{half}_{side}": to_screen(points[getattr(model.seams[f"lids_{side}"], half)], camera, scale)[:, :2]
        for side in ("left", "right") for half in ("lower", "upper")
    }  # fmt: skip
    draw_lashes(person, lashes, lids, unit, light_map, hairs)
    colour = hairs[..., :3] + (1 - hairs[..., 3:]) * colour
    return Body(colour, (part != NOTHING).astype(np.float32), seen.depth, cloth_share, eyes, surface)


def neckline(person: Person, points: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """Metres [N] by which points [N, 3] lie below the garment's upper edge."""
    x, y, z = points.T
    below = marks[CHIN, 1] - y
    if person.neckline == "high":
        return below - 0.016 - 0.40 * z
    edge = 0.048 + 0.55 * np.maximum(z, -0.07)
    if person.neckline == "vee":
        edge = edge + np.where(z > -0.02, np.maximum(0, 0.036 - 0.38 * np.abs(x)), 0)
    elif person.neckline == "scoop":
        edge = edge + 0.016 * np.exp(-((x / 0.08) ** 2))
    return below - edge


def _dressed(points: np.ndarray, faces: np.ndarray, inside: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Vertices with the garment's thickness and folds, and the cut under the shoulders drawn down out of sight."""
    normals = vertex_normals(points.astype(np.float64), faces)
    fold = sum(
        np.cos(points @ rng.normal(0, 55, 3) + rng.uniform(0, 6.28)) * 0.0007 for _ in range(4)
    )  # fmt: skip
    out = points + normals * (smooth_step(inside, -0.001, 0.006) * (THICKNESS + fold))[:, None]
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1)
    pairs, count = np.unique(edges, axis=0, return_counts=True)
    rim = np.unique(pairs[count == 1])
    rim = rim[points[rim, 1] < -0.12]
    arm = np.abs(points[rim, 0]) > 0.12
    out[rim] += np.where(arm[:, None], np.sign(points[rim]) * [0.04, 0, 0], 0) - [0, 0.15, 0]
    return out


def skin_albedo(
    person: Person, model: HeadModel, points: np.ndarray, marks: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Linear colour [V, 3] of bare skin, teeth and tongue at the model's vertices, and where a beard grows [V]."""

    def near(landmark: int, radius: float) -> np.ndarray:
        return np.exp(-(((points - marks[landmark]) / radius) ** 2).sum(1))

    red = sum(0.8 * near(k, 0.021) for k in CHEEKS) + near(NOSE_TIP, 0.012) + 0.5 * near(CHIN, 0.014)
    red = red + 0.9 * smooth_step(np.abs(points[:, 0]), 0.069, 0.08) * (points[:, 1] > -0.06)
    tired = sum(near(k, 0.010) for k in UNDER_EYES)
    lids = sum(model.regions[f"lid_upper_{s}"] for s in "lr")
    pale = to_linear(person.skin)
    strength = person.flush * (0.5 + 0.5 * pale.mean() ** 0.5)
    out = pale * (1 + strength * np.clip(red, 0, 1.2)[:, None] * np.array([0.06, -0.20, -0.17]))
    out = out * (1 - np.clip(tired, 0, 1)[:, None] * np.array([0.10, 0.15, 0.10]))
    out = out * (1 - lids[:, None] * np.array([0.11, 0.17, 0.16]))
    on_skin = model.vertex_part == model.parts.index("skin")
    aside, height = np.abs(points[:, 0]), points[:, 1]
    mouth, nose = marks[13, 1], marks[2, 1]
    jaw = smooth_step(height, nose - 0.002, nose - 0.011) * smooth_step(height, marks[CHIN, 1] - 0.03, marks[CHIN, 1])
    cheek = smooth_step(height - mouth - 0.8 * np.maximum(aside - 0.036, 0), 0.016, -0.012)
    moustache = smooth_step(aside, 0.033, 0.020)
    jaw = jaw * np.maximum(cheek, moustache) * smooth_step(points[:, 2], 0.0, 0.03)
    beard = jaw * on_skin * (1 - model.regions["lips_upper"] - model.regions["lips_lower"])
    az, el = angles(points)
    scalp = smooth_step(el - hairline(person.style, marks, az), -0.01, 0.10) * on_skin
    scalp = scalp * (np.abs(points[:, 0]) < 0.074) * (0.75 if person.style.cut == "shaved" else 0.92)
    out = out + scalp[:, None] * (to_linear(person.hair * 0.8) - out)
    shade = 0.24 * person.stubble * (1 - 0.5 * person.grey)
    out = out * (1 - shade * beard[:, None] * np.array([0.62, 0.52, 0.45]))
    for name, colour in (("teeth_upper", (0.93, 0.90, 0.84)), ("teeth_lower", (0.9, 0.86, 0.8)),
                         ("tongue", (0.70, 0.38, 0.36)), ("mouth_cavity", (0.45, 0.18, 0.17))):  # fmt: skip
        out[model.part(name)] = to_linear(np.array(colour))
    return out, beard


def _gloss(points: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """How much skin shines, [V]: nose and forehead more than cheeks."""
    nose = np.exp(-(((points - marks[NOSE_TIP]) / [0.011, 0.016, 0.02]) ** 2).sum(1))
    forehead = np.exp(-(((points - marks[151]) / [0.035, 0.022, 0.05]) ** 2).sum(1))
    return 0.55 + 0.5 * nose + 0.35 * forehead


def _skin_and_cloth(
    person: Person, table: np.ndarray, xy: np.ndarray, unit: float, lamps: tuple[Lamp, ...], camera: Camera,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Linear colour [H, W, 3] of everything but eyeballs, and the share of cloth [H, W]."""
    side = table.shape[0]
    light, base = table[..., LIGHT], table[..., ALBEDO]
    mottle = 0.013 * noise(rng, side, 0.0016 * unit) + 0.012 * noise(rng, side, 0.006 * unit)
    pores = noise(rng, side, 0.00042 * unit)
    albedo = base * (1 + 0.028 * pores + mottle)[..., None]
    albedo *= 1 + (0.016 * noise(rng, side, 0.003 * unit))[..., None] * np.array([0.3, -1, -0.8], np.float32)
    if person.freckles:
        spots = smooth_step(noise(rng, side, 0.00055 * unit), 1.5, 2.6) * _freckle_zone(xy, side, unit)
        albedo *= 1 - spots[..., None] * np.array([0.2, 0.36, 0.44], np.float32) * person.freckles
    lips = lip_mask(xy, side, 0.0009 * unit)
    crease = cv2.resize(noise(rng, side, 0.0009 * unit)[: side // 4], (side, side), interpolation=cv2.INTER_LINEAR)
    lip_colour = to_linear(person.lips) * (1 + 0.10 * crease[..., None])
    albedo += ((0.42 + 0.4 * person.femininity) * lips)[..., None] * (lip_colour - albedo)
    bump = np.stack([cv2.Sobel(pores, cv2.CV_32F, 1, 0), -cv2.Sobel(pores, cv2.CV_32F, 0, 1)], 2) * 0.022
    normal = table[..., NORMAL].copy()
    normal[..., :2] += bump
    normal /= np.maximum(np.linalg.norm(normal, axis=2, keepdims=True), 1e-6)
    gloss = table[..., GLOSS] * (1 + 0.1 * pores) * (1 - 0.2 * lips) + 0.55 * lips
    shine = _shine(normal, table, lamps, camera, gloss, np.where(lips > 0.5, 60.0, 26.0))
    skin = albedo * light * (0.82 + 0.18 * table[..., OPEN])[..., None] + shine
    inside = table[..., CLOTH]
    share = smooth_step(inside, -0.0006, 0.0006)
    skin *= (1 - 0.45 * np.exp(-np.maximum(-inside, 0) / 0.004) * (share < 0.5))[..., None]
    cloth = _cloth(person, table, inside, unit, rng)
    return (skin + share[..., None] * (cloth - skin)).astype(np.float32), share.astype(np.float32)


def _freckle_zone(xy: np.ndarray, side: int, unit: float) -> np.ndarray:
    y, x = np.mgrid[:side, :side].astype(np.float32)
    out = np.zeros((side, side), np.float32)
    for landmark, radius in ((50, 0.022), (280, 0.022), (5, 0.018)):
        out += np.exp(-((x - xy[landmark, 0]) ** 2 + (y - xy[landmark, 1]) ** 2) / (radius * unit) ** 2)
    return np.clip(out, 0, 1)


def _shine(
    normal: np.ndarray, table: np.ndarray, lamps: tuple[Lamp, ...], camera: Camera, gloss: np.ndarray,
    sharpness: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Light reflected at the skin's surface (Blinn-Phong, with Schlick's rise at grazing angles), [H, W, 3]."""
    view = camera.camera_to_world[:3, 3] - table[..., PLACE]
    view /= np.linalg.norm(view, axis=2, keepdims=True)
    facing = np.clip((normal * view).sum(2), 0, 1)
    out = np.zeros_like(normal)
    for lamp in lamps[:4]:
        half = view + lamp.towards.astype(np.float32)
        half /= np.linalg.norm(half, axis=2, keepdims=True)
        lobe = np.clip((normal * half).sum(2), 0, 1) ** sharpness * np.clip((normal @ lamp.towards) * 4, 0, 1)
        out += lobe[..., None] * lamp.colour / np.sqrt(lamp.sharpness) * 1.6
    fresnel = 0.035 + 0.16 * (1 - facing) ** 4
    return out * (gloss * fresnel * table[..., OPEN] ** 2)[..., None]


def _cloth(
    person: Person, table: np.ndarray, inside: np.ndarray, unit: float, rng: np.random.Generator
) -> np.ndarray:
    """Linear colour [H, W, 3] of a knitted garment with a ribbed band along its edge."""
    side = table.shape[0]
    x, _, z = np.moveaxis(table[..., PLACE], -1, 0)
    weave = 1 + 0.09 * noise(rng, side, 0.0005 * unit) + 0.02 * noise(rng, side, 0.004 * unit)
    band = 0.042 if person.neckline == "high" else 0.015
    ribs = 0.5 + 0.5 * np.cos(np.arctan2(x, z + 0.03) * 64)
    in_band = smooth_step(inside, band + 0.001, band - 0.001)
    seam = np.exp(-(((inside - band) / 0.0012) ** 2))
    edge = np.exp(-((inside / 0.0016) ** 2))
    tone = weave * (1 - in_band * 0.16 * ribs) * (1 - 0.35 * seam) * (1 + 0.12 * edge)
    return to_linear(person.cloth) * tone[..., None] * table[..., LIGHT] * (0.4 + 0.6 * table[..., OPEN])[..., None]


def _paint_eyes(
    person: Person, model: HeadModel, points: np.ndarray, camera: Camera, lamps: tuple[Lamp, ...], part: np.ndarray,
    table: np.ndarray, unit: float, colour: np.ndarray, irises: list[np.random.Generator],
) -> np.ndarray:  # fmt: skip
    """Both eyeballs into `colour`, in place; returns their mask [H, W] 0..1."""
    numbers = [model.parts.index(name) for name in ("eye_left", "eye_right")]
    eyes = np.isin(part, numbers).astype(np.float32)
    # the upper lid and its lashes shade the eye beneath
    reach = 0.0011 * unit
    above = cv2.GaussianBlur(1 - eyes, (0, 0), reach)
    shift = np.float32([[1, 0, 0], [0, 1, 1.5 * reach]])
    shade = 1 - 0.72 * cv2.warpAffine(above, shift, above.shape[::-1], borderValue=1.0)
    for number, rng, (centre, gaze, _) in zip(numbers, irises, eye_axes(model, points).values(), strict=True):
        at = part == number
        offset = table[at][:, PLACE] - centre
        light = table[at][:, LIGHT] * shade[at][:, None]
        view = camera.camera_to_world[:3, 3] - centre
        glint = eye_glints(offset, gaze, view / np.linalg.norm(view), lamps)
        colour[at] = eye_colour(person, rng, offset, gaze, light) + glint * (0.3 + 0.7 * shade[at][:, None])
    return eyes
