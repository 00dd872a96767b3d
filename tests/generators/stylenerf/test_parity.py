"""The generator against arrays recorded from the original program, in the clear and in the fast version.

Tolerances: float64 1e-9 relative to the array's largest value (1e-6 where an input was recorded in float32); float32
with the recorded sample places 1e-3 (gradients 2e-3 of the largest); float32 on its own by percentile, because the
fine sample places jump by a whole bin under a last digit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from elocute.generators.stylenerf.camera import camera_at
from elocute.generators.stylenerf.deformation import VertexDeformation, nearest_vertices
from elocute.generators.stylenerf.folded import fold_foreground
from elocute.generators.stylenerf.mixing import FeatureMix
from elocute.generators.stylenerf.plain import PlainForeground
from elocute.generators.stylenerf.sampling import encode
from elocute.generators.stylenerf.volume import Positions
from elocute.head.spaces import front_camera

DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])
VERSIONS = pytest.mark.parametrize("plain", [True, False], ids=["plain", "fast"])


class Case:
    """A recording in one dtype and one version of the renderer."""

    def __init__(self, recording: Any, dtype: torch.dtype, plain: bool) -> None:
        self.recording, self.dtype, self.plain = recording, dtype, plain
        self.generator = recording.generator.to(dtype)
        self.expected = recording.exact if dtype == torch.float64 else recording.io

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.recording.tensor(name, self.dtype)

    def camera(self, name: str) -> torch.Tensor:
        fractions = {"front": [0.5, 0.5, 0.5], "side": [0.8, 0.3, 0.5]}
        if name == "rt":
            return self["rt.RT"]
        return camera_at(self.generator.config.camera, fractions[name], self.dtype)

    @property
    def places(self) -> Positions:
        return Positions(self["front.di"], self["front.di_fine"])

    @property
    def bend(self) -> VertexDeformation:
        back = self["def.ref_vertices"] - self["def.pred_vertices"]
        return VertexDeformation(back, self["def.nearest_indices"][0], self["def.nearest_indices_f"][0])

    def render(self, camera: str, ws: str = "wsp", freeze: bool = True, **options: Any) -> Any:
        return self.generator.render(
            self[ws], self.camera(camera), self["z_shape_bg"], freeze_background=freeze, plain=self.plain, **options
        )

    def check(self, case: str, result: Any, exact: float = 1e-9) -> None:
        volume = result.volume
        found = {
            "img": result.image, "img_nerf": volume.rgb, "inpaint_feat": volume.features, "p_i": volume.points,
            "p_f": volume.fine_points,
        }  # fmt: skip
        compared = 0
        for name, value in found.items():
            wanted = self.expected.get(f"{case}.{name}")
            if wanted is not None:
                tolerance = exact if self.dtype == torch.float64 else 1e-3
                close(value, wanted, tolerance * max(1.0, float(np.abs(wanted).max())), f"{case}.{name}")
                compared += 1
        assert compared, f"nothing is recorded for {case}"


def close(value: torch.Tensor, wanted: np.ndarray, tolerance: float, name: str) -> None:
    assert value.shape == wanted.shape, name
    error = float((value.detach().double() - torch.from_numpy(np.asarray(wanted)).double()).abs().max())
    assert error <= tolerance, f"{name}: {error:.1e} > {tolerance:.1e}"


@DTYPES
def test_mapping_and_cameras(recording: Any, dtype: torch.dtype) -> None:
    case = Case(recording, dtype, False)
    mapping = case.generator.mapping
    tolerance = 1e-9 if dtype == torch.float64 else 1e-5
    with torch.no_grad():
        found = {
            "ws_psi1": mapping(case["z"]), "ws_psi0.7": mapping(case["z"], 0.7),
            "ws_psi0.7_cut8": mapping(case["z"], 0.7, 8),
            "cam0.RT": case.camera("front"), "cam1.RT": case.camera("side"),
        }  # fmt: skip
    for name, value in found.items():
        close(value, case.expected[name], tolerance, name)
    a, b, c = recording.io["rt.angles"].astype(float)
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    rotation = torch.from_numpy((z @ y @ x).T)[None]
    close(front_camera(rotation), recording.io["rt.RT"], 1e-6, "rt.RT")
    close(front_camera(torch.eye(3)[None]), recording.io["rt.front_RT"], 1e-6, "rt.front_RT")


@DTYPES
@VERSIONS
def test_renders_at_recorded_places(recording: Any, dtype: torch.dtype, plain: bool) -> None:
    case = Case(recording, dtype, plain)
    with torch.no_grad():
        case.check("front_tf", case.render("front", positions=case.places))
        case.check("side_tf", case.render("side", positions=case.places))
        case.check("deform", case.render("side", positions=case.places, deform=case.bend))
        case.check("mouth", case.render("side", "mix.ws_mouth", positions=case.places), 1e-6)
        other = FeatureMix(case["mouth.inpaint_feat"], case["mix.mask"].to(dtype) / 7)
        case.check("mix", case.render("side", positions=case.places, deform=case.bend, mix=other), 1e-6)


@VERSIONS
@pytest.mark.parametrize(
    ("name", "camera", "freeze"),
    [("front", "front", False), ("front_freeze", "front", True), ("side_freeze", "side", True), ("camRT", "rt", True)],
)
def test_renders_on_its_own(recording: Any, plain: bool, name: str, camera: str, freeze: bool) -> None:
    case = Case(recording, torch.float32, plain)
    with torch.no_grad():
        result = case.render(camera, freeze=freeze)
    volume = result.volume
    parts = {"img": result.image, "inpaint_feat": volume.features, "img_nerf": volume.rgb, "p_i": volume.points,
             "p_f": volume.fine_points, "di_fine": volume.positions.fine}  # fmt: skip
    compared = 0
    for part, value in parts.items():
        wanted = recording.io.get(f"{name}.{part}")
        if wanted is not None:
            error = np.abs(value.double().numpy() - wanted.astype(float).reshape(value.shape))
            assert np.median(error) <= 2e-4 and np.quantile(error, 0.99) <= 1e-2 and error.max() <= 0.15, part
            compared += 1
    assert compared >= 3


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "fast"])
def test_densities_and_features_of_samples(recording: Any, plain: bool) -> None:
    """At the recorded points. Features are recorded for one of the variants; the fast version has none for a sample."""
    case = Case(recording, torch.float32, plain)
    config, nerf = case.generator.config, case.generator.synthesis.fg_nerf
    for points, part in (("p_i", "coarse"), ("p_f", "fine")):
        encoded = encode(case[f"front.{points}"], config.frequencies)
        with torch.no_grad():
            if plain:
                raw, values = PlainForeground(nerf, case["wsp"]).density(encoded)
                wanted = recording.io.get(f"front.feat_{part}")
                if wanted is not None:
                    close(values, wanted, 1e-3 * float(np.abs(wanted).max()), f"feat_{part}")
            else:
                raw, _ = fold_foreground(config, nerf, case["wsp"][0]).density(encoded)
        wanted = recording.io[f"front.sigma_raw_{part}"]
        close(raw, wanted, 1e-3 * float(np.abs(wanted).max()), f"sigma_raw_{part}")


def test_sample_places(recording: Any) -> None:
    case = Case(recording, torch.float32, False)
    with torch.no_grad():
        places = case.render("front", freeze=False).volume.positions
    close(places.coarse, recording.io["front.di"], 1e-6, "di")
    error = (places.fine - case["front.di_fine"]).abs()
    assert float(error.quantile(0.99)) <= 1e-4 and float(error.max()) <= 1 / 13 + 1e-6  # a whole bin at most


def test_half_precision_blocks(recording: Any) -> None:
    for plain in (True, False):
        case = Case(recording, torch.float32, plain)
        with torch.no_grad():
            result = case.render("front", freeze=False, positions=case.places, precision="mixed")
            full = case.render("front", freeze=False, positions=case.places)
        assert 0 < float((result.image - full.image).abs().max()) <= 5e-3  # as docs/official.md says
        error = (result.image - case["front_fp16blocks.img"]).abs().flatten()
        assert float(error.quantile(0.99)) <= 5e-3 and float(error.max()) <= 2e-2


def test_nearest_vertices(recording: Any) -> None:
    case = Case(recording, torch.float32, False)
    with torch.no_grad():
        volume = case.render("front", freeze=False, positions=case.places).volume
    for points, name in ((volume.points, "def.nearest_exact"), (volume.fine_points, "def.nearest_exact_f")):
        found = nearest_vertices(case["def.ref_vertices"][0], points[0, :, 1:])
        assert float((found == case[name][0]).double().mean()) > 0.999


@DTYPES
@VERSIONS
def test_gradients(recording: Any, dtype: torch.dtype, plain: bool) -> None:
    case = Case(recording, dtype, plain)
    case.generator.zero_grad()
    ws, code = (case[name].requires_grad_() for name in ("wsp", "z_shape_bg"))
    image = case.generator.render(
        ws, case.camera("rt"), code, freeze_background=True, positions=case.places, plain=plain
    ).image
    loss = ((image - case["grad.target"]) ** 2).mean()
    loss.backward()
    tolerance = 1e-9 if dtype == torch.float64 else 2e-3
    assert abs(float(loss.detach()) - case.expected["grad.loss"]) <= tolerance
    found = {"ws": ws.grad, "z_shape_bg": code.grad, **{n: p.grad for n, p in case.generator.named_parameters()}}
    for name in (n for n in case.expected if n.startswith("grad.") and n not in ("grad.loss", "grad.target")):
        wanted = case.expected[name]
        close(found[name.removeprefix("grad.")], wanted, tolerance * float(np.abs(wanted).max()), name)
