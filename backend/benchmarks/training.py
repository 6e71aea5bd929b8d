"""`bench training`: the field's quality by minutes of training, cost by the clip's length, and the effect of gated conditions."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..evaluation import reenactment
from ..evaluation.evaluate import evaluate
from ..progress import Reporter
from ..renderer.field.kernels import KERNEL_VARIABLE, KERNELS, why_not
from ..training import checkpoints
from ..training.presets import PRESETS
from ..workspace.checkpoint_index import FIELD
from ..workspace.store import Workspace
from . import gpu_rows, pages, subject
from .apart import run_apart
from .markdown import table
from .options import Training as Options

COST_STEPS = 1200
TRAIN_FRAMES = 60
"""Training frames, spread over the clip, for the gap to the test frames."""
UNREFINED = ("--set=refinements=", "--set=focal_factors=")
WITHOUT_GATES = ("gated=false", "blendshape_noise=0")


def run(options: Options, reporter: Reporter) -> dict[str, Any]:
    """The figures of docs/benchmarks.md."""
    with contextlib.ExitStack() as stack:
        work = options.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        work.mkdir(parents=True, exist_ok=True)
        source = (
            Workspace.open(options.workspace) if options.workspace else subject.processed(options.clip, work, reporter)
        )
        recipes = {"gated": ()} | ({"without gates": WITHOUT_GATES} if options.without_gates else {})
        trainings = [
            _training(source, work / "run", options.preset, minutes, changes, options.size) | {"recipe": name}
            for minutes in options.minutes
            for name, changes in recipes.items()
        ]
        costs = [_cost(source, work / "run", options.preset, seconds) for seconds in options.seconds]
        on_gpu = _on_gpu(source, work / "run", options.preset) if torch.cuda.is_available() else None
    made = {"machine": subject.machine(), "clip": source.root.name, "preset": options.preset}
    result = {**made, "trainings": trainings, "costs": costs} | ({} if on_gpu is None else {"gpu": on_gpu})
    return pages.kept("training", options, result, in_words(result))


def _training(
    source: Workspace, root: Path, preset: str, minutes: float, changes: tuple[str, ...], size: int
) -> dict[str, Any]:
    workspace = subject.copied(source, root)
    recipe = ["--head", FIELD, "--preset", preset, "--minutes", str(minutes)]
    arguments = [*recipe, *(f"--set={change}" for change in changes)]
    result = train_apart(workspace, arguments)
    how = reenactment.Reenactment(size, FIELD)
    evaluation = evaluate(reenactment.test_frames(workspace, how, Reporter()))
    figures = evaluation.figures
    trained = reenactment.self_reenactment(workspace, _training_frames(workspace), how, Reporter())
    gap = evaluate(trained).figures["psnr_head"] - figures["psnr_head"]
    kept = ("psnr_head", "psnr", "psnr_mouth", "psnr_edge", "ssim", "ms_ssim", "lmd_px", "lip_correlation", "lip_range")
    return {"minutes": minutes, **result, **{name: figures[name] for name in kept}, "gap": round(gap, 3)}


def _training_frames(workspace: Workspace) -> np.ndarray:
    return np.linspace(0, workspace.subject.first_test_frame - 1, TRAIN_FRAMES).astype(int)


def _cost(source: Workspace, root: Path, preset: str, seconds: float) -> dict[str, Any]:
    workspace = subject.repeated(source, root, seconds)
    result = train_apart(
        workspace,
        ["--head", FIELD, "--preset", preset, "--steps", str(COST_STEPS), *UNREFINED],
    )
    return {"seconds": seconds, "frames": workspace.subject.frames, **result}


def _on_gpu(source: Workspace, root: Path, preset: str, device: str = "cuda") -> dict[str, Any]:
    """Steps of the same clip by each kernel of the device, first alone, then in a training of `COST_STEPS` steps."""
    recipe, trained = PRESETS[preset], {}
    usable = [name for name in KERNELS if not why_not(name, device)]
    for name in usable:
        workspace = subject.copied(source, root)
        arguments = ["--head", FIELD, "--preset", preset, "--steps", str(COST_STEPS), "--device", device, *UNREFINED]
        trained[name] = train_apart(workspace, arguments, {KERNEL_VARIABLE: name})
    tracking = workspace.head_track(head=FIELD)
    field = checkpoints.load_for_rendering(workspace, kind=FIELD).field(device)
    scene = gpu_rows.Scene(field, tracking.camera, [(tracking.head_to_camera[0], tracking.blendshapes[0])])
    rays = recipe.images_per_step * recipe.rays_per_image
    return gpu_rows.rows(device, (), (rays,), scene) | {"trained": trained}


def train_apart(
    workspace: Workspace, arguments: list[str], environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Train in another process, to measure its memory."""
    done = run_apart("backend", "train", str(workspace.root), "--json", *arguments, environment=environment)
    result = json.loads(done.out)
    return {
        "steps": result["step"],
        "steps_per_s": result["step"] / (60 * result["minutes"]),
        "wall_s": done.seconds,
        "memory_mb": done.memory_mb,
    }


def _or_nothing(value: float | None) -> str:
    """A figure, missing where no face was found in an early head."""
    return "–" if value is None else f"{value:.2f}"


def in_words(result: dict[str, Any]) -> str:
    """Tables for docs/benchmarks.md."""
    lines = [f"{result['machine']}; {result['clip']}, preset {result['preset']}", ""]
    if result["trainings"]:
        heading = ["minutes", "recipe", "steps", "steps/s", "whole run", "memory"]
        heading += ["`psnr_head`", "`psnr`", "`psnr_mouth`", "`ssim`", "`lmd_px`", "gap"]
        rows = [
            [
                f"{row['minutes']:g}",
                row["recipe"],
                f"{row['steps']:,}",
                *_cost_in_words(row),
                *(f"{row[name]:.2f} dB" for name in ("psnr_head", "psnr", "psnr_mouth")),
                f"{row['ssim']:.3f}",
                _or_nothing(row["lmd_px"]),
                f"{row['gap']:+.2f} dB",
            ]
            for row in result["trainings"]
        ]
        lines += table(heading, rows)
    if result["costs"]:
        heading = ["clip", "frames", "steps/s", f"whole run of {COST_STEPS} steps", "memory"]
        rows = [[f"{row['seconds']:g} s", f"{row['frames']:,}", *_cost_in_words(row)] for row in result["costs"]]
        lines += ["", *table(heading, rows)]
    if "gpu" in result:
        lines += ["", *gpu_rows.in_words(result["gpu"]), ""]
        lines += [f"{name}: {row['steps_per_s']:.0f} steps a second" for name, row in result["gpu"]["trained"].items()]
    return "\n".join(lines)


def _cost_in_words(row: dict[str, Any]) -> list[str]:
    """Steps a second, seconds of the complete run, memory."""
    return [f"{row['steps_per_s']:.0f}", f"{row['wall_s']:.0f} s", f"{row['memory_mb']:.0f} MB"]
