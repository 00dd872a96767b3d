"""Blender's side, thin: it starts the engine in a Python of its own and shows what it says.

Never import torch, NumPy or the engine's stages here: they live in the engine's process. Only `errors`, `settings`
and `protocol` of core/elocute are shared, by relative import.
"""

from . import engine, preferences


def register() -> None:
    """Called by Blender when the extension is enabled."""
    preferences.register()


def unregister() -> None:
    """Called by Blender when the extension is disabled or Blender ends."""
    engine.stop()
    preferences.unregister()
