"""Fits the Basel face to one 224-pixel picture in two stages, as 3DMM-Fitting-PyTorch does for NeRFFaceSpeech.

Rigid: rotation and translation by the 68 landmarks. Non-rigid: identity, expression, texture, light and pose by
landmarks, colours and priors. Both with Adam, whose path the reference's schedule reproduces step by step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi

import numpy as np
import torch
from torch import Tensor

from elocute.head import basel
from elocute.head.basel import BaselFace
from elocute.head.photo_term import paint, photo_loss


@dataclass(frozen=True)
class FitSchedule:
    """Steps and weights; the weights are 3DMM-Fitting-PyTorch's as NeRFFaceSpeech runs it, REFERENCE has its steps."""

    rigid_steps: int = 200  # at rest after about 100
    nonrigid_steps: int = 200
    rate: float = 1e-2
    # A stage slows down to this rate: at full speed light and shape chase each other around the photometric minimum.
    last_rate: float = 2e-4
    landmarks: float = 100.0
    photo: float = 1.6
    reflectance: float = 1.0
    identity: float = 1e-3
    expression: float = 8e-4
    texture: float = 1.7e-6
    keep_best: bool = True  # of a stage's steps, and not its last
    photo_doubt: float = 4.0  # see `photo_loss`: a quarter of the range apart counts half


REFERENCE = FitSchedule(rigid_steps=1000, nonrigid_steps=500, last_rate=1e-2, keep_best=False, photo_doubt=0.0)


@dataclass(frozen=True)
class BaselFit:
    """`coefficients` float64 [257]; `landmark_error` mean distance in pixels of the 224-pixel picture."""

    coefficients: np.ndarray
    landmark_error: float


def landmark_weights(like: Tensor) -> Tensor:
    """Weights [68] that sum to 1, on the device and in the dtype of `like`: nose and mouth count ten times."""
    weights = torch.ones(68, dtype=like.dtype, device=like.device)
    weights[list(basel.MOUTH_AND_NOSE)] = 10
    return weights / weights.sum()


def landmark_loss(found: Tensor, seen: Tensor) -> Tensor:
    """Weighted squared distance of landmarks [B, 68, 2], in parts of the picture's side."""
    squares = ((found - seen) / basel.SIDE).square().sum(-1)
    return (squares * landmark_weights(found)).sum() / len(found)


def reflectance_loss(albedo: Tensor, skin: Tensor) -> Tensor:
    """How much the skin's colours [B, N, 3], 0..255, differ from their mean; skin [N] is 0 or 1."""
    weights = skin[None, :, None]
    mean = (albedo * weights).sum(1, keepdim=True) / skin.sum()
    return ((albedo - mean) * weights / 255).square().sum() / (len(albedo) * skin.sum())


def fit_basel(
    model: BaselFace,
    landmarks: np.ndarray,
    picture: np.ndarray | None = None,
    start: np.ndarray | None = None,
    reference: bool = False,
    schedule: FitSchedule | None = None,
) -> BaselFit:
    """The 257 coefficients for `landmarks` [68, 2] (pixels of the 224-pixel picture, y down) and the `picture` uint8
    [224, 224, 3]; without one the photometric term is left out.

    `start` [257] are coefficients to begin with, such as Deep3DFaceRecon's. `reference`: begin with zeros whatever
    `start` says and follow REFERENCE step by step; by default a stage slows down and its best step counts. Device and
    precision are the model's.
    """
    plan = schedule or (REFERENCE if reference else FitSchedule())
    like = model.mean_shape
    seen = torch.as_tensor(np.asarray(landmarks)[None, :, :2], dtype=like.dtype, device=like.device)
    photo = None if picture is None else torch.as_tensor(picture.copy(), dtype=like.dtype, device=like.device)
    first = np.zeros(basel.COEFFICIENTS) if start is None or reference else np.asarray(start, float)
    parts = _Parts(torch.as_tensor(first[None], dtype=like.dtype, device=like.device))

    points = model.only_keypoints()
    still = points.shape(parts.joined())

    def rigid() -> dict[str, Tensor]:
        loss = landmark_loss(basel.project(basel.placed(still, parts.joined()), rows=True), seen)
        return {"total": plan.landmarks * loss, "landmarks": loss}

    def nonrigid() -> dict[str, Tensor]:
        return _losses(model, parts, seen, photo, plan)

    _descend(rigid, parts, ("angles", "translation"), plan.rigid_steps, plan)
    _descend(nonrigid, parts, tuple(parts.pieces), plan.nonrigid_steps, plan)
    with torch.no_grad():
        found = parts.joined()
        off = (basel.project(basel.placed(points.shape(found), found), rows=True) - seen).norm(dim=-1).mean()
    return BaselFit(found[0].cpu().double().numpy(), float(off))


