"""The live head: a frame of an unchanged workspace reads nothing, and a newer checkpoint is seen."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from backend import live
from backend.commands.option import from_params
from backend.delivery.watermark import Kind, Marker, Message
from backend.delivery.watermark.marker import BLUE_GAIN, CEILING
from backend.errors import ProtocolError, WorkspaceError
from backend.live import FrameOptions, LiveHead
from backend.progress import Reporter
from backend.renderer.colour import to_scene_linear
from backend.renderer.field.renderer import FieldRenderer
from backend.renderer.scene_linear import write_scene_linear
from backend.training.checkpoints import load_for_rendering
from backend.workspace.arrays import encode_srgb
from backend.workspace.camera import Camera
from backend.workspace.poses import turned
from backend.workspace.store import Workspace
from tests.backend.made_up_twin import write_made_up_twin

SIZE = 32


@pytest.fixture
def params(trained, tmp_path):
    """A frame of the clip, into memory of its size."""
    memory = tmp_path / "frame"
    memory.write_bytes(b"\0" * (SIZE * SIZE * 16))
    tracking = Workspace.open(trained).head_track()
    camera = tracking.camera.scaled(SIZE, SIZE)
    return {
        "workspace": str(trained),
        "width": SIZE,
        "height": SIZE,
        "focal_px": camera.focal_px,
        "principal_px": list(camera.principal_px),
        "head_to_camera": tracking.head_to_camera[5].ravel().tolist(),
        "blendshapes": tracking.blendshapes[5].tolist(),
        "memory": str(memory),
    }


@pytest.fixture
def opened():
    """Every file that is opened and every folder that is listed, while `opened.on`."""

    class Opened(list):
        on = False

    found = Opened()

    def hook(event, arguments):
        if found.on and event in ("open", "os.listdir", "os.scandir"):
            found.append(str(arguments[0]))

    sys.addaudithook(hook)
    yield found
    found.on = False  # a hook stays as long as its process


def draw(head, params):
    return head.render(from_params(FrameOptions, params, "frame"), Reporter())


def test_a_frame_of_an_unchanged_workspace_reads_nothing_of_it(params, opened):
    head = LiveHead()
    draw(head, params)
    opened.on = True
    draw(head, params)
    opened.on = False
    assert [path for path in opened if path.startswith(params["workspace"])] == []


def test_frames_have_blenders_row_order_and_are_linear(params):
    draw(LiveHead(), params)
    found = np.fromfile(params["memory"], np.float32).reshape(SIZE, SIZE, 4)
    renderer = FieldRenderer(load_for_rendering(Workspace.open(params["workspace"])).field())
    camera = Camera(SIZE, SIZE, params["focal_px"], tuple(params["principal_px"]))
    pose, blendshapes = np.array(params["head_to_camera"]).reshape(4, 4), np.array(params["blendshapes"], np.float32)
    truth = to_scene_linear(renderer.render(camera, pose, blendshapes).rgba)[::-1]
    assert truth[..., 3].max() > 0.9
    np.testing.assert_array_equal(found[..., 3], truth[..., 3])
    np.testing.assert_allclose(displayed(found), displayed(truth), atol=1 / 255)


def test_a_final_frame_carries_the_watermark_that_render_writes(params, trained):
    size = 320  # a tile of the watermark and more
    factor = size / SIZE
    Path(params["memory"]).write_bytes(b"\0" * (size * size * 16))
    params |= {"width": size, "height": size, "focal_px": params["focal_px"] * factor, "watermark": False}
    params["principal_px"] = [value * factor for value in params["principal_px"]]

    def drawn():
        draw(head, params)
        return np.fromfile(params["memory"], np.float32).reshape(size, size, 4)[::-1].copy()

    head = LiveHead()
    plain, marked = drawn(), (params.update(watermark=True), drawn())[1]
    np.testing.assert_array_equal(plain[..., 3], marked[..., 3])
    opaque = plain[..., 3] > 0.99
    change, _, blue = (displayed(marked) - displayed(plain))[opaque].T * 255
    assert opaque.mean() > 0.1
    message = Message.of_clip(Workspace.open(trained).subject.source_sha256, Kind.FRAMES)
    mark = Marker(size, size, message)._pattern[opaque]  # its RMS is 1 over a whole tile, not over any part of one
    assert 0.5 < change.std() < 1.005 * CEILING * mark.std() and np.abs(change).max() < 6
    assert blue.std() < 1.02 * (1 + BLUE_GAIN) * change.std()
    assert np.corrcoef(mark, change)[0, 1] > 0.9


def displayed(linear):
    """Premultiplied scene-linear RGBA as a display's straight code values in [0, 1]."""
    return encode_srgb(np.clip(linear[..., :3] / np.maximum(linear[..., 3:], 1e-6), 0, 1))


