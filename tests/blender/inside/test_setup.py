"""The preferences' side of set-up: online access, an own and an existing environment, cancel, what is shown."""

import importlib.util
import os
import shutil
import sys
import time
from pathlib import Path

import bpy
import pytest
from conftest import part

MODULE = "bl_ext.user_default.elocute"
ENGINE = os.environ["ELOCUTE_PYTHON"]
MAKES_ENVIRONMENTS = importlib.util.find_spec("ensurepip") is not None


@pytest.fixture
def preferences(monkeypatch):
    monkeypatch.delenv("ELOCUTE_PYTHON")
    found = bpy.context.preferences.addons[MODULE].preferences
    system = bpy.context.preferences.system
    before = system.use_online_access
    yield found
    part("addon.setup").stop()
    system.use_online_access = before
    found.source, found.engine_python, found.base_python, found.torch = "OWN", "", "", "auto"
    shutil.rmtree(part("addon.setup").folder(), ignore_errors=True)


def told():
    preferences, setup = part("addon.preferences"), part("addon.setup")
    return "\n".join(text for _, text in preferences.report(setup.latest))


def test_nothing_is_downloaded_without_online_access(preferences):
    bpy.context.preferences.system.use_online_access = False
    with pytest.raises(RuntimeError, match="online access"):
        bpy.ops.elocute.setup_engine()
    assert part("addon.setup").latest is None


def test_an_existing_environment_is_named_by_its_folder_or_program_and_checked(preferences):
    preferences.source = "EXISTING"
    for named in (ENGINE, str(Path(ENGINE).parents[1])):
        preferences.engine_python = named
        assert bpy.ops.elocute.check_engine() == {"FINISHED"}
    lines = told().splitlines()
    assert "is ready" in lines[0] and any(line.startswith("torch: ") for line in lines) and len(lines) > 15
    assert part("addon.checks").engine_python() == part("addon.preferences").chosen_python()


def test_what_is_missing_is_told_without_a_command_that_set_up_does_not_make(preferences, tmp_path, monkeypatch):
    monkeypatch.setenv("ELOCUTE_MODELS", str(tmp_path))
    preferences.source, preferences.engine_python = "EXISTING", ENGINE
    bpy.ops.elocute.check_engine()
    assert str(part("addon.engine").WEIGHTS) in told() and "Set Up Engine" in told()
    assert not any(command in told() for command in ("elocute models", "elocute doctor"))


@pytest.mark.parametrize("named", ["", "/nowhere/at/all", sys.executable])
def test_what_is_no_environment_of_the_engine_is_told(preferences, named):
    preferences.source, preferences.engine_python = "EXISTING", named
    try:
        assert bpy.ops.elocute.check_engine() == {"CANCELLED"}
        assert "No module named" in told()
    except RuntimeError as error:  # an operator's error report
        assert "preferences" in str(error)


def test_an_unsuitable_python_is_refused_in_a_sentence(preferences, tmp_path):
    bpy.context.preferences.system.use_online_access = True
    old = tmp_path / "python3"
    old.write_text(f"#!/bin/sh\necho '[[3, 9], \"{old}\", true]'\n")
    old.chmod(0o755)
    preferences.base_python = str(old)
    assert bpy.ops.elocute.setup_engine() == {"CANCELLED"}
    assert "is Python 3.9, and the engine needs 3.11 to 3.13" in told()
    assert part("addon.setup").own_python() is None


@pytest.mark.skipif(MAKES_ENVIRONMENTS, reason="this Blender's Python makes environments")
def test_a_python_that_makes_no_environments_is_told_with_what_to_install(preferences, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")  # no other Python helps out
    bpy.context.preferences.system.use_online_access = True
    assert bpy.ops.elocute.setup_engine() == {"CANCELLED"}
    assert "ensurepip" in told() and "-venv" in told()


@pytest.mark.skipif(not MAKES_ENVIRONMENTS, reason="this Blender's Python makes no environments")
def test_set_up_is_cancelled_and_no_process_stays(preferences):
    setup = part("addon.setup")
    activity = setup.start_setup("", "no-such-package-anywhere")
    end = time.monotonic() + 120
    while "environment" not in activity.stage:
        activity.pump()
        assert time.monotonic() < end and not activity.over, activity.problem
        time.sleep(0.02)
    activity.cancel()
    while not activity.over:
        activity.pump()
        assert time.monotonic() < end
        time.sleep(0.02)
    assert "Stopped" in activity.problem and not setup.running() and setup.own_python() is None
    while list(children(activity.process.pid)):  # the child itself says so before it ends
        assert time.monotonic() < end, "a process was left behind"
        time.sleep(0.05)


def children(group):
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            yield entry


@pytest.mark.skipif(
    not bpy.app.version_string.startswith(os.environ.get("ELOCUTE_TEST_SETUP") or "none"),
    reason="downloads half a gigabyte; ELOCUTE_TEST_SETUP names the Blender to do it in",
)
def test_set_up_makes_an_environment_that_renders(preferences):
    bpy.context.preferences.system.use_online_access = True
    before = set(Path(sys.prefix).rglob("*.dist-info"))
    assert bpy.ops.elocute.setup_engine() == {"FINISHED"}, told()
    own = part("addon.setup").own_python()
    assert own and own.is_relative_to(part("addon.setup").folder()) and "is ready" in told()
    assert part("addon.checks").engine_python() == own
    assert set(Path(sys.prefix).rglob("*.dist-info")) == before, "Blender's own Python was touched"
    assert part("addon.setup").log_path().stat().st_size > 1000
    assert bpy.ops.elocute.check_engine() == {"FINISHED"}
    began = time.monotonic()
    assert bpy.ops.elocute.setup_engine() == {"FINISHED"}, "nothing to do the second time"
    assert time.monotonic() - began < 120
