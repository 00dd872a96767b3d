"""The whole published pipeline on random weights: nobody's face, but every stage, file and size that there is."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import official
import pytest
import torch

from elocute import pipeline
from elocute.drive import Drive, Inputs, head_poses, read_inputs
from elocute.driving.follow import Followed
from elocute.errors import BadInput, Cancelled, EnvironmentProblem
from elocute.finishing.frames import read_png
from elocute.head.projection import pose_rotation
from elocute.head.spaces import front_camera
from elocute.models.importing import import_files
from elocute.models.official import REQUIRED, official_folder
from elocute.models.store import verify
from elocute.modelsets import model_set
from elocute.modelsets.nerffacespeech import drive
from elocute.modelsets.nerffacespeech.cameras import placement_of
from elocute.modelsets.nerffacespeech.cutout import before
from elocute.modelsets.nerffacespeech.weights import Networks
from elocute.settings import FitSettings, Shot
from elocute.values import AS_IN_PORTRAIT, BASEL_NAMES, View

PORTRAIT = Path(__file__).resolve().parents[3] / "examples" / "portrait.jpg"
FRAMES = 5  # of the second of voice: every stage runs, at any rate
pytestmark = [
    pytest.mark.skipif(not verify("face"), reason="models not fetched: elocute models --fetch"),
    pytest.mark.usefixtures("official_set"),
]


def shot(folder: Path, **more: Any) -> Shot:
    settings = {"portrait": "seed:3", "size": 128, "device": "cpu", "model_set": "nerffacespeech",
                "fps": Fraction(FRAMES), "frames_dir": folder} | more  # fmt: skip
    return Shot(**settings)


def speak(job: Shot) -> pipeline.Result:
    return pipeline.speak(job, lambda message: None, lambda: False)


def frames(folder: Path) -> list[np.ndarray]:
    return [read_png(file).astype(int) for file in sorted(folder.glob("*.png"))]


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


def test_a_second_job_loads_and_hears_nothing_again(
    whole: Path, second: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a worker's previews do, and to the same picture."""
    speak(shot(tmp_path / "a", voice=second, frames=(1, 1)))
    for owner, what in ((Networks, "generator"), (drive, "voice_expressions")):
        monkeypatch.setattr(owner, what, lambda *a, **k: pytest.fail("made again"))
    speak(shot(tmp_path / "b", voice=second, frames=(4, 4)))
    assert (tmp_path / "b" / "000004.png").read_bytes() == (whole / "frames" / "000004.png").read_bytes()


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


def driven(job: Shot) -> Drive:
    """What a shot makes face and head do."""
    models = model_set(job.model_set)
    avatar = models.prepare(job.portrait, job.fit, lambda message: None, job.size)
    return models.perform(avatar, job, read_inputs(job, None, models.reading(job)), "cpu").drive


def test_expressions_carry_the_units_of_the_set(second: Path, tmp_path: Path) -> None:
    drive = driven(shot(tmp_path, voice=second))
    assert drive.names == BASEL_NAMES and drive.expression.shape == (FRAMES, 64)


def test_a_voice_becomes_curves_that_any_set_takes(second: Path, tmp_path: Path) -> None:
    from elocute import jobs
    from elocute.settings import CurvesSettings
    from elocute.speech.track_io import read_curves

    settings = CurvesSettings(second, tmp_path / "c.json", Fraction(FRAMES), model_set="nerffacespeech")
    jobs.curves(settings, lambda message: None, lambda: False)
    track = read_curves(tmp_path / "c.json")
    assert track.values.shape == (FRAMES, 52) and 0 <= track.values.min() <= track.values.max() <= 1


@pytest.fixture(scope="module")
def guide(tmp_path_factory: Any) -> list[np.ndarray]:
    """A face that tilts: four frames, 256 x 256."""
    import cv2

    photo = cv2.resize(cv2.cvtColor(cv2.imread(str(PORTRAIT)), cv2.COLOR_BGR2RGB), (256, 256))
    turns = [cv2.getRotationMatrix2D((128, 128), angle, 1.0) for angle in (0, 4, 8, 12)]
    return [cv2.warpAffine(photo, turn, (256, 256), borderMode=cv2.BORDER_REPLICATE) for turn in turns]


