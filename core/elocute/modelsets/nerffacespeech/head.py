"""The mesh with 52 shape keys of a published generator's person: the embedded head, fitted to the picture that the
generator gives from its own camera, and brought to where that camera shows it.

Nothing has to be inverted for it: a photo's picture and camera are known before the inversion begins.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from ...errors import BadInput
from ...head.avatar import AvatarHead
from ...head.conversion import basel_origin
from ...headmesh import Staging
from ...limits import portrait_seed
from ...portrait.aligned import aligned_portrait
from ...protocol import Progress
from ...rendering.device import pick_device
from ...settings import HeadSettings
from ...spaces import head_to_camera, to_object
from ...values import Camera, Placements
from ...warm import make_room
from ..base import FittedHead, Report
from ..embedded import PLANE_SIDES, loaded, prepare_whole
from .cameras import placement_of
from .prepare import front_view, photo_and_camera, picture_of, random_person
from .weights import Networks


def fit_mesh(settings: HeadSettings, report: Report) -> FittedHead:
    """Raises BadInput seed_without_face, and for a photo that can't be used, as `Embedded.prepare` does."""
    make_room()
    portrait, networks = settings.portrait, Networks(pick_device(settings.device))
    seed = portrait_seed(portrait)
    report(Progress("fit", 0, 4, None, "loading the generator"))
    if seed is None:
        picture, own, notes = _of_photo(networks, portrait)
        avatar = prepare_whole(picture, portrait, settings.fit, report)
    else:
        picture, own = _of_seed(networks, seed)
        notes = []
        try:
            avatar = prepare_whole(picture, portrait, settings.fit, report)
        except BadInput as error:  # whose sentence is about a photo that nobody has
            raise BadInput(
                "seed_without_face", f"{portrait} shows no face that a head can be fitted to. Choose another seed."
            ) from error
    field = loaded(avatar)
    head = field.motion.head
    assert isinstance(head, AvatarHead)
    staging = staged(field.fit.camera, basel_origin(networks.face, head.model, head.neutral), own)
    return FittedHead(field, staging, (*notes, *avatar.report.get("notes", [])))


def _of_photo(networks: Networks, portrait: str) -> tuple[np.ndarray, Placements, list[str]]:
    """The photo in the generator's crop, [512, 512, 3] whatever the generator's own size, as the mesh has more detail;
    its own camera's placement; what the user should know."""
    config = networks.generator_config()
    _, camera = photo_and_camera(networks, portrait, config.resolution, False, {"notes": []})
    picture, notes = aligned_portrait(portrait, PLANE_SIDES[0], networks.device)
    return picture, _placement(camera, config.camera.fov), notes


@torch.no_grad()
def _of_seed(networks: Networks, seed: int) -> tuple[np.ndarray, Placements]:
    """The generator's picture [S, S, 3] of number `seed` from the front, which is the own camera, and its placement."""
    person = random_person(networks, seed, reference=False)
    return picture_of(front_view(person).image), _placement(person.camera, person.generator.config.camera.fov)


def _placement(camera: torch.Tensor, fov_deg: float) -> Placements:
    return placement_of(camera[0].cpu().numpy().astype(float), math.radians(fov_deg))


def staged(fitted: Camera, middle: np.ndarray, own: Placements) -> Staging:
    """The mesh that `fitted` shows in a square picture, before the `own` camera (one frame) of the same picture.

    The head's `middle` [3] (head space) comes to the distance of the world's, about which the head turns. A similarity
    keeps what the camera's axis and the sizes at that distance are, so that both pictures agree exactly there, and
    before and behind it up to perspective.
    """
    assert own.fov_y is not None
    there, here = head_to_camera(fitted), own.head_to_camera[0]
    depth, own_depth = -float(there[2, :3] @ to_object(middle) + there[2, 3]), -float(here[2, 3])
    focal, own_focal = fitted.focal / fitted.width, 1 / (2 * math.tan(own.fov_y[0] / 2))  # in sides of the picture
    scale = focal / depth * own_depth / own_focal
    along = np.array([0.0, 0.0, scale * depth - own_depth])
    back = here[:3, :3].T
    return Staging(scale * back @ there[:3, :3], back @ (scale * there[:3, 3] + along - here[:3, 3]), own)
