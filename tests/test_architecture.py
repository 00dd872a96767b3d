"""The one-way rule of the imports: a module may import from its own layer and from those below."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "core" / "elocute"
ADDON = [*sorted((ROOT / "addon").rglob("*.py")), ROOT / "__init__.py"]
HEAVY = {"torch", "numpy", "cv2", "numba", "scipy", "onnxruntime", "ai_edge_litert", "PIL"}
# Blender's Python has them.
SHARED = {"__init__", "errors", "units", "limits", "settings", "protocol", "machine", "installing", "installation"}

# Names of modules and packages below elocute/, lowest layer first.
LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"__init__", "errors", "units"}),
    frozenset({"limits", "settings", "protocol"}),
    frozenset({"values", "landmarks", "ramps", "spaces", "machine", "installing", "installation"}),
    frozenset({"files", "warm", "media", "footage", "models.catalogue", "models.store", "models.weights"}),  # files
    frozenset({"portrait", "speech", "head", "rendering", "finishing"}),
    frozenset({"generators", "driving"}),
    frozenset({"inversion", "models"}),  # the package itself hands out generators
    frozenset({"drive", "shooting", "headmesh", "evaluate"}),
    frozenset({"modelsets"}),
    frozenset({"pipeline"}),
    frozenset({"console", "doctor", "jobs"}),
    frozenset({"worker", "cli"}),
    frozenset({"__main__"}),
)
# Stages of one layer know nothing of each other, so that each can be replaced. What is listed may.
NEIGHBOURS = {("head", "portrait"), ("head", "rendering")}
STAGES = LAYERS[4]


def layer(module: str) -> int:
    names = module.split(".")
    for candidate in (".".join(names[:2]), names[0]):
        for number, members in enumerate(LAYERS):
            if candidate in members:
                return number
    raise AssertionError(f"{module} has no place in the layers: add it to LAYERS where it belongs")


def imports(file: Path) -> set[str]:
    """Absolute names of everything a file imports, at any depth; a relative import is resolved for core files."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = file.relative_to(CORE.parent).parts[: -node.level] if CORE in file.parents else ()
                base = ".".join([*parents, *([base] if base else [])])
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def inner(file: Path, root: tuple[str, ...] = ("elocute",)) -> set[str]:
    """What a file imports of elocute, which it calls `root`, as names below it: "finishing.video", "values"."""
    out = set()
    for name in imports(file):
        parts = name.split(".")
        if tuple(parts[: len(root)]) != root:
            continue
        parts = parts[len(root) :]
        while parts and not (CORE.joinpath(*parts).with_suffix(".py").exists() or CORE.joinpath(*parts).is_dir()):
            parts = parts[:-1]  # the last part was a function or class
        out.add(".".join(parts) or "__init__")
    return out


MODULES = sorted(CORE.rglob("*.py"))


def name_of(file: Path) -> str:
    parts = file.relative_to(CORE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_arrows_go_one_way(file: Path) -> None:
    own = name_of(file)
    for target in inner(file):
        assert layer(target) <= layer(own), f"{own} imports {target}, which lies above it"
        a, b = own.split(".")[0], target.split(".")[0]
        if a != b and a in STAGES and b in STAGES:
            assert (a, b) in NEIGHBOURS, f"{own} imports {target}: the stages {a} and {b} should not know each other"


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_the_engine_never_imports_blender(file: Path) -> None:
    assert not {name for name in imports(file) if name.split(".")[0] in ("bpy", "bpy_extras", "mathutils", "addon")}


def test_what_is_imported_is_installed() -> None:
    """No library is there only because another one happens to bring it along."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["evaluate"], *extras["landmarks"]]
    declared = {re.split(r"[<>=~! ]", line)[0].replace("-", "_") for line in wanted}
    named = {"cv2": "opencv_python_headless", "PIL": "pillow", "dlib": "dlib_bin"}
    outside = {name.split(".")[0] for file in MODULES for name in imports(file)} - sys.stdlib_module_names - {"elocute"}
    assert {named.get(name, name) for name in outside} <= declared


@pytest.mark.parametrize("name", sorted(SHARED))
def test_what_blender_shares_needs_the_standard_library_only(name: str) -> None:
    for target in imports(CORE / f"{name}.py"):
        top = target.split(".")[0]
        assert top in sys.stdlib_module_names or target.split(".")[:2][-1] in SHARED
    absolute = [
        node for node in ast.walk(ast.parse((CORE / f"{name}.py").read_text()))
        if isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").startswith("elocute")
    ]  # fmt: skip
    assert not absolute, f"{name}: inside an extension the package is not called elocute, import relatively"


@pytest.mark.parametrize("file", ADDON, ids=lambda file: str(file.relative_to(ROOT)))
def test_the_blender_side_stays_light(file: Path) -> None:
    names = imports(file)
    assert not {name for name in names if name.split(".")[0] in HEAVY}
    assert not {name for name in names if name.split(".")[0] == "elocute"}, "import the shared modules relatively"
    assert not unshared(file), "of the engine Blender's Python has the shared modules alone"


def unshared(file: Path) -> set[str]:
    """Modules of the engine that a file of Blender's side imports although they are not shared."""
    return inner(file, ("core", "elocute")) - SHARED


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("from ..core.elocute import pipeline", {"pipeline"}),
        ("from ..core.elocute import __version__", set()),
        ("from ..core.elocute.values import View", {"values"}),
        ("from ..core.elocute.models.store import fetch", {"models.store"}),
        ("from ..core.elocute.models import store, catalogue", {"models.store", "models.catalogue"}),
        ("from ..core.elocute.units import ARKIT_NAMES", set()),
        ("def late():\n    from ..core import elocute", set()),
        ("from . import checks", set()),
    ],
)
def test_what_is_not_shared_is_seen(tmp_path: Path, line: str, found: set[str]) -> None:
    file = tmp_path / "panel.py"
    file.write_text(line)
    assert unshared(file) == found


def test_the_rule_itself_can_fail() -> None:
    assert layer("portrait.face") > layer("values") > layer("settings")
    assert layer("pipeline") > layer("inversion.pivot") > layer("generators.headfield") > layer("rendering.march")
    with pytest.raises(AssertionError):
        layer("nonsense")
