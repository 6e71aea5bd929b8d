"""The Gaussian twin is trained after the field, on its surface, to the footage; it resumes, and its poses are its own."""

import dataclasses
import json

import cv2
import numpy as np
import pytest
import torch

from backend.commands import train
from backend.errors import Cancelled, WorkspaceError
from backend.evaluation.metrics import psnr
from backend.portrait_sync.blend import over
from backend.progress import Reporter
from backend.protocol import BLENDSHAPE_NAMES
from backend.renderer.gaussians.head import GaussianHead
from backend.renderer.gaussians.kernels import get_rasteriser
from backend.renderer.gaussians.kernels.image_loss import loss_gradient
from backend.renderer.gaussians.kernels.interface import LOG_SCALE, POSITION, View
from backend.renderer.gaussians.renderer import GaussianRenderer
from backend.renderer.head import RenderedHead
from backend.renderer.regions import LIP_INDICES, region_weight
from backend.training import checkpoints
from backend.training.dataset import Frame, FramePool
from backend.training.gaussians import density, trainer
from backend.training.gaussians.batch import FIELD_SHARP, BatchDrawer, low_pass, uncovered
from backend.training.gaussians.beyond_clip import (
    REST_IMAGES,
    Clip,
    field_targets,
    sliders,
    without_crumbs,
    without_holes,
)
from backend.training.gaussians.cloud import field_cloud
from backend.training.gaussians.images import Target, reduced
from backend.training.gaussians.optimiser import MIN_SCALE_M, GaussianOptimiser
from backend.training.gaussians.poses import PoseFit
from backend.training.gaussians.smoothing import MotionSmoother
from backend.training.gaussians.start import blending_order, mean_camera
from backend.workspace.camera import Camera
from backend.workspace.checkpoint_index import FIELD, GAUSSIANS, head_paths
from backend.workspace.face_mesh import FaceMesh
from backend.workspace.poses import turned
from backend.workspace.store import Workspace
from tests.backend.made_up_gaussians import made_up_gaussians
from tests.backend.made_up_head import make_face, make_motion

CAMERA = np.array([0.0, 0.0, -0.6])


def head_psnr(workspace: Workspace, kind: str) -> float:
    """Decibels of some validation frames."""
    checkpoint = checkpoints.load_for_rendering(workspace, kind=kind)
    track, renderer = workspace.head_track(head=kind), checkpoint.renderer()
    values = []
    for index in range(40, 44):
        rgba = renderer.render(track.camera, track.head_to_camera[index], track.blendshapes[index]).rgba
        truth, matte = workspace.read_frame(index), workspace.read_matte(index)[..., 0] > 127
        values.append(psnr(over(rgba, workspace.read_plate(index)), truth, matte))
    return float(np.mean(values))


def test_the_twin_is_nearer_to_the_footage_than_the_field_it_began_from(twin_once):
    workspace = Workspace.open(twin_once)
    assert head_psnr(workspace, GAUSSIANS) > head_psnr(workspace, FIELD) + 0.5


def test_the_twin_stands_for_the_head_with_its_own_poses(twin_once):
    workspace = Workspace.open(twin_once)
    head = checkpoints.load_for_rendering(workspace)
    assert head.kind == GAUSSIANS and head_paths(workspace.checkpoints)[0] == head.path
    np.testing.assert_array_equal(workspace.head_track().head_to_camera, head.head_to_camera)
    own, fields = workspace.head_track(head=GAUSSIANS), workspace.head_track(head=FIELD)
    moved = [
        np.linalg.norm(
            own.camera.project(own.head_to_camera[index], own.face_head_m)[0]
            - fields.camera.project(fields.head_to_camera[index], fields.face_head_m)[0],
            axis=1,
        ).mean()
        for index in np.flatnonzero(own.valid)
    ]
    assert 1e-3 < np.median(moved) < 1.5  # pixels: aligned, and still the same head


def test_a_complete_twin_is_small_and_names_itself_synthetic(twin_once):
    head = checkpoints.load_for_rendering(Workspace.open(twin_once))
    assert head.path.stat().st_size < 6e6
    assert "synthetic" in head.state["synthetic"] and head.state["complete"]
    assert not any(name.startswith("adam.") for name in head.tensors)


