"""`bench gpu`: everything that is to be known of a GPU, in eight minutes from a bare machine.

First what needs no clip: the GPU's own rates, kernels compared with each other on a made-up head, frames and steps. Then, in
what is left of the time, the embedded speaker is processed and its field trained for a minute.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..commands import train
from ..progress import Reporter
from ..renderer import devices
from ..renderer.field.field import Field, FieldConfig
from ..renderer.field.kernels import KERNELS, Kernel, Networks, get_kernel, why_not
from ..renderer.field.renderer import FieldRenderer
from ..renderer.regions import Region
from ..workspace.camera import Camera
from ..workspace.checkpoint_index import FIELD
from ..workspace.store import Workspace
from . import pages, subject
from .frame_parts import median_ms
from .markdown import table
from .options import Gpu as Options

TRAINING_MINUTES = 1.0
_PROCESSING_S = 150
"""That must be left to process the sample before it is trained."""
_SETTLED = 20
"""Frames before those that are timed: kernels are compiled and recorded."""


def run(options: Options, reporter: Reporter) -> dict[str, Any]:
    """The figures.

    Raises:
        DeviceError: there is no such device.
    """
    until = time.monotonic() + 60 * options.minutes
    device = devices.select(options.device, reporter)
    result = {"machine": subject.machine(), "device": device, "unusable": {}}
    result["unusable"] = {name: reason for name in KERNELS if (reason := why_not(name, device))}
    kernels = {name: get_kernel(name, device) for name in KERNELS if name not in result["unusable"]}
    reporter.progress("rates", 0, 1, "parts")
    result["rates"] = rates(device)
    reporter.progress("kernels", 0, 1, "parts")
    result["kernels"] = compare(kernels, device, options.sizes, options.rays)
    left = until - time.monotonic()
    needed = 60 * TRAINING_MINUTES + (0 if options.workspace else _PROCESSING_S)
    if left > needed:
        result["training"] = _training(options.workspace, device, reporter)
    else:
        result["left_out"] = f"the training: {left:.0f} s were left, and it takes {needed:.0f}"
    return pages.kept("gpu", options, result, in_words(result))


# -- without a clip ----------------------------------------------------------------------------------------------------


def rates(device: str) -> dict[str, float]:
    """What matrix products and copies reach: TFLOP/s by type, GB/s."""
    side = 8192 if device.startswith("cuda") else 512
    found = {}
    for name, dtype in (("float32", torch.float32), ("float16", torch.float16), ("bfloat16", torch.bfloat16)):
        one = torch.randn(side, side, device=device).to(dtype)
        found[name] = 2 * side**3 / _seconds(partial(torch.matmul, one, one), device) / 1e12
    block = torch.empty(side * side, device=device)
    found["copy_gb_s"] = 8 * block.numel() / _seconds(block.clone, device) / 1e9
    return found


def _seconds(work: Callable[[], object], device: str, times: int = 10) -> float:
    """Of one call, the median of `times`, waited for each."""
    work()
    seconds = []
    for _ in range(times):
        _wait(device)
        begun = time.perf_counter()
        work()
        _wait(device)
        seconds.append(time.perf_counter() - begun)
    return float(np.median(seconds))


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def made_up_field(device: str) -> Field:
    """A head of the paper's sizes: an ellipsoid whose surface is occupied, and opaque."""
    torch.manual_seed(0)
    lips, face = Region((0.0, 0.05, -0.1), (0.05, 0.03, 0.05)), Region((0.0, -0.05, -0.1), (0.08, 0.05, 0.08))
    field = Field(FieldConfig((-0.15, -0.15, -0.15), 0.3, 0.3 / 64, lips, face, (0.0,) * 52)).eval()
    axis = torch.linspace(-1, 1, field.config.occupancy_cells)
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    radius = ((x / 0.6) ** 2 + (y / 0.85) ** 2 + (z / 0.7) ** 2).sqrt()
    with torch.no_grad():
        field.tables.uniform_(-1, 1)
        field.density_out.bias[0] = 5.5
    field.set_occupied((radius < 1) & (radius > 0.9))
    return field.to(device)


