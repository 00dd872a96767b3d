"""How long each stage takes on this machine, and how that compares with what the machine can do at all.

    python benchmarks/stages.py [--portrait FILE] [--voice FILE] [--size 512] [--frames 100] [--device auto] [--json]

Seconds differ from machine to machine; ratios to a floor measured in the same run differ less:

* copy: seconds to copy the bytes of one frame of rays (RGBA float32, 32 samples a pixel) in memory: no renderer that
  touches its samples once can be faster;
* product: seconds a float32 matrix product of 2 x 1024^3 operations takes: the unit of fitting.

The avatar goes to a folder of its own, so that the fit is cold; models and compiled kernels are those of the user.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command does
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "core"))  # the sources beside this file, installed or not
SAMPLES = 32


def best_of(work: Callable[[], Any], times: int = 7) -> float:
    """Seconds of the fastest run: the one that others disturbed least."""
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def floors(size: int) -> dict[str, float]:
    """The machine's own limits, in seconds."""
    import numpy as np
    import torch

    source = np.ones((size * size * SAMPLES, 4), np.float32)
    target = np.empty_like(source)
    a, b = torch.ones(1024, 1024), torch.ones(1024, 1024)
    return {"copy": best_of(lambda: np.copyto(target, source)), "product": best_of(lambda: a @ b)}


def peak_mb() -> float:
    """Largest resident memory of this process so far, in MB."""
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def measure(portrait: str, voice: Path, size: int, frames: int, device: str, folder: Path) -> dict[str, Any]:
    """Seconds of every stage of one shot, moving and still."""
    started = time.perf_counter()
    from elocute import pipeline
    from elocute.settings import FitSettings, Shot

    out: dict[str, Any] = {"seconds": {"import": time.perf_counter() - started}}

    def quiet(message: object) -> None:
        return None

    def never() -> bool:
        return False

    started = time.perf_counter()
    avatar = pipeline.prepare(portrait, FitSettings(portrait, device, size=size), quiet)
    out["seconds"]["fit, cold"] = time.perf_counter() - started
    for stage, seconds in avatar.report.get("stage_seconds", {}).items():
        out["seconds"][f"  {stage}"] = seconds
    started = time.perf_counter()
    pipeline.prepare(portrait, FitSettings(portrait, device, size=size), quiet)
    out["seconds"]["fit, again"] = time.perf_counter() - started
    out["memory_mb"] = {"after fit": peak_mb()}
    for name, still in (("moving", False), ("still", True)):
        shot = Shot(
            portrait, voice, size=size, still=still, frames=(1, frames), device=device, output=folder / f"{name}.mp4"
        )  # fmt: skip
        pipeline.speak(Shot(**{**vars(shot), "frames": (1, 2)}), quiet, never)  # kernels compile, files warm up
        started = time.perf_counter()
        result = pipeline.speak(shot, quiet, never)
        out["seconds"][f"shot, {name}"] = time.perf_counter() - started
        out.setdefault("frames_per_second", {})[name] = result.frames_per_second
    out["memory_mb"]["after rendering"] = peak_mb()
    out["seconds"]["speech to curves, per second of sound"] = speech_seconds(voice)
    out["seconds"]["encoding, per frame"] = encoder_seconds(size, folder)
    return out


def speech_seconds(voice: Path) -> float:
    from elocute.media import SAMPLE_RATE, load_audio
    from elocute.speech.performance import perform

    audio = load_audio(voice)
    seconds = len(audio) / SAMPLE_RATE
    frames = max(1, int(seconds * 25))
    return best_of(lambda: perform(audio, Fraction(25), frames), 3) / seconds


def encoder_seconds(size: int, folder: Path, frames: int = 100) -> float:
    """Of a picture whose middle moves over a wall with some grain, as a talking head's does."""
    import numpy as np

    from elocute.finishing.video import VideoWriter

    grain = np.random.default_rng(0).normal(0, 3, (size, size, 3))
    ramp = np.linspace(60, 200, size)[:, None, None]
    wall = np.clip(ramp + grain, 0, 255).astype(np.uint8)
    middle = slice(size // 3, 2 * size // 3)

    def encode() -> None:
        with VideoWriter(folder / "encoder.mp4", (size, size), Fraction(25)) as out:
            for index in range(frames):
                frame = wall.copy()
                frame[middle, middle] = np.roll(wall[middle, middle], index % 5, axis=0)
                out.write(frame)

    return best_of(encode, 2) / frames


def describe(result: dict[str, Any]) -> str:
    lines = [f"{result['portrait']}, {result['size']} px, {result['frames']} frames, {result['cores']} cores", ""]
    floor = result["floors"]
    lines += [f"{'':44}{'seconds':>10}{'x product':>12}"]
    for name, seconds in result["seconds"].items():
        lines.append(f"{name:44}{seconds:10.3f}{seconds / floor['product']:12.0f}")
    lines += ["", f"{'':44}{'frames/s':>10}{'x copy':>12}"]
    for name, rate in result["frames_per_second"].items():
        lines.append(f"{name:44}{rate:10.2f}{1 / rate / floor['copy']:12.1f}")
    lines += ["", *(f"{'peak memory ' + name:44}{value:10.0f} MB" for name, value in result["memory_mb"].items())]
    lines += ["", f"floors: copy {1000 * floor['copy']:.2f} ms, product {1000 * floor['product']:.2f} ms"]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--portrait", default=str(ROOT / "examples" / "portrait.jpg"))
    parser.add_argument("--voice", type=Path, default=ROOT / "examples" / "voice.wav")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    from elocute.models.store import models_folder

    os.environ["ELOCUTE_MODELS"] = str(models_folder())  # before the cache moves away
    with tempfile.TemporaryDirectory(prefix="elocute-benchmark-") as folder:
        os.environ["XDG_CACHE_HOME"] = os.environ["LOCALAPPDATA"] = folder
        result = {
            "portrait": Path(chosen.portrait).name, "size": chosen.size, "frames": chosen.frames,
            "cores": os.cpu_count(),
        } | measure(chosen.portrait, chosen.voice, chosen.size, chosen.frames, chosen.device, Path(folder))  # fmt: skip
        result["floors"] = floors(chosen.size)
    print(json.dumps(result, indent=1) if chosen.json else describe(result))


if __name__ == "__main__":
    main()
