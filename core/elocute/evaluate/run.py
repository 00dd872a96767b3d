"""`elocute evaluate`: from files to numbers, and to the files that show them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from elocute.errors import BadInput
from elocute.evaluate import identity, measure
from elocute.evaluate.observe import Observation, observe, sharpness
from elocute.evaluate.sheet import check_sheet, encode_sheet
from elocute.files import check_not_input, check_writable, read_input, through_link, write_all
from elocute.footage import probe
from elocute.limits import pip_install, portrait_seed
from elocute.media import SAMPLE_RATE, hear, load_audio
from elocute.protocol import Message, Progress
from elocute.speech.pose_io import read_poses

MOST_BYTES = 2**24  # of a file of labels: an hour's have 1 to 3 MB


@dataclass(frozen=True)
class Evaluation:
    """What to measure, and where the results go (any of them may be None)."""

    video: Path
    portrait: Path | None = None
    voice: Path | None = None  # the video's own sound when not given
    poses: Path | None = None
    labels: Path | None = None
    json_file: Path | None = None
    html: Path | None = None
    sheet: Path | None = None
    max_frames: int = 2000


def evaluate(job: Evaluation, report: Callable[[Message], None]) -> dict[str, Any]:
    """Measure a video and write the asked files. Raises BadInput and EnvironmentProblem, with nothing written."""
    job = _outputs_checked(job)
    voice, told = hear(job.voice) if job.voice else (None, [])
    if job.poses is not None:
        read_poses(job.poses, Fraction(25), 1)
    labels = read_labels(job.labels) if job.labels else None
    photo = _read_photo(job.portrait) if job.portrait else None
    total = probe(job.video)[1]
    seen = observe(job.video, job.max_frames, lambda done, of: report(Progress("evaluate", done, of)))
    n, fps = len(seen), float(seen.fps)
    if seen.goes_on:
        of = f" of {total}" if total > n else ""  # what a container says may be too few
        told = [*told, f"only the first {n}{of} frames are measured: --max-frames says how many"]
    out: dict[str, Any] = {
        "frames": n, "fps": fps, "size": [seen.width, seen.height], "seconds": n / fps, "notes": told,
    }  # fmt: skip
    line = None
    if seen.found.any():
        line = measure.curves(seen, _sound(job.video, voice, out))
        out |= measure.picture_numbers(seen, line) | measure.sound_numbers(line)
        if n < measure.ENOUGH and (line.loudness is not None or labels is not None):
            few = "1 frame is" if n == 1 else f"{n} frames are"
            out["notes"].append(f"{few} too few to tell how the mouth follows a voice: {measure.ENOUGH} do")
        if labels is not None:
            out["lips"] = measure.lip_numbers(line, labels, fps)
        if job.poses is not None:
            out["pose_error_deg"] = measure.pose_numbers(line, _wanted_poses(job.poses, seen, total, out))
        if photo is not None:
            _compare(photo, seen, out)
    else:
        out["face_rate"] = 0.0
        out["notes"].append("no face found in any frame")
    if "video_sound_seconds" in out and not seen.goes_on:
        out["av_end_gap_frames"] = (out["video_sound_seconds"] - n / fps) * fps
    _write(job, out, seen, line, labels)
    return out


def _outputs_checked(job: Evaluation) -> Evaluation:
    """The job with the files that its outputs really are. Raises what keeps any of them from being written."""
    named = {"json_file": job.json_file, "html": job.html, "sheet": job.sheet}
    places: dict[str, Any] = {name: through_link(place) for name, place in named.items() if place is not None}
    for place in places.values():
        if place.is_dir():
            raise BadInput("output_is_directory", f"{place} is a directory. Name a file for the results.")
        check_writable(place.parent)
        check_not_input(place, job.video, job.portrait, job.voice, job.poses, job.labels)
    if len({place.resolve() for place in places.values()}) < len(places):
        raise BadInput("output_twice", "two of --json-file, --html and --sheet name one file. Give each its own.")
    if "sheet" in places:
        check_sheet(places["sheet"])
    return replace(job, **places)


def read_labels(path: Path) -> np.ndarray:
    """Viseme labels, int [T] at 100 a second. Raises BadInput labels_unreadable."""
    try:
        visemes = json.loads(read_input(path, MOST_BYTES).decode("utf-8-sig"))["viseme"]
        labels = np.array(visemes)
    except FileNotFoundError:
        raise BadInput("labels_unreadable", f"there is no file {path}. Check the path of the labels.") from None
    except OSError as error:
        text = f"the labels {path} can't be read ({error.strerror}). Choose another file."
        raise BadInput("labels_unreadable", text) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BadInput("labels_unreadable", f'{path} has no "viseme" list. Use one index a 10 ms.') from None
    if labels.ndim != 1 or labels.dtype.kind != "i" or not len(labels) or labels.min() < 0 or labels.max() > 14:
        raise BadInput("labels_unreadable", f"the visemes of {path} are not whole numbers from 0 to 14. Mend the file.")
    return labels


def _read_photo(path: Path) -> np.ndarray:
    """The photo as `speak` reads it, but at its full size: reducing it first would change how sharp it measures."""
    from elocute.portrait.image import load_image

    if portrait_seed(str(path)) is not None:
        why = f"{path} has no photo to compare the video with"
        raise BadInput("portrait_not_photo", f"{why}. Name a photo, or leave --portrait out.")
    return load_image(path, max_side=None).rgb


def _sound(video: Path, voice: np.ndarray | None, out: dict[str, Any]) -> np.ndarray | None:
    """The voice (16 kHz), else the video's own, whose length is noted on the way."""
    own = None
    try:
        own = load_audio(video)
        out["video_sound_seconds"] = len(own) / SAMPLE_RATE
    except BadInput as error:  # a video without sound is a fair thing to measure
        out["notes"].append(f"the video's own sound was not used: {error}")
    voice = own if voice is None else voice
    if voice is not None:
        out["voice_seconds"] = len(voice) / SAMPLE_RATE
    return voice


