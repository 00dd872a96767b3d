"""What a scene's frames say: the head as the camera sees it, the shape keys, the sliders of the face.

The scene is evaluated on each frame, so keys, constraints, drivers, parents and the NLA all count. Only a few frames
are evaluated at a time, and the user's own frame, with what is posed and not keyed on it, is put back before Blender
has its turn.
"""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import bpy
from mathutils import Matrix

from ..core.elocute.errors import BadInput
from ..core.elocute.units import ARKIT_NAMES
from . import shots, unkeyed
from .curves import LONGEST_SMOOTHING, Amounts, reach

SLICE_SECONDS = 0.01  # of frames between two turns of Blender's
MIRRORED = "{} is mirrored or flat (a scale of 0 or below, its own or a parent's). Make its scale positive"


@dataclass(frozen=True)
class Look:
    """The head before the camera: `head_to_camera` 16 numbers row by row, metres, without scale; field of view in
    degrees and shift, in its sides, of the square in the middle of the camera's picture."""

    head_to_camera: tuple[float, ...]
    fov_y_deg: float
    shift: tuple[float, float]


@dataclass
class Samples:
    """One entry for each frame. `keys` has a column for each expression unit among the head's shape keys."""

    looks: list[Look] = field(default_factory=list)
    amounts: list[Amounts] = field(default_factory=list)
    keys: dict[str, array] = field(default_factory=dict)


def sample(ref: shots.Ref, frames: range) -> Iterator[Samples | int]:
    """Evaluate `frames` of the timeline. Yields how many are done between slices, and the `Samples` last.

    Raises BadInput when the shot, its head or its camera are gone or can't be used.
    """
    out = Samples()
    done = 0
    while done < len(frames):
        with _Frame(*_scenes(ref)) as at:
            end = math.inf
            while done < len(frames) and time.perf_counter() < end:
                at.set(frames[done])
                _take(ref, out)
                done += 1
                if not at.changes:  # nothing moves: the other frames are the same
                    _repeat(out, len(frames) - done)
                    done = len(frames)
                if end == math.inf:  # the first evaluates the whole scene, and may take longer than all others
                    end = time.perf_counter() + (1.0 if bpy.app.background else SLICE_SECONDS)
        yield done
    yield out


def margin(shot: Any, scene: bpy.types.Scene, fps: float) -> int:
    """How many frames around a range its smoothed curves depend on."""
    most = LONGEST_SMOOTHING if shots.has_animated_sliders(scene) else shot.smoothing
    return reach(most * fps / 2) if most else 0


def unbaked(scene: bpy.types.Scene, shot: Any) -> list[str]:
    """What to warn of: a simulation goes on from one frame to the next only as long as nobody looks at others between
    them, so that head and camera would stand still where one moves them."""
    world = shots.stage(scene, shot).rigidbody_world if shots.uses_objects(shot) else None
    if world is None or not world.enabled or world.point_cache.is_baked:
        return []
    bodies = [obj for obj in _leads([shot.head, shots.camera(scene, shot)]) if obj.rigid_body is not None]
    moved = [obj.name for obj in bodies if obj.rigid_body.type == "ACTIVE" and not obj.rigid_body.kinematic]
    text = "{}: its rigid body simulation is not baked, so it may stand still. Bake it under Scene > Rigid Body World"
    return [text.format(", ".join(moved))] if moved else []


def _leads(objects: list[Any]) -> list[Any]:
    """Some objects (None: none), and those that they hang on or are constrained to."""
    found: list[Any] = []
    waiting = list(objects)
    while waiting:
        obj = waiting.pop()
        if obj is not None and obj not in found:
            found.append(obj)
            waiting += [obj.parent, *(getattr(constraint, "target", None) for constraint in obj.constraints)]
    return found


def _scenes(ref: shots.Ref) -> tuple[list[bpy.types.Scene], bool]:
    """The scenes to evaluate, and whether anything of them can change from frame to frame."""
    scene, shot = ref.find()
    objects = shots.uses_objects(shot) or shots.face_from_keys(shot)
    stage = shots.stage(scene, shot) if objects else scene
    return list(dict.fromkeys([scene, stage])), objects or shots.has_animated_sliders(scene)


class _Frame:
    """Goes to frames of some scenes and comes back."""

    def __init__(self, scenes: list[bpy.types.Scene], changes: bool) -> None:
        self.scenes, self.changes = scenes, changes
        self._before = [math.modf(scene.frame_current + scene.frame_subframe) for scene in scenes]
        self._values = unkeyed.values(scenes) if changes else []
        self._cameras = [scene.camera for scene in scenes]  # markers choose others
        self._moved = False

    def __enter__(self) -> _Frame:
        return self

    def set(self, frame: int) -> None:
        for scene in self.scenes if self.changes else ():
            if not self._moved:
                scene.update_tag()  # Blender does not notice every change of an add-on's properties
            scene.frame_set(frame)
            self._moved = True

    def __exit__(self, *failure: object) -> None:
        if self._moved:
            for scene, (subframe, frame) in zip(self.scenes, self._before, strict=True):
                low = subframe < 0  # of frames below 0 too, Blender wants what is to be added
                scene.frame_set(int(frame) - low, subframe=subframe + low)
            for scene, camera in zip(self.scenes, self._cameras, strict=True):
                if scene.camera != camera and scene.library is None:
                    scene.camera = camera
            unkeyed.put_back(self._values)


