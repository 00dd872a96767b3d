"""The numbers: what a video shows, as ratios, degrees, frames and thousandths of the eye distance.

Landmark numbers are MediaPipe's: 13 and 14 the inner lips, 33 and 263 the outer eye corners.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from elocute.evaluate.observe import Observation
from elocute.portrait.face import turn_between

# Landmarks that expression hardly moves: eye corners, nose, forehead, temples, sides of the face.
RIGID = [33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 10, 151, 9, 8, 234, 454, 127, 356, 21, 251, 54, 284, 103, 332,
         67, 297, 109, 338, 93, 323, 132, 361, 162, 389, 116, 345, 123, 352]  # fmt: skip
STEADY = [33, 133, 362, 263, 168, 6]  # the steadiest of them: eye corners and nose bridge
# Landmarks of renders of a bare mesh under-report its pitch so much. Of photos they don't (0.98 of the fitted heads'
# pitch, on 27), so what is told of a photo's pitch is too large.
PITCH_GAIN = 0.65
CLOSED = 0.025  # lip gap over eye distance below which a mouth looks shut
BLINK = 0.5
LAGS = 8  # frames either way
LABEL_LAGS = 6  # against labels, which are surer than loudness
# Frames from which a lag can be told: of windows of a good video 50 frames long 98 % have none, of those with 25 74 %.
ENOUGH = 50
# How far each of the 15 visemes opens the mouth: sil PP FF TH DD kk CH SS nn RR aa E ih oh ou.
OPENNESS = np.array([0, 0, 0.1, 0.2, 0.2, 0.25, 0.15, 0.1, 0.2, 0.25, 0.9, 0.6, 0.35, 0.7, 0.35])
LABEL_RATE = 100  # labels a second
PP = 1  # the viseme of p, b and m
SILENCE = 0.02  # of the loudest frame


@dataclass(frozen=True)
class Curves:
    """What the measurements are taken from, per frame: `aperture` (lip gap over eye distance), `pose` [n, 3] degrees
    of yaw, pitch and roll against the first face, `loudness` (RMS) or None, `shake` [n - 2] in thousandths of the
    eye distance, NaN where one of its three frames has no face."""

    aperture: np.ndarray
    pose: np.ndarray
    shake: np.ndarray
    loudness: np.ndarray | None = None


def curves(seen: Observation, audio: np.ndarray | None = None, rate: int = 16000) -> Curves:
    """Curves over time. Frames without a face are interpolated, but for the shake, which would be calm there. At least
    one face must have been found."""
    points = seen.landmarks
    gap = np.linalg.norm(points[:, 13, :2] - points[:, 14, :2], axis=1)
    aperture = bridge(gap / np.linalg.norm(points[:, 33, :2] - points[:, 263, :2], axis=1))
    first = points[np.flatnonzero(seen.found)[0]]
    turned = [
        turn_between(first[RIGID], face[RIGID]) if ok else (np.nan,) * 3
        for face, ok in zip(points, seen.found, strict=True)
    ]
    pose = np.stack([bridge(axis) for axis in np.degrees(turned).T], axis=1) / [1, PITCH_GAIN, 1]
    steady = points[:, STEADY, :2]
    eyes = np.nanmean(np.linalg.norm(steady[:, 0] - steady[:, 3], axis=1))
    shake = 1000 * np.abs(steady[2:] - 2 * steady[1:-1] + steady[:-2]).mean(axis=(1, 2)) / eyes
    return Curves(aperture, pose, shake, loudness(audio, rate, len(points), seen.fps) if audio is not None else None)


def loudness(audio: np.ndarray, rate: int, frames: int, fps: Any) -> np.ndarray:
    """RMS of the sound during each frame; 0 where the sound has ended."""
    edges = (np.arange(frames + 1) * rate / float(fps)).astype(int)
    total = np.concatenate([[0.0], np.cumsum(np.asarray(audio, np.float64) ** 2)])
    inside = edges[1:] <= len(audio)
    ends = np.minimum(edges, len(audio))
    power = (total[ends[1:]] - total[ends[:-1]]) / np.maximum(1, np.diff(edges))
    return np.where(inside, np.sqrt(np.maximum(power, 0) + 1e-12), 0.0)


def picture_numbers(seen: Observation, line: Curves) -> dict[str, Any]:
    """What the picture alone tells."""
    n, fps = len(seen), float(seen.fps)
    shut = seen.blink > BLINK
    blinks = int((shut[1:] & ~shut[:-1]).sum())
    out: dict[str, Any] = {
        "face_rate": float(seen.found.mean()),
        "aperture": {
            "min": float(line.aperture.min()), "max": float(line.aperture.max()), "std": float(line.aperture.std()),
            "closed_frac": float((line.aperture < CLOSED).mean()),
        },
        "pose_range_deg": {
            name: [float(axis.min()), float(axis.max())]
            for name, axis in zip(("yaw", "pitch", "roll"), line.pose.T, strict=True)
        },
        "blinks": blinks,
        "blinks_per_minute": blinks / (n / fps) * 60,
        "sharpness": float(np.nanmedian(seen.sharpness)),
        "background_change": background_change(seen),
    }  # fmt: skip
    if n > 4 and not np.isnan(line.shake).all():
        out["jitter_permille"] = float(np.nanmean(line.shake))
    return out


def background_change(seen: Observation) -> dict[str, float]:
    """How many grey levels pixels move through over the clip, further than one face width beside or above the face
    and no lower than the chin, where shoulders begin. {} when the face fills the picture."""
    points = seen.landmarks[seen.found][..., :2]
    x0, y0 = points.min(axis=(0, 1))
    x1, y1 = points.max(axis=(0, 1))
    wide = x1 - x0
    yy, xx = np.mgrid[0 : seen.height, 0 : seen.width]
    outside = ((xx < x0 - wide) | (xx > x1 + wide) | (yy < y0 - wide)) & (yy < y1)
    if not outside.any():
        return {}
    spread = (seen.high.astype(int) - seen.low).max(axis=2)[outside]
    return {"max": float(spread.max()), "p99": float(np.percentile(spread, 99)), "pixels": float(outside.mean())}


def sound_numbers(line: Curves) -> dict[str, Any]:
    """How the mouth follows the voice's energy, and how still it is in silence."""
    if line.loudness is None:
        return {}
    energy = np.log(line.loudness + 1e-4)
    best, corr, unmoved = _best_match(line.aperture, energy, LAGS)
    out: dict[str, Any] = {"sync": {"lag_frames": best, "corr": corr, "corr_at_0": unmoved}}
    quiet = line.loudness < SILENCE * line.loudness.max() if line.loudness.max() > 0 else np.ones(len(energy), bool)
    if quiet.sum() > 3 and (~quiet).sum() > 3:
        motion = np.abs(np.diff(line.aperture))
        out["silence_motion_ratio"] = float(motion[quiet[1:]].mean() / (motion[~quiet[1:]].mean() + 1e-9))
    return out


