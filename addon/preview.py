"""Preview: the current frame as the engine sees it, as an image in the Image Editor and the sidebar."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import bpy
import bpy.utils.previews

from ..core.elocute.errors import EnvironmentProblem
from . import rendering, sequencer, shots
from .task import Ask, Task

IMAGE = "Elocute Preview"
_icons: Any = None
_shown = 0


def make(ref: shots.Ref, frame: int, size: int, folder: Path, task: Task) -> Generator[Ask | None, Any, str]:
    """Steps of rendering one frame; returns the picture's path. A frame beyond the voice shows its nearest."""
    folder.mkdir(parents=True, exist_ok=True)
    plan, said = yield from rendering.listen(ref, rendering.ALL, folder, task)
    frame = min(max(frame, plan.whole[0]), plan.whole[1])
    plan = rendering.at_frame(plan, frame)
    drive = yield from rendering.write_drive(ref, plan, said, folder, task)
    settings = rendering.engine_shot(ref, plan, drive, folder)
    number = plan.numbers[0]
    kept = folder / f"{size} {settings['background']}"  # frames of one kind, found again when they are looked at again
    task.at("Rendering")
    try:
        yield Ask("speak", settings | {"size": size, "frames": [number, number], "frames_dir": str(kept)})
    finally:
        rendering.clear(drive.values())  # each frame has its own
    path = kept / sequencer.file_name(number)
    if not path.is_file():
        raise EnvironmentProblem("frames_missing", "The preview was not written. Try again")
    show(path)
    task.message = f"Frame {frame}"
    return str(path)


def show(path: Path) -> None:
    """Load a picture into the preview image, and show that where an Image Editor has nothing else."""
    global _shown
    image = bpy.data.images.get(IMAGE)
    if image is None:
        image = bpy.data.images.load(str(path))
        image.name = IMAGE
    if image.packed_file:
        image.unpack(method="REMOVE")  # else it would keep the picture that is packed
    image.filepath = str(path)
    image.reload()
    image.pack()  # a saved file must not depend on a temporary one
    for area in editors():
        if area.spaces.active.image is None:
            area.spaces.active.image = image
        area.tag_redraw()
    if _icons is not None:
        _shown += 1
        _icons.clear()
        _icons.load(str(_shown), str(path), "IMAGE")


def icon() -> int:
    """The icon number of the latest preview, 0 when there is none."""
    return _icons[str(_shown)].icon_id if _icons else 0


def editors() -> list[Any]:
    """The areas on screen that are Image Editors."""
    manager = bpy.context.window_manager
    return [
        area
        for window in (manager.windows if manager else ())
        for area in window.screen.areas
        if area.type == "IMAGE_EDITOR"
    ]


def register() -> None:
    global _icons
    _icons = bpy.utils.previews.new()


def unregister() -> None:
    global _icons
    if _icons is not None:
        bpy.utils.previews.remove(_icons)
        _icons = None


