"""What an imported StyleNeRF file says about itself: constructor arguments, completed by defaults and by its shapes.

Two layouts occur, also mixed. Nested: `synthesis_kwargs` holds `camera_kwargs`, `renderer_kwargs` and
`upsampler_kwargs`. Flat: older files keep the same keys directly in `synthesis_kwargs`; a nested group that is there
and not empty wins as a whole, as the file's own classes read it; only the upsampler's keys are looked up in both. What
neither names has the default of the file's own class, which differs from the published training settings in several
places. Sizes of layers are read from the arrays themselves; a key that contradicts them is refused, and so is an option
that changes the picture in a way not known here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ...errors import BadInput

MOST_SAMPLES = 1024  # along a ray; the official generator takes 14, and memory grows with them
MOST_FREQUENCIES = 64  # of a point's encoding, each twice the one before
UPSAMPLING = ("pixelshuffle", "nn_cat")  # each also with "_noblur": the same without the low-pass filter
SUPPORTED: dict[str, tuple[Any, ...]] = {  # options with one known meaning
    "abs_sigma": (False, None),
    "architecture": ("skip",),
    "depth_transform": (None, "none"),
    "dists_normalized": (False,),
    "downscale_p_by": (1,),
    "fg_inf_depth": (False,),
    "final_sigmoid_activation": (False,),
    "fine_only": (False,),
    "merge_sigma_feat": (False,),
    "no_2d_renderer": (False,),
    "no_residual_img": (False,),
    "no_sigma": (False,),
    "normalized_feat": (False,),
    "positional_encoding": ("normal",),
    "predict_rgb": (True,),
    "random_rotate": (False,),
    "shared_rgb_style": (False,),
    "sigma_type": ("relu",),
    "skips": ([], (), None),
    "upsample_type": ("bilinear",),
    "use_noise": (False,),
    "use_pos": (False,),
    "use_sdf": (None, False),
    "use_skip": (False,),
    "use_style": ("StyleGAN2",),
    "use_viewdirs": (False,),
    "white_background": (False,),
}


@dataclass(frozen=True)
class CameraConfig:
    """Where training looked from. Defaults are those of the class: what a file without the key means."""

    range_u: tuple[float, float] = (0.0, 0.0)  # azimuth: radians if angular, else turns
    range_v: tuple[float, float] = (0.25, 0.25)  # polar angle from the up axis: radians if angular, else (1 - cos) / 2
    range_radius: tuple[float, float] = (2.732, 2.732)
    depth_range: tuple[float, float] = (0.5, 6.0)  # along the optical axis, from the camera
    fov: float = 49.13  # degrees
    gaussian_camera: bool = False  # the ranges are mean +- one standard deviation
    angular_camera: bool = False
    ray_align_corner: bool = True  # rays go through the full picture's pixel corners, every 32nd of them
    bg_start: float = 1.0  # inverse depth at which the background begins


@dataclass(frozen=True)
class Config:
    """A generator's structure, complete and checked."""

    z_dim: int
    w_dim: int
    resolution: int  # of the picture
    volume_resolution: int  # rays per side
    mapping_layers: int
    hidden: int  # foreground NeRF
    blocks: int  # its layers before the heads, the first one included
    frequencies: int
    features: int  # channels that rays carry besides rgb
    background_hidden: int
    background_blocks: int
    background_code: int
    background_frequencies: int
    samples: int
    background_samples: int
    hierarchical: bool
    background: bool
    upsampling: str
    kernel: int
    clamp: float
    channels: tuple[int, ...]  # of each 2-D block
    camera: CameraConfig

    @property
    def levels(self) -> tuple[int, ...]:
        """Sides of the 2-D blocks: 64, 128, ... up to the picture's."""
        return tuple(self.volume_resolution << k for k in range(1, len(self.channels) + 1))

    @property
    def first_2d(self) -> int:
        """The first style that belongs to the 2-D part; the NeRF uses those before: layers, density, features."""
        return self.blocks + 2

    @property
    def num_ws(self) -> int:
        return self.first_2d + 2 * len(self.channels) + 1

    @property
    def blur(self) -> bool:
        return "noblur" not in self.upsampling

    @property
    def rays(self) -> int:
        return self.volume_resolution**2


