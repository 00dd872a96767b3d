"""The dark line between lips and lids that meet: there when the photo has none, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from elocute.head.avatar import AvatarHead
from elocute.head.contact import DARKEST
from elocute.head.model import HeadModel
from elocute.values import Camera, HeadFit

Make = Callable[..., np.ndarray]
CAMERA = Camera(512, 512, 1000.0, 256.0, 256.0, np.eye(4))


@pytest.fixture()
def photographed_with(model: HeadModel, units: Make) -> Callable[..., AvatarHead]:
    fit = HeadFit(
        camera=CAMERA, pose=(0.0, 0.0, 0.0), residual=(0.0, 0.0), identity=np.zeros(len(model.identity_names)),
        expression=units(), offsets=np.zeros_like(model.base),
    )  # fmt: skip
    return lambda **shown: AvatarHead(model, replace(fit, expression=units(**shown)))


def test_the_photos_own_face_lacks_no_light(photographed_with: Callable[..., AvatarHead], units: Make) -> None:
    for shown in ({}, {"jawOpen": 0.5}, {"eyeBlinkBoth": 1.0}):
        head = photographed_with(**shown)
        assert not head.contact(head.surface(units(**shown))).any(), shown


def test_lips_that_close_and_were_open_have_a_line(photographed_with: Callable[..., AvatarHead], units: Make) -> None:
    head = photographed_with(jawOpen=0.4)
    shut, apart = (head.contact(head.surface(units(**now))) for now in ({}, {"jawOpen": 0.2}))
    lips = head.model.seams["lips"]
    assert shut[lips.upper[3:-3]].min() > 0.3 and shut[lips.lower[3:-3]].min() > 0.3
    assert shut.max() <= DARKEST
    far = np.linalg.norm(head.neutral[:, None] - head.neutral[lips.upper][None], axis=2).min(1) > 0.006
    assert not shut[far].any()
    assert apart[lips.upper[3:-3]].max() == 0


def test_lips_that_were_closed_bring_their_own(photographed_with: Callable[..., AvatarHead], units: Make) -> None:
    head = photographed_with()
    lips = head.model.seams["lips"]
    assert head.contact(head.surface(units(mouthPressBoth=1.0)))[lips.upper].max() < 0.1
    lid = head.model.seams["lids_left"]
    assert head.contact(head.surface(units(eyeBlinkLeft=1.0)))[lid.upper[1:-1]].mean() > 0.3


def test_a_turn_of_the_head_changes_nothing(photographed_with: Callable[..., AvatarHead], units: Make) -> None:
    head = photographed_with(jawOpen=0.4)
    shape = head.surface(units())
    turn = Rotation.from_euler("xyz", (20, 30, 10), degrees=True).as_matrix()
    assert np.abs(head.contact(shape @ turn.T + 0.5) - head.contact(shape)).max() < 1e-4
