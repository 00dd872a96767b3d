"""Runs tests inside Blender: `PYTHON run.py` with the wheel `bpy`, `blender -b -P run.py` with a Blender.

The environment's ELOCUTE_TEST_PLAN names a JSON file: `package` (the built zip; it is installed as a user does it),
`tests` (files), `libraries` (a folder with pytest), `report` (where the results go), `ini` (an empty pytest.ini).
"""

import faulthandler
import json
import os
import sys
import traceback

import bpy

MODULE = "bl_ext.user_default.elocute"
OFF = "no:cacheprovider", "no:faulthandler", "no:logging"


class Results:
    """A plugin that notes what became of each test."""

    def __init__(self):
        self.tests = {}

    def pytest_runtest_logreport(self, report):
        name = report.nodeid.rpartition("/")[2]
        outcome, seconds, told = self.tests.get(name, ("passed", 0.0, ""))
        if report.outcome != "passed":
            outcome, told = report.outcome, told + str(report.longrepr)
        self.tests[name] = (outcome, seconds + report.duration, told)

    def pytest_collectreport(self, report):
        if report.failed:
            self.tests[report.nodeid or "collection"] = ("failed", 0.0, str(report.longrepr))


def main():
    faulthandler.enable()
    with open(os.environ["ELOCUTE_TEST_PLAN"]) as stream:
        plan = json.load(stream)
    sys.path.insert(0, plan["libraries"])
    import pytest

    results = Results()
    bpy.ops.extensions.package_install_files(
        filepath=plan["package"], repo="user_default", enable_on_install=True, overwrite=True
    )
    options = [part for name in OFF for part in ("-p", name)]
    folder = os.path.dirname(os.path.abspath(__file__))
    code = pytest.main(
        [*plan["tests"], "-q", "-c", plan["ini"], "--rootdir", folder, "--confcutdir", folder,
         "--import-mode=importlib", "--basetemp", plan["temporary"], *options, *plan["options"]],
        plugins=[results],
    )  # fmt: skip
    bpy.ops.preferences.addon_disable(module=MODULE)
    with open(plan["report"], "w") as stream:
        json.dump({"version": bpy.app.version_string, "code": int(code), "tests": results.tests}, stream)
    return int(code)


try:
    code = main()
except BaseException:  # noqa: BLE001 - some Blenders would not end, or end with 0
    traceback.print_exc()
    code = 99
sys.stdout.flush()
sys.stderr.flush()
os._exit(code)  # some versions hang or crash at a regular end
