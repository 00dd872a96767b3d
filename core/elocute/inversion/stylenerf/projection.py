"""The pivot: the latent and the background code whose picture is most like the photo (PTI, section 3.1).

The schedules are StyleGAN2's projector (Karras et al. 2020, appendix D), as NeRFFaceSpeech runs them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...generators.stylenerf.generator import StyleNerf
from .checkpoints import read_checkpoint, work_key, write_checkpoint


@dataclass(frozen=True)
class ProjectionSettings:
    """Defaults are the published program's, apart from `size`, which changes the cost and hardly the latent."""

    steps: int = 1000
    rate: float = 0.01
    warm_up: float = 0.05  # of the steps, linear
    cool_down: float = 0.25  # of the steps, half a cosine
    noise: float = 0.05  # of w's spread, added to w
    noise_end: float = 0.75  # of the steps: then it is gone
    samples: int = 600  # latents behind the mean and spread of w
    samples_seed: int = 123
    size: int | None = 256  # the 2-D part stops here: the comparison is made at 256 anyway. None: the whole picture
    compared: int = 256  # pictures are averaged down to this before they are compared
    save_every: int = 100  # steps between checkpoints


REFERENCE_PROJECTION = ProjectionSettings(size=None)


@dataclass(frozen=True)
class Pivot:
    """w [1, 1, W], the background code [1, Z_bg] and the distances of every step so far."""

    w: Tensor
    background: Tensor
    distances: tuple[float, ...]

    def ws(self, generator: StyleNerf) -> Tensor:
        """[1, num_ws, W]."""
        return self.w.expand(-1, generator.config.num_ws, -1)


def rate_at(settings: ProjectionSettings, step: int) -> float:
    """The learning rate of a step."""
    t = step / settings.steps
    ramp = min(1.0, (1 - t) / settings.cool_down)
    return settings.rate * (0.5 - 0.5 * math.cos(ramp * math.pi)) * min(1.0, t / settings.warm_up)


def noise_at(settings: ProjectionSettings, step: int) -> float:
    """The noise on w at a step, in units of w's spread."""
    return settings.noise * max(0.0, 1 - step / settings.steps / settings.noise_end) ** 2


def latent_statistics(generator: StyleNerf, samples: int = 600, seed: int = 123) -> tuple[Tensor, float]:
    """The mean of w [1, 1, W] and its spread (root of the summed variance over all channels)."""
    z = np.random.RandomState(seed).randn(samples, generator.config.z_dim)
    with torch.no_grad():
        w = generator.mapping(torch.from_numpy(z).float())[:, :1]
    mean = w.mean(0, keepdim=True)
    return mean, float((((w - mean) ** 2).sum() / samples).sqrt())


def draw_background(generator: StyleNerf, random: torch.Generator) -> Tensor:
    """A background code [1, Z_bg] as the published program draws it: the second of two draws."""
    shape = (1, generator.config.background_code)
    torch.randn(shape, generator=random)
    return torch.randn(shape, generator=random)


def project(
    generator: StyleNerf,
    target: Tensor,
    camera: Tensor,
    features: Callable[[Tensor], list[Tensor]],
    settings: ProjectionSettings | None = None,
    random: torch.Generator | None = None,
    checkpoint: Path | None = None,
    compared_by: str = "",
) -> Iterator[Pivot]:
    """Yields the pivot after each step; the last is the result. An interrupted search goes on from `checkpoint`, which
    also keeps the result: a GPU doesn't find the same pivot twice, and tuning goes on from one only.

    target [1, 3, H, W] in 0..255; camera [1, 4, 4]; features: of pictures in 0..255 of side `compared`; squared
    differences summed are the distance, `compared_by` is its name in the checkpoint. random: a CPU generator (seed 0 if
    None), drawn from in the published order. Raises EnvironmentProblem for a checkpoint that can't be written.
    """
    settings = settings or ProjectionSettings()
    random = random or torch.Generator().manual_seed(0)
    begun = random.get_state()
    mean, spread = latent_statistics(generator, settings.samples, settings.samples_seed)
    background = draw_background(generator, random)
    draw_background(generator, random)  # the appearance code, which nothing uses
    device = mean.device
    w, background = mean.clone().requires_grad_(), background.to(device).requires_grad_()
    optimiser = torch.optim.Adam([w, background], lr=settings.rate, betas=(0.9, 0.999))
    with torch.no_grad():
        wanted = features(_small(target.to(device), settings.compared))
    unknown, distances, key = {"w": w, "background": background}, [], ""
    if checkpoint is not None:
        arrays = (target, camera, begun, *generator.state_dict().values())
        key = work_key({**asdict(settings), "perceptual": compared_by}, arrays)
        distances = read_checkpoint(checkpoint, key, unknown, optimiser, random)
    if distances:
        yield Pivot(w.detach().clone(), background.detach().clone(), tuple(distances))
    frozen = [p for p in generator.parameters() if p.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        for step in range(len(distances), settings.steps):
            for group in optimiser.param_groups:
                group["lr"] = rate_at(settings, step)
            noise = torch.randn(w.shape, generator=random) * (spread * noise_at(settings, step))
            torch.rand(2, generator=random)  # a camera that the published program draws and doesn't use
            ws = (w + noise.to(w)).expand(-1, generator.config.num_ws, -1)
            picture = generator.render(ws, camera, background, freeze_background=True, size=_size(generator, settings))
            found = features(_small((picture.image + 1) * 127.5, settings.compared))
            loss = torch.stack([((a - b) ** 2).sum() for a, b in zip(found, wanted, strict=True)]).sum()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            distances.append(float(loss.detach()))
            yield Pivot(w.detach().clone(), background.detach().clone(), tuple(distances))
            # Afterwards: what its reader refuses, a search that diverged, isn't kept.
            if checkpoint is not None and ((step + 1) % settings.save_every == 0 or step + 1 == settings.steps):
                write_checkpoint(checkpoint, key, unknown, optimiser, distances, random)
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)


def _size(generator: StyleNerf, settings: ProjectionSettings) -> int | None:
    return settings.size if settings.size in generator.config.levels else None


def _small(picture: Tensor, side: int) -> Tensor:
    if picture.shape[2] <= side:
        return picture
    return F.interpolate(picture, size=(side, side), mode="area")
