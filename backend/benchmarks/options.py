"""The options of every benchmark, apart from the packages that it measures: `--help` waits for none of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..commands.head import head_option
from ..commands.option import CheckedOptions, option
from ..commands.process import KEYPOINTS, LANDMARKERS
from ..media.codecs import CODECS, H264
from ..protocol import FIELD, GAUSSIANS

PARTS = ("lip-space", "sync", "capture", "driving", "cost")
"""Of `bench face-sync`."""
BOTH = "both"
"""Heads of `bench portrait`."""


@dataclass(frozen=True)
class PageOptions:
    """What every benchmark's options have in common."""

    write: bool = option("keep the figures in docs/benchmarks/data and write the page", False)


@dataclass(frozen=True)
class Capture(PageOptions, CheckedOptions):
    """Of `bench capture`."""

    workspace: tuple[Path, ...] = option("trained heads, two or more; each is driven by each other's clip", nargs="+")
    head: str = head_option()
    size: int = option("side of the frames, pixels", 256)
    out: Path | None = option("folder for the sheets: the driver above, the driven head below", None)


@dataclass(frozen=True)
class Delivery(PageOptions):
    """Of `bench delivery`."""

    workspace: tuple[Path, ...] = option("trained heads, whose clips are still there", nargs="+")
    audio: tuple[Path, ...] = option(
        "speech; of several the memory of the shortest and the longest is compared", nargs="+"
    )
    codec: tuple[str, ...] = option("of the videos", (H264,), nargs="+", choices=tuple(CODECS))


@dataclass(frozen=True)
class FaceSync(PageOptions, CheckedOptions):
    """Of `bench face-sync`."""

    clip: tuple[str, ...] = option("videos, or sample", ("sample",), nargs="+")
    workspace: Path | None = option("a workspace with a trained head, for the part driving", None)
    audio_workspace: Path | None = option("the same clip with a head trained with lips=adapted, to compare with", None)
    head: str = head_option()
    part: tuple[str, ...] = option("only these parts", PARTS, nargs="+", choices=PARTS)
    encoder: tuple[str, ...] = option("encoders of the lip space (default: all installed)", (), nargs="+")
    size: int = option("side of the driven frames, pixels", 512)
    speech: tuple[Path, ...] = option("audio for the head to speak, a video each", (), nargs="*")
    out: Path | None = option("folder for the strip of frames and the videos", None)
    work: Path | None = option("keep the processed clips here for the next run", None)


@dataclass(frozen=True)
class Gaussians(PageOptions):
    """Of `bench gaussians`."""

    workspace: Path | None = option("a workspace with both heads", None)
    clip: str = option("without one: a video, or sample, to train on", "sample")
    steps: int | None = option("of that training (default: the preset's time)", None)
    size: int = option("side of the frames whose quality is measured, pixels", 256)
    quality: tuple[Path, ...] = option(
        "processed workspaces to train copies of, both heads and the field alone, for all of the minutes", (), nargs="+"
    )
    minutes: tuple[float, ...] = option("of those trainings", (1.0, 2.0, 3.0, 5.0), nargs="+")
    preset: str = option("of those trainings", "preview")
    out: Path | None = option("folder for the sheets of images", None)
    work: Path | None = option("keep what is made here: interrupted trainings resume with the next run", None)


@dataclass(frozen=True)
class Gpu(PageOptions):
    """Of `bench gpu`."""

    workspace: Path | None = option(
        "a processed workspace for the training, instead of the sample; it is not changed", None
    )
    minutes: float = option("for all; the training is left out where it would take longer", 8.0)
    sizes: tuple[int, ...] = option("of frames, pixels a side", (256, 512, 1024), nargs="*")
    rays: tuple[int, ...] = option("of a step", (4096, 65536), nargs="*")
    device: str = option("cuda or cuda:N", "cuda")


@dataclass(frozen=True)
class HeadSync(PageOptions):
    """Of `bench head-sync`."""

    clip: tuple[str, ...] = option("videos, or sample", ("sample",), nargs="+", metavar="V")
    landmarks: str = option("which landmark model", "auto", choices=LANDMARKERS)
    keypoints: str = option("head points", "corners", choices=KEYPOINTS)
    frames: tuple[int, ...] = option(
        "only the cost, on the clip repeated to so many frames", (), nargs="+", metavar="N"
    )
    plots: Path | None = option("write the plots of docs/head-sync.md there", None, metavar="DIR")
    work: Path | None = option("keep the clips' frames and landmarks here for the next run", None)


@dataclass(frozen=True)
class Live(PageOptions):
    """Of `bench live`."""

    workspace: Path = option("a workspace with a trained head, of both kinds")
    seconds: float = option("of each measurement of latency", 10.0)
    minutes: float = option("of the endurance run, with rubbish among the packets; 0 for none", 10.0)


@dataclass(frozen=True)
class Portrait(PageOptions, CheckedOptions):
    """Of `bench portrait`."""

    workspace: tuple[Path, ...] = option("trained heads", nargs="+")
    head: str = option("which of their heads", BOTH, choices=(BOTH, GAUSSIANS, FIELD))
    size: int | None = option("side of the frames compared, pixels (what each head was trained at)", None)
    out: Path | None = option("folder for the sheets of images", None)


@dataclass(frozen=True)
class Process(PageOptions):
    """Of `bench process`."""

    clip: tuple[str, ...] = option("videos, or sample", ("sample",), nargs="+", metavar="V")
    against: Path | None = option(
        "a checkout of an earlier version, measured in turn with this one", None, metavar="FOLDER"
    )
    runs: int = option("how often each of two versions is measured", 3)
    stages: bool = option("also run each stage in a process of its own, for its processor time", False)


@dataclass(frozen=True)
class Readiness(PageOptions, CheckedOptions):
    """Of `bench readiness`."""

    workspace: tuple[Path, ...] = option("trained heads; each is measured again", nargs="+")
    audio: Path = option("new speech")
    head: str = head_option()


@dataclass(frozen=True)
class Renderer(PageOptions):
    """Of `bench renderer`."""

    workspace: Path | None = option("a workspace with a trained head", None)
    clip: str = option("without one: a video, or sample, to train on", "sample")
    steps: int = option("of that training", 1500)
    work: Path | None = option("keep what is made of the clip here for the next run", None)
    no_start: bool = option("leave out the cold starts", False)


@dataclass(frozen=True)
class Training(PageOptions):
    """Of `bench training`."""

    clip: str = option("a video, or sample", "sample")
    workspace: Path | None = option("its processed workspace, instead; it is not changed", None)
    preset: str = option("of the trainings", "preview")
    minutes: tuple[float, ...] = option("a training each", (0.5, 1.0, 2.0, 5.0, 10.0), nargs="*")
    seconds: tuple[float, ...] = option("cost of the clip repeated to this length", (), nargs="*")
    without_gates: bool = option("each training without gated conditions as well", False)
    size: int = option("side of the frames compared, pixels", 256)
    work: Path | None = option("keep the clip's frames here for the next run", None)


@dataclass(frozen=True)
class Watermark(PageOptions):
    """Of `bench watermark`."""

    clip: tuple[str, ...] = option("videos that are marked, or sample", ("sample",), nargs="+", metavar="V")
    work: Path | None = option(
        "a folder where each clip's figures are kept; a clip that is there is not measured again", None
    )
    preset: str = option("x264's, of all encodings after the delivery", "veryfast")
