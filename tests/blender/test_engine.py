"""The engine: pixels exact, what the artist moves it follows, and no fault of the backend costs more than a sentence."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from . import head_backend
from . import synthetic_workspace as synthetic
from .scene_kit import as_png, premultiplied


@pytest.fixture
def rig(rendered_rig):
    return rendered_rig


def expected(kit, frame: int, width: int = 96, height: int = 96, **changes) -> np.ndarray:
    """The test backend's own image of the tracked frame, as a PNG shows it, premultiplied."""
    scale = width / 96
    params = {
        "width": width,
        "height": height,
        "focal_px": 192.0 * scale,
        "principal_px": (96 * 0.52 * scale, 96 * 0.49 * scale + (height - width) / 2),
        "head_to_camera": synthetic.pose(frame - 1).ravel(),
        "blendshapes": synthetic.blendshapes(frame - 1),
    }
    return as_png(head_backend.draw(params | changes))


def differing(a: np.ndarray, b: np.ndarray) -> int:
    """How many pixels differ by more than 2/255."""
    return int((np.abs(a - b).max(-1) > 2 / 255).sum())


def test_untouched_keyframes_give_the_backend_s_own_pixels(kit, rig):
    for frame in (1, 5, 12):
        image = premultiplied(kit.render(frame))
        assert differing(image, expected(kit, frame)) == 0


def test_a_turned_control_turns_the_image(kit, rig):
    rig.control.rotation_euler = 0, 0, np.radians(5)
    posed = kit.read(rig, 5)
    image = premultiplied(kit.render(5))
    assert differing(image, expected(kit, 5, head_to_camera=posed.head_to_camera.ravel())) == 0
    assert differing(image, expected(kit, 5)) > 100


def test_shape_keys_of_the_evaluated_rig_are_what_is_drawn(kit, rig):
    driver = rig.face.data.shape_keys.key_blocks["jawOpen"].driver_add("value").driver
    driver.expression = "1.0"
    shapes = synthetic.blendshapes(4)
    shapes[head_backend.JAW_OPEN] = 1.0
    image = premultiplied(kit.render(5))
    assert differing(image, expected(kit, 5, blendshapes=shapes)) == 0
    assert differing(image, expected(kit, 5)) > 10


def test_percentage_and_aspect_are_honoured(kit, rig):
    kit.scene.render.resolution_percentage = 50
    assert differing(premultiplied(kit.render(3)), expected(kit, 3, 48, 48)) == 0
    kit.scene.render.resolution_percentage = 100
    kit.scene.render.resolution_y = 128
    assert differing(premultiplied(kit.render(3)), expected(kit, 3, 96, 128)) == 0


def test_pixels_that_are_not_square_are_squeezed(kit, rig):
    kit.scene.render.pixel_aspect_y = 2.0
    kit.scene.render.resolution_y = 48
    image = premultiplied(kit.render(3))
    assert image.shape == (48, 96, 4)
    square = expected(kit, 3)
    squeezed = (square[0::2] + square[1::2]) / 2
    assert differing(image, squeezed) < 150, "but for the outline, which is antialiased in another space"


@pytest.mark.parametrize("crop", [False, True])
def test_a_render_region_is_the_part_of_the_image(kit, rig, crop):
    render = kit.scene.render
    render.use_border, render.use_crop_to_border = True, crop
    render.border_min_x, render.border_max_x, render.border_min_y, render.border_max_y = 0.25, 0.75, 0.5, 1.0
    image, full = premultiplied(kit.render(3)), expected(kit, 3)
    if crop:
        assert differing(image, full[:48, 24:72]) == 0
    else:
        assert differing(image[:48, 24:72], full[:48, 24:72]) == 0
        assert image[48:].max() == 0


def test_an_animation_render_follows_the_frames(kit, rig):
    import bpy

    kit.part("scene.output").set_images(kit.scene, kit.tmp_path / "frames")
    kit.scene.frame_start, kit.scene.frame_end = 2, 4
    bpy.ops.render.render(animation=True)
    for frame in (2, 3, 4):
        image = premultiplied(synthetic.read_image(kit.tmp_path / "frames" / f"{frame:06d}.png"))
        assert differing(image, expected(kit, frame)) == 0


def test_images_carry_the_note_that_they_are_synthetic(kit, rig):
    kit.render(2)
    assert b"Synthetic likeness of anna made with SyncTalk" in (kit.tmp_path / "still_2.png").read_bytes()


def test_the_view_layer_of_render_layers_feeds_a_compositor(kit, rig):
    nodes = kit.part("scene.nodes")
    tree = nodes.ensure_tree(kit.scene, "own")
    layers = tree.nodes.new("CompositorNodeRLayers")
    tree.links.new(layers.outputs["Image"], nodes.output_socket(tree))
    assert differing(premultiplied(kit.render(4)), expected(kit, 4)) == 0


def fails(kit, words: str) -> None:
    with pytest.raises(RuntimeError, match=words) as caught:
        kit.render(3)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "words"),
    [("dies", "ended unexpectedly"), ("untrained", "no trained head yet: train it first"), ("huge", "192 x 96 pixels")],
)
def test_a_faulty_backend_costs_a_sentence(kit, rig, monkeypatch, fault, words):
    kit.use_backend(monkeypatch, fault)
    fails(kit, words)


def test_a_backend_that_is_not_installed_is_reported(kit, rig, monkeypatch):
    client = kit.use_backend(monkeypatch)

    def missing():
        raise client.BackendError("The backend is not installed: press Install in the Backend panel.", "missing")

    monkeypatch.setattr(client, "backend_command", missing)
    fails(kit, "not installed: press Install")


