"""Corrects MakeHuman's 52 ARKit units on our mesh: lids and lips that meet, lips that part to a round opening."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from head_brows import whole_brows
from head_parts import PARTS, smoothstep
from scipy.interpolate import PchipInterpolator

from elocute.head.surface import plate_energy, through_handles
from elocute.values import ARKIT_NAMES

if TYPE_CHECKING:
    from build_head_model import Mesh

LIP_REACH, LID_REACH = 0.009, 0.006  # metres a correction of the seam travels along the skin
STAY_CLOSED = (
    "jawForward jawLeft jawRight mouthPucker mouthLeft mouthRight mouthSmileLeft mouthSmileRight mouthFrownLeft "
    "mouthFrownRight mouthDimpleLeft mouthDimpleRight mouthStretchLeft mouthStretchRight mouthPressLeft "
    "mouthPressRight cheekPuff noseSneerLeft noseSneerRight"
).split()  # units under which, alone, lips that touched go on touching
LOWER_A_SIDE = ("mouthLowerDownLeft", "mouthLowerDownRight")
# Lips that speak "oh" and "oo": MakeHuman's part in the middle third only, to a diamond, and hardly draw corners in.
NARROWER = {"mouthFunnel": 1.8, "mouthPucker": 1.35}  # of its displacement to the middle
# MakeHuman's smile pulls the corners up by 13 mm; fitted to laughing photos, it was 0.5 to 0.7.
SMILE = 0.7
LOWER_LIDS = 1.5  # of MakeHuman's, which go half-way with eyes that look down: people's go nearly all the way
# MakeHuman's tongueOut goes through the chin. Ours comes between the lips, which this share of jawOpen parts; its
# middle passes these places: share of its length, metres above and before the place where the lips meet.
TONGUE_JAW = 0.33
TONGUE_PATH = (
    (0.3, -0.006, -0.064), (0.55, -0.004, -0.036), (0.75, -0.002, -0.014), (0.87, -0.0045, 0.0), (1, -0.0075, 0.01)
)  # fmt: skip
TONGUE_THIN = 0.7  # of its thickness that it keeps at the tip
ARCH = 0.65  # power of the share of the full opening that a place on the lip takes: 1 is MakeHuman's, less is rounder
ROUND = 0.65  # power of 1 - x^2, x from the middle (0) to a corner (1): 0.5 is an ellipse, 1 a parabola


def seam_fields(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Vertices of all seams [S] without the corners, and for each the field [S, V] that carries its displacement to
    the skin around it: 1 at itself, 0 at every other seam vertex."""
    body = np.flatnonzero(mesh.vertex_part <= PARTS.index("eye_socket"))
    number = np.full(len(mesh.vertices), -1)
    number[body] = np.arange(len(body))
    faces = number[mesh.faces[(mesh.face_part <= PARTS.index("eye_socket"))]]
    points = mesh.vertices[body]
    movers, fields = [], []
    for name, seam in mesh.seams.items():
        energy = plate_energy(points, faces, LIP_REACH if name == "lips" else LID_REACH)
        chain = np.concatenate([seam.upper[1:-1], seam.lower[1:-1]])
        corners = seam.upper[[0, -1]]
        handles = np.concatenate([chain, corners])
        field = through_handles(energy, number[handles], np.eye(len(handles))[:, : len(chain)])
        full = np.zeros((len(chain), len(mesh.vertices)))
        full[:, body] = field.T
        full[np.abs(full) < 2e-3] = 0
        movers.append(chain)
        fields.append(full)
    return np.concatenate(movers), np.concatenate(fields)


