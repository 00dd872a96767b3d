from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pretend_device import pretend_device

from elocute.portrait import parsing

LOGITS = 2e-3  # float32, of scores up to 1000


@pytest.fixture(scope="module")
def network(rule_weights: Any) -> parsing.BiSeNet:
    with torch.device("meta"):
        network = parsing.BiSeNet()
    return parsing.load_bisenet(rule_weights(network))


def test_the_reference_is_met(network: parsing.BiSeNet, recorded: Any) -> None:
    wanted = recorded("nets/bisenet_io.npz")
    prepared = parsing.normalised(torch.from_numpy(wanted["img"]), 128, reference=True)
    assert np.abs(prepared.numpy() - wanted["xn"]).max() < 1e-6
    with torch.no_grad():
        scores = network(prepared).numpy()
        _, context, smallest = network.cp(prepared)
        middle, coarse = (
            torch.nn.functional.interpolate(low, size=(128, 128), mode="bilinear", align_corners=True).numpy()
            for low in (network.conv_out16(context), network.conv_out32(smallest))
        )
    assert np.abs(scores[..., ::2, ::2] - wanted["out"]).max() < LOGITS
    assert np.abs(middle[..., ::4, ::4] - wanted["out16"]).max() < LOGITS
    assert np.abs(coarse[..., ::4, ::4] - wanted["out32"]).max() < LOGITS
    assert (scores.argmax(1) == wanted["out_argmax"]).all()
    found = parsing.parse(network, torch.from_numpy(wanted["img"]), 128, reference=True)
    assert (found.numpy() == wanted["out_argmax"]).all()


def test_names_and_shapes_are_the_published_ones(network: parsing.BiSeNet, recorded: Any) -> None:
    import json
    from pathlib import Path

    recorded("nets/bisenet_io.npz")  # skips
    root = Path(__file__).resolve().parents[3] / "shared" / "parity" / "nets"
    listed = json.loads((root / "bisenet_state_dict.json").read_text())
    assert {n: list(t.shape) for n, t in network.state_dict().items()} == {n: s for n, (s, _) in listed.items()}


def test_golden(network: parsing.BiSeNet, golden: Any) -> None:
    wanted = golden("bisenet")
    scores = network(parsing.normalised(torch.from_numpy(wanted["image"]), 64)).numpy()
    assert np.abs(scores[..., ::4, ::4] - wanted["scores"]).max() < LOGITS


def test_a_gpu_without_room_for_it_leaves_it_to_the_cpu(
    network: parsing.BiSeNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = torch.rand(1, 3, 40, 40) * 2 - 1
    wanted = parsing.parse(network, images, 64)
    calls = []
    with pretend_device() as device:
        there = parsing.load_bisenet(network.state_dict(), device)
        forward = there.forward

        def crowded(images: torch.Tensor) -> torch.Tensor:
            calls.append(images.device.type)
            if images.device.type != "cpu":
                raise torch.cuda.OutOfMemoryError
            return forward(images)

        monkeypatch.setattr(there, "forward", crowded)
        for _ in range(2):
            found = parsing.parse(there, images.to(device), 64)
            assert found.device == torch.device(device)
            assert torch.equal(found.cpu(), wanted)
    assert calls[1:] == ["cpu", "cpu"] and calls[0] != "cpu", "it isn't tried again for each frame"


def test_dark_pixels_keep_their_shades_unless_the_reference_is_asked_for() -> None:
    ramp = torch.linspace(-1, 1, 8).expand(1, 3, 8, 8)
    dark = (..., slice(0, 4))
    assert parsing.normalised(ramp, 8)[dark].std() > 0.1
    assert len(parsing.normalised(ramp, 8, reference=True)[0, 0][dark].unique()) == 1
    whole = parsing.normalised(ramp, 8)[0, :, 0]
    assert torch.allclose(whole[:, 0], -torch.tensor(parsing.MEAN) / torch.tensor(parsing.SPREAD), atol=1e-5)


def test_class_numbers_are_asked_for_by_group() -> None:
    classes = torch.tensor([[0, 7, 8], [9, 10, 15]])
    assert parsing.is_one_of(classes, parsing.MOUTH).tolist() == [[False, True, True], [True, False, False]]
    assert parsing.is_one_of(classes, parsing.HAIR + parsing.NECK_AND_SHOULDERS).sum() == 2
