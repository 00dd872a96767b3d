"""Nothing that a command writes replaces what it reads."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from elocute.cli import app
from elocute.errors import BadInput
from elocute.finishing.frames import check_frames_folder

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("000001.png", ["speak", "{photo}", str(EXAMPLES / "voice.wav"), "--frames-dir", "{folder}"]),
        ("texture.png", ["head", "{photo}", "-o", "{folder}"]),
    ],
)
def test_a_portrait_is_not_replaced_by_its_own_result(tmp_path: Path, name: str, command: list[str]) -> None:
    photo = tmp_path / name
    shutil.copy(EXAMPLES / "portrait.jpg", photo)
    before = photo.read_bytes()
    result = CliRunner().invoke(app, [part.format(photo=photo, folder=tmp_path) for part in command] + ["--json"])
    assert result.exit_code == 2 and '"output_is_input"' in result.stdout
    assert photo.read_bytes() == before and list(tmp_path.iterdir()) == [photo]


@pytest.mark.skipif(os.name != "posix", reason="links need rights elsewhere")
def test_what_a_link_leads_to_is_not_replaced_either(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    shutil.copy(EXAMPLES / "portrait.jpg", tmp_path / "frames" / "000003.png")
    link = tmp_path / "portrait.png"
    link.symlink_to(tmp_path / "frames" / "000003.png")
    with pytest.raises(BadInput) as caught:
        check_frames_folder(tmp_path / "frames", str(link), None)
    assert caught.value.code == "output_is_input"
    check_frames_folder(tmp_path / "other", str(link), "seed:7")
