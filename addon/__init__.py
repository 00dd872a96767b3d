"""Blender's side, thin: it starts the engine in a Python of its own and shows what it says.

Never import torch, NumPy or the engine's stages here: they live in the engine's process. Only `errors`, `units`,
`limits`, `settings`, `protocol` and `installation` of core/elocute are shared, by relative import.
"""

from . import head_operators, moving, operators, panels, preferences, preview, properties, pumping, voices

_PARTS = (preferences, properties, preview, operators, head_operators, voices, panels, pumping, moving)


def register() -> None:
    """Called by Blender when the extension is enabled."""
    for part in _PARTS:
        part.register()


def unregister() -> None:
    """Called by Blender when the extension is disabled or Blender ends."""
    for part in reversed(_PARTS):
        part.unregister()
