"""What is rendered says that it is synthetic, however the head came into the scene, and in whatever format."""

from __future__ import annotations

import pytest

from .scene_kit import Kit


@pytest.fixture
def kit(addon, tmp_path, monkeypatch):
    made = Kit(addon.__name__, tmp_path)
    client = made.use_backend(monkeypatch)
    yield made
    client.close_shared_backend()


NOTE = b"Synthetic likeness of anna made with SyncTalk"


def saved_with_a_head(kit) -> str:
    """A .blend that holds a head, as an artist hands it on; the scene is empty again."""
    import bpy

    kit.import_tracking(kit.workspace())
    path = str(kit.tmp_path / "anna.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    return path


@pytest.mark.parametrize("way", ["append", "link", "override"])
def test_a_head_from_another_file_marks_what_it_is_rendered_into(kit, way):
    import bpy

    path = saved_with_a_head(kit)
    scene = kit.scene
    with bpy.data.libraries.load(path, link=way != "append") as (source, target):
        target.collections = [name for name in source.collections if name.startswith("SyncTalk")]
    collection = target.collections[0]
    if way == "override":
        collection = collection.override_hierarchy_create(scene, bpy.context.view_layer)
    else:
        scene.collection.children.link(collection)
    scene.camera = kit.part("scene.rig").rigs_of(scene)[0].camera
    scene.render.resolution_x = scene.render.resolution_y = 96
    scene.render.engine = "SYNCTALK"
    scene.render.stamp_note_text, scene.render.use_stamp_note = "shot 7", False
    kit.render(2)
    data = (kit.tmp_path / "still_2.png").read_bytes()
    assert NOTE in data
    assert b"shot 7" in data


def test_a_cut_of_scenes_is_marked_for_the_heads_in_them(kit):
    import bpy

    kit.import_tracking(kit.workspace())
    shot = kit.scene
    shot.render.engine = "SYNCTALK"
    cut = bpy.data.scenes.new("cut")
    editor = cut.sequence_editor_create()
    kit.part("scene.sound").strips_of(editor).new_scene("shot", shot, 1, 1)
    cut.render.resolution_x = cut.render.resolution_y = 96
    cut.render.filepath = str(kit.tmp_path / "cut.png")
    with bpy.context.temp_override(scene=cut):
        bpy.ops.render.render(write_still=True, scene=cut.name)
    assert NOTE in (kit.tmp_path / "cut.png").read_bytes()
