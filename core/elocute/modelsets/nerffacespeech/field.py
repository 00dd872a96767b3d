"""One person's generator, asked for its parts: the volume of a camera, and the picture that is made of a volume."""

from __future__ import annotations

import torch
from torch import Tensor

from ...generators.stylenerf.folded import fold_background, fold_blocks, fold_foreground, upsample
from ...generators.stylenerf.generator import StyleNerf
from ...generators.stylenerf.mixing import FeatureMix, mix
from ...generators.stylenerf.volume import Deform, Positions, Volume, render_background, render_volume

STRIP_MB = 4.0  # of a block's arrays that are worked on at once: what the cores' caches hold


class PersonField:
    """Styles are folded into weights once, and the frozen background is evaluated once. Styles of other expressions
    may take the person's place in a volume."""

    def __init__(self, generator: StyleNerf, ws: Tensor, code: Tensor) -> None:
        """ws [1, L, W], code [1, Z]."""
        self.config, self.synthesis, self.ws, self.code = generator.config, generator.synthesis, ws, code
        self._front = fold_foreground(self.config, self.synthesis.fg_nerf, ws[0])
        self._blocks = fold_blocks(self.config, self.synthesis, ws[0])
        self._background: Tensor | None = None

    def volume(
        self, camera: Tensor, ws: Tensor | None = None, positions: Positions | None = None, deform: Deform | None = None
    ) -> Volume:
        """camera [1, 4, 4]; `ws` [1, L, W] instead of the person's."""
        if self._background is None and self.synthesis.bg_nerf is not None:
            behind = fold_background(self.synthesis.bg_nerf)
            self._background = render_background(self.config, camera, behind, self.code, frozen=True)
        front = self._front if ws is None else fold_foreground(self.config, self.synthesis.fg_nerf, ws[0])
        return render_volume(self.config, camera, front, self._background, positions, deform)

    def picture(self, volume: Volume, inside: FeatureMix | None = None, side: int | None = None) -> Tensor:
        """[1, 3, H, W], about -1..1, of a volume, with other features inside a mask; only to `side`, when given."""
        features = volume.features if inside is None else mix(volume.features, inside)
        wanted = [level for level in self.config.levels if side is None or level <= max(side, self.config.levels[0])]
        learning = torch.is_grad_enabled()
        strip = STRIP_MB if features.device.type == "cpu" and not learning else None
        return upsample(self._blocks[: len(wanted)], features, volume.rgb, strip, save=learning)


def render_person(generator: StyleNerf, ws: Tensor, code: Tensor, camera: Tensor) -> Tensor:
    """The whole picture [1, 3, H, W] for any style and camera; gradients pass."""
    person = PersonField(generator, ws, code)
    return person.picture(person.volume(camera))
