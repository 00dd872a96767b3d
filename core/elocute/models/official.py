"""The model set `nerffacespeech`: which official weights it uses, and those that were imported.

The files can't be shipped. Their owner runs `elocute models import`, which leaves two files for each role in the
models folder: `nerffacespeech/ROLE.safetensors`, and `ROLE.json` beside it with that file's SHA-256, what it was made
from, its licence, and the network's configuration.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elocute.errors import BadInput, EnvironmentProblem
from elocute.models.store import models_folder, sha256_of

if TYPE_CHECKING:
    import numpy as np

FORMAT = 1  # of what an import writes; raise it when older imports can't be used any more


@dataclass(frozen=True)
class Official:
    """One role: the file or files that fill it, where they come from, and what is lost without it."""

    role: str
    files: str
    source: str
    licence: str
    needed_by: str
    optional: bool = False


OFFICIAL: tuple[Official, ...] = (
    Official(
        "generator", "ffhq_1024.pkl, ffhq_512.pkl or ffhq_256.pkl",
        "StyleNeRF (Gu et al., ICLR 2022), facebookresearch/StyleNeRF", "CC BY-NC 4.0: no commercial use",
        "everything: it is the radiance field",
    ),
    Official(
        "face_regressor", "epoch_20.pth, or SadTalker_V0.0.2_256.safetensors",
        "Deep3DFaceRecon_pytorch (Deng et al., CVPRW 2019), sicxu/Deep3DFaceRecon_pytorch",
        "MIT for the code; trained on data for research", "the head's pose in photos and videos, expression of a video",
    ),
    Official(
        "face_model", "BFM_model_front.mat or BFM09_model_info.mat, or the six files that it is made from",
        "Basel Face Model 2009 (Paysan et al., AVSS 2009), faces.dmi.unibas.ch; expressions of Guo et al. (2018)",
        "the University of Basel's own: non-commercial, to be asked for by each user", "everything that moves the face",
    ),
    Official(
        "speech_expression", "SadTalker_V0.0.2_256.safetensors (its audio2exp part)",
        "SadTalker (Zhang et al., CVPR 2023), OpenTalker/SadTalker", "Apache-2.0", "a voice that moves the face",
    ),
    Official(
        "mouth", "LipaintNet.pt", "NeRFFaceSpeech (Kim et al., CVPRW 2024), rlgnswk/NeRFFaceSpeech_Code",
        "research use, as its repository says", "the inside of an open mouth",
    ),
    Official(
        "segmentation", "seg.pth", "the BiSeNet of Barbershop (Zhu et al., SIGGRAPH Asia 2021), ZPdesu/Barbershop",
        "MIT for the code; trained on CelebAMask-HQ, non-commercial", "where the mouth is filled in; still shoulders",
    ),
    Official(
        "lpips_vgg", "vgg16-397923af.pth and LPIPS's vgg.pth, together",
        "torchvision's VGG-16 and LPIPS 0.1 (Zhang et al., CVPR 2018)", "BSD-3-Clause, BSD-2-Clause",
        "the first stage of an inversion as it was published; a substitute serves without it", optional=True,
    ),
    Official(
        "lpips_alex", "alexnet-owt-7be5be79.pth and LPIPS's alex.pth, together",
        "torchvision's AlexNet and LPIPS 0.1 (Zhang et al., CVPR 2018)", "BSD-3-Clause, BSD-2-Clause",
        "the second stage of an inversion as it was published; a substitute serves without it", optional=True,
    ),
)  # fmt: skip
ROLES = tuple(entry.role for entry in OFFICIAL)
REQUIRED = tuple(entry.role for entry in OFFICIAL if not entry.optional)


@dataclass(frozen=True)
class Imported:
    """The weights of a role, as an import left them."""

    role: str
    weights: Path
    note: dict[str, Any]

    @property
    def sha256(self) -> str:
        """Of the weights' file: what an avatar's key is made of."""
        return str(self.note["sha256"])

    @property
    def config(self) -> dict[str, Any]:
        return dict(self.note["config"])

    def arrays(self) -> dict[str, np.ndarray]:
        """name -> array. Raises EnvironmentProblem model_hash."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            return load_file(self.weights)
        except (OSError, SafetensorError) as error:
            raise _replaced(self.weights) from error

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """name -> shape, from the file's header alone. Raises EnvironmentProblem model_hash."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.weights, framework="np") as file:
                return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no dict
        except (OSError, SafetensorError) as error:
            raise _replaced(self.weights) from error


def find_official(role: str) -> Official:
    """The entry of a role. Raises BadInput("unknown_model")."""
    for entry in OFFICIAL:
        if entry.role == role:
            return entry
    raise BadInput("unknown_model", f"there is no official model called {role}. Known: {', '.join(ROLES)}.")


def official_folder() -> Path:
    """Where imports go."""
    return models_folder() / "nerffacespeech"


def imported(role: str) -> Imported:
    """What an import left for a role, verified.

    Raises EnvironmentProblem("model_not_imported") or ("model_hash"), BadInput("unknown_model").
    """
    entry = find_official(role)
    weights, note = official_folder() / f"{role}.safetensors", official_folder() / f"{role}.json"
    try:
        read = json.loads(note.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EnvironmentProblem("model_not_imported", f"the weights for {role} are missing. {remedy(entry)}") from None
    except (OSError, ValueError):
        raise _replaced(note) from None
    if not isinstance(read, dict) or read.get("format") != FORMAT or not isinstance(read.get("config"), dict):
        raise _replaced(note)
    if not weights.is_file() or sha256_of(weights) != read.get("sha256"):
        raise _replaced(weights)
    return Imported(role, weights, read)


def imported_if_any(role: str) -> Imported | None:
    """What was imported for a role, or None when nothing was. Raises EnvironmentProblem("model_hash")."""
    try:
        return imported(role)
    except EnvironmentProblem as error:
        if error.code != "model_not_imported":
            raise
        return None


def need_imported(roles: Iterable[str]) -> None:
    """Refuse a run that lacks weights, once and with everything that is missing.

    Raises EnvironmentProblem("model_not_imported") or ("model_hash").
    """
    lacking = [find_official(role) for role in roles if imported_if_any(role) is None]
    if not lacking:
        return
    files = "; ".join(f"{entry.role} ({entry.files})" for entry in lacking)
    others = [role for role in missing_roles() if role not in {entry.role for entry in lacking}]
    also = f" Used when there, and missing too: {', '.join(others)}." if others else ""
    raise EnvironmentProblem(
        "model_not_imported",
        f"nerffacespeech lacks the weights for {files}. Get them (docs/weights.md) and run "
        f"`elocute models import FILE ...`.{also}",
    )


def remedy(entry: Official) -> str:
    """How to fill a role."""
    return f"Get {entry.files} (docs/weights.md) and run `elocute models import FILE`."


def missing_roles() -> list[str]:
    """Required roles without intact weights."""
    missing = []
    for role in REQUIRED:
        try:
            imported(role)
        except EnvironmentProblem:
            missing.append(role)
    return missing


def _replaced(path: Path) -> EnvironmentProblem:
    return EnvironmentProblem(
        "model_hash", f"{path} is damaged, was replaced, or comes from another version. Import the official file again."
    )
