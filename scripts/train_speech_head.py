"""Train the viseme head of `elocute/speech` on synthetic speech with known phoneme timings.

    PYTHONPATH=core python scripts/train_speech_head.py --text en=SENTENCES.txt --text es=… --out head.safetensors

What it needs besides the engine's packages: the system packages `flite` (English, four voices) and `espeak-ng`
(`--espeak en-us,de,es,…`), and plain text to speak, for example the files of Debian's `fortunes` packages. More
speech with known timings joins by `--folder`: each NAME.wav with a NAME.json
`{"alphabet": "ipa", "voice": "who", "segments": [["p", 0.10, 0.18], …]}`; the committed head also learned from
festival, hibari and Kokoro that way (63 minutes in all, 2 500 steps, flite's voice rms held out).

The encoder stays frozen; the head learns which of 15 visemes every 10 ms show. Mel spectra are augmented in the power
domain (rate, formants, equalisation, reverberation, noise). The result is folded (no batch norm) and saved in float16.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from speech_phones import label_frames
from speech_synthesis import FLITE_VOICES, Utterance, espeak, flite, sentences_from
from torch import nn
from torch.nn import functional as F

from elocute.media import load_audio
from elocute.speech import levels
from elocute.speech.encoder import FEATURES, SpeechEncoder
from elocute.speech.visemes import DILATIONS, MEL_BANDS, VISEMES, MelSpectrum, VisemeHead, normalised_mel

CHANNELS = 96
CROP = 192  # frames: 1.9 s hold several syllables, and the head sees 0.4 s
BATCH = 16
SILENCE_DB, SILENCE_FRAMES = 48.0, 8  # quiet runs this long are silence whatever the synthesiser calls them
CLASS_POWER, VOICE_POWER = 0.35, 0.6  # how far rare visemes and rare voices are lifted: 0 not at all, 1 fully


@dataclass(frozen=True)
class Example:
    """Mel power [T, 64], encoder features [T, 144] and labels [T] of one utterance."""

    mel: np.ndarray
    hidden: np.ndarray
    labels: np.ndarray
    voice: str


class Head(nn.Module):
    """The trainable form of `VisemeHead`: the same convolutions with batch norm and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(MEL_BANDS + FEATURES, CHANNELS, 5, padding=2)
        self.first_norm = nn.BatchNorm1d(CHANNELS)
        self.wide = nn.ModuleList(nn.Conv1d(CHANNELS, CHANNELS, 5, padding=2 * d, dilation=d) for d in DILATIONS)
        self.norms = nn.ModuleList(nn.BatchNorm1d(CHANNELS) for _ in DILATIONS)
        self.points = nn.ModuleList(nn.Conv1d(CHANNELS, CHANNELS, 1) for _ in DILATIONS)
        self.last = nn.Conv1d(CHANNELS, len(VISEMES), 1)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [B, 208, T] -> [B, 15, T]
        x = F.relu(self.first_norm(self.first(x)))
        for wide, norm, point in zip(self.wide, self.norms, self.points, strict=True):
            x = x + point(self.drop(F.relu(norm(wide(x)))))
        return self.last(F.relu(x))

    def folded(self) -> dict[str, torch.Tensor]:
        """Weights for `VisemeHead`, batch norm multiplied into the convolutions before it."""
        out = {"o.w": self.last.weight, "o.b": self.last.bias}
        out["inp.w"], out["inp.b"] = _fold(self.first, self.first_norm)
        for i, (wide, norm, point) in enumerate(zip(self.wide, self.norms, self.points, strict=True)):
            out[f"b{i}.w"], out[f"b{i}.b"] = _fold(wide, norm)
            out[f"p{i}.w"], out[f"p{i}.b"] = point.weight, point.bias
        return {name: value.detach().contiguous() for name, value in out.items()}


def _fold(conv: nn.Conv1d, norm: nn.BatchNorm1d) -> tuple[torch.Tensor, torch.Tensor]:
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return conv.weight * scale[:, None, None], (conv.bias - norm.running_mean) * scale + norm.bias