def test_a_twin_that_was_measured_to_be_worse_does_not_stand_for_the_head(twin):
    workspace = Workspace.open(twin)
    head = checkpoints.load_for_rendering(workspace)
    tensors = {name: value for name, value in head.tensors.items() if name != "poses"}
    state = head.state | {"preferred": FIELD}
    checkpoints.write(workspace, GAUSSIANS, tensors, head.head_to_camera, head.focal_px, head.state["step"] + 1, state)
    assert checkpoints.load_for_rendering(workspace).kind == FIELD
    assert checkpoints.load_for_rendering(workspace, kind=GAUSSIANS).kind == GAUSSIANS


def test_a_cancelled_training_of_the_twin_resumes_where_it_stopped(trained, monkeypatch):
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)
    stopped = []

    class Stop(Reporter):
        def progress(self, stage, done, total, *rest):
            super().progress(stage, done, total, *rest)
            if list((trained / "checkpoints").glob("gaussians_*")):
                stopped.append(done)
                raise Cancelled("stopped")

    options = train.Options(workspace=trained, steps=120, head="gaussians")
    with pytest.raises(Cancelled):
        train.run(options, Stop())
    assert stopped
    kept = checkpoints.load_newest(Workspace.open(trained), kind=GAUSSIANS)
    assert not kept.state["complete"] and kept.state["own_steps"] > 0
    messages = []

    class Told(Reporter):
        def info(self, text):
            messages.append(text)

    train.run(options, Told())
    assert any("resume" in text for text in messages)
    done = checkpoints.load_newest(Workspace.open(trained), kind=GAUSSIANS)
    assert done.state["complete"] and done.state["own_steps"] == 30
    log = (trained / "checkpoints" / "log.jsonl").read_text("utf-8")
    train.run(options, Reporter())  # complete: measured again, and nothing of the log is lost
    kept = [
        json.loads(line)["step"] for line in (trained / "checkpoints" / "log.jsonl").read_text("utf-8").splitlines()
    ]
    assert {json.loads(line)["step"] for line in log.splitlines()} <= set(kept)


def test_a_twin_that_gains_nothing_more_ends_early_and_trains_longer_when_asked(trained, monkeypatch):
    monkeypatch.setattr(trainer.EvaluationTimer, "is_due", lambda self: True)
    monkeypatch.setattr("backend.training.monitor.Monitor.has_plateaued", lambda self, since: True)
    options = train.Options(workspace=trained, steps=120, head="gaussians")
    train.run(options, Reporter())
    first = checkpoints.load_newest(Workspace.open(trained), kind=GAUSSIANS).state
    assert first["complete"] and 15 <= first["own_steps"] < 27  # after the last change of density, less the annealing
    monkeypatch.undo()
    train.run(dataclasses.replace(options, steps=40, further=True), Reporter())
    longer = checkpoints.load_newest(Workspace.open(trained), kind=GAUSSIANS).state
    assert longer["complete"] and longer["own_steps"] == first["own_steps"] + 10


def test_a_twin_without_a_field_is_one_clear_sentence(processed):
    with pytest.raises(WorkspaceError, match="run train --head both first"):
        train.run(train.Options(workspace=processed, steps=10, head="gaussians"), Reporter())


def test_a_twin_that_is_asked_for_and_missing_is_one_clear_sentence(trained_once):
    with pytest.raises(WorkspaceError, match="run train --head gaussians"):
        checkpoints.load_for_rendering(Workspace.open(trained_once), kind=GAUSSIANS)


def test_the_report_of_the_newest_head_is_the_twins(twin_once):
    config = json.loads((twin_once / "checkpoints" / "config.json").read_text("utf-8"))
    assert config["head"] == GAUSSIANS and config["psnr"] > config["psnr_field"]


