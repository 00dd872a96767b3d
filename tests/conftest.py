"""One inversion of the example portrait, shared by every test that needs a real head."""

from __future__ import annotations

import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
PORTRAIT = ROOT / "examples" / "portrait.jpg"
pytest.register_assert_rewrite("refused_commands")  # whose assertions then say as much as a test's own


def pytest_configure() -> None:
    """Signals as a terminal has them: who runs the tests in the background hands down ignored ones."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@dataclass(frozen=True)
class Example:
    """The example portrait at side 512, inverted by the pipeline itself. `scene` has the inversion's own fit; `raw`
    is the scene as it was handed to the inversion; `messages` is what the run reported."""

    raw: Any
    scene: Any
    inverted: Any
    avatar: Any
    folder: Path
    messages: list[Any]

    @property
    def field(self) -> Any:
        """The field as it came out of the inversion, before any file."""
        return self.inverted.field


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Example:
    from elocute import pipeline
    from elocute.inversion import invert as inversion
    from elocute.models.store import verify
    from elocute.modelsets.embedded import FIT_ROLES
    from elocute.settings import FitSettings

    if not all(verify(role) for role in FIT_ROLES):
        pytest.skip("models not fetched: elocute models --fetch")
    seen: list[Any] = []
    whole = inversion.invert

    def watched(scene: Any, *rest: Any) -> Any:
        seen.extend([scene, whole(scene, *rest)])
        return seen[1]

    folder = tmp_path_factory.mktemp("avatars")
    messages: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ELOCUTE_AVATARS", str(folder))
        patch.setattr(inversion, "invert", watched)
        avatar = pipeline.prepare(str(PORTRAIT), FitSettings(str(PORTRAIT), device="cpu"), messages.append)
    raw, inverted = seen
    return Example(raw, replace(raw, fit=inverted.field.fit), inverted, avatar, folder, messages)


@pytest.fixture
def avatars(example: Example, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where the example's avatar lies, as the one that the pipeline looks into."""
    monkeypatch.setenv("ELOCUTE_AVATARS", str(example.folder))
    return example.folder


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own, empty cache, a folder to work in, and a fit that must not begin."""
    from elocute.modelsets import embedded

    monkeypatch.setenv("ELOCUTE_AVATARS", str(tmp_path / "avatars"))
    monkeypatch.setattr(embedded, "_invert", lambda *_: pytest.fail("a fit was begun"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a home folder: no HOME and no account, as in a container."""
    pwd = pytest.importorskip("pwd")  # POSIX

    def unknown(user: Any) -> Any:
        raise KeyError(user)

    for name in ("HOME", "XDG_CACHE_HOME", "ELOCUTE_MODELS", "ELOCUTE_AVATARS", "ELOCUTE_MODEL_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


@pytest.fixture(scope="session")
def stored(example: Example) -> Any:
    """The example's field as shots use it: read back from its avatar file."""
    return example.avatar.field()


@pytest.fixture(scope="session")
def layers(example: Example) -> Any:
    """The example's photo taken apart."""
    from elocute.generators.planes import split_layers

    scene = example.scene
    return split_layers(scene.photo, scene.matte, scene.background, scene.regions["skin"], scene.landmarks)


@pytest.fixture(scope="session")
def example_geometry(example: Example) -> Any:
    """The example's geometry, made again."""
    from elocute.generators.geometry import build_geometry
    from elocute.head.avatar import AvatarHead
    from elocute.head.model import load_head_model

    model = load_head_model()
    return build_geometry(example.scene, AvatarHead(model, example.scene.fit), model)


@pytest.fixture(scope="session")
def untuned(example: Example, example_geometry: Any, layers: Any) -> Any:
    """The example's shells where tuning starts."""
    from elocute.generators.appearance import mean_appearance
    from elocute.generators.colouring import photo_shells
    from elocute.head.model import load_head_model

    return photo_shells(example.scene, example_geometry, mean_appearance(), layers, load_head_model())


@pytest.fixture(scope="session")
def speaking(example: Example) -> np.ndarray:
    """The example's own expression with an open mouth, raised brows and half-shut eyes, [52]."""
    from elocute.values import ARKIT_NAMES

    values = example.scene.fit.expression.astype(np.float32).copy()
    named = {"jawOpen": 0.6, "mouthLowerDownLeft": 0.4, "mouthLowerDownRight": 0.4, "browInnerUp": 0.3,
             "eyeBlinkLeft": 0.5, "eyeBlinkRight": 0.5}  # fmt: skip
    for name, value in named.items():
        values[ARKIT_NAMES.index(name)] = value
    return values


RECORDINGS = ROOT.parent / "shared" / "parity"  # what the reference computed; beside the clone where there is one
GOLDEN = Path(__file__).parent / "data" / "official"


@pytest.fixture(scope="session")
def recorded() -> Any:
    """`recorded("audio/mel_io.npz")`: arrays that the reference computed. Skips where they aren't."""

    def read(name: str) -> dict[str, np.ndarray]:
        if not RECORDINGS.is_dir():
            pytest.skip("no recordings of the reference here: the golden arrays are tested instead")
        with np.load(RECORDINGS / name) as file:
            return dict(file)

    return read


@pytest.fixture(scope="session")
def golden() -> Any:
    """`golden("audio2exp")`: arrays that this project computed in float64 once; tests/data/README.md says how."""

    def read(name: str) -> dict[str, np.ndarray]:
        with np.load(GOLDEN / f"{name}.npz") as file:
            return dict(file)

    return read


def draw_weights(network: Any) -> dict[str, Any]:
    """Weights that follow from nothing but their names and shapes, so that nobody has to store them: a network with
    other names or another order gives other answers."""
    import zlib

    import torch

    weights = {}
    for name, tensor in network.state_dict().items():
        random, shape = np.random.RandomState(zlib.crc32(name.encode())), tuple(tensor.shape)
        if name.endswith("num_batches_tracked"):
            weights[name] = torch.zeros((), dtype=torch.long)
            continue
        if name.endswith("running_var"):
            values = random.uniform(0.5, 1.5, shape)
        elif name.endswith(("running_mean", "bias")):
            values = 0.1 * random.standard_normal(shape)
        elif len(shape) == 1:
            values = random.uniform(0.5, 1.5, shape)
        else:
            values = random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        weights[name] = torch.from_numpy(np.asarray(values, np.float32))
    return weights


@pytest.fixture(scope="session")
def rule_weights() -> Any:
    """`rule_weights(network)`: see `draw_weights`."""
    return draw_weights
