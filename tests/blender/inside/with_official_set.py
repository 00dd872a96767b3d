"""The head of the official set as an object; run where its models are imported (random weights will do)."""

import math

import bpy
import pytest
from conftest import part


def test_the_head_stands_before_the_sets_own_camera(scene):
    shot = scene.elocute.shots[0]
    shot.model_set = "nerffacespeech"
    assert bpy.ops.elocute.add_head() == {"FINISHED"}, part("addon.tasks").tasks[-1].message
    assert len(shot.head.data.shape_keys.key_blocks) == 53
    assert math.degrees(shot.camera.data.angle_y) == pytest.approx(12, abs=0.1)
    assert (shot.camera.data.shift_x, shot.camera.data.shift_y) == (0, 0)
    there = shot.camera.matrix_world.inverted() @ shot.head.matrix_world
    assert there.translation.z < -0.9 and abs(there.translation.x) < 0.1, "the generator's is far away and narrow"


def test_a_random_identity_that_shows_no_face_is_told_so(scene):
    """Of random weights nobody's face comes."""
    shot = scene.elocute.shots[0]
    shot.model_set, shot.portrait_source, shot.identity = "nerffacespeech", "RANDOM", 3
    before = set(bpy.data.objects)
    assert bpy.ops.elocute.add_head() == {"CANCELLED"}
    task = part("addon.tasks").tasks[-1]
    assert task.code and "face" in task.message, (task.code, task.message)
    assert set(bpy.data.objects) == before
