"""What a job is: plain frozen records that travel as JSON (standard library only, so that Blender can share them).

`Shot` describes a whole talking-head job; panel, command line, script and farm all run the same file and make the
same frames. The others, `FitSettings` and so on, describe the smaller jobs. All are strict: a misspelt key, a wrong
type or a value out of range is refused with a code and a sentence instead of being ignored.
"""

from __future__ import annotations

import dataclasses
import difflib
import errno
import json
import stat
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

from .errors import BadInput
from .limits import CHECKS, USUAL_FRAMING, at_home, portrait_seed

# Of Shot: what is said of a video that drives the face, and of one whose head is followed.
FROM_DRIVE, FROM_FOLLOWED = ("drive_mouth", "drive_eyes", "drive_brows"), ("poses_fit", "poses_smooth", "poses_move")

MOST_BYTES = 2**20  # of a job file, which has a few hundred

Record = TypeVar("Record", bound="_Record")


def _content(path: Path) -> bytes:
    """A job file's bytes. Raises OSError, also for a pipe or a device, which could keep us reading for ever."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a file", str(path))
    with path.open("rb") as stream:
        content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise OSError(errno.EFBIG, "larger than 1 MB", str(path))
    return content


class _Record:
    """Reads, checks and writes the dataclasses below; a field's name says which check in `limits.CHECKS` it gets."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if value is not None or field.default is not None:
                object.__setattr__(self, field.name, CHECKS[field.name](field.name, value))

    @classmethod
    def from_json(cls: type[Record], data: Any, base: Path | None = None) -> Record:
        """From decoded JSON. Relative paths start at `base` (the folder of the file they were read from), `~/` is the
        user's own."""
        if not isinstance(data, dict):
            raise BadInput("shot_type", 'the job has to be a JSON object. Write it as {"portrait": ...}.')
        fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        for key in data:
            if key not in fields:
                near = difflib.get_close_matches(key.replace("-", "_"), fields, 1)
                meant = f" (did you mean {near[0]}?)" if near else ""
                known = ", ".join(sorted(fields)) or "none"
                raise BadInput("shot_unknown_key", f"unknown setting {key!r}{meant}. Known: {known}.")
        for name, field in fields.items():
            if field.default is dataclasses.MISSING and name not in data:
                raise BadInput("shot_missing_key", f"the setting {name!r} is missing. Add it to the job.")
        record = cls(**{name: at_home(name, value) for name, value in data.items()})
        return record.at(base) if base is not None else record

    @classmethod
    def read(cls: type[Record], path: Path) -> Record:
        """From a JSON file; its relative paths start at the file's own folder."""
        try:
            data = json.loads(_content(path).decode("utf-8-sig"))  # Windows likes to put a BOM there
        except FileNotFoundError:
            raise BadInput("shot_not_found", f"no file {path}. Check the path.") from None
        except OSError as error:
            raise BadInput("shot_unreadable", f"can't read {path}: {error.strerror}. Check the path.") from None
        except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, or nested beyond reason
            raise BadInput("shot_not_json", f"{path} is not valid JSON ({error}). Mend the file.") from None
        return cls.from_json(data, path.resolve().parent)

    def at(self: Record, base: Path) -> Record:
        """The same job with its relative paths made absolute, starting at `base`."""
        changes: dict[str, Any] = {}
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, Path):
                changes[field.name] = base / value
            elif field.name == "portrait" and portrait_seed(value) is None:
                changes[field.name] = str(base / value)
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]

    def to_json(self) -> dict[str, Any]:
        """As JSON values; `from_json` of it gives an equal record. Settings that are not set are left out."""
        out: dict[str, Any] = {}
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, (Path, Fraction)):
                value = str(value)
            if value is not None:
                out[field.name] = list(value) if isinstance(value, tuple) else value
        return out


@dataclass(frozen=True)
class FitSettings(_Record):
    """Prepare one portrait. `refit` ignores a cached avatar and writes it anew."""

    portrait: str  # a photo's path, or "seed:7" for the random identity number 7
    device: str = "auto"
    model_set: str = "embedded"
    memory_mb: int = 512
    refit: bool = False
    reference: bool = False  # do what the published programs do, their errors included
    fit_steps: tuple[int, int] | None = None  # of pivot and tuning; the model set's own number when not set
    fit_memory_mb: int | None = None  # of a tuning step: above it, steps take a fifth longer and keep less
    size: int = 512  # of the pictures to come: larger ones need an avatar of finer planes, where the model set has any
    framing: float = USUAL_FRAMING  # as in Shot


@dataclass(frozen=True)
class HeadSettings(_Record):
    """Write a portrait's fitted head as a mesh with shape keys, for programs that animate it."""

    portrait: str  # as in FitSettings
    output: Path  # a folder
    device: str = "auto"
    model_set: str = "embedded"
    memory_mb: int = 512
    framing: float = USUAL_FRAMING  # as in Shot

    @property
    def fit(self) -> FitSettings:
        """The preparation this head needs."""
        return FitSettings(self.portrait, self.device, self.model_set, self.memory_mb, framing=self.framing)


@dataclass(frozen=True)
class CurvesSettings(_Record):
    """Turn a voice into the 52 named ARKit curves, as a file that a person can edit."""

    voice: Path
    output: Path
    fps: Fraction = Fraction(25)
    blink: bool = True
    seed: int = 0
    device: str = "auto"
    model_set: str = "embedded"


@dataclass(frozen=True)
class ModelsSettings(_Record):
    """List the model files. `fetch` downloads what is missing first."""

    fetch: bool = False


@dataclass(frozen=True)
class DoctorSettings(_Record):
    """Examine the machine, about which there is nothing to set."""


