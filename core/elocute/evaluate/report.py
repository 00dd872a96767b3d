"""One self-contained HTML page: the numbers against what a good video reaches, plots as SVG, a contact sheet."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from elocute.evaluate.measure import CLOSED, Curves, bridge, closures
from elocute.evaluate.observe import SHARP_SIDE, Observation
from elocute.evaluate.sheet import encode_sheet

if TYPE_CHECKING:
    from elocute.evaluate.run import Evaluation

WIDTH, HEIGHT, LEFT, BOTTOM, LABEL = 1000, 180, 46, 22, 40  # of a plot and of the longest time on it, in SVG units
_COLOURS = ("#1f77b4", "#d62728", "#2ca02c")

# What a good video reaches: label, path in the results, comparison, bound, note.
_GOALS: tuple[tuple[str, str, str, float, str], ...] = (
    ("Face found", "face_rate", ">=", 1.0, "share of frames"),
    ("Identity distance, mean", "identity_distance.mean", "<=", 0.40, "0.25 with a still head; 0.6 is another person"),
    ("Sharpness against the photo", "sharpness_ratio", ">=", 0.85, "at 512 pixels; 0.92 with a still head"),
    ("Yaw error, degrees", "pose_error_deg.yaw.mae", "<=", 2.0, "mean over frames"),
    ("Pitch error, degrees", "pose_error_deg.pitch.mae", "<=", 2.0, "mean over frames"),
    ("Roll error, degrees", "pose_error_deg.roll.mae", "<=", 2.0, "mean over frames"),
    ("p/b/m closures seen", "lips.rate", ">=", 0.9, "within two frames"),
    ("Opening follows the labels", "lips.open_corr", ">=", 0.7, "correlation without shift"),
    ("Motion in silence", "silence_motion_ratio", "<=", 0.05, "of the motion in speech"),
    ("Jitter", "jitter_permille", "<=", 3.0, "thousandths of the eye distance, still head"),
    ("Background change, grey levels", "background_change.p99", "<=", 1.0, "beside and above the head, still head"),
)  # fmt: skip

_STYLE = """body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:1040px;padding:0 1em;color:#222}
table{border-collapse:collapse}td,th{padding:.25em .9em .25em 0;text-align:left;border-bottom:1px solid #ddd}
.good{color:#17763a}.bad{color:#b3261e}img,svg{max-width:100%}pre{background:#f5f5f5;padding:1em;overflow:auto}"""


def page(
    job: Evaluation, out: dict[str, Any], seen: Observation, line: Curves | None, labels: np.ndarray | None
) -> str:
    """The page as text. `out` is what `evaluate` returns."""
    import json

    sheet = base64.b64encode(encode_sheet(seen.pictures, ".jpg")).decode()
    title = html.escape(job.video.name)
    head = f"{out['frames']} frames, {out['fps']:.3f} fps, {seen.width} x {seen.height}, {out['seconds']:.2f} s"
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in out["notes"])
    plots = _plots(seen, line, labels) if line is not None else ""
    return f"""<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>{_STYLE}</style></head><body><h1>{title}</h1><p>{head}</p><ul>{notes}</ul>
<table><tr><th>what</th><th>measured</th><th>good</th><th></th></tr>{_rows(out)}</table>
{plots}<h2>Contact sheet</h2><img alt="frames of the video" src="data:image/jpeg;base64,{sheet}">
<h2>All numbers</h2><pre>{html.escape(json.dumps(out, indent=1))}</pre></body></html>
"""


def _rows(out: dict[str, Any]) -> str:
    rows = []
    for label, path, sign, bound, note in _GOALS:
        value = _value(out, path)
        if value is None:
            continue
        good = value >= bound if sign == ">=" else value <= bound
        mark = "good" if good else "bad"
        if path == "sharpness_ratio" and out["face_height_px"] < SHARP_SIDE:  # too few pixels to be as sharp as a photo
            mark, note = "", f"{note}; no verdict on a face of {out['face_height_px']:.0f} pixels"
        sign_text = "at least" if sign == ">=" else "at most"
        cells = (label, f'<span class="{mark}">{value:.3g}</span>', f"{sign_text} {bound:g}", note)
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return "".join(rows)


def _value(out: dict[str, Any], path: str) -> float | None:
    if path == "lips.rate":
        lips = out.get("lips", {})
        return lips["seen"] / lips["closures"] if lips.get("closures") else None
    value: Any = out
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return None if value is None else float(value)


def _plots(seen: Observation, line: Curves, labels: np.ndarray | None) -> str:
    fps = float(seen.fps)
    mouth = {"mouth opening": line.aperture}
    if line.loudness is not None and line.loudness.max() > 0:
        loud = np.log(line.loudness + 1e-4)
        reach = max(float(line.aperture.max()), CLOSED)
        mouth["loudness (scaled)"] = (loud - loud.min()) / max(float(np.ptp(loud)), 1e-9) * reach
    spans = [] if labels is None else closures(labels, len(seen), fps)
    turned = dict(zip(("yaw", "pitch", "roll"), line.pose.T, strict=True))
    parts = [
        _plot("Mouth opening, lip gap over eye distance (grey: p, b, m of the labels)", mouth, fps, spans),
        _plot("Head rotation in degrees, against the first frame", turned, fps),
        _plot("Blink score", {"blink": seen.blink}, fps),
    ]
    if not np.isnan(line.shake).all():  # nor empty
        shake = {"shake": bridge(line.shake)}
        parts.append(_plot("Shake of rigid points, thousandths of the eye distance", shake, fps))
    return "".join(parts)


def _plot(title: str, lines: dict[str, np.ndarray], fps: float, spans: list[tuple[float, float]] | None = None) -> str:
    """Curves over time as SVG. `spans` are shaded, in frames."""
    every = np.concatenate(list(lines.values()))
    low, high = float(min(every.min(), 0)), float(every.max())
    high = high if high > low else low + 1
    n = max(len(values) for values in lines.values())

    def x(frame: Any) -> Any:
        return LEFT + (WIDTH - LEFT) * np.asarray(frame) / max(1, n - 1)

    def y(value: Any) -> Any:
        return (HEIGHT - BOTTOM) * (1 - (np.asarray(value) - low) / (high - low)) + 2

    floor = HEIGHT - BOTTOM
    shades = "".join(
        f'<rect x="{x(a):.1f}" y="0" width="{max(1.0, float(x(b) - x(a))):.1f}" height="{floor}" fill="#ddd"/>'
        for a, b in spans or []
    )
    curves = "".join(
        f'<polyline fill="none" stroke="{colour}" stroke-width="1.4" points="{_points(x, y, values)}"/>'
        for colour, values in zip(_COLOURS, lines.values(), strict=False)
    )
    names = " ".join(
        f'<tspan fill="{colour}">{html.escape(name)}</tspan>' for colour, name in zip(_COLOURS, lines, strict=False)
    )
    axes = _axes(x, y, low, high, n, fps)
    return f"""<h2>{html.escape(title)}</h2><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{shades}{axes}
{curves}<text x="{LEFT + 8}" y="14" font-size="12">{names}</text></svg>"""


def _points(x: Callable[[Any], Any], y: Callable[[Any], Any], values: np.ndarray) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x(np.arange(len(values))), y(values), strict=True))


def _axes(x: Callable[[Any], Any], y: Callable[[Any], Any], low: float, high: float, n: int, fps: float) -> str:
    out = []
    for value in (low, (low + high) / 2, high):
        out.append(f'<line x1="{LEFT}" x2="{WIDTH}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#eee"/>')
        out.append(f'<text x="{LEFT - 5}" y="{y(value) + 4:.1f}" font-size="11" text-anchor="end">{value:.3g}</text>')
    step = max(1, round(n / fps / 10))
    for second in range(0, int(n / fps) + 1, step):
        at, anchor = float(x(second * fps)), "start"
        if at > WIDTH - LABEL:  # the last frame comes before the last second ends
            at, anchor = min(at, WIDTH), "end"
        out.append(f'<text x="{at:.1f}" y="{HEIGHT - 4}" font-size="11" text-anchor="{anchor}">{second} s</text>')
    return "".join(out)
