"""What is rendered says that it is synthetic, however the head came into the scene, and in whatever format."""

from __future__ import annotations

import numpy as np
import pytest

from . import synthetic_workspace as synthetic

pytestmark = pytest.mark.usefixtures("client")


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
    kit.part("scene.audio_strip").strips_of(editor).new_scene("shot", shot, 1, 1)
    cut.render.resolution_x = cut.render.resolution_y = 96
    cut.render.filepath = str(kit.tmp_path / "cut.png")
    with bpy.context.temp_override(scene=cut):
        bpy.ops.render.render(write_still=True, scene=cut.name)
    assert NOTE in (kit.tmp_path / "cut.png").read_bytes()


def write_still(kit, name: str, **settings) -> bytes:
    """A still of the head in the scene in another format; what was written."""
    import bpy

    scene, image = kit.scene, kit.scene.render.image_settings
    scene.render.engine = "SYNCTALK"
    kit.part("scene.output").set_images(scene, kit.tmp_path)
    for key, value in settings.items():
        setattr(image, key, value)
    path = kit.tmp_path / name
    scene.render.filepath, scene.render.use_file_extension = str(path), False
    bpy.ops.render.render(write_still=True)
    return path.read_bytes()


IMAGES = [
    ("a.tif", {"file_format": "TIFF", "color_mode": "RGBA", "color_depth": "8"}),
    ("b.tif", {"file_format": "TIFF", "color_mode": "RGB", "color_depth": "16", "tiff_codec": "LZW"}),
    ("lossy.webp", {"file_format": "WEBP", "color_mode": "RGB", "quality": 80}),
    ("alpha.webp", {"file_format": "WEBP", "color_mode": "RGBA", "quality": 80}),
    ("lossless.webp", {"file_format": "WEBP", "color_mode": "RGB", "quality": 100}),
]


@pytest.mark.parametrize(("name", "settings"), IMAGES)
def test_images_that_blender_leaves_unmarked_are_marked_once_written(kit, monkeypatch, name, settings):
    kit.import_tracking(kit.workspace())
    data = write_still(kit, name, **settings)
    assert NOTE in data
    assert not list(kit.tmp_path.glob("*.part"))
    marked = synthetic.read_image(kit.tmp_path / name)
    monkeypatch.setattr(kit.part("scene.marking"), "_MARKED_AFTERWARDS", ())
    plain = write_still(kit, name, **settings)
    assert NOTE not in plain
    assert np.array_equal(synthetic.read_image(kit.tmp_path / name), marked)
    assert marked[..., :3].max() > 0.5


def test_every_image_of_an_animation_is_marked(kit):
    import bpy

    kit.import_tracking(kit.workspace(frames=3))
    scene = kit.scene
    scene.render.engine = "SYNCTALK"
    kit.part("scene.output").set_images(scene, kit.tmp_path / "frames")
    scene.render.image_settings.file_format = "TIFF"
    bpy.ops.render.render(animation=True)
    written = sorted((kit.tmp_path / "frames").iterdir())
    assert len(written) == 3
    assert all(NOTE in path.read_bytes() for path in written)


@pytest.mark.parametrize(
    ("form", "codec"), [("MPEG4", "H264"), ("QUICKTIME", "H264"), ("MKV", "H264"), ("AVI", "MPEG4"), ("OGG", "THEORA")]
)
def test_videos_are_marked(kit, form, codec):
    import bpy

    kit.import_tracking(kit.workspace(frames=3))
    scene = kit.scene
    scene.render.engine = "SYNCTALK"
    path = kit.tmp_path / "video"
    kit.part("scene.output").set_video(scene, path)
    scene.render.ffmpeg.format, scene.render.ffmpeg.codec = form, codec
    scene.render.ffmpeg.audio_codec = "NONE"
    bpy.ops.render.render(animation=True)
    assert NOTE in path.read_bytes()
    video = bpy.data.movieclips.load(str(path))
    assert (video.frame_duration, tuple(video.size)) == (3, (96, 96))


def test_a_format_without_a_place_for_the_note_says_so(kit):
    marking, image = kit.part("scene.marking"), kit.scene.render.image_settings
    for name in ("PNG", "TIFF", "WEBP", "JPEG", "OPEN_EXR"):
        image.file_format = name
        assert marking.missing_note(kit.scene) == ""
    image.file_format = "BMP"
    assert "BMP files cannot hold the note" in marking.missing_note(kit.scene)
    kit.part("scene.output").set_video(kit.scene, kit.tmp_path / "video.mp4")
    assert marking.missing_note(kit.scene) == ""
    kit.scene.render.ffmpeg.format = "MPEG2"
    assert "MPEG2 files cannot hold" in marking.missing_note(kit.scene)


def test_blender_s_output_panel_says_so_too_for_a_scene_with_a_head(kit):
    import bpy

    panel, image = bpy.types.SYNCTALK_PT_unmarked_output, kit.scene.render.image_settings
    image.file_format = "BMP"
    assert not panel.poll(bpy.context), "no head, nothing to say"
    kit.import_tracking(kit.workspace())
    assert panel.poll(bpy.context)
    image.file_format = "PNG"
    assert not panel.poll(bpy.context)
