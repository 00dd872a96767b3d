"""Add Head: the fitted head as a mesh with the portrait projected on it, 52 shape keys and a camera that frames it."""

from __future__ import annotations

import json
import math
import sys
from array import array
from collections.abc import Generator
from pathlib import Path
from typing import Any

import bpy
from mathutils import Matrix, Vector

from ..core.elocute.errors import BadInput
from . import drafts, shots
from .task import Ask, Task

STRONGEST_KEY = 1.5  # what the engine still shows
SENSOR_MM = 24.0
CAMERA_SIZE = 0.1  # metres, as drawn: the head is as small as a head
FILL = "Fill"  # colour attribute: what the portrait doesn't show; its alpha is the portrait's share


def add(ref: shots.Ref, folder: Path, stage: str, at: Vector, task: Task) -> Generator[Ask | None, Any, str]:
    """Steps of adding the head of a shot at a place of the scene `stage`; returns the object's name."""
    _, shot = ref.find()
    folder.mkdir(parents=True, exist_ok=True)
    task.at("Fitting the head")
    settings = {
        "portrait": shots.portrait(shot, folder), "output": str(folder), "device": shot.device,
        "model_set": shot.model_set, "framing": shots.framing(shot),
    }  # fmt: skip
    yield Ask("head", settings)
    task.at("Building the head")  # in steps of some ten milliseconds: Blender stays responsive
    yield
    made = _Head(folder)
    yield
    corners = made.corners()
    yield
    colours = made.colours()
    yield
    mark = drafts.new_mark()
    try:
        made.load_texture(f"{ref.find()[1].name} Head", mark)
        yield
        _, shot = ref.find()
        head = made.build(f"{shot.name} Head")
        drafts.begin(head, mark)
        head.location = at
        yield
        made.dress(_still_there(mark), _portrait(mark), corners, colours)
        for number in range(len(made.about["shape_keys"])):
            task.at("Building the head", number, len(made.about["shape_keys"]))
            yield
            made.add_shape_key(_still_there(mark), number)
        scene, shot = _places(ref, stage)
        head, portrait = _still_there(mark), _portrait(mark)
    except BaseException:  # stopped too: half a head is of no use
        _discard(mark)
        raise
    for block in (head, portrait):
        drafts.finish(block)
    width, height = shots.picture(scene)
    camera = made.camera(f"{shot.name} Camera", head, portrait, upright=width < height)
    for made_object in (head, camera):
        scene.collection.objects.link(made_object)
    shot.head, shot.camera, shot.motion = head, camera, "OBJECTS"
    if scene.camera is None:
        scene.camera = camera
    task.message = f"{head.name} and {camera.name} are in the scene {scene.name}"
    return str(head.name)


def _discard(mark: str) -> None:
    """Remove an unfinished head with all that was made for it."""
    head = drafts.find(bpy.data.objects, mark)
    if head is not None:
        mesh: Any = head.data
        materials = list(mesh.materials)
        bpy.data.objects.remove(head)
        bpy.data.meshes.remove(mesh)
        for material in materials:
            bpy.data.materials.remove(material)
    image = drafts.find(bpy.data.images, mark)
    if image is not None and not image.users:
        bpy.data.images.remove(image)


def _places(ref: shots.Ref, stage: str) -> tuple[bpy.types.Scene, Any]:
    """The scene that gets the head, and the shot, which can be another scene's."""
    scene, shot = ref.find()
    return bpy.data.scenes.get(stage, scene), shot


def _still_there(mark: str) -> bpy.types.Object:
    return _draft(bpy.data.objects, mark)


def _portrait(mark: str) -> bpy.types.Image:
    return _draft(bpy.data.images, mark)


