import numpy as np
import pytest
import torch

from elocute.errors import BadInput, EnvironmentProblem
from elocute.models.store import model_path
from elocute.speech.encoder import SpeechEncoder, read_hama
from elocute.speech.visemes import VISEMES, VisemeHead, viseme_probabilities


def test_most_frames_of_real_speech_get_the_aligned_viseme(clip):
    found, labels = clip.probabilities.argmax(1), clip.labels
    n = min(len(found), len(labels))
    assert (found[:n] == labels[:n]).mean() > 0.78  # two alignments of one clip agree on 0.80


def test_one_distribution_every_10_ms(clip):
    assert clip.probabilities.shape == (1 + len(clip.audio) // 160, len(VISEMES))
    np.testing.assert_allclose(clip.probabilities.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("chunk", [5.0, 7.77])
def test_chunks_hear_what_the_whole_hears(jfk, chunk):
    parts = viseme_probabilities(jfk.audio, chunk_seconds=chunk)
    assert parts.shape == jfk.probabilities.shape
    assert np.abs(parts - jfk.probabilities).mean() < 0.012
    assert (parts.argmax(1) == jfk.probabilities.argmax(1)).mean() > 0.92


def test_long_recordings_do_not_change_at_chunk_borders(jfk):
    whole = viseme_probabilities(np.tile(jfk.audio, 4))  # 44 s: chunks end at 20 s and 40 s
    frames = len(jfk.audio) // 160
    for repeat in range(4):
        part = whole[repeat * frames + 20 : (repeat + 1) * frames - 20]
        assert np.abs(part - jfk.probabilities[20 : frames - 20]).mean() < 0.012


@pytest.mark.parametrize("factor", [0.05, 0.3])
def test_loudness_does_not_matter(clip, factor):
    quiet = viseme_probabilities(clip.audio * np.float32(factor))
    np.testing.assert_allclose(quiet, clip.probabilities, atol=2e-3)


def test_a_click_does_not_silence_the_voice(jfk):
    clicked = jfk.audio.copy()
    clicked[8000:8004] = 20.0
    found = viseme_probabilities(clicked)
    assert np.abs(found[100:] - jfk.probabilities[100:]).mean() < 0.02


@pytest.mark.parametrize("samples", [1, 100, 1600, 3333])
def test_the_shortest_sounds_work(jfk, samples):
    assert np.isfinite(viseme_probabilities(jfk.audio[40000 : 40000 + samples])).all()


def test_no_samples_are_refused():
    with pytest.raises(BadInput) as caught:
        viseme_probabilities(np.zeros(0, np.float32))
    assert caught.value.code == "audio_empty"


def test_bfloat16_hears_the_same(jfk):
    found = viseme_probabilities(jfk.audio, dtype=torch.bfloat16)
    assert (found.argmax(1) == jfk.probabilities.argmax(1)).mean() > 0.97


def test_attention_sees_all_frames_in_order():
    encoder = SpeechEncoder(model_path("speech_encoder"))
    wave = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32))
    assert encoder(wave).shape == (51, 144)


def test_damaged_model_files_are_named(tmp_path):
    whole = model_path("speech_encoder").read_bytes()
    for name, content in {"cut.hama": whole[:5000], "other.hama": b"PK" + whole[2:], "empty.hama": b""}.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(EnvironmentProblem) as caught:
            read_hama(path)
        assert caught.value.code == "model_unreadable" and name in caught.value.message
    with pytest.raises(EnvironmentProblem):
        VisemeHead(tmp_path / "cut.hama")
