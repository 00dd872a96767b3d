"""The generator that callers use: latents to styles, styles and a camera to a picture.

Shapes everywhere: B pictures, ws [B, num_ws, W], camera-to-world matrices [B, 4, 4] (see `camera`), background codes
[B, Z_bg], R = S * S rays of a feature map of side S (32), pictures [B, 3, H, W] in about -1..1.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import BadInput
from ...rendering.device import Pieces
from .checks import check_batch, check_count, check_mix, check_shape, check_type
from .config import Config, parse_config
from .folded import FoldedBlock, fold_background, fold_blocks, fold_foreground, upsample
from .mixing import FeatureMix, mix
from .network import build
from .plain import HALF_FROM, render_plainly
from .volume import Deform, Positions, Volume, render_background, render_volume

# Kilobytes of a 2-D block's strip. On a CPU, larger leaves the cache and smaller repeats more rows; a GPU without a
# limit takes whole blocks, of which the largest published one needs as much as this.
STRIP_KB, WHOLE_KB = 16 << 10, 1 << 20
PRECISIONS = ("full", "mixed")


@dataclass(frozen=True)
class Rendering:
    """image [B, 3, H, W], about -1..1 (not clamped); `volume` is the NeRF's part, before any feature mixing."""

    image: Tensor
    volume: Volume