def test_a_blink_moves_no_gaussian_beyond_the_upper_face_and_none_of_the_lips(twin_once):
    workspace = Workspace.open(twin_once)
    head = checkpoints.load_for_rendering(workspace).gaussians()
    track = workspace.head_track()
    shapes = track.blendshapes[track.valid].mean(0)
    pose = track.head_to_camera[np.flatnonzero(track.valid)[0]]
    still, moved = head.attributes(shapes, pose), shapes.copy()
    moved[[BLENDSHAPE_NAMES.index(name) for name in ("eyeBlinkLeft", "eyeBlinkRight", "browInnerUp")]] = 1
    changed = np.abs(head.attributes(moved, pose) - still).max(0) > 1e-6
    assert changed[head.lips : head.lips + head.expressions].any()
    assert not changed[: head.lips].any() and not changed[head.lips + head.expressions :].any()
    driven = torch.from_numpy(head.base[POSITION, head.lips : head.lips + head.expressions].numpy().T.copy())
    weight = region_weight(driven, head.config.expression_region)
    assert float((weight < 0.1).float().mean()) < 0.1  # they may drift while they are trained


# -- parts ------------------------------------------------------------------------------------------------------------


def test_the_loss_is_the_expected_error_over_any_background():
    rng = np.random.default_rng(0)
    image = rng.random((6, 5, 4), np.float32)
    colour, alpha = rng.integers(0, 256, (4, 3, 3), np.uint8), rng.integers(0, 256, (4, 3), np.uint8)
    gradient, box = np.zeros_like(image), np.zeros(4, np.int32)
    one = np.float32(1)
    loss = loss_gradient(image, colour, alpha, 1, 2, box, one, one, gradient)
    true_alpha, true = np.zeros((6, 5, 1)), np.zeros((6, 5, 3))
    true_alpha[2:6, 1:4, 0] = alpha / 255
    true[2:6, 1:4] = colour / 255 * true_alpha[2:6, 1:4]
    background = (np.arange(2000) + 0.5) / 2000
    d, e = image[..., :3] - true, image[..., 3:] - true_alpha
    expected = np.mean((d[..., None] - e[..., None] * background) ** 2, -1).sum()
    assert loss == pytest.approx(expected, rel=1e-4)
    step = 1e-2
    for place in ((3, 2, 1), (0, 0, 3), (4, 3, 3)):
        moved = [image.copy(), image.copy()]
        moved[0][place] += step
        moved[1][place] -= step
        up, down = (loss_gradient(i, colour, alpha, 1, 2, box, one, one, np.zeros_like(i)) for i in moved)
        assert gradient[place] == pytest.approx((up - down) / (2 * step), abs=2e-3)


def test_errors_at_the_mouth_weigh_more():
    image = np.full((4, 4, 4), 0.5, np.float32)
    nothing = np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), np.uint8)
    gradient = np.zeros_like(image)
    loss_gradient(image, *nothing, 0, 0, np.array([0, 0, 2, 4], np.int32), np.float32(3), np.float32(1), gradient)
    np.testing.assert_allclose(gradient[:, :2], 3 * gradient[:, 2:], rtol=1e-6)


def test_density_removes_what_is_never_seen_and_splits_what_is_pulled_along_its_longest_axis():
    head = made_up_gaussians(300)
    weight = np.ones(300, np.float32)
    weight[10:20] = 0
    pull = np.zeros(300, np.float32)
    pull[200] = 5
    head.base[LOG_SCALE, 200] = torch.log(torch.tensor([0.001, 0.004, 0.001]))
    change = density.refit(head, weight, pull, 291, CAMERA)
    assert len(change.source) == 291 and not np.isin(np.arange(10, 20), change.source).any()
    assert change.source[change.fresh].tolist() == [200]
    halves = np.flatnonzero(change.source == 200)
    middle = change.base[POSITION][:, halves].mean(1)
    np.testing.assert_allclose(middle, head.base[POSITION, 200], atol=1e-6)
    assert np.exp(change.base[LOG_SCALE][1, halves]).max() < 0.003
    group = np.searchsorted([head.lips, head.lips + head.expressions], change.source, side="right")
    assert (np.diff(group) >= 0).all()


