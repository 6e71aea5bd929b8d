"""`bench renderer`: what a frame of a trained head costs, by each kernel and part by part, beside plain PyTorch."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numba
import numpy as np
import psutil
import torch
from numba import njit, prange

from .. import pipeline, protocol
from ..progress import Reporter, terminal_reporter
from ..renderer import plain
from ..renderer.field import Field
from ..renderer.kernels import Kernel, get_kernel, marching
from ..renderer.kernels.drawing import RAY_BLOCK
from ..renderer.kernels.interface import Networks
from ..renderer.kernels.kernel_cache import FOLDER_VARIABLE
from ..renderer.kernels.numba_kernel import NumbaKernel
from ..renderer.kernels.tile import encode, encoding_arrays, forward, pack_networks, scratch
from ..renderer.kernels.vectors import TILE, has_bfloat16
from ..renderer.rays import picture_rays
from ..renderer.render import Renderer
from ..training import checkpoints
from ..training.dataset import Tracking
from ..workspace.camera import Camera
from ..workspace.store import Workspace
from . import subject

HELP = "renderer: milliseconds a frame by kernel and part, beside plain PyTorch and the machine's own rate"
SIZES = (256, 512, 1024)
FRAMES = 6
"""Held-out frames that are drawn, three times each; figures are medians."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the benchmark's arguments on `parser`."""
    parser.add_argument("--workspace", type=Path, help="a workspace with a trained head")
    parser.add_argument("--clip", default="sample", help="without one: a video, or sample, to train on (%(default)s)")
    parser.add_argument("--steps", type=int, default=1500, help="of that training (%(default)s)")
    parser.add_argument("--work", type=Path, help="keep what is made of the clip here for the next run")
    parser.add_argument("--no-start", action="store_true", help="leave out the cold starts")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """The figures of docs/benchmarks.md; milliseconds."""
    reporter = terminal_reporter()
    with contextlib.ExitStack() as stack:
        work = args.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        workspace = (
            Workspace.open(args.workspace) if args.workspace else _trained(args.clip, work, args.steps, reporter)
        )
        result = _measure(workspace, reporter)
        if not args.no_start:
            result["start"] = _start(workspace)
    return result


def _trained(clip: str, work: Path, steps: int, reporter: Reporter) -> Workspace:
    workspace = subject.processed(clip, work, reporter)
    if checkpoints.newest_path(workspace) is None:
        pipeline.train(workspace.root, "preview", None, reporter, steps=steps)
    return workspace


# -- a frame -----------------------------------------------------------------------------------------------------------


