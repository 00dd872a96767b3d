"""257 coefficients of the Basel face from one picture: Deep3DFaceRecon's network (Deng et al., CVPRW 2019).

The coefficients are identity 80, expression 64, texture 80, angles 3, light 27, translation 3; `head.basel` says what
each of them means. The network wants the face in a standard place. `crop_whole` hands it the picture as it is, as
NeRFFaceSpeech does; `crop_aligned` brings the face to the place that the network was trained with, and
`translation_in_picture` takes the answer back, so that a head's place and size in its frame can be followed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from elocute.errors import BadInput
from elocute.models.weights import load_weights
from elocute.portrait.resnet import resnet50

SIDE = 224  # pixels of the network's input
FOCAL, DISTANCE = 1015.0, 10.0  # of the camera that its coefficients belong to: pixels, Basel units
HEADS = (80, 64, 80, 3, 27, 2, 1)  # identity, expression, texture, angles, light, shift in the image plane, depth
FACE_MARGIN = 0.3  # of a face's longer side, that the square around it is larger by
STANDARD_SIZE = 102.0  # of the aligned face in the crop: the scale of Deep3DFaceRecon's training data


class Deep3DNet(nn.Module):
    """ResNet-50 v1.5, mean over the picture, seven linear heads. 24.0 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = resnet50()
        self.final_layers = nn.ModuleList(nn.Conv2d(2048, width, 1) for width in HEADS)

    def features(self, images: Tensor) -> Tensor:
        """[B, 3, 224, 224] -> [B, 2048]."""
        return self.backbone(images)[2].mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """RGB images [B, 3, 224, 224] in 0..1, neither centred nor scaled -> coefficients [B, 257]."""
        pooled = self.features(images)[:, :, None, None]
        return torch.cat([head(pooled).flatten(1) for head in self.final_layers], 1)


def load_deep3d(
    weights: Mapping[str, Tensor], device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> Deep3DNet:
    """The network with `weights` (`backbone.*`, `final_layers.*`). Raises EnvironmentProblem("weights_mismatch")."""
    with torch.device("meta"):
        network = Deep3DNet()
    return load_weights(network.to_empty(device="cpu"), weights, "Deep3DFaceRecon's network", device, dtype)


@dataclass(frozen=True)
class Crop:
    """What the network saw of a picture: crop pixel = `scale` * picture pixel + `shift` (x, y; pixel edges)."""

    image: np.ndarray  # uint8 [224, 224, 3]
    scale: np.ndarray  # [2]
    shift: np.ndarray  # [2]

    def to_picture(self, points: np.ndarray) -> np.ndarray:
        """Crop pixels [..., 2] -> picture pixels."""
        return (points - self.shift) / self.scale


def crop_whole(rgb: np.ndarray) -> Crop:
    """The whole of `rgb` uint8 [H, W, 3], squeezed to 224 x 224 (bicubic): NeRFFaceSpeech's input."""
    from PIL import Image

    height, width = rgb.shape[:2]
    small = np.asarray(Image.fromarray(rgb).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    return Crop(small, np.array([SIDE / width, SIDE / height]), np.zeros(2))


def face_square(box: np.ndarray, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The square (x0, y0, x1, y1) in whole pixels, x1 and y1 outside, that 3DMM-Fitting-PyTorch calls the face in a
    picture of `size` (width, height): around the middle of `box` [4] (x0, y0, x1, y1), within the picture."""
    low, high = np.reshape(box, (2, 2))
    side = int((high - low).max() * (1 + FACE_MARGIN))
    x, y = np.maximum(np.floor((low + high) / 2).astype(int) - side // 2, 0).tolist()
    side = max(min(side, size[0] - x, size[1] - y), 0)
    return x, y, x + side, y + side


def five_points(landmarks: np.ndarray) -> np.ndarray:
    """Right eye, left eye, nose tip, right and left mouth corner [5, D] out of 68 landmarks [68, D]."""
    eyes = landmarks[[36, 39]].mean(0), landmarks[[42, 45]].mean(0)
    return np.stack([*eyes, landmarks[30], landmarks[48], landmarks[54]])


def crop_aligned(rgb: np.ndarray, landmarks: np.ndarray, standard: np.ndarray) -> Crop:
    """The face of `rgb` uint8 [H, W, 3] in the place that the network was trained with.

    `landmarks` [68, 2] in pixels, y down; `standard` [5, 3]: `five_points` of the Basel mean face, y up. Scale and
    place are those of the scaled-orthographic camera that takes `standard` to the landmarks (Deng et al., 2019).
    Raises BadInput("face_too_small") when the landmarks fall together.
    """
    import cv2

    seen = five_points(landmarks[:, :2]).astype(float) * [1, -1]
    design = np.column_stack([standard, np.ones(5)])
    camera, *_ = np.linalg.lstsq(design, seen, rcond=None)  # [4, 2]: an affine camera
    size = np.linalg.norm(camera[:3], axis=0).mean()
    if not np.isfinite(size) or size < 1e-3:
        raise BadInput("face_too_small", "the face's landmarks fall together. Use a picture with a larger face.")
    scale = STANDARD_SIZE / size
    shift = SIDE / 2 - scale * camera[3] * [1, -1]
    # Pixel edges to pixel centres, where warpAffine counts from; areas are averaged before a large reduction.
    matrix = np.column_stack([np.eye(2) * scale, shift + 0.5 * scale - 0.5])
    source = rgb
    if scale < 0.5:
        smaller = (max(1, round(rgb.shape[1] * scale * 2)), max(1, round(rgb.shape[0] * scale * 2)))
        source = cv2.resize(rgb, smaller, interpolation=cv2.INTER_AREA)
        ratio = np.array([smaller[0] / rgb.shape[1], smaller[1] / rgb.shape[0]])
        matrix = np.column_stack([np.diag(scale / ratio), shift + 0.5 * scale / ratio - 0.5])
    image = cv2.warpAffine(source, matrix, (SIDE, SIDE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return Crop(image, np.full(2, scale), shift)


@torch.no_grad()
def read_coefficients(network: Deep3DNet, crop: Crop) -> np.ndarray:
    """The 257 coefficients float64 [257] of one crop; they belong to the crop's 224-pixel camera."""
    weight = network.final_layers[0].weight
    image = torch.from_numpy(crop.image.copy()).to(weight.device).permute(2, 0, 1)[None]
    return network(image.to(weight.dtype) / 255)[0].cpu().double().numpy()


def translation_in_picture(coefficients: np.ndarray, crop: Crop, size: tuple[int, int]) -> np.ndarray:
    """The head's translation [3] for a camera that takes in the picture of `size` (width, height) as a square of 224
    around its middle, by its longer side: the head then has the place and the size that it has in the picture."""
    x, y, z = np.asarray(coefficients, float)[254:257]
    depth = DISTANCE - z
    spot = np.array([FOCAL * x / depth + SIDE / 2, SIDE / 2 - FOCAL * y / depth])  # of the head's origin, y down
    unit = SIDE / max(size)
    centred = (crop.to_picture(spot) - np.array(size) / 2) * unit
    new_depth = depth * crop.scale.mean() / unit  # a head that fills less of the whole picture is farther away
    return np.array([centred[0] * new_depth / FOCAL, -centred[1] * new_depth / FOCAL, DISTANCE - new_depth])
