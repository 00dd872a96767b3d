"""What Blender knows of the extension while it is enabled, and that it explains itself."""

import bpy
import pytest

MODULE = "bl_ext.user_default.elocute"


def own_classes():
    return [cls for base in (bpy.types.Operator, bpy.types.Panel, bpy.types.PropertyGroup, bpy.types.UIList,
                             bpy.types.AddonPreferences, bpy.types.Menu)
            for cls in base.__subclasses__() if cls.__module__.startswith(MODULE)]  # fmt: skip


def test_every_operator_and_property_has_a_tooltip():
    operators = [cls for cls in own_classes() if issubclass(cls, bpy.types.Operator)]
    assert len(operators) > 10
    for cls in operators:
        kind = bpy.ops
        for name in cls.bl_idname.split("."):
            kind = getattr(kind, name)
        rna = kind.get_rna_type()
        assert rna.name and rna.description, cls.bl_idname
        explained(rna)
    for owner in (bpy.context.scene.elocute, bpy.context.preferences.addons[MODULE].preferences):
        explained(owner.bl_rna)
    explained(bpy.types.PropertyGroup.bl_rna_get_subclass_py("ElocuteShot").bl_rna)


def explained(rna):
    for item in rna.properties:
        if item.identifier in ("rna_type", "name", "bl_idname") or item.is_hidden or item.type == "COLLECTION":
            continue  # nobody hovers over it
        assert item.name and item.description, f"{rna.identifier}.{item.identifier} has no tooltip"
        assert not item.description.endswith("."), f"{rna.identifier}.{item.identifier}: Blender's tooltips end without"
        for entry in item.enum_items if item.type == "ENUM" else ():
            assert entry.name and entry.description, f"{rna.identifier}.{item.identifier}: {entry.identifier}"


def test_sidebars_of_the_sequencer_and_the_3d_viewport_have_the_same_panels_in_the_order_of_the_work():
    panels = [cls for cls in own_classes() if issubclass(cls, bpy.types.Panel)]
    orders = []
    for space in ("SEQUENCE_EDITOR", "VIEW_3D"):
        shown = sorted((cls for cls in panels if cls.bl_space_type == space), key=lambda cls: cls.bl_order)
        assert {(cls.bl_category, cls.bl_region_type) for cls in shown} == {("Elocute", "UI")}
        orders.append([cls.bl_label for cls in shown])
    assert orders[0] == orders[1]
    wanted = ["Portrait", "Voice", "Head and Camera", "Face", "Output", "Render"]
    assert [label for label in orders[0] if label in wanted] == wanted


@pytest.mark.parametrize("name", ["render", "add_head", "speech_to_keys", "preview"])
def test_a_disabled_button_says_why(name):
    with pytest.raises(RuntimeError) as caught:
        getattr(bpy.ops.elocute, name)()
    assert "context is incorrect" not in str(caught.value) and len(str(caught.value)) > 20


def handlers():
    lists = {name: getattr(bpy.app.handlers, name) for name in dir(bpy.app.handlers)}
    return {name: list(found) for name, found in lists.items() if isinstance(found, list)}


def test_disabling_takes_everything_back_and_enabling_brings_it_again():
    def state():
        keys = bpy.context.window_manager.keyconfigs.addon
        items = sum(len(keymap.keymap_items) for keymap in keys.keymaps) if keys else 0
        return {name: len(found) for name, found in handlers().items()}, items, hasattr(bpy.types.Scene, "elocute")

    enabled, counts = state(), []
    for _ in range(2):
        bpy.ops.preferences.addon_disable(module=MODULE)
        counts.append(state())
        assert not hasattr(bpy.types.Scene, "elocute")
        assert not [one for found in handlers().values() for one in found if one.__module__.startswith(MODULE)]
        bpy.ops.preferences.addon_enable(module=MODULE)
        assert state() == enabled
    assert counts[0] == counts[1] != enabled
