"""The head of a published generator's person: before its camera it is where the generator shows the face."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from published_shots import FRAMES, PORTRAIT, driven, shot
from written_heads import SIDE, Mesh

from elocute import jobs
from elocute.errors import BadInput, EnvironmentProblem
from elocute.head.model import load_head_model
from elocute.models.store import verify
from elocute.modelsets.embedded import FIT_ROLES
from elocute.modelsets.nerffacespeech import head
from elocute.modelsets.nerffacespeech.weights import Networks
from elocute.portrait.aligned import aligned_portrait
from elocute.portrait.face import detect_faces
from elocute.protocol import Job
from elocute.values import ARKIT_NAMES, AS_IN_PORTRAIT

pytestmark = [
    pytest.mark.skipif(not all(map(verify, FIT_ROLES)), reason="models not fetched: elocute models --fetch"),
    pytest.mark.usefixtures("official_set"),
]
EYES, MOUTH, NOSE = (33, 133, 362, 263), (61, 291), (1, 4)  # of the 478 landmarks


def write(portrait: str, folder: Path) -> dict[str, Any]:
    settings = {"portrait": portrait, "output": str(folder), "device": "cpu", "model_set": "nerffacespeech"}
    return jobs.run(Job("head", settings), lambda message: None, lambda: False)


@pytest.fixture(scope="module")
def crop() -> np.ndarray:
    """The photo as the generator is to show it."""
    return aligned_portrait(PORTRAIT, 512)[0]


@pytest.fixture(scope="module")
def mesh(imported_models: Path, official_avatars: Path, tmp_path_factory: pytest.TempPathFactory) -> Mesh:
    folder = tmp_path_factory.mktemp("head")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ELOCUTE_MODELS", str(imported_models))
        patch.setenv("ELOCUTE_AVATARS", str(official_avatars))
        assert write(str(PORTRAIT), folder)["shape_keys"] == 52
    return Mesh(folder)


def test_its_camera_shows_it_where_the_face_is(mesh: Mesh, crop: np.ndarray) -> None:
    assert mesh.about["camera"]["fov_y_deg"] == pytest.approx(12) and mesh.about["camera"]["shift"] == [0, 0]
    made = mesh.seen(load_head_model().landmarks(mesh.vertices), 512)
    found = detect_faces(crop)[0].landmarks
    for features in (EYES, MOUTH, NOSE):
        off = made[list(features), :2] - found[list(features), :2]
        assert np.abs(off).max() < 0.015 * 512, features
    texture = cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    shown = mesh.picture(mesh.vertices)
    inside = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillConvexPoly(inside, cv2.convexHull(np.float32(found[[*EYES, *MOUTH], :2] * SIDE / 512).astype(int)), 1)
    soft, wanted = (cv2.GaussianBlur(picture, (0, 0), 3).astype(int) for picture in (shown, texture))
    assert np.abs(soft - wanted)[inside > 0].mean() < 10


def test_a_photos_head_needs_no_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = Networks("cpu").generator().config
    monkeypatch.setattr(Networks, "generator", lambda *_: pytest.fail("all weights were read for a few numbers"))
    networks = Networks("cpu")
    assert networks.generator_config() == wanted
    picture, own, _ = head._of_photo(networks, str(PORTRAIT))
    assert picture.shape == (512, 512, 3) and own.fov_y is not None


def test_it_turns_about_its_middle_and_its_keys_move_it(mesh: Mesh) -> None:
    """The origin is the world's, about which the set's heads turn: between face and ears, a metre away."""
    points = load_head_model().landmarks(mesh.vertices)
    assert mesh.seen(np.zeros((1, 3)), 512)[0] == pytest.approx([256, 256, 1], abs=1e-4)
    assert points[list(NOSE), 1].max() < -0.02 < points[list(EYES), 1].max() < 0.02
    jaw = load_head_model().landmarks(mesh.key("jawOpen"))
    assert jaw[152, 2] < -0.01 and np.abs(jaw[list(EYES)]).max() < 1e-3
    assert tuple(mesh.about["shape_keys"]) == ARKIT_NAMES


def test_unmoved_it_is_the_portrait_s_own_view(mesh: Mesh, tmp_path: Path) -> None:
    camera = mesh.about["camera"]
    poses = {
        "fps": FRAMES, "head_to_camera": [camera["head_to_camera"]] * 3, "fov_y_deg": [camera["fov_y_deg"]] * 3,
        "shift": [camera["shift"]] * 3,
    }  # fmt: skip
    (tmp_path / "p.json").write_text(json.dumps(poses))
    drive = driven(shot(tmp_path, portrait=str(PORTRAIT), poses=tmp_path / "p.json", fit_steps=(1, 1)))
    assert not drive.poses.any() and set(drive.views) == {AS_IN_PORTRAIT} and not drive.warnings


def test_a_seed_has_the_head_that_its_generator_shows(
    mesh: Mesh, crop: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head, "picture_of", lambda image: crop)
    write("seed:3", tmp_path / "h")
    other = Mesh(tmp_path / "h")
    turn = np.reshape(other.about["camera"]["head_to_camera"], (4, 4))
    assert turn == pytest.approx(np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, -1], [0, 0, 0, 1]]), abs=1e-6)
    seen = [each.seen(each.vertices, 512) for each in (mesh, other)]
    np.testing.assert_allclose(*seen, atol=0.01)  # the same picture, whichever way the camera stands


def test_a_seed_without_a_face_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        write("seed:3", tmp_path / "h")
    assert caught.value.code == "seed_without_face"
    assert caught.value.message.startswith("seed:3") and "Choose another seed" in caught.value.message
    assert not (tmp_path / "h").exists()


def test_what_is_missing_is_said_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput) as refusal:
        write(str(tmp_path / "none.jpg"), tmp_path / "h")
    assert refusal.value.code == "image_missing"
    monkeypatch.setenv("ELOCUTE_MODELS", str(tmp_path / "models"))
    for portrait, role in ((str(tmp_path / "none.jpg"), "epoch_20.pth"), ("seed:3", "ffhq_1024.pkl")):
        with pytest.raises(EnvironmentProblem) as lacking:
            write(portrait, tmp_path / "h")
        assert lacking.value.code == "model_not_imported" and role in lacking.value.message
    assert not (tmp_path / "h").exists()
