"""The two sets of models behind one interface. A run names a set; nothing else in the pipeline asks which one it is."""

from __future__ import annotations

from .base import ModelSet, Performance


def model_set(name: str) -> ModelSet:
    """The set called `name`, one of `limits.MODEL_SETS`."""
    if name == "embedded":
        from .embedded import Embedded

        return Embedded()
    from .nerffacespeech import NerfFaceSpeech

    return NerfFaceSpeech()


__all__ = ["ModelSet", "Performance", "model_set"]