def test_after_a_death_the_next_render_starts_the_backend_again(kit, rig, monkeypatch):
    kit.use_backend(monkeypatch, "dies")
    fails(kit, "ended unexpectedly")
    command = [sys.executable, str(head_backend.__file__)]
    monkeypatch.setattr(kit.part("client.shared"), "backend_command", lambda: (command, None, None))
    assert differing(premultiplied(kit.render(3)), expected(kit, 3)) == 0


def test_a_failing_animation_stops_at_the_first_frame(kit, rig, monkeypatch):
    import bpy

    kit.use_backend(monkeypatch, "untrained")
    kit.part("scene.output").set_images(kit.scene, kit.tmp_path / "frames")
    with pytest.raises(RuntimeError, match="no trained head"):
        bpy.ops.render.render(animation=True)
    assert not list(kit.tmp_path.glob("frames/*.png"))


def test_a_scene_without_a_head_says_how_to_get_one(kit, client):
    import bpy

    lens = bpy.data.objects.new("lens", bpy.data.cameras.new("lens"))
    kit.scene.collection.objects.link(lens)
    kit.scene.camera = lens
    kit.scene.render.engine = "SYNCTALK"
    fails(kit, "has no SyncTalk head")


def test_a_face_disabled_in_renders_is_named_in_the_message(kit, rig):
    rig.face.hide_render = True
    fails(kit, "“anna face” is disabled in renders")


def test_escape_ends_the_wait_for_a_slow_backend(kit, rig, monkeypatch):
    client = kit.use_backend(monkeypatch, "slow")
    engine = kit.part("engine")
    asked = []

    class Waiting:
        """The engine's own waiting, pressed Escape at the third look; the real one needs a window."""

        test_break = staticmethod(lambda: asked.append(1) or len(asked) > 2)
        update_stats = staticmethod(lambda *_texts: None)

    import bpy

    frame = engine.wanted_frame(bpy.context.evaluated_depsgraph_get())
    assert engine.SyncTalkRenderEngine._head_or_none(Waiting(), frame) is None
    assert len(asked) == 3, "it did not wait on for the answer"
    assert client.running_backend().alive, "an abandoned frame does not end a backend that may be training"


def test_a_frame_that_a_viewport_pushed_out_is_asked_for_again(kit, rig, monkeypatch):
    engine, client = kit.part("engine"), kit.part("client.shared")
    import bpy

    answers = iter([client.BackendError("A newer frame was requested.", "cancelled"), (np.ones((2, 2, 4)), 1.0)])

    class Request:
        stage = ""

        def __init__(self, backend, frame):
            del backend, frame

        def poll(self):
            return True

        def take(self):
            answer = next(answers)
            if isinstance(answer, Exception):
                raise answer
            return SimpleNamespace(pixels=answer[0])

    class Waiting:
        test_break = staticmethod(lambda: False)
        update_stats = staticmethod(lambda *_texts: None)

    monkeypatch.setattr(engine, "FrameRequest", Request)
    frame = engine.wanted_frame(bpy.context.evaluated_depsgraph_get())
    assert engine.SyncTalkRenderEngine._head_or_none(Waiting(), frame).pixels.shape == (2, 2, 4)


def test_blender_s_output_and_camera_panels_are_shown_for_the_engine(kit, client):
    import bpy

    names = {
        panel.__name__
        for panel in bpy.types.Panel.__subclasses__()
        if "SYNCTALK" in getattr(panel, "COMPAT_ENGINES", ())
    }
    assert {"RENDER_PT_format", "RENDER_PT_output", "DATA_PT_lens", "RENDER_PT_color_management"} <= names


def test_an_empty_for_a_camera_is_named_in_the_message(kit, rig):
    import bpy

    empty = bpy.data.objects.new("no lens", None)
    kit.scene.collection.objects.link(empty)
    kit.scene.camera = empty
    fails(kit, r"“no lens” \(empty\) is not a camera: choose a camera")


def test_a_defect_of_the_add_on_ends_the_render_as_well(kit, rig, monkeypatch):
    def defect(*_arguments):
        raise AttributeError("no such thing")

    monkeypatch.setattr(kit.part("scene.rig"), "read_rig", defect)
    fails(kit, "bug in the add-on .AttributeError: no such thing")


def test_a_failure_is_written_where_the_head_would_be(kit, rig, monkeypatch):
    import bpy

    shown = []

    class Engine:
        """The engine's own `render` with Blender's part of it kept: a failing render hands out no image to look at."""

        _head_or_none = staticmethod(lambda frame: None)
        report = staticmethod(lambda kind, text: shown.append(text))
        end_result = staticmethod(lambda result: None)

        def begin_result(self, x, y, width, height, layer):
            del x, y, layer
            image = SimpleNamespace(foreach_set=lambda values: shown.append(values.reshape(height, width, 4)))
            ones = SimpleNamespace(foreach_set=lambda values: shown.append(values))
            passes = {"Combined": SimpleNamespace(rect=image), "SyncTalk": SimpleNamespace(rect=ones)}
            return SimpleNamespace(layers=[SimpleNamespace(passes=passes)])

    bpy.data.objects.remove(rig.face)
    engine = kit.part("engine")
    engine.SyncTalkRenderEngine.render(Engine(), bpy.context.evaluated_depsgraph_get())
    sentence, image = shown[0], shown[1]
    assert "has lost its face" in sentence
    card = kit.part("lettering").card(sentence, 96, 96)
    np.testing.assert_allclose(image, card)
    assert shown[2].tolist() == [1.0] * (96 * 96), "the engine was there: no other warning lies over it"
    assert card[..., :3].max() > 0.9 * card[..., 3].max() > 0.5
