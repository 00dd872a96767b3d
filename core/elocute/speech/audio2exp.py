"""Voice to the Basel face's 64 expression coefficients: SadTalker's audio2exp (Zhang et al., CVPR 2023).

The network sees 0.2 s of sound and the expression of the frame before, so a track is a recursion at 25 fps. Other frame
rates are that track, resampled in time.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor, nn

from elocute.errors import BadInput
from elocute.models.weights import load_weights
from elocute.speech.sadtalker_mel import BANDS, COLUMNS, FPS, RANGE, frame_windows
from elocute.speech.track_io import resample
from elocute.values import BASEL_NAMES, ExpressionTrack

SCALE = 1.5  # NeRFFaceSpeech exaggerates what is shown, not what is fed back
FEEDBACK = 0.5  # the next reference is this much of the last answer and the rest of the person's own expression
BATCH = 64  # windows encoded at once: 30 MB
# Channels in, channels out, kernel, stride, padding, residual
LAYERS = (
    (1, 32, 3, 1, 1, False), (32, 32, 3, 1, 1, True), (32, 32, 3, 1, 1, True),
    (32, 64, 3, (3, 1), 1, False), (64, 64, 3, 1, 1, True), (64, 64, 3, 1, 1, True),
    (64, 128, 3, 3, 1, False), (128, 128, 3, 1, 1, True), (128, 128, 3, 1, 1, True),
    (128, 256, 3, (3, 2), 1, False), (256, 256, 3, 1, 1, True),
    (256, 512, 3, 1, 0, False), (512, 512, 1, 1, 0, False),
)  # fmt: skip


class ConvBlock(nn.Module):
    def __init__(
        self, inside: int, outside: int, kernel: int, stride: int | tuple[int, int], padding: int, residual: bool
    ) -> None:
        super().__init__()
        convolution = nn.Conv2d(inside, outside, kernel, stride, padding)
        self.conv_block = nn.Sequential(convolution, nn.BatchNorm2d(outside))
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv_block(x)
        return torch.relu(y + x if self.residual else y)


class Audio2Exp(nn.Module):
    """Convolutions over a window of the spectrogram, then one linear layer. 2.85 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.audio_encoder = nn.Sequential(*(ConvBlock(*layer) for layer in LAYERS))
        self.mapping1 = nn.Linear(512 + 64 + 1, 64)

    def encode(self, windows: Tensor) -> Tensor:
        """[T, 80, 16] -> [T, 512]."""
        return self.audio_encoder(windows[:, None]).flatten(1)

    def forward(self, windows: Tensor, reference: Tensor, ratio: Tensor) -> Tensor:
        """Windows [T, 80, 16], expressions before [T, 64], blink ratios [T, 1] -> expressions [T, 64]."""
        return self.mapping1(torch.cat([self.encode(windows), reference, ratio], 1))


def load_audio2exp(
    weights: Mapping[str, Tensor], device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> Audio2Exp:
    """The network with `weights` (`audio_encoder.*`, `mapping1.*`). Raises EnvironmentProblem("weights_mismatch")."""
    return load_weights(Audio2Exp(), weights, "SadTalker's audio2exp", device, dtype)


@torch.no_grad()
def expressions(network: Audio2Exp, windows: Tensor, first: Tensor) -> Tensor:
    """The recursion: windows [T, 80, 16] and the person's own expression [64] -> [T, 64], as they are fed back."""
    weight = network.mapping1.weight
    encoded = [network.encode(part.to(weight.device, weight.dtype)) for part in windows.split(BATCH)]
    return _recursion(network, torch.cat(encoded) if len(windows) else weight.new_zeros(0, 0), first)


@torch.no_grad()
def silent_expressions(network: Audio2Exp, frames: int, first: Tensor) -> Tensor:
    """What `expressions` makes of that many frames of silence, of which every window is the same."""
    # As many at once as a voice has: a convolution's last digits depend on that, and silence is compared with silence.
    windows = network.mapping1.weight.new_full((min(frames, BATCH), BANDS, COLUMNS), -RANGE)
    return _recursion(network, network.encode(windows)[:1].expand(frames, -1), first)


def _recursion(network: Audio2Exp, encoded: Tensor, first: Tensor) -> Tensor:
    """[T, 512] and [64] -> [T, 64]."""
    first = first.to(network.mapping1.weight.device, network.mapping1.weight.dtype)
    before, ratio = first[None], first.new_zeros(1, 1)  # the ratio would ask for a blink
    found = []
    for sound in encoded[:, None]:
        answer = network.mapping1(torch.cat([sound, before, ratio], 1))
        before = (1 - FEEDBACK) * first[None] + FEEDBACK * answer
        found.append(answer)
    return torch.cat(found) if found else first.new_zeros(0, len(first))


def voice_expressions(
    network: Audio2Exp,
    audio: np.ndarray,
    own: np.ndarray,
    fps: Fraction,
    frames: int,
    reference: bool = False,
    scale: float = SCALE,
) -> ExpressionTrack:
    """Basel expressions [frames, 64] of a voice (float32 [N], 16 kHz, mono); frame i shows time i / fps.

    `own` [64] is the portrait's expression. `reference`: the answers times `scale` take its place, as in
    NeRFFaceSpeech, so that a face changes as soon as it speaks. By default what the voice changes, compared with
    silence, times `scale` is added to it: in silence the face is the portrait's. At 25 fps the track is the
    recursion's, frame by frame; at other rates it is that one, linear between its frames.
    Raises BadInput("fps_invalid") and ("audio_too_short").
    """
    if fps <= 0:
        raise BadInput("fps_invalid", f"the frame rate must be positive, got {fps}. Use for example 25 or 24000/1001.")
    windows = frame_windows(audio)
    if not len(windows):
        raise BadInput("audio_too_short", "the voice is shorter than one frame at 25 fps. Use a longer one.")
    first = torch.from_numpy(np.asarray(own, np.float64))
    heard = expressions(network, torch.from_numpy(windows), first).cpu().double().numpy()
    if reference:
        values = scale * heard
    else:
        quiet = silent_expressions(network, len(windows), first).cpu().double().numpy()
        values = np.asarray(own) + scale * (heard - quiet)
    track = ExpressionTrack(BASEL_NAMES, values.astype(np.float32), Fraction(FPS))
    return resample(track, fps, frames)
