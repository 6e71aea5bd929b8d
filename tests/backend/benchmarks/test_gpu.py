"""`bench gpu` runs as far as a machine without a GPU lets it."""

import json

import pytest
import torch

from backend.benchmarks import gpu
from backend.errors import DeviceError
from backend.progress import Reporter
from backend.renderer.field.kernels import get_kernel


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so():
    with pytest.raises(DeviceError, match="There is no device cuda: PyTorch sees no CUDA device."):
        gpu.run(gpu.Options(), Reporter())


@pytest.mark.long
def test_kernels_are_compared_on_a_made_up_head(tmp_path):
    kernels = {name: get_kernel(name) for name in ("torch", "numba")}
    table = gpu.compare(kernels, "cpu", (24,), (64,))
    for row in table.values():
        assert row["frames"]["24"] > 0 and row["steps"]["64"] > 0
        assert row["levels_from_torch"] < 3
    assert table["torch"]["frames_ratio"] == {"24": 1.0} and table["torch"]["levels_from_torch"] < 0.01
    result = {
        "machine": "a machine", "device": "cpu", "unusable": {"triton": "needs an NVIDIA GPU."}, "rates": gpu.rates("cpu"),
        "kernels": table, "left_out": "the training: 1 s were left, and it takes 210",
    }  # fmt: skip
    json.dumps(result)
    text = gpu.in_words(result)
    assert "| numba | " in text and "triton needs an NVIDIA GPU." in text and "Left out: the training" in text