@pytest.mark.parametrize("alpha", [1e-4, 0.3, 1.0])
def test_every_code_value_is_linear_to_a_small_part_of_its_step(alpha):
    codes = np.linspace(0, 1, 2551, dtype=np.float32)
    image = np.zeros((2, 2600, 4), np.float32)
    image[0, 30:2581] = np.stack([codes * alpha] * 3 + [np.full_like(codes, alpha)], -1)
    found = np.full_like(image, np.nan)
    write_scene_linear(image, found)
    np.testing.assert_allclose(displayed(found[1, 30:2581])[:, 0], codes, atol=0.02 / 255)
    assert not found[0].any() and not found[1, :30].any() and not found[1, 2581:].any()


def test_memory_that_blender_made_again_under_the_same_name_gets_the_next_frame(params, tmp_path):
    head, path = LiveHead(), Path(params["memory"])
    draw(head, params)
    first = path.read_bytes()
    path.rename(tmp_path / "gone")
    with pytest.raises(ProtocolError, match="cannot be written to"):
        draw(head, params)
    path.write_bytes(b"\0" * len(first))
    draw(head, params)
    assert path.read_bytes() == first
    path.write_bytes(b"")
    with pytest.raises(ProtocolError):
        draw(head, params)


def test_a_newer_checkpoint_is_loaded_even_under_the_same_name(params, trained, monkeypatch):
    loads = []
    monkeypatch.setattr("backend.live._load", lambda workspace, head, reporter: loads.append(workspace.root) or Blank())
    head = LiveHead()
    draw(head, params)
    draw(head, params)
    assert len(loads) == 1
    newest = max((trained / "checkpoints").glob("step_*.safetensors"))
    (trained / "checkpoints" / "readiness.json").touch()
    (trained / "checkpoints" / "another.json").touch()  # what is no checkpoint loads nothing
    draw(head, params)
    assert len(loads) == 1
    shutil.copy(newest, trained / "checkpoints" / ".copy")
    (trained / "checkpoints" / ".copy").replace(newest)
    draw(head, params)
    assert len(loads) == 2


def test_a_newer_checkpoint_is_seen_where_a_folder_keeps_its_stamp(params, trained, monkeypatch):
    """As on FAT and some network drives: replacing a file leaves its folder's time of change."""
    loads, stamp = [], live._stamp
    monkeypatch.setattr(live, "_load", lambda workspace, head, reporter: loads.append(workspace.root) or Blank())
    monkeypatch.setattr(live, "_stamp", lambda path: (0,) if path.name == "checkpoints" else stamp(path))
    head = LiveHead()
    for name in (None, "config.json"):
        if name:
            newest = max((trained / "checkpoints").glob("step_*.safetensors"))
            for path in (newest, trained / "checkpoints" / name):  # as a checkpoint is saved
                shutil.copy(path, trained / ".copy")
                (trained / ".copy").replace(path)
        draw(head, params)
        draw(head, params)
    assert len(loads) == 2


def test_the_head_asked_for_is_drawn_and_both_stay_loaded(params, made_up_twin, monkeypatch):
    loads = []
    monkeypatch.setattr(live, "_load", lambda workspace, head, reporter: loads.append(head) or Blank())
    head = LiveHead()
    for kind in ("auto", "field", "gaussians", "field", "auto"):
        draw(head, {**params, "head": kind})
    draw(head, params)
    assert loads == ["auto", "field"], "auto is the twin"
    write_made_up_twin(made_up_twin, seed=1)
    for kind in ("field", "gaussians", "auto"):
        draw(head, {**params, "head": kind})
    assert loads == ["auto", "field", "gaussians"], "a new twin leaves the field loaded"


def test_a_twin_that_was_measured_worse_is_drawn_only_where_it_is_asked_for(params, trained, monkeypatch):
    loads = []
    monkeypatch.setattr(live, "_load", lambda workspace, head, reporter: loads.append(head) or Blank())
    head = LiveHead()
    write_made_up_twin(trained, preferred="field")
    for kind in ("auto", "field", "gaussians"):
        draw(head, {**params, "head": kind})
    assert loads == ["auto", "gaussians"], "auto is the field"


def test_a_twin_that_is_asked_for_and_missing_is_reported(params):
    with pytest.raises(WorkspaceError, match="no Gaussian head yet"):
        draw(LiveHead(), {**params, "head": "gaussians"})


def test_a_head_that_is_gone_is_reported(params, trained):
    head = LiveHead()
    draw(head, params)
    shutil.rmtree(trained / "checkpoints")
    with pytest.raises(WorkspaceError, match="no trained head"):
        draw(head, params)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"width": 0}, "width of frame must be from 1"),
        ({"width": 1.5}, "width must be a whole number, not 1.5"),
        ({"blendshapes": [0.0]}, "blendshapes of frame must be 52 numbers"),
        ({"head_to_camera": ["x"] * 16}, "head_to_camera must be a list, each a number"),
        ({"origin": "top_left"}, "frame has no parameter origin"),
        ({"memory": ""}, "memory must be a path"),
        ({"head": "mesh"}, "head must be one of auto, gaussians, field"),
    ],
)
def test_wrong_params_are_named(params, change, sentence):
    with pytest.raises(ProtocolError, match=sentence):
        from_params(FrameOptions, {**params, **change}, "frame")


