"""Frames of one avatar: what is copied from an earlier frame is what would have been rendered."""

from __future__ import annotations

import gc
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import example as example_case
from hypothesis import strategies as st

from elocute.rendering.renderer import Renderer
from elocute.shooting import Shooting
from elocute.values import ARKIT_NAMES

SIDE = 192
FRONT, TURNED = (0.0, 0.0, 0.0), (0.12, -0.08, 0.05)


def changed(own: np.ndarray, **named: float) -> np.ndarray:
    """The portrait's own expression with some units set; `Both` at the end of a name means left and right."""
    values = own.astype(np.float32).copy()
    for name, value in named.items():
        for side in ("Left", "Right") if name.endswith("Both") else ("",):
            values[ARKIT_NAMES.index(name.removesuffix("Both") + side)] = value
    return values


@pytest.fixture(scope="module")
def own(example: Any) -> np.ndarray:
    return example.scene.fit.expression


@pytest.fixture(scope="module")
def faces(own: np.ndarray) -> list[np.ndarray]:
    return [
        own, np.zeros(52, np.float32), changed(own, jawOpen=0.7, mouthFunnel=0.3), changed(own, eyeBlinkBoth=1.0),
        changed(own, eyeLookOutLeft=0.5, eyeLookInRight=0.5), changed(own, browInnerUp=1.0),
        changed(own, mouthSmileBoth=0.8, cheekSquintBoth=0.6, jawOpen=0.2), changed(own, mouthPressBoth=0.5),
    ]  # fmt: skip


def shooting(stored: Any, background: str = "keep", side: int = SIDE, device: str = "cpu") -> Shooting:
    return Shooting(stored, side, background, device, 256)


@pytest.fixture(scope="module")
def full(stored: Any) -> Any:
    """full(expression, pose, background): the frame rendered whole."""
    whole: dict[str, Shooting] = {}

    def frame(expression: np.ndarray, pose: tuple[float, float, float], background: str = "keep") -> np.ndarray:
        if background not in whole:
            whole[background] = shooting(stored, background)
            whole[background].incremental = False
        return whole[background].frame(expression, np.array(pose))

    return frame


@pytest.mark.parametrize("background", ["keep", "transparent", "#336699"])
def test_a_frame_does_not_depend_on_the_frames_before(
    stored: Any, faces: list[np.ndarray], full: Any, background: str
) -> None:
    running = shooting(stored, background)
    for pose in (FRONT, TURNED, FRONT, (-0.3, 0.1, 0.0)):
        for expression in faces if background == "keep" else faces[:3]:
            frame = running.frame(expression, np.array(pose))
            np.testing.assert_array_equal(frame, full(expression, pose, background))


