"""The head that other programs get: complete, right side out, and seen through its camera it is the portrait."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from written_heads import SIDE, Mesh

from elocute import jobs, pipeline
from elocute.drive import resting_face
from elocute.errors import BadInput, EnvironmentProblem
from elocute.headmesh import MATERIALS, write_head
from elocute.protocol import Job
from elocute.settings import HeadSettings
from elocute.spaces import to_object
from elocute.values import ARKIT_NAMES


@pytest.fixture(scope="module")
def mesh(stored: Any, tmp_path_factory: pytest.TempPathFactory) -> Mesh:
    folder = tmp_path_factory.mktemp("head")
    write_head(stored, folder / "made" / "here", "cpu", 256)
    return Mesh(folder / "made" / "here")


def test_everything_is_there(mesh: Mesh) -> None:
    counts = mesh.about["counts"]
    assert counts == {"vertices": len(mesh.vertices), "triangles": len(mesh.triangles), "shape_keys": 52}
    assert tuple(mesh.about["shape_keys"]) == ARKIT_NAMES
    assert all(mesh.key(name).shape == mesh.vertices.shape for name in ARKIT_NAMES)
    assert all(np.abs(mesh.key(name)).max() > 1e-3 for name in ARKIT_NAMES)  # metres: each moves something
    assert len(mesh.data) == mesh.about["shape_keys"][ARKIT_NAMES[-1]]["offset"] + mesh.vertices.nbytes
    assert mesh.triangles.min() == 0 and mesh.triangles.max() == len(mesh.vertices) - 1
    assert mesh.about["materials"]["names"] == list(MATERIALS) and set(mesh.materials) == set(range(len(MATERIALS)))
    assert len(mesh.materials) == len(mesh.triangles)
    assert mesh.uv.min() > -1 and mesh.uv.max() < 2  # shoulders reach beyond the picture


def test_it_stands_upright_facing_the_front(mesh: Mesh) -> None:
    """Z up, the face towards -y, a head's size, the joint in the origin and normals outwards."""
    skin = np.unique(mesh.triangles[mesh.materials == MATERIALS.index("skin")])
    size = np.ptp(mesh.vertices[skin], axis=0)
    assert 0.3 < size[0] < 0.6 and 0.15 < size[1] < 0.35 and 0.25 < size[2] < 0.45  # with shoulders
    eyes = mesh.vertices[np.unique(mesh.triangles[mesh.materials == MATERIALS.index("eye")])]
    assert eyes[:, 1].max() < -0.05 and eyes[:, 2].min() > 0.02 and abs(eyes[:, 0].mean()) < 0.005
    a, b, c = (mesh.vertices[mesh.triangles[:, k]] for k in range(3))
    front = np.argsort(a[:, 1])[:500]
    assert np.cross(b - a, c - a)[front, 1].mean() < 0


