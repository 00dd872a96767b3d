"""A portrait, or a seed, to an avatar of the published generator: inversion (PTI), then the Basel face fitted to it."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import BadInput
from ...inversion.avatar import Avatar, avatar_key, store
from ...limits import portrait_seed
from ...models.catalogue import find_model
from ...models.official import imported_if_any
from ...protocol import Progress
from ...settings import FitSettings
from ...warm import make_room
from ..base import Report, identity

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from ...generators.stylenerf.generator import Rendering, StyleNerf
    from ...inversion.stylenerf.projection import Pivot
    from .weights import Networks

MADE_BY = "nerffacespeech 1"  # raise its number whenever a fit would come out differently
WITHOUT_LPIPS = "pyramid 2"  # and this one's whenever the substitute for LPIPS changes
TRUNCATION = 0.7  # of a random person towards the mean face: StyleNeRF's own pictures are made with it
FIT_ROLES = ("generator", "face_model", "face_regressor", "segmentation", "lpips_vgg", "lpips_alex")
STEPS = 5  # of a fit, as progress counts them
TUNED = "generator."  # prefix of a person's own generator in the avatar's file


def key_of(portrait: str, settings: FitSettings) -> str:
    """The avatar's key: the portrait, every model that has a part in the fit, and how it is done."""
    hashes = {"how": f"{settings.reference} {settings.fit_steps}"}
    for role in FIT_ROLES:
        found = imported_if_any(role)
        hashes[role] = found.sha256 if found else WITHOUT_LPIPS if role.startswith("lpips") else ""
    if portrait_seed(portrait) is None:
        hashes |= {"face": find_model("face").sha256, "landmarks": _landmarks()}
    return avatar_key(identity(portrait), hashes, 0, made_by=MADE_BY)


def _landmarks() -> str:
    """What finds the 68 landmarks, by which a photo is cropped and the face model fitted."""
    from importlib.metadata import PackageNotFoundError, version

    from ...portrait.landmarks68 import face_alignment_missing

    if face_alignment_missing():
        return "embedded"
    with suppress(PackageNotFoundError):  # run from its sources
        return f"face-alignment {version('face-alignment')}"
    return "face-alignment"


@dataclass(frozen=True)
class Person:
    """Who the generator shows: its (tuned) arrays, `ws` [1, L, W], background code [1, Z], and the portrait's own
    camera [1, 4, 4]."""

    generator: StyleNerf
    ws: Tensor
    background: Tensor
    camera: Tensor
    tuned: bool


def invert_portrait(portrait: str, settings: FitSettings, key: str, folder: Path, report: Report) -> Avatar:
    """Make an avatar and keep it. Raises BadInput for a photo that can't be used, EnvironmentProblem."""
    import numpy as np
    import torch

    from ...rendering.device import pick_device
    from .weights import Networks

    started = time.perf_counter()
    device = pick_device(settings.device)
    make_room()
    networks = Networks(device)
    about: dict[str, Any] = {"portrait": portrait, "model_set": "nerffacespeech", "notes": [], "stage_seconds": {}}
    seed = portrait_seed(portrait)
    report(Progress("fit", 0, STEPS, None, "loading the generator"))
    if seed is not None:
        person = random_person(networks, seed, settings.reference)
    else:
        person = invert_photo(networks, portrait, settings, report, about, folder / key)
    report(Progress("fit", 2, STEPS, None, "the front view"))
    with torch.no_grad():
        front = front_view(person)
    report(Progress("fit", 3, STEPS, None, "fitting the face model"))
    coefficients = fit_front(networks, front.image, settings.reference, about)
    report(Progress("fit", 4, STEPS, None, "finding hair and shoulders"))
    arrays = {
        "ws": person.ws, "background": person.background, "camera": person.camera,
        "coefficients": torch.from_numpy(coefficients), "torso": torso_of(networks, front.image, settings.reference),
    }  # fmt: skip
    if person.tuned:
        arrays |= {TUNED + name: value for name, value in person.generator.state_dict().items()}
    about["seconds"] = round(time.perf_counter() - started, 2)
    about["cached"] = False
    report(Progress("fit", STEPS, STEPS, None, None))
    plain = {name: np.ascontiguousarray(value.detach().cpu().numpy()) for name, value in arrays.items()}
    avatar = store(folder, key, plain, about, MADE_BY)
    for path in unfinished_files(folder / key):  # not before: a fit that is stopped here goes on from them
        path.unlink(missing_ok=True)
    return avatar


