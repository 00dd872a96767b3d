"""Shots of the published pipeline that follow a video or a folder of pictures, on random weights."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from published_shots import FRAMES, PORTRAIT, driven, frames, shot, speak

from elocute.drive import Inputs, head_poses
from elocute.driving.follow import Followed
from elocute.head.projection import pose_rotation
from elocute.head.spaces import front_camera
from elocute.models.store import verify
from elocute.modelsets import model_set
from elocute.modelsets.nerffacespeech.cameras import placement_of
from elocute.modelsets.nerffacespeech.weights import Networks
from elocute.values import AS_IN_PORTRAIT, BASEL_NAMES, View

pytestmark = [
    pytest.mark.skipif(not verify("face"), reason="models not fetched: elocute models --fetch"),
    pytest.mark.usefixtures("official_set"),
]


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
def test_a_videos_blinks_can_be_left_out(guide: list[np.ndarray], tmp_path: Path, reference: bool) -> None:
    import cv2

    (tmp_path / "guide").mkdir()
    for number, frame in enumerate(guide):
        cv2.imwrite(str(tmp_path / "guide" / f"{number}.png"), frame[..., ::-1])
    options = ({}, {"blink": False}, {"blink": False, "drive_eyes": 0.0})
    whole, without, lidless = (
        driven(shot(tmp_path, drive=tmp_path / "guide", reference=reference, **more)).expression for more in options
    )
    np.testing.assert_array_equal(without, lidless)
    assert not np.allclose(without, whole, atol=1e-3)


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

    def read(networks: Networks, rgb: np.ndarray, face: Any) -> tuple[np.ndarray, np.ndarray] | None:
        change = changes[rgb[0, 0, 0]]
        assert (face is None) == reference
        found = np.zeros(257, np.float32)
        found[EXPRESSION] = theirs + (change or 0)
        return None if change is None else (found, np.array([0, 0, 1.0]))

    monkeypatch.setattr(guide, "coefficients_of", read)
    monkeypatch.setattr(guide, "same_face", lambda rgb, previous: "a face")
    job = shot(tmp_path, drive=tmp_path / "guide", reference=reference, expression_scale=2.0)
    avatar = model_set(job.model_set).prepare(job.portrait, job.fit, lambda message: None, job.size)
    own = avatar.arrays()["coefficients"][EXPRESSION]
    held = np.array([0, 0, 0.3, 0.3, -0.2, 0])[:, None]
    wanted = 2 * (theirs + held) if reference else own + 2 * held
    np.testing.assert_allclose(driven(job).expression, wanted, atol=1e-5)
