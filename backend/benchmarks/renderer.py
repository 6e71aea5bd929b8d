"""`bench renderer`: the cost of a frame of a trained field, by kernel and part, beside plain PyTorch."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..commands import train
from ..compilation.processor import has_bfloat16
from ..progress import Reporter
from ..renderer.field import plain
from ..renderer.field.field import Field
from ..renderer.field.kernels import Kernel, get_kernel
from ..renderer.field.kernels.numba_kernel import NumbaKernel
from ..renderer.field.renderer import FieldRenderer
from ..training import checkpoints
from ..workspace.camera import Camera
from ..workspace.checkpoint_index import FIELD
from ..workspace.head_track import HeadTrack
from ..workspace.store import Workspace
from . import gpu_rows, pages, subject
from .cold_start import cold_starts
from .frame_parts import median_ms, parts_of_a_frame
from .markdown import table
from .options import Renderer as Options

SIZES = (256, 512, 1024)
FRAMES = 6
"""Held-out frames that are drawn, three times each; figures are medians."""


def run(options: Options, reporter: Reporter) -> dict[str, Any]:
    """The figures of docs/benchmarks.md; milliseconds."""
    with contextlib.ExitStack() as stack:
        work = options.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        workspace = (
            Workspace.open(options.workspace)
            if options.workspace
            else _trained(options.clip, work, options.steps, reporter)
        )
        result = _measure(workspace, reporter)
        if torch.cuda.is_available():
            result["gpu"] = _on_gpu(workspace, reporter)
        if not options.no_start:
            result["start"] = cold_starts(workspace)
    return pages.kept("renderer", options, result, in_words(result))


def _trained(clip: str, work: Path, steps: int, reporter: Reporter) -> Workspace:
    workspace = subject.processed(clip, work, reporter)
    if checkpoints.newest_path(workspace) is None:
        train.run(train.Options(workspace=workspace.root, steps=steps, head=FIELD), reporter)
    return workspace


# -- a frame -----------------------------------------------------------------------------------------------------------


def _measure(workspace: Workspace, reporter: Reporter) -> dict[str, Any]:
    field, tracking, frames = _what_is_drawn(workspace, reporter)
    rates = {"float32": _rate(torch.float32), "bfloat16": _rate(torch.bfloat16)}
    kernels: dict[str, Kernel] = {}
    if has_bfloat16():
        kernels["numba, bfloat16"] = NumbaKernel(bfloat16=True)
    kernels["numba, float32"] = NumbaKernel(bfloat16=False)
    table = _references(workspace) | {name: {} for name in kernels}
    done = 0
    for size in SIZES:
        camera = tracking.camera.scaled(size, size)
        plain_ms = table["plain PyTorch"][str(size)]["ms"]
        table["torch"][str(size)]["ratio"] = plain_ms / table["torch"][str(size)]["ms"]
        for name, kernel in kernels.items():
            reporter.progress("timing", done, len(SIZES) * len(kernels), "rows")
            done += 1
            renderer = FieldRenderer(field, kernel)
            ms = median_ms(partial(_draw, renderer, camera, tracking), frames, times=3)
            row: dict[str, Any] = {"ms": ms, "ratio": plain_ms / ms}
            if isinstance(kernel, NumbaKernel):
                row |= parts_of_a_frame(renderer, kernel, camera, tracking, int(frames[len(frames) // 2]), rates)
            table[name][str(size)] = row
    reporter.progress("timing", done, done, "rows")
    default = next(iter(kernels))
    return {
        "machine": subject.machine(),
        "kernel": default,
        **{f"ms_{size}": table[default][str(size)]["ms"] for size in SIZES},
        **{f"ratio_{size}": table[default][str(size)]["ratio"] for size in SIZES},
        "gflops": rates,
        "kernels": table,
    }


def _on_gpu(workspace: Workspace, reporter: Reporter, device: str = "cuda") -> dict[str, Any]:
    """The same frames by each kernel of the GPU."""
    field, tracking, frames = _what_is_drawn(workspace, reporter)
    drawn = [(tracking.head_to_camera[frame], tracking.blendshapes[frame]) for frame in frames]
    return gpu_rows.rows(device, SIZES, (), gpu_rows.Scene(field.to(device), tracking.camera, drawn))


def _what_is_drawn(workspace: Workspace, reporter: Reporter) -> tuple[Field, HeadTrack, np.ndarray]:
    """The head, its tracking, and held-out frames."""
    tracking = workspace.head_track(head=FIELD)
    valid = np.flatnonzero(tracking.valid)
    valid = valid[valid >= workspace.subject.first_test_frame]
    frames = valid[np.linspace(0, len(valid) - 1, FRAMES).astype(int)]
    return checkpoints.load_for_rendering(workspace, reporter, FIELD).field(), tracking, frames


def _references(workspace: Workspace) -> dict[str, dict[str, Any]]:
    """PyTorch's times, in another process with PyTorch's own setting for waiting threads, which speeds up many small
    operations twofold and more; in the backend they sleep to leave the cores to Blender."""
    environment = {**os.environ, "OMP_WAIT_POLICY": "ACTIVE", "KMP_BLOCKTIME": "200"}
    command = [sys.executable, "-m", __name__, str(workspace.root), str(FRAMES), *map(str, SIZES)]
    folder = Path(__file__).parents[2]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=folder)
    return json.loads(done.stdout)


def _time_references(root: Path, sizes: list[int]) -> dict[str, dict[str, Any]]:
    field, tracking, frames = _what_is_drawn(Workspace.open(root), Reporter())
    renderer = FieldRenderer(field, get_kernel("torch"))
    table: dict[str, dict[str, Any]] = {"plain PyTorch": {}, "torch": {}}
    for size in sizes:
        camera, few = tracking.camera.scaled(size, size), frames[: 3 if size < 1024 else 1]
        ms = median_ms(partial(_draw_plain, field, camera, tracking), few, times=1)
        table["plain PyTorch"][str(size)] = {"ms": ms}
        table["torch"][str(size)] = {"ms": median_ms(partial(_draw, renderer, camera, tracking), few, times=1)}
    return table


def _draw(renderer: FieldRenderer, camera: Camera, tracking: HeadTrack, frame: int) -> None:
    renderer.render(camera, tracking.head_to_camera[frame], tracking.blendshapes[frame])


def _rate(dtype: torch.dtype) -> float:
    """What matrix products reach on this machine, GFLOP/s."""
    one = torch.randn(2048, 2048).to(dtype)
    seconds = []
    for _ in range(8):
        begun = time.perf_counter()
        one @ one
        seconds.append(time.perf_counter() - begun)
    return 2 * 2048**3 / min(seconds) / 1e9


def _draw_plain(field: Field, camera: Camera, tracking: HeadTrack, frame: int) -> None:
    """All pixels that the head's box covers, as for the kernels."""
    renderer = FieldRenderer(field, get_kernel("torch"))
    x0, y0, x1, y1 = renderer.bounds(camera, tracking.head_to_camera[frame])
    rows, columns = np.mgrid[y0:y1, x0:x1] + 0.5
    plain.render_rays(
        field, camera, tracking.head_to_camera[frame], tracking.blendshapes[frame], columns.ravel(), rows.ravel()
    )


