"""`bench gpu`: everything that is to be known of a GPU, in eight minutes from a bare machine.

First what needs no clip: the GPU's own rates, kernels compared with each other on a made-up head, frames and steps. Then, in
what is left of the time, the embedded speaker is processed and its field trained for a minute.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any

from ..commands import train
from ..progress import Reporter
from ..renderer import devices
from ..workspace.checkpoint_index import FIELD
from ..workspace.store import Workspace
from . import gpu_gaussians, gpu_rows, pages, subject
from .options import Gpu as Options

TRAINING_MINUTES = 1.0
_PROCESSING_S = 150
"""That must be left to process the sample before it is trained."""


def run(options: Options, reporter: Reporter) -> dict[str, Any]:
    """The figures.

    Raises:
        DeviceError: there is no such device.
    """
    until = time.monotonic() + 60 * options.minutes
    device = devices.select(options.device, reporter)
    reporter.progress("kernels", 0, 1, "parts")
    result: dict[str, Any] = {"machine": subject.machine()}
    result |= gpu_rows.rows(device, options.sizes, options.rays, gpu_rows.made_up_scene(device))
    reporter.progress("gaussians", 0, 1, "parts")
    result["gaussians"] = gpu_gaussians.rows(device, options.sizes)
    left = until - time.monotonic()
    needed = 60 * TRAINING_MINUTES + (0 if options.workspace else _PROCESSING_S)
    if left > needed:
        result["training"] = _training(options.workspace, device, reporter)
    else:
        result["left_out"] = f"the training: {left:.0f} s were left, and it takes {needed:.0f}"
    return pages.kept("gpu", options, result, in_words(result))


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
    lines = [
        f"{result['machine']}",
        "",
        *gpu_rows.in_words(result),
        "",
        *gpu_gaussians.in_words(result["gaussians"]),
        "",
    ]
    if "training" in result:
        row = result["training"]
        lines.append(
            f"{row['clip']}, {TRAINING_MINUTES:g} min of the field: {row['steps']:,} steps, {row['steps_per_s']:.0f} a second, "
            f"{row['psnr_validation']:.2f} dB, {row['wall_s']:.0f} s in all"
        )
    else:
        lines.append(f"Left out: {result['left_out']}")
    return "\n".join(lines)
