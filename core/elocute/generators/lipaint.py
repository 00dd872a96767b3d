"""LipaintNet (NeRFFaceSpeech, section 3.4): the identity code whose NeRF shows the mouth's inside for an expression."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from elocute.models.weights import load_weights

EXPRESSION = 64  # coefficients of the Basel face
STYLE = 512  # numbers of a style


class LipaintNet(nn.Module):
    """Four linear layers that add an expression-dependent change to a style. 1.08 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(STYLE + EXPRESSION, STYLE)
        self.fc2 = nn.Linear(STYLE, STYLE)
        self.fc3 = nn.Linear(STYLE, STYLE)
        self.fc4 = nn.Linear(STYLE, STYLE)

    def forward(self, style: Tensor, expression: Tensor) -> Tensor:
        """Style [B, 512] and Basel expression [B, 64] -> style [B, 512]."""
        x = torch.cat([style, expression], 1)
        for layer in (self.fc1, self.fc2, self.fc3):
            x = torch.relu(layer(x))
        return self.fc4(x) + style


def load_lipaint(
    weights: Mapping[str, Tensor], device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> LipaintNet:
    """The network with `weights`. Raises EnvironmentProblem("weights_mismatch")."""
    return load_weights(LipaintNet(), weights, "LipaintNet", device, dtype)


@torch.no_grad()
def mouth_styles(network: LipaintNet, styles: Tensor, expression: Tensor, nerf_styles: int) -> Tensor:
    """All styles [B, L, 512] of a person with the NeRF's, the first ones, replaced by those for `expression` [B, 64];
    those of the 2-D part keep the person's look."""
    changed = network(styles[:, 0], expression)
    return torch.cat([changed[:, None].expand(-1, nerf_styles, -1), styles[:, nerf_styles:]], 1)
