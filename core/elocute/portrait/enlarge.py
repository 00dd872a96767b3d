"""Enlarging a small photo without the softness of plain interpolation.

A super-resolution network (SPAN: Wan et al., "Swift Parameter-free Attention Network", 2023) adds the detail between
the photo's pixels. It was trained to be right on average, not to invent: its picture, made small again, is the photo.
How much of that detail is taken is measured on each photo: as much as makes the result as crisp as the photo itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from elocute.models.store import model_path

if TYPE_CHECKING:
    import torch

Window = tuple[float, float, float, float]

MODEST = 1.2  # up to this factor interpolation keeps the photo's detail, and the network has nothing to add
NETWORK_FACTOR = 4
CHANNELS, BLOCKS = 48, 6
MEETS = 24  # pixels that tiles overlap: the network's 21 layers of 3x3 see 21 pixels far
TILE = 256  # keeps the network below 0.4 GB
VIEW = 192  # pixels across the window at which crispness is compared
CRISPNESS = 1.05  # of the photo's own: warping and blending take that much later
SHARPEST = 0.8  # gain of the finest detail beyond which grain shows
MOST = 2.0  # times the network's detail; beyond, pores and grain turn into marks
CLEAN, BLOCKY = 0.25, 0.55  # `blockiness` of a JPEG of quality 90; of quality 75 to 80
HALF = (0x01306B47).to_bytes(4, "little")  # ncnn's mark for weights in half precision


def enlarge(rgb: np.ndarray, factor: float, window: Window | None = None, device: str = "cpu") -> np.ndarray:
    """`rgb` uint8 [H, W, 3] times `factor`, as uint8 [round(H * factor), round(W * factor), 3].

    `window` (x0, y0, x1, y1 in pixels of `rgb`) is where the result is made as crisp as the photo: the face. Without
    it, the network's picture is taken as it is. The same every time.
    Raises EnvironmentProblem when the network's file is missing.
    """
    height, width = rgb.shape[:2]
    size = round(width * factor), round(height * factor)
    if size == (width, height):
        return rgb.copy()
    if factor <= MODEST:
        return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS))
    plain = _lanczos(rgb.astype(np.float32), size)
    detailed = _lanczos(_Span.load(device)(rgb), size)
    mix, share = _Mix(plain, detailed, factor), 1.0
    inner = _whole_pixels(window, width, height) if window else None
    if inner:
        x0, y0, x1, y1 = inner
        wanted = CRISPNESS * crispness(rgb[y0:y1, x0:x1].astype(np.float32))
        part = np.s_[round(y0 * factor) : round(y1 * factor), round(x0 * factor) : round(x1 * factor)]
        share = _strength(mix.crop(part), wanted, _most(rgb))
    return np.round(mix.at(share)).astype(np.uint8)


def crispness(rgb: np.ndarray) -> float:
    """Variance of the Laplacian of a float32 picture [H, W, 3] shown VIEW pixels wide and high. A small picture is
    judged as its square pixels show it: that is what a viewer knows of it."""
    grey = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
    shown = cv2.resize(grey, (VIEW, VIEW), interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(shown, cv2.CV_32F).var(dtype=np.float64))


def keep_crisp(rgb: np.ndarray, window: Window, photo: np.ndarray, photo_window: Window) -> np.ndarray:
    """uint8 `rgb`, a resampled `photo`, as crisp in `window` as CRISPNESS asks of the photo's own window.

    Resampling, and later bending the picture with the head, dampens the finest detail; an unsharp mask of one pixel
    gives just that back. Never more than SHARPEST, never blurs.
    """
    parts = []
    for picture, box in ((photo, photo_window), (rgb, window)):
        inner = _whole_pixels(box, picture.shape[1], picture.shape[0])
        if inner is None:
            return rgb
        parts.append(np.s_[inner[1] : inner[3], inner[0] : inner[2]])
    wanted = CRISPNESS * crispness(photo[parts[0]].astype(np.float32))
    soft = rgb.astype(np.float32)
    fine = soft - cv2.GaussianBlur(soft, (0, 0), 1.0)
    low, high = 0.0, SHARPEST
    for _ in range(8):
        middle = (low + high) / 2
        enough = crispness((soft + middle * fine)[parts[1]]) >= wanted
        low, high = (low, middle) if enough else (middle, high)
    return np.clip(np.round(soft + low * fine), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class _Mix:
    """`plain` plus a share of what `detailed` has more, both float32 [h, w, 3]. Shares above 1 exaggerate, but no
    pixel leaves the range of its neighbours in `detailed`, so edges get steeper and never a halo."""

    plain: np.ndarray
    detailed: np.ndarray
    factor: float

    def crop(self, part: tuple[slice, slice]) -> _Mix:
        return _Mix(self.plain[part], self.detailed[part], self.factor)

    def at(self, share: float) -> np.ndarray:
        mixed = self.plain + np.float32(share) * (self.detailed - self.plain)
        if share > 1:
            around = np.ones((2 * math.ceil(self.factor / 2) + 1,) * 2, np.uint8)  # a pixel of the photo
            mixed = np.clip(mixed, cv2.erode(self.detailed, around), cv2.dilate(self.detailed, around))
        return np.clip(mixed, 0, 255)


def blockiness(rgb: np.ndarray) -> float:
    """How much higher, in levels, the steps between a JPEG's 8 x 8 blocks are than those inside; below 0.2 if none
    are to be seen. The blocks may start anywhere."""
    grey = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY).astype(np.float32)
    found = []
    for picture in (grey, grey.T):
        step = np.abs(np.diff(picture, axis=1))
        higher = np.clip(step[:, 1:-1] - (step[:, :-2] + step[:, 2:]) / 2, -4, 4)  # hair and edges step higher
        phases = np.array([higher[:, start::8].mean() for start in range(8)])
        found.append(phases.max() - np.delete(phases, phases.argmax()).mean())
    return float(np.mean(found))


def _most(rgb: np.ndarray) -> float:
    """The largest share of detail that does this photo good: blocks are never exaggerated."""
    return float(np.interp(blockiness(rgb), [CLEAN, BLOCKY], [MOST, 1])) if min(rgb.shape[:2]) >= 32 else 1.0


def _strength(mix: _Mix, wanted: float, most: float) -> float:
    """The share of detail, 0 to `most`, that gives the wanted crispness; the nearest end if none does."""
    low, high = 0.0, most
    for _ in range(10):
        middle = (low + high) / 2
        low, high = (middle, high) if crispness(mix.at(middle)) < wanted else (low, middle)
    return high


def _whole_pixels(window: Window, width: int, height: int) -> tuple[int, int, int, int] | None:
    """The part of the window inside the picture; None when hardly any is."""
    x0, y0 = (max(int(value), 0) for value in window[:2])
    x1, y1 = min(int(window[2]), width), min(int(window[3]), height)
    return (x0, y0, x1, y1) if min(x1 - x0, y1 - y0) >= 8 else None


def _lanczos(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Float32 [H, W, 3] to `size` (width, height), without rounding in between."""
    channels = (Image.fromarray(np.ascontiguousarray(picture[..., i])) for i in range(3))
    return np.stack([np.asarray(channel.resize(size, Image.Resampling.LANCZOS)) for channel in channels], axis=-1)


