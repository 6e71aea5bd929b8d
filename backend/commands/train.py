"""`train`: the head of a workspace, and the measurement of what it can do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConsentError
from ..progress import Reporter
from ..protocol import Stage
from .consent import HELP, ask_for_consent, check_clip, record_consent
from .device import device_option
from .option import CheckedOptions, option

if TYPE_CHECKING:
    from ..training.presets import Preset
    from ..training.train import TrainResult
    from ..workspace.store import Workspace

HEADS = ("both", "field", "gaussians")
PRESET_NAMES = ("preview", "standard", "paper")


@dataclass(frozen=True)
class Options(CheckedOptions):
    workspace: Path = option("a processed workspace", positional=True)
    preset: str = option("the recipe (docs/training.md)", "preview", choices=PRESET_NAMES)
    minutes: float | None = option("training time in minutes, including earlier runs (default: the preset's)", None)
    steps: int | None = option("number of steps instead of a time: the same result on any machine", None)
    head: str = option(
        "the field and its Gaussian twin, the field alone, or a twin of the field that is there", "both", choices=HEADS
    )
    further: bool = option("after a complete training, train for this much longer", False)
    seed: int = option("random seed of rays and initial weights", 0)
    set: tuple[str, ...] = option(
        "change a field of the preset (docs/training.md lists them); may be given again", (), metavar="NAME=VALUE"
    )
    device: str = device_option()
    consent: str | None = option(HELP, None, metavar="NAME")


@dataclass(frozen=True)
class Result:
    step: int
    minutes: float
    psnr: float
    checkpoint: Path
    readiness: dict[str, Any] | None


def run(options: Options, reporter: Reporter) -> Result:
    """Train the head, or resume from its last checkpoint; see `training.train.train` and `training.readiness`.

    Raises:
        ConsentError: the consent of the person shown is not recorded, or is for another clip.
        SyncTalkError: the workspace cannot be trained on.
        Cancelled: the last checkpoint is kept.
    """
    from ..renderer import devices
    from ..training import readiness
    from ..training.presets import PRESETS
    from ..workspace.store import Workspace

    device = devices.select(options.device, reporter)
    workspace = Workspace.open(options.workspace)
    consent = options.consent or ask_for_consent(workspace, reporter)  # unlocked: an answer may take its time
    clip = workspace.subject.source_sha256
    with workspace.locked():
        workspace.subject = Workspace.open(options.workspace).subject
        if workspace.subject.source_sha256 != clip:
            raise ConsentError(f"{workspace.root} has another clip now: run train again.")
        if consent:
            record_consent(workspace, consent)
        check_clip(workspace)
        preset = PRESETS[options.preset].changed(list(options.set))
        reporter.plan(*_plan(workspace, preset, options))
        trained = _train(workspace, preset, options, device, reporter)
        ready = readiness.measure(workspace, reporter)
    return Result(
        trained.step, trained.minutes, trained.psnr, trained.checkpoint, None if ready is None else ready.to_json()
    )


def _train(workspace: Workspace, preset: Preset, options: Options, device: str, reporter: Reporter) -> TrainResult:
    """On this device, and where its memory runs out on the CPU, from the last checkpoint."""
    from ..renderer import devices
    from ..training.train import train

    for used in (device, "cpu"):
        try:
            return train(
                workspace,
                preset,
                reporter,
                options.minutes,
                options.seed,
                used,
                steps=options.steps,
                further=options.further,
                head=options.head,
            )
        except RuntimeError as error:
            if not devices.left_for_cpu(error, used):
                raise
    raise AssertionError("the CPU is not left")


def in_words(result: Result) -> str:
    """How far the training is, and what the head can do."""
    lines = [f"step {result.step}, {result.minutes:.1f} min, PSNR {result.psnr:.2f} dB", f"{result.checkpoint}"]
    return "\n".join([*lines, *readiness_in_words(result.readiness)])


def readiness_in_words(readiness: dict[str, Any] | None) -> list[str]:
    """Lines with the grades of mouth and eyes, and the advice."""
    if readiness is None:
        return []
    grades = [f"{part}: {readiness[part]['grade']}" for part in ("mouth", "eyes")]
    return [*grades, *([readiness["advice"]] if readiness["advice"] else [])]


def _plan(workspace: Workspace, preset: Preset, options: Options) -> tuple[dict[str, float | None], str]:
    """The stages of the training with their sizes, and the one that lasts as many seconds as it has units."""
    from ..training import dataset, focal_search, readiness
    from ..training.gaussians import trainer

    if options.steps is not None:
        return {}, ""  # how long refinements between the steps take is not known: no time left is shown
    units: dict[str, float | None] = {
        Stage.LOADING: min(dataset.FIRST_FRAMES, max(workspace.subject.first_test_frame, 1)),
        Stage.VISUAL_HULL: 1,
    }
    if preset.focal_factors:
        units[Stage.FOCAL_LENGTH] = (1 + len(preset.focal_factors)) * focal_search.STEPS
    if options.head != "field":
        units[Stage.GAUSSIANS] = trainer.RENDERED
    units[Stage.TRAINING] = 60 * (preset.minutes if options.minutes is None else options.minutes)
    return units | {Stage.SAVING: 1, Stage.READINESS: readiness.RENDERED}, Stage.TRAINING
