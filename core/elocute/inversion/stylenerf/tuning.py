"""Pivotal tuning: the generator itself moves until the pivot's picture is the photo (PTI, section 3.2).

Two ways. `REFERENCE_TUNING` is what NeRFFaceSpeech runs: 2000 steps, no regulariser. The default adds the locality
regulariser that the paper has (equation 4), so that other latents and other views keep what the generator knew, and
stops when the loss no longer falls.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...generators.stylenerf.camera import random_camera
from ...generators.stylenerf.config import Config
from ...generators.stylenerf.generator import StyleNerf
from .checkpoints import read_checkpoint, work_key, write_checkpoint
from .perceptual import Perceptual, distance, recomputed
from .projection import Pivot, latent_statistics


@dataclass(frozen=True)
class TuningSettings:
    """Steps, weights, and when to stop."""

    steps: int = 2000  # the published number, as an upper bound
    rate: float = 3e-4  # published
    square_weight: float = 1.0  # published
    perceptual_weight: float = 1.0  # published
    stop_at: float | None = 0.06  # published: stop when LPIPS-Alex is this small; other distances have other scales
    plateau: int | None = 60  # steps: stop when the mean loss of so many is hardly below that of as many before
    plateau_gain: float = 0.02  # what counts as hardly: two percent in 60 steps can't be seen
    locality_weight: float = 0.1  # the paper's lambda
    locality_every: int = 4  # steps: as good as every step at a quarter of the cost, its weight is four times as large
    locality_reach: float = 1.0  # of w's spread, from the pivot towards a random latent
    locality_size: int = 256  # pixels: drift of shape and colour shows there
    seed: int = 0
    memory_mb: int | None = None  # above it, gradients compute blocks again instead of keeping them
    save_every: int = 100  # steps between checkpoints


REFERENCE_TUNING = TuningSettings(plateau=None, locality_weight=0.0)


@dataclass(frozen=True)
class TuningStep:
    """A step's losses before it was made. The last may not have been made: its losses are what stopped the tuning."""

    number: int
    total: float
    square: float
    perceptual: float


def tune(
    generator: StyleNerf,
    pivot: Pivot,
    target: Tensor,
    camera: Tensor,
    perceptual: Perceptual,
    settings: TuningSettings | None = None,
    checkpoint: Path | None = None,
) -> Iterator[TuningStep]:
    """Changes `generator` in place and yields each step; an interrupted run goes on from `checkpoint`.

    target [1, 3, H, W] in -1..1; camera [1, 4, 4]. Raises EnvironmentProblem for a checkpoint that can't be written.
    """
    settings = settings or TuningSettings()
    likeness = _Likeness(generator, pivot, target, camera, perceptual, settings)
    optimiser = torch.optim.Adam(generator.parameters(), lr=settings.rate)
    losses: list[float] = []
    key = _key(generator, pivot, target, camera, perceptual, settings) if checkpoint else ""
    if checkpoint is not None:
        losses = read_checkpoint(checkpoint, key, dict(generator.named_parameters()), optimiser)
    for number in range(len(losses), settings.steps):
        step, goes_on = likeness.backward(number, losses)
        losses.append(step.total)
        if not goes_on:
            yield step
            return
        optimiser.step()
        yield step
        if checkpoint is not None and (number + 1) % settings.save_every == 0:  # not if its reader refuses it
            write_checkpoint(checkpoint, key, dict(generator.named_parameters()), optimiser, losses)


def least_step_mb(config: Config) -> float:
    """About what a step's arrays take in all when it computes its blocks again, strip by strip: measured at 1024
    pixels, 970 MB where it would take 2220, and 640 instead of 1300."""
    return 300 + 0.55 * step_memory_mb(config)


