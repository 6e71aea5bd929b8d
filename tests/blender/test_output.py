"""What a render leaves: a video or images at the chosen output, and the scene's own output settings."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def head(kit, client):
    kit.import_tracking(kit.workspace(frames=3))
    kit.scene.render.engine = "SYNCTALK"


def settings(scene) -> dict:
    found = {"path": scene.render.filepath, "extension": scene.render.use_file_extension}
    for part in (scene.render.image_settings, scene.render.ffmpeg):
        for item in part.bl_rna.properties:
            if not item.is_readonly:
                found[item.identifier] = getattr(part, item.identifier)
    return found


@pytest.mark.parametrize("out", ["video.mp4", "frames"])
def test_a_render_from_a_script_gives_the_output_settings_back(kit, out):
    scene = kit.scene
    image = scene.render.image_settings
    if hasattr(image, "media_type"):
        image.media_type = "IMAGE"
    image.file_format, image.color_mode, image.color_depth = "OPEN_EXR", "RGB", "32"
    scene.render.ffmpeg.gopsize = 7
    scene.render.filepath = "//shots/a_####"
    before = settings(scene)
    path = kit.part("api").render_animation(kit.tmp_path / out, scene=scene)
    assert path.exists()
    assert settings(scene) == before


def test_a_failing_render_gives_them_back_too(kit, monkeypatch):
    kit.use_backend(monkeypatch, "untrained")
    before = settings(kit.scene)
    with pytest.raises(kit.part("scene.errors").SceneError, match="no trained head"):
        kit.part("api").render_animation(kit.tmp_path / "video.mp4", scene=kit.scene)
    assert settings(kit.scene) == before


def test_without_a_chosen_output_an_animation_is_a_video_beside_the_clip(kit):
    import bpy

    root = kit.part("scene.rig").require_rig(kit.scene).workspace
    (root.parent / "anna composite.mp4").write_bytes(b"somebody's")
    compose_by_button(kit)
    wanted = root.parent / "anna composite 2.mp4"
    assert kit.scene.render.filepath == str(wanted)
    bpy.ops.render.render(animation=True)
    video = bpy.data.movieclips.load(str(wanted))
    assert video.frame_duration == 3
    if bpy.app.build_options.audaspace:
        assert kit.scene.render.ffmpeg.audio_codec == "AAC"
    compose_by_button(kit)
    assert kit.scene.render.filepath == str(wanted), "the same video again"


def test_in_a_saved_file_the_video_lies_beside_it(kit):
    import bpy

    (kit.tmp_path / "shots").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(kit.tmp_path / "shots" / "shot.blend"))
    compose_by_button(kit)
    assert kit.scene.render.filepath == "//anna composite.mp4"


@pytest.mark.parametrize(("path", "form"), [("//frames/a_", "PNG"), ("/tmp/", "OPEN_EXR")])
def test_an_output_that_was_chosen_stays(kit, path, form):
    kit.scene.render.filepath = path
    kit.scene.render.image_settings.file_format = form
    compose_by_button(kit)
    assert (kit.scene.render.filepath, kit.scene.render.image_settings.file_format) == (path, form)


def compose_by_button(kit) -> None:
    """What *Build Composite* does once the backend has answered."""
    work = kit.part("work.composite")
    work.compose(kit.scene, *work.subject_in(kit.scene))
