"""`evaluate`: the paper's metrics, of a trained head or of any video and its reference."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..progress import Reporter
from ..protocol import AUTO, OURS
from .device import device_option
from .head import head_option, neck_option
from .option import CheckedOptions, option
from .portrait import portrait_option
from .process import LANDMARKERS
from .train import readiness_in_words

SIZE = 256


@dataclass(frozen=True)
class Options(CheckedOptions):
    workspace: Path | None = option("a trained head; or give --video and --reference", None, positional=True)
    size: int | None = option(f"side of the frames compared, pixels ({SIZE})", None)
    head: str = head_option()
    portrait: str = portrait_option()
    fixed_neck: bool = neck_option()
    device: str = device_option()
    rendered: tuple[Path, ...] = option("a video made by render, to show in the report; may be given again", ())
    no_report: bool = option("figures only, no reports/report.html", False)
    video: Path | None = option("a video or a folder of frames of any system, instead of a workspace", None)
    reference: Path | None = option(
        "the true video or folder; of a folder that render --split test wrote its NNNNNN_truth.png", None
    )
    landmarks: str = option("which landmark model reads the lips", "auto", choices=LANDMARKERS)
    matte: Path | None = option("folder of the true heads' mattes: NNNNNN_head.png or NNNNNN.png", None)
    report: Path | None = option("write a report of --video and --reference", None, metavar="OUT.html")

    def __post_init__(self) -> None:
        """Check that the options belong to one of the two ways.

        Raises:
            UsageError: they do not.
        """
        super().__post_init__()
        if self.workspace is not None:
            if unfit := self._given("video", "reference", "matte", "report"):
                raise UsageError(
                    f"give a workspace or --video and --reference, not both: {unfit} belongs to the latter"
                )
        elif self.video is None or self.reference is None:
            raise UsageError("give a workspace, or --video and --reference")
        elif unfit := self._given("size", "head", "portrait", "fixed_neck", "device", "rendered", "no_report"):
            raise UsageError(f"{unfit} needs a workspace")

    def _given(self, *names: str) -> str | None:
        """The flag of the first of these options that was given."""
        given = (name for name in names if getattr(self, name) not in (None, False, (), AUTO, OURS))
        return next((f"--{name.replace('_', '-')}" for name in given), None)


def run(options: Options, reporter: Reporter) -> dict[str, Any]:
    """The figures, by name; `report` is the page that was written.

    Of a workspace, `head` is the kind of head that was drawn, `portrait` how it was put into the frames, `readiness` what
    `training.readiness` measured of it now, and `audio_driven` the figures of the same frames with their lips driven by their own
    audio; a head whose lips follow audio alone lacks it: its figures are those.

    Raises:
        SyncTalkError: a video or the workspace cannot be used.
    """
    return _of_videos(options, reporter) if options.workspace is None else _of_workspace(options, reporter)


def in_words(figures: dict[str, Any]) -> str:
    """The figures, a line each."""
    lines = []
    for name, value in figures.items():
        if name == "readiness":
            lines += readiness_in_words(value)
        elif name == "audio_driven":
            driven = [line for line in in_words(value).splitlines() if line.startswith(("lip", "lmd"))]
            lines += [f"{line}, audio-driven" for line in driven]
        elif isinstance(value, float):
            lines.append(f"{name.replace('_', ' ')}: {value:.3f}".rstrip("0").rstrip("."))
        elif isinstance(value, str | int):
            lines.append(f"{name.replace('_', ' ')}: {value}")
    return "\n".join(lines)


def _of_workspace(options: Options, reporter: Reporter) -> dict[str, Any]:
    from ..evaluation import strip
    from ..evaluation.evaluate import evaluate
    from ..evaluation.reenactment import MEASURED, Reenactment, audio_driven_test_frames, test_frames
    from ..media.guard import guarded
    from ..renderer import devices
    from ..training import checkpoints, readiness
    from ..training.conditions import SHAPE
    from ..workspace.store import Workspace

    assert options.workspace is not None
    devices.select(options.device, reporter)
    workspace, size = Workspace.open(options.workspace), SIZE if options.size is None else options.size
    workspace.require("portrait_sync")
    reporter.plan({})  # how many parts follow is not known yet: no time left is shown rather than the first part's
    head = checkpoints.load_for_rendering(workspace, reporter, options.head)
    fps = workspace.subject.fps
    ready = readiness.measure(workspace, reporter, head.kind)
    taking = replace(MEASURED, neck=not options.fixed_neck)
    how = Reenactment(size, head.kind, options.portrait, taking)
    evaluation = evaluate(test_frames(workspace, how, reporter), options.landmarks, fps)
    figures, audio_driven = evaluation.figures, None
    figures["head"], figures["portrait"] = head.kind, options.portrait
    figures["readiness"] = None if ready is None else ready.to_json()
    if head.lips.name == SHAPE:
        kinds = strip.moments(evaluation)
        kept: dict[int, Any] = {}
        driven = audio_driven_test_frames(workspace, how, reporter)
        pairs = strip.keeping(driven, kinds, kept)
        spoken = evaluate(pairs, options.landmarks, fps)
        figures["audio_driven"] = spoken.figures
        audio_driven = spoken, strip.strip(evaluation, kinds, kept)
    if not options.no_report:
        from ..evaluation.report import AudioDriven, write_report
        from ..evaluation.speech_video import Speech

        page = workspace.reports / "report.html"
        speeches = [guarded(Speech.of_video, video, reporter=reporter, about=video) for video in options.rendered]
        spoken_too = audio_driven and AudioDriven(*audio_driven)
        figures["report"] = str(write_report(workspace, page, evaluation, speeches, spoken_too, head.kind))
    return figures


def _of_videos(options: Options, reporter: Reporter) -> dict[str, Any]:
    from ..evaluation.report import write_comparison
    from ..evaluation.videos import evaluate_videos

    assert options.video is not None and options.reference is not None
    evaluation = evaluate_videos(options.video, options.reference, options.matte, reporter, options.landmarks)
    figures = evaluation.figures
    if options.report is not None:
        report = write_comparison(options.video, options.reference, options.report, evaluation, options.matte)
        figures["report"] = str(report)
    return figures
