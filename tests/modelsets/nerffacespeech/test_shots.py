"""The whole published pipeline on random weights: nobody's face, but every stage, file and size that there is."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import official
import pytest
from published_shots import FRAMES, PORTRAIT, driven, frames, shot, speak

from elocute import pipeline
from elocute.errors import BadInput, EnvironmentProblem
from elocute.finishing.frames import read_png
from elocute.generators.stylenerf import generator
from elocute.head.conversion import ExpressionConversion
from elocute.models.importing import import_files
from elocute.models.official import REQUIRED, official_folder
from elocute.models.store import verify
from elocute.modelsets.nerffacespeech import drive
from elocute.modelsets.nerffacespeech.cutout import before
from elocute.modelsets.nerffacespeech.performance import precision_of
from elocute.modelsets.nerffacespeech.weights import Networks
from elocute.settings import FitSettings, Shot
from elocute.speech.motion import blinks
from elocute.values import BASEL_NAMES, BLINK

pytestmark = [
    pytest.mark.skipif(not verify("face"), reason="models not fetched: elocute models --fetch"),
    pytest.mark.usefixtures("official_set"),
]


@pytest.fixture(scope="module")
def whole(imported_models: Path, official_avatars: Path, second: Path, tmp_path_factory: Any) -> Path:
    """A random person speaks for a second: frames/ and o.mp4."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ELOCUTE_MODELS", str(imported_models))
        patch.setenv("ELOCUTE_AVATARS", str(official_avatars))
        result = speak(shot(folder / "frames", voice=second, output=folder / "o.mp4"))
    assert (result.frames, result.rendered) == (FRAMES, FRAMES)
    return folder


def test_a_random_person_speaks(whole: Path) -> None:
    pictures = frames(whole / "frames")
    assert all(picture.shape == (128, 128, 3) for picture in pictures)
    assert (whole / "o.mp4").stat().st_size > 1000
    assert all(np.abs(a - b).max() > 0 for a, b in zip(pictures, pictures[1:], strict=False)), "nothing moves"


def test_a_range_is_the_same_frames(whole: Path, second: Path, tmp_path: Path) -> None:
    result = speak(shot(tmp_path, voice=second, frames=(4, 5)))
    assert result.rendered == 2
    for name in ("000004.png", "000005.png"):
        assert (tmp_path / name).read_bytes() == (whole / "frames" / name).read_bytes()


def test_what_is_there_is_kept(whole: Path, second: Path) -> None:
    result = speak(shot(whole / "frames", voice=second, frames=(1, 5)))
    assert (result.rendered, result.reused) == (0, 5)
    louder = speak(shot(whole / "frames", voice=second, frames=(3, 3), expression_scale=1.5))
    assert louder.rendered == 1


def test_half_precision_is_for_cuda_unless_it_is_wanted_elsewhere() -> None:
    devices = ("cpu", "mps", "cuda", "cuda:1")
    assert [precision_of("auto", device) for device in devices] == ["full", "full", "mixed", "mixed"]
    for wanted in ("full", "mixed"):
        assert {precision_of(wanted, device) for device in devices} == {wanted}


def test_half_precision_is_another_picture_hardly_to_be_told(whole: Path, second: Path, tmp_path: Path) -> None:
    """On a CPU frames are in single precision unless they are wanted otherwise."""
    (tmp_path / "f").mkdir()
    for name in ("000004.png", "manifest.json"):
        (tmp_path / "f" / name).write_bytes((whole / "frames" / name).read_bytes())
    for precision, rendered in (("full", 0), ("mixed", 1), ("mixed", 0)):
        result = speak(shot(tmp_path / "f", voice=second, frames=(4, 4), precision=precision))
        assert result.rendered == rendered
    (half,), one = frames(tmp_path / "f"), frames(whole / "frames")[3]
    assert 0 < np.abs(half.astype(int) - one).max() <= 3