@pytest.mark.parametrize("reference", [False, True])
def test_poses_of_a_folder_are_followed(guide: list[np.ndarray], second: Path, tmp_path: Path, reference: bool) -> None:
    import cv2

    folder = tmp_path / "guide"
    folder.mkdir()
    for number, frame in enumerate(guide, 1):
        cv2.imwrite(str(folder / f"frame{number}.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    (folder / "frame3.png").write_bytes(b"no picture")
    job = shot(tmp_path / "f", voice=second, poses_from=folder, poses_smooth=0.0, frames=(1, 2), reference=reference)
    result = speak(job)
    assert any("frame3.png" in line for line in result.warnings) and len(frames(tmp_path / "f")) == 2
    poses = driven(job).poses
    assert np.array_equal(poses[2], poses[1]) and np.abs(poses[3] - poses[0]).max() > 1e-4


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize(("source", "head"), [("poses_from", "leader"), ("drive", "driver")])
def test_the_reference_only_turns_and_smooths_nothing(
    source: str, head: str, reference: bool, second: Path, tmp_path: Path
) -> None:
    turns = np.stack([pose_rotation(0.2 * (i % 2), 0.0, 0.0) for i in range(FRAMES)])  # jerks, and goes aside
    places = np.array([[0.01 * i, 0, -0.5] for i in range(FRAMES)])
    guide = Followed(turns, places, np.zeros((FRAMES, 64), np.float32), Fraction(50), units=BASEL_NAMES)
    own = placement_of(front_camera(torch.eye(3, dtype=torch.float64)[None])[0].numpy(), 0.2)

    def poses(**more: Any) -> tuple[np.ndarray, tuple[View, ...]]:
        where = {source: tmp_path / "v.mp4", "fps": Fraction(50)}
        job = shot(tmp_path, voice=second, reference=reference, **where, **more)
        track, _ = head_poses(job, own, Inputs(None, None, FRAMES, **{head: guide}))
        return track.yaw, track.views

    free, bound = poses(poses_smooth=0.06, poses_move=1.0), poses(poses_smooth=0.0, poses_move=0.0)
    assert np.ptp(free[0]) < 0.5 * np.ptp(bound[0]) and free[1] and set(bound[1]) <= {AS_IN_PORTRAIT}
    assert np.allclose(bound[0], [0.2 * (i % 2) for i in range(FRAMES)], atol=1e-3)  # as read, no landmarks' gains
    yaw, views = poses()
    wanted = bound if reference else free
    assert np.array_equal(yaw, wanted[0]) and views == wanted[1]


def test_a_video_drives_head_and_face(guide: list[np.ndarray], second: Path, tmp_path: Path) -> None:
    from elocute.finishing.video import VideoWriter
    from elocute.media import load_audio

    video = tmp_path / "v.mp4"
    with VideoWriter(video, (256, 256), Fraction(FRAMES), second, Fraction(len(guide), FRAMES)) as writer:
        for frame in guide:
            writer.write(frame)
    result = speak(shot(tmp_path / "f", drive=video, output=tmp_path / "o.mp4"))
    assert result.frames == 4 and len(load_audio(tmp_path / "o.mp4")) / 16000 == pytest.approx(0.8, abs=0.1)
    whole = driven(shot(tmp_path, drive=video))
    eyes = driven(shot(tmp_path, drive=video, voice=second, drive_mouth=0.0, drive_brows=0.0))
    voice = driven(shot(tmp_path, voice=second, still=True))
    assert whole.names == BASEL_NAMES and np.abs(np.diff(whole.poses, axis=0)).max() > 1e-4
    assert not np.allclose(eyes.expression, voice.expression, atol=1e-3), "the video's share"
    assert not np.allclose(eyes.expression[:4], whole.expression, atol=1e-3), "the voice's share"


@pytest.mark.parametrize("reference", [False, True])
def test_a_videos_face_moves_the_portraits_and_only_the_reference_replaces_it(
    reference: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cv2

    from elocute.head.basel import EXPRESSION
    from elocute.modelsets.nerffacespeech import guide

    (tmp_path / "guide").mkdir()
    for number in range(6):
        cv2.imwrite(str(tmp_path / "guide" / f"{number}.png"), np.full((8, 8, 3), number, np.uint8))
    theirs = np.random.default_rng(0).normal(0, 0.5, 64)  # how the person in the video looks at rest
    changes: list[float | None] = [0.0, 0.0, 0.3, None, -0.2, 0.0]

    def read(networks: Networks, rgb: np.ndarray, as_published: bool) -> tuple[np.ndarray, np.ndarray] | None:
        change = changes[rgb[0, 0, 0]]
        assert as_published == reference
        found = np.zeros(257, np.float32)
        found[EXPRESSION] = theirs + (change or 0)
        return None if change is None else (found, np.array([0, 0, 1.0]))

    monkeypatch.setattr(guide, "coefficients_of", read)
    job = shot(tmp_path, drive=tmp_path / "guide", reference=reference, expression_scale=2.0)
    avatar = model_set(job.model_set).prepare(job.portrait, job.fit, lambda message: None, job.size)
    own = avatar.arrays()["coefficients"][EXPRESSION]
    held = np.array([0, 0, 0.3, 0.3, -0.2, 0])[:, None]
    wanted = 2 * (theirs + held) if reference else own + 2 * held
    np.testing.assert_allclose(driven(job).expression, wanted, atol=1e-5)


def test_a_photo_is_inverted_once(second: Path, tmp_path: Path) -> None:
    job = shot(tmp_path / "f", portrait=str(PORTRAIT), voice=second, frames=(1, 2), fit_steps=(2, 2))
    speak(job)
    said = pipeline.prepare(job.portrait, job.fit, lambda message: None).report
    assert said["cached"] and said["model_set"] == "nerffacespeech"
    other = pipeline.prepare(job.portrait, FitSettings(**{**vars(job.fit), "fit_steps": (2, 1)}), lambda m: None)
    assert not other.report["cached"], "other steps, another avatar"
    assert len(frames(tmp_path / "f")) == 2


def test_other_landmarks_make_another_avatar(monkeypatch: pytest.MonkeyPatch) -> None:
    from elocute.modelsets.nerffacespeech.prepare import key_of

    settings = FitSettings(str(PORTRAIT), "cpu", "nerffacespeech")
    keys = [key_of(settings.portrait, settings)]
    monkeypatch.setattr("elocute.portrait.landmarks68.face_alignment_missing", lambda: None)
    for version in ("1.5.0", "1.6.0"):
        monkeypatch.setattr("importlib.metadata.version", lambda name, version=version: version)
        keys.append(key_of(settings.portrait, settings))
    assert len(set(keys)) == 3 and keys[-1] == key_of(settings.portrait, settings)


@pytest.mark.parametrize("stage", ["tuning", "fitting the face model"])
def test_an_interrupted_fit_goes_on_from_its_pivot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    from elocute.inversion.stylenerf import projection
    from elocute.protocol import Message, Progress

    monkeypatch.setenv("ELOCUTE_AVATARS", str(tmp_path))
    settings = FitSettings(str(PORTRAIT), "cpu", "nerffacespeech", fit_steps=(2, 2))

    def stop(message: Message) -> None:
        if isinstance(message, Progress) and (message.message or "").startswith(stage):
            raise Cancelled

    with pytest.raises(Cancelled):
        pipeline.prepare(settings.portrait, settings, stop)
    assert len(list(tmp_path.glob("*.pivot.safetensors"))) == 1
    monkeypatch.setattr(projection, "project", lambda *a, **k: pytest.fail("searched again"))
    made = pipeline.prepare(settings.portrait, settings, lambda message: None)
    assert made.report["pivot"]["steps"] == 2 and not made.report["cached"]
    assert {path.name for path in tmp_path.iterdir()} == {made.path.name, f"{made.key}.json"}


def test_the_memory_of_a_fit_reaches_the_tuning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from elocute.inversion.stylenerf import tuning

    monkeypatch.setenv("ELOCUTE_AVATARS", str(tmp_path))
    limits, tune = [], tuning.tune

    def watched(*given: Any) -> Any:
        limits.append(given[5].memory_mb)
        return tune(*given)

    monkeypatch.setattr(tuning, "tune", watched)
    job = shot(tmp_path / "f", portrait=str(PORTRAIT), poses=tmp_path / "p.json", fit_steps=(1, 1), fit_memory_mb=100)
    first = pipeline.prepare(job.portrait, job.fit, lambda message: None)
    again = pipeline.prepare(job.portrait, replace(job.fit, fit_memory_mb=None), lambda message: None)
    assert limits == [100] and again.key == first.key, "memory is no part of who somebody is"


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
        ({"model_set": "embedded", "reference": True}, "option_of_other_set"),
        ({"model_set": "embedded", "fit_steps": (1, 1)}, "option_of_other_set"),
        ({"model_set": "embedded", "fit_memory_mb": 800}, "option_of_other_set"),
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
    assert sorted(path.stem for path in official_folder().glob("*.json")) == ["face_model", "generator"]
