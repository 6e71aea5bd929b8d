"""Triton's rasteriser agrees with plain PyTorch in value and gradient, in Triton's interpreter where there is no GPU."""

import importlib
import importlib.util
import os

import numpy as np
import pytest
import torch

from backend.renderer.gaussians.kernels import View, get_rasteriser
from backend.renderer.gaussians.kernels.interface import COLOUR, LOG_SCALE, OPACITY, POSITION, ROTATION
from backend.renderer.gaussians.kernels.torch_rasteriser import TorchRasteriser
from backend.renderer.gaussians.renderer import GaussianRenderer
from backend.workspace.camera import Camera
from backend.workspace.poses import rotation_exp
from tests.backend.made_up_gaussians import made_up_gaussians
from tests.backend.renderer.compiled_triton import SHARED_KB, assert_compiles
from tests.backend.renderer.watched_launches import watch_launches

if not importlib.util.find_spec("triton"):
    pytest.skip("Triton is not installed: `python3 install test --triton PATH` brings it", allow_module_level=True)

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"  # read when the kernels are imported

triton_rasteriser = importlib.import_module("backend.renderer.gaussians.kernels.triton_rasteriser")
TritonRasteriser = triton_rasteriser.TritonRasteriser

RANDOM_CASES = 216
DEGENERATE = (
    "no gaussian",
    "one gaussian",
    "all behind",
    "one pixel",
    "one tile",
    "not finite",
    "beside the image",
    "near the camera",
    "too faint",
    "opaque",
    "seen edge-on",
)
KINDS = (*["random"] * 13, *DEGENERATE)


class Case:
    """Gaussians before a camera, of random sizes and number, and what weighs the image in a loss."""

    def __init__(self, seed: int, kind: str = "random") -> None:
        random = np.random.default_rng(seed)
        count = {"no gaussian": 0, "one gaussian": 1, "opaque": 40}.get(kind, int(random.integers(2, 50)))
        width, height = random.integers(1, 34, 2).tolist()
        width, height = {"one pixel": (1, 1), "one tile": (8, 8)}.get(kind, (width, height))
        attributes = np.zeros((14, count), np.float32)
        attributes[POSITION] = random.normal(0, 0.06, (3, count))
        attributes[LOG_SCALE] = np.log(random.uniform(0.002, 0.05, (3, count)))
        attributes[ROTATION] = random.standard_normal((4, count))
        attributes[OPACITY] = random.normal(0.5, 2.5, count)
        attributes[COLOUR] = random.random((3, count))
        if kind == "too faint":
            attributes[OPACITY] = random.uniform(-20, -6, count)  # below 1/255, as alpha
        if kind == "opaque":  # a tile is finished before its list ends
            attributes[OPACITY], attributes[LOG_SCALE] = 3, np.log(random.uniform(0.2, 0.6, (3, count)))
        if kind == "seen edge-on":
            attributes[LOG_SCALE][random.integers(0, 3)] = np.log(1e-7)
        if kind == "not finite":
            attributes[random.integers(0, 14, 4), random.integers(0, count, 4)] = (np.nan, np.inf, -np.inf, np.nan)
        pose = np.eye(4)
        pose[:3, :3] = rotation_exp(random.normal(0, 0.5, 3))
        pose[2, 3] = {"all behind": -1.0, "near the camera": 0.03}.get(kind, random.uniform(0.3, 1))
        pose[0, 3] = 50.0 if kind == "beside the image" else 0.0
        focal = max(width, height) * random.uniform(1, 4)
        camera = Camera(width, height, focal, (width * random.uniform(0.2, 0.8), height * random.uniform(0.2, 0.8)))
        self.attributes, self.order = attributes, random.permutation(count).astype(np.int32)
        self.view = View(camera, pose, float(random.choice([0.0, 3e-4, 3e-3])))
        turned = pose.copy()
        turned[:3, :3] = rotation_exp(random.normal(0, 0.02, 3)) @ pose[:3, :3]
        earlier = attributes + random.normal(0, 1e-3, attributes.shape).astype(np.float32)
        self.asked = {
            "depth": True,
            "mattes": random.random((3, count), np.float32),
            "before": (earlier, View(camera, turned, self.view.filter_m)),
        }
        self.gradient = random.standard_normal((height, width, 4)).astype(np.float32)

    def drawn(self, rasteriser) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """All that a frame gives, and the gradients of a loss."""
        passes = vars(rasteriser.draw(self.attributes, self.order, self.view, **self.asked))
        images = {name: np.array(image) for name, image in passes.items()}
        alone = rasteriser.draw(self.attributes, self.order, self.view)
        assert alone.depth is None and alone.mattes is None and alone.motion is None
        np.testing.assert_array_equal(alone.rgba, images["rgba"])
        found = rasteriser.backward(self.gradient)
        rows = {f"row {row}": values for row, values in enumerate(found.attributes)}
        others = {"pose": found.pose, "pull": found.pull, "weight": found.weight}
        return images, {name: np.array(values) for name, values in (rows | others).items()}


