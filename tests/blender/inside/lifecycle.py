"""A user's way with the extension, as a script: install, enable, disable, enable, remove. The zip is the argument."""

import os
import sys
import traceback

import bpy

MODULE = "bl_ext.user_default.elocute"


def main():
    package = sys.argv[-1]
    paths = list(sys.path)
    bpy.ops.extensions.package_install_files(filepath=package, repo="user_default", enable_on_install=False)
    assert MODULE not in bpy.context.preferences.addons
    for _ in range(2):
        assert bpy.ops.preferences.addon_enable(module=MODULE) == {"FINISHED"}
        assert hasattr(bpy.types.Scene, "elocute")
        assert bpy.ops.preferences.addon_disable(module=MODULE) == {"FINISHED"}
        assert not hasattr(bpy.types.Scene, "elocute")
    bpy.ops.preferences.addon_enable(module=MODULE)
    folder = os.path.dirname(sys.modules[MODULE].__file__)
    assert os.path.isfile(os.path.join(folder, "blender_manifest.toml"))
    heavy = {"torch", "cv2", "scipy", "numba"} & set(sys.modules)
    assert not heavy, f"the engine was loaded into Blender: {heavy}"
    repos = bpy.context.preferences.extensions.repos
    index = next(i for i, repo in enumerate(repos) if repo.module == "user_default")
    bpy.ops.extensions.package_uninstall(repo_index=index, pkg_id="elocute")
    assert not os.path.exists(folder) and MODULE not in bpy.context.preferences.addons
    assert not hasattr(bpy.types.Scene, "elocute")
    assert [path for path in sys.path if "elocute" in path and path not in paths] == []


try:
    main()
    code = 0
    print("LIFECYCLE COMPLETE")
except BaseException:  # noqa: BLE001 - some Blenders would end with 0
    traceback.print_exc()
    code = 1
sys.stdout.flush()
sys.stderr.flush()
os._exit(code)