def parse_config(kwargs: Mapping[str, Any], state: Mapping[str, torch.Tensor]) -> Config:
    """The generator's structure from its constructor arguments (any layout) and its arrays.

    Raises BadInput generator_option_unknown, generator_option_wrong, generator_config_mismatch,
    generator_arrays_missing.
    """
    synthesis = dict(kwargs.get("synthesis_kwargs") or {})
    camera_group = synthesis.get("camera_kwargs") or synthesis
    renderer = synthesis.get("renderer_kwargs") or synthesis
    upsampler = {**synthesis, **(synthesis.get("upsampler_kwargs") or {})}
    foreground, background = (dict(synthesis.get(f"{part}_kwargs") or {}) for part in ("foreground", "background"))
    for group in (synthesis, camera_group, renderer, upsampler, foreground, background):
        _refuse_unknown(group)
    has_background = not renderer.get("no_background", False)
    if has_background and not background.get("inverse_sphere", True):
        raise _unknown("inverse_sphere", False)

    sizes = _Shapes(state)
    channels = sizes.channels()
    volume = int(synthesis.get("resolution_vol") or int(kwargs["img_resolution"]) >> len(channels))
    hidden, encoded = sizes("synthesis.fg_nerf.fc_in.weight")[:2]
    features = sizes("synthesis.fg_nerf.feat_out.weight")[0]
    frequencies = int(foreground.get("n_freq_posenc", 10))
    bg_hidden, bg_blocks, bg_code = 0, 0, int(synthesis.get("z_dim_bg") or 0)
    bg_frequencies = _count(background, "n_freq_posenc", 10, (1, MOST_FREQUENCIES))
    if has_background:
        bg_hidden, bg_in = sizes("synthesis.bg_nerf.fc_in.weight")[:2]
        bg_blocks = 1 + sizes.count("synthesis.bg_nerf.blocks.{}.weight")
        bg_code = bg_in - 8 * bg_frequencies
        if bg_code < 0:
            raise _wrong("n_freq_posenc", bg_frequencies)
    hierarchical = bool(renderer.get("hierarchical", True))  # which draws between the inner samples' middles
    config = Config(
        z_dim=sizes("mapping.fc0.weight")[1], w_dim=sizes("mapping.w_avg")[0],
        resolution=volume << len(channels), volume_resolution=volume,
        mapping_layers=sizes.count("mapping.fc{}.weight"),
        hidden=hidden, blocks=1 + sizes.count("synthesis.fg_nerf.blocks.{}.weight"), frequencies=frequencies,
        features=features, background_hidden=bg_hidden, background_blocks=bg_blocks, background_code=bg_code,
        background_frequencies=bg_frequencies,
        samples=_count(renderer, "n_ray_samples", 14, (3 if hierarchical else 2, MOST_SAMPLES)),
        background_samples=_count(renderer, "n_bg_samples", 4, (1, MOST_SAMPLES)),
        hierarchical=hierarchical, background=has_background,
        upsampling=sizes.upsampling(upsampler.get("upsample_mode")),
        kernel=sizes(f"synthesis.b{2 * volume}.conv0.weight")[2], clamp=_clamp(synthesis, upsampler),
        channels=channels, camera=_camera(camera_group),
    )  # fmt: skip
    agree = {
        "img_resolution": (kwargs.get("img_resolution"), config.resolution),
        "z_dim": (kwargs.get("z_dim"), config.z_dim),
        "w_dim": (kwargs.get("w_dim"), config.w_dim),
        "rgb_out_dim": (synthesis.get("rgb_out_dim"), features),
        "foreground hidden_size": (foreground.get("hidden_size"), hidden),
        "background hidden_size": (background.get("hidden_size") if has_background else None, bg_hidden),
        "z_dim_bg": (synthesis.get("z_dim_bg") if has_background else None, bg_code),
        "n_freq_posenc": (6 * frequencies, encoded),
        "kernel_size": (upsampler.get("kernel_size"), config.kernel),
    }
    for name, (said, found) in agree.items():
        if said is not None and said != found:
            raise _mismatch(f"{name} is {said}, its arrays say {found}")
    return config


