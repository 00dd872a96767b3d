from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from elocute.head import basel, basel_fit
from elocute.head.basel import BaselFace
from elocute.head.basel_fit import FitSchedule, fit_basel
from elocute.head.photo_term import paint, photo_loss, visible_faces

# At rest the gradient of the pose is rounding noise, and Adam's first step divides it by itself: it takes a step of
# full length in a direction that means nothing. These are the six numbers of the recorded run; with them the other
# 59 steps follow the record.
FIRST_STEP = {
    "angles": (-0.007796997964614111, -0.009323612847647484, 0.00987115918466068),
    "translation": (-0.009785994291978222, -0.009900129250036997, -0.005659542385639916),
}


@pytest.fixture(scope="module")
def recorded_face(recorded: Any) -> BaselFace:
    from scipy.io import loadmat

    recorded("deep3d/fit3dmm_io.npz")  # skips
    root = Path(__file__).resolve().parents[3] / "shared" / "parity" / "deep3d"
    return BaselFace.from_arrays(loadmat(str(root / "BFM_model_front_synthetic.mat")), dtype=torch.float64)


def watched(monkeypatch: pytest.MonkeyPatch, name: str) -> list[Any]:
    """What each call of a function of the fit returns, from here on."""
    returned: list[Any] = []
    function = getattr(basel_fit, name)
    monkeypatch.setattr(basel_fit, name, lambda *given: (returned.append(function(*given)), returned[-1])[1])
    return returned


def test_every_loss_of_the_reference_is_met(recorded_face: BaselFace, recorded: Any) -> None:
    wanted = {name: torch.from_numpy(array) for name, array in recorded("deep3d/fit3dmm_io.npz").items()}
    assert torch.allclose(basel_fit.landmark_weights(wanted["lm_loss"]), wanted["lm_weights"], atol=1e-9)
    lost = basel_fit.landmark_loss(wanted["lms_proj"], wanted["lms_target"])
    assert float(lost) == pytest.approx(float(wanted["lm_loss"]), rel=3e-6)
    lost = photo_loss(wanted["photo_pred"], wanted["photo_gt"], wanted["photo_mask"])
    assert float(lost) == pytest.approx(float(wanted["photo_loss"]), rel=1e-6)
    albedo = recorded_face.albedo(wanted["coeff"].double())
    lost = basel_fit.reflectance_loss(albedo, recorded_face.skin)
    assert float(lost) == pytest.approx(float(wanted["refl_loss"]), rel=1e-6)


