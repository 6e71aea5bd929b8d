"""What benchmarks say of a GPU: its own rates, and each kernel's frames and steps against PyTorch, tinycudann and those rates."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from ..renderer import devices
from ..renderer.field.field import Field, FieldConfig
from ..renderer.field.kernels import KERNELS, Kernel, Networks, get_kernel, why_not
from ..renderer.field.kernels.interface import OPAQUE
from ..renderer.field.rays import image_rays
from ..renderer.field.renderer import FieldRenderer
from ..renderer.regions import Region
from ..workspace.camera import Camera
from ..workspace.shapes import Float
from .frame_parts import median_ms, operations
from .markdown import table

_SETTLED = 20
"""Frames before those that are timed: kernels are compiled and recorded."""
_BACKWARD = 3
"""Times that a step multiplies and reads what a frame does: forward, and backward by what goes in and by the weights."""
COUNTED_SIZE = 256
"""Side of the image whose samples are counted; those of another are as many to a pixel."""


@dataclass(frozen=True)
class Scene:
    """A field, and the frames of it that are drawn.

    Attributes:
        camera: of any size; it is resized.
        frames: pose and conditions of each.
    """

    field: Field
    camera: Camera
    frames: Sequence[tuple[Float[np.ndarray, "4 4"], Float[np.ndarray, " conditions"]]]

    def draw(self, renderer: FieldRenderer, size: int, number: int) -> np.ndarray:
        return renderer.render(self.camera.scaled(size, size), *self.frames[number]).rgba


def made_up_scene(device: str) -> Scene:
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
    pose = np.eye(4)
    pose[:3, 3] = (0, 0, 1.0)
    return Scene(field.to(device), Camera(512, 512, 1536.0, (256.0, 256.0)), [(pose, np.zeros(52, np.float32))])


def rows(
    device: str, sizes: Sequence[int], rays: Sequence[int], scene: Scene, kernels: dict[str, Kernel] | None = None
) -> dict[str, Any]:
    """The GPU's rates, its kernels by name, and why the others do not run on it.

    Args:
        sizes: of frames, pixels a side.
        rays: of steps.
        kernels: those that run on the device, unless given.
    """
    unusable = {name: reason for name in KERNELS if (reason := why_not(name, device))}
    if kernels is None:
        kernels = {name: get_kernel(name, device) for name in KERNELS if name not in unusable}
    measured = rates(device)
    compared = compare(kernels, device, sizes, rays, scene, measured)
    return {"device": devices.name_of(device), "rates": measured, "kernels": compared, "unusable": unusable}


# -- the device --------------------------------------------------------------------------------------------------------


def rates(device: str) -> dict[str, float]:
    """What matrix products and copies reach: TFLOP/s by type, GB/s."""
    side = 8192 if device.startswith("cuda") else 512
    found = {}
    for name, dtype in (("float32", torch.float32), ("float16", torch.float16), ("bfloat16", torch.bfloat16)):
        one = torch.randn(side, side, device=device).to(dtype)
        found[name] = 2 * side**3 / seconds(partial(torch.matmul, one, one), device) / 1e12
    block = torch.empty(side * side, device=device)
    found["copy_gb_s"] = 8 * block.numel() / seconds(block.clone, device) / 1e9
    return found


def seconds(work: Callable[[], object], device: str, times: int = 10) -> float:
    """Of one call, the median of `times`, waited for each."""
    work()
    found = []
    for _ in range(times):
        _wait(device)
        begun = time.perf_counter()
        work()
        _wait(device)
        found.append(time.perf_counter() - begun)
    return float(np.median(found))


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


# -- kernels -----------------------------------------------------------------------------------------------------------


def compare(
    kernels: dict[str, Kernel],
    device: str,
    sizes: Sequence[int],
    rays: Sequence[int],
    scene: Scene,
    measured: dict[str, float],
) -> dict[str, Any]:
    """Each kernel's milliseconds for frames and steps; how many times as fast as plain PyTorch and as tinycudann it is, and how
    many times the floor it takes; and how far its image is from PyTorch's in single precision, in levels of 255."""
    compared: dict[str, Any] = {name: _times(kernel, device, sizes, rays, scene) for name, kernel in kernels.items()}
    floors = {
        "frames": {str(size): _frame_floor_ms(scene, size, measured) for size in sizes},
        "steps": {str(count): _Step(scene.field, kernels["torch"], device, count).floor_ms(measured) for count in rays},
    }
    for row in compared.values():
        for kind, floor in floors.items():
            row[f"{kind}_floor"] = {key: ms / floor[key] for key, ms in row[kind].items()}
            for other, suffix in (("torch", "ratio"), ("tinycudann", "to_tinycudann")):
                if other in compared:
                    row[f"{kind}_{suffix}"] = {key: compared[other][kind][key] / ms for key, ms in row[kind].items()}
    return compared


