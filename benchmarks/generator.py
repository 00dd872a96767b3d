"""What a frame and an inversion step of the StyleNeRF generator cost at 1024, next to the original order of operations.

    python benchmarks/generator.py [--layout released|published] [--size 1024] [--device cpu] [--threads N]
                                   [--part frame|step] [--json]

Random arrays of the official shapes. The naive cost is the clear version's: for a frame three whole renders and the
feature mix at 512 x 512, for a step a render, LPIPS of both pictures, gradients and Adam. Both ways start from the same
arrays, and their pictures are compared. Each way runs in a process of its own, so that its memory is its own.
Ratios hold where others use the machine too; `cpu` seconds more so than `wall` seconds.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "core"))  # the sources beside this file, installed or not
WAYS = ("naive", "fast")
CLEAR = Path("/proc/self/clear_refs")  # Linux's, by which a process's peak is forgotten


class Clock:
    """Seconds (the best of some runs), GFLOP of matrix products and convolutions, and peak memory of each stage."""

    def __init__(self, device: str) -> None:
        self.device, self.rows = device, {}  # type: ignore[var-annotated]

    def __call__(self, name: str, work: Callable[[], Any], times: int = 2) -> Any:
        import torch
        from torch.utils.flop_counter import FlopCounterMode

        best: tuple[float, float] = (float("inf"), float("inf"))
        forget_peak(self.device)
        with FlopCounterMode(display=False) as counter:
            for run in range(times + 1):
                wall, cpu = time.perf_counter(), time.process_time()
                out = work()
                if self.device != "cpu":
                    torch.cuda.synchronize()
                if run or not times:  # the first compiles and fills caches
                    best = min(best[0], time.perf_counter() - wall), min(best[1], time.process_time() - cpu)
        row = {"wall": best[0], "cpu": best[1], "gflop": counter.get_total_flops() / 1e9 / (times + 1),
               "peak_mb": peak_mb(self.device)}  # fmt: skip
        self.rows[name] = {key: round(value, 4) for key, value in row.items()}
        return out


def forget_peak(device: str) -> None:
    """Let `peak_mb` begin anew, where the system can: on other systems than Linux a peak is the process's."""
    import torch

    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    elif CLEAR.exists():
        CLEAR.write_text("5")


def peak_mb(device: str) -> float:
    """The most memory since `forget_peak`: the process's own, or of a GPU."""
    import torch

    if device != "cpu":
        return torch.cuda.max_memory_allocated() / 2**20
    if CLEAR.exists():
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2 ** (20 if sys.platform == "darwin" else 10)


def prepare(layout: str, size: int, device: str) -> tuple[Any, dict[str, Any]]:
    """The generator and a frame's inputs."""
    import torch

    from elocute.generators.stylenerf.camera import camera_at
    from elocute.generators.stylenerf.deformation import VertexDeformation
    from elocute.generators.stylenerf.made_up import made_up
    from elocute.models import load_generator

    generator = load_generator(*made_up(layout, size)).to(device)
    config, random = generator.config, torch.Generator().manual_seed(1)
    with torch.no_grad():
        ws, mouth = (generator.mapping(torch.randn(1, 512, generator=random)) for _ in range(2))
        camera = camera_at(config.camera, [0.6, 0.5, 0.5]).to(device)
        code = torch.randn(1, config.background_code, generator=random).to(device)
        positions = generator.render(ws, camera, code, size=64).volume.positions
    nearest = torch.randint(0, 8928, (2, config.rays * config.samples), generator=random).to(device)
    back = 0.003 * torch.randn(1, 8928, 2, generator=random).to(device)
    mask = torch.ones(1, 1, 512, 512, device=device)
    mask[:, :, 300:380, 200:312] = 0
    return generator, {
        "ws": ws, "mouth": torch.cat([mouth[:, :10], ws[:, 10:]], 1), "camera": camera, "code": code,
        "positions": positions, "deform": VertexDeformation(back, *nearest), "mask": mask,
        "target": torch.rand(1, 3, size, size, generator=random).to(device) * 2 - 1,
    }  # fmt: skip


