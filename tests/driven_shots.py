"""Shots of nobody, and curves to drive them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from elocute.settings import Shot

VOICE = Path(__file__).resolve().parents[1] / "examples" / "voice.wav"


def shot(tmp_path: Path, **more: Any) -> Shot:
    return Shot(portrait="p.jpg", frames_dir=tmp_path, **more)


def curves_file(path: Path, fps: object = 25, **columns: list[float]) -> Path:
    rows = np.stack(list(columns.values()), 1).tolist()
    path.write_text(json.dumps({"format": "elocute-curves-1", "fps": fps, "names": list(columns), "values": rows}))
    return path