def test_a_change_of_density_keeps_bases_and_moments_with_their_gaussians():
    head = made_up_gaussians(300)
    optimiser = GaussianOptimiser(head)
    frames = torch.randn(2, 14, 300)
    codes, view = torch.randn(2, head.config.lip_codes), torch.randn(2, 2)
    expression = torch.randn(2, head.config.expression_codes)
    optimiser.lip_gradients(frames, codes)
    optimiser.other_gradients(frames, expression, view)
    optimiser.step(0.0, 1.0, [], [])
    bases, lips = optimiser.ungated["lip_bases"].clone(), head.lips
    moments = optimiser.tensors()["adam.base.0.exp_avg"].clone()
    weight = np.ones(300, np.float32)
    weight[[1, 250]] = 0
    change = density.refit(head, weight, np.zeros(300, np.float32), 0, CAMERA)
    optimiser.resize(change)
    kept = torch.from_numpy(change.source)
    torch.testing.assert_close(optimiser.ungated["lip_bases"], bases[..., kept[kept < lips]])
    torch.testing.assert_close(optimiser.tensors()["adam.base.0.exp_avg"], moments[:, kept])
    assert head.count == 298 and len(head.mattes[0]) == 298


def test_inputs_keep_their_scale_and_saturate_as_a_whole():
    """What hardly varies in a clip moves the head hardly; a grimace moves it a bounded way, in its own direction."""
    head = made_up_gaussians(300)
    codes, inputs = head.lip_code, torch.zeros(400, len(LIP_INDICES))
    inputs[:, 0] = torch.linspace(-2, 2, 400)
    inputs[:, 1] = 0.01 * torch.sin(torch.arange(400.0))
    codes.start(inputs)
    often, rarely = torch.zeros(2, len(LIP_INDICES)), torch.zeros(1, len(LIP_INDICES))
    often[0, 0], often[1, 0], rarely[0, 1] = 1.0, 100.0, 0.01
    with torch.no_grad():
        usual, grimace = codes(often)
        hardly = codes(rarely)[0]
    assert float(hardly.norm()) < 0.02 * float(usual.norm())
    assert 2 < float(grimace.norm() / usual.norm()) < 6, "not 100"
    torch.testing.assert_close(grimace / grimace.norm(), usual / usual.norm())


def test_the_field_teaches_every_slider_once():
    assert sorted(name for group in sliders() for name in group) == sorted(BLENDSHAPE_NAMES)
    assert ("eyeBlinkLeft", "eyeBlinkRight") in sliders() and ("jawLeft",) in sliders()
    assert len(sliders()) + REST_IMAGES < trainer.FIELD_IMAGES


def test_the_field_teaches_the_mouth_at_rest_where_the_frames_have_the_head():
    face, camera = made_up_gaussians(300), Camera(64, 64, 200.0, (32.0, 32.0))
    rng = np.random.default_rng(5)
    poses = np.repeat(np.eye(4)[None], 12, 0)
    poses[:, :3, 3] = rng.normal((0, 0, 0.6), 0.01, (12, 3))
    conditions = rng.uniform(0.1, 1, (12, 52)).astype(np.float32)
    no_mesh = FaceMesh(np.zeros((0, 3)), np.zeros((0, 3), np.int64), np.zeros((52, 0, 3)))
    clip = Clip(camera, poses, conditions, np.arange(8), [], no_mesh, np.zeros(3))
    for target in field_targets(GaussianRenderer(face), clip, REST_IMAGES, rng):
        assert 0 <= target.follows < 8, "a frame of the training"
        np.testing.assert_allclose(target.pose(poses[target.follows]), poses[target.follows], atol=1e-12)
        shut = conditions[target.follows].copy()
        shut[list(LIP_INDICES)] = 0
        np.testing.assert_array_equal(target.conditions, shut)