def _repeat(samples: Samples, count: int) -> None:
    samples.looks += samples.looks[-1:] * count
    samples.amounts += samples.amounts[-1:] * count
    for column in samples.keys.values():
        column.extend(column[-1:] * count)


def _take(ref: shots.Ref, samples: Samples) -> None:
    """One frame, at which the scenes are now."""
    scene, shot = ref.find()
    samples.amounts.append(_amounts(scene, shot))
    if not shots.uses_objects(shot) and not shots.face_from_keys(shot):
        return
    stage = shots.stage(scene, shot)
    if shots.uses_objects(shot):
        camera = shots.camera(scene, shot)
        if shot.head is None or camera is None:
            raise BadInput("head_missing", "The head or its camera is gone. Choose both under Head and Camera")
        samples.looks.append(look(_depsgraph(stage, [shot.head, camera]), shot.head, camera))
    if shots.face_from_keys(shot):
        _take_keys(_depsgraph(stage, [shot.head]), shots.shape_keys(shot.head), samples)


def _amounts(scene: bpy.types.Scene, shot: Any) -> Amounts:
    """The sliders as evaluated now: Blender copies that back to the scene's own values only where it is on screen."""
    now = shot
    if shots.has_animated_sliders(scene):
        index = list(scene.elocute.shots).index(shot)
        now = scene.evaluated_get(scene.view_layers[0].depsgraph).elocute.shots[index]
    return Amounts(now.expression, now.blinks, now.gaze, now.smoothing)


def _depsgraph(stage: bpy.types.Scene, objects: list[Any]) -> bpy.types.Depsgraph:
    """That of the first view layer which has the objects: only there they are evaluated."""
    for layer in stage.view_layers:
        if all(shots.has(layer.objects, obj) for obj in objects):
            for obj in objects:
                if obj.hide_viewport or not _enabled(layer.layer_collection, obj):
                    text = f"{obj.name} is disabled in viewports, so nothing moves it. Enable it in the Outliner"
                    raise BadInput("head_disabled", text)
            return layer.depsgraph
    for obj in objects:
        if shots.is_deleted(obj):
            raise BadInput("head_missing", f"{obj.name} was deleted. Choose another under Head and Camera")
    names = " and ".join(obj.name for obj in objects)
    text = f"{names}: no view layer of the scene {stage.name} has them. Include their collection"
    raise BadInput("head_excluded", text)


def _enabled(layer: bpy.types.LayerCollection, obj: Any) -> bool:
    """Whether a collection that is not disabled in viewports has an object; hidden with H is another thing."""
    if layer.collection.hide_viewport:
        return False
    here = not layer.exclude and shots.has(layer.collection.objects, obj)
    return here or any(_enabled(child, obj) for child in layer.children)


def look(depsgraph: bpy.types.Depsgraph, head: Any, camera: Any) -> Look:
    """The head before the camera, as evaluated now. A scaled head is one that is as much nearer, so it is taken at
    its true size, at a distance that looks the same."""
    seen, head_now = camera.evaluated_get(depsgraph), head.evaluated_get(depsgraph)
    if camera.type != "CAMERA" or seen.data.type != "PERSP":  # a scene's camera may be any object
        raise BadInput("camera_type", f"The camera {camera.name} is not a perspective camera. Change its lens type")
    place, turn, scale = head_now.matrix_world.decompose()
    eye, gaze, seen_scale = seen.matrix_world.decompose()
    if min(scale) <= 0:
        raise BadInput("head_mirrored", MIRRORED.format(head.name))
    if min(seen_scale) < 0:
        raise BadInput("camera_mirrored", MIRRORED.format(camera.name))
    back = gaze.inverted()
    matrix = (back @ turn).to_matrix().to_4x4()
    matrix.translation = back @ (place - eye) / ((scale.x * scale.y * scale.z) ** (1 / 3))
    return Look(_flat(matrix), *_square(seen, depsgraph))


def _square(camera: Any, depsgraph: bpy.types.Depsgraph) -> tuple[float, tuple[float, float]]:
    """Field of view and shift of the largest square in the middle of what a camera shows in the scene's format: there
    the sequencer fits in the frames, so that a render of the same camera lies beneath them to the pixel."""
    render: Any = depsgraph.scene.render
    width, height = shots.picture(depsgraph.scene)
    lens = camera.calc_matrix_camera(
        depsgraph, x=render.resolution_x, y=render.resolution_y,
        scale_x=render.pixel_aspect_x, scale_y=render.pixel_aspect_y,
    )  # fmt: skip
    wider, higher = width / min(width, height), height / min(width, height)
    return math.degrees(2 * math.atan(1 / (lens[1][1] * higher))), (lens[0][2] * wider / 2, lens[1][2] * higher / 2)


def _flat(matrix: Matrix) -> tuple[float, ...]:
    return tuple(value for row in matrix for value in row)


def _take_keys(depsgraph: bpy.types.Depsgraph, keys: Any, samples: Samples) -> None:
    now = keys.evaluated_get(depsgraph).key_blocks
    for block in now:
        if block.name not in ARKIT_NAMES:
            continue
        column = samples.keys.setdefault(block.name, array("d", [0.0]) * (len(samples.amounts) - 1))
        column.append(0.0 if block.mute else block.value)