def _draft(blocks: Any, mark: str) -> Any:
    found = drafts.find(blocks, mark)
    if found is None:
        raise BadInput("head_missing", "The new head was removed while it was made. Add it again")
    return found


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

    def corners(self) -> array:
        """Where the portrait shows each triangle's corners."""
        uv = self._array("f", "uv", 2)
        return array("f", (uv[2 * v + i] for v in self.triangles for i in (0, 1)))

    def colours(self) -> array:
        """Each vertex's colour where the portrait doesn't show it."""
        colours = self._array("f", "colours", 4)
        return array("f", (c if i % 4 == 3 else linear(c) for i, c in enumerate(colours)))

    def build(self, name: str) -> bpy.types.Object:
        """The mesh object, without looks and shape keys."""
        mesh = bpy.data.meshes.new(name)
        vertices, faces = len(self.vertices) // 3, len(self.triangles) // 3
        mesh.vertices.add(vertices)
        mesh.vertices.foreach_set("co", self.vertices)
        mesh.loops.add(3 * faces)
        mesh.loops.foreach_set("vertex_index", self.triangles)
        mesh.polygons.add(faces)
        mesh.polygons.foreach_set("loop_start", array("i", range(0, 3 * faces, 3)))
        mesh.polygons.foreach_set("use_smooth", array("b", b"\1" * faces))
        mesh.update()
        return bpy.data.objects.new(name, mesh)

    def dress(self, head: bpy.types.Object, portrait: bpy.types.Image, corners: array, colours: array) -> None:
        """Give the mesh materials, the portrait and the colours."""
        mesh: Any = head.data
        for label in self.about["materials"]["names"]:
            mesh.materials.append(_material(f"{head.name} {label}", portrait))
        mesh.polygons.foreach_set("material_index", self._array("i", "materials", 1))
        mesh.uv_layers.new(name="Portrait").uv.foreach_set("vector", corners)
        mesh.color_attributes.new(FILL, "FLOAT_COLOR", "POINT").data.foreach_set("color", colours)
        mesh.validate()

    def add_shape_key(self, head: bpy.types.Object, number: int) -> None:
        """The key of a unit, at rest."""
        unit, entry = list(self.about["shape_keys"].items())[number]
        if number == 0:
            head.shape_key_add(name="Basis", from_mix=False)
        block = head.shape_key_add(name=unit, from_mix=False)
        block.slider_max = STRONGEST_KEY
        block.data.foreach_set("co", array("f", map(float.__add__, self.vertices, self._at("f", entry, 3))))
        block.value = 0.0

    def camera(
        self, name: str, head: bpy.types.Object, portrait: bpy.types.Image, upright: bool
    ) -> bpy.types.Object:
        """A camera that frames the head as the photo does: the whole square shows, upright formats too."""
        seen = self.about["camera"]
        data = bpy.data.cameras.new(name)
        data.sensor_fit = "HORIZONTAL" if upright else "VERTICAL"
        data.sensor_width = data.sensor_height = SENSOR_MM
        data.lens = SENSOR_MM / 2 / math.tan(math.radians(seen["fov_y_deg"]) / 2)
        data.shift_x, data.shift_y = seen["shift"]
        data.clip_start, data.display_size = 0.01, CAMERA_SIZE
        rows = [seen["head_to_camera"][i : i + 4] for i in range(0, 16, 4)]
        camera = bpy.data.objects.new(name, data)
        camera.matrix_world = Matrix.Translation(head.location) @ Matrix(rows).inverted()
        data.show_background_images = True
        picture = data.background_images.new()
        picture.image, picture.display_depth, picture.alpha = portrait, "BACK", 1.0
        picture.frame_method = "FIT"
        return camera

    def load_texture(self, name: str, mark: str) -> None:
        """Load the portrait as a draft. It is packed: the next head of the shot overwrites the file, and a file that
        was never saved has its folder only as long as Blender runs."""
        image = bpy.data.images.load(str(self.folder / "texture.png"), check_existing=False)
        drafts.begin(image, mark)
        image.name = name
        image.pack()
        image.filepath_raw = f"//textures/{bpy.path.clean_name(image.name)}.png"  # where unpacking puts it
        for packed in image.packed_files:  # or Blender's Reload takes in what is in the engine's file by then
            packed.filepath = image.filepath_raw


def _material(name: str, portrait: bpy.types.Image) -> bpy.types.Material:
    """Self-lit, since the photo's light is in the photo."""
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    nodes.clear()
    made = {}
    for i, kind in enumerate(("TexImage", "VertexColor", "Mix", "Emission", "OutputMaterial")):
        made[kind] = nodes.new(f"ShaderNode{kind}")
        made[kind].location = ((-250, 0, 300, 500, 700)[i], (0, -250, 0, 0, 0)[i])
    picture, fill, mix = made["TexImage"], made["VertexColor"], made["Mix"]
    picture.image, picture.extension = portrait, "EXTEND"
    fill.layer_name, mix.data_type = FILL, "RGBA"
    socket = {socket.identifier: socket for socket in (*mix.inputs, *mix.outputs)}
    links.new(fill.outputs["Alpha"], socket["Factor_Float"])
    links.new(fill.outputs["Color"], socket["A_Color"])
    links.new(picture.outputs["Color"], socket["B_Color"])
    links.new(socket["Result_Color"], made["Emission"].inputs["Color"])
    links.new(made["Emission"].outputs["Emission"], made["OutputMaterial"].inputs["Surface"])
    nodes.active = picture  # what the solid view shows as texture
    return material


def linear(value: float) -> float:
    """An sRGB channel as light."""
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