def test_a_neck_that_a_jaw_uncovers_is_shaded_anew(
    stored: Any, own: np.ndarray, full: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where nothing else of it has changed."""
    head = stored.motion.head
    neck = np.clip(4 * head.model.regions["neck"], 0, 1).astype(np.float32)
    shut = changed(own, browInnerUp=0.5)
    with monkeypatch.context() as patch:
        patch.setattr(head, "uncovered", lambda expression: neck * np.float32((expression == shut).all()))
        running = shooting(stored)
        for expression in (own, shut, own, shut):
            np.testing.assert_array_equal(running.frame(expression, np.array(FRONT)), full(expression, FRONT))
        bare = full(shut, FRONT)
    assert (bare != full(shut, FRONT)).any(), "this portrait has a neck that can be uncovered"


def test_a_frame_is_the_same_by_another_renderer(stored: Any, faces: list[np.ndarray], full: Any) -> None:
    for expression in faces[1:3]:
        np.testing.assert_array_equal(shooting(stored).frame(expression, np.array(TURNED)), full(expression, TURNED))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32 - 1), st.floats(-0.5, 0.5), st.floats(-0.3, 0.3))
@example_case(160, 0.5, 0.125)  # turned, cheeks and nose magnified: a stretch reaches past the moved triangles
def test_few_units_after_each_other(
    stored: Any, own: np.ndarray, full: Any, seed: int, yaw: float, pitch: float
) -> None:
    rng = np.random.default_rng(seed)
    pose = (yaw, pitch, 0.0)
    running = shooting(stored)
    for _ in range(3):  # few units at a time, so that little moves and much is copied
        expression = own.astype(np.float32).copy()
        some = rng.choice(52, rng.integers(1, 4), replace=False)
        expression[some] = rng.random(len(some))
        frame = running.frame(expression, np.array(pose))
        assert np.array_equal(frame, full(expression, pose))


def test_little_is_rendered_where_little_moves(stored: Any, own: np.ndarray) -> None:
    running, boxes = shooting(stored), []
    render = running.renderer.render

    def watched(moved: np.ndarray, box: Any, *more: float) -> Any:
        boxes.append(box)
        return render(moved, box, *more)

    running.renderer.render = watched  # type: ignore[method-assign]
    for expression in (own, changed(own, eyeBlinkBoth=1.0), own):
        running.frame(expression, np.zeros(3))
    assert boxes[0] is None and len(boxes) == 2, "an expression that is the base's needs no rendering at all"
    x0, y0, x1, y1 = boxes[1]
    assert (x1 - x0) * (y1 - y0) < 0.5 * SIDE * SIDE


def test_a_frame_that_is_handed_out_is_the_callers(stored: Any, own: np.ndarray) -> None:
    running = shooting(stored)
    first = running.frame(own, np.zeros(3))
    kept = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(running.frame(own, np.zeros(3)), kept)


def test_the_first_frame_is_the_portrait(example: Any, stored: Any, own: np.ndarray) -> None:
    frame = shooting(stored, side=512).frame(own, np.zeros(3))
    assert frame.shape == (512, 512, 3) and frame.dtype == np.uint8
    face = example.scene.regions["skin"] > 0.9
    assert np.abs(frame / 255 - example.scene.photo)[face].mean() < 0.01
    empty = example.scene.matte == 0
    assert np.abs(frame.astype(int) - stored.background)[empty].mean() < 1


def test_transparent_frames_composite_back(stored: Any, faces: list[np.ndarray], full: Any) -> None:
    """Straight alpha over the portrait's own background is the frame that kept it."""
    for expression, pose in ((faces[0], FRONT), (faces[2], TURNED)):
        kept = full(expression, pose, "keep")
        clear = full(expression, pose, "transparent")
        assert clear.shape == (SIDE, SIDE, 4)
        alpha = clear[..., 3:] / 255
        behind = shooting(stored)._backdrop * 255
        composed = clear[..., :3] * alpha + (1 - alpha) * behind
        off = np.abs(np.round(composed) - kept)
        assert off.max() <= 2 and (off > 1).mean() < 1e-4
        assert (clear[..., 3] == 0).mean() > 0.1 and (clear[..., 3] == 255).mean() > 0.2


def test_straight_alpha_is_not_darkened(faces: list[np.ndarray], full: Any) -> None:
    """Half covered pixels have the person's own colour: over that same colour no edge is seen."""
    clear = full(faces[0], FRONT, "transparent").astype(float)
    soft = (clear[..., 3] > 100) & (clear[..., 3] < 155)
    solid = clear[..., 3] == 255
    assert soft.sum() > 50
    from scipy import ndimage

    nearest = ndimage.distance_transform_edt(~solid, return_distances=False, return_indices=True)
    beside = clear[nearest[0], nearest[1], :3]
    darker = (beside - clear[..., :3]).mean(2)[soft]
    assert np.median(darker) < 12, "colours fall towards the outline as premultiplied ones do"


def test_a_plain_background_is_that_colour(faces: list[np.ndarray], full: Any) -> None:
    clear = full(faces[0], FRONT, "transparent")
    for text, colour in (("#336699", (0x33, 0x66, 0x99)), ("#FFffff", (255, 255, 255)), ("#000000", (0, 0, 0))):
        frame = full(faces[0], FRONT, text)
        assert (frame[clear[..., 3] == 0] == colour).all()
        solid = clear[..., 3] == 255
        assert np.abs(frame[solid].astype(int) - clear[..., :3][solid]).max() <= 1


@pytest.mark.parametrize("side", [64, 97, 512, 640])
def test_every_size_is_the_same_picture(stored: Any, own: np.ndarray, full: Any, side: int) -> None:
    import cv2

    frame = shooting(stored, side=side).frame(own, np.zeros(3))
    assert frame.shape == (side, side, 3)
    both = frame, full(own, FRONT)
    small = [cv2.resize(f, (32, 32), interpolation=cv2.INTER_AREA).astype(int) for f in both]
    assert np.abs(small[0] - small[1]).mean() < 4


def test_presence_and_the_turn_reach_the_renderer(stored: Any, own: np.ndarray) -> None:
    told: list[tuple[float, float]] = []
    running = shooting(replace(stored, around=None))
    render = running.renderer.render
    running.renderer.render = lambda m, b, p, t, d: told.append((p, float(t[-1]))) or render(m, b, p, t, d)  # type: ignore
    expressions = own, changed(own, jawOpen=0.5), np.zeros(52, np.float32)
    for expression in expressions:
        running.frame(expression, np.zeros(3))
    assert told == [(stored.motion.head.presence(e), 0) for e in expressions]
    for yaw in (0.03, 0.06, -0.06, 0.15, 0.3):
        running.frame(own, np.array([yaw, 0, 0]))
    assert 0 < told[3][1] < told[4][1] == told[5][1] < told[6][1] == 1
    presences = [p for p, _ in told[3:]]
    assert 1 > presences[0] > presences[1] > presences[3] > presences[4] == 0, "the photo's mouth stays in front"
    assert presences[3] > 0.1, "longer than the outline does"
    running.frame(own, np.array([0, 0, 0.2]))
    assert told[-1] == (1, 1), "a tilt shows it from the same side"


@pytest.mark.slow
def test_tensors_make_nearly_the_same_frame(stored: Any, faces: list[np.ndarray]) -> None:
    """What runs on other devices, here on the CPU: whole frames by tensor operations."""
    by_tensors, reference = shooting(stored, side=512), shooting(stored, side=512)
    by_tensors.incremental = False
    by_tensors.renderer = Renderer(stored.shells, 512, "cpu:0", 256)
    a, b = (s.frame(faces[2], np.array(TURNED)).astype(int) for s in (by_tensors, reference))
    assert np.abs(a - b).mean() < 0.7 and np.quantile(np.abs(a - b), 0.99) < 8


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_does_not_grow(stored: Any, own: np.ndarray) -> None:
    def resident() -> float:
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    running = shooting(stored, side=128)

    def roll(frames: int) -> None:
        for k in range(frames):
            pose = np.array([0.01 * (k // 3), 0, 0])
            running.frame(changed(own, jawOpen=0.1 * (k % 3)), pose)

    roll(10)
    before = resident()
    roll(30)
    assert resident() - before < 8


def test_a_field_of_another_resolution_fits(stored: Any, own: np.ndarray) -> None:
    """The background is resized from its own side, whatever that is."""
    coarse = replace(stored, background=stored.background[::2, ::2])
    assert shooting(coarse).frame(own, np.zeros(3)).shape == (SIDE, SIDE, 3)