def lip_numbers(line: Curves, visemes: np.ndarray, fps: float) -> dict[str, Any]:
    """Against viseme labels (index, 100 a second): p/b/m closures seen, and how the opening follows the labels'."""
    n = len(line.aperture)
    missing = max(0, int(n / fps * LABEL_RATE) + 2 * LABEL_RATE - len(visemes))
    labels = np.concatenate([visemes, np.zeros(missing, int)])
    shut = line.aperture < max(0.02, 0.12 * np.percentile(line.aperture, 97))
    spans = closures(labels, n, fps)
    hits = [bool(shut[max(0, round(a) - 2) : round(b) + 3].any()) for a, b in spans]
    window = np.hanning(13) / np.hanning(13).sum()
    wanted = np.convolve(OPENNESS[labels], window, "same")[(np.arange(n) / fps * LABEL_RATE).astype(int)]
    best, corr, unmoved = _best_match(line.aperture, wanted, LABEL_LAGS)
    return {
        "closures": len(spans), "seen": int(sum(hits)), "shut_frac": float(shut.mean()),
        "open_corr": unmoved, "best_corr": corr, "best_lag_frames": best,
    }  # fmt: skip


def closures(labels: np.ndarray, frames: int, fps: float) -> list[tuple[float, float]]:
    """First and last moment, in frames, of every p/b/m of at least 30 ms that lies inside the video."""
    runs = np.split(np.arange(len(labels)), np.flatnonzero(np.diff(labels)) + 1)
    pressed = [run for run in runs if labels[run[0]] == PP and len(run) >= 3]
    spans = [(run[0] / LABEL_RATE * fps, run[-1] / LABEL_RATE * fps) for run in pressed]
    return [span for span in spans if span[1] < frames - 1]


def pose_numbers(line: Curves, wanted: dict[str, np.ndarray]) -> dict[str, Any]:
    """Against the poses asked for, in degrees per frame, both relative to their first."""
    out = {}
    for axis, name in enumerate(("yaw", "pitch", "roll")):
        degrees = np.asarray(wanted[name], float)
        m = min(len(line.pose), len(degrees))
        got, want = line.pose[:m, axis] - line.pose[0, axis], degrees[:m] - degrees[0]
        out[name] = {
            "mae": float(np.abs(got - want).mean()),
            "got_range": [float(got.min()), float(got.max())], "want_range": [float(want.min()), float(want.max())],
        }  # fmt: skip
    return out


def bridge(values: np.ndarray) -> np.ndarray:
    """NaN filled by linear interpolation."""
    known = np.flatnonzero(~np.isnan(values))
    return np.interp(np.arange(len(values)), known, values[known])


def _best_match(mouth: np.ndarray, sound: np.ndarray, reach: int) -> tuple[int | None, float | None, float | None]:
    """By how many frames the mouth is late, up to `reach` either way, how the two then correlate, and how as they are.
    None each where they are too short to tell, or one of them never moves."""
    if len(mouth) < ENOUGH:
        return None, None, None
    matches = {lag: _correlation(*_shifted(mouth, sound, lag)) for lag in range(-reach, reach + 1)}
    told = {lag: match for lag, match in matches.items() if match is not None}
    best = max(told, key=told.__getitem__, default=None)
    return best, told.get(best) if best is not None else None, matches[0]


def _shifted(mouth: np.ndarray, sound: np.ndarray, lag: int) -> tuple[np.ndarray, np.ndarray]:
    """The two curves with the mouth `lag` frames late."""
    n = len(mouth)
    return (mouth[lag:], sound[: n - lag]) if lag >= 0 else (mouth[:lag], sound[-lag:])


def _correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    return None if np.ptp(a) == 0 or np.ptp(b) == 0 else float(np.corrcoef(a, b)[0, 1])