@dataclass(frozen=True)
class Shot(_Record):
    """One talking-head job, complete: who, what drives face and head, which frames, how they look, where they go."""

    portrait: str  # a photo's path, or "seed:7" for the random identity number 7
    voice: Path | None = None  # what is heard, and what moves the face when `curves` is not given
    curves: Path | None = None  # edited expression curves take the place of the voice's own
    poses: Path | None = None  # head poses; without them the head makes small motion that follows the voice
    poses_from: Path | None = None  # a video or a folder of frames whose head the portrait's follows
    drive: Path | None = None  # a video whose head and face the portrait's follow; its sound stays if `voice` isn't set
    poses_fit: str = "hold"  # a video of another length: its last frame is held; "loop" goes back and forth; "stretch"
    poses_smooth: float | None = None  # seconds of Gaussian over a followed head; not set: 0.06, or 0 as the reference
    poses_move: float | None = None  # share of a followed head's way and size; not set: 1, or 0 as the reference
    drive_mouth: float | None = None  # share of the video in the mouth; not set: 1, or 0 with a voice or curves
    drive_eyes: float = 1.0  # ... in lids and gaze, which a voice knows nothing of
    drive_brows: float = 1.0  # ... in brows, cheeks and nose
    fps: Fraction = Fraction(25)  # the PAL rate: 24 to 30 all look right, and 25 divides the 100 Hz speech features
    size: int = 512  # what most portraits can fill with real detail, and what a CPU renders in reasonable time
    framing: float = USUAL_FRAMING  # side of the picture in face heights: head and collar
    background: str = "keep"  # the portrait's own; "transparent" writes RGBA frames; "#rrggbb" a plain colour
    expression_scale: float = 1.0  # as strong as it was said
    blink: bool = True  # by itself or with a video: a face that never does looks dead; edited curves are obeyed
    still: bool = False  # no head motion at all
    frames: tuple[int, int] | None = None  # first and last frame, from 1 as in the file names; all when not set
    seed: int = 0  # of blinks, gaze and natural head motion: the same seed makes the same frames
    device: str = "auto"  # CUDA when there, else the CPU
    model_set: str = "embedded"  # works after set-up, with no weights to look for
    output: Path | None = None  # .mp4, .mov or .mkv; an odd `size` is rounded up to even there, as H.264 needs
    frames_dir: Path | None = None  # numbered PNG frames; also what makes a stopped run resume
    memory_mb: int = 512  # for a chunk of rays on a GPU: larger is faster there. A CPU renders ray by ray
    reference: bool = False  # model set nerffacespeech: what the published programs do, their errors included
    fit_steps: tuple[int, int] | None = None  # model set nerffacespeech: steps of pivot and tuning
    fit_memory_mb: int | None = None  # model set nerffacespeech: what a tuning step may keep for its gradients
    precision: str = "auto"  # model set nerffacespeech: "auto" is "mixed" where that is faster, on CUDA
    compile: bool = False  # model set nerffacespeech: torch.compile takes its time first, and many machines can't

    def __post_init__(self) -> None:
        super().__post_init__()
        if all(v is None for v in (self.voice, self.curves, self.poses, self.poses_from, self.drive)):
            raise BadInput("shot_no_drive", "nothing drives the face. Give a voice, curves, poses or a video.")
        if self.poses is not None and self.poses_from is not None:
            raise BadInput("shot_two_poses", "poses and poses_from both say where the head looks. Give one of them.")
        if self.output is None and self.frames_dir is None:
            places = "a video (-o, or output in the job file) or a folder (--frames-dir, or frames_dir in the job file)"
            raise BadInput("shot_no_output", f"the frames have nowhere to go. Give {places}.")
        self._refuse_idle()

    def _refuse_idle(self) -> None:
        """Settings of a video that isn't there were meant for something."""
        followed = self.drive or self.poses_from
        ways = ((self.drive, "--drive", FROM_DRIVE), (followed, "--poses-from or --drive", FROM_FOLLOWED))
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        for video, wanted, names in ways:
            for name in names if video is None else ():
                if getattr(self, name) != defaults[name]:
                    why = f"--{name.replace('_', '-')} says how a video is followed, and there is none"
                    raise BadInput("shot_no_video", f"{why}. Give one by {wanted}, or leave it out.")
        for name in ("poses_smooth", "poses_move") if self.poses is not None else ():
            if getattr(self, name) is not None:
                why = f"--{name.replace('_', '-')} says how a head is followed, and the poses lead this one"
                raise BadInput("shot_no_video", f"{why}. Leave one of them out.")

    @property
    def inputs(self) -> tuple[Path | None, ...]:
        """The files and folders that are read, without the portrait."""
        return self.voice, self.curves, self.poses, self.poses_from, self.drive

    @property
    def poses_smooth_seconds(self) -> float:
        """`poses_smooth`, or what it means when it isn't set: landmarks waver by about a degree, and the published
        programs let them."""
        if self.poses_smooth is not None:
            return self.poses_smooth
        return 0.0 if self.reference else 0.06

    @property
    def poses_move_share(self) -> float:
        """`poses_move`, or what it means when it isn't set: the published programs only turn."""
        if self.poses_move is not None:
            return self.poses_move
        return 0.0 if self.reference else 1.0

    @property
    def drive_mouth_share(self) -> float:
        """`drive_mouth`, or what it means when it isn't set."""
        if self.drive_mouth is not None:
            return self.drive_mouth
        return 1.0 if self.voice is None and self.curves is None else 0.0

    @property
    def fit(self) -> FitSettings:
        """The preparation this shot needs."""
        return FitSettings(
            self.portrait, self.device, self.model_set, self.memory_mb,
            reference=self.reference, fit_steps=self.fit_steps, fit_memory_mb=self.fit_memory_mb, size=self.size,
            framing=self.framing,
        )  # fmt: skip
