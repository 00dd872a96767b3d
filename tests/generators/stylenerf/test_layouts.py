"""Every layout of options and arrays that the official files have is read."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from stylenerf_samples import RECORDED, tiny_config, tiny_state

from elocute.generators.stylenerf.camera import camera_at
from elocute.generators.stylenerf.made_up import LAYOUTS, made_up, official_shapes
from elocute.models import load_generator


def test_flat_files_and_defaults() -> None:
    flat = tiny_config("pixelshuffle")
    synthesis = flat["synthesis_kwargs"]
    synthesis.update({**synthesis.pop("camera_kwargs"), **synthesis.pop("renderer_kwargs")})
    state = tiny_state("pixelshuffle")
    nested = load_generator(tiny_config("pixelshuffle"), state).config
    assert load_generator(flat, state).config == nested
    del synthesis["ray_align_corner"], synthesis["bg_start"], synthesis["n_ray_samples"], synthesis["upsample_mode"]
    config = load_generator(flat, state).config
    assert config.camera.ray_align_corner and config.camera.bg_start == 1 and config.samples == 14
    assert config.upsampling == "pixelshuffle"  # told by the adapter's shape
    both = tiny_config("pixelshuffle", fov=49, n_ray_samples=3)  # a nested group that is there wins as a whole
    assert load_generator(both, state).config == nested


def test_the_official_names_come_back(tiny: Any) -> None:
    wanted = {name for name in tiny_state(tiny.config.upsampling) if not name.endswith("resample_filter")}
    assert set(tiny.state_dict()) == wanted


@pytest.mark.parametrize(("layout", "file"), [
    ("released", "stylenerf_1024_likely_pshuf_cb2_state_dict.json"),
    ("published", "stylenerf_1024_yaml_nncat_cb1_state_dict.json"),
])  # fmt: skip
def test_the_official_shapes(layout: str, file: str) -> None:
    shapes = official_shapes(**LAYOUTS[layout])
    assert sum(int(np.prod(shape)) for name, shape in shapes.items() if "weight" in name) > 5_000_000
    if not (RECORDED / file).is_file():
        pytest.skip("the recorded shapes are not on this machine")
    official = json.loads((RECORDED / file).read_text())
    assert shapes == {n: tuple(shape) for n, shape in official.items() if not n.endswith("resample_filter")}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_full_width_at_a_small_size(layout: str) -> None:
    generator = load_generator(*made_up(layout, 128))
    assert generator.config.num_ws == 15 and generator.config.channels[0] in (512, 1024)
    with torch.no_grad():
        ws = generator.mapping(torch.randn(1, 512, generator=torch.Generator().manual_seed(0)))
        camera = camera_at(generator.config.camera, [0.7, 0.5, 0.5])
        fast = generator.render(ws, camera)
        plain = generator.render(ws, camera, positions=fast.volume.positions, plain=True)
    assert fast.image.shape == (1, 3, 128, 128) and 0.1 < float(fast.image.std()) < 10
    torch.testing.assert_close(fast.image, plain.image, rtol=0, atol=1e-3)