def unfinished_files(unfinished: Path) -> tuple[Path, Path]:
    """Where an interrupted fit keeps its pivot and its tuning."""
    return unfinished.with_suffix(".pivot.safetensors"), unfinished.with_suffix(".tuning.safetensors")


def random_person(networks: Networks, seed: int, reference: bool) -> Person:
    """Number `seed`. The published program also draws a camera, once, and keeps it; by default people face us."""
    import numpy as np
    import torch

    from ...generators.stylenerf.camera import random_camera
    from ...head.spaces import front_camera
    from ...inversion.stylenerf.projection import draw_background

    generator = networks.generator()
    z = torch.from_numpy(np.random.RandomState(seed).randn(1, generator.config.z_dim)).float()
    with torch.no_grad():
        ws = generator.mapping(z.to(networks.device), TRUNCATION)
    background = draw_background(generator, torch.Generator().manual_seed(0 if reference else seed)).to(ws)
    camera = front_camera(torch.eye(3)[None])
    if reference:
        camera = random_camera(generator.config.camera, 1, np.random.RandomState(0), torch.Generator().manual_seed(0))
    return Person(generator, ws, background, camera.to(ws), tuned=False)


def invert_photo(
    networks: Networks, portrait: str, settings: FitSettings, report: Report, about: dict[str, Any], unfinished: Path
) -> Person:
    """The person of a photo, by pivotal tuning from the pose that Deep3DFaceRecon reads in it. `unfinished` with a
    suffix is where an interrupted fit goes on."""
    import torch

    generator = networks.generator()
    rgb, camera = photo_and_camera(networks, portrait, generator.config.resolution, settings.reference, about)
    target = torch.from_numpy(rgb.copy()).to(networks.device).permute(2, 0, 1)[None].float()
    searched, tuned = unfinished_files(unfinished)
    pivot = find_pivot(networks, generator, target, camera, settings, report, about, searched)
    tune_generator(networks, generator, pivot, target / 127.5 - 1, camera, settings, report, about, tuned)
    return Person(generator, pivot.ws(generator), pivot.background, camera, tuned=True)


def photo_and_camera(
    networks: Networks, portrait: str, side: int, reference: bool, about: dict[str, Any]
) -> tuple[np.ndarray, Tensor]:
    """The photo as the generator is to show it, uint8 [side, side, 3], and from where: the camera [1, 4, 4] of the
    pose that Deep3DFaceRecon reads in it. `about` gets pose and notes."""
    import torch

    from ...head.basel import ANGLES, rotations
    from ...head.spaces import front_camera
    from ...portrait.aligned import aligned_portrait, whole_portrait
    from ...portrait.face import detect_faces
    from .guide import coefficients_of

    if reference:
        rgb = whole_portrait(portrait, side)
    else:
        rgb, notes = aligned_portrait(portrait, side, networks.device)
        about["notes"] += notes
    face = None if reference else next(iter(detect_faces(rgb)), None)
    seen = coefficients_of(networks, rgb, face) or coefficients_of(networks, rgb, None)
    assert seen is not None  # without a face it always reads something
    angles = torch.from_numpy(seen[0][None, ANGLES])
    about["pose_deg"] = dict(zip(("pitch", "yaw", "roll"), angles[0].rad2deg().round(decimals=1).tolist(), strict=True))
    return rgb, front_camera(rotations(angles)).float().to(networks.device)


def find_pivot(
    networks: Networks, generator: StyleNerf, target: Tensor, camera: Tensor, settings: FitSettings, report: Report,
    about: dict[str, Any], checkpoint: Path,
) -> Pivot:  # fmt: skip
    """The style and background closest to `target` [1, 3, H, W], 0..255. Goes on where an interrupted fit was."""
    from ...inversion.stylenerf.projection import REFERENCE_PROJECTION, ProjectionSettings, project
    from .weights import perceptual

    plan = REFERENCE_PROJECTION if settings.reference else ProjectionSettings()
    if settings.fit_steps:
        plan = replace(plan, steps=settings.fit_steps[0])
    likeness = perceptual("lpips_vgg", networks.device, about["notes"])
    search = project(
        generator, target, camera, lambda x: likeness.features(x / 127.5 - 1), plan, checkpoint=checkpoint,
        compared_by=likeness.name,
    )  # fmt: skip
    for pivot in search:
        done = len(pivot.distances)
        _check_loss(pivot.distances[-1], "pivot", done)
        report(Progress("fit", 1, STEPS, None, f"pivot {done} of {plan.steps}: {pivot.distances[-1]:.3f}"))
    about["pivot"] = {"steps": plan.steps, "distance": round(pivot.distances[-1], 5), "by": likeness.name}
    return pivot