class Blank:
    """A renderer of nothing."""

    def render(self, camera, pose, blendshapes, passes):
        assert not passes, "they cost what nobody asked for"
        return type("Rendered", (), {"rgba": np.zeros((camera.height, camera.width, 4), np.float32)})


@pytest.fixture
def turned_params(params, trained):
    """The head turned by 10 degrees over frame 5 of the footage."""
    pose = turned(np.array(params["head_to_camera"]).reshape(4, 4), 10.0, 0.0)
    scale = SIZE / Workspace.open(trained).subject.source_size[0]
    beneath = {"footage_frame": 5, "footage_px": [0.0, 0.0, scale]}
    return {**params, "head_to_camera": pose.ravel().tolist()}, beneath


def drawn(head, params):
    draw(head, params)
    return np.fromfile(params["memory"], np.float32).reshape(SIZE, SIZE, 4)


@pytest.mark.parametrize("kind", ["field", "gaussians"])
def test_a_turned_head_has_its_neck_where_the_footage_is_named(turned_params, made_up_twin, kind):
    params, beneath = turned_params
    params = {**params, "head": kind}
    head = LiveHead()
    alone, with_neck = drawn(head, params), drawn(head, {**params, **beneath, "rendered_hair": True})
    more = with_neck[..., 3] - alone[..., 3]
    assert more.min() > -0.1 and more.max() > 0.5, (
        "a head ends at its jaw, whose soft rim may have been beyond the footage's"
    )
    assert np.nonzero(more > 0.1)[0].mean() < SIZE / 2, "in the image's lower half, whose bottom row is first"
    np.testing.assert_array_equal(drawn(head, params), alone)


def test_a_head_where_the_footage_has_it_is_drawn_alone(params, turned_params):
    head, (_, beneath) = LiveHead(), turned_params
    alone = drawn(head, params)
    np.testing.assert_array_equal(drawn(head, {**params, **beneath, "rendered_hair": True}), alone)
    with_hair = drawn(head, {**params, **beneath})
    np.testing.assert_array_equal(drawn(head, {**params, **beneath, "fixed_neck": True}), with_hair)
    assert (with_hair != alone).any(), "its hair is the footage's"


def test_a_frame_of_the_footage_that_was_drawn_before_is_not_read_again(turned_params, opened):
    params, beneath = turned_params
    head = LiveHead()
    draw(head, {**params, **beneath})
    opened.on = True
    draw(head, {**params, **beneath})
    opened.on = False
    assert [path for path in opened if path.startswith(params["workspace"])] == []


@pytest.mark.parametrize("kind", ["field", "gaussians"])
def test_passes_lie_behind_the_colour_which_they_do_not_change(turned_params, made_up_twin, kind):
    params, beneath = turned_params
    params = {**params, **beneath, "head": kind}
    head = LiveHead()
    plain = drawn(head, params)
    memory = Path(params["memory"])
    memory.write_bytes(b"\0" * (SIZE * SIZE * 4 * (4 + 1 + 4 + 1)))
    now = [params["focal_px"], *params["principal_px"], *params["head_to_camera"], *params["blendshapes"]]
    right = list(now)
    right[3 + 3] += 0.05
    draw(head, {**params, "passes": ["Depth", "Vector", "Neck"], "before": now, "after": right})
    values = np.fromfile(memory, np.float32)
    colour, depth, vector, neck = np.split(values, np.cumsum([4, 1, 4]) * SIZE * SIZE)
    np.testing.assert_array_equal(colour.reshape(plain.shape), plain)
    depth, neck = depth.reshape(SIZE, SIZE), neck.reshape(SIZE, SIZE)
    away_m = params["head_to_camera"][11]
    assert np.abs(depth[plain[..., 3] > 0.1] - away_m).max() < 0.3 and (depth[plain[..., 3] == 0] == 1e10).all()
    assert neck.max() > 0.5 and np.nonzero(neck > 0.1)[0].mean() < SIZE / 2
    x, y, z, w = vector.reshape(SIZE, SIZE, 4)[(plain[..., 3] > 0.9) & (neck < 0.01)].T
    assert np.abs([x, y]).max() < 1e-3 and np.abs(w).max() < 0.05
    np.testing.assert_allclose(np.median(z), -0.05 * params["focal_px"] / away_m, rtol=0.15)


def test_motion_without_the_frames_beside_is_refused(params):
    with pytest.raises(ProtocolError, match="Vector of frame needs before and after, 71 numbers each"):
        from_params(FrameOptions, {**params, "passes": ["Vector"], "before": [0.0] * 71}, "frame")


@pytest.mark.parametrize("place", [[], [0.0, 0.0], [0.0, 0.0, 0.0]])
def test_a_footage_without_a_place_is_refused(turned_params, place):
    params, _ = turned_params
    with pytest.raises(ProtocolError, match="footage_px of frame must be 3 numbers"):
        from_params(FrameOptions, {**params, "footage_frame": 5, "footage_px": place}, "frame")
