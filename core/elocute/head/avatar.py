"""One person's head, ready to move: neutral, units and closings baked for speed and honesty of lips and lids."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from elocute.head.contact import Contact
from elocute.head.eyes import look_angles, turn_eyeball
from elocute.head.model import HeadModel
from elocute.head.seams import Seam
from elocute.landmarks import CHIN
from elocute.ramps import smooth_step
from elocute.values import ARKIT_NAMES, HeadFit

_MOUTH = np.array([k for k, name in enumerate(ARKIT_NAMES) if name.startswith(("jaw", "mouth"))])
_PRESS = np.array([ARKIT_NAMES.index(f"mouthPress{side}") for side in ("Left", "Right")])
PRESSED = (0.1, 0.3)  # mouthPress from which lips begin to be, and surely are, together: nobody presses open lips
SAME = 0.0018  # metres the lips may be from the photo's, root mean square, and its mouth still be the one to see
KISS, OVERLAP = 0.0006, 0.0004  # metres: rims nearer than this count as closed, and closed rims lap by that much
LID = (0.0012, 0.0095)  # metres from a lid's rim that move with it wholly, and not at all; skin between is drawn out
BELOW_BROW = 0.7  # ... but no further than this share of the way to the brow
BROW_LANDMARKS = {"Left": (276, 283, 282, 295, 285), "Right": (46, 53, 52, 65, 55)}  # their lower edges
EASE = 0.4  # of a sine's, at both ends of that: a steeper middle would stretch the skin more than the photo can cover
NECK = 4.0  # times its weight, a vertex below the jaw is neck
BESIDE = (0.035, 0.05)  # metres from the middle, head space: a jaw that lifts uncovers nothing beside its chin
LIFTED = (0.002, 0.008)  # metres a chin is higher than in the photo when what it hides begins to show, and wholly does
LEAST_OPENING = 1e-3  # metres: a photo whose units part the lips by less has no open mouth to come back to


class AvatarHead:
    """The head of one fit. `vertices(expression)` takes absolute ARKit values: the photo's own reproduce the photo,
    all zero is a relaxed face with closed lips and the photo's eyes. Shapes: V vertices in head space, metres."""

    def __init__(self, model: HeadModel, fit: HeadFit) -> None:
        self.model = model
        self.fit = fit
        self.neutral = model.vertices(fit.identity, None, fit.offsets)  # [V, 3]
        self.units = model.expression.copy()  # [52, V, 3]
        self._keep_promises()
        self._flat = np.ascontiguousarray(self.units.reshape(52, -1))
        photo = fit.expression_offsets
        self._photo = photo.astype(np.float32) if len(photo) else None
        self._seams = tuple(model.seams.values())
        self._prepare_fading()
        self._prepare_neck()
        self.contact = Contact(model, self.surface(fit.expression))

    def _keep_promises(self) -> None:
        """On this person, after the fine correction, a blink still shuts the lids and mouthClose undoes jawOpen."""
        for side in ("Left", "Right"):
            seam = self.model.seams[f"lids_{side.lower()}"]
            unit = self.units[ARKIT_NAMES.index(f"eyeBlink{side}")]
            unit *= self._way_to_go(seam, unit)
            unit[seam.touched] += seam.closing(self.neutral + unit)
            brow = self.model.faces[self.model.landmark_faces[list(BROW_LANDMARKS[side])]].ravel()
            unit *= self._rolled(seam, brow)[:, None]
        seam = self.model.seams["lips"]
        jaw, close = (self.units[ARKIT_NAMES.index(name)] for name in ("jawOpen", "mouthClose"))
        close[seam.touched] += seam.closing(self.neutral + jaw + close)

    def _way_to_go(self, seam: Seam, unit: np.ndarray) -> float:
        """0..1 of a blink: eyes that are half shut in the photo would meet far below where they are."""
        before, after = (seam.openings(shape)[0][1:-1, 1].mean() for shape in (self.neutral, self.neutral + unit))
        return float(np.clip(before / max(before - after, 1e-6), 0, 1))

    def _rolled(self, seam: Seam, brow: np.ndarray) -> np.ndarray:
        """[V] share of a blink that each vertex takes: a lid takes its lashes and the skin above them along, not the
        brow (vertices [K]) or, mostly, a pair of glasses in front of it."""
        free = cKDTree(self.neutral[seam.upper]).query(self.neutral[brow])[0].min()
        near, far = LID[0], min(LID[1], BELOW_BROW * free)
        rims = self.neutral[np.concatenate([seam.upper, seam.lower])]
        skin = np.flatnonzero(self.model.vertex_part == self.model.parts.index("skin"))
        share = np.ones(len(self.neutral), np.float32)
        distance = cKDTree(rims).query(self.neutral[skin], distance_upper_bound=far)[0]
        t = np.clip((far - distance) / (far - near), 0, 1)
        share[skin] = t - EASE * np.sin(2 * np.pi * t) / (2 * np.pi)
        return share

    def _prepare_fading(self) -> None:
        seam = self.model.seams["lips"]
        rim = np.concatenate([seam.upper, seam.lower])
        shift = self.units[_MOUTH][:, rim].reshape(len(_MOUTH), -1)
        self._likeness = shift @ shift.T / len(rim)  # [M, M] mean product of the lips' displacements
        opened = self.units[_MOUTH]
        gap = opened[:, seam.upper, 1] - np.einsum("ul,ml->mu", seam.lower_of_upper, opened[:, seam.lower, 1])
        self._gap = gap.mean(1)  # [M] metres of mean opening per unit
        own = self.fit.expression[_MOUTH]
        self._own_gap = max(float(self._gap @ own), LEAST_OPENING)
        self._own_size = max(float(own @ self._likeness @ own), LEAST_OPENING**2)

    def _prepare_neck(self) -> None:
        chin = self.model.faces[self.model.landmark_faces[CHIN]][0]
        self._chin = self.units[:, chin, 1]  # [52] metres that each unit raises it
        with_jaw = np.linalg.norm(self.units[ARKIT_NAMES.index("jawOpen")], axis=1)
        stays = 1 - np.clip(with_jaw / with_jaw[chin], 0, 1)
        front = 1 - smooth_step(np.abs(self.model.base[:, 0]), *BESIDE)
        self._neck = (stays * front * np.clip(NECK * self.model.regions["neck"], 0, 1)).astype(np.float32)

    def photo_share(self, expression: np.ndarray) -> float:
        """How much of the photo's own mouth is in an expression, 0..1: both as open and in the same direction."""
        mouth = np.asarray(expression)[_MOUTH]
        alike = float(mouth @ self._likeness @ self.fit.expression[_MOUTH]) / self._own_size
        opened = float(self._gap @ mouth) / self._own_gap
        return float(np.clip(min(alike, opened), 0, 1))

    def presence(self, expression: np.ndarray) -> float:
        """1 for the photo's own mouth, towards 0 as the lips leave their places in it: how far what the photo shows
        between the lips may still be seen there."""
        off = np.asarray(expression)[_MOUTH] - self.fit.expression[_MOUTH]
        return float(np.exp(-float(off @ self._likeness @ off) / SAME**2))

    def uncovered(self, expression: np.ndarray) -> np.ndarray:
        """float32 [V] 0..1: how much of the neck that the photo's chin hides shows below a chin that is higher."""
        higher = float((np.asarray(expression) - self.fit.expression) @ self._chin)
        return self._neck * np.float32(smooth_step(higher, *LIFTED))

    def surface(self, expression: np.ndarray) -> np.ndarray:
        """`vertices` as a renderer wants them: closed lips overlap a little, so that no ray slips in between two rims
        that meet exactly but have their vertices at different places."""
        shape = self.vertices(expression)
        lips = self.model.seams["lips"]
        from_lower, from_upper = lips.openings(shape)
        shut = [np.clip(1 - gap[1:-1, 1] / KISS, 0, 1) * OVERLAP / 2 for gap in (from_lower, from_upper)]
        shape[lips.touched, 1] += lips.fields @ np.concatenate([-shut[0], shut[1]]).astype(np.float32)
        return shape

    def seal(self, expression: np.ndarray) -> float:
        """How far pressing draws the lips together, 0..1, whatever the other units leave open. A photo whose lips
        press without touching keeps them as they are."""
        pressed = _pressed(expression)
        return max(pressed - _pressed(self.fit.expression) * self.photo_share(expression), 0.0) if pressed else 0.0

    def vertices(self, expression: np.ndarray) -> np.ndarray:
        """float32 [V, 3] for 52 absolute ARKit values; mouthPress draws the lips together, as `seal` says."""
        units = np.asarray(expression, np.float32)
        active = np.flatnonzero(units)  # einsum: BLAS threads would wait for the renderer's, and these for them
        shape = self.neutral + np.einsum("u,uv->v", units[active], self._flat[active]).reshape(-1, 3)
        if self._photo is not None:
            shape += self.photo_share(units) * self._photo
        for ball, angles in zip(self.model.eyeballs, look_angles(units), strict=True):
            shape[ball] = turn_eyeball(shape[ball], *angles)
        seal = self.seal(units)
        if seal > 0:
            lips = self.model.seams["lips"]
            shape[lips.touched] += seal * lips.closing(shape)
        for seam in self._seams:
            apart = seam.parting(shape)
            if apart is not None:
                shape[seam.touched] += apart
        return shape


def _pressed(expression: np.ndarray) -> float:
    return float(smooth_step(np.asarray(expression)[_PRESS].mean(), *PRESSED))
