from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from elocute.generators.lipaint import LipaintNet, load_lipaint, mouth_styles


@pytest.fixture(scope="module")
def weights(rule_weights: Any) -> dict[str, torch.Tensor]:
    return rule_weights(LipaintNet())


def off(found: torch.Tensor, wanted: np.ndarray) -> float:
    return float(np.abs(found.numpy() - wanted).max() / np.abs(wanted).max())


@pytest.mark.parametrize(("dtype", "suffix", "limit"), [(torch.float32, "", 1e-6), (torch.float64, "_f64", 1e-12)])
def test_the_reference_is_met(
    weights: dict[str, torch.Tensor], recorded: Any, dtype: torch.dtype, suffix: str, limit: float
) -> None:
    wanted = recorded("nets/transfer_decoder_io.npz")
    network = load_lipaint(weights, dtype=dtype)
    found = network(torch.from_numpy(wanted["w"]).to(dtype), torch.from_numpy(wanted["exp"]).to(dtype))
    assert off(found, wanted["out" + suffix]) < limit


def test_golden(weights: dict[str, torch.Tensor], golden: Any) -> None:
    wanted = golden("lipaint")
    network = load_lipaint(weights, dtype=torch.float64)
    found = network(torch.from_numpy(wanted["style"]), torch.from_numpy(wanted["expression"]))
    assert off(found, wanted["changed"]) < 1e-12


def test_only_the_nerf_s_styles_change(weights: dict[str, torch.Tensor]) -> None:
    network = load_lipaint(weights)
    styles = torch.randn(2, 21, 512, generator=torch.Generator().manual_seed(0))
    expression = torch.randn(2, 64, generator=torch.Generator().manual_seed(1))
    changed = mouth_styles(network, styles, expression, 10)
    assert torch.equal(changed[:, 10:], styles[:, 10:])
    for k in range(10):
        assert torch.equal(changed[:, k], network(styles[:, 0], expression))
