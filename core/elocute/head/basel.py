"""The Basel Face Model 2009 as Deep3DFaceRecon crops it: shape, texture, light and camera from 257 coefficients.

Space: the model's own, right-handed, about a decimetre a unit, x to the picture's right, y up, z out of the face; the
camera stands at z = 10 and looks along -z (Deng et al., CVPRW 2019). Pictures are 224 pixels wide and high, and
`project` counts y upwards from the lower edge unless it is asked for rows.

Shapes: B coefficient vectors, N vertices, F triangles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from math import pi, sqrt

import numpy as np
import torch
from torch import Tensor

from elocute.errors import BadInput
from elocute.portrait.deep3d import DISTANCE, FOCAL, SIDE  # units, pixels, pixels

IDENTITY, EXPRESSION, TEXTURE = slice(0, 80), slice(80, 144), slice(144, 224)
ANGLES, LIGHT, TRANSLATION = slice(224, 227), slice(227, 254), slice(254, 257)
COEFFICIENTS = 257
AMBIENT = 0.8  # added to the first light coefficient, so that zeros are a plainly lit face
# Spherical-harmonic light (Ramamoorthi and Hanrahan, 2001): the cosine lobe's and the basis' factors by degree.
LOBE = (pi, 2 * pi / sqrt(3), 2 * pi / sqrt(8))
BASIS = (1 / sqrt(4 * pi), sqrt(3) / sqrt(4 * pi), 3 * sqrt(5) / sqrt(12 * pi))
MOUTH_AND_NOSE = (*range(28, 31), *range(48, 68))  # landmarks that count ten times in 3DMM-Fitting


@dataclass(frozen=True)
class BaselFace:
    """The model's arrays as tensors of one dtype on one device; indices count from 0.

    `mean_shape` [3N] centred on its mean, `identity` [80, 3N], `expression` [64, 3N]; `mean_texture` [3N] 0..255,
    `texture_basis` [80, 3N]; `faces` [F, 3]; `ring` [N, 8] the triangles around a vertex, F where there are fewer;
    `keypoints` [68]; `skin` [N] 0 or 1.
    """

    mean_shape: Tensor
    identity: Tensor
    expression: Tensor
    mean_texture: Tensor
    texture_basis: Tensor
    faces: Tensor
    ring: Tensor
    keypoints: Tensor
    skin: Tensor

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, np.ndarray],
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> BaselFace:
        """From the fields of BFM_model_front.mat (or BFM09_model_info.mat, which has the same), as stored there.

        Raises BadInput("head_model_unreadable") for missing fields or shapes that don't fit together.
        """
        missing = [name for name in MAT_FIELDS if name not in arrays]
        if missing:
            raise BadInput(
                "head_model_unreadable", f"the face model lacks {', '.join(missing)}. Import BFM_model_front.mat again."
            )

        def real(name: str, *shape: int) -> Tensor:
            return torch.from_numpy(np.asarray(arrays[name], np.float64).reshape(shape)).to(device, dtype)

        def index(name: str, *shape: int) -> Tensor:
            return torch.from_numpy(np.asarray(arrays[name], np.int64).reshape(shape) - 1).to(device)

        size = np.asarray(arrays["meanshape"]).size
        try:
            mean = real("meanshape", -1, 3).cpu().numpy()
            model = cls(
                # Centred in its own precision, as the reference does: another way moves landmarks by 1e-5 pixels.
                mean_shape=torch.from_numpy((mean - mean.mean(0)).reshape(-1)).to(device),
                identity=real("idBase", size, 80).T.contiguous(),  # twice as fast to multiply this way round
                expression=real("exBase", size, 64).T.contiguous(),
                mean_texture=real("meantex", size),
                texture_basis=real("texBase", size, 80).T.contiguous(),
                faces=index("tri", -1, 3),
                ring=index("point_buf", size // 3, 8),
                keypoints=index("keypoints", 68),
                skin=real("skinmask", size // 3),
            )
        except ValueError as error:
            raise BadInput(
                "head_model_unreadable", f"the face model's arrays don't fit together ({error}). Import it again."
            ) from None
        limits = ((model.faces, model.vertex_count), (model.ring, len(model.faces) + 1),
                  (model.keypoints, model.vertex_count))  # fmt: skip
        if any(int(i.min()) < 0 or int(i.max()) >= limit for i, limit in limits):
            raise BadInput(
                "head_model_unreadable", "the face model names vertices that it doesn't have. Import it again."
            )
        return model

    @property
    def vertex_count(self) -> int:
        return len(self.mean_shape) // 3

    def to(self, device: str | torch.device | None = None, dtype: torch.dtype | None = None) -> BaselFace:
        """The same model elsewhere or in another precision; indices stay integers."""
        moved = {}
        for field in fields(self):
            tensor = getattr(self, field.name)
            moved[field.name] = tensor.to(device, dtype if tensor.is_floating_point() else None)
        return replace(self, **moved)

    def only_keypoints(self) -> BaselFace:
        """The 68 keypoints as a model of their own, with the same shapes for the same coefficients: for landmark terms,
        which need nothing else. It has no triangles."""
        rows = (self.keypoints[:, None] * 3 + torch.arange(3, device=self.keypoints.device)).reshape(-1)
        none = self.faces[:0]
        return replace(
            self,
            mean_shape=self.mean_shape[rows],
            identity=self.identity[:, rows],
            expression=self.expression[:, rows],
            mean_texture=self.mean_texture[rows],
            texture_basis=self.texture_basis[:, rows],
            faces=none,
            ring=self.ring.new_zeros(68, 8),
            keypoints=torch.arange(68, device=rows.device),
            skin=self.skin[self.keypoints],
        )

    def shape(self, coefficients: Tensor) -> Tensor:
        """[B, 257] -> vertices [B, N, 3] before rotation and translation."""
        moved = coefficients[:, IDENTITY] @ self.identity + coefficients[:, EXPRESSION] @ self.expression
        return (moved + self.mean_shape).view(len(coefficients), -1, 3)

    def albedo(self, coefficients: Tensor) -> Tensor:
        """[B, 257] -> colours [B, N, 3] without light, 0..255."""
        return (coefficients[:, TEXTURE] @ self.texture_basis + self.mean_texture).view(len(coefficients), -1, 3)

    def normals(self, vertices: Tensor) -> Tensor:
        """Unit normals [B, N, 3] of vertices [B, N, 3]: the mean over the triangles around each, of which larger ones
        count more, as in 3DMM-Fitting."""
        a, b, c = vertices[:, self.faces].unbind(2)  # [B, F, 3] each
        across = torch.linalg.cross(a - b, b - c)
        across = torch.cat([across, across.new_zeros(len(vertices), 1, 3)], 1)  # the triangle that isn't there
        return torch.nn.functional.normalize(across[:, self.ring].sum(2), dim=-1)


MAT_FIELDS = (
    "meanshape", "idBase", "exBase", "meantex", "texBase", "tri", "point_buf", "keypoints", "skinmask",
    "frontmask2_idx", "tri_mask2",
)  # fmt: skip


def rotations(angles: Tensor) -> Tensor:
    """Angles [B, 3] in radians about x, y, z -> matrices [B, 3, 3] for row vectors: v @ R. (Rz Ry Rx) transposed."""
    (sx, sy, sz), (cx, cy, cz) = torch.sin(angles).unbind(1), torch.cos(angles).unbind(1)
    rows = [
        torch.stack([cy * cz, cy * sz, -sy], 1),
        torch.stack([sx * sy * cz - cx * sz, sx * sy * sz + cx * cz, sx * cy], 1),
        torch.stack([cx * sy * cz + sx * sz, cx * sy * sz - sx * cz, cx * cy], 1),
    ]
    return torch.stack(rows, 1)


def placed(vertices: Tensor, coefficients: Tensor) -> Tensor:
    """Vertices [B, N, 3] rotated and moved as the coefficients [B, 257] say, in the model's space."""
    return vertices @ rotations(coefficients[:, ANGLES]) + coefficients[:, None, TRANSLATION]


