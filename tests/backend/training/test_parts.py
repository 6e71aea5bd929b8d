"""The parts of training: the pool of frames, occupancy, losses, the split, poses aligned to a frame."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from backend.portrait_sync.foreground import foreground_colour
from backend.progress import Reporter
from backend.renderer.field.renderer import FieldRenderer
from backend.renderer.regions import region_weight
from backend.training import checkpoints, dataset
from backend.training.dataset import FramePool, read_frame
from backend.training.losses import colour_loss, structural_loss
from backend.training.monitor import EvalRecord, Monitor, validation_split
from backend.training.occupancy import Occupancy, without_gaps
from backend.training.pose_refinement import Refined, focal_step, move, refine_pose
from backend.training.regions import expression_region, eye_regions, lip_region
from backend.workspace.camera import Camera
from backend.workspace.landmarks import LIPS
from backend.workspace.store import Workspace


def test_occupied_surfaces_are_closed_and_two_cells_deep():
    cells = torch.zeros(9, 9, 9, dtype=torch.bool)
    cells[:, :, 4] = True
    cells[4, 4, 4] = False
    closed = without_gaps(cells)
    assert closed[2:7, 2:7, 4:6].all()
    assert not closed[:, :, :4].any() and not closed[:, :, 6:].any()


def test_cells_that_rays_use_stay_and_others_go(trained):
    field = checkpoints.load_for_rendering(Workspace.open(trained)).field()
    hull = torch.ones_like(field.occupied, dtype=torch.bool)
    occupancy = Occupancy(hull)
    used = torch.tensor([[0.505, 0.505, 0.505]])
    for step in range(3000, 3000 + 128 * 12):
        occupancy.remember(field, step, used, torch.tensor([0.9]))
    grid = hull.shape[0]
    middle = int(0.505 * grid)
    assert field.occupied[middle, middle, middle] and int(field.occupied.sum()) < 30


def test_the_foreground_is_freed_of_the_plate_where_both_are_mixed():
    plate, colour = np.full((2, 3, 3), 200, np.uint8), np.full((2, 3, 3), 40, np.uint8)
    alpha = np.array([[0, 128, 255], [64, 192, 128]], np.uint8)
    a = alpha[..., None] / 255
    mixed = np.round(a * colour + (1 - a) * plate).astype(np.uint8)
    found = foreground_colour(mixed, alpha, plate)
    assert np.abs(found[alpha > 60].astype(int) - 40).max() <= 3
    np.testing.assert_array_equal(found[0, 0], plate[0, 0])


@pytest.fixture
def pool(trained, monkeypatch):
    workspace = Workspace.open(trained)
    tracking = workspace.head_track()
    monkeypatch.setattr(dataset, "FIRST_FRAMES", 6)
    with FramePool(workspace, tracking, np.flatnonzero(tracking.valid)[:40], 128) as made:
        made.begin(Reporter())
        yield made


def test_all_frames_come_in_when_memory_allows(pool):
    assert len(pool.held) == 6
    spread = sorted(frame.index for frame in pool.held)
    assert spread[-1] - spread[0] > 25, "the first frames are spread over the clip"
    for step in range(100):
        pool.advance(step)
    assert sorted(frame.index for frame in pool.held) == list(range(40))


def test_a_long_clip_takes_turns_within_its_memory(pool, monkeypatch):
    monkeypatch.setattr(dataset, "POOL_BYTES", sum(frame.bytes for frame in pool.held) * 2)
    seen = set()
    for step in range(400):
        pool.advance(step)
        seen.update(frame.index for frame in pool.held)
        assert sum(frame.bytes for frame in pool.held) <= dataset.POOL_BYTES
    assert seen == set(range(40)) and len(pool.held) < 20


def test_frames_are_recoloured_once_from_their_own_colour(pool):
    own = {frame.index: frame.colour.copy() for frame in pool.held}

    def darker(frame):
        return frame.colour // 2

    for _ in range(2):
        pool.recolour(darker)
        assert [frame.index for frame in pool.held] == list(own)
        for frame in pool.held:
            np.testing.assert_array_equal(frame.colour, own[frame.index] // 2)
    pool.advance(0)
    assert len(pool.held) == 7 and pool.held[-1].colour.max() < 128, "frames that are read later as well"
    pool.recolour(None)
    for frame in list(pool.held)[:6]:
        np.testing.assert_array_equal(frame.colour, own[frame.index])
    assert pool.held[-1].colour.max() > 128


def test_rays_carry_the_pixels_they_go_through(pool):
    rng = np.random.default_rng(0)
    rays = pool.sample(rng, 3, 50, 0.3, patches=2, patch_side=32)
    assert rays.counts.tolist() == [50, 50, 50, 1024, 1024] and len(rays.u) == 150 + 2048
    by_index = {frame.index: frame for frame in pool.held}
    first = 0
    for index, count in zip(rays.frames, rays.counts, strict=True):
        frame = by_index[int(index)]
        part = slice(first, first + count)
        x, y = (rays.u[part] - 0.5 - frame.x0).astype(int), (rays.v[part] - 0.5 - frame.y0).astype(int)
        np.testing.assert_allclose(rays.colour[part], frame.colour[y, x] / 255, atol=1e-6)
        np.testing.assert_allclose(rays.alpha[part, 0], frame.alpha[y, x] / 255, atol=1e-6)
        left, top, right, bottom = frame.boxes[1]
        np.testing.assert_array_equal(
            rays.at_mouth[part], (x >= left) & (x < right) & (y >= top) & (y < bottom), err_msg=str(index)
        )
        first += count
    assert rays.at_mouth[:150].mean() > 0.05
    assert np.ptp(rays.u[-1024:]) == 31 and np.ptp(rays.v[-1024:]) == 31


def test_validation_frames_lie_in_runs_away_from_the_training_frames():
    usable = np.arange(10, 1600)
    training, evaluated = validation_split(usable, Fraction(25))
    assert len(evaluated) == 6 and len(training) == len(usable) - 45
    assert min(np.abs(training - frame).min() for frame in evaluated) >= 5
    training, evaluated = validation_split(np.arange(30), Fraction(25))
    assert len(evaluated) >= 3 and not set(evaluated) & set(training)


def test_a_plateau_and_a_collapse_are_detected(trained):
    workspace = Workspace.open(trained)
    monitor = Monitor(workspace, np.arange(20), np.arange(3), workspace.head_track().camera)

    def course(*values: float) -> None:
        monitor.records = [EvalRecord(500 * (i + 1), 0.1, value, value, 30.0) for i, value in enumerate(values)]

    course(20, 25, 28, 30, 31, 31.5, 31.8, 32.0)
    assert not monitor.has_plateaued(0) and not monitor.has_collapsed()
    course(20, 25, 28, 32, 31.9, 32.0, 31.9, 32.01, 32.0)
    assert monitor.has_plateaued(0)
    assert not monitor.has_plateaued(3000), "too little has passed since the poses changed"
    course(20, 25, 28, 21)
    assert monitor.has_collapsed()


def test_what_moves_the_upper_face_does_not_reach_the_lips_nor_the_reverse(processed_once):
    face = Workspace.open(processed_once).head_track().face_head_m
    points = torch.tensor(face, dtype=torch.float32)
    lips, eyes = points[list(LIPS)], points[[33, 133, 159, 145, 263, 362, 386, 374, 105, 334]]
    assert region_weight(lips, expression_region(face)).max() < 0.01
    assert region_weight(eyes, lip_region(face)).max() < 0.01
    assert region_weight(eyes, expression_region(face)).min() > 0.85
    assert region_weight(lips, lip_region(face)).min() > 0.7


def test_errors_at_the_mouth_count_as_often_as_the_preset_says():
    predicted, truth = torch.rand(6, 3), torch.rand(6, 3)
    errors = ((predicted - truth) ** 2).sum(1)
    at_mouth = torch.tensor([True, False, False, True, False, False])
    loss = colour_loss(predicted, truth, at_mouth, 12.0)
    torch.testing.assert_close(loss, (12 * errors[at_mouth].sum() + errors[~at_mouth].sum()) / 18)
    torch.testing.assert_close(colour_loss(predicted, truth, at_mouth, 1.0), errors.sum() / 18)


def test_the_structural_loss_knows_blur_from_brightness():
    truth = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert float(structural_loss(truth, truth)) == pytest.approx(0, abs=1e-5)
    blurred = torch.nn.functional.avg_pool2d(truth, 5, 1, 2, count_include_pad=False)
    brighter = (truth + 0.05).clamp(max=1)
    assert float(structural_loss(blurred, truth)) > 3 * float(structural_loss(brighter, truth)) > 0


def test_a_pose_is_found_again_by_alignment(trained):
    """The truth is the head's own rendering, so the pose that made it is known."""
    workspace = Workspace.open(trained)
    head = checkpoints.load_for_rendering(workspace)
    tracking, renderer = workspace.head_track(), FieldRenderer(head.field())
    camera: Camera = tracking.camera
    index = int(np.flatnonzero(tracking.valid)[5])
    frame = read_frame(workspace, tracking, index, workspace.subject.size)
    pose, blendshapes = tracking.head_to_camera[index], tracking.blendshapes[index]
    image = renderer.render(camera, pose, blendshapes).rgba
    part = image[frame.y0 : frame.y0 + frame.alpha.shape[0], frame.x0 : frame.x0 + frame.alpha.shape[1]]
    colour = np.clip(part[..., :3] / np.maximum(part[..., 3:], 1e-3) * 255, 0, 255).astype(np.uint8)
    made = dataset.Frame(index, colour, (part[..., 3] * 255).astype(np.uint8), frame.x0, frame.y0, frame.boxes)
    regions = (lip_region(tracking.face_head_m), *eye_regions(tracking.face_head_m))
    away = move(pose, np.array([*np.radians([0.5, -0.5, 0.0]), 0.0015, -0.001, 0.0]))
    found = refine_pose(renderer, camera, away, blendshapes, made, regions, np.random.default_rng(0), 40_000, 8)

    def off_px(other: np.ndarray) -> float:
        there, here = (camera.project(each, tracking.face_head_m)[0] for each in (other, pose))
        return float(np.linalg.norm(there - here, axis=1).mean())

    assert off_px(found.pose) < 0.4 * off_px(away)


def test_perspective_alone_gives_the_focal_length():
    """Made-up equations in which only the focal length explains what the poses cannot."""
    random = np.random.default_rng(0)
    frames = []
    for _ in range(20):
        matrix = random.normal(size=(300, 7))
        right = matrix @ np.array([*random.normal(size=6) * 1e-4, 0.05])
        frames.append(Refined(np.eye(4), matrix.T @ matrix * 1e4, matrix.T @ right * 1e4))
    assert focal_step(frames, 0.1) == pytest.approx(0.05, abs=2e-3)
    assert focal_step([Refined(np.eye(4), np.zeros((7, 7)), np.zeros(7))], 0.1) == 0
