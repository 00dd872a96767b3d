"""Blender's way in: the repository's root is the extension's root. Everything of it lives in addon/."""

import sys

if "bpy" in sys.modules and __package__:  # test runners and type checkers load this file too, outside Blender
    from .addon import register, unregister

    __all__ = ["register", "unregister"]
