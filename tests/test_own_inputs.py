"""Nothing that a command writes replaces what it reads, or what it has just written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from elocute.cli import app
from elocute.errors import BadInput
from elocute.finishing.frames import check_frames_folder, check_no_frame

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


def test_a_contact_sheet_takes_no_frames_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    command = ["speak", "seed:7", str(EXAMPLES / "voice.wav"), "--frames-dir", "frames", "--json", "--sheet"]
    for sheet in ("frames/000002.png", "other/../frames/000002.PNG", str(tmp_path / "frames" / "1000000.png")):
        done = CliRunner().invoke(app, [*command, sheet])
        assert done.exit_code == 2 and '"output_is_frame"' in done.stdout and not Path("frames").exists()
    for sheet in ("000002.png", "frames/sheet.png", "frames/000002.jpg", "other/000002.png"):
        check_no_frame(Path(sheet), Path("frames"))
    check_no_frame(Path("000002.png"), None)