def test_heads_are_turned_from_frames_near_them_and_no_mouth_is_asked_for_that_the_clip_lacks():
    renderer, camera = GaussianRenderer(made_up_gaussians(300)), Camera(64, 64, 200.0, (32.0, 32.0))
    rng = np.random.default_rng(6)
    poses = np.stack([turned(np.eye(4), yaw, 0) for yaw in np.linspace(-10, 10, 8)])
    poses[:, 2, 3] = 0.6
    conditions = rng.uniform(0, 0.5, (8, 52)).astype(np.float32)
    box = np.zeros((4, 4), np.float32)
    held = [
        Frame(at, np.full((64, 64, 3), 90, np.uint8), np.full((64, 64), 255, np.uint8), 0, 0, box) for at in range(8)
    ]
    no_mesh = FaceMesh(np.zeros((0, 3)), np.zeros((0, 3), np.int64), np.zeros((52, 0, 3)))
    clip = Clip(camera, poses, conditions, np.arange(8), held, no_mesh, np.zeros(3))
    targets = list(field_targets(renderer, clip, trainer.FIELD_IMAGES, rng))
    lips = list(LIP_INDICES)
    for target in targets[REST_IMAGES:]:
        assert target.conditions is not None and (target.conditions[lips] <= 0.5).all()
        assert target.covered is not None
    assert max(target.conditions.max() for target in targets) > 0.7, "brows and lids go further"
    for target in targets[REST_IMAGES + len(sliders()) :]:
        np.testing.assert_array_equal(target.conditions, conditions[target.follows])
        asked = target.pose(poses[target.follows])
        alike = [np.trace(asked[:3, :3].T @ pose[:3, :3]) for pose in poses]
        assert target.follows in np.argsort(alike)[-4:]
        corrected = turned(poses[target.follows], 2, 1)
        corrected[2, 3] += 0.01
        found = np.linalg.inv(corrected) @ target.pose(corrected)
        np.testing.assert_allclose(found[:3, :3], (np.linalg.inv(poses[target.follows]) @ asked)[:3, :3], atol=1e-9)


def test_fine_luminance_of_a_rendering_of_the_field_weighs_less_and_colour_does_not():
    def passed(image):
        found = np.array(np.broadcast_to(image, (128, 128, 4)), np.float32)
        before = found.copy()
        low_pass(found)
        assert float((before * found).sum()) > 0, "a step still leads downhill"
        return found[20:-20, 20:-20]

    rows, columns = np.mgrid[0:128, 0:128]
    fine = np.float32(-1) ** (rows + columns)[..., None]
    np.testing.assert_allclose(passed(1.0), 1, atol=1e-4)
    grey = passed(fine)
    np.testing.assert_allclose(grey[..., :3], FIELD_SHARP * fine[20:-20, 20:-20].repeat(3, 2), atol=0.02)
    np.testing.assert_array_equal(grey[..., 3:], fine[20:-20, 20:-20])
    colour = fine * np.float32([1, -2, 1, 0])
    np.testing.assert_allclose(passed(colour), colour[20:-20, 20:-20], atol=1e-6)


def test_codes_drive_no_gaussian_that_has_left_their_region():
    head = made_up_gaussians(300)
    optimiser = GaussianOptimiser(head)
    frames, codes = torch.randn(2, 14, 300), torch.randn(2, head.config.lip_codes)
    centre, away = torch.tensor(head.config.lip_region.centre_m), torch.tensor([0.0, 0.0, 0.3])
    head.base[POSITION, 0], head.base[POSITION, 1] = centre, centre + away
    optimiser.lip_gradients(frames, codes)
    optimiser.step(0.0, 1.0, [], [])
    optimiser.renew_gates()
    assert float(head.lip_bases[..., 0].abs().max()) > 0
    assert float(head.lip_bases[..., 1].abs().max()) == 0
    finished = GaussianHead.from_tensors(head.config, head.tensors())
    GaussianOptimiser(finished)  # training goes on from what the file holds
    torch.testing.assert_close(finished.lip_bases, head.lip_bases, atol=1e-3, rtol=1e-2)


def test_gaussians_never_get_thinner_than_what_grain_begins_with():
    head = made_up_gaussians(300)
    optimiser = GaussianOptimiser(head)
    head.base[LOG_SCALE] = -20
    optimiser.other_gradients(torch.zeros(1, 14, 300), torch.zeros(1, head.config.expression_codes), torch.zeros(1, 2))
    optimiser.step(0.0, 1.0, [], [])
    assert float(head.base[LOG_SCALE].exp().min()) == pytest.approx(MIN_SCALE_M, rel=1e-4)


