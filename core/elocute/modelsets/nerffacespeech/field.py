"""One person's generator made ready for frames, and the same person with other styles inside the NeRF."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from ...generators.stylenerf.folded import fold_foreground
from ...generators.stylenerf.generator import FoldedGenerator, StyleNerf
from ...generators.stylenerf.volume import Positions, Volume, render_volume


class PersonField(FoldedGenerator):
    """A person whose background is seen from one fixed camera, as in every frame of NeRFFaceSpeech."""

    def __init__(self, generator: StyleNerf, ws: Tensor, code: Tensor) -> None:
        """ws [1, L, W], code [1, Z]."""
        super().__init__(generator, ws, code)
        self.ws, self._nerf = ws, generator.synthesis.fg_nerf

    def with_styles(self, camera: Tensor, ws: Tensor, positions: Positions | None = None) -> Volume:
        """The NeRF's feature map from camera [1, 4, 4] for other styles [1, L, W]."""
        other = replace(fold_foreground(self.config, self._nerf, ws[0]), points=self.foreground.points)
        return render_volume(self.config, camera, other, self.background(camera, True), positions, None)

    def level(self, side: int) -> int | None:
        """The size to ask a picture of about `side` pixels for; None when that is the whole picture."""
        return next((level for level in self.config.levels if level >= side), None)