def test_through_its_camera_it_is_the_portrait(mesh: Mesh, example: Any) -> None:
    seen = mesh.picture(mesh.vertices)
    wanted = cv2.resize(mesh.texture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    skin = cv2.resize(example.scene.regions["skin"], (SIDE, SIDE)) > 0.9
    assert seen[skin].any(1).mean() > 0.97
    seen, wanted = (cv2.GaussianBlur(f, (0, 0), 1.5).astype(int) for f in (seen, wanted))
    assert np.abs(seen - wanted)[skin].mean() < 10  # the mouth rests, the photo's may not


def test_the_back_of_the_head_shows_no_face(mesh: Mesh) -> None:
    share = mesh.colours[:, 3]
    assert share.min() >= 0 and share.max() <= 1
    assert share[mesh.vertices[:, 1] > 0.03].max() == 0
    eyes = np.unique(mesh.triangles[mesh.materials == MATERIALS.index("eye")])
    in_front = eyes[mesh.vertices[eyes, 1] < -0.097]
    assert share[in_front].mean() > 0.8
    assert mesh.colours[:, :3].min() >= 0 and mesh.colours[:, :3].max() <= 1


def test_keys_add_what_the_renderer_adds(mesh: Mesh, stored: Any) -> None:
    head = stored.motion.head
    rest = resting_face(stored.fit.expression)
    np.testing.assert_allclose(mesh.vertices, to_object(head.vertices(rest)), atol=1e-6)
    for name, value in (("jawOpen", 0.7), ("browInnerUp", 1.0), ("mouthSmileLeft", 0.5), ("eyeLookOutLeft", 1.0)):
        units = rest.copy()
        units[ARKIT_NAMES.index(name)] += value
        off = mesh.vertices + value * mesh.key(name) - to_object(head.vertices(units))
        assert np.abs(off).max() < 1.5e-3 and np.sqrt((off**2).mean()) < 1e-4, name


def test_a_blink_shuts_the_lids_of_eyes_that_are_narrow(mesh: Mesh, stored: Any) -> None:
    head = stored.motion.head
    shut = resting_face(stored.fit.expression)
    shut[[ARKIT_NAMES.index(n) for n in ("eyeBlinkLeft", "eyeBlinkRight")]] = 1
    keyed = mesh.vertices + mesh.key("eyeBlinkLeft") + mesh.key("eyeBlinkRight")
    assert np.abs(keyed - to_object(head.vertices(shut))).max() < 1e-3


@pytest.mark.parametrize(("name", "content"), [
    ("texture.png", b"mine"), ("head.bin", b"mine"), ("head.json", b'{"format": "another-1"}'), ("head.json", b"[]"),
])  # fmt: skip
def test_another_programs_file_is_not_replaced(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput) as caught:
        pipeline.write_head(HeadSettings("seed:7", tmp_path), lambda message: None)
    assert caught.value.code == "head_folder_taken" and name in caught.value.message
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [(name, content)]


def test_a_full_disk_leaves_no_part_of_a_head(tmp_path: Path, stored: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which the next run would take for another program's."""
    whole = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if self.suffix == ".json":
            raise OSError(28, "No space left on device")
        return whole(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(EnvironmentProblem) as caught:
        write_head(stored, tmp_path, "cpu", 256)
    assert caught.value.code == "disk_full" and not list(tmp_path.iterdir())


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("failing", [0, 1, 2])
def test_a_rename_that_fails_leaves_the_head_that_was_there(
    tmp_path: Path, stored: Any, monkeypatch: pytest.MonkeyPatch, before: bool, failing: int
) -> None:
    names = ("head.bin", "texture.png", "head.json")
    if before:
        for name in names:
            (tmp_path / name).write_bytes(name.encode())
    had = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    replace = os.replace

    def locked(source: Path, target: Path) -> None:
        if Path(target) == tmp_path / names[failing] and ".part" in Path(source).name and Path(source).suffix != ".old":
            raise PermissionError(13, "open elsewhere")
        replace(source, target)

    monkeypatch.setattr(os, "replace", locked)
    with pytest.raises(EnvironmentProblem):
        write_head(stored, tmp_path, "cpu", 256)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == had


def test_the_job_and_its_errors(example: Any, avatars: Path, tmp_path: Path) -> None:
    portrait = example.avatar.report["portrait"]
    told: list[Any] = []

    def run(**settings: Any) -> dict[str, Any]:
        return jobs.run(Job("head", settings), told.append, lambda: False)

    result = run(portrait=portrait, output=str(tmp_path / "head"), device="cpu", model_set="embedded")
    assert result["output"] == str(tmp_path / "head") and result["shape_keys"] == 52 and told
    assert sorted(p.name for p in (tmp_path / "head").iterdir()) == ["head.bin", "head.json", "texture.png"]
    run(portrait=portrait, output=str(tmp_path / "head"), device="cpu", model_set="embedded")  # as Blender does
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput) as caught:
        run(portrait=portrait, output=str(tmp_path / "file"))
    assert caught.value.code == "output_not_a_folder"
    with pytest.raises(BadInput) as caught:
        run(portrait=portrait)
    assert caught.value.code == "shot_missing_key"