def assert_agrees(case: Case) -> None:
    expected, expected_gradients = case.drawn(TorchRasteriser(dtype=torch.float64))
    found, found_gradients = case.drawn(TritonRasteriser(DEVICE))
    for name, image in expected.items():
        assert_near(found[name], image, 1e-3, name)
    for name, values in expected_gradients.items():
        assert_near(found_gradients[name], values, 1e-2, f"gradient: {name}")


def assert_near(found: np.ndarray, expected: np.ndarray, tolerance: float, name: str) -> None:
    """To within `tolerance` of the largest value."""
    assert found.shape == expected.shape and np.isfinite(found).all(), name
    worst = np.abs(found - expected).max(initial=0)
    assert worst <= tolerance * np.abs(expected).max(initial=0) + 1e-9, (name, worst, np.abs(expected).max())


@pytest.mark.parametrize("kind", DEGENERATE)
def test_degenerate_heads_and_images_agree_with_the_oracle(kind):
    assert_agrees(Case(3, kind))


@pytest.mark.parametrize("seed", (1, 2))
def test_an_image_and_its_gradients_agree_with_the_oracle(seed):
    assert_agrees(Case(seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 100 + RANDOM_CASES))
def test_random_sizes_agree_with_the_oracle(seed):
    assert_agrees(Case(seed, KINDS[seed % len(KINDS)]))


def test_lists_that_are_too_short_are_made_longer():
    case, rasteriser = Case(1), TritonRasteriser(DEVICE)
    rasteriser._room = 3
    assert_near(
        rasteriser.draw(case.attributes, case.order, case.view).rgba,
        TorchRasteriser().draw(case.attributes, case.order, case.view).rgba,
        1e-3,
        "rgba",
    )
    assert rasteriser._room > 3


def test_images_of_another_size_and_heads_of_another_number_take_new_buffers():
    rasteriser, oracle = TritonRasteriser(DEVICE), TorchRasteriser()
    for seed in (1, 2, 1):
        case = Case(seed)
        found, expected = (one.draw(case.attributes, case.order, case.view).rgba for one in (rasteriser, oracle))
        assert_near(found, expected, 1e-3, "rgba")


def test_a_wrong_order_and_gradients_before_a_frame_are_refused():
    case, rasteriser = Case(1), TritonRasteriser(DEVICE)
    with pytest.raises(RuntimeError, match="draw a frame"):
        rasteriser.backward(case.gradient)
    with pytest.raises(ValueError, match="no permutation"):
        rasteriser.draw(case.attributes, case.order + 1, case.view)
    rasteriser.draw(case.attributes, case.order, case.view)
    with pytest.raises(ValueError, match="give one of its shape"):
        rasteriser.backward(case.gradient[:-1])