def compare(kernels: dict[str, Kernel], device: str, sizes: tuple[int, ...], rays: tuple[int, ...]) -> dict[str, Any]:
    """Each kernel's milliseconds for frames and steps, the ratio to plain PyTorch, and how far its image is from PyTorch's in
    single precision, in levels of 255."""
    field, pose = made_up_field(device), np.eye(4)
    pose[:3, 3] = (0, 0, 1.0)
    conditions = np.zeros(52, np.float32)
    exact = get_kernel("torch", "cpu")  # single precision on any device
    table: dict[str, Any] = {}
    for name, kernel in kernels.items():
        row: dict[str, Any] = {"frames": {}, "steps": {}}
        for size in sizes:
            renderer, camera = FieldRenderer(field, kernel), Camera(size, size, 3.0 * size, (size / 2, size / 2))

            def draw(_: int, renderer=renderer, camera=camera) -> None:
                renderer.render(camera, pose, conditions)

            for frame in range(_SETTLED if device.startswith("cuda") else 1):
                draw(frame)
            row["frames"][str(size)] = median_ms(draw, np.arange(10), times=3)
        smallest = Camera(sizes[0], sizes[0], 3.0 * sizes[0], (sizes[0] / 2,) * 2)
        found, expected = (FieldRenderer(field, one).render(smallest, pose, conditions).rgba for one in (kernel, exact))
        row["levels_from_torch"] = float(np.abs(found - expected).max()) * 255
        for count in rays:
            work = _Step(field, kernel, device, count)
            row["steps"][str(count)] = 1e3 * _seconds(work, device)
            work.close()
        table[name] = row
    for row in table.values():
        for kind in ("frames", "steps"):
            row[f"{kind}_ratio"] = {key: table["torch"][kind][key] / ms for key, ms in row[kind].items()}
    return table


class _Step:
    """March, shade, composite, and their gradients, of random rays of 16 frames."""

    def __init__(self, field: Field, kernel: Kernel, device: str, rays: int) -> None:
        self._field, self._kernel = field, kernel
        random = torch.Generator().manual_seed(0)
        origins = torch.rand(rays, 3, generator=random) * 0.6 + 0.2
        origins[:, 2] = -1
        towards = torch.randn(rays, 3, generator=random) * 0.05 + torch.tensor([0.0, 0.0, 1.0])
        self._origins = origins.to(device)
        self._directions = torch.nn.functional.normalize(towards, dim=1).to(device)
        self._jitter = torch.rand(rays, generator=random).to(device)
        self._borders = torch.linspace(0, rays, 17).long().to(device)
        self._networks = {
            name: value.detach().requires_grad_(name != "regions")
            for name, value in vars(field.networks(torch.rand(16, 52, generator=random).to(device))).items()
        }

    def __call__(self) -> None:
        field, networks = self._field, Networks(**self._networks)
        samples = self._kernel.march(self._origins, self._directions, field.grid(2.0, 16), self._jitter)
        starts, layout = samples.offsets[self._borders], field.config.layout
        given = samples, self._directions, starts, field.tables, layout, networks
        density, colour, _ = self._kernel.shade(*given)
        rgba, _, distortion = self._kernel.composite(density * samples.fade, colour, samples, field.grid(2.0).step)
        (rgba.square().mean() + distortion.mean()).backward()

    def close(self) -> None:
        self._field.zero_grad(set_to_none=True)


# -- the sample --------------------------------------------------------------------------------------------------------


def _training(given: Path | None, device: str, reporter: Reporter) -> dict[str, Any]:
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        source = Workspace.open(given) if given else subject.processed("sample", work, reporter)
        workspace = subject.copied(source, work / "run")
        options = train.Options(workspace=workspace.root, minutes=TRAINING_MINUTES, head=FIELD, device=device)
        begun = time.monotonic()
        trained = train.run(options, reporter)
        figures = dataclasses.asdict(trained)
        return {
            "clip": source.root.name,
            "steps": figures["step"],
            "steps_per_s": figures["step"] / (60 * figures["minutes"]),
            "psnr_validation": figures["psnr"],
            "wall_s": time.monotonic() - begun,
        }


def in_words(result: dict[str, Any]) -> str:
    """Tables."""
    lines = [f"{result['machine']}, {result['device']}", ""]
    first = next(iter(result["kernels"].values()))
    heads = [*(f"{size}²" for size in first["frames"]), *(f"step of {rays} rays" for rays in first["steps"])]
    rows = []
    for name, row in result["kernels"].items():
        cells = [
            f"{ms:.2f} ms ({row[f'{kind}_ratio'][key]:.1f}x)"
            for kind in ("frames", "steps")
            for key, ms in row[kind].items()
        ]
        rows.append([name, *cells, f"{row['levels_from_torch']:.2f}"])
    lines += table(["kernel", *heads, "from torch, of 255"], rows)
    lines += ["", *(f"{name} {reason}" for name, reason in result["unusable"].items())]
    found = result["rates"]
    products = ", ".join(f"{name} {found[name]:.1f} TFLOP/s" for name in ("float32", "float16", "bfloat16"))
    lines.append(f"Matrix products: {products}; copies {found['copy_gb_s']:.0f} GB/s")
    if "training" in result:
        row = result["training"]
        lines.append(
            f"{row['clip']}, {TRAINING_MINUTES:g} min of the field: {row['steps']:,} steps, {row['steps_per_s']:.0f} a second, "
            f"{row['psnr_validation']:.2f} dB, {row['wall_s']:.0f} s in all"
        )
    else:
        lines.append(f"Left out: {result['left_out']}")
    return "\n".join(lines)
