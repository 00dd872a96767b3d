"""A face model that looks like the official one, whole and in the six files that it is made from."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def face_model(rows: int = 24, columns: int = 24, seed: int = 0) -> dict[str, np.ndarray]:
    """A face-like bulge of `rows` x `columns` vertices with the fields, units and 1-based indices of the Basel face."""
    draw = np.random.RandomState(seed)
    v, u = np.meshgrid(np.linspace(1, -1, rows), np.linspace(-1, 1, columns), indexing="ij")
    x, y = 0.8 * u, 1.1 * v
    z = 0.8 * np.sqrt(np.clip(1 - 0.6 * u**2 - 0.5 * v**2, 0.02, None)) + 0.25 * np.exp(-30 * u**2 - 12 * v**2)
    shape = np.stack([x, y, z], -1).reshape(-1, 3)
    count = len(shape)
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).reshape(-1)
    faces = np.concatenate([np.stack([corner, corner + columns, corner + 1], 1),
                            np.stack([corner + 1, corner + columns, corner + columns + 1], 1)]) + 1  # fmt: skip
    ring = np.full((count, 8), len(faces) + 1)
    filled = np.zeros(count, int)
    for number, face in enumerate(faces, 1):
        for vertex in face - 1:
            if filled[vertex] < 8:
                ring[vertex, filled[vertex]] = number
                filled[vertex] += 1

    def waves(number: int, size: float) -> np.ndarray:
        """Smooth displacement fields [3 * count, number]."""
        out = np.empty((count, 3, number))
        for k in range(number):
            a, b, phase = draw.randint(1, 5), draw.randint(1, 5), draw.uniform(0, 6, 3)
            wave = np.cos(a * 1.5 * u.reshape(-1)[:, None] + phase) * np.cos(b * 1.5 * v.reshape(-1)[:, None] + phase)
            out[..., k] = size * wave
        return out.reshape(3 * count, number)

    return {
        "meanshape": shape.reshape(1, -1), "meantex": np.tile([180.0, 140.0, 120.0], count)[None],
        "idBase": waves(80, 0.01).astype(np.float32), "exBase": waves(64, 0.02).astype(np.float32),
        "texBase": waves(80, 2.0).astype(np.float32), "tri": faces.astype(float), "point_buf": ring.astype(float),
        "tri_mask2": faces[::2].astype(float), "keypoints": (_keypoints(shape) + 1)[None].astype(float),
        "frontmask2_idx": (np.arange(0, count, 2) + 1)[:, None].astype(float), "skinmask": np.ones((1, count)),
    }  # fmt: skip


def _keypoints(shape: np.ndarray) -> np.ndarray:
    """Vertices nearest to where the 68 landmarks of a face lie (x to the picture's right, y up)."""
    jaw = [(-np.cos(t) * 0.75, 0.1 - np.sin(t) * 1.0) for t in np.linspace(0, np.pi, 17)]
    brows = [(x, 0.55) for x in (-0.55, -0.45, -0.35, -0.25, -0.15, 0.15, 0.25, 0.35, 0.45, 0.55)]
    bridge = [(0, 0.4), (0, 0.25), (0, 0.1), (0, -0.05)]
    nose = [*bridge, (-0.15, -0.15), (-0.08, -0.18), (0, -0.2), (0.08, -0.18), (0.15, -0.15)]
    eyes = [(c + 0.12 * np.cos(t), 0.35 + 0.05 * np.sin(t)) for c in (-0.33, 0.33)
            for t in np.linspace(np.pi, -np.pi, 6, endpoint=False)]  # fmt: skip
    lips = [(0.28 * np.cos(t), -0.5 + 0.12 * np.sin(t)) for t in np.linspace(np.pi, -np.pi, 12, endpoint=False)]
    inner = [(0.2 * np.cos(t), -0.5 + 0.05 * np.sin(t)) for t in np.linspace(np.pi, -np.pi, 8, endpoint=False)]
    points = np.array([*jaw, *brows, *nose, *eyes, *lips, *inner])
    return np.linalg.norm(shape[None, :, :2] - points[:, None], axis=2).argmin(1)


def write_face_model(path: Path, compressed: bool = False, **changed: np.ndarray) -> dict[str, np.ndarray]:
    """BFM_model_front.mat."""
    from scipy.io import savemat

    content = {**face_model(), **changed}
    savemat(path, content, do_compression=compressed)
    return content


def write_face_parts(folder: Path, spare: int = 24) -> tuple[list[Path], dict[str, np.ndarray]]:
    """The six files that BFM_model_front.mat is made from, and what has to come of them. `spare` more vertices are in
    the expressions, twice as many in the scans; `matlab.EXPRESSION_VERTICES` has to be told how many that makes."""
    from scipy.io import savemat

    model, draw = face_model(), np.random.RandomState(1)
    count = model["meanshape"].size // 3
    middle, most = count + spare, count + 2 * spare
    trim, front = draw.permutation(most)[:middle], draw.permutation(middle)[:count]

    def spread(values: np.ndarray, rows: np.ndarray, total: int) -> np.ndarray:
        """Values [3 count, K] at their rows among `total` vertices; other rows are noise."""
        out = draw.standard_normal((total, 3, values.shape[1]))
        out[rows] = values.reshape(count, 3, -1)
        return out.reshape(3 * total, -1)

    def components(values: np.ndarray, rows: np.ndarray, total: int, kept: int) -> tuple[np.ndarray, np.ndarray]:
        """Unscaled components with `kept` of them in all, and their deviations."""
        deviations = draw.uniform(1, 5, (kept, 1))
        basis = spread(values, rows, total)
        more = draw.standard_normal((len(basis), kept - basis.shape[1]))
        return np.concatenate([basis, more], 1) / deviations.T, deviations

    scans = trim[front]
    shape_pc, shape_ev = components(model["idBase"] * 1e5, scans, most, 199)
    tex_pc, tex_ev = components(model["texBase"], scans, most, 199)
    exp_pc, exp_ev = components(model["exBase"] * 1e5, front, middle, 79)
    savemat(folder / "01_MorphableModel.mat", {
        "shapePC": shape_pc, "shapeEV": shape_ev, "shapeMU": spread(model["meanshape"].T * 1e5, scans, most),
        "texPC": tex_pc, "texEV": tex_ev, "texMU": spread(model["meantex"].T, scans, most), "tl": np.zeros((3, 3)),
    }, do_compression=True)  # fmt: skip
    binary = np.array([79], "<i4").tobytes() + np.zeros(3 * middle, "<f4").tobytes() + exp_pc.T.astype("<f4").tobytes()
    (folder / "Exp_Pca.bin").write_bytes(binary)
    np.savetxt(folder / "std_exp.txt", exp_ev.T)
    savemat(folder / "BFM_front_idx.mat", {"idx": front[:, None] + 1})
    savemat(folder / "BFM_exp_idx.mat", {"trimIndex": trim[:, None] + 1})
    info = ("tri", "point_buf", "tri_mask2", "keypoints", "frontmask2_idx", "skinmask")
    savemat(folder / "facemodel_info.mat", {name: model[name] for name in info})
    names = ("01_MorphableModel.mat", "Exp_Pca.bin", "std_exp.txt", "BFM_front_idx.mat", "BFM_exp_idx.mat")
    return [*(folder / name for name in names), folder / "facemodel_info.mat"], model