def _camera(group: Mapping[str, Any]) -> CameraConfig:
    known = CameraConfig.__dataclass_fields__
    given = {name: group[name] for name in known if group.get(name) is not None}
    for name, value in given.items():
        if name.startswith("range_") or name == "depth_range":
            low, high = value
            given[name] = _finite(name, low), _finite(name, high)
        else:
            given[name] = _finite(name, value) if name in ("fov", "bg_start") else bool(value)
    camera = CameraConfig(**given)
    if not 0 < camera.fov < 180:
        raise _wrong("fov", camera.fov)
    return camera


def _finite(name: str, value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise _wrong(name, value)
    return number


def _count(group: Mapping[str, Any], name: str, default: int, limits: tuple[int, int]) -> int:
    count = int(group.get(name, default))
    if not limits[0] <= count <= limits[1]:
        raise _wrong(name, count)
    return count


def _clamp(*groups: Mapping[str, Any]) -> float:
    for group in groups:
        if "conv_clamp" in group:
            clamp = float(group["conv_clamp"] or math.inf)
            if not clamp > 0:
                raise _wrong("conv_clamp", clamp)
            return clamp
    return math.inf


def _refuse_unknown(group: Mapping[str, Any]) -> None:
    for name, values in SUPPORTED.items():
        if name in group and group[name] not in values:
            raise _unknown(name, group[name])


class _Shapes:
    """Shapes of the arrays by name."""

    def __init__(self, state: Mapping[str, torch.Tensor]) -> None:
        self.state = state

    def __call__(self, name: str) -> tuple[int, ...]:
        if name not in self.state:
            raise BadInput(
                "generator_arrays_missing", f"the generator has no array {name}. Import the official file again."
            )
        return tuple(self.state[name].shape)

    def count(self, pattern: str) -> int:
        number = 0
        while pattern.format(number) in self.state:
            number += 1
        return number

    def channels(self) -> tuple[int, ...]:
        """Output channels of the 2-D blocks, coarse to fine."""
        sides = sorted(int(n[11:-13]) for n in self.state if n.startswith("synthesis.b") and n.endswith("conv1.weight"))
        if not sides:
            self("synthesis.b64.conv1.weight")  # says what is missing
        if any(fine != 2 * coarse for coarse, fine in zip(sides[:-1], sides[1:], strict=True)):
            raise _mismatch(f"its 2-D blocks have the sides {sides}")
        return tuple(self(f"synthesis.b{side}.conv1.weight")[0] for side in sides)

    def upsampling(self, named: str | None) -> str:
        """The named mode, which the adapter's shape has to confirm; without a name the adapter tells."""
        first = next((n for n in self.state if n.endswith("conv0.adapter.0.weight")), None)
        if first is None:
            raise _unknown("upsample_mode", named)
        out = self(first.replace("adapter.0", "adapter.1"))[0]
        source = self(first)[1]
        found = "pixelshuffle" if out == 4 * source else "nn_cat"
        mode = named or found
        if mode.removesuffix("_noblur") not in UPSAMPLING:
            raise _unknown("upsample_mode", mode)
        if not mode.startswith(found):
            raise _mismatch(f"upsample_mode is {mode}, its arrays say {found}")
        return mode


def _unknown(name: str, value: object) -> BadInput:
    return BadInput(
        "generator_option_unknown",
        f"the generator was made with {name}={value!r:.60}, which Elocute can't compute. "
        "Use one of the released files.",
    )


def _wrong(name: str, value: object) -> BadInput:
    return BadInput(
        "generator_option_wrong",
        f"the generator's file says {name}={value!r:.60}, with which no picture can be made. Import it again.",
    )


def _mismatch(what: str) -> BadInput:
    return BadInput("generator_config_mismatch", f"the generator's file contradicts itself: {what}. Import it again.")
