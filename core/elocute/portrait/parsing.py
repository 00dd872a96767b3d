"""Face parsing with BiSeNet (Yu et al., ECCV 2018), 16 classes: where mouth, hair, neck and shoulders are.

Classes used here, as numbered in the weights: 7, 8, 9 lips and the mouth's inside; 10 hair; 14, 15 neck and shoulders.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elocute.models.weights import load_weights
from elocute.portrait.resnet import resnet18

CLASSES = 16
MOUTH, HAIR, NECK_AND_SHOULDERS = (7, 8, 9), (10,), (14, 15)
SIDE = 512  # pixels that pictures are parsed at
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, in RGB


class ConvNormReLU(nn.Module):
    def __init__(self, inside: int, outside: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outside)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv(x)))


class AttentionRefinement(nn.Module):
    """Channels weighted by what the whole picture shows."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.conv = ConvNormReLU(inside, outside, 3)
        self.conv_atten = nn.Conv2d(outside, outside, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(outside)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        weights = self.bn_atten(self.conv_atten(x.mean((2, 3), keepdim=True)))
        return x * torch.sigmoid(weights)


class ContextPath(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.resnet = resnet18()
        self.arm16 = AttentionRefinement(256, 128)
        self.arm32 = AttentionRefinement(512, 128)
        self.conv_head32 = ConvNormReLU(128, 128, 3)
        self.conv_head16 = ConvNormReLU(128, 128, 3)
        self.conv_avg = ConvNormReLU(512, 128, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features at 1/8 (of the trunk), 1/8 and 1/16 (refined) of the picture."""
        eighth, sixteenth, smallest = self.resnet(x)
        whole = self.conv_avg(smallest.mean((2, 3), keepdim=True))
        refined = self.arm32(smallest) + whole
        refined = self.conv_head32(F.interpolate(refined, size=sixteenth.shape[2:], mode="nearest"))
        finer = self.arm16(sixteenth) + refined
        finer = self.conv_head16(F.interpolate(finer, size=eighth.shape[2:], mode="nearest"))
        return eighth, finer, refined


class FeatureFusion(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convblk = ConvNormReLU(256, 256, 1)
        self.conv1 = nn.Conv2d(256, 64, 1, bias=False)
        self.conv2 = nn.Conv2d(64, 256, 1, bias=False)

    def forward(self, detail: Tensor, context: Tensor) -> Tensor:
        x = self.convblk(torch.cat([detail, context], 1))
        weights = self.conv2(torch.relu(self.conv1(x.mean((2, 3), keepdim=True))))
        return x * torch.sigmoid(weights) + x


class Output(nn.Module):
    def __init__(self, inside: int, width: int) -> None:
        super().__init__()
        self.conv = ConvNormReLU(inside, width, 3)
        self.conv_out = nn.Conv2d(width, CLASSES, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_out(self.conv(x))


class BiSeNet(nn.Module):
    """The variant without a spatial path: the trunk's features at 1/8 stand in for it. 13.3 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.cp = ContextPath()
        self.ffm = FeatureFusion()
        self.conv_out = Output(256, 256)
        self.conv_out16 = Output(128, 64)  # helped the training; nobody asks for these two now
        self.conv_out32 = Output(128, 64)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images [B, 3, H, W] -> class scores [B, 16, H, W]."""
        detail, context, _ = self.cp(images)
        scores = self.conv_out(self.ffm(detail, context))
        return F.interpolate(scores, size=images.shape[2:], mode="bilinear", align_corners=True)


def load_bisenet(
    weights: Mapping[str, Tensor], device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> BiSeNet:
    """The network with `weights`. Raises EnvironmentProblem("weights_mismatch")."""
    with torch.device("meta"):
        network = BiSeNet()
    return load_weights(network.to_empty(device="cpu"), weights, "the face parsing network", device, dtype)


def normalised(images: Tensor, side: int = SIDE, reference: bool = False) -> Tensor:
    """Generator pictures [B, 3, H, W] in -1..1 as the network wants them: bicubic to `side`, ImageNet's statistics.

    `reference`: NeRFFaceSpeech clamps to 0..1 without mapping -1..1 there first, so that everything darker than middle
    grey becomes black. By default the range is mapped.
    """
    images = F.interpolate(images, size=(side, side), mode="bicubic", align_corners=False)
    if not reference:
        images = (images + 1) / 2
    mean, spread = (images.new_tensor(values)[:, None, None] for values in (MEAN, SPREAD))
    return (images.clamp(0, 1) - mean) / spread


@torch.no_grad()
def parse(network: BiSeNet, images: Tensor, side: int = SIDE, reference: bool = False) -> Tensor:
    """Class numbers int64 [B, side, side] of generator pictures [B, 3, H, W] in -1..1.

    A GPU without room for the network, which weighs its whole picture and can't be divided, leaves it to the CPU from
    then on."""

    def classes() -> Tensor:
        weight = network.conv_out.conv_out.weight
        return network(normalised(images.to(weight.device, weight.dtype), side, reference)).argmax(1)

    try:
        return classes().to(images.device)
    except torch.cuda.OutOfMemoryError:
        network.cpu()
    torch.cuda.empty_cache()  # not in the handler: what failed holds its arrays until the exception is gone
    return classes().to(images.device)


def is_one_of(classes: Tensor, wanted: tuple[int, ...]) -> Tensor:
    """Whether each class number [...] is among `wanted`, bool [...]."""
    return torch.isin(classes, torch.tensor(wanted, device=classes.device))
