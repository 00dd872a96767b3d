"""The set of the published weights: NeRFFaceSpeech (Kim et al., CVPRW 2024) as its authors run it, or mended.

`--reference` does what the published programs do, their known errors included; without it the errors are mended.
`docs/official.md` says what each of them changes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ...drive import Inputs, Reading, may_need_voice
from ...errors import BadInput
from ...inversion.avatar import ROOM, Avatar, avatar_folder, find
from ...limits import portrait_seed
from ...models.official import need_imported
from ...portrait.landmarks68 import face_alignment_missing
from ...rendering.device import pick_device
from ...settings import CurvesSettings, FitSettings, HeadSettings, Shot
from ...values import ARKIT_NAMES, BASEL_NAMES, ExpressionTrack
from ..base import FittedHead, Report, identity, need, ready_cache, refuse_framing

if TYPE_CHECKING:
    from ...driving.follow import Followed, Tick
    from ...footage import Footage
    from .performance import OfficialPerformance

ALWAYS = ("generator", "face_model")
OWN_FRAME = "nerffacespeech frames faces as its networks learnt them"
LANDMARK_ROLES, CUTOUT_ROLES = ("face",), ("face", "matting")  # of the embedded models


class NerfFaceSpeech:
    """`--model-set nerffacespeech`."""

    def check(self, shot: Shot) -> None:
        refuse_framing(shot, OWN_FRAME)
        if shot.background != "keep":
            if shot.reference:
                raise BadInput(
                    "background_kept", "--reference shows the generator's own background. Use keep, or no --reference."
                )
            need(CUTOUT_ROLES)
        roles = [*ALWAYS]
        if portrait_seed(shot.portrait) is None or shot.poses_from or shot.drive:
            roles.append("face_regressor")
        if (shot.poses_from or shot.drive) and not shot.reference:
            need(LANDMARK_ROLES)
        if may_need_voice(shot):
            roles.append("speech_expression")
        if shot.reference:
            roles += ["mouth", "segmentation"]
        need_imported(roles)

    def reading(self, shot: Shot) -> Reading:
        def follow(footage: Footage, tick: Tick | None) -> Followed:
            from .guide import follow_by_regressor

            return follow_by_regressor(pick_device(shot.device), footage, shot.reference, tick)

        return Reading((ARKIT_NAMES, BASEL_NAMES), follow, ("deep3d", shot.reference))

    def prepare(self, portrait: str, settings: FitSettings, report: Report, size: int) -> Avatar:
        refuse_framing(settings, OWN_FRAME)
        photo = portrait_seed(portrait) is None
        need_imported((*ALWAYS, "face_regressor") if photo else ALWAYS)
        from .prepare import key_of

        key = key_of(portrait, settings)
        folder = avatar_folder()
        known = None if settings.refit else find(folder, key)
        if known:
            return replace(known, report={**known.report, "portrait": portrait, "cached": True})
        if not settings.reference or face_alignment_missing():
            need(LANDMARK_ROLES)  # a random identity's front view is looked at too
        ready_cache(folder, ROOM)
        from .prepare import invert_portrait

        return invert_portrait(portrait, settings, key, folder, report)

    def head(self, settings: HeadSettings, report: Report) -> FittedHead:
        from ..embedded import FIT_ROLES

        refuse_framing(settings, OWN_FRAME)
        photo = portrait_seed(settings.portrait) is None
        need_imported((*ALWAYS, "face_regressor") if photo else ALWAYS)
        need(FIT_ROLES)  # the mesh is the embedded set's
        identity(settings.portrait)
        ready_cache(avatar_folder())
        from .head import fit_mesh

        return fit_mesh(settings, report)

    def curves(self, audio: np.ndarray, settings: CurvesSettings, frames: int, device: str) -> ExpressionTrack:
        need_imported(("speech_expression", "face_model"))
        from .drive import arkit_curves

        return arkit_curves(audio, settings, frames, device)

    def perform(self, avatar: Avatar, shot: Shot, inputs: Inputs, device: str) -> OfficialPerformance:
        from .performance import OfficialPerformance

        return OfficialPerformance(avatar, shot, inputs, device)