def seen_from_camera(points: Tensor) -> Tensor:
    """Points [..., 3] with z replaced by the depth in front of the camera."""
    return torch.cat([points[..., :2], DISTANCE - points[..., 2:]], -1)


def project(points: Tensor, rows: bool = False) -> Tensor:
    """Points [..., 3] in the model's space -> pixels [..., 2] of the 224-pixel picture, y up, or down with `rows`."""
    local = seen_from_camera(points)
    depth = local[..., 2:]
    pixels = (FOCAL * local[..., :2] + SIDE / 2 * depth) / depth
    if rows:
        return torch.stack([pixels[..., 0], SIDE - pixels[..., 1]], -1)
    return pixels


def lit(colours: Tensor, normals: Tensor, light: Tensor) -> Tensor:
    """Colours [B, N, 3] in any range under the light [B, 27] (nine bands of red, then green, then blue)."""
    x, y, z = normals.unbind(-1)
    c0, c1, c2 = (lobe * basis for lobe, basis in zip(LOBE, BASIS, strict=True))
    bands = torch.stack(
        [
            torch.full_like(x, c0),
            -c1 * y,
            c1 * z,
            -c1 * x,
            c2 * x * y,
            -c2 * y * z,
            c2 * (3 * z * z - 1) / (2 * sqrt(3)),
            -c2 * x * z,
            c2 * (x * x - y * y) / 2,
        ],
        -1,
    )  # [B, N, 9]
    gamma = light.view(-1, 3, 9)
    ambient = torch.zeros_like(gamma)
    ambient[..., 0] = AMBIENT
    return colours * (bands @ (gamma + ambient).transpose(1, 2))