def frame(way: str, generator: Any, given: dict[str, Any], clock: Clock) -> Any:
    """A frame of a speaking head."""
    import torch

    from elocute.generators.stylenerf.generator import FoldedGenerator
    from elocute.generators.stylenerf.mixing import FeatureMix, mix, mix_plainly

    ws, camera, code, places = (given[name] for name in ("ws", "camera", "code", "positions"))
    options = {"freeze_background": True, "positions": places}
    with torch.no_grad():
        if way == "naive":

            def render(styles: Any, **more: Any) -> Any:
                return generator.render(styles, camera, code, plain=True, **options, **more)

            def whole() -> Any:
                render(ws, deform=given["deform"])  # the original makes this picture and throws it away
                mouth = render(given["mouth"]).volume.features
                return render(ws, deform=given["deform"], mix=FeatureMix(mouth, given["mask"])).image

            one = clock("one render", lambda: render(ws), 0)
            features = one.volume.features
            clock("feature mix", lambda: mix_plainly(features, FeatureMix(features + 1, given["mask"])), 0)
            return clock("whole frame", whole, 0)
        person = clock("fold once", lambda: FoldedGenerator(generator, ws, code))
        clock("background once", lambda: person.background(camera, True) is None or _fresh(person, camera))
        volume = clock("nerf", lambda: person.volume(camera, deform=given["deform"], **options))
        clock("feature mix", lambda: mix(volume.features, FeatureMix(volume.features + 1, given["mask"])))
        x = volume.features[0].permute(1, 2, 0).contiguous()
        for side, block in zip(generator.config.levels, person.blocks, strict=True):
            last = block is person.blocks[-1]
            out = clock(f"block {side}", lambda block=block, x=x, last=last: block.run(x, 16.0, last))
            x = out[0]

        def whole() -> Any:
            mouth = FoldedGenerator(generator, given["mouth"], code)
            mouth._backgrounds = person._backgrounds  # the same code, so the same background
            features = mouth.volume(camera, **options).features
            other = FeatureMix(features, given["mask"])
            return person.render(camera, deform=given["deform"], mix=other, **options).image

        return clock("whole frame", whole, 3)


def _fresh(person: Any, camera: Any) -> Any:
    person._backgrounds.clear()
    return person.background(camera, True)


def step(way: str, generator: Any, given: dict[str, Any], clock: Clock) -> Any:
    """A step of pivotal tuning with LPIPS-Alex of random arrays."""
    import torch

    from elocute.inversion.stylenerf.perceptual import Lpips, distance
    from elocute.inversion.stylenerf.projection import Pivot
    from elocute.inversion.stylenerf.tuning import REFERENCE_TUNING, tune

    random = torch.Generator().manual_seed(2)
    shapes = [(64, 3, 11, 11), (192, 64, 5, 5), (384, 192, 3, 3), (256, 384, 3, 3), (256, 256, 3, 3)]
    state = {}
    for k, (number, shape) in enumerate(zip((0, 3, 6, 8, 10), shapes, strict=True)):
        fan = shape[1] * shape[2] * shape[3]
        state[f"features.{number}.weight"] = torch.randn(shape, generator=random) * (2 / fan) ** 0.5
        state[f"features.{number}.bias"] = torch.zeros(shape[0])
        state[f"lin{k}.model.1.weight"] = torch.rand(1, shape[0], 1, 1, generator=random) * 0.02
    lpips = Lpips(state).to(given["ws"].device)
    ws, camera, code, target = (given[name] for name in ("ws", "camera", "code", "target"))
    if way == "naive":
        optimiser = torch.optim.Adam(generator.parameters(), lr=3e-4)

        def once() -> float:
            optimiser.zero_grad()
            image = generator.render(ws, camera, code, freeze_background=True, plain=True).image
            apart = distance(lpips.features(image), lpips.features(target))
            loss = ((image - target) ** 2).mean() + apart
            loss.backward()
            optimiser.step()
            return float(loss.detach())

        return clock("step", once, 0)
    with torch.no_grad():
        wanted = lpips.features(target)

    def picture() -> Any:
        return generator.render(ws, camera, code, freeze_background=True).image

    def loss(image: Any) -> Any:
        return ((image - target) ** 2).mean() + distance(lpips.features(image), wanted)

    clock("picture", picture, 1)
    clock("picture, LPIPS", lambda: loss(picture()), 1)
    clock("picture, LPIPS, gradients", lambda: loss(picture()).backward(), 1)
    generator.zero_grad(set_to_none=True)
    settings = replace(REFERENCE_TUNING, stop_at=None)
    steps = tune(generator, Pivot(ws[:, :1], code, ()), target, camera, lpips, settings)
    return clock("step", lambda: next(steps).total, 2)


