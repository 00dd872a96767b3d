"""Elocute: a portrait, a voice and a keyframed camera go in; a talking head comes out."""

__version__ = "0.1.0"
