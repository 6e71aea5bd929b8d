"""A frame drawn on a GPU goes into mapped memory as the CPU's does, and where a GPU's memory runs out the CPU draws."""

import os
import warnings as python_warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from backend.progress import Reporter
from backend.renderer import devices
from backend.renderer.field.device_frames import DeviceFrames
from backend.renderer.field.kernels import get_kernel
from backend.renderer.field.renderer import FieldRenderer, _in_tiles
from backend.renderer.gaussians.kernels import Drawn, get_rasteriser
from backend.renderer.gaussians.renderer import GaussianRenderer
from backend.renderer.head import Moment, SharedRenderer
from backend.renderer.scene_linear import write_scene_linear
from backend.renderer.shared_copy import SharedCopy, scene_linear
from backend.workspace.camera import Camera
from tests.backend.made_up_gaussians import made_up_gaussians

CAMERA = Camera(24, 20, 60.0, (12.0, 10.0))
SHAPES = np.zeros(52, np.float32)


@pytest.fixture
def pose():
    result = np.eye(4)
    result[2, 3] = 0.6
    return result


@pytest.fixture
def warnings(monkeypatch):
    """Those of the process's devices; a GPU's names are made up."""
    found: list[str] = []

    class Listener(Reporter):
        def warning(self, message: str) -> None:
            found.append(message)

    monkeypatch.setattr(devices, "_selected", "cuda")
    monkeypatch.setattr(devices, "_reporter", Listener())
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "GPU X")
    return found


def test_the_device_encodes_an_image_as_the_compiled_code_does():
    random = np.random.default_rng(0)
    alpha = random.random((9, 33, 1), np.float32) * (random.random((9, 33, 1)) < 0.8)
    image = np.concatenate([random.random((9, 33, 3), np.float32) * alpha, alpha], 2).astype(np.float32)
    expected, found = np.empty_like(image), np.empty_like(image)
    write_scene_linear(image, expected)
    SharedCopy(torch.device("cpu")).write(scene_linear(torch.from_numpy(image)), found)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.skipif(os.name == "nt", reason="nothing is registered on Windows")
def test_memory_that_the_gpu_may_not_write_leaves_no_error_behind(monkeypatch):
    """CUDA's error of a refused registration waits for the next launch: one of no consequence takes it, once for a mapping."""
    asked, launched = [], []

    def register(address: int, *_: int) -> int:
        asked.append(address)
        return 801

    def ones(*_: object, **__: object) -> None:
        launched.append(len(asked))
        raise RuntimeError("CUDA error: operation not supported")

    monkeypatch.setattr(torch.cuda, "cudart", lambda: SimpleNamespace(cudaHostRegister=register))
    monkeypatch.setattr(torch, "ones", ones)
    copy, out = SharedCopy(torch.device("cuda")), np.zeros((2, 2, 4), np.float32)
    assert [copy._may_write(out) for _ in range(2)] == [False, False]
    assert asked == [out.ctypes.data] and launched == [1]


def test_a_field_s_frame_is_the_one_that_the_cpu_writes(pose):
    from backend.benchmarks.gpu_rows import made_up_scene

    field, kernel = made_up_scene("cpu").field, get_kernel("numba")
    crop = 0, 0, CAMERA.width, CAMERA.height
    frames = DeviceFrames(field, kernel, CAMERA, crop, *_in_tiles(*crop))
    expected, found = np.empty((2, CAMERA.height, CAMERA.width, 4), np.float32)
    write_scene_linear(FieldRenderer(field, kernel).render(CAMERA, pose, SHAPES).rgba, expected)
    frames.write_shared(pose, SHAPES, found)
    assert expected[..., 3].max() > 0.9
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_arrays_that_are_read_only_are_taken_without_a_warning(pose):
    """As a checkpoint's are. PyTorch warns of them on the terminal."""
    from backend.benchmarks.gpu_rows import made_up_scene

    field, kernel, shapes = made_up_scene("cpu").field, get_kernel("numba"), np.zeros(52, np.float32)
    given = pose.astype(np.float32), shapes
    for array in given:
        array.flags.writeable = False
    crop = 0, 0, CAMERA.width, CAMERA.height
    always = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        with python_warnings.catch_warnings():
            python_warnings.simplefilter("error")
            DeviceFrames(field, kernel, CAMERA, crop, *_in_tiles(*crop)).draw(*given)
            FieldRenderer(field, kernel).render(CAMERA, *given)
            for name in ("numba", "torch"):
                GaussianRenderer(made_up_gaussians(20), get_rasteriser(name)).render(CAMERA, *given)
    finally:
        torch.set_warn_always(always)


