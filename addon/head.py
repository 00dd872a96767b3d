"""Add Head: the fitted head as a mesh with the portrait projected on it, 52 shape keys and a camera that frames it."""

from __future__ import annotations

import json
import math
import sys
from array import array
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import bpy
from mathutils import Matrix, Vector

from ..core.elocute.errors import BadInput
from . import shots
from .tasks import Ask, Task

STRONGEST_KEY = 1.5  # what the engine still shows
KEYS_BETWEEN_TURNS = 4
SENSOR_MM = 24.0
CAMERA_SIZE = 0.1  # metres, as drawn: the head is as small as a head
# What the projected portrait doesn't show well gets a colour of its own, linear.
PLAIN = {"teeth": (0.75, 0.7, 0.62), "tongue": (0.42, 0.12, 0.1), "mouth": (0.12, 0.03, 0.03)}


def add(ref: shots.Ref, folder: Path, at: Vector, task: Task) -> Generator[Ask | None, Any, str]:
    """Steps of adding the head of a shot at a place in its scene; returns the object's name."""
    _, shot = ref.find()
    folder.mkdir(parents=True, exist_ok=True)
    task.at("Fitting the head")
    settings = {
        "portrait": shots.portrait(shot, folder), "output": str(folder), "device": shot.device,
        "model_set": shot.model_set,
    }  # fmt: skip
    yield Ask("head", settings)
    made = _Head(folder)
    task.at("Building the head")
    scene, shot = ref.find()
    name = f"{shot.name} Head"
    head = made.build(name)
    scene.collection.objects.link(head)
    head.location = at
    kept = head.name
    for _ in made.add_shape_keys(head):
        yield
        head = bpy.data.objects.get(kept)
        if head is None:
            raise BadInput("head_missing", "The new head was removed while it was made. Add it again")
    scene, shot = ref.find()
    camera = made.camera(f"{shot.name} Camera", head)
    scene.collection.objects.link(camera)
    shot.head, shot.camera, shot.motion = head, camera, "OBJECTS"
    if scene.camera is None:
        scene.camera = camera
    task.message = f"{head.name} and {camera.name} are in the scene {scene.name}"
    return kept


class _Head:
    """What the engine wrote: head.json, head.bin, texture.png."""

    def __init__(self, folder: Path) -> None:
        """Raises BadInput head_unreadable."""
        self.folder = folder
        try:
            self.about = json.loads((folder / "head.json").read_text(encoding="utf-8"))
            self._data = (folder / "head.bin").read_bytes()
            self.vertices = self._array("f", "vertices", 3)
            self.triangles = self._array("i", "triangles", 3)
        except (OSError, ValueError, KeyError, TypeError) as error:
            text = f"The engine's head can't be read ({error}). Add the head again"
            raise BadInput("head_unreadable", text) from None

    def _array(self, kind: str, name: str, width: int) -> array:
        return self._at(kind, self.about[name], width)

    def _at(self, kind: str, entry: Any, width: int) -> array:
        offset, count = entry["offset"], entry["count"] * width
        out = array(kind)
        out.frombytes(self._data[offset : offset + 4 * count])
        if len(out) != count:
            raise ValueError("head.bin is too short")
        if sys.byteorder == "big":
            out.byteswap()
        return out

    def build(self, name: str) -> bpy.types.Object:
        """The mesh object, with material and without shape keys."""
        mesh = bpy.data.meshes.new(name)
        vertices, faces = len(self.vertices) // 3, len(self.triangles) // 3
        mesh.vertices.add(vertices)
        mesh.vertices.foreach_set("co", self.vertices)
        mesh.loops.add(3 * faces)
        mesh.loops.foreach_set("vertex_index", self.triangles)
        mesh.polygons.add(faces)
        mesh.polygons.foreach_set("loop_start", range(0, 3 * faces, 3))
        mesh.polygons.foreach_set("use_smooth", [True] * faces)
        materials = self._array("i", "materials", 1)
        for label in self.about["materials"]["names"]:
            mesh.materials.append(self._material(name, label))
        mesh.polygons.foreach_set("material_index", materials)
        uv = self._array("f", "uv", 2)
        layer = mesh.uv_layers.new(name="Portrait")
        corners = array("f", (uv[2 * v + i] for v in self.triangles for i in (0, 1)))
        layer.uv.foreach_set("vector", corners)
        mesh.update()
        mesh.validate()
        return bpy.data.objects.new(name, mesh)

    def add_shape_keys(self, head: bpy.types.Object) -> Iterator[None]:
        """All keys, resting at 0. Yields between a few."""
        name = head.name
        head.shape_key_add(name="Basis", from_mix=False)
        for number, (unit, entry) in enumerate(self.about["shape_keys"].items()):
            deltas = self._at("f", entry, 3)
            block = bpy.data.objects[name].shape_key_add(name=unit, from_mix=False)
            block.slider_max = STRONGEST_KEY
            block.data.foreach_set("co", array("f", map(float.__add__, self.vertices, deltas)))
            block.value = 0.0
            if number % KEYS_BETWEEN_TURNS == KEYS_BETWEEN_TURNS - 1:
                yield

    def camera(self, name: str, head: bpy.types.Object) -> bpy.types.Object:
        """A camera that frames the head as the photo does: the whole square shows whatever the scene's format is."""
        seen = self.about["camera"]
        data = bpy.data.cameras.new(name)
        data.sensor_fit = "VERTICAL"
        data.sensor_height = SENSOR_MM
        data.lens = SENSOR_MM / 2 / math.tan(math.radians(seen["fov_y_deg"]) / 2)
        data.shift_x, data.shift_y = seen["shift"]
        data.clip_start, data.display_size = 0.01, CAMERA_SIZE
        rows = [seen["head_to_camera"][i : i + 4] for i in range(0, 16, 4)]
        camera = bpy.data.objects.new(name, data)
        camera.matrix_world = Matrix.Translation(head.location) @ Matrix(rows).inverted()
        data.show_background_images = True
        picture = data.background_images.new()
        picture.image, picture.display_depth, picture.alpha = self._texture(), "BACK", 1.0
        return camera

    def _texture(self) -> bpy.types.Image:
        return bpy.data.images.load(str(self.folder / "texture.png"), check_existing=True)

    def _material(self, name: str, label: str) -> bpy.types.Material:
        """Self-lit, since the photo's light is in the photo."""
        material = bpy.data.materials.new(f"{name} {label}")
        material.use_nodes = True
        nodes, links = material.node_tree.nodes, material.node_tree.links
        nodes.clear()
        out, light = nodes.new("ShaderNodeOutputMaterial"), nodes.new("ShaderNodeEmission")
        out.location, light.location = (300, 0), (100, 0)
        links.new(light.outputs["Emission"], out.inputs["Surface"])
        if label in PLAIN:
            material.diffuse_color = light.inputs["Color"].default_value = (*PLAIN[label], 1.0)
            return material
        picture = nodes.new("ShaderNodeTexImage")
        picture.image, picture.location, picture.extension = self._texture(), (-250, 0), "EXTEND"
        links.new(picture.outputs["Color"], light.inputs["Color"])
        nodes.active = picture  # what the solid view shows as texture
        return material