def test_smoothing_draws_a_single_motion_to_its_neighbours_and_leaves_a_common_one():
    head = made_up_gaussians(300)
    head.lip_bases[:] = 0
    head.lip_bases[0] = 1e-3
    head.lip_bases[1, 0, 5] = 1e-3
    MotionSmoother(head).lips(head.lip_bases)
    torch.testing.assert_close(head.lip_bases[0], torch.full_like(head.lip_bases[0], 1e-3))
    assert 0 < float(head.lip_bases[1, 0, 5]) < 1e-3


def test_poses_move_against_their_gradient_and_only_those_that_were_drawn():
    fit = PoseFit(3)
    for _ in range(10):
        fit.step(1, np.array([1, 0, 0, 0, 0, -1.0]), 0.0)
        fit.step(2, np.full(6, np.nan), 0.0)
    assert not fit.motion[[0, 2]].any() and fit.motion[1, 0] < 0 < fit.motion[1, 5]
    poses = fit.moved(np.tile(np.eye(4), (3, 1, 1)))
    np.testing.assert_allclose(poses[1, :3, :3] @ poses[1, :3, :3].T, np.eye(3), atol=1e-12)


def test_the_order_of_blending_is_by_distance_from_the_mean_camera():
    head = made_up_gaussians(300)
    pose = np.eye(4)
    pose[2, 3] = 0.6
    order = blending_order(head, mean_camera(pose[None])).numpy()
    place = head.neutral()[POSITION]
    distance = np.linalg.norm(place - np.array([[0], [0], [-0.6]]), axis=0)[order]
    assert sorted(order.tolist()) == list(range(300)) and (np.diff(distance) >= 0).all()


def test_the_training_holds_no_second_copy_of_the_frames(trained):
    """Targets are views of the pool's frames."""
    from backend.training.gaussians.images import frame_target

    workspace = Workspace.open(trained)
    with FramePool(workspace, workspace.head_track(), np.arange(30), 64) as pool:
        pool.begin(Reporter())
        frame = pool.held[0]
        assert frame_target(frame).colour is frame.colour


def test_a_reduced_image_is_the_premultiplied_mean_at_the_same_place():
    rng = np.random.default_rng(0)
    colour, alpha = rng.integers(0, 256, (5, 7, 3), np.uint8), rng.integers(0, 256, (5, 7), np.uint8)
    target = Target(colour, alpha, 3, 2, np.array([4, 2, 8, 6], np.int32), 0)
    small = reduced(target, 2)
    complete, wide = np.zeros((8, 12)), np.zeros((8, 12, 3))
    complete[2:7, 3:10] = alpha / 255
    wide[2:7, 3:10] = colour / 255 * (alpha / 255)[..., None]
    expected = wide.reshape(4, 2, 6, 2, 3).mean((1, 3))
    height, width = small.alpha.shape
    drawn = small.colour / 255 * (small.alpha / 255)[..., None]
    np.testing.assert_allclose(drawn, expected[small.y0 : small.y0 + height, small.x0 : small.x0 + width], atol=2 / 255)
    assert (small.x0, small.y0) == (1, 1) and small.mouth.tolist() == [2, 1, 4, 3]


def test_a_field_that_shows_no_surface_yet_is_refused_in_one_sentence():
    class Empty:
        def render(self, camera, head_to_camera, blendshapes, crop=None, passes=True):
            image = np.zeros((camera.height, camera.width, 4), np.float32)
            return RenderedHead(image, image[..., 0])

    frames = np.arange(40)
    given = Camera(64, 64, 100.0, (32.0, 32.0)), make_motion(40), np.zeros((40, 52), np.float32), frames, make_face()
    no_mesh = FaceMesh(np.zeros((0, 3)), np.zeros((0, 3), np.int64), np.zeros((52, 0, 3)))
    with pytest.raises(WorkspaceError, match="no surface yet: train longer"):
        field_cloud(Empty(), *given, no_mesh, 1000, lambda: None)


