"""Which device is chosen, and what is imported for it."""

import os
import subprocess
import sys

import pytest
import torch

from backend.errors import DeviceError
from backend.renderer import devices
from backend.renderer.field.kernels import get_kernel, why_not

HAS_GPU = torch.cuda.is_available()


@pytest.fixture(autouse=True)
def unselected(monkeypatch):
    monkeypatch.setattr(devices, "_selected", None)
    monkeypatch.delenv(devices.DEVICE_VARIABLE, raising=False)


@pytest.mark.parametrize("wanted", ["gpu", "cuda:x", "cpu:1", "mps:0", ""])
def test_a_device_that_is_none_is_named(wanted):
    with pytest.raises(DeviceError, match=f"There is no device {wanted}: give cpu, cuda"):
        devices.select(wanted)


def test_a_gpu_that_is_not_there_is_named():
    with pytest.raises(DeviceError, match="There is no device cuda:99: PyTorch sees"):
        devices.select("cuda:99")


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="there is one here")
def test_apples_gpu_elsewhere_is_named():
    with pytest.raises(DeviceError, match="There is no device mps: it is the GPU of a Mac"):
        devices.select("mps")


def test_the_environment_says_what_auto_is(monkeypatch):
    monkeypatch.setenv(devices.DEVICE_VARIABLE, "cuda:98")
    with pytest.raises(DeviceError, match="cuda:98"):
        devices.current()
    assert devices.select("cpu") == devices.current() == "cpu"


def test_a_gpu_without_memory_is_left_for_the_cpu_with_a_sentence(monkeypatch):
    """Where there is no GPU its answers are made up; the choice is not."""
    warnings = []

    class Listener:
        warning = staticmethod(warnings.append)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "GPU X")
    free = [devices.MIN_FREE_BYTES]
    monkeypatch.setattr(devices, "free_bytes", lambda _: free[0])
    assert devices.select("auto", Listener) == "cuda" and not warnings
    free[0] = 200 << 20
    assert devices.select("cuda:0", Listener) == "cpu"
    assert warnings == [
        "GPU X has 200 MB of free memory, and 1024 are needed: the CPU is used. Close what else uses the GPU, or choose "
        "another one with --device."
    ]


@pytest.mark.skipif(HAS_GPU, reason="there is a GPU here")
def test_kernels_of_a_gpu_say_why_they_do_not_run_on_the_cpu(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    for name in ("triton", "tinycudann"):
        with pytest.raises(ValueError, match=f"The kernel {name} needs an NVIDIA GPU."):
            get_kernel(name)
    assert why_not("numba", "cuda") == "runs on the CPU alone."
    assert get_kernel(device="cpu").name == "numba" and get_kernel(device="mps").name == "torch"


def test_an_explicit_kernel_is_taken(monkeypatch):
    monkeypatch.setenv("SYNCTALK_KERNEL", "torch")
    assert get_kernel().name == "torch"
    monkeypatch.setenv("SYNCTALK_KERNEL", "cuda")
    with pytest.raises(ValueError, match="unknown kernel 'cuda'"):
        get_kernel()


@pytest.mark.long
@pytest.mark.skipif(HAS_GPU, reason="there is a GPU here")
def test_without_a_gpu_nothing_imports_its_packages(tmp_path, root):
    """Not even where they are installed: those found here end the process when they are imported."""
    for name in ("triton", "tinycudann"):
        (tmp_path / f"{name}.py").write_text("import os\nos._exit(7)\n")
    code = """
import sys
from backend.commands.models import list as models
from backend.live import device
from backend.renderer.field.kernels import get_kernel
from backend.training import checkpoints, field_trainer
answer = device()
assert answer["note"] == "tinycudann needs an NVIDIA GPU.", answer
assert "needs an NVIDIA GPU" in models.in_words([])
assert get_kernel().name == answer["kernel"]
assert not {"triton", "tinycudann"} & set(sys.modules)
"""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{root}",
        "SYNCTALK_DEVICE": "",
        "TRITON_INTERPRET": "",
    }
    command = [sys.executable, "-W", "error::UserWarning", "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