def in_words(result: dict[str, Any]) -> str:
    """Tables for docs/benchmarks.md."""
    lines = [f"{result['machine']}", ""]
    lines += table(
        ["kernel", *(f"{size}²" for size in SIZES)],
        [[name, *(_frame_in_words(rows[str(size)]) for size in SIZES)] for name, rows in result["kernels"].items()],
    )
    for name, rows in result["kernels"].items():
        if "parts" in rows[str(SIZES[0])]:
            lines += ["", *_parts_table(name, rows)]
    lines += [
        "",
        "Matrix products: " + ", ".join(f"{name} {rate:.0f} GFLOP/s" for name, rate in result["gflops"].items()),
    ]
    if "gpu" in result:
        lines += ["", *gpu_rows.in_words(result["gpu"]), ""]
    if "start" in result:
        start = result["start"]
        lines.append(
            f"First frame of a cold serve: {start['first_time_s']:.1f} s without compiled kernels, {start['cached_s']:.1f} s "
            f"with them, {start['reinstalled_s']:.1f} s reinstalled at another place; {start['memory_mb']:.0f} MB"
        )
    return "\n".join(lines)


def _frame_in_words(row: dict[str, Any]) -> str:
    return f"{row['ms']:.0f} ms" + (f" ({row['ratio']:.1f}x)" if "ratio" in row else "")


def _parts_table(name: str, rows: dict[str, Any]) -> list[str]:
    """Milliseconds by part of a frame, a row a size."""
    parts = list(rows[str(SIZES[0])]["parts"])
    cells = []
    for size in SIZES:
        row = rows[str(size)]
        spent = [f"{row['parts'][part]:.1f}" for part in parts]
        numbers = (f"{row['samples']:,}", f"{row['samples_a_hit_ray']:.1f}", *spent, f"{row['floor_ms']:.1f}")
        cells.append([f"{size}²", *numbers])
    return table([name, "samples", "a hit ray", *parts, "floor of the networks"], cells)


if __name__ == "__main__":
    FRAMES = int(sys.argv[2])
    print(json.dumps(_time_references(Path(sys.argv[1]), [int(size) for size in sys.argv[3:]])))