def test_a_twin_of_an_earlier_version_is_refused_in_one_sentence(made_up_twin):
    from safetensors import safe_open
    from safetensors.torch import save_file

    from backend.training.checkpoints import load_for_rendering

    path = next((made_up_twin / "checkpoints").glob("gaussians_*.safetensors"))
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys() if name != "lip_code.limit"}  # noqa: SIM118
        about = file.metadata()
    save_file(tensors, path, about)
    with pytest.raises(WorkspaceError, match=r"gaussians_\d+\.safetensors was made by another version: make .* again"):
        load_for_rendering(Workspace.open(made_up_twin), Reporter(), "gaussians").renderer()


@pytest.mark.parametrize(("frame", "pulls"), [(0, True), (-1, False)])
def test_what_only_a_turned_head_shows_is_kept_and_frames_alone_decide_what_is_split(frame, pulls):
    """A rendering of the field has no number. Removed, its Gaussians left holes in a head that is turned by 8 degrees."""
    head, pose = made_up_gaussians(200), np.eye(4)
    pose[2, 3] = 0.6
    target = Target(
        np.zeros((64, 64, 3), np.uint8), np.full((64, 64), 255, np.uint8), 0, 0, np.zeros(4, np.int32), frame
    )
    drawer = BatchDrawer(lambda: get_rasteriser(threads=1), 1.0)
    drawer.forget(head.count)
    view = View(Camera(64, 64, 100.0, (32.0, 32.0)), pose, head.config.filter_m)
    drawer.gradients(head, [target], [view], np.zeros((1, len(BLENDSHAPE_NAMES)), np.float32))
    weight, pull = drawer.weight_and_pull()
    drawer.close()
    assert (weight > density.MIN_WEIGHT).mean() > 0.2
    assert bool(pull.any()) is pulls


def test_what_is_before_the_head_gives_no_gradient():
    rng = np.random.default_rng(2)
    image = rng.random((8, 9, 4), np.float32)
    covered = rng.random((5, 6)) < 0.5
    colour, alpha = rng.integers(0, 256, (5, 6, 3), np.uint8), rng.integers(0, 256, (5, 6), np.uint8)
    target = Target(colour, alpha, 2, 1, np.zeros(4, np.int32), 0, covered=covered)
    gradient, one = np.zeros_like(image), np.float32(1)
    loss_gradient(uncovered(image, target), colour, alpha, 2, 1, target.mouth, one, one, gradient)
    inside = gradient[1:6, 2:8]
    np.testing.assert_allclose(inside[covered], 0, atol=1e-6)
    assert np.abs(inside[~covered]).min() > 0


def test_a_rendering_of_the_field_that_one_sees_through_is_closed():
    """Its outline stays, and colours around the gap fill it."""
    image = np.zeros((200, 200, 4), np.float32)
    image[40:160, 40:160] = (0.8, 0.5, 0.4, 1.0)
    whole = image.copy()
    image[100:103, 60:120] = 0
    image[60:64, 80:84] *= 0.3
    found = without_holes(image)
    np.testing.assert_allclose(found, whole, atol=0.02)
    assert without_holes(whole) is whole
    wide = whole.copy()
    wide[80:120, 80:120] = 0
    assert without_holes(wide)[100, 100, 3] == 0, "what is wide is no gap"


def test_wisps_beside_the_jaw_are_left_out_of_a_rendering_of_the_field_and_hair_is_not():
    image = np.zeros((200, 200, 4), np.float32)
    cv2.ellipse(image, (100, 90), (50, 70), 0, 0, 360, (0.8, 0.5, 0.4, 1.0), -1, cv2.LINE_AA)
    bare = image.copy()
    cv2.line(image, (146, 40), (158, 20), (0.3, 0.2, 0.1, 1.0), 1)
    hair = image.copy()
    cv2.line(image, (140, 120), (152, 140), (0.9, 0.9, 0.9, 1.0), 1)
    image[130:134, 40:44] = 0.5
    found = without_crumbs(image, 90)
    np.testing.assert_array_equal(found[:90], hair[:90])
    assert (
        np.abs(found - hair)[..., 3].max() < 0.4 and np.abs(found - hair)[..., 3].mean() < 1e-3
    )  # the rim is drawn softly
    assert not found[125:145, 150:].any() and not found[130:134, 30:44].any()
    np.testing.assert_array_equal(without_crumbs(bare, 200), bare)