def _measure(workspace: Workspace, reporter: Reporter) -> dict[str, Any]:
    field, tracking, frames = _what_is_drawn(workspace, reporter)
    rates = {"float32": _rate(torch.float32), "bfloat16": _rate(torch.bfloat16)}
    kernels: dict[str, Kernel] = {}
    if has_bfloat16():
        kernels["numba, bfloat16"] = NumbaKernel(bfloat16=True)
    kernels["numba, float32"] = NumbaKernel(bfloat16=False)
    if torch.cuda.is_available():
        kernels["torch, GPU"] = get_kernel("torch", "cuda")
    table = _references(workspace) | {name: {} for name in kernels}
    done = 0
    for size in SIZES:
        camera = tracking.camera.scaled(size, size)
        plain_ms = table["plain PyTorch"][str(size)]["ms"]
        table["torch"][str(size)]["ratio"] = plain_ms / table["torch"][str(size)]["ms"]
        for name, kernel in kernels.items():
            reporter.progress("timing", done, len(SIZES) * len(kernels), "rows")
            done += 1
            renderer = Renderer(field.to("cuda") if "GPU" in name else field.to("cpu"), kernel)
            ms = _median(partial(_draw, renderer, camera, tracking), frames, times=3)
            row: dict[str, Any] = {"ms": ms, "ratio": plain_ms / ms}
            if isinstance(kernel, NumbaKernel):
                row |= _parts(renderer, kernel, camera, tracking, int(frames[len(frames) // 2]), rates)
            table[name][str(size)] = row
        field.to("cpu")
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


def _what_is_drawn(workspace: Workspace, reporter: Reporter) -> tuple[Field, Tracking, np.ndarray]:
    """The head, its tracking, and held-out frames."""
    tracking = Tracking.read(workspace)
    valid = np.flatnonzero(tracking.valid)
    valid = valid[valid >= workspace.subject.first_test_frame]
    frames = valid[np.linspace(0, len(valid) - 1, FRAMES).astype(int)]
    return checkpoints.load_for_rendering(workspace, reporter).field(), tracking, frames


def _references(workspace: Workspace) -> dict[str, dict[str, Any]]:
    """What PyTorch takes, in a process of its own: there its threads wait as PyTorch has them, which many small operations
    gain by twice and more; here they sleep, so as not to stand in Blender's way."""
    environment = {**os.environ, "OMP_WAIT_POLICY": "ACTIVE", "KMP_BLOCKTIME": "200"}
    command = [sys.executable, "-m", __name__, str(workspace.root), str(FRAMES), *map(str, SIZES)]
    folder = Path(__file__).parents[2]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=folder)
    return json.loads(done.stdout)


def _time_references(root: Path, sizes: list[int]) -> dict[str, dict[str, Any]]:
    field, tracking, frames = _what_is_drawn(Workspace.open(root), Reporter())
    renderer = Renderer(field, get_kernel("torch"))
    table: dict[str, dict[str, Any]] = {"plain PyTorch": {}, "torch": {}}
    for size in sizes:
        camera, few = tracking.camera.scaled(size, size), frames[: 3 if size < 1024 else 1]
        ms = _median(partial(_draw_plain, field, camera, tracking), few, times=1)
        table["plain PyTorch"][str(size)] = {"ms": ms}
        table["torch"][str(size)] = {"ms": _median(partial(_draw, renderer, camera, tracking), few, times=1)}
    return table


def _draw(renderer: Renderer, camera: Camera, tracking: Tracking, frame: int) -> None:
    renderer.render(camera, tracking.head_to_camera[frame], tracking.blendshapes[frame])


def _median(draw: Callable[[int], object], frames: np.ndarray, times: int) -> float:
    """Milliseconds a frame."""
    draw(int(frames[0]))
    seconds = []
    for frame in np.repeat(frames, times).tolist():
        begun = time.perf_counter()
        draw(frame)
        seconds.append(time.perf_counter() - begun)
    return float(np.median(seconds)) * 1e3


def _rate(dtype: torch.dtype) -> float:
    """What matrix products reach on this machine, GFLOP/s."""
    one = torch.randn(2048, 2048).to(dtype)
    seconds = []
    for _ in range(8):
        begun = time.perf_counter()
        one @ one
        seconds.append(time.perf_counter() - begun)
    return 2 * 2048**3 / min(seconds) / 1e9


def _draw_plain(field: Field, camera: Camera, tracking: Tracking, frame: int) -> None:
    """All pixels that the head's box covers, as for the kernels."""
    renderer = Renderer(field, get_kernel("torch"))
    x0, y0, x1, y1 = renderer.bounds(camera, tracking.head_to_camera[frame])
    rows, columns = np.mgrid[y0:y1, x0:x1] + 0.5
    plain.rays_seen(
        field, camera, tracking.head_to_camera[frame], tracking.blendshapes[frame], columns.ravel(), rows.ravel()
    )


# -- its parts ---------------------------------------------------------------------------------------------------------


@njit(parallel=True, fastmath=True, cache=True, nogil=True, error_model="numpy")
def _march_only(threads, origin, directions, occupied, blocks, unit_step, most):
    radius, half = np.float32(marching.BLOCK_RADIUS / occupied.shape[0]), np.float32(0.5)
    totals = np.zeros(threads, np.int64)
    for thread in prange(threads):
        places = np.empty(most, np.int16)
        for first in range(thread * RAY_BLOCK, directions.shape[0], threads * RAY_BLOCK):
            these = directions[first : first + RAY_BLOCK]
            near, far = marching.reach(origin, these, blocks, radius)
            for ray in range(these.shape[0] if near < far else 0):
                totals[thread] += marching.march_between(
                    origin, these[ray], occupied, unit_step, half, near, far, places
                )
    return totals.sum()


@njit(parallel=True, fastmath=True, cache=True, nogil=True, error_model="numpy")
def _shade_only(threads, positions, encoding, networks, with_networks):
    features, hidden = 3 * encoding.resolutions.shape[0], networks.hidden_bias.shape[0]
    for thread in prange(threads):
        buffers = scratch(features, hidden, networks.first_weight)
        for low in range(thread * TILE, positions.shape[1] - TILE, threads * TILE):
            buffers.points[:] = positions[:, low : low + TILE]
            if with_networks:
                forward(0, encoding, networks, buffers)
            else:
                encode(encoding, buffers)


def _parts(
    renderer: Renderer, kernel: NumbaKernel, camera: Camera, tracking: Tracking, frame: int, rates: dict[str, float]
) -> dict[str, Any]:
    """Samples of one frame, its parts in milliseconds, and the least its networks could take at the measured rate."""
    field, pose = renderer.field, tracking.head_to_camera[frame]
    threads = numba.get_num_threads()
    rows, columns = renderer.pixels(camera, pose)
    u, v = columns + 0.5, rows + 0.5
    origin, directions = picture_rays(camera, pose, u, v)
    grid, config = field.grid(), field.config
    with torch.no_grad():
        networks = field.networks(torch.from_numpy(tracking.blendshapes[frame])[None])
        start, towards = field.in_cube(torch.from_numpy(origin)), torch.from_numpy(directions)
        samples = kernel.march(start.expand(len(towards), 3), towards, grid, torch.full((len(towards),), 0.5))
    positions = np.ascontiguousarray(samples.positions.numpy().T)
    arrays = encoding_arrays(field.tables, config.layout), pack_networks(networks, kernel.bfloat16)
    blocks = marching.occupied_blocks(grid.empty_block_distance.numpy())
    unit_step = np.float32(grid.step / grid.box_size)

    def timed(work: Callable[[], object]) -> float:
        return _median(lambda _: work(), np.zeros(1, int), times=5)

    rays = timed(lambda: picture_rays(camera, pose, *(a + 0.5 for a in reversed(renderer.pixels(camera, pose)))))
    march = timed(
        lambda: _march_only(
            threads, start.numpy(), directions, grid.occupied.numpy(), blocks, unit_step, grid.max_samples
        )
    )
    encoding = timed(lambda: _shade_only(threads, positions, *arrays, False))
    shading = timed(lambda: _shade_only(threads, positions, *arrays, True))
    whole = timed(lambda: renderer.render(camera, pose, tracking.blendshapes[frame]))
    hit = int((samples.offsets.diff() > 0).sum())
    flops = _operations(networks) * positions.shape[1]
    return {
        "samples": positions.shape[1],
        "samples_a_hit_ray": positions.shape[1] / max(hit, 1),
        "parts": {
            "rays": rays,
            "marching": march,
            "encoding": encoding,
            "networks": shading - encoding,
            "compositing and the rest": whole - rays - march - shading,
        },
        "floor_ms": flops / rates["bfloat16" if kernel.bfloat16 else "float32"] / 1e6,
    }


def _operations(networks: Networks) -> int:
    """Floating-point operations of a sample's matrix products."""
    matrices = (
        networks.first_weight, networks.gate_weight, networks.hidden_weight, networks.density_weight,
        networks.colour_weight, networks.out_weight,
    )  # fmt: skip
    return 2 * sum(matrix.numel() for matrix in matrices)


# -- cold starts -------------------------------------------------------------------------------------------------------


def _start(workspace: Workspace) -> dict[str, float]:
    """Seconds from starting `serve` to its first frame at 512²; memory.

    Without compiled kernels; again; and of the same sources at another place, as a reinstalled extension has them, for
    another home.
    """
    here = Path(__file__).parents[2]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, FOLDER_VARIABLE: str(Path(folder, "kernels"))}
        first, _ = _first_frame(workspace, environment, here)
        again, memory_mb = _first_frame(workspace, environment, here)
        left_out = shutil.ignore_patterns("__pycache__", "sample")
        shutil.copytree(here / "backend", Path(folder, "backend"), copy_function=shutil.copyfile, ignore=left_out)
        reinstalled, _ = _first_frame(workspace, {**environment, "HOME": folder}, Path(folder))
    return {"first_time_s": first, "cached_s": again, "reinstalled_s": reinstalled, "memory_mb": memory_mb}


def _first_frame(workspace: Workspace, environment: dict[str, str], root: Path) -> tuple[float, float]:
    tracking = Tracking.read(workspace)
    camera = tracking.camera.scaled(512, 512)
    frame = int(np.flatnonzero(tracking.valid)[0])
    with tempfile.NamedTemporaryFile(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as memory:
        memory.truncate(512 * 512 * 16)
        params = {
            "workspace": str(workspace.root), "width": 512, "height": 512, "focal_px": camera.focal_px,
            "principal_px": list(camera.principal_px), "memory": memory.name,
            "head_to_camera": tracking.head_to_camera[frame].ravel().tolist(),
            "blendshapes": tracking.blendshapes[frame].tolist(),
        }  # fmt: skip
        begun = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, "-m", "backend", "serve"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
            cwd=root,
        ) as server:  # fmt: skip
            assert server.stdin is not None and server.stdout is not None
            server.stdin.write(protocol.encode({"jsonrpc": "2.0", "id": 1, "method": "frame", "params": params}))
            server.stdin.flush()
            for line in server.stdout:
                message = json.loads(line)
                if message.get("id") == 1:
                    seconds = time.perf_counter() - begun
                    if "error" in message:
                        raise RuntimeError(message["error"]["message"])
                    break
            info = psutil.Process(server.pid).memory_info()
            server.stdin.close()
        return seconds, info.rss / 1e6


def in_words(result: dict[str, Any]) -> str:
    """Tables for docs/benchmarks.md."""
    lines = [f"{result['machine']}", ""]
    lines += ["| kernel | " + " | ".join(f"{size}²" for size in SIZES) + " |", "|---" * (1 + len(SIZES)) + "|"]
    for name, rows in result["kernels"].items():
        cells = [
            f"{rows[str(size)]['ms']:.0f} ms"
            + (f" ({rows[str(size)]['ratio']:.1f}x)" if "ratio" in rows[str(size)] else "")
            for size in SIZES
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for name, rows in result["kernels"].items():
        if "parts" not in rows[str(SIZES[0])]:
            continue
        parts = list(rows[str(SIZES[0])]["parts"])
        lines += ["", f"| {name} | samples | a hit ray | " + " | ".join(parts) + " | floor of the networks |"]
        lines.append("|---" * (4 + len(parts)) + "|")
        for size in SIZES:
            row = rows[str(size)]
            cells = [f"{row['parts'][part]:.1f}" for part in parts]
            lines.append(
                f"| {size}² | {row['samples']:,} | {row['samples_a_hit_ray']:.1f} | "
                + " | ".join(cells)
                + f" | {row['floor_ms']:.1f} |"
            )
    lines += [
        "",
        "Matrix products: " + ", ".join(f"{name} {rate:.0f} GFLOP/s" for name, rate in result["gflops"].items()),
    ]
    if "start" in result:
        start = result["start"]
        lines.append(
            f"First frame of a cold serve: {start['first_time_s']:.1f} s without compiled kernels, {start['cached_s']:.1f} s "
            f"with them, {start['reinstalled_s']:.1f} s reinstalled at another place; {start['memory_mb']:.0f} MB"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    FRAMES = int(sys.argv[2])
    print(json.dumps(_time_references(Path(sys.argv[1]), [int(size) for size in sys.argv[3:]])))