def prepare(utterances: Iterable[Utterance], encoder_path: Path) -> list[Example]:
    """Run the frozen front end once over every utterance."""
    encoder, spectrum = SpeechEncoder(encoder_path), MelSpectrum()
    examples = []
    for spoken in utterances:
        level = levels.voice_level(levels.frame_levels(spoken.audio))
        wave = torch.from_numpy(spoken.audio * levels.gain(level[:1]))
        with torch.inference_mode():
            mel, hidden = spectrum(wave).numpy(), encoder(wave).numpy()
        at = np.minimum(np.arange(len(mel)) / 2, len(hidden) - 1)
        low = at.astype(int)
        blend = (at - low)[:, None]
        fine = hidden[low] * (1 - blend) + hidden[np.minimum(low + 1, len(hidden) - 1)] * blend
        labels = label_frames(spoken.segments, spoken.alphabet, len(mel))
        _mark_silence(labels, 10 * np.log10(mel.sum(1) + 1e-9))
        examples.append(Example(mel, fine.astype(np.float16), labels, spoken.voice))
    return examples


def _mark_silence(labels: np.ndarray, level: np.ndarray) -> None:
    quiet = level < level.max() - SILENCE_DB
    edges = np.flatnonzero(np.diff(np.concatenate([[0], quiet.astype(np.int8), [0]])))
    for start, end in edges.reshape(-1, 2):
        if end - start >= SILENCE_FRAMES:
            labels[start:end] = 0