def measure(part: str, way: str, layout: str, size: int, device: str, threads: int) -> dict[str, Any]:
    """One part in one way, in this process."""
    import numba
    import torch

    if threads:
        torch.set_num_threads(threads)
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    clock = Clock(device)
    generator, given = prepare(layout, size, device)
    out = (frame if part == "frame" else step)(way, generator, given, clock)
    result: dict[str, Any] = {"stages": clock.rows}
    if part == "frame":
        result["picture"] = out.float().cpu().numpy()[0, :, ::8, ::8].round(4).tolist()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layout", choices=("released", "published", "both"), default="both")
    parser.add_argument("--part", choices=("frame", "step", "both"), default="both")
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as the machine has")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)  # measure in this process
    wanted = parser.parse_args()
    if wanted.way:
        values = (wanted.part, wanted.way, wanted.layout, wanted.size, wanted.device, wanted.threads)
        print(json.dumps(measure(*values)))
        return
    report = {}
    for layout in ("released", "published") if wanted.layout == "both" else (wanted.layout,):
        for part in ("frame", "step") if wanted.part == "both" else (wanted.part,):
            report[f"{layout} {part}"] = compare(layout, part, wanted)
    if wanted.json:
        print(json.dumps(report, indent=1))


def compare(layout: str, part: str, wanted: argparse.Namespace) -> dict[str, Any]:
    """Both ways in processes of their own, printed as a table."""
    import numpy as np

    out: dict[str, Any] = {}
    for way in WAYS:
        command = [sys.executable, __file__, "--layout", layout, "--part", part, "--way", way, "--size",
                   str(wanted.size), "--device", wanted.device, "--threads", str(wanted.threads)]  # fmt: skip
        out[way] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    pictures = [np.array(out[way].pop("picture", 0)) for way in WAYS]
    last = "whole frame" if part == "frame" else "step"
    naive, fast = (out[way]["stages"][last] for way in WAYS)
    out["times less"] = {key: round(naive[key] / fast[key], 2) for key in ("wall", "cpu", "gflop", "peak_mb")}
    out["largest difference"] = float(np.abs(pictures[0] - pictures[1]).max())
    out["spread"] = float(pictures[0].std())
    if not wanted.json:
        print(f"\n{layout}, {part}, {wanted.size} pixels")
        print(f"{'':32}{'wall s':>10}{'cpu s':>10}{'GFLOP':>10}{'peak MB':>10}")
        for way in WAYS:
            for name, row in out[way]["stages"].items():
                numbers = f"{row['wall']:10.3f}{row['cpu']:10.3f}{row['gflop']:10.2f}{row['peak_mb']:10.0f}"
                print(f"{way + ' ' + name:32}{numbers}")
        print(f"{'times less':32}" + "".join(f"{value:10.2f}" for value in out["times less"].values()))
        if part == "frame":
            print(f"largest difference {out['largest difference']:.1e}, spread {out['spread']:.2f}")
    return out


if __name__ == "__main__":
    main()
