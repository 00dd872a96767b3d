"""The public commands on the real pipeline, small: a portrait speaks, a run resumes, an interrupt leaves no mess."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from elocute.models.store import verify

ROOT = Path(__file__).resolve().parents[1]
PORTRAIT, VOICE = ROOT / "examples" / "portrait.jpg", ROOT / "examples" / "voice.wav"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not verify("face"), reason="models not fetched: elocute models --fetch"),
]
SMALL = ("--size", "256", "--device", "cpu")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A user of their own: no avatar of an earlier run is found, the machine's models are."""
    from elocute.models.store import models_folder

    cache = tmp_path_factory.mktemp("cache")
    own = {"PYTHONPATH": str(ROOT / "core"), "XDG_CACHE_HOME": str(cache), "ELOCUTE_MODELS": str(models_folder())}
    return os.environ | own | {"NUMBA_CACHE_DIR": str(ROOT / "build" / "numba")}  # compiling anew would take a minute


def run(environment: dict[str, str], *arguments: object) -> tuple[int, dict[str, Any], float]:
    """Exit code, the last JSON line, seconds."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "elocute", *map(str, arguments), "--json"],
        capture_output=True, text=True, timeout=600, env=environment,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout.splitlines()[-1]), time.monotonic() - started


@pytest.fixture(scope="module")
def fitted(environment: dict[str, str]) -> dict[str, Any]:
    code, report, _ = run(environment, "fit", PORTRAIT, "--device", "cpu")
    assert code == 0, report
    return report


def test_a_fit_is_reported_and_found_again(fitted: dict[str, Any], environment: dict[str, str]) -> None:
    assert not fitted["cached"] and fitted["face_height_px"] > 100
    steps = list(fitted["psnr_db"].values())
    assert steps == sorted(steps), "tuning made the reconstruction worse"
    code, again, seconds = run(environment, "fit", PORTRAIT, "--device", "cpu")
    assert code == 0 and again["cached"]
    assert seconds < 20, "a cached avatar has to be there at once"


def test_a_portrait_speaks(fitted: dict[str, Any], environment: dict[str, str], tmp_path: Path) -> None:
    command = (PORTRAIT, VOICE, "-o", tmp_path / "out.mp4", "--frames", "1-40", "--sheet", tmp_path / "s.png", *SMALL)
    code, result, _ = run(environment, "speak", *command)
    assert code == 0, result
    assert (result["frames"], result["rendered"], result["reused"]) == (40, 40, 0)
    assert cv2.imread(str(tmp_path / "s.png")).shape[1] == 1280
    code, measured, _ = run(environment, "evaluate", tmp_path / "out.mp4", "--portrait", PORTRAIT)
    assert code == 0
    assert (measured["frames"], measured["size"], measured["face_rate"]) == (40, [256, 256], 1.0)
    assert abs(measured["av_end_gap_frames"]) < 1
    assert measured["aperture"]["max"] > 0.05, "the mouth never opens"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.mp4", "s.png"]


def test_a_second_run_renders_only_what_is_missing(
    fitted: dict[str, Any], environment: dict[str, str], tmp_path: Path
) -> None:
    shot = {"portrait": str(PORTRAIT), "voice": str(VOICE), "frames_dir": "frames", "frames": [3, 8], "size": 256}
    (tmp_path / "shot.json").write_text(json.dumps(shot | {"device": "cpu"}))
    assert run(environment, "render", tmp_path / "shot.json")[1]["rendered"] == 6
    before = {file.name: file.read_bytes() for file in (tmp_path / "frames").glob("*.png")}
    assert sorted(before) == [f"{index:06d}.png" for index in range(3, 9)]
    (tmp_path / "frames" / "000005.png").unlink()
    result = run(environment, "render", tmp_path / "shot.json")[1]
    assert (result["rendered"], result["reused"]) == (1, 5)
    assert {file.name: file.read_bytes() for file in (tmp_path / "frames").glob("*.png")} == before


def test_transparent_frames_have_a_clear_corner(
    fitted: dict[str, Any], environment: dict[str, str], tmp_path: Path
) -> None:
    where = ("--frames-dir", tmp_path, "--background", "transparent", "--frames", "1-2", "--still", *SMALL)
    assert run(environment, "speak", PORTRAIT, VOICE, *where)[0] == 0
    image = cv2.imread(str(tmp_path / "000001.png"), cv2.IMREAD_UNCHANGED)
    assert image.shape == (256, 256, 4)
    assert image[4, 4, 3] < 30 and image[150, 128, 3] > 240


def test_poses_and_edited_curves_drive_it(fitted: dict[str, Any], environment: dict[str, str], tmp_path: Path) -> None:
    code, told, _ = run(environment, "curves", VOICE, "-o", tmp_path / "c.json", "--fps", "25")
    assert code == 0 and told["curves"] == 52
    (tmp_path / "p.json").write_text(json.dumps({"fps": 25, "yaw_deg": [0, 5, 10, 15]}))
    drive = ("--curves", tmp_path / "c.json", "--poses", tmp_path / "p.json", "--frames", "1-6")
    code, result, _ = run(environment, "speak", PORTRAIT, VOICE, "-o", tmp_path / "o.mp4", *drive, *SMALL)
    assert code == 0 and result["frames"] == 6
    assert any("pose" in warning for warning in result["warnings"]), "fewer poses than frames has to be said"


@pytest.mark.skipif(os.name == "nt", reason="Windows interrupts otherwise")
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_frames_and_leaves_no_half_video(
    fitted: dict[str, Any], environment: dict[str, str], tmp_path: Path, sign: int
) -> None:
    arguments = ["speak", str(PORTRAIT), str(VOICE), "-o", str(tmp_path / "o.mp4"), "--frames-dir", str(tmp_path / "f")]
    process = subprocess.Popen(
        [sys.executable, "-m", "elocute", *arguments, *SMALL, "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    for line in process.stdout:
        if json.loads(line).get("frame", {}).get("index", 0) >= 3:
            break
    process.send_signal(sign)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert json.loads(out.splitlines()[-1])["error"]["code"] == "cancelled"
    assert "error: stopped; finished frames are kept" in err.splitlines()
    assert [file.name for file in tmp_path.iterdir()] == ["f"], "a half-written video stayed"
    kept = sorted(file.name for file in (tmp_path / "f").iterdir())
    assert kept[:3] == ["000001.png", "000002.png", "000003.png"] and "manifest.json" in kept
    again = ("--frames-dir", tmp_path / "f", "--frames", "1-3", *SMALL)
    assert run(environment, "speak", PORTRAIT, VOICE, *again)[1]["reused"] == 3


def test_bad_portraits_are_refused_by_name(environment: dict[str, str], tmp_path: Path) -> None:
    grey = tmp_path / "grey.png"
    cv2.imwrite(str(grey), np.full((300, 300, 3), 128, np.uint8))
    (tmp_path / "broken.jpg").write_bytes(PORTRAIT.read_bytes()[:3000])
    small = tmp_path / "small.png"
    cv2.imwrite(str(small), cv2.resize(cv2.imread(str(PORTRAIT)), (128, 150)))
    before = sorted(tmp_path.iterdir())
    for portrait, code in (
        (grey, "no_face"), (tmp_path / "broken.jpg", "image_truncated"), (small, "face_too_small"),
        (tmp_path, "image_is_directory"), (tmp_path / "none.jpg", "image_missing"),
    ):  # fmt: skip
        exit_code, told, _ = run(environment, "speak", portrait, VOICE, "-o", tmp_path / "o.mp4")
        assert (exit_code, told["error"]["code"]) == (2, code), told
    assert sorted(tmp_path.iterdir()) == before
    exit_code, told, _ = run(environment, "speak", PORTRAIT, VOICE, "-o", tmp_path / "o.mp4", "--device", "cuda:99")
    assert exit_code == 3, told


def test_a_random_identity_speaks(environment: dict[str, str], tmp_path: Path) -> None:
    code, result, _ = run(environment, "speak", "seed:7", VOICE, "-o", tmp_path / "o.mp4", "--frames", "1-3", *SMALL)
    assert code == 0 and result["frames"] == 3, result
