"""The speech encoder: the phoneme conformer of hama 1.7.0 (Apache-2.0), 144 features every 20 ms, in torch.

Only the encoder is used, read straight from the package's weight file: its own engine has no Windows build and cuts
sound at 30 s. The file is a table of named arrays (float32 or float16) followed by their bytes.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from elocute.errors import EnvironmentProblem

if TYPE_CHECKING:
    import torch

FEATURES = 144
HEADS = 4
BLOCKS = 4
HOP = 160  # samples between spectrum frames at 16 kHz; the first convolution halves the rate to one in 320
WINDOW = 400
_MAGIC = b"HAMAPK"


def read_hama(path: Path) -> dict[str, np.ndarray]:
    """Read a .hama weight file into float32 arrays by name. Raises EnvironmentProblem("model_unreadable")."""
    data = path.read_bytes()
    try:
        if not data.startswith(_MAGIC):
            raise ValueError("not a hama weight file")
        entries, offset = [], 12
        for _ in range(struct.unpack_from("<I", data, 8)[0]):
            length = struct.unpack_from("<H", data, offset)[0]
            name = data[offset + 2 : offset + 2 + length].decode()
            offset += 2 + length
            half, dims = data[offset], data[offset + 1]
            shape = struct.unpack_from(f"<{dims}I", data, offset + 2)
            start, size = struct.unpack_from("<QQ", data, offset + 2 + 4 * dims)
            offset += 18 + 4 * dims
            entries.append((name, np.float16 if half else np.float32, shape, start, size))
        base = len(data) - max(start + size for *_, start, size in entries)  # the payload ends with the file
        return {
            name: np.frombuffer(data, kind, int(np.prod(shape)), base + start).reshape(shape).astype(np.float32)
            for name, kind, shape, start, _ in entries
        }
    except (struct.error, ValueError, UnicodeDecodeError, IndexError) as error:
        raise EnvironmentProblem(
            "model_unreadable", f"the speech encoder {path.name} can't be read ({error}). Fetch the models again."
        ) from None


class SpeechEncoder:
    """Waveform -> features. The spectrum is always float32; the network runs in `dtype` on `device`."""

    def __init__(self, path: Path, device: str = "cpu", dtype: torch.dtype | None = None) -> None:
        import torch

        self.device, self.dtype = torch.device(device), dtype or torch.float32
        arrays = read_hama(path)
        weights = {name: torch.from_numpy(array) for name, array in arrays.items()}
        # Row 0 of the real DFT kernel is cos(0) = 1 times the window.
        self.window = weights["stft_real_kernel"][0, 0].to(self.device)
        self.mel = weights["mel_fb"].to(self.device)  # [201, 80]
        # The exporter named folded matrices by running numbers; their order is the order of use.
        products = [w.T.contiguous().to(self.device, self.dtype) for w in _numbered(weights, "onnx::MatMul_")]
        convolutions = [w.to(self.device, self.dtype) for w in _numbered(weights, "onnx::Conv_")]
        self.subsample = convolutions[:2]
        prefix = "acoustic_model.model.blocks."
        self.blocks = []
        for index in range(BLOCKS):
            block = {
                name.removeprefix(f"{prefix}{index}."): value.to(self.device, self.dtype)
                for name, value in weights.items()
                if name.startswith(f"{prefix}{index}.")
            }
            names = ("ffn1.up", "ffn1.down", "attn.in", "attn.out", "ffn2.up", "ffn2.down")
            block |= dict(zip(names, products[6 * index : 6 * index + 6], strict=True))
            block["conv.depth"], block["conv.depth_bias"] = convolutions[2 + 2 * index : 4 + 2 * index]
            self.blocks.append(block)

    def __call__(self, wave: torch.Tensor) -> torch.Tensor:
        """`wave` float32 [N] at 16 kHz (N > 200) -> float32 [1 + N // 320 or so, 144], row j centred at j * 20 ms."""
        import torch
        from torch.nn import functional as F

        spectrum = torch.stft(wave, WINDOW, HOP, WINDOW, self.window, center=True, return_complex=True)  # [201, T]
        mel = (spectrum.abs().square().T @ self.mel).clamp_min(1e-10).log()  # [T, 80]
        weight, bias = self.subsample
        x = F.gelu(F.conv1d(mel.T[None].to(self.dtype), weight, bias, stride=2, padding=1))[0].T  # [T/2, 144]
        for block in self.blocks:
            x = _conformer_block(x, block)
        return x.float()


def _numbered(weights: dict[str, torch.Tensor], prefix: str) -> list[torch.Tensor]:
    names = [name for name in weights if name.startswith(prefix)]
    return [weights[name] for name in sorted(names, key=lambda name: int(name.removeprefix(prefix)))]


def _conformer_block(x: torch.Tensor, w: dict[str, torch.Tensor]) -> torch.Tensor:
    """One macaron block (half feed-forward, attention, convolution, half feed-forward), Gulati et al. 2020."""
    from torch.nn import functional as F

    def norm(value: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(value, (FEATURES,), w[f"{name}.weight"], w[f"{name}.bias"])

    def feed_forward(value: torch.Tensor, name: str) -> torch.Tensor:
        hidden = F.silu(F.linear(norm(value, f"{name}.norm"), w[f"{name}.up"], w[f"{name}.fc1.bias"]))
        return F.linear(hidden, w[f"{name}.down"], w[f"{name}.fc2.bias"])

    x = x + 0.5 * feed_forward(x, "ffn1")
    joint = F.linear(norm(x, "attn_norm"), w["attn.in"], w["attn.in_proj_bias"])  # [T, 3 * 144]
    query, key, value = joint.reshape(len(x), 3, HEADS, FEATURES // HEADS).permute(1, 2, 0, 3)  # [heads, T, 36] each
    mixed = F.scaled_dot_product_attention(query[None], key[None], value[None])[0]
    x = x + F.linear(mixed.transpose(0, 1).reshape(len(x), FEATURES), w["attn.out"], w["attn.out_proj.bias"])
    y = F.conv1d(norm(x, "conv.norm").T[None], w["conv.pointwise1.weight"], w["conv.pointwise1.bias"])
    y = F.conv1d(F.glu(y, dim=1), w["conv.depth"], w["conv.depth_bias"], padding="same", groups=FEATURES)
    y = F.conv1d(F.silu(y), w["conv.pointwise2.weight"], w["conv.pointwise2.bias"])
    x = x + y[0].T
    x = x + 0.5 * feed_forward(x, "ffn2")
    return norm(x, "norm")
