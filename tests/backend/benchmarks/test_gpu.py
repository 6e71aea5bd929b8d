"""`bench gpu` runs as far as a machine without a GPU lets it."""

import json

import pytest
import torch

from backend.benchmarks import gpu, gpu_gaussians, gpu_rows, renderer, training
from backend.errors import DeviceError
from backend.progress import Reporter
from backend.renderer.field.kernels import get_kernel
from backend.renderer.gaussians.kernels.torch_rasteriser import TorchRasteriser
from backend.workspace.store import Workspace


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so():
    with pytest.raises(DeviceError, match="There is no device cuda: PyTorch sees no CUDA device."):
        gpu.run(gpu.Options(), Reporter())


@pytest.mark.long
def test_kernels_are_compared_on_a_made_up_head():
    kernels = {name: get_kernel(name) for name in ("torch", "numba")}
    found = gpu_rows.rows("cpu", (24,), (64,), gpu_rows.made_up_scene("cpu"), kernels)
    for row in found["kernels"].values():
        assert row["frames"]["24"] > 0 and row["steps"]["64"] > 0
        assert row["frames_floor"]["24"] > 1 and row["steps_floor"]["64"] > 1
        assert row["levels_from_torch"] < 3 and "frames_to_tinycudann" not in row
    plain = found["kernels"]["torch"]
    assert plain["frames_ratio"] == {"24": 1.0} and plain["levels_from_torch"] < 0.01
    gaussians = gpu_gaussians.rows("cpu", (24,), count=200)
    assert set(gaussians) == {"torch", "numba"} and gaussians["numba"]["levels_from_torch"] < 1
    result = {
        "machine": "a machine", **found, "gaussians": gaussians,
        "left_out": "the training: 1 s were left, and it takes 210",
    }  # fmt: skip
    json.dumps(result)
    text = gpu.in_words(result)
    assert text.count("| numba | ") == 2 and "triton needs an NVIDIA GPU." in text and "Left out: the training" in text


def test_a_gpu_too_small_for_plain_pytorch_leaves_its_row_empty(monkeypatch):
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(TorchRasteriser, "backward", full)
    found = gpu_gaussians.rows("cpu", (16,), count=20)
    assert not found["torch"]["frames"] and found["numba"]["frames"]["16"] > 0
    assert "| torch | – | – |" in "\n".join(gpu_gaussians.in_words(found))


@pytest.mark.long
def test_the_renderer_s_rows_of_a_gpu_are_of_the_frames_that_the_cpu_draws(trained, monkeypatch):
    monkeypatch.setattr(renderer, "SIZES", (24,))
    monkeypatch.setattr(renderer, "FRAMES", 2)
    found = renderer._on_gpu(Workspace.open(trained), Reporter(), "cpu")
    assert set(found["kernels"]) == {"torch", "numba"} and found["kernels"]["numba"]["frames"]["24"] > 0
    assert "| kernel on cpu | 24² | from torch, of 255 |" in gpu_rows.in_words(found)


@pytest.mark.slow
def test_the_training_s_rows_of_a_gpu_are_steps_of_each_kernel(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "COST_STEPS", 20)
    monkeypatch.setattr(training, "KERNELS", ("numba", "torch"))
    found = training._on_gpu(Workspace.open(trained), tmp_path / "run", "preview", "cpu")
    assert set(found["trained"]) == {"torch", "numba"}
    assert found["kernels"]["numba"]["steps"]["4096"] > 0 and not found["kernels"]["numba"]["frames"]
    words = training.in_words({"machine": "a", "clip": "b", "preset": "c", "trainings": [], "costs": [], "gpu": found})
    assert "step of 4096 rays" in words and "numba: " in words