def test_a_second_job_loads_and_hears_nothing_again(
    whole: Path, second: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a worker's previews do, and to the same picture."""
    speak(shot(tmp_path / "a", voice=second, frames=(1, 1)))
    for owner, what in ((Networks, "generator"), (drive, "voice_expressions")):
        monkeypatch.setattr(owner, what, lambda *a, **k: pytest.fail("made again"))
    speak(shot(tmp_path / "b", voice=second, frames=(4, 4)))
    assert (tmp_path / "b" / "000004.png").read_bytes() == (whole / "frames" / "000004.png").read_bytes()


def test_a_shot_that_can_not_be_compiled_says_so_and_goes_on(
    whole: Path, second: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> Any:
        raise RuntimeError("no compiler\nand much more")

    generator._compiled.cache_clear()
    monkeypatch.setattr(generator.torch, "compile", refuse)
    said = speak(shot(tmp_path, voice=second, frames=(4, 5), compile=True)).warnings
    assert said.count("torch.compile doesn't work here (no compiler); going on without") == 1
    for name in ("000004.png", "000005.png"):
        assert (tmp_path / name).read_bytes() == (whole / "frames" / name).read_bytes()
    monkeypatch.setattr(generator, "_compiled", lambda: pytest.fail("the next shot was not asked to"))
    assert speak(shot(tmp_path, voice=second, frames=(4, 4))).rendered == 1


def test_the_reference_is_another_picture_and_reproducible(whole: Path, second: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        said = speak(shot(tmp_path / name, voice=second, frames=(2, 3), reference=True)).warnings
    assert any("no face found" in line for line in said), "a random generator shows no face: said, and no error"
    assert (tmp_path / "a" / "000003.png").read_bytes() == (tmp_path / "b" / "000003.png").read_bytes()
    assert np.abs(frames(tmp_path / "a")[1] - read_png(whole / "frames" / "000003.png").astype(int)).mean() > 1


def test_poses_turn_and_curves_move(tmp_path: Path) -> None:
    poses, curves = tmp_path / "p.json", tmp_path / "c.json"
    poses.write_text(json.dumps({"fps": FRAMES, "yaw_deg": [0, 10, 70]}))
    values = [[0, 0], [0, 0], [1, 1]]
    curves.write_text(json.dumps({"fps": FRAMES, "names": ["jawOpen", "tongueOut"], "values": values}))
    turned = speak(shot(tmp_path / "turned", poses=poses))
    assert any("frame 3: yaw beyond 40 degrees" in line for line in turned.warnings)
    first, second, third = frames(tmp_path / "turned")
    assert 0 < np.abs(second - first).mean() < np.abs(third - first).mean()
    moved = speak(shot(tmp_path / "moved", curves=curves))
    still, same, opened = frames(tmp_path / "moved")
    assert np.array_equal(still, same) or np.abs(still - same).mean() < np.abs(opened - still).mean()
    assert any("gaze and tongue" in line for line in moved.warnings)


def test_expressions_carry_the_units_of_the_set(second: Path, tmp_path: Path) -> None:
    drive = driven(shot(tmp_path, voice=second))
    assert drive.names == BASEL_NAMES and drive.expression.shape == (FRAMES, 64)


def test_eyes_blink_where_nothing_else_says_what_they_do(tmp_path: Path) -> None:
    poses = tmp_path / "p.json"
    poses.write_text(json.dumps({"fps": 25, "yaw_deg": [0] * 100}))
    seconds = {"poses": poses, "fps": Fraction(25)}
    blinking, still = (driven(shot(tmp_path, blink=blink, **seconds)).expression for blink in (True, False))
    assert np.ptp(still, 0).max() == 0
    assert np.array_equal((blinking != still).any(1), blinks(100, Fraction(25), 0) > 0)
    assert np.ptp(driven(shot(tmp_path, reference=True, **seconds)).expression, 0).max() == 0
    for name, blink in {"jawOpen": True, "eyeBlinkLeft": False}.items():
        (tmp_path / "c.json").write_text(json.dumps({"fps": 25, "names": [name], "values": [[0.5]] * 100}))
        moved = driven(shot(tmp_path, curves=tmp_path / "c.json", fps=Fraction(25))).expression
        assert bool(np.ptp(moved, 0).max() > 0) == blink, "keyed eyes do what their keys say"


def test_a_blink_shuts_lids_from_where_they_are() -> None:
    same = ExpressionConversion(1000 * np.eye(52, 204), 1000 * np.eye(64, 204))  # a coefficient for each ARKit unit
    rest = np.zeros(64, np.float32)
    rest[BLINK[0]] = 0.4
    networks = Networks("cpu")
    networks.conversion = same
    job = Shot("seed:3", curves=Path("c.json"), frames_dir=Path("f"), fps=Fraction(25))
    lids = rest + drive._blinks(job, 100, rest, networks)
    assert lids[:, list(BLINK)].max(0) == pytest.approx([1, 1], abs=0.01)
    assert lids.min() >= 0 and np.delete(lids, BLINK, 1).max() < 1e-4


def test_a_voice_becomes_curves_that_any_set_takes(second: Path, tmp_path: Path) -> None:
    from elocute import jobs
    from elocute.settings import CurvesSettings
    from elocute.speech.track_io import read_curves

    settings = CurvesSettings(second, tmp_path / "c.json", Fraction(FRAMES), model_set="nerffacespeech")
    jobs.curves(settings, lambda message: None, lambda: False)
    track = read_curves(tmp_path / "c.json")
    assert track.values.shape == (FRAMES, 52) and 0 <= track.values.min() <= track.values.max() <= 1


def test_the_reference_takes_only_a_picture_of_its_own_size(second: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as problem:
        speak(shot(tmp_path, portrait=str(PORTRAIT), voice=second, reference=True))
    assert problem.value.code == "portrait_not_square"


def test_another_background_is_what_a_compositor_makes_of_transparent_frames(second: Path, tmp_path: Path) -> None:
    for background in ("transparent", "#20c040"):
        speak(shot(tmp_path / background, voice=second, frames=(1, 1), background=background))
    (clear,), (plain,) = (frames(tmp_path / background) for background in ("transparent", "#20c040"))
    assert clear.shape == (128, 128, 4) and plain.shape == (128, 128, 3)
    alpha = clear[..., 3:] / 255
    assert np.abs(alpha * clear[..., :3] + (1 - alpha) * np.array([0x20, 0xC0, 0x40]) - plain).max() <= 2


def test_the_person_of_a_frame_is_cut_out() -> None:
    from elocute.portrait.image import load_image

    photo = load_image(PORTRAIT).rgb
    clear = before(photo, "transparent")
    assert clear.shape == (*photo.shape[:2], 4)
    face = clear[photo.shape[0] // 2, photo.shape[1] // 2, 3]
    assert face == 255 and clear[:9, :9, 3].max() < 9
    assert before(photo, "keep") is photo


def test_a_picture_without_a_face_is_cut_out_all_the_same() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    assert before(noise, "transparent").shape == (64, 64, 4)


def test_what_the_set_can_not_do_is_refused_at_once(second: Path, tmp_path: Path) -> None:
    for more, code in (
        ({"background": "#000000", "reference": True}, "background_kept"),
        ({"framing": 2.5}, "framing_fixed"),
        ({"model_set": "embedded", "portrait": "seed:4", "framing": 2.5}, "framing_fixed"),
        ({"model_set": "embedded", "reference": True}, "option_of_other_set"),
        ({"model_set": "embedded", "fit_steps": (1, 1)}, "option_of_other_set"),
        ({"model_set": "embedded", "fit_memory_mb": 800}, "option_of_other_set"),
        ({"model_set": "embedded", "compile": True}, "option_of_other_set"),
        ({"model_set": "embedded", "precision": "full"}, "option_of_other_set"),
    ):
        with pytest.raises(BadInput) as problem:
            speak(shot(tmp_path, voice=second, **more))
        assert problem.value.code == code


def test_missing_weights(second: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run can do without is said; what it can't is refused by name."""
    monkeypatch.setenv("ELOCUTE_MODELS", str(tmp_path / "models"))
    with pytest.raises(EnvironmentProblem) as problem:
        speak(shot(tmp_path / "f", voice=second))
    assert problem.value.code == "model_not_imported" and "elocute models import" in problem.value.message
    assert all(role in problem.value.message for role in REQUIRED), "everything that is missing, at once"
    for portrait in (str(PORTRAIT), "seed:3"):
        with pytest.raises(EnvironmentProblem) as problem:
            pipeline.prepare(portrait, FitSettings(portrait, model_set="nerffacespeech"), lambda message: None)
        lacking = problem.value.message.split("Used when there")[0]
        assert ("epoch_20.pth" in lacking) == (portrait != "seed:3") and "ffhq_1024.pkl" in lacking
    official.write_generator(tmp_path / "g.pkl", official.generator_arguments(sizes={**official.SMALL, "latent": 512}))
    official.write_face_model(tmp_path / "m.mat")
    import_files([tmp_path / "g.pkl", tmp_path / "m.mat"])
    with pytest.raises(EnvironmentProblem, match="SadTalker"):
        speak(shot(tmp_path / "f", voice=second))
    with pytest.raises(EnvironmentProblem) as problem:  # which finds landmarks, and is first asked after an inversion
        pipeline.prepare("seed:3", FitSettings("seed:3", model_set="nerffacespeech"), pytest.fail)
    assert problem.value.code == "model_missing"
    assert sorted(path.stem for path in official_folder().glob("*.json")) == ["face_model", "generator"]


def test_a_generator_whose_styles_the_mouth_does_not_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELOCUTE_MODELS", str(tmp_path / "models"))
    official.write_generator(tmp_path / "g.pkl", official.generator_arguments())
    official.write_mouth(tmp_path / "m.pt")
    import_files([tmp_path / "g.pkl", tmp_path / "m.pt"])
    with pytest.raises(EnvironmentProblem, match="styles of 512 numbers") as problem:
        _ = Networks("cpu").mouth
    assert problem.value.code == "weights_mismatch"
