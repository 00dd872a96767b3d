"""Avatars on disk: the inverted portrait as safetensors + JSON, keyed by everything that went into it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import EnvironmentProblem
from ..limits import USUAL_FRAMING, named_place

if TYPE_CHECKING:
    import numpy as np

    from ..generators.headfield import HeadField

VERSION = 42  # raise it whenever a fit would come out differently; old avatars are then made anew
MADE_HERE = f"embedded {VERSION}"
ROOM = 20 * 2**20  # bytes that an avatar of the smallest planes takes, and a little more
UNUSED_DAYS = 30  # an older Elocute beside this one may still use what it made
_KEY = re.compile(r"[0-9a-f]{32}")
_UNFINISHED = re.compile(rf"{_KEY.pattern}\.(pivot|tuning)")  # the other set's, of a fit that was interrupted


@dataclass(frozen=True)
class Avatar:
    """An inverted portrait. `report` says how well it fits; `content` is the SHA-256 of its arrays: two fits of one key
    differ where a GPU adds up in another order. `field()` loads it (a tenth of a second)."""

    key: str
    path: Path
    report: dict[str, Any]
    content: str

    def field(self) -> HeadField:
        """The radiance field. Raises EnvironmentProblem avatar_damaged."""
        from ..generators.headfield import HeadField

        try:
            return HeadField.from_arrays(self.arrays())
        except (KeyError, ValueError, IndexError) as error:
            raise self._damaged(error) from None

    def arrays(self) -> dict[str, np.ndarray]:
        """What the inversion left, by name. Raises EnvironmentProblem avatar_damaged."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            return load_file(self.path)
        except (OSError, SafetensorError) as error:
            raise self._damaged(error) from None

    def _damaged(self, error: Exception) -> EnvironmentProblem:
        return EnvironmentProblem(
            "avatar_damaged", f"the cached avatar {self.path.name} can't be read ({error}). Remove {self.path}."
        )


def avatar_key(
    portrait: bytes | str, model_hashes: dict[str, str], side: int, framing: float = USUAL_FRAMING,
    made_by: str = MADE_HERE,
) -> str:  # fmt: skip
    """portrait: the photo's bytes, or "seed:7"; model_hashes: role -> sha256 of every model the fit uses; side of the
    planes; framing of the photo; made_by: the model set, and the version of its fit."""
    data = portrait if isinstance(portrait, bytes) else portrait.encode()
    rest = json.dumps({"by": made_by, "side": side, "models": model_hashes, "framing": framing}, sort_keys=True)
    return hashlib.sha256(hashlib.sha256(data).digest() + rest.encode()).hexdigest()[:32]


def find(folder: Path, key: str) -> Avatar | None:
    """The avatar with this key, if it is there whole: a report, and arrays that were not cut short."""
    from safetensors import SafetensorError, safe_open

    arrays = folder / f"{key}.safetensors"
    try:
        report = json.loads((folder / f"{key}.json").read_text(encoding="utf-8"))
        with safe_open(arrays, framework="np") as header:  # which also says how long the file is
            content = (header.metadata() or {}).get("content", "")
        if not isinstance(report, dict):
            return None
        with contextlib.suppress(OSError):
            os.utime(folder / f"{key}.json")  # when it was used last
        return Avatar(key, arrays, report, content)
    except (OSError, ValueError, SafetensorError):
        return None


def store(
    folder: Path, key: str, arrays: dict[str, np.ndarray], report: dict[str, Any], made_by: str = MADE_HERE
) -> Avatar:
    """Write atomically: arrays first, the report last, so that a report means a whole avatar."""
    from safetensors.numpy import save

    from ..files import write_whole

    path = folder / f"{key}.safetensors"
    content = _content(arrays)
    write_whole(path, save(arrays, {"content": content, "made_by": made_by}))
    write_whole(folder / f"{key}.json", json.dumps(report, indent=1, sort_keys=True).encode())
    return Avatar(key, path, report, content)


def _content(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def remove_outdated(folder: Path) -> None:
    """Remove avatars that an earlier version of the embedded set's fit made and nobody used for UNUSED_DAYS, and what
    fits that nobody resumed for as long have left: tuning, or arrays without the report that makes them an avatar. The
    other set's avatars stay: they can be the work of hours."""
    from safetensors import SafetensorError, safe_open

    for arrays in folder.glob("*.safetensors"):
        report = arrays.with_suffix(".json")
        if _UNFINISHED.fullmatch(arrays.stem):
            with contextlib.suppress(OSError):
                if _unused(arrays.stat().st_mtime):
                    arrays.unlink()
        if not _KEY.fullmatch(arrays.stem):
            continue
        with contextlib.suppress(OSError, SafetensorError):
            with safe_open(arrays, framework="np") as header:
                about = header.metadata() or {}
            whole = report.is_file()
            used = max(file.stat().st_mtime for file in (arrays, report) if file.exists())  # atime: this looked last
            ours = "content" in about and about.get("made_by", "embedded").startswith("embedded")
            outdated = ours and about.get("made_by") != MADE_HERE
            if (outdated or "content" in about and not whole) and _unused(used):
                arrays.unlink()
                report.unlink(missing_ok=True)


def _unused(since: float) -> bool:
    return time.time() - since > UNUSED_DAYS * 86400


def avatar_folder() -> Path:
    """ELOCUTE_AVATARS, or the user's cache folder. Raises EnvironmentProblem home_missing."""
    from ..models.store import cache_folder

    return named_place("ELOCUTE_AVATARS") or cache_folder() / "avatars"
