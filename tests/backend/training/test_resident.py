"""Frames in a GPU's memory: rays are gathered there, and a step asks the GPU for nothing. Without a GPU the same code runs on
the CPU."""

import importlib
import importlib.util
import os

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from backend.progress import Reporter
from backend.renderer.field.field import Field, FieldConfig
from backend.renderer.field.rays import pixel_rays
from backend.renderer.field.triplane import TriplaneLayout
from backend.renderer.regions import Region
from backend.training import resident
from backend.training.dataset import Frame
from backend.training.field_trainer import FieldTrainer
from backend.training.objective import Objective
from backend.training.occupancy import SCHEDULE, WARMUP, Occupancy
from backend.training.presets import PRESETS
from backend.training.resident import ResidentFrames
from backend.workspace.camera import Camera
from backend.workspace.poses import rotation_exp

CAMERA = Camera(64, 48, 120.0, (31.0, 24.5))
FRAMES = 12
HAS_TRITON = bool(importlib.util.find_spec("triton"))


@pytest.fixture(autouse=True)
def wanted(monkeypatch):
    monkeypatch.setattr(resident, "is_wanted", lambda device: True)


def _frame(index: int, covered: bool = False) -> Frame:
    """A made-up frame of a size of its own."""
    random = np.random.default_rng(index)
    height, width = random.integers(34, 44, 2).tolist()
    boxes = np.array([[0, 0, width, height], [8, 20, 24, 30], [4, 4, 12, 10], [18, 4, 26, 10]], np.float32)
    colour = random.integers(0, 256, (height, width, 3), np.uint8)
    alpha = random.integers(0, 256, (height, width), np.uint8)
    hidden = random.random((height, width)) < 0.2 if covered else None
    return Frame(index, colour, alpha, int(random.integers(0, 9)), int(random.integers(0, 5)), boxes, hidden)


def _poses() -> np.ndarray:
    random, poses = np.random.default_rng(0), np.tile(np.eye(4), (FRAMES, 1, 1))
    for pose in poses:
        pose[:3, :3] = rotation_exp(random.normal(0, 0.2, 3))
        pose[:3, 3] = 0.02 * random.standard_normal(3) + (0, 0, 0.6)
    return poses


def _held(covered: bool = False, frames: int = FRAMES) -> ResidentFrames:
    conditions = np.repeat(np.arange(FRAMES, dtype=np.float32)[:, None], 52, 1)  # a frame's conditions are its number
    held = ResidentFrames("cpu", frames, conditions, Reporter())
    for index in range(frames):
        held.add(_frame(index, covered))
        held.add(_frame(index, covered))  # read again: it is there already
    return held


@pytest.mark.parametrize("covered", [False, True])
def test_rays_carry_the_pixels_they_go_through(covered, monkeypatch):
    monkeypatch.setattr(resident, "FIRST_PIXELS", 1)  # it grows
    held, poses = _held(covered), _poses()
    assert held.complete and len(held) == FRAMES
    targets = held.sample(poses, CAMERA, 3, 50, 0.3, patches=2, patch_side=32)
    assert targets.starts.tolist() == [0, 50, 100, 150, 1174, 2198]
    for number, index in enumerate(targets.conditions[:, 0].int().tolist()):
        part = slice(*targets.starts[number : number + 2].tolist())
        frame, pose = _frame(index, covered), poses[index]
        points = targets.directions[part].numpy() @ pose[:3, :3].T
        u, v = (CAMERA.focal_px * points[:, :2] / points[:, 2:] + CAMERA.principal_px).T
        x, y = np.round(u - 0.5 - frame.x0).astype(int), np.round(v - 0.5 - frame.y0).astype(int)
        origins, directions = pixel_rays(CAMERA, pose, x + frame.x0 + 0.5, y + frame.y0 + 0.5)
        np.testing.assert_allclose(targets.origins[part], origins, atol=1e-6)
        np.testing.assert_allclose(targets.directions[part], directions, atol=1e-6)
        np.testing.assert_allclose(targets.colour[part], frame.colour[y, x] / 255, atol=1e-6)
        np.testing.assert_allclose(targets.alpha[part, 0], frame.alpha[y, x] / 255, atol=1e-6)
        left, top, right, bottom = frame.boxes[1]
        np.testing.assert_array_equal(targets.at_mouth[part], (x >= left) & (x < right) & (y >= top) & (y < bottom))
        if covered:
            np.testing.assert_array_equal(targets.covered[part, 0], frame.covered[y, x])
    assert covered == (targets.covered is not None)


def test_as_many_rays_go_to_mouth_and_eyes_as_from_the_computers_memory():
    torch.manual_seed(0)
    held = _held()
    few, many = (float(held.sample(_poses(), CAMERA, 8, 2000, share).at_mouth.float().mean()) for share in (0.0, 0.6))
    assert many == pytest.approx(few + 0.6 * (0.5 - few), abs=0.03)  # half of those are at the mouth