class _Parts:
    """The coefficients as separate leaves, in their order, so that a stage can move some of them."""

    SLICES = (
        ("identity", basel.IDENTITY), ("expression", basel.EXPRESSION), ("texture", basel.TEXTURE),
        ("angles", basel.ANGLES), ("light", basel.LIGHT), ("translation", basel.TRANSLATION),
    )  # fmt: skip

    def __init__(self, coefficients: Tensor) -> None:
        self.pieces = {name: coefficients[:, at].clone() for name, at in self.SLICES}

    def joined(self) -> Tensor:
        return torch.cat(list(self.pieces.values()), 1)


def _losses(
    model: BaselFace, parts: _Parts, seen: Tensor, photo: Tensor | None, plan: FitSchedule
) -> dict[str, Tensor]:
    coefficients = parts.joined()
    shape, albedo = model.shape(coefficients), model.albedo(coefficients)
    world = basel.placed(shape, coefficients)
    losses = {
        "landmarks": landmark_loss(basel.project(world[:, model.keypoints], rows=True), seen),
        "reflectance": reflectance_loss(albedo, model.skin),
        "prior": plan.identity * parts.pieces["identity"].square().sum()
        + plan.expression * parts.pieces["expression"].square().sum()
        + plan.texture * parts.pieces["texture"].square().sum(),
    }
    total = plan.landmarks * losses["landmarks"] + plan.reflectance * losses["reflectance"] + losses["prior"]
    if photo is not None:
        normals = model.normals(shape) @ basel.rotations(coefficients[:, basel.ANGLES])
        colours = basel.lit(albedo, normals, coefficients[:, basel.LIGHT])
        screen = torch.cat([basel.project(world, rows=True), basel.seen_from_camera(world)[..., 2:]], -1)
        shown, mask = paint(screen[0], colours[0], model.faces, basel.SIDE)
        losses["photo"] = photo_loss(shown, photo, mask, plan.photo_doubt)
        total = total + plan.photo * losses["photo"]
    return {"total": total, **losses}


def _descend(
    evaluate: Callable[[], dict[str, Tensor]], parts: _Parts, moved: tuple[str, ...], steps: int, plan: FitSchedule
) -> None:
    """Adam on the named parts, its rate falling along half a cosine."""
    leaves = [parts.pieces[name].requires_grad_(True) for name in moved]
    optimiser = torch.optim.Adam(leaves, lr=plan.rate)
    least, best = float("inf"), [leaf.detach().clone() for leaf in leaves]
    for step in range(steps):
        slowed = 0.5 - 0.5 * cos(pi * step / steps)
        optimiser.param_groups[0]["lr"] = plan.rate + (plan.last_rate - plan.rate) * slowed
        total = evaluate()["total"]
        if plan.keep_best and (now := float(total.detach())) < least:
            least, best = now, [leaf.detach().clone() for leaf in leaves]
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
    if plan.keep_best:
        with torch.no_grad():
            for leaf, value in zip(leaves, best, strict=True):
                leaf.copy_(value)
