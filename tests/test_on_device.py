"""The embedded set on a device that isn't the CPU, pretended: nothing mixes, and it shows what the CPU shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from pretend_device import pretend_device

from elocute.generators import identity
from elocute.generators.headfield import HeadField
from elocute.generators.scene import Scene
from elocute.inversion import invert as inversion
from elocute.inversion import tuning
from elocute.models.store import model_path, verify
from elocute.portrait.enlarge import enlarge
from elocute.rendering.renderer import Renderer
from elocute.shooting import Shooting
from elocute.speech.visemes import VisemeModel
from elocute.values import ARKIT_NAMES, AS_IN_PORTRAIT, Surroundings, View

SIDE = 64
MEMORY_MB = 20  # several strips of rays
ASIDE = np.array([0.12, -0.08, 0.05])


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Arrays this small take longer with several."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def scene() -> Scene:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(identity, "FINEST", 2 * SIDE)  # painted coarsely: in a second
        return identity.random_scene(3, SIDE)


@pytest.fixture(scope="module")
def field(scene: Scene) -> HeadField:
    return inversion.invert(scene, "cpu", MEMORY_MB, lambda *step: None).field


@pytest.fixture(scope="module")
def speaking(field: HeadField) -> np.ndarray:
    values = field.fit.expression.astype(np.float32).copy()
    for name, value in {"jawOpen": 0.6, "browInnerUp": 0.4, "eyeBlinkLeft": 1.0, "tongueOut": 0.5}.items():
        values[ARKIT_NAMES.index(name)] = value
    return values


def alike(found: np.ndarray, wanted: np.ndarray, still: bool = False) -> None:
    """Frames of the tensor renderer and of the compiled one, 0..255. While the head is still the relief's corners lie
    on pixels' edges and middles, where rounding decides which triangle a ray meets."""
    off = np.abs(found.astype(int) - wanted)
    assert wanted.std() > 20 and off.mean() < (0.5 if still else 0.05)
    assert np.quantile(off, 0.99) <= (8 if still else 1)


def test_frames(field: HeadField, speaking: np.ndarray) -> None:
    own = field.fit.expression
    wanted = Shooting(field, SIDE, "transparent", "cpu", MEMORY_MB)
    with pretend_device() as device:
        found = Shooting(field, SIDE, "transparent", device, MEMORY_MB)
        for expression, pose in ((own, np.zeros(3)), (speaking, np.zeros(3)), (speaking, ASIDE)):
            alike(found.frame(expression, pose), wanted.frame(expression, pose), still=not pose.any())
    assert not found.incremental


def test_what_lies_beyond_the_portrait(field: HeadField, speaking: np.ndarray) -> None:
    """A smaller head, moved aside, whose planes are smoothed, of a photo that shows more than the portrait."""
    field = replace(field, around=Surroundings(np.full((90, 80, 4), 200, np.uint8), 8.0, 6.0, 64.0))
    wanted, view = Shooting(field, SIDE, "#336699", "cpu", MEMORY_MB), View((0.01, 0.0, 0.3), 0.8, (0.05, 0.02))
    with pretend_device() as device:
        found = Shooting(field, SIDE, "#336699", device, MEMORY_MB)
        for now in (view, AS_IN_PORTRAIT):
            alike(found.frame(speaking, ASIDE, now), wanted.frame(speaking, ASIDE, now))
    assert found._outside is not None


def test_depth_and_missing_light(field: HeadField) -> None:
    moved = field.motion.moved(field.fit.expression, (0.1, 0.0, 0.0))
    dimmed = np.linspace(0, 1, len(moved), dtype=np.float32)
    wanted = Renderer(field.shells, SIDE).render(moved, dimmed=dimmed)
    with pretend_device() as device:
        found = Renderer(field.shells, SIDE, device, MEMORY_MB).render(moved, dimmed=dimmed)
    off = [np.abs(one - other) for one, other in zip(found, wanted, strict=True)]
    assert off[0].mean() < 1e-3 and np.quantile(off[1], 0.99) < 1e-4 and wanted[1].max() > 0.5


def test_a_portrait_is_inverted(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of the twelve steps of tuning."""
    monkeypatch.setattr(tuning, "STEPS", 2)
    wanted = inversion.invert(scene, "cpu", MEMORY_MB, lambda *step: None)
    with pretend_device() as device:
        found = inversion.invert(scene, device, MEMORY_MB, lambda *step: None)
    errors, others = ({stage: 10 ** (-value / 20) for stage, value in each.psnr.items()} for each in (found, wanted))
    assert errors == pytest.approx(others, rel=1e-2, abs=3e-4)  # of a picture's 0..1
    assert wanted.psnr["before_pivot"] < wanted.psnr["after_pivot"] < wanted.psnr["after_tuning"]
    off = np.abs(found.field.shells.planes - wanted.field.shells.planes)
    assert off.mean() < 1e-3 and np.quantile(off, 0.999) < 0.05


@pytest.mark.skipif(not verify("speech_encoder"), reason="models not fetched: elocute models --fetch")
def test_speech() -> None:
    """The networks that hear visemes."""
    encoder = model_path("speech_encoder")
    sound = np.random.default_rng(0).normal(0, 0.1, 24000) * np.sin(np.arange(24000) / 2000)
    sound = sound.astype(np.float32)
    wanted = VisemeModel(encoder).probabilities(sound, chunk_seconds=1.0)
    with pretend_device() as device:
        found = VisemeModel(encoder, device).probabilities(sound, chunk_seconds=1.0)
    assert wanted.shape == (151, 15) and wanted.std() > 0.05
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)


@pytest.mark.skipif(not verify("enlarge"), reason="models not fetched: elocute models --fetch")
def test_a_small_photo_is_enlarged() -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (20, 24, 3), np.uint8)
    wanted = enlarge(rgb, 3.0)
    with pretend_device() as device:
        found = enlarge(rgb, 3.0, device=device)
    assert np.abs(found.astype(int) - wanted).max() <= 1 and wanted.std() > 20