class _Span:
    """The network: a first convolution, six blocks whose output is weighted by itself, and a shuffle of 16 values
    per colour into 4 x 4 pixels. Instances take uint8 [H, W, 3] and give float32 [4H, 4W, 3], about 0 to 255."""

    def __init__(self, data: bytes, device: str) -> None:
        import torch

        self.device = torch.device(device)
        self.mean = torch.from_numpy(np.frombuffer(data, "<f4", 3).copy()).to(self.device)[:, None, None]
        self.layers: list[tuple[torch.Tensor, torch.Tensor]] = []
        n, out = CHANNELS, NETWORK_FACTOR**2 * 3
        shapes = [(n, 3, 3, 3), *[(n, n, 3, 3)] * (3 * BLOCKS + 1), (n, 4 * n, 1, 1), (out, n, 3, 3)]
        at = 12
        for shape in shapes:
            count = int(np.prod(shape))
            if data[at : at + 4] != HALF:
                raise ValueError(f"no half-precision weights at byte {at} of the enlarging network")
            weight = np.frombuffer(data, "<f2", count, at + 4).astype(np.float32).reshape(shape)
            bias = np.frombuffer(data, "<f4", shape[0], at + 4 + 2 * count).copy()
            at += 4 + 2 * count + 4 * shape[0]
            kept = torch.from_numpy(weight).to(self.device, memory_format=torch.channels_last)
            self.layers.append((kept, torch.from_numpy(bias).to(self.device)))

    @classmethod
    def load(cls, device: str) -> _Span:
        return cls(model_path("enlarge").read_bytes(), device)

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        import torch

        height, width = rgb.shape[:2]
        n = NETWORK_FACTOR
        # Mirrored all around: the network pads with nothing, which would show as a darker or brighter rim.
        wide = cv2.copyMakeBorder(rgb, MEETS, MEETS, MEETS, MEETS, cv2.BORDER_REFLECT_101)
        result = np.empty((height * n, width * n, 3), np.float32)
        with torch.inference_mode():
            for y in range(0, height, TILE):
                for x in range(0, width, TILE):
                    tile = wide[y : y + TILE + 2 * MEETS, x : x + TILE + 2 * MEETS]
                    seen = torch.from_numpy(np.ascontiguousarray(tile)).to(self.device)
                    made = self._forward(seen.permute(2, 0, 1)[None].float())[0].permute(1, 2, 0)
                    inner = made[MEETS * n : -MEETS * n, MEETS * n : -MEETS * n].mul_(255).cpu().numpy()
                    result[y * n : (y + TILE) * n, x * n : (x + TILE) * n] = inner
        return result

    def _forward(self, levels: torch.Tensor) -> torch.Tensor:
        import torch
        from torch.nn.functional import conv2d, pixel_shuffle, silu

        layers = iter(self.layers)

        def conv(x: torch.Tensor) -> torch.Tensor:
            weight, bias = next(layers)
            return conv2d(x, weight, bias, padding=weight.shape[-1] // 2)

        features = conv(levels - 255 * self.mean)
        outputs, inner = [features], features
        for _ in range(BLOCKS):
            inner = silu(conv(outputs[-1]), inplace=True)
            change = conv(silu(conv(inner), inplace=True))
            outputs.append((change + outputs[-1]) * (torch.sigmoid(change) - 0.5))
            del outputs[2:-1]  # only the first block's output is looked at again
        joined = torch.cat([features, conv(outputs[-1]), outputs[1], inner], dim=1)
        return pixel_shuffle(conv(conv(joined)), NETWORK_FACTOR)