def test_a_prepared_head_is_drawn_as_from_its_attributes():
    head, random = made_up_gaussians(120), np.random.default_rng(0)
    renderer = GaussianRenderer(head, TritonRasteriser(DEVICE))
    camera, pose = Camera(40, 32, 90.0, (20.0, 16.0)), np.eye(4)
    pose[2, 3] = 0.6
    for passes in (False, True):
        shapes = random.random(52).astype(np.float32)
        found = renderer.render(camera, pose, shapes, passes=passes)
        expected = GaussianRenderer(head, TorchRasteriser()).render(camera, pose, shapes, passes=passes)
        assert_near(found.rgba, expected.rgba, 1e-3, "rgba")
        assert found.rgba[..., 3].max() > 0.9
        if passes:
            assert_near(found.depth_m, expected.depth_m, 1e-3, "depth")
            assert_near(found.mattes, expected.mattes, 1e-3, "mattes")


def test_a_batch_of_a_training_has_the_gradients_that_it_has_on_the_cpu(monkeypatch):
    from backend.training.gaussians import batch as drawing
    from backend.training.gaussians.batch import BatchDrawer
    from backend.training.gaussians.images import Target

    if DEVICE == "cpu":  # Triton's interpreter exchanges its language's functions for all threads at once
        monkeypatch.setattr(drawing, "THREADS", 1)
    head, random = made_up_gaussians(60), np.random.default_rng(0)
    targets = [
        Target(random.integers(0, 256, (16, 16, 3), np.uint8), np.full((16, 16), 255, np.uint8), 2, 1, np.zeros(4, np.int32), frame)
        for frame in range(2)
    ]  # fmt: skip
    pose = np.eye(4)
    pose[2, 3] = 0.6
    views = [View(Camera(20, 20, 50.0, (10.0, 10.0)), pose, head.config.filter_m)] * 2
    found = []
    for name in ("numba", "triton"):
        drawer = BatchDrawer(
            lambda name=name: get_rasteriser(name, DEVICE if name == "triton" else "cpu", threads=1), 1.0
        )
        drawer.forget(head.count)
        batch = drawer.gradients(head, targets, views, np.zeros((2, 52), np.float32))
        found.append((batch.loss, batch.frames.numpy(), batch.pose, *drawer.weight_and_pull()))
        drawer.close()
    for numba, triton in zip(*found, strict=True):
        assert_near(np.asarray(triton), np.asarray(numba), 1e-2, "batch")
    assert found[0][0] > 0


@pytest.mark.skipif(DEVICE != "cpu", reason="of the interpreter")
def test_on_the_cpu_it_is_taken_where_it_is_asked_for():
    assert get_rasteriser("triton").name == "triton" and get_rasteriser().name == "numba"


def test_kernels_are_launched_on_the_device_of_their_tensors(monkeypatch):
    launched = watch_launches(monkeypatch, triton_rasteriser)
    Case(3, "one gaussian").drawn(TritonRasteriser(DEVICE))
    assert len(set(launched)) == 5


@pytest.mark.slow
def test_kernels_compile_where_sizes_are_one(tmp_path):
    """Triton makes constants of arguments that are 1."""
    assert_compiles("gaussians", 90, 6, tmp_path, "ones")


@pytest.mark.slow
@pytest.mark.parametrize("capability", SHARED_KB)
def test_kernels_compile_for_gpus_that_are_not_there(capability, tmp_path):
    assert_compiles("gaussians", capability, 6, tmp_path)


@pytest.mark.slow
def test_a_checkpoint_is_drawn_alike_by_all_rasterisers(twin_once):
    from backend.training import checkpoints
    from backend.workspace.checkpoint_index import GAUSSIANS
    from backend.workspace.store import Workspace

    workspace = Workspace.open(twin_once)
    track = workspace.head_track(head=GAUSSIANS)
    head = checkpoints.load_newest(workspace, kind=GAUSSIANS).gaussians()
    frame, camera = int(np.flatnonzero(track.valid)[20]), track.camera.scaled(64, 64)
    images = [
        GaussianRenderer(head, rasteriser).render(camera, track.head_to_camera[frame], track.blendshapes[frame]).rgba
        for rasteriser in (TorchRasteriser(), get_rasteriser("numba"), TritonRasteriser(DEVICE))
    ]
    assert images[0][..., 3].max() > 0.9
    for one in images:
        for other in images:
            assert np.abs(one - other).max() <= 1 / 255