def _wanted_poses(path: Path, seen: Observation, total: int, out: dict[str, Any]) -> dict[str, np.ndarray]:
    track, notes = read_poses(path, seen.fps, max(total, len(seen)), shown=(1, len(seen)))
    out["notes"] += notes
    return {name: np.degrees(getattr(track, name)[: len(seen)]) for name in ("yaw", "pitch", "roll")}


def _compare(photo: np.ndarray, seen: Observation, out: dict[str, Any]) -> None:
    """Against the photo the video was made from."""
    from elocute.portrait.analyse import quarter_turns
    from elocute.portrait.face import detect_faces

    faces = detect_faces(photo)
    if turns := quarter_turns(faces):
        photo = np.ascontiguousarray(np.rot90(photo, turns))
        faces = detect_faces(photo)
    if faces:
        out["sharpness_ratio"] = out["sharpness"] / sharpness(photo, faces[0].landmarks)
        out["face_height_px"] = seen.face_height
    else:
        out["notes"].append("no face found in the portrait: no sharpness ratio")
    if not identity.available():
        out["notes"].append(f"no identity distance: {pip_install(*identity.missing())}")
        return
    distance = identity.identity_distance(photo, seen.samples)
    if distance:
        out["identity_distance"] = distance
    else:
        out["notes"].append("no identity distance: dlib's detector found no face")


def _write(
    job: Evaluation, out: dict[str, Any], seen: Observation, line: measure.Curves | None, labels: np.ndarray | None
) -> None:
    from elocute.evaluate.report import page

    contents = {}
    if job.json_file is not None:
        contents[job.json_file] = json.dumps(out, indent=1).encode() + b"\n"
    if job.sheet is not None:
        contents[job.sheet] = encode_sheet(seen.pictures, job.sheet.suffix)
    if job.html is not None:
        contents[job.html] = page(job, out, seen, line, labels).encode()
    write_all(contents)
