"""Inversion: one portrait to a tuned radiance field, by pivot and tuning (PTI)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np

from ..generators.appearance import Appearance, mean_appearance
from ..generators.canonical import sample
from ..generators.colouring import latent_shells, photo_shells
from ..generators.geometry import build_geometry
from ..generators.headfield import HeadField
from ..generators.planes import split_layers
from ..generators.scene import Scene
from ..head.avatar import AvatarHead
from ..head.model import load_head_model
from ..rendering.renderer import Renderer
from ..rendering.shells import Shells
from .ears import fit_ears
from .outline import shrink_to_outline
from .pivot import fit_appearance
from .teeth import seat_teeth
from .tuning import STEPS, psnr, tune

Step = Callable[[int, int, str], None]
PIVOT_SAMPLES = 20000


@dataclass(frozen=True)
class Inverted:
    """The field, and how well it reconstructs the portrait's person in dB before pivot, after pivot, after tuning."""

    field: HeadField
    psnr: dict[str, float]
    seconds: dict[str, float]


def invert(scene: Scene, device: str, memory_mb: int, report: Step) -> Inverted:
    """Fit the latents (pivot), then the field's own parameters (tuning) to the framed portrait."""
    clock = time.perf_counter()
    seconds: dict[str, float] = {}

    def lap(name: str) -> None:
        nonlocal clock
        seconds[name], clock = time.perf_counter() - clock, time.perf_counter()

    model = load_head_model()
    scene = replace(scene, fit=seat_teeth(scene, model))
    scene = replace(scene, fit=fit_ears(scene, model))
    scene = replace(scene, fit=shrink_to_outline(scene, model))
    geometry = build_geometry(scene, AvatarHead(model, scene.fit), model)
    layers = split_layers(scene.photo, scene.matte, scene.background, scene.regions["skin"], scene.landmarks)
    lap("geometry")

    renderer: Renderer | None = None

    def render(shells: Shells) -> np.ndarray:
        nonlocal renderer
        if renderer and _differ_in_planes(renderer.shells, shells):  # as tuning's steps do
            renderer.repaint(shells.planes)
        else:
            renderer = Renderer(shells, scene.side, device, memory_mb, renderer)
        return renderer.render(geometry.motion.rest)[0]

    def quality(shells: Shells) -> float:
        rgba = render(shells)
        return psnr(scene.photo, rgba[..., :3] + (1 - rgba[..., 3:]) * scene.background, scene.matte)

    result = {"before_pivot": quality(latent_shells(scene, geometry, mean_appearance(), layers))}
    appearance = _pivot(scene, geometry.uv, geometry.members, geometry.normal, geometry.shown)
    result["after_pivot"] = quality(latent_shells(scene, geometry, appearance, layers))
    lap("pivot")
    shells = photo_shells(scene, geometry, appearance, layers, model)
    for step, tuned in tune(shells, scene.photo, scene.background, render, layers.lip_rim):
        report(step, STEPS, "tuning the field to the portrait")
        shells = tuned
    result["after_tuning"] = quality(shells)
    lap("tuning")
    background = np.clip(np.round(scene.background * 255), 0, 255).astype(np.uint8)
    return Inverted(HeadField(shells, geometry.motion, background, scene.fit, scene.around), result, seconds)


def _pivot(scene: Scene, uv: np.ndarray, members: np.ndarray, normal: np.ndarray, shown: np.ndarray) -> Appearance:
    """Appearance latents from the vertices that the photo shows; arguments as in Geometry."""
    inside = (uv > 0).all(1) & (uv < scene.side).all(1)
    use = np.flatnonzero((shown > 0.5) & inside & (sample(scene.matte, uv) > 0.9))
    use = use[:: max(1, len(use) // PIVOT_SAMPLES)]
    return fit_appearance(sample(scene.photo, uv[use]), members[use], normal[use])


def _differ_in_planes(a: Shells, b: Shells) -> bool:
    """Whether two fields are the same but for their planes, or but for nothing."""
    return all(getattr(a, one.name) is getattr(b, one.name) for one in fields(Shells) if one.name != "planes")