class Closer:
    """Moves lips or lids together through the seam fields."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.movers, self.fields = seam_fields(mesh)

    def spread(self, moved: dict[int, np.ndarray]) -> np.ndarray:
        rows = [int(np.flatnonzero(self.movers == v)[0]) for v in moved]
        return self.fields[rows].T @ np.array(list(moved.values()))

    def meeting(self, vertices: np.ndarray, name: str, axes: tuple[int, ...] = (0, 1, 2)) -> np.ndarray:
        """Displacement [V, 3] that puts the lower chain half-way to the upper one and the upper one onto it."""
        seam = self.mesh.seams[name]
        above, below = vertices[seam.upper], vertices[seam.lower]
        mask = np.isin(np.arange(3), axes)
        to_lower = (seam.upper_of_lower @ above - below) / 2 * mask
        to_upper = (seam.lower_of_upper @ (below + to_lower) - above) * mask
        moved = dict(zip(seam.upper[1:-1].tolist(), to_upper[1:-1], strict=True))
        moved |= dict(zip(seam.lower[1:-1].tolist(), to_lower[1:-1], strict=True))
        return self.spread(moved)


def round_opening(mesh: Mesh, unit: np.ndarray, closer: Closer, chain: np.ndarray, even: bool) -> None:
    """Lets a lip go as far as before where it goes farthest and nearly as far beside it: MakeHuman's opens to the
    point of a wedge, people's to an arch, an `even` one around the mouth's middle. In place."""
    x, up = mesh.vertices[chain, 0], unit[chain, 1]
    opening = up - np.interp(x, x[[0, -1]], up[[0, -1]])
    farthest = opening[np.abs(opening).argmax()]
    share = opening / farthest
    across = (x - x[[0, -1]].mean()) / (np.ptp(x[[0, -1]]) / 2)
    wanted = np.clip(1 - across**2, 0, 1) ** ROUND if even else np.clip(share, 0, 1) ** ARCH
    more = (wanted - share) * farthest
    unit += closer.spread({int(v): np.array([0, dy, 0]) for v, dy in zip(chain[1:-1], more[1:-1], strict=True)})


def correct_expression(mesh: Mesh, expression: np.ndarray, closer: Closer) -> None:
    """Makes the units keep ARKit's promises on this head: a blink shuts the lids, mouthClose undoes what jawOpen parts,
    units that don't part the lips leave them touching, those that do part them to an arch, brows move whole. In
    place."""
    unit = {name: expression[k] for k, name in enumerate(ARKIT_NAMES)}
    for side, sign in (("Left", 1), ("Right", -1)):
        # MakeHuman's eye units also stir the other eye's socket and the mouth's inside, where nobody looks in Blender
        own = smoothstep(sign * mesh.vertices[:, 0], -0.008, 0.0) * (mesh.vertex_part != PARTS.index("mouth_cavity"))
        for name in ARKIT_NAMES:
            if name.startswith("eye") and name.endswith(side):
                unit[name] *= own[:, None]
        shut = unit[f"eyeBlink{side}"]
        seam = f"lids_{side.lower()}"
        shut += closer.meeting(mesh.vertices + shut, seam)
        unit[f"eyeLookDown{side}"] *= LOWER_LIDS
        for name in ("eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeLookUp"):
            unit[f"{name}{side}"][mesh.balls[f"eye_{side.lower()}"]] = 0  # eyeballs turn at run time
    for name in ("mouthSmileLeft", "mouthSmileRight"):
        unit[name] *= SMILE
    for name in STAY_CLOSED:
        unit[name] += closer.meeting(mesh.vertices + unit[name], "lips", axes=(1,))
    for name, times in NARROWER.items():
        unit[name][:, 0] *= times
    lips = mesh.seams["lips"]
    for name in LOWER_A_SIDE:
        round_opening(mesh, unit[name], closer, lips.lower, even=False)
    for name, chains in (("jawOpen", (lips.lower,)), ("mouthFunnel", (lips.lower, lips.upper))):
        for chain in chains:
            round_opening(mesh, unit[name], closer, chain, even=True)
    whole_brows(mesh, unit)
    unit["tongueOut"][:] = tongue_out(mesh, unit["jawOpen"])
    both = unit["jawOpen"] + unit["mouthClose"]
    unit["mouthClose"] += closer.meeting(mesh.vertices + both, "lips")


def tongue_out(mesh: Mesh, jaw_open: np.ndarray) -> np.ndarray:
    """Displacement [V, 3]: the jaw opens a little, and the tongue comes out between the lips."""
    chain = mesh.seams["lips"].lower
    meeting = mesh.vertices[chain[np.argmax(mesh.vertices[chain, 2])], 1:]
    tongue = np.flatnonzero(mesh.vertex_part == PARTS.index("tongue"))
    rest = mesh.vertices[tongue]
    along = (rest[:, 2] - rest[:, 2].min()) / np.ptp(rest[:, 2])
    middle = np.poly1d(np.polyfit(along, rest[:, 1], 2))  # its height over its length
    root = np.array([middle(0), rest[:, 2].min()])
    shares, above, before = np.array(TONGUE_PATH).T
    places = np.concatenate([root[None], meeting + np.stack([above, before], 1)])
    path = PchipInterpolator([0, *shares], places)
    forward = path(along, 1)
    up = np.stack([forward[:, 1], -forward[:, 0]], 1) / np.linalg.norm(forward, axis=1, keepdims=True)
    thick = (rest[:, 1] - middle(along)) * (1 - (1 - TONGUE_THIN) * along)
    out = TONGUE_JAW * jaw_open
    out[tongue, 0] = 0
    out[tongue, 1:] = path(along) + thick[:, None] * up - rest[:, 1:]
    return out
