"""The Basel face out of the parts that its licence makes people fetch one by one.

Parts: the Basel Face Model 2009 (01_MorphableModel.mat, 53,490 vertices), the expressions of Guo et al. (Exp_Pca.bin
and std_exp.txt, 53,215 vertices), and Deep3DFaceRecon's index files, which pick 35,709 vertices of both.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from elocute.errors import BadInput

EXPRESSION_VERTICES = 53215  # of the expressions of Guo et al.
IDENTITIES, EXPRESSIONS, TEXTURES = 80, 64, 80
MICROMETRES = 1e5  # of the Basel scans in a unit of the fitted model
COPIED = ("tri", "point_buf", "tri_mask2", "keypoints", "frontmask2_idx", "skinmask")


def read_expression_basis(
    data: bytes, deviations: np.ndarray, vertices: int = EXPRESSION_VERTICES
) -> tuple[np.ndarray, np.ndarray]:
    """Exp_Pca.bin's content and std_exp.txt's numbers -> components [3 V, K] and their standard deviations [K].

    The file is an int32 K, a mean of 3 V float32 and K components of 3 V float32, little-endian; the mean is not used.
    Raises BadInput("head_model_unreadable") when the length doesn't fit.
    """
    count = int(np.frombuffer(data, "<i4", 1)[0]) if len(data) >= 4 else 0
    if count < EXPRESSIONS or len(data) != 4 + 4 * 3 * vertices * (count + 1) or len(deviations) != count:
        raise BadInput("head_model_unreadable", "Exp_Pca.bin or std_exp.txt is damaged. Fetch both files again.")
    components = np.frombuffer(data, "<f4", offset=4 + 4 * 3 * vertices).reshape(count, 3 * vertices)
    return components.T, np.asarray(deviations, float)


def basel_from_parts(
    morphable: Mapping[str, np.ndarray],
    expression: tuple[np.ndarray, np.ndarray],
    front_index: np.ndarray,
    trim_index: np.ndarray,
    info: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """The fields of BFM_model_front.mat.

    `morphable`: shapePC, shapeEV, shapeMU, texPC, texEV, texMU; `expression`: of `read_expression_basis`;
    `front_index`: `idx` of BFM_front_idx.mat, vertices among the expressions'; `trim_index`: `trimIndex` of
    BFM_exp_idx.mat, where the expressions' vertices are in the Basel model (both count from 1); `info`:
    facemodel_info.mat. Raises BadInput("head_model_unreadable").
    """
    missing = [name for name in COPIED if name not in info]
    missing += [name for name in ("shapePC", "shapeEV", "shapeMU", "texPC", "texEV", "texMU") if name not in morphable]
    if missing:
        raise BadInput(
            "head_model_unreadable", f"the face model's parts lack {', '.join(missing)}. Fetch the files again."
        )
    front = np.asarray(front_index, np.int64).reshape(-1) - 1
    whole = np.asarray(trim_index, np.int64).reshape(-1)[front] - 1

    def basis(components: np.ndarray, deviations: np.ndarray, count: int, rows: np.ndarray) -> np.ndarray:
        scaled = np.asarray(components[:, :count], float) * np.asarray(deviations, float).reshape(-1)[:count]
        return scaled.reshape(-1, 3, count)[rows].reshape(-1, count)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.asarray(values, float).reshape(-1, 3)[whole].reshape(1, -1)

    return {
        "meanshape": mean(morphable["shapeMU"]) / MICROMETRES,
        "meantex": mean(morphable["texMU"]),
        "idBase": basis(morphable["shapePC"], morphable["shapeEV"], IDENTITIES, whole) / MICROMETRES,
        "exBase": basis(*expression, EXPRESSIONS, front) / MICROMETRES,
        "texBase": basis(morphable["texPC"], morphable["texEV"], TEXTURES, whole),
        **{name: np.asarray(info[name]) for name in COPIED},
    }
