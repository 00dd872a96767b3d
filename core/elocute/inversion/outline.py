"""Keeping the head inside its outline: no surface may stand where the photo shows background.

The matte is a silhouette, and a silhouette carves space (the visual hull). Where the fitted head sticks out of it
(skull, ears and neck have no landmarks), it is pushed back in, smoothly, parallel to the picture.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from ..generators.canonical import diffuse
from ..generators.scene import Scene
from ..head.avatar import AvatarHead
from ..head.model import HeadModel
from ..rendering.shells import project
from ..spaces import to_camera
from ..values import HeadFit

ROUNDS = 3
INSIDE = 1.5  # pixels of a 512-pixel picture the surface ends within the outline
REACH = 0.2  # screening of the push: it spreads over sqrt(3 / REACH) = 4 edges


def shrink_to_outline(scene: Scene, model: HeadModel) -> HeadFit:
    """The fit with `offsets` that pull head, ears and neck inside the matte. Points beyond the picture stay."""
    side = scene.side
    solid = scene.matte > 0.5
    if not solid.any():
        return scene.fit
    margin = INSIDE * side / 512
    depth_inside = ndimage.distance_transform_edt(solid)
    core = depth_inside >= margin
    outside, (row, column) = ndimage.distance_transform_edt(~core, return_indices=True)
    outer = np.unique(model.faces[model.part_faces("skin")])
    rotation = scene.fit.camera.camera_to_world[:3, :3]
    fit = scene.fit
    for _ in range(ROUNDS):
        points = to_camera(AvatarHead(model, fit).vertices(fit.expression), fit.camera.camera_to_world)
        uv = project(points, *scene.lens)
        within = (uv[:, :2] >= 0).all(1) & (uv[:, :2] < side).all(1)
        x, y = (np.clip(uv[:, k].astype(int), 0, side - 1) for k in (0, 1))
        stray = within & (outside[y, x] > 0) & np.isin(np.arange(len(points)), outer)
        if not stray.any():
            break
        push = np.stack([column[y, x] - x, row[y, x] - y], 1) * (points[:, 2:] / scene.lens[0])
        spread = diffuse(np.where(stray[:, None], push, 0), stray.astype(float), model.faces, REACH)
        spread[~np.isin(np.arange(len(points)), outer)] = 0
        world = np.concatenate([spread[:, :1], -spread[:, 1:], np.zeros((len(points), 1))], 1) @ rotation.T
        fit = replace(fit, offsets=(fit.offsets + world).astype(np.float32))
    return fit