def augment(example: Example, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A random crop as it might sound elsewhere: features [208, CROP] and labels [CROP]."""
    frames = len(example.mel)
    speed = rng.uniform(0.8, 1.25)
    start = rng.integers(0, max(1, frames - int(CROP * speed)))
    at = np.arange(CROP) * speed + start
    beyond = at > frames - 1
    index = np.clip(at, 0, frames - 1).astype(int)
    power, labels = example.mel[index].copy(), example.labels[np.clip(at.round().astype(int), 0, frames - 1)].copy()
    hidden = example.hidden[index].astype(np.float32)
    bands = np.clip(np.arange(MEL_BANDS) * rng.uniform(0.86, 1.16), 0, MEL_BANDS - 1)  # vocal tract length
    low = bands.astype(int)
    share = bands - low
    power = power[:, low] * (1 - share) + power[:, np.minimum(low + 1, MEL_BANDS - 1)] * share
    power[beyond], labels[beyond] = power.min() + 1e-8, 0
    tilt = np.linspace(-1, 1, MEL_BANDS)
    colour = np.cumsum(rng.normal(0, 0.12, MEL_BANDS)) + rng.normal() * 0.8 * tilt  # microphone and room
    power *= np.exp(colour - colour.mean())
    if rng.random() < 0.4:  # reverberation: energy decays over frames
        decay, amount = rng.uniform(0.4, 0.8), rng.uniform(0.05, 0.35)
        tail = np.zeros(MEL_BANDS)
        for row in power:
            tail = decay * tail + amount * row
            row *= 1 - amount
            row += tail
    if rng.random() < 0.8:
        noise = np.exp(np.cumsum(rng.normal(0, 0.25, MEL_BANDS)) + rng.normal() * tilt)
        loud = np.percentile(power.sum(1), 95) * 10 ** (-rng.uniform(5, 45) / 10)
        power += loud * noise / noise.sum() * rng.gamma(2.0, 0.5, power.shape)
    power = torch.from_numpy(power.astype(np.float32))
    mel = normalised_mel(power, float(np.percentile(np.log(power.sum(1).numpy() + 1e-7), 95))).numpy()
    if rng.random() < 0.5:  # hide a few bands
        band = rng.integers(0, MEL_BANDS - 6)
        mel[:, band : band + rng.integers(1, 7)] = mel.mean()
    return np.concatenate([mel, hidden], 1).T, labels


def train(examples: list[Example], steps: int, seed: int = 0) -> Head:
    """AdamW with one learning-rate cycle; prints the mean loss ten times."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    counts = np.bincount(np.concatenate([e.labels for e in examples]), minlength=len(VISEMES)) + 1
    weights = torch.tensor((counts.sum() / counts / len(VISEMES)) ** CLASS_POWER, dtype=torch.float32)
    spoken: dict[str, int] = {}
    for e in examples:
        spoken[e.voice] = spoken.get(e.voice, 0) + len(e.labels)
    chance = np.array([len(e.labels) / spoken[e.voice] ** VOICE_POWER for e in examples])
    chance /= chance.sum()
    head = Head().train()
    optimiser = torch.optim.AdamW(head.parameters(), weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2.5e-3, steps)
    losses, began = [], time.monotonic()
    for step in range(1, steps + 1):
        batch = [augment(examples[i], rng) for i in rng.choice(len(examples), BATCH, p=chance)]
        features = torch.from_numpy(np.stack([x for x, _ in batch])).float()
        labels = torch.from_numpy(np.stack([y for _, y in batch]))
        loss = F.cross_entropy(head(features), labels, weight=weights, label_smoothing=0.05)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
        if step % max(1, steps // 10) == 0:
            print(f"step {step}: loss {np.mean(losses):.3f}, {time.monotonic() - began:.0f} s", flush=True)
            losses.clear()
    return head.eval()


def accuracy(head: VisemeHead, examples: list[Example]) -> float:
    """Share of frames whose most probable viseme is the labelled one."""
    right = total = 0
    for e in examples:
        reference = float(np.percentile(np.log(e.mel.sum(1) + 1e-7), 95))
        mel = normalised_mel(torch.from_numpy(e.mel), reference)
        with torch.inference_mode():
            found = head(torch.cat([mel, torch.from_numpy(e.hidden).float()], 1)).argmax(1).numpy()
        right += int((found == e.labels).sum())
        total += len(found)
    return right / max(1, total)


def speak_everything(options: argparse.Namespace) -> Iterator[Utterance]:
    """Every utterance the options ask for."""
    texts = {language: sentences_from(Path(path)) for language, path in (item.split("=", 1) for item in options.text)}
    for number, voice in enumerate(FLITE_VOICES if "en" in texts and not options.no_flite else ()):
        yield from flite(texts["en"][number :: len(FLITE_VOICES)][: options.sentences], voice, options.flite_program)
    for language in filter(None, options.espeak.split(",")):
        sentences = texts.get(language) or texts.get(language.split("-")[0])
        if sentences is None:
            sys.exit(f"no --text for {language}")
        yield from espeak(sentences[-options.sentences :], language, options.espeak_library, options.espeak_data)
    for folder in options.folder:
        for path in sorted(Path(folder).glob("*.json")):
            said = json.loads(path.read_text(encoding="utf-8"))
            segments = [(phone, start, end) for phone, start, end in said["segments"]]
            yield Utterance(load_audio(path.with_suffix(".wav")), segments, said["alphabet"], said["voice"])


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", action="append", default=[], metavar="LANGUAGE=FILE", help="sentences to speak")
    parser.add_argument("--sentences", type=int, default=120, help="for each voice or language")
    parser.add_argument("--espeak", default="", metavar="LANGUAGES", help="espeak-ng voices, comma-separated")
    parser.add_argument("--folder", action="append", default=[], help="more speech with timings")
    parser.add_argument("--hold-out", default="flite_rms", help="voice that only tests")
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--encoder", type=Path, help="speech encoder file; default: the model store's")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--no-flite", action="store_true")
    parser.add_argument("--flite-program", default="flite")
    parser.add_argument("--espeak-library", help="path of libespeak-ng")
    parser.add_argument("--espeak-data", help="folder that holds espeak-ng-data")
    return parser.parse_args()


def main() -> None:
    from safetensors.torch import save_file

    options = parse_options()
    torch.set_num_threads(options.threads)
    if options.encoder is None:
        from elocute.models.store import model_path

        options.encoder = model_path("speech_encoder")
    examples = prepare(speak_everything(options), options.encoder)
    held = [e for e in examples if e.voice == options.hold_out]
    known = [e for e in examples if e.voice != options.hold_out]
    if not known:
        sys.exit("nothing to learn from: give --text or --folder")
    minutes = sum(len(e.labels) for e in known) / 6000
    print(f"{len(known)} utterances, {minutes:.1f} minutes, {len({e.voice for e in known})} voices", flush=True)
    head = train(known, options.steps)
    weights = {name: value.half() for name, value in head.folded().items()}
    save_file(weights, options.out, metadata={"task": "15 visemes at 100 fps"})
    ready = VisemeHead(options.out)
    seen, unseen = accuracy(ready, known), accuracy(ready, held)
    print(f"{options.out}: accuracy {seen:.3f} on known voices, {unseen:.3f} on {options.hold_out}")


if __name__ == "__main__":
    main()