class FoldedGenerator:
    """A generator made ready for one person: what no frame changes is computed once.

    Changing the generator's arrays afterwards doesn't change it. Built with gradients on, it passes them through.
    """

    def __init__(self, generator: StyleNerf, ws: Tensor, background: Tensor | None = None) -> None:
        """ws [1, num_ws, W], background code [1, Z_bg] (None: the mean)."""
        config = generator.config
        check_shape("ws", ws, (1, config.num_ws, config.w_dim))
        check_type("ws", ws, generator.mapping.w_avg)
        self.config = config
        self.code = generator.background_code(ws) if background is None else background.to(ws)
        check_shape("background", self.code, (1, config.background_code))
        synthesis = generator.synthesis
        self.foreground = fold_foreground(config, synthesis.fg_nerf, ws[0])
        self.behind = fold_background(synthesis.bg_nerf) if synthesis.bg_nerf is not None else None
        self.blocks = fold_blocks(config, synthesis, ws[0])
        self._half: tuple[FoldedBlock, ...] | None = None
        self._strips = Pieces(WHOLE_KB)
        self._backgrounds: dict[bool, tuple[Tensor, Tensor]] = {}
        self.upsample: Callable[..., Tensor] = upsample

    def render(
        self,
        camera: Tensor,
        *,
        freeze_background: bool = False,
        positions: Positions | None = None,
        deform: Deform | None = None,
        mix: FeatureMix | None = None,
        precision: str = "full",
        size: int | None = None,
        memory_mb: float | None = None,
        recompute: bool = False,
    ) -> Rendering:
        """The picture from camera [1, 4, 4]. Options as in `StyleNerf.render`."""
        volume = self.volume(camera, freeze_background=freeze_background, positions=positions, deform=deform)
        return Rendering(self.picture(volume, mix, precision, size, memory_mb, recompute), volume)

    def volume(
        self,
        camera: Tensor,
        *,
        freeze_background: bool = False,
        positions: Positions | None = None,
        deform: Deform | None = None,
    ) -> Volume:
        """The NeRF's feature map alone, a few percent of a picture's cost: what the mouth's mix needs."""
        camera = camera.to(self.code)
        check_shape("camera", camera, (1, 4, 4))
        return render_volume(
            self.config, camera, self.foreground, self.background(camera, freeze_background), positions, deform
        )

    def background(self, camera: Tensor, frozen: bool) -> Tensor | None:
        """[1, R, 3 + F]; kept for the next frame with the same camera, or any if frozen."""
        if self.behind is None:
            return None
        kept = self._backgrounds.get(frozen)
        if kept is not None and (frozen or torch.equal(kept[0], camera)):
            return kept[1]
        out = render_background(self.config, camera, self.behind, self.code, frozen)
        if not out.requires_grad:
            self._backgrounds[frozen] = (camera.clone(), out)
        return out

    def picture(
        self,
        volume: Volume,
        other: FeatureMix | None = None,
        precision: str = "full",
        size: int | None = None,
        memory_mb: float | None = None,
        recompute: bool = False,
    ) -> Tensor:
        """[1, 3, size, size] from a feature map, in strips that fit into memory; with gradients see `recompute`."""
        if other is not None:
            check_mix(other, volume.features.shape[1:])
        features = volume.features if other is None else mix(volume.features, other)
        blocks = self._blocks(precision, size)
        if torch.is_grad_enabled() and (features.requires_grad or blocks[0].bias.requires_grad):
            return self.upsample(blocks, features, volume.rgb, None, recompute)
        most = STRIP_KB if features.device.type == "cpu" else WHOLE_KB
        if memory_mb is not None:
            most = min(most, int(memory_mb * 1024) // (8 if features.device.type == "cpu" else 2))
        return self._strips.run(lambda strip: self.upsample(blocks, features, volume.rgb, strip, recompute), most)

    def _blocks(self, precision: str, size: int | None) -> tuple[FoldedBlock, ...]:
        _check_choice(self.config, precision, size)
        count = len(self.blocks) if size is None else self.config.levels.index(size) + 1
        if precision == "full":
            return self.blocks[:count]
        if self._half is None:
            self._half = tuple(
                block.to(torch.float16) if side >= HALF_FROM else block
                for side, block in zip(self.config.levels, self.blocks, strict=True)
            )
        return self._half[:count]

    def compile(self, wanted: bool = True, tell: Callable[[str], None] = warnings.warn) -> None:
        """Let torch.compile write the 2-D part's kernels, or no longer. Where it can't, `tell` hears why, and nothing
        changes."""
        self.upsample = with_fallback(_upsample_compiled, upsample, tell) if wanted else upsample


def _upsample_compiled(*arguments: Any) -> Tensor:
    return _compiled()(*arguments)


@lru_cache(1)
def _compiled() -> Callable[..., Tensor]:
    return torch.compile(upsample)


def with_fallback(
    attempt: Callable[..., Tensor], sure: Callable[..., Tensor], tell: Callable[[str], None] = warnings.warn
) -> Callable[..., Tensor]:
    """`attempt` until it fails for another reason than memory; from then on `sure`, which `tell` hears once."""
    works = True

    def call(*arguments: Any) -> Tensor:
        nonlocal works
        if works:
            try:
                return attempt(*arguments)
            except torch.cuda.OutOfMemoryError:
                raise
            except (RuntimeError, ImportError, OSError) as error:  # no compiler, no Triton, an operation it can't take
                works = False
                reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
                tell(f"torch.compile doesn't work here ({reason}); going on without")
        return sure(*arguments)

    return call


def _check_choice(config: Config, precision: str, size: int | None) -> None:
    if precision not in PRECISIONS:
        raise BadInput("precision_unknown", f"precision {precision!r} is none of {', '.join(PRECISIONS)}.")
    if size is not None and size not in config.levels:
        raise BadInput("size_unknown", f"the generator makes {config.levels} pixels, not {size}.")


class StyleNerf(nn.Module):
    """A StyleNeRF generator with the official file's arrays under their official names.

    `mapping(z, truncation=1, cutoff=None)`: z [B, Z] -> ws [B, num_ws, W].
    """

    def __init__(self, config: Config, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.config = config
        self.mapping, self.synthesis = build(config, state)
        self.eval()

    @classmethod
    def load(cls, kwargs: Mapping[str, Any], state: Mapping[str, Tensor]) -> StyleNerf:
        """From the constructor arguments and the arrays of an official file. Raises BadInput generator_*."""
        try:
            return cls(parse_config(kwargs, state), state)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            text = f"the generator's configuration can't be used ({str(error)[:80]}). Take the official file's own."
            raise BadInput("generator_option_wrong", text) from error

    def render(
        self,
        ws: Tensor,
        camera: Tensor,
        background: Tensor | None = None,
        *,
        freeze_background: bool = False,
        positions: Positions | None = None,
        deform: Deform | Sequence[Deform] | None = None,
        mix: FeatureMix | None = None,
        precision: str = "full",
        size: int | None = None,
        memory_mb: float | None = None,
        recompute: bool = False,
        plain: bool = False,
    ) -> Rendering:
        """Pictures of ws [B, num_ws, W] from camera [B, 4, 4]; either may be one for all. Differentiable.

        background: codes [B, Z_bg], None for the mean. freeze_background: the background is seen from one fixed
        camera. positions: sample places [B, R, N] from another rendering. deform: bends points [1, P, 3] before they
        are looked up, one for all or one for each picture. mix: other features inside a mask, before the 2-D part.
        precision "mixed": float16 in blocks of side 128 and above, as the official program does. size: stop at a
        smaller picture (64, 128, ...). memory_mb: bounds the 2-D part's working arrays, when no gradients are wanted.
        recompute: gradients cost more time and less memory. plain: the slow, clear version.

        For many frames of one person, `FoldedGenerator` does once what this does for each.
        """
        for name, given in (("ws", ws), ("camera", camera), ("background", background)):
            if given is not None:
                check_batch(name, given)
        batch = max(len(ws), len(camera))
        code = self.background_code(ws) if background is None else background.to(ws)
        self._check(batch, ws, camera, code, positions, deform, mix)
        out = []
        for b in range(batch):
            one = [_pick(t, b) for t in (ws, camera.to(ws), code)]
            placed = positions and Positions(*(t if t is None else _pick(t, b) for t in _values(positions)))
            other = mix and replace(
                mix, features=_pick(mix.features, b), mask=None if mix.mask is None else _pick(mix.mask, b)
            )
            bend = deform[b] if isinstance(deform, Sequence) else deform
            if plain:
                _check_choice(self.config, precision, size)
                half = precision == "mixed"
                picture, volume = render_plainly(
                    self.config, self.synthesis, *one, freeze_background=freeze_background, positions=placed,
                    deform=bend, mix=other, half=half, size=size,
                )  # fmt: skip
                out.append(Rendering(picture, volume))
            else:
                out.append(
                    FoldedGenerator(self, one[0], one[2]).render(
                        one[1], freeze_background=freeze_background, positions=placed, deform=bend, mix=other,
                        precision=precision, size=size, memory_mb=memory_mb, recompute=recompute,
                    )
                )  # fmt: skip
        return out[0] if batch == 1 else _stack(out)

    def _check(
        self, batch: int, ws: Tensor, camera: Tensor, code: Tensor, positions: Positions | None,
        deform: Deform | Sequence[Deform] | None, other: FeatureMix | None,
    ) -> None:  # fmt: skip
        """Raises BadInput generator_input_wrong for arguments of `render` that don't fit."""
        config = self.config
        check_shape("ws", ws, (len(ws), config.num_ws, config.w_dim))
        check_type("ws", ws, self.mapping.w_avg)
        check_shape("camera", camera, (len(camera), 4, 4))
        check_shape("background", code, (len(code), config.background_code))
        counts = {"ws": len(ws), "camera": len(camera), "background": len(code)}
        if other is not None:
            check_mix(other, (config.features, config.volume_resolution, config.volume_resolution))
            counts["mix.features"] = len(other.features)
            counts["mix.mask"] = 1 if other.mask is None else len(other.mask)
        for name, places in vars(positions).items() if positions else ():
            if places is not None:
                check_batch(f"positions.{name}", places)
                check_shape(f"positions.{name}", places, (len(places), config.rays, places.shape[-1]))
                counts[f"positions.{name}"] = len(places)
        for name, count in counts.items():
            check_count(name, count, batch)
        if isinstance(deform, Sequence):
            check_count("deform", len(deform), batch, one_for_all=False)

    def background_code(self, like: Tensor) -> Tensor:
        """The mean background [B, Z_bg] for a batch like `like` [B, ...]."""
        return like.new_zeros(len(like), self.config.background_code)


def _pick(tensor: Tensor, b: int) -> Tensor:
    return tensor if len(tensor) == 1 else tensor[b : b + 1]


def _values(record: Any) -> list[Any]:
    return [getattr(record, field.name) for field in fields(record)]


def _stack(parts: Sequence[Any]) -> Any:
    """Records of batches of one as one record."""
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat(list(parts))
    if first is None:
        return None
    return type(first)(*(_stack(values) for values in zip(*(_values(part) for part in parts), strict=True)))