def _times(kernel: Kernel, device: str, sizes: Sequence[int], rays: Sequence[int], scene: Scene) -> dict[str, Any]:
    row: dict[str, Any] = {"frames": {}, "steps": {}}
    numbers = np.arange(len(scene.frames))
    renderer = FieldRenderer(scene.field, kernel)
    for size in sizes:
        draw = partial(scene.draw, renderer, size)
        for _ in range(_SETTLED if device.startswith("cuda") else 1):
            draw(0)
        row["frames"][str(size)] = median_ms(draw, numbers, times=max(3, 30 // len(numbers)))
    if sizes:
        exact = FieldRenderer(scene.field, get_kernel("torch", "cpu"))  # single precision on any device
        found, expected = (scene.draw(one, min(sizes), 0) for one in (renderer, exact))
        row["levels_from_torch"] = float(np.abs(found - expected).max()) * 255
    for count in rays:
        work = _Step(scene.field, kernel, device, count)
        row["steps"][str(count)] = 1e3 * seconds(work, device)
        work.close()
    return row


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
        conditions = 52 + field.config.lip_inputs
        self._networks = {
            name: value.detach().requires_grad_(name != "regions")
            for name, value in vars(field.networks(torch.rand(16, conditions, generator=random).to(device))).items()
        }

    def __call__(self) -> None:
        field, networks = self._field, Networks(**self._networks)
        samples = self._march()
        starts, layout = samples.offsets[self._borders], field.config.layout
        given = samples, self._directions, starts, field.tables, layout, networks
        density, colour, _ = self._kernel.shade(*given)
        rgba, _, distortion = self._kernel.composite(density * samples.fade, colour, samples, field.grid(2.0).step)
        (rgba.square().mean() + distortion.mean()).backward()

    def _march(self):
        return self._kernel.march(self._origins, self._directions, self._field.grid(2.0, 16), self._jitter)

    def floor_ms(self, measured: dict[str, float]) -> float:
        return _BACKWARD * _floor_ms(self._field, Networks(**self._networks), int(self._march().offsets[-1]), measured)

    def close(self) -> None:
        self._field.zero_grad(set_to_none=True)


# -- the least that it takes -------------------------------------------------------------------------------------------


def _floor_ms(field: Field, networks: Networks, samples: float, measured: dict[str, float]) -> float:
    """The longer of the samples' matrix products in bfloat16 and of the reading of their entries, at the rates measured."""
    entries = samples * field.config.layout.features * 4 * 4  # four corners of four bytes; a cache would make it less
    arithmetic, memory = (
        samples * operations(networks) / measured["bfloat16"] / 1e12,
        entries / measured["copy_gb_s"] / 1e9,
    )
    return 1e3 * max(arithmetic, memory)


@torch.no_grad()
def _frame_floor_ms(scene: Scene, size: int, measured: dict[str, float]) -> float:
    """Of the middle frame's samples before its rays are opaque."""
    field, kernel = scene.field, get_kernel("torch", "cpu")
    device, side = field.tables.device, min(size, COUNTED_SIZE)
    pose, conditions = scene.frames[len(scene.frames) // 2]
    rows, columns = (axis.ravel() + 0.5 for axis in np.mgrid[0:side, 0:side].astype(np.float32))
    origin, directions = image_rays(scene.camera.scaled(side, side), np.asarray(pose, np.float64), columns, rows)
    towards, start = torch.from_numpy(directions).to(device), field.in_cube(torch.from_numpy(origin).to(device))
    networks = field.networks(torch.as_tensor(np.asarray(conditions), dtype=torch.float32, device=device)[None])
    grid, seen = field.grid(), 0
    for part in towards.split(4096):
        samples = kernel.march(start.expand(len(part), 3), part, grid, torch.full((len(part),), 0.5, device=device))
        given = samples, part, samples.offsets[[0, -1]], field.tables, field.config.layout, networks
        density, colour, _ = kernel.shade(*given)
        _, weights, _ = kernel.composite(density * samples.fade, colour, samples, grid.step)
        sums = torch.cat([weights.new_zeros(1, dtype=torch.float64), weights.double().cumsum(0)])
        before = sums[:-1] - sums[samples.offsets[samples.rays.long()]]
        seen += int((1 - before > OPAQUE).sum())
    return _floor_ms(field, networks, seen * (size / side) ** 2, measured)


# -- words -------------------------------------------------------------------------------------------------------------


def in_words(result: dict[str, Any]) -> list[str]:
    """A table of `rows`, and the rates beneath."""
    first = next(iter(result["kernels"].values()))
    heads = [*(f"{size}²" for size in first["frames"]), *(f"step of {rays} rays" for rays in first["steps"])]
    cells = []
    for name, row in result["kernels"].items():
        levels = f"{row['levels_from_torch']:.2f}" if "levels_from_torch" in row else "–"
        cells.append([name, *(_cell(row, kind, key) for kind in ("frames", "steps") for key in row[kind]), levels])
    lines = table([f"kernel on {result['device']}", *heads, "from torch, of 255"], cells)
    lines += ["", "In brackets: times as fast as PyTorch, and as tinycudann; times the floor."]
    lines += [f"{name} {reason}" for name, reason in result["unusable"].items()]
    found = result["rates"]
    products = ", ".join(f"{name} {found[name]:.1f} TFLOP/s" for name in ("float32", "float16", "bfloat16"))
    return [*lines, f"Matrix products: {products}; copies {found['copy_gb_s']:.0f} GB/s"]


def _cell(row: dict[str, Any], kind: str, key: str) -> str:
    ratios = [f"{row[f'{kind}_{to}'][key]:.1f}x" for to in ("ratio", "to_tinycudann") if f"{kind}_{to}" in row]
    return f"{row[kind][key]:.2f} ms ({', '.join(ratios)}; {row[f'{kind}_floor'][key]:.1f})"
