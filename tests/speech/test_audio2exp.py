from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from elocute.errors import BadInput
from elocute.speech.audio2exp import Audio2Exp, expressions, load_audio2exp, silent_expressions, voice_expressions
from elocute.speech.sadtalker_mel import frame_windows
from elocute.values import BASEL_NAMES

FLOAT32, FLOAT64 = 3e-6, 1e-12  # of the largest number
FPS = Fraction(25)


@pytest.fixture(scope="module")
def weights(rule_weights: Any) -> dict[str, torch.Tensor]:
    return rule_weights(Audio2Exp())


@pytest.fixture(scope="module")
def network(weights: dict[str, torch.Tensor]) -> Audio2Exp:
    return load_audio2exp(weights)


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (0.3 * rng.normal(0, 1, 640 * 20) * np.abs(np.sin(np.arange(640 * 20) / 2500))).astype(np.float32)


def off(found: torch.Tensor, wanted: np.ndarray) -> float:
    return float(np.abs(found.numpy().reshape(wanted.shape) - wanted).max() / np.abs(wanted).max())


@pytest.mark.parametrize(("dtype", "suffix"), [(torch.float32, ""), (torch.float64, "_f64")])
def test_the_reference_is_met(weights: dict[str, torch.Tensor], recorded: Any, dtype: torch.dtype, suffix: str) -> None:
    wanted = recorded("audio/audio2exp_io.npz")
    windows = torch.from_numpy(recorded("audio/mel_io.npz")["frame_mel"][0])
    network, own = load_audio2exp(weights, dtype=dtype), torch.from_numpy(wanted["ref_exp"][0])
    limit = FLOAT32 if dtype == torch.float32 else FLOAT64
    assert off(network.encode(windows.to(dtype)), wanted["encoder" + suffix]) < limit
    found = expressions(network, windows, own)
    assert off(found[:1], wanted["first" + suffix]) < limit
    assert off(found, wanted["raw" + suffix]) < limit
    assert off(1.5 * found, wanted["scaled" + suffix]) < limit


def test_names_and_shapes_are_the_published_ones(network: Audio2Exp, recorded: Any) -> None:
    import json
    from pathlib import Path

    recorded("audio/audio2exp_io.npz")  # skips
    root = Path(__file__).resolve().parents[3] / "shared" / "parity" / "audio"
    listed = json.loads((root / "audio2exp_state_dict.json").read_text())
    assert {n: list(t.shape) for n, t in network.state_dict().items()} == {n: s for n, (s, _) in listed.items()}


def test_golden(network: Audio2Exp, golden: Any) -> None:
    wanted = golden("audio2exp")
    found = expressions(network, torch.from_numpy(wanted["windows"]), torch.from_numpy(wanted["own"]))
    assert off(found, wanted["expressions"]) < 1e-5


def test_the_recursion_is_the_network_frame_by_frame(network: Audio2Exp, voice: np.ndarray) -> None:
    windows, own = torch.from_numpy(frame_windows(voice)), torch.linspace(-1, 1, 64)
    before, wanted = own, []
    for window in windows:
        answer = network(window[None], before[None], torch.zeros(1, 1))[0]
        before = 0.5 * own + 0.5 * answer
        wanted.append(answer)
    assert off(expressions(network, windows, own), torch.stack(wanted).numpy()) < FLOAT32
    assert expressions(network, windows[:0], own).shape == (0, 64)


def test_the_reference_replaces_the_expression_and_the_default_adds_to_it(
    network: Audio2Exp, voice: np.ndarray
) -> None:
    own = np.random.default_rng(1).normal(0, 1, 64)
    raw = expressions(network, torch.from_numpy(frame_windows(voice)), torch.from_numpy(own)).numpy()
    there = voice_expressions(network, voice, own, FPS, 20, reference=True)
    assert there.names == BASEL_NAMES and there.fps == FPS
    assert np.allclose(there.values, 1.5 * raw, rtol=1e-5, atol=1e-4)
    quiet = voice_expressions(network, np.zeros(640 * 20, np.float32), own, FPS, 20)
    assert np.allclose(quiet.values, own, atol=1e-4)
    silence = torch.from_numpy(frame_windows(np.zeros(640 * 20)))
    silent = expressions(network, silence, torch.from_numpy(own)).numpy()
    assert np.allclose(silent_expressions(network, 20, torch.from_numpy(own)).numpy(), silent, rtol=1e-5, atol=1e-5)
    added = voice_expressions(network, voice, own, FPS, 20)
    assert np.allclose(added.values, own + 1.5 * (raw - silent), rtol=1e-5, atol=1e-3)


def test_other_frame_rates_are_the_same_motion(network: Audio2Exp, voice: np.ndarray) -> None:
    own = np.zeros(64)
    at_25 = voice_expressions(network, voice, own, FPS, 20).values
    doubled = voice_expressions(network, voice, own, Fraction(50), 40)
    assert doubled.fps == 50 and doubled.values.shape == (40, 64)
    assert np.allclose(doubled.values[::2], at_25, atol=1e-4)
    assert np.allclose(doubled.values[1:-1:2], (at_25[1:] + at_25[:-1]) / 2, atol=1e-3)
    film = voice_expressions(network, voice, own, Fraction(24000, 1001), 19).values
    place = 7 * 25 * 1001 / 24000  # the time of its eighth frame, in frames at 25
    low = int(place)
    assert np.allclose(film[7], at_25[low] * (1 - place + low) + at_25[low + 1] * (place - low), atol=1e-3)


def test_what_can_not_work_is_refused(network: Audio2Exp, voice: np.ndarray) -> None:
    with pytest.raises(BadInput) as refusal:
        voice_expressions(network, voice[:600], np.zeros(64), FPS, 1)
    assert refusal.value.code == "audio_too_short"
    with pytest.raises(BadInput) as refusal:
        voice_expressions(network, voice, np.zeros(64), Fraction(0), 1)
    assert refusal.value.code == "fps_invalid"