class _Likeness:
    """How far the pivot's picture is from the photo, and what moves it there."""

    def __init__(
        self, generator: StyleNerf, pivot: Pivot, target: Tensor, camera: Tensor, perceptual: Perceptual,
        settings: TuningSettings,
    ) -> None:  # fmt: skip
        self.generator, self.target, self.camera = generator, target, camera
        self.perceptual, self.settings = perceptual, settings
        self.ws, self.code = pivot.ws(generator).detach(), pivot.background.detach()
        self.locality = _Locality(generator, pivot, perceptual, settings) if settings.locality_weight else None
        config, limit = generator.config, settings.memory_mb
        self.recompute = limit is not None and limit < max(step_memory_mb(config), least_step_mb(config))
        with torch.no_grad():
            self.wanted = perceptual.features(target)

    def backward(self, number: int, before: list[float]) -> tuple[TuningStep, bool]:
        """A step's losses, and whether its gradients were left in the generator: not when they, after those `before`,
        end the tuning. A GPU that runs out of memory is asked again for blocks computed twice."""
        while True:
            self.generator.zero_grad(set_to_none=True)
            try:
                return self._backward(number, before)
            except torch.cuda.OutOfMemoryError:
                if self.recompute:
                    raise
            self.recompute = True
            torch.cuda.empty_cache()  # now that the exception, which held the step's arrays, is gone

    def _backward(self, number: int, before: list[float]) -> tuple[TuningStep, bool]:
        settings, features = self.settings, self.perceptual.features
        picture = self.generator.render(
            self.ws, self.camera, self.code, freeze_background=True, recompute=self.recompute
        ).image
        found = recomputed(features, picture) if self.recompute else features(picture)
        square, apart = ((picture - self.target) ** 2).mean(), distance(found, self.wanted)
        total = settings.square_weight * square + settings.perceptual_weight * apart
        step = TuningStep(number, float(total.detach()), float(square.detach()), float(apart.detach()))
        if _close_enough(settings, self.perceptual, step) or _stalled(settings, [*before, step.total]):
            return step, False
        total.backward()
        if self.locality is not None and number % settings.locality_every == 0:
            self.locality.backward(self.generator, number)
        return step, True


def step_memory_mb(config: Config) -> float:
    """About what a step keeps for its gradients: two and a half fine feature maps of each 2-D block, in float32."""
    return sum(10 * c * side**2 for c, side in zip(config.channels, config.levels, strict=True)) / 2**20


class _Locality:
    """What the generator made of latents around the pivot, seen from all around, stays (PTI, equation 4)."""

    def __init__(self, generator: StyleNerf, pivot: Pivot, perceptual: Perceptual, settings: TuningSettings) -> None:
        self.before = copy.deepcopy(generator).requires_grad_(False)
        self.pivot, self.perceptual, self.settings = pivot, perceptual, settings
        self.spread = latent_statistics(generator)[1]
        levels = generator.config.levels
        self.size = settings.locality_size if settings.locality_size in levels else levels[-1]

    def backward(self, generator: StyleNerf, number: int) -> None:
        """Add the regulariser's gradient. Its own graph: never in memory together with the photo's."""
        seed = self.settings.seed * 1_000_003 + number  # a resumed run draws what an uninterrupted one does
        random = torch.Generator().manual_seed(seed)
        z = torch.randn(1, generator.config.z_dim, generator=random)
        camera = random_camera(generator.config.camera, 1, np.random.RandomState(seed % 2**32), random)
        with torch.no_grad():
            towards = self.before.mapping(z)[:, :1] - self.pivot.w
            w = self.pivot.w + F.normalize(towards, dim=-1) * (self.settings.locality_reach * self.spread)
            ws = w.expand(-1, generator.config.num_ws, -1)
            kept = self.before.render(ws, camera, self.pivot.background, freeze_background=True, size=self.size).image
            wanted = self.perceptual.features(kept)
        now = generator.render(ws, camera, self.pivot.background, freeze_background=True, size=self.size).image
        loss = ((now - kept) ** 2).mean() + distance(self.perceptual.features(now), wanted)
        (loss * (self.settings.locality_weight * self.settings.locality_every)).backward()


def _close_enough(settings: TuningSettings, perceptual: Perceptual, step: TuningStep) -> bool:
    return settings.stop_at is not None and perceptual.name == "LPIPS-Alex" and step.perceptual <= settings.stop_at


def _stalled(settings: TuningSettings, losses: list[float]) -> bool:
    count = settings.plateau
    if count is None or len(losses) < 2 * count:
        return False
    before, now = np.mean(losses[-2 * count : -count]), np.mean(losses[-count:])
    return bool(now > before * (1 - settings.plateau_gain))


def _key(
    generator: StyleNerf, pivot: Pivot, target: Tensor, camera: Tensor, perceptual: Perceptual, settings: TuningSettings
) -> str:
    """What ended for lack of memory goes on with a limit, so that has no part in it."""
    plan = {**asdict(replace(settings, memory_mb=None)), "perceptual": perceptual.name}
    return work_key(plan, (pivot.w, pivot.background, target, camera, *generator.state_dict().values()))
