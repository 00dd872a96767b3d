"""Sound -> probabilities of 15 visemes, 100 a second, from any length of recording in bounded memory."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from elocute.errors import BadInput, EnvironmentProblem
from elocute.media import SAMPLE_RATE
from elocute.speech import levels
from elocute.speech.encoder import SpeechEncoder

if TYPE_CHECKING:
    import torch

VISEMES = ("sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "ih", "oh", "ou")
FRAME_RATE = levels.FRAME_RATE
HEAD_PATH = Path(__file__).parent / "data" / "viseme_head.safetensors"

CHUNK_SECONDS = 20.0  # attention costs T^2; the encoder was trained on utterances of this length
OVERLAP_SECONDS = 2.0  # heard on both sides of a chunk; neighbours fade into each other in the middle half of it
MEL_BANDS, MEL_LOW, MEL_HIGH = 64, 60.0, 7600.0
SPECTRUM = 512
DILATIONS = (1, 2, 4, 8, 2, 1)
_HOP, _WINDOW = levels.HOP, levels.FRAME


def mel_bank() -> np.ndarray:
    """Triangular filters float32 [64, 257], HTK mel scale, peak 1."""
    low, high = (2595 * np.log10(1 + f / 700) for f in (MEL_LOW, MEL_HIGH))
    edges = 700 * (10 ** (np.linspace(low, high, MEL_BANDS + 2) / 2595) - 1)
    bins = np.arange(SPECTRUM // 2 + 1) * SAMPLE_RATE / SPECTRUM
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    return np.clip(np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre)), 0, None).astype(
        np.float32
    )


class MelSpectrum:
    """Waveform [N] -> mel power [1 + N // 160, 64]; frame i is centred at sample 160 i."""

    def __init__(self, device: str = "cpu") -> None:
        import torch

        self.bank = torch.from_numpy(mel_bank()).T.to(device)
        self.window = torch.from_numpy(np.hanning(_WINDOW + 1)[:_WINDOW].astype(np.float32)).to(device)

    def __call__(self, wave: torch.Tensor) -> torch.Tensor:
        import torch

        spectrum = torch.stft(
            wave, SPECTRUM, _HOP, _WINDOW, self.window, center=True, pad_mode="constant", return_complex=True
        )
        return spectrum.abs().square().T @ self.bank


def normalised_mel(power: torch.Tensor, reference: torch.Tensor | float) -> torch.Tensor:
    """Log mel relative to `reference`, the log energy of the loud parts (95th percentile)."""
    return (((power + 1e-7).log() - reference + 4) / 4).clamp(-4, 3)


class VisemeHead:
    """Dilated 1-D convolutions, 208 features (64 mel + 144 encoder) -> 15 viseme logits, 436 k parameters."""

    def __init__(self, path: Path = HEAD_PATH, device: str = "cpu", dtype: torch.dtype | None = None) -> None:
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        self.dtype = dtype or torch.float32
        try:
            weights = load_file(path)
        except (OSError, SafetensorError) as error:
            raise EnvironmentProblem(
                "model_unreadable", f"the viseme head {path.name} can't be read ({error}). Install Elocute again."
            ) from None
        blocks = [f"{kind}{i}.{part}" for i in range(len(DILATIONS)) for kind in "bp" for part in "wb"]
        lacking = {"inp.w", "inp.b", "o.w", "o.b", *blocks} - weights.keys()
        if lacking:
            raise EnvironmentProblem(
                "model_unreadable",
                f"{path.name} is not a viseme head: {min(lacking)} is missing. Install Elocute again.",
            )
        self.weights = {name: value.to(device, self.dtype) for name, value in weights.items()}

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """float32 [T, 208] at 100 fps -> logits float32 [T, 15]."""
        from torch.nn import functional as F

        w = self.weights
        x = F.relu(F.conv1d(features.T[None].to(self.dtype), w["inp.w"], w["inp.b"], padding=2))
        for i, dilation in enumerate(DILATIONS):
            y = F.relu(F.conv1d(x, w[f"b{i}.w"], w[f"b{i}.b"], dilation=dilation, padding=2 * dilation))
            x = x + F.conv1d(y, w[f"p{i}.w"], w[f"p{i}.b"])
        return F.conv1d(F.relu(x), w["o.w"], w["o.b"])[0].T.float()


class VisemeModel:
    """Encoder and head together. `encoder_path` is hama's weight file, `head_path` a file of `VisemeHead`."""

    def __init__(
        self, encoder_path: Path, device: str = "cpu", dtype: torch.dtype | None = None, head_path: Path = HEAD_PATH
    ) -> None:
        self.device = device
        self.encoder = SpeechEncoder(encoder_path, device, dtype)
        self.mel = MelSpectrum(device)
        self.head = VisemeHead(head_path, device, dtype)

    def features(self, wave: torch.Tensor, reference: float) -> torch.Tensor:
        """Level-normalised `wave` [N] -> [1 + N // 160, 208]: mel, then encoder features brought to 100 fps."""
        import torch

        mel = normalised_mel(self.mel(wave), reference)
        coarse = self.encoder(wave)  # [T / 2, 144]
        position = (torch.arange(len(mel), device=coarse.device) / 2).clamp(max=len(coarse) - 1)
        low = position.floor().long()
        high = (low + 1).clamp(max=len(coarse) - 1)
        blend = (position - low)[:, None]
        return torch.cat([mel, coarse[low] * (1 - blend) + coarse[high] * blend], 1)

    def probabilities(self, audio: np.ndarray, chunk_seconds: float = CHUNK_SECONDS) -> np.ndarray:
        """float32 [N] at 16 kHz, any loudness -> float32 [1 + N // 160, 15]; frame i is centred at i * 10 ms."""
        import torch

        with torch.inference_mode():
            return self._probabilities(audio, chunk_seconds)

    def _probabilities(self, audio: np.ndarray, chunk_seconds: float) -> np.ndarray:
        import torch

        level = levels.voice_level(levels.frame_levels(audio))
        frames = len(level)
        reference = self._reference(audio, level)
        core, overlap = int(chunk_seconds * FRAME_RATE) // 2 * 2, int(OVERLAP_SECONDS * FRAME_RATE) // 2 * 2
        total = np.zeros((frames, len(VISEMES)), np.float32)
        weight = np.zeros((frames, 1), np.float32)
        # A rest shorter than the overlap joins the chunk before it.
        starts = [s for s in range(0, frames, core) if s == 0 or frames - s > overlap]
        for start, end in zip(starts, [*starts[1:], frames], strict=True):
            a, b = max(0, start - overlap), min(frames, end + overlap)
            wave = torch.from_numpy(_levelled(audio, level, a, b)).to(self.device)
            logits = self.head(self.features(wave, reference))[: b - a]
            fade = _fade(np.arange(a, b), start if start else None, end if end < frames else None, overlap)
            total[a:b] += torch.softmax(logits, 1).cpu().numpy() * fade[:, None]
            weight[a:b] += fade[:, None]
        return total / weight

    def _reference(self, audio: np.ndarray, level: np.ndarray) -> float:
        """Log mel energy of the loud parts after level normalisation, over the whole recording."""
        import torch

        energies = []
        for a in range(0, len(level), 30 * FRAME_RATE):
            b = min(len(level), a + 30 * FRAME_RATE)
            power = self.mel(torch.from_numpy(_levelled(audio, level, a, b)).to(self.device))[: b - a]
            energies.append((power.sum(1) + 1e-7).log().cpu().numpy())
        return float(np.percentile(np.concatenate(energies), 95))


def _levelled(audio: np.ndarray, level: np.ndarray, a: int, b: int) -> np.ndarray:
    """Sound of the frames [a, b) at the networks' level, at least long enough for one spectrum frame."""
    part = audio[a * _HOP : min(b * _HOP, len(audio))]
    frames = np.arange(a, b)
    part = part * np.interp(np.arange(len(part)) / _HOP + a, frames, levels.gain(level[a:b])).astype(np.float32)
    return np.pad(part, (0, max(0, 2 * _WINDOW - len(part))))


def _fade(frames: np.ndarray, start: int | None, end: int | None, overlap: int) -> np.ndarray:
    """1 inside a chunk, linear to 0 over +-overlap/2 around its inner borders; two neighbours sum to 1."""
    fade = np.ones(len(frames), np.float32)
    if start is not None:
        fade *= np.clip((frames - start) / overlap + 0.5, 0, 1)
    if end is not None:
        fade *= np.clip((end - frames) / overlap + 0.5, 0, 1)
    return fade


@lru_cache(maxsize=2)
def load_model(encoder_path: Path, device: str = "cpu", dtype: torch.dtype | None = None) -> VisemeModel:
    """The model, read once per process."""
    return VisemeModel(encoder_path, device, dtype)


def viseme_probabilities(
    audio: np.ndarray,
    device: str = "cpu",
    dtype: torch.dtype | None = None,
    encoder_path: Path | None = None,
    chunk_seconds: float = CHUNK_SECONDS,
) -> np.ndarray:
    """float32 [N] mono 16 kHz -> float32 [1 + N // 160, 15] in VISEMES order, rows sum to 1.

    `encoder_path` overrides the model store's file of role speech_encoder. Raises BadInput("audio_empty") for no
    samples and EnvironmentProblem when the encoder is missing or damaged.
    """
    if not len(audio):
        raise BadInput("audio_empty", "there is no sound to speak. Use a longer recording.")
    if encoder_path is None:
        from elocute.models.store import model_path

        encoder_path = model_path("speech_encoder")
    return load_model(Path(encoder_path), device, dtype).probabilities(np.asarray(audio, np.float32), chunk_seconds)
