"""Writes tests/data/official: what the networks and the face model of the official set compute, in float64.

Run it from the repository's root with the engine installed. The weights are `rule_weights` of tests/conftest.py. The
recordings hold a version to what an earlier one computed; record them anew only when a change means to compute
something else, and say so in the change.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import torch

from elocute.generators import lipaint
from elocute.head import basel
from elocute.portrait import deep3d, parsing
from elocute.speech import audio2exp, sadtalker_mel

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "tests" / "data" / "official"


def helpers(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.replace("/", "_"), ROOT / "tests" / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    weights, heads = helpers("conftest.py").draw_weights, helpers("head/conftest.py")
    random = np.random.default_rng(7)
    OUT.mkdir(exist_ok=True)

    def save(name: str, **arrays: np.ndarray) -> None:
        np.savez_compressed(OUT / f"{name}.npz", **arrays)

    face = basel.BaselFace.from_arrays(heads.random_basel(), dtype=torch.float64)
    coefficients = random.normal(0, 0.3, (2, basel.COEFFICIENTS))
    shown = heads.show_basel(face, torch.from_numpy(coefficients))
    some = slice(None, None, 9)
    save(
        "basel", coefficients=coefficients, pixels=shown.pixels[:, some].numpy(), colours=shown.colours[:, some].numpy()
    )

    image = cv2.resize(random.integers(0, 256, (9, 9, 3), np.uint8), (224, 224), interpolation=cv2.INTER_NEAREST)
    regressor = deep3d.load_deep3d(weights(deep3d.Deep3DNet()), dtype=torch.float64)
    crop = deep3d.Crop(image, np.ones(2), np.zeros(2))
    save("deep3d", image=image, coefficients=deep3d.read_coefficients(regressor, crop))

    image = random.uniform(-1, 1, (1, 3, 16, 16)).astype(np.float32)
    parser = parsing.load_bisenet(weights(parsing.BiSeNet()), dtype=torch.float64)
    scores = parser(parsing.normalised(torch.from_numpy(image).double(), 64))[..., ::4, ::4]
    save("bisenet", image=image, scores=scores.numpy().astype(np.float32))

    time = np.arange(640 * 12)
    voice = 0.3 * random.normal(0, 1, len(time)) * np.abs(np.sin(time / 1500)) + 0.2 * np.sin(time / 9)
    voice = (np.round(voice * 8192) / 32768).astype(np.float32)
    windows, own = sadtalker_mel.frame_windows(voice), random.normal(0, 1, 64)
    listener = audio2exp.load_audio2exp(weights(audio2exp.Audio2Exp()), dtype=torch.float64)
    said = audio2exp.expressions(listener, torch.from_numpy(windows), torch.from_numpy(own))
    save("audio2exp", voice=voice, windows=windows, own=own, expressions=said.numpy())

    style, expression = random.normal(0, 1, (2, 512)), random.normal(0, 1, (2, 64))
    painter = lipaint.load_lipaint(weights(lipaint.LipaintNet()), dtype=torch.float64)
    changed = painter(torch.from_numpy(style), torch.from_numpy(expression))
    save("lipaint", style=style, expression=expression, changed=changed.numpy())


if __name__ == "__main__":
    main()