def test_the_reference_s_rigid_descent_is_met(
    recorded_face: BaselFace, recorded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = recorded("deep3d/fit3dmm_io.npz")
    poses = []

    class WatchedAdam(torch.optim.Adam):
        def step(self, closure: Any = None) -> Any:
            super().step(closure)
            poses.append(torch.cat(self.param_groups[0]["params"], 1).detach()[0].numpy())

    monkeypatch.setattr(torch.optim, "Adam", WatchedAdam)
    losses = watched(monkeypatch, "landmark_loss")
    plan = FitSchedule(**{**basel_fit.REFERENCE.__dict__, "nonrigid_steps": 0})
    fit_basel(recorded_face.to(dtype=torch.float32), wanted["lms_target"][0], reference=True, schedule=plan)
    for step, loss, *pose in wanted["rigid_trace"]:
        assert losses[int(step)].item() == pytest.approx(loss, rel=2e-6)
        assert np.abs(poses[int(step)] - pose).max() < 2e-6


def test_the_reference_s_nonrigid_descent_is_met(
    recorded_face: BaselFace, recorded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = recorded("deep3d/fit3dmm_io.npz")
    start = np.zeros(257)
    start[basel.ANGLES], start[basel.TRANSLATION] = wanted["rigid_trace"][-1, 2:5], wanted["rigid_trace"][-1, 5:]

    class RecordedFirstStep(torch.optim.Adam):
        def step(self, closure: Any = None) -> Any:
            if not self.state:
                pose = self.param_groups[0]["params"][3], self.param_groups[0]["params"][5]
                for leaf, moved in zip(pose, FIRST_STEP.values(), strict=True):
                    part = -torch.tensor([moved], dtype=torch.float64) / 1e-2
                    leaf.grad = 1e-8 * part / (1 - part.abs())  # what Adam makes that step of, its epsilon being 1e-8
            return super().step(closure)

    monkeypatch.setattr(torch.optim, "Adam", RecordedFirstStep)
    losses = watched(monkeypatch, "_losses")
    plan = FitSchedule(**{**basel_fit.REFERENCE.__dict__, "rigid_steps": 0, "nonrigid_steps": 60})
    fit = fit_basel(recorded_face, wanted["lms_target"][0], start=start, schedule=plan)
    for step, total, landmarks in wanted["nonrigid_lmonly_trace"]:
        assert losses[int(step)]["total"].item() == pytest.approx(total, rel=2e-6)
        assert losses[int(step)]["landmarks"].item() == pytest.approx(landmarks, rel=2e-5)
    moved = np.r_[0:144, 224:227, 254:257]
    off = np.abs(fit.coefficients - wanted["nonrigid_lmonly_coeff"][0])
    assert off[moved].max() < 2e-6 and off.max() < 1e-5


def random_person(size: float = 0.3) -> torch.Tensor:
    coefficients = torch.from_numpy(np.random.default_rng(5).normal(0, size, (1, 257)))
    coefficients[:, basel.TEXTURE] = 0
    coefficients[:, basel.LIGHT] *= 0.3
    coefficients[0, basel.EXPRESSION] = 0
    coefficients[0, basel.EXPRESSION.start] = 1.0
    coefficients[0, basel.ANGLES] = torch.tensor([0.06, -0.15, 0.05])
    coefficients[0, basel.TRANSLATION] = torch.tensor([0.1, -0.05, -0.4])
    return coefficients


def painted(face: BaselFace, coefficients: torch.Tensor) -> torch.Tensor:
    shape = face.shape(coefficients)
    placed = basel.placed(shape, coefficients)
    normals = face.normals(shape) @ basel.rotations(coefficients[:, basel.ANGLES])
    colours = basel.lit(face.albedo(coefficients), normals, coefficients[:, basel.LIGHT])
    screen = torch.cat([basel.project(placed, rows=True), basel.seen_from_camera(placed)[..., 2:]], -1)
    return paint(screen[0], colours[0], face.faces, basel.SIDE)[0].clamp(0, 255)


def picture_of(face: BaselFace, coefficients: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    placed = basel.placed(face.shape(coefficients), coefficients)
    marks = basel.project(placed[:, face.keypoints], rows=True)[0]
    return painted(face, coefficients).round().byte().numpy(), marks.numpy()


def test_a_face_is_found_again(basel_face: BaselFace) -> None:
    truth = random_person()
    picture, marks = picture_of(basel_face, truth)
    plan = FitSchedule(rigid_steps=80, nonrigid_steps=100)
    fit = fit_basel(basel_face.to(dtype=torch.float32), marks, picture, schedule=plan)
    assert fit.landmark_error < 0.75
    off = np.abs(fit.coefficients - truth[0].numpy())
    assert off[basel.ANGLES].max() < 0.05
    there = basel.project(basel.placed(basel_face.shape(truth), truth))[0]
    found = torch.from_numpy(fit.coefficients[None])
    here = basel.project(basel.placed(basel_face.shape(found), found))[0]
    front = (there[:, 1] > 40) & (there[:, 1] < 190)
    assert float((there - here)[front].norm(dim=-1).mean()) < 1.5  # pixels, of vertices that no landmark holds too


def test_coefficients_to_start_from_help_but_not_the_reference(basel_face: BaselFace) -> None:
    truth = random_person()
    points = basel_face.to(dtype=torch.float32)
    _, marks = picture_of(basel_face, truth)
    plan = FitSchedule(rigid_steps=0, nonrigid_steps=1)
    helped = fit_basel(points, marks, start=truth[0].numpy(), schedule=plan)
    assert helped.landmark_error < 1e-3
    alone = fit_basel(points, marks, start=truth[0].numpy(), schedule=plan, reference=True)
    assert alone.landmark_error > 1


def test_the_picture_s_gradient_is_the_difference_quotient() -> None:
    """Away from outlines: two triangles over the whole picture, of which only the inside is compared."""
    rng = np.random.default_rng(6)
    points = torch.tensor([[-9.0, -8, 5], [40, -7, 6], [38, 41, 9], [-8, 42, 7]], dtype=torch.float64)
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    colours = torch.from_numpy(rng.uniform(0, 255, (4, 3)))
    wanted = torch.from_numpy(rng.uniform(0, 255, (32, 32, 3)))
    seen = visible_faces(points, faces, 32)
    assert (seen >= 0).all() and set(seen.unique().tolist()) == {0, 1}

    def loss(p: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        picture, mask = paint(p, c, faces, 32)
        inside = mask.clone()
        inside[(seen != seen.roll(1, 1)) | (seen != seen.roll(-1, 1))] = False
        return photo_loss(picture, wanted, inside)

    assert torch.autograd.gradcheck(loss, (points.requires_grad_(True), colours.requires_grad_(True)), eps=1e-6)


def test_the_nearer_of_two_triangles_is_seen_from_either_side() -> None:
    points = torch.tensor([[0.0, 0, 9], [30, 0, 9], [0, 30, 9], [0, 0, 5], [15, 0, 5], [0, 15, 5]], dtype=torch.float64)
    for near in ([3, 4, 5], [3, 5, 4]):
        seen = visible_faces(points, torch.tensor([[0, 1, 2], near]), 32)
        assert seen[2, 2] == 1 and seen[2, 20] == 0 and seen[30, 30] == -1


def test_a_tilted_triangle_s_colours_are_perspective_correct() -> None:
    """Half way between two corners on the screen is not half way between them in space: depth decides."""
    points = torch.tensor([[0.0, 0, 1], [32, 0, 3], [0, 32, 1]], dtype=torch.float64)
    colours = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 0, 0]], dtype=torch.float64)
    picture, _ = paint(points, colours, torch.tensor([[0, 1, 2]]), 32)
    across = (np.arange(31) + 0.5) / 32
    wanted = (across / 3) / ((1 - across) / 1 + across / 3)
    assert np.allclose(picture[0, :31, 0], wanted)


@pytest.mark.gpu
def test_a_gpu_paints_what_the_cpu_paints(basel_face: BaselFace) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    there, _ = picture_of(basel_face, random_person())
    face, coefficients = basel_face.to("cuda"), random_person().cuda()
    assert float((painted(face, coefficients).cpu() - torch.from_numpy(there)).abs().mean()) < 1
    plan = FitSchedule(rigid_steps=5, nonrigid_steps=5)
    assert fit_basel(face, np.full((68, 2), 112.0), there, schedule=plan).coefficients.shape == (257,)