def test_poses_that_are_refined_are_taken_up():
    held, poses = _held(), _poses()
    for case in (poses, poses + np.eye(4) * 0):
        moved = case.copy()
        moved[:, 2, 3] += 1
        torch.manual_seed(0)
        near = held.sample(case, CAMERA, 2, 5, 0.0)
        torch.manual_seed(0)
        far = held.sample(moved, CAMERA, 2, 5, 0.0)
        assert ((far.origins - near.origins).norm(dim=1) - 1).abs().max() < 1e-5


def test_frames_that_do_not_fit_stay_in_the_computers_memory_with_a_sentence(monkeypatch):
    warnings = []

    class Listener(Reporter):
        def warning(self, message: str) -> None:
            warnings.append(message)

    monkeypatch.setattr(resident, "FIRST_PIXELS", 3000)
    monkeypatch.setattr(ResidentFrames, "_fits", lambda self, size: False)
    held = ResidentFrames("cpu", FRAMES, np.zeros((FRAMES, 52), np.float32), Listener())
    for index in range(FRAMES):
        held.add(_frame(index))
    assert not held.used and not held.complete and len(warnings) == 1
    assert "too small for the training frames: they stay in the computer's" in warnings[0]


class AsksNothing(TorchDispatchMode):
    """Fails on what would wait for a GPU: numbers brought here, sizes that only it knows, data from here."""

    WAITS = (
        "_local_scalar_dense",
        "nonzero",
        "masked_select",
        "is_nonzero",
        "equal",
        "unique",
        "lift_fresh",
        "repeat_interleave",
    )

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.name().removeprefix("aten::").split(".")[0].lstrip("_")
        assert name not in [wait.lstrip("_") for wait in self.WAITS], function.name()
        if name.startswith("index"):
            masks = [part for part in args[1] if part is not None] if isinstance(args[1], list | tuple) else []
            assert not any(mask.dtype == torch.bool for mask in masks), function.name()
        return function(*args, **(kwargs or {}))


def _trainer(kernel) -> FieldTrainer:
    """With made-up frames, and a small field."""
    lips, face = Region((0.0, 0.05, -0.1), (0.05, 0.03, 0.05)), Region((0.0, -0.05, -0.1), (0.08, 0.05, 0.08))
    layout = TriplaneLayout(3, 7, 4, 32)
    config = FieldConfig(
        (-0.15,) * 3, 0.3, 0.3 / 16, lips, face, (0.0,) * 52, layout, hidden=16, geometry=8, occupancy_cells=16
    )
    trainer = FieldTrainer.__new__(FieldTrainer)
    trainer.preset = PRESETS["preview"].changed(["images_per_step=3", "rays_per_image=10", "max_samples=4"])
    trainer.device, trainer.kernel, trainer.limit_steps, trainer.limit_s, trainer.skipped = (
        "cpu",
        kernel,
        10**6,
        1.0,
        0.0,
    )
    trainer.field, trainer.poses, trainer.camera = Field(config), _poses(), CAMERA
    trainer.resident, trainer.objective = _held(), Objective(trainer.preset, kernel, "cpu", 52, FRAMES)
    trainer.occupancy = Occupancy(torch.ones(16, 16, 16, dtype=torch.bool), asks=False)
    trainer.step = 0
    trainer._make_optimiser()
    return trainer


@pytest.mark.skipif(not HAS_TRITON, reason="Triton is not installed: `python3 install test --triton PATH` brings it")
def test_a_step_asks_the_gpu_for_nothing():
    if not torch.cuda.is_available():
        os.environ["TRITON_INTERPRET"] = "1"  # read when the kernels are imported
    kernel = importlib.import_module("backend.renderer.field.kernels.triton_kernel").TritonKernel()
    trainer = _trainer(kernel)
    trainer.train_step()  # whose number is a multiple of ten, and which makes what later steps keep
    trainer.step = WARMUP + SCHEDULE[0][1] - WARMUP % SCHEDULE[0][1] - 1
    assert trainer.step % 10
    before = trainer.field.tables.detach().clone()
    with AsksNothing():
        trainer.train_step()
    assert not torch.equal(before, trainer.field.tables)


def test_what_waits_for_a_gpu_is_found():
    one = torch.ones(3)
    for waits in (lambda: float(one[0]), lambda: one[one > 0], lambda: one.nonzero(), lambda: torch.tensor([1.0])):
        with pytest.raises(AssertionError), AsksNothing():
            waits()


@pytest.mark.slow
def test_a_training_from_resident_frames_reaches_what_one_from_memory_does(processed, monkeypatch):
    from backend.commands import train
    from backend.workspace.store import Workspace

    psnr = []
    for wanted in (False, True):
        monkeypatch.setattr(resident, "is_wanted", lambda device, wanted=wanted: wanted)
        psnr.append(train.run(train.Options(workspace=processed, steps=350, head="field"), Reporter()).psnr)
        for checkpoint in Workspace.open(processed).checkpoints.glob("*"):
            checkpoint.unlink()
    assert min(psnr) > 20 and abs(psnr[1] - psnr[0]) < 0.5, psnr