def test_on_the_cpu_renderers_write_nothing_themselves(pose):
    from backend.benchmarks.gpu_rows import made_up_scene

    for renderer in (FieldRenderer(made_up_scene("cpu").field), GaussianRenderer(made_up_gaussians(50))):
        assert isinstance(renderer, SharedRenderer)
        out = np.full((CAMERA.height, CAMERA.width, 4), 7, np.float32)
        assert not renderer.write_shared(Moment(CAMERA, pose, SHAPES), out)
        assert (out == 7).all()


class FullRasteriser:
    """On a GPU without memory."""

    name, device = "full", "cuda"

    def __init__(self, error: RuntimeError) -> None:
        self.error = error

    def draw(self, *_: object, **__: object) -> Drawn:
        raise self.error


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("Triton Error [CUDA]: out of memory")]
)
def test_gaussians_are_drawn_on_the_cpu_where_the_memory_runs_out(error, pose, warnings):
    head = made_up_gaussians(50)
    renderer = GaussianRenderer(head, FullRasteriser(error))
    expected = GaussianRenderer(head, get_rasteriser("numba")).render(CAMERA, pose, SHAPES).rgba
    np.testing.assert_array_equal(renderer.render(CAMERA, pose, SHAPES).rgba, expected)
    assert renderer.rasteriser.name == "numba" and devices.current() == "cpu"
    assert warnings == [
        "The memory of GPU X ran out: the CPU is used from here on. Close what else uses the GPU, or choose another one with "
        "--device."
    ]


def test_another_error_of_a_gpu_is_not_hidden(pose, warnings):
    renderer = GaussianRenderer(made_up_gaussians(50), FullRasteriser(RuntimeError("an illegal address")))
    with pytest.raises(RuntimeError, match="an illegal address"):
        renderer.render(CAMERA, pose, SHAPES)
    assert not warnings and devices.current() == "cuda"


def test_a_field_is_drawn_on_the_cpu_where_the_memory_runs_out(pose, warnings, monkeypatch):
    from backend.benchmarks.gpu_rows import made_up_scene

    field = made_up_scene("cpu").field
    given, trained = FieldRenderer(field), FieldRenderer(field, get_kernel("numba"))
    expected = trained.render(CAMERA, pose, SHAPES).rgba
    full = torch.OutOfMemoryError("CUDA out of memory.")
    asked = []

    def left(error: RuntimeError, device: str) -> bool:
        asked.append(error)
        return True

    monkeypatch.setattr(devices, "left_for_cpu", left)
    for renderer in (given, trained):
        try:
            renderer._leave_gpu(full)
        except torch.OutOfMemoryError:
            assert renderer is trained, (
                "a field that is being trained is not moved: the training begins again on the CPU"
            )
    assert asked == [full]
    np.testing.assert_array_equal(given.render(CAMERA, pose, SHAPES).rgba, expected)


def test_a_training_resumes_on_the_cpu_where_the_memory_runs_out(monkeypatch, warnings):
    from backend.commands import train as command
    from backend.training import train

    used = []

    def run(*arguments: object, **_: object) -> str:
        used.append(arguments[5])
        if arguments[5] != "cpu":
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return "trained"

    monkeypatch.setattr(train, "train", run)
    options = command.Options(workspace="unused")
    assert command._train(None, None, options, "cuda:0", Reporter()) == "trained"
    assert used == ["cuda:0", "cpu"] and len(warnings) == 1
