"""Speech to Keys on a bare head, without the engine: what people keyed stays, whatever becomes of the job."""

from array import array

import bpy
import pytest
from conftest import part

PATH = 'key_blocks["jawOpen"].value'


@pytest.fixture
def keys():
    """The shape keys of a cube with two of the units."""
    cube = bpy.data.objects["Cube"]
    for name in ("Basis", "jawOpen", "mouthClose"):
        cube.shape_key_add(name=name)
    return cube.data.shape_keys


def speak(curve, frames, value=0.5):
    count = frames[1] - frames[0] + 1
    part("addon.keys")._key(curve, array("d", [value * (i % 2) for i in range(count)]), frames)


def told(key):
    names = part("addon.keys").PARTS
    return {name: (value if isinstance(value, (str, float)) else tuple(value))
            for name in names for value in [getattr(key, name)]}  # fmt: skip


def test_keys_outside_the_spoken_frames_stay_as_they_are(keys):
    action = bpy.data.actions.new("Speech")
    ours = part("addon.compat").Curves(action, keys, create=True)
    ours.assign()
    curve = ours.ensure(PATH, "Speech")
    speak(curve, (10, 20))
    for frame, value in ((1, 0.2), (100, 0.3), (120, 0.6)):
        curve.keyframe_points.insert(frame, value)
    first, sine, free = (next(k for k in curve.keyframe_points if k.co.x == frame) for frame in (1, 100, 120))
    first.interpolation, first.easing, first.back = "BACK", "EASE_OUT", 2.5
    sine.interpolation, sine.type = "SINE", "BREAKDOWN"
    free.interpolation, free.handle_left_type, free.handle_right_type = "BEZIER", "FREE", "FREE"
    free.handle_left, free.handle_right = (110.0, 0.1), (140.0, 3.0)
    curve.update()
    before = {key.co.x: told(key) for key in curve.keyframe_points if not 9 <= key.co.x <= 21}

    speak(curve, (10, 20), 0.8)
    after = {key.co.x: told(key) for key in curve.keyframe_points if not 9 <= key.co.x <= 21}
    assert after == before and len(before) == 3
    spoken = [key for key in curve.keyframe_points if 9 <= key.co.x <= 21]
    assert [round(key.co.y, 5) for key in spoken] == [0, *[0, 0.8] * 5, 0, 0]
    assert {key.interpolation for key in spoken} == {"LINEAR"}
