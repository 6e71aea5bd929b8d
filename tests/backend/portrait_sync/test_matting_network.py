"""The matting network: its file's format, its memory, and runs that are stopped; with the published weights where they were fetched."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional

from backend import models
from backend.errors import ModelError
from backend.portrait_sync import stage
from backend.portrait_sync.matting_network import matter
from backend.portrait_sync.matting_network.matter import PersonMatter
from backend.portrait_sync.matting_network.network import MattingNetwork
from backend.portrait_sync.matting_network.weights import layers_of, read_tensors
from backend.progress import Reporter
from backend.workspace.store import Workspace

from .test_stage import results, workspace  # noqa: F401, a fixture

SIDE, RUN, WARM_UP = 32, 8, 3
EXPANDED = (16, 64, 72, 72, 120, 120, 240, 200, 184, 184, 480, 672, 672, 960, 960)
CHANNELS = (16, 24, 24, 40, 40, 40, 80, 80, 80, 80, 112, 112, 160, 160, 160)
WINDOWS = (3, 3, 3, 5, 5, 5, 3, 3, 3, 3, 3, 3, 5, 5, 5)
SQUEEZED = {3: 24, 4: 32, 5: 32, 10: 120, 11: 168, 12: 168, 13: 240, 14: 240}


def shapes() -> list[tuple[str, tuple[int, ...]]]:
    """Every convolution of the network in its order, as TensorFlow has them: (height, width, in, out)."""
    found: list[tuple[str, tuple[int, ...]]] = [("conv2d", (3, 3, 3, 16))]
    before = 16
    for index, (wide, out, window) in enumerate(zip(EXPANDED, CHANNELS, WINDOWS, strict=True)):
        if index:
            found.append(("conv2d", (1, 1, before, wide)))
        found.append(("depthwise_conv2d", (window, window, wide, 1)))
        if index in SQUEEZED:
            found += [("conv2d", (1, 1, wide, SQUEEZED[index])), ("conv2d", (1, 1, SQUEEZED[index], wide))]
        found.append(("conv2d", (1, 1, wide, out)))
        before = out
    found += [("conv2d", (1, 1, 160, 960)), ("conv2d", (1, 1, 960, 128)), ("conv2d", (1, 1, 960, 128))]
    found += [("conv2d", (3, 3, 128, 128)), ("conv2d", (3, 3, 128, 64))]
    for joined, out in ((128 + 40 + 3, 80), (80 + 24 + 3, 40), (40 + 16 + 3, 32)):
        found += [("conv2d", (3, 3, before, after)) for before, after in ((joined, out), (out, out), (out, out // 2))]
    return [*found, ("conv2d", (3, 3, 35, 16)), ("conv2d", (3, 3, 16, 16)), ("conv2d", (1, 1, 16, 4))]


def write_network(folder: Path) -> tuple[Path, Path]:
    """Random weights, as the published files hold theirs: manifest and values."""
    random, numbers = np.random.default_rng(0), {"conv2d": 0, "depthwise_conv2d": 0}
    entries, data = [], b""
    for kind, shape in shapes():
        number, numbers[kind] = numbers[kind], numbers[kind] + 1
        name = f"net/block_{number}/{kind}" + (f"_{number}" if number else "")
        fan = shape[0] * shape[1] * (1 if kind == "depthwise_conv2d" else shape[2])
        wide = 2.2 / np.sqrt(fan)  # so that neither features nor alpha saturate
        offset = 0.5 if shape == (1, 1, 16, 4) else 0.0
        sizes = (shape, wide, 0.0), ((shape[2] if kind[0] == "d" else shape[3],), 0.1, offset)
        for part, (size, around, middle) in zip(("Conv2D_weights", "Conv2D_bn_offset"), sizes, strict=True):
            packing = {"dtype": "uint8", "scale": 2 * around / 255, "min": middle - around}
            entries.append({"name": f"{name}/{part}", "shape": size, "dtype": "float32", "quantization": packing})
            data += random.integers(0, 256, int(np.prod(size)), np.uint8).tobytes()
        entries.append({"name": f"{name}/axis", "shape": [1], "dtype": "int32"})
        data += np.int32(3).tobytes()
    manifest, values = folder / "rvm_mobilenetv3.json", folder / "rvm_mobilenetv3.bin"
    manifest.write_text(json.dumps({"weightsManifest": [{"paths": [values.name], "weights": entries}]}), "utf-8")
    values.write_bytes(data)
    return manifest, values


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> MattingNetwork:
    return MattingNetwork(layers_of(read_tensors(*write_network(tmp_path_factory.mktemp("network")))))


@pytest.fixture(autouse=True)
def short_runs(monkeypatch) -> None:
    monkeypatch.setattr(matter, "RUN", RUN)
    monkeypatch.setattr(matter, "WARM_UP", WARM_UP)


@pytest.fixture
def frames() -> np.ndarray:
    """(N, S, S, 3) uint8: a disc that wanders, a little more than a run."""
    images = np.full((RUN + 3, SIDE, SIDE, 3), 60, np.uint8)
    for index, image in enumerate(images):
        cv2.circle(image, (12 + index % 9, 16), 6, (200, 150, 120), -1)
    return images


def test_tensors_are_read_in_order_and_dequantised(tmp_path: Path) -> None:
    entries = [
        {"name": "a", "shape": [2], "dtype": "int32"},
        {
            "name": "b",
            "shape": [1, 2],
            "dtype": "float32",
            "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1.0},
        },
        {"name": "c", "shape": [], "dtype": "float32"},
    ]
    manifest, values = tmp_path / "m.json", tmp_path / "m.bin"
    manifest.write_text(json.dumps({"weightsManifest": [{"weights": entries}]}), "utf-8")
    values.write_bytes(np.array([3, -4], "<i4").tobytes() + bytes([0, 4]) + np.float32(2.5).tobytes())
    tensors = read_tensors(manifest, values)
    assert tensors["a"].tolist() == [3, -4]
    assert tensors["b"].tolist() == [[-1.0, 1.0]]
    assert tensors["c"] == 2.5
    for damaged in (values.read_bytes()[:-1], values.read_bytes() + b"x"):
        values.write_bytes(damaged)
        with pytest.raises(ModelError, match=r"m\.json and m\.bin beside it cannot be read as a network"):
            read_tensors(manifest, values)


def test_a_normalisation_that_was_left_beside_its_kernel_belongs_to_it() -> None:
    scope = "net/block_1"
    kernel = np.arange(18, dtype=np.float32).reshape(3, 3, 2, 1)
    tensors = {
        f"{scope}/depthwise_conv2d_12/depthwise/ReadVariableOp": kernel,
        f"{scope}/batch_normalization_3/FusedBatchNormV3/Scaled": np.float32([2, 3]),
        f"{scope}/batch_normalization_3/FusedBatchNormV3/Offset": np.float32([5, 7]),
    }
    layer = layers_of(tensors)["depthwise_conv2d", 12]
    assert layer.kernel.shape == (2, 1, 3, 3)
    assert layer.kernel[1, 0, 0, 1] == 3 * kernel[0, 1, 1, 0]
    assert layer.bias.tolist() == [5, 7]


def test_a_convolution_of_parts_is_that_of_the_parts_joined(network: MattingNetwork) -> None:
    parts = [torch.rand(1, channels, 8, 8) for channels in (80, 24, 3)]
    kernel, bias = network._layers["conv2d", 54]
    joined = functional.conv2d(torch.cat(parts, 1), kernel, bias, padding=1)
    assert torch.allclose(network._conv_of(parts, 54), joined, atol=1e-4)
    x = torch.rand(1, 960, 4, 4)
    kernel, bias = network._layers["conv2d", 47]
    assert torch.allclose(network._conv(x, 47), functional.conv2d(x, kernel, bias), atol=1e-4)


def test_alpha_is_of_the_frames_size_and_remembers_the_frames_before(network: MattingNetwork) -> None:
    first, second = torch.rand(1, 3, SIDE, 2 * SIDE), torch.rand(1, 3, SIDE, 2 * SIDE)
    _, state = network(first)
    after, again = network(second, state)[0], network(second)[0]
    assert after.shape == (1, 1, SIDE, 2 * SIDE)
    assert float(after.min()) >= 0.0 and float(after.max()) <= 1.0
    assert float(((after > 0) & (after < 1)).float().mean()) > 0.1, "or the weights of this test show nothing"
    assert not torch.allclose(after, again, atol=1e-3)
    assert [tuple(memory.shape[1:]) for memory in state] == [(64, 2, 4), (40, 4, 8), (20, 8, 16), (16, 16, 32)]


def test_a_frame_has_the_same_alpha_whichever_run_is_made_first(network: MattingNetwork, frames: np.ndarray) -> None:
    read: list[int] = []

    def read_frame(index: int) -> np.ndarray:
        read.append(index)
        return frames[index]

    whole = PersonMatter(network)
    expected = [whole(read_frame, index, len(frames)) for index in range(len(frames))]
    assert len(read) == len(frames) + 2 * WARM_UP, "each frame once, and those before the two runs"
    assert whole.runs([5, RUN + 1]) == [list(range(6)), [RUN, RUN + 1]]
    resumed = PersonMatter(network)
    for run in reversed(resumed.runs([2, RUN + 2])):
        for index in run:
            assert np.array_equal(resumed(read_frame, index, len(frames)), expected[index])
    assert PersonMatter(network)(read_frame, 0, 3).shape == (SIDE, SIDE), "a clip shorter than what goes before a run"


def test_the_stage_uses_the_network_where_it_is_and_a_stopped_run_ends_the_same(
    workspace: Workspace,  # noqa: F811
    tmp_path: Path,
    monkeypatch,
) -> None:
    stage.run(workspace, Reporter())
    without, key = results(workspace), stage.stage_key(workspace, workspace.head_track(refined=False))
    folder = tmp_path / "models"
    folder.mkdir()
    files = {path.name: path for path in write_network(folder)}
    records = tuple(
        replace(model, size=None, sha256=hashlib.sha256(files[model.file].read_bytes()).hexdigest())
        if model.file in files
        else model
        for model in models.MODELS
    )
    monkeypatch.setattr(models, "MODELS", records)
    monkeypatch.setenv(models.FOLDER_VARIABLE, str(folder))
    assert stage.stage_key(workspace, workspace.head_track(refined=False)) != key
    threads = torch.get_num_threads()
    stage.run(workspace, Reporter())
    assert torch.get_num_threads() == threads, "as the next stage expects it"
    whole = results(workspace)
    assert whole != without
    workspace.subject.stages["portrait_sync"]["state"] = "partial"
    workspace.save()
    workspace.matte_path(3).unlink()
    stage.run(Workspace.open(workspace.root), Reporter())
    assert results(workspace) == whole
    (folder / "rvm_mobilenetv3.json").unlink()
    assert stage.stage_key(workspace, workspace.head_track(refined=False)) == key, "one file is of no use"


def test_the_published_network_cuts_out_the_embedded_speaker(speaker_frames) -> None:
    """Where its model was fetched."""
    published = PersonMatter.installed()
    if published is None:
        pytest.skip("the model matting was not fetched")
    frame = next(iter(speaker_frames))
    for alpha in (published.still(frame), published(lambda index: frame, 0, 1)):
        side = len(alpha)
        assert alpha[side // 3 : side // 2, side // 2 - 8 : side // 2 + 8].min() > 0.98
        assert alpha[: side // 16].max() < 0.1
        assert 0.2 < alpha.mean() < 0.7
