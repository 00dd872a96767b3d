"""The generator that callers use: latents to styles, styles and a camera to a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import BadInput
from .config import Config, parse_config
from . import mixing
from .folded import *
from .folded import fold_foreground,fold_background,fold_blocks,upsample
from .mixing import FeatureMix
from .network import build
from .plain import render_plainly
from .volume import Deform, Positions, Volume, render_volume, render_background

PRECISIONS = ("full", "mixed")


@dataclass(frozen=True)
class Rendering:
    """image [B, 3, H, W], about -1..1 (not clamped); `volume` is the NeRF's part, before any feature mixing."""

    image: Tensor
    volume: Volume


class StyleNerf(nn.Module):
    """A StyleNeRF generator with the official file's arrays under their official names."""

    def __init__(self, config: Config, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.config = config
        self.mapping, self.synthesis = build(config, state)
        self.eval()

    @classmethod
    def load(cls, kwargs: Mapping[str, Any], state: Mapping[str, Tensor]) -> StyleNerf:
        """From the constructor arguments and the arrays of an official file. Raises BadInput generator_*."""
        return cls(parse_config(kwargs, state), state)

    def render(
        self,
        ws: Tensor,
        camera: Tensor,
        background: Tensor | None = None,
        *,
        freeze_background: bool = False,
        positions: Positions | None = None,
        deform: Deform | None = None,
        mix: FeatureMix | None = None,
        half: bool = False,
    ) -> Rendering:
        out = []
        code = self.background_code(ws) if background is None else background
        f=lambda l,i,w: (l[i] if len(l)>1 else l[0])
        person = Person(self, ws, code)
        return person.render(camera, freeze_background=freeze_background, positions=positions, deform=deform, mix=mix)
    def render_plainly(self, ws, camera, background=None, **kw):
        code = self.background_code(ws) if background is None else background
        image, volume = render_plainly(
            self.config, self.synthesis, ws, camera.to(ws), code.to(ws), **kw
        )
        return Rendering(image, volume)

    def background_code(self, like: Tensor) -> Tensor:
        """The mean background [B, Z_bg] for a batch like `like` [B, ...]."""
        return like.new_zeros(len(like), self.config.background_code)

class Person:
    def __init__(self, g, ws, code):
        self.config=g.config; c=g.config
        self.fg=fold_foreground(c,g.synthesis.fg_nerf,ws[0])
        self.bg=fold_background(g.synthesis.bg_nerf) if c.background else None
        self.code=code
        self.blocks=fold_blocks(c,g.synthesis,ws[0])
    def render(self,camera,freeze_background=False,positions=None,deform=None,mix=None,strip_mb=None,save=False):
        bg=render_background(self.config,camera,self.bg,self.code,freeze_background)
        v=render_volume(self.config,camera,self.fg,bg,positions,deform)
        x=v.features if mix is None else mixing.mix(v.features,mix)
        return Rendering(upsample(self.blocks,x,v.rgb,strip_mb,save),v)