def tune_generator(
    networks: Networks, generator: StyleNerf, pivot: Pivot, target: Tensor, camera: Tensor, settings: FitSettings,
    report: Report, about: dict[str, Any], checkpoint: Path,
) -> None:  # fmt: skip
    """The generator itself, in place, towards `target` [1, 3, H, W], -1..1. Goes on where an interrupted fit was."""
    from ...inversion.stylenerf.tuning import REFERENCE_TUNING, TuningSettings, least_step_mb, tune
    from .weights import perceptual

    plan = replace(REFERENCE_TUNING if settings.reference else TuningSettings(), memory_mb=settings.fit_memory_mb)
    if settings.fit_steps:
        plan = replace(plan, steps=settings.fit_steps[1])
    limit = settings.fit_memory_mb
    if limit is not None and limit < (least := least_step_mb(generator.config)):
        about["notes"].append(f"a tuning step takes about {least:.0f} MB, however little --fit-memory allows")
    likeness = perceptual("lpips_alex", networks.device, about["notes"])
    about["tuning"] = {"steps": plan.steps, "by": likeness.name}  # of a fit that was stopped after its last step
    generator.requires_grad_(True)
    for step in tune(generator, pivot, target, camera, likeness, plan, checkpoint):
        _check_loss(step.total, "tuning", step.number + 1)
        report(Progress("fit", 1, STEPS, None, f"tuning {step.number + 1} of {plan.steps}: {step.total:.4f}"))
        about["tuning"] = {"steps": step.number + 1, "squares": round(step.square, 5),
                           "distance": round(step.perceptual, 5), "by": likeness.name}  # fmt: skip
    generator.requires_grad_(False)


def _check_loss(loss: float, stage: str, step: int) -> None:
    """Raises BadInput fit_diverged: steps after a loss that is no number only waste hours on a broken person."""
    if not math.isfinite(loss):
        why = f"the {stage} diverged in step {step} (its loss is {loss})"
        raise BadInput("fit_diverged", f"{why}. Check the imported weights, or try another photo.")


def front_view(person: Person) -> Rendering:
    """The person from the front, with the background seen as in every frame."""
    import torch

    from ...head.spaces import front_camera

    camera = front_camera(torch.eye(3)[None]).to(person.ws)
    return person.generator.render(person.ws, camera, person.background, freeze_background=True)


def picture_of(image: Tensor) -> np.ndarray:
    """A generator's picture [1, 3, H, W] as uint8 [H, W, 3]."""
    from ...finishing.mouth_mask import to_pixels

    return to_pixels(image)[0].cpu().numpy()


def fit_front(networks: Networks, image: Tensor, reference: bool, about: dict[str, Any]) -> np.ndarray:
    """The Basel face's coefficients float64 [257] for the generator's front picture [1, 3, H, W]."""
    import numpy as np
    import torch.nn.functional as F

    from ...head.basel import SIDE
    from ...head.basel_fit import fit_basel
    from ...portrait.deep3d import crop_whole, face_square, read_coefficients
    from ...portrait.landmarks68 import find_68

    picture = picture_of(image)
    crop = crop_whole(picture)
    if reference:  # reduced as it is rendered, without smoothing
        small = F.interpolate(image, size=(SIDE, SIDE), mode="bicubic", align_corners=False)
        crop = replace(crop, image=picture_of(small))
    start = read_coefficients(networks.regressor, crop) if imported_if_any("face_regressor") else None
    seen = crop.image if reference else picture
    try:
        landmarks = find_68(seen, "the generator's front view", networks.device) * (SIDE / seen.shape[0])
    except BadInput as error:
        if start is None:
            raise
        about["notes"].append(f"no face found in the generator's front view ({error.code}): a first estimate serves")
        return start
    about["face_square_px"] = face_square(np.stack([landmarks.min(0), landmarks.max(0)]), (SIDE, SIDE))
    fit = fit_basel(networks.face, landmarks, crop.image, start, reference)
    about["landmark_residual_px"] = round(fit.landmark_error, 3)
    return np.asarray(fit.coefficients, np.float64)


def torso_of(networks: Networks, image: Tensor, reference: bool) -> Tensor:
    """Where the front picture shows hair, neck and shoulders: bool [S, S], nowhere without the parsing network."""
    import torch

    from ...portrait import parsing

    if networks.parser is None:
        return torch.zeros(1, 1, dtype=torch.bool)
    classes = parsing.parse(networks.parser, image, reference=reference)[0]
    return parsing.is_one_of(classes, (*parsing.HAIR, *parsing.NECK_AND_SHOULDERS))
