import json
import sys
from pathlib import Path

import numpy as np
import pytest

from elocute.media import load_audio
from elocute.models.store import model_path
from elocute.speech.visemes import VISEMES, VisemeHead

ROOT = Path(__file__).parents[2]


@pytest.fixture
def scripts(monkeypatch):
    """The scripts' folder is importable, and what came from it is forgotten afterwards."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith(("speech_", "train_speech")):
            del sys.modules[name]


def names(labels):
    return [VISEMES[i] for i in labels]


@pytest.mark.parametrize(
    ("phone", "alphabet", "expected"),
    [
        ("aw", "arpabet", ["aa", "ou"]),
        ("pau", "arpabet", ["sil"]),
        ("eh1", "arpabet", ["E"]),
        ("tʃ", "ipa", ["CH"]),
        ("aɪ", "ipa", ["aa", "ih"]),
        ("uː", "ipa", ["ou"]),
        ("ˈ", "ipa", None),
        ("pf", "ipa", ["PP", "FF"]),
    ],
)
def test_phones_become_visemes(scripts, phone, alphabet, expected):
    from speech_phones import visemes_of

    parts = visemes_of(phone, alphabet)
    assert (parts and [viseme for viseme, _ in parts]) == expected
    assert parts is None or sum(share for _, share in parts) == pytest.approx(1)


def test_segments_become_labels_and_h_takes_the_next_vowel(scripts):
    from speech_phones import label_frames

    segments = [("pau", 0, 0.05), ("hh", 0.05, 0.1), ("ow", 0.1, 0.2), ("m", 0.2, 0.25)]
    labels = names(label_frames(segments, "arpabet", 30))
    assert labels[:5] == ["sil"] * 5 and labels[5:16] == ["oh"] * 11
    assert labels[16:20] == ["ou"] * 4 and labels[20:25] == ["PP"] * 5 and labels[25:] == ["sil"] * 5


def test_a_short_training_learns_and_its_file_loads(scripts, tmp_path):
    from safetensors.torch import save_file
    from speech_synthesis import Utterance
    from train_speech_head import accuracy, prepare, train

    labels = np.array(json.loads((ROOT / "tests/data/jfk.json").read_text())["viseme"])
    borders = np.flatnonzero(np.diff(labels, prepend=-1, append=-1))
    symbol = dict(zip(VISEMES, "_ p f θ t k ʃ s n ɹ a ɛ i o u".split(), strict=True))  # fmt: skip
    segments = [(symbol[VISEMES[labels[a]]], a / 100, b / 100) for a, b in zip(borders[:-1], borders[1:], strict=True)]
    spoken = Utterance(load_audio(ROOT / "tests/data/jfk.wav"), segments, "ipa", "jfk")
    examples = prepare([spoken], model_path("speech_encoder"))
    assert (examples[0].labels == labels[: len(examples[0].labels)]).mean() > 0.98
    path = tmp_path / "head.safetensors"
    save_file({name: value.half() for name, value in train(examples, 16).folded().items()}, path)
    assert accuracy(VisemeHead(path), examples) > 0.6  # chance is below 0.2, always silence 0.35
