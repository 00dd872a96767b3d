"""What a set of models has to do: prepare a portrait, and perform a shot with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..drive import Drive, Inputs, Reading
from ..errors import BadInput, EnvironmentProblem
from ..inversion.avatar import Avatar
from ..limits import USUAL_FRAMING, portrait_seed
from ..protocol import Message
from ..settings import CurvesSettings, FitSettings, HeadSettings, Shot
from ..values import ExpressionTrack

if TYPE_CHECKING:
    from ..generators.headfield import HeadField
    from ..headmesh import Staging

Report = Callable[[Message], None]


class Performance(Protocol):
    """A shot that is ready to be rendered, frame by frame and in any order."""

    @property
    def drive(self) -> Drive:
        """What face and head do, in the units of the set."""

    def fingerprint(self, at: int) -> bytes:
        """Everything that frame `at` (from 0) depends on, the avatar included: equal bytes, equal picture."""

    def frame(self, at: int) -> np.ndarray:
        """Frame `at` (from 0) as uint8 [size, size, 3], or 4 when the background is transparent."""


@dataclass(frozen=True)
class FittedHead:
    """The mesh with 52 shape keys of a portrait: the head in `field`, brought before the set's own camera by `staging`
    where that isn't the field's; and what the user should know about the portrait."""

    field: HeadField
    staging: Staging | None
    notes: tuple[str, ...]


class ModelSet(Protocol):
    """A set of models. Every method says at once what it lacks, as EnvironmentProblem."""

    def check(self, shot: Shot) -> None:
        """Refuse, before any file is decoded, what this set can't do or lacks the models for."""

    def reading(self, shot: Shot) -> Reading:
        """How this set reads curves and videos."""

    def prepare(self, portrait: str, settings: FitSettings, report: Report, size: int) -> Avatar:
        """Invert a portrait, or find the avatar that an earlier run made of the same portrait, settings and models."""

    def head(self, settings: HeadSettings, report: Report) -> FittedHead:
        """Fit a mesh with shape keys to the portrait as this set shows it, before the camera by which it does."""

    def curves(self, audio: np.ndarray, settings: CurvesSettings, frames: int, device: str) -> ExpressionTrack:
        """What a voice (16 kHz) makes any face do, as ARKit curves for a person to edit."""

    def perform(self, avatar: Avatar, shot: Shot, inputs: Inputs, device: str) -> Performance:
        """Drive the avatar with what the shot names."""


def identity(portrait: str) -> bytes | str:
    """What an avatar is known by: the photo's bytes, or its seed. Raises BadInput for a file that is no photo."""
    if portrait_seed(portrait) is not None:
        return portrait
    from ..portrait.image import read_photo

    return read_photo(portrait)


def refuse_framing(settings: Shot | FitSettings | HeadSettings, why: str) -> None:
    """Raises BadInput framing_fixed."""
    if settings.framing != USUAL_FRAMING:
        raise BadInput("framing_fixed", f"{why}. Leave out --framing, or framing in the job file.")


def need(roles: tuple[str, ...]) -> None:
    """Said at once, not after the stages that come before. Raises EnvironmentProblem model_missing or model_hash."""
    from ..models.store import model_path

    for role in roles:
        model_path(role)


def ready_cache(folder: Path, room: int = 0) -> None:
    """Make sure that avatars of `room` bytes can be kept in `folder`, once what killed fits left there half-written and
    what is of no use any more is removed. Raises EnvironmentProblem cache_not_writable or disk_full."""
    from ..files import check_writable, remove_abandoned
    from ..inversion.avatar import remove_outdated

    try:
        check_writable(folder, 0)
        remove_abandoned(folder)
        remove_outdated(folder)
        check_writable(folder, room)
    except (BadInput, EnvironmentProblem) as error:
        if error.code == "disk_full":
            raise
        raise EnvironmentProblem(
            "cache_not_writable", f"avatars can't be kept in {folder}. Name a folder to write to in ELOCUTE_AVATARS."
        ) from error
