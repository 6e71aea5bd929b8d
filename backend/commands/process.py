"""`process`: a video becomes a workspace, stage by stage."""

from __future__ import annotations

import contextlib
import importlib
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..progress import Reporter
from ..protocol import Stage
from ..workspace.subject import STAGES
from .beside import Beside, Early, awaited
from .consent import HELP, record_consent, tie_consent_to_clip
from .option import CheckedOptions, option

if TYPE_CHECKING:
    from ..workspace.head_track import HeadTrack
    from ..workspace.pose_track import PoseTrack
    from ..workspace.store import Workspace

OCIO = "ocio"
LANDMARKERS = ("auto", "task", "mesh")
COLOURS = ("auto", "bt709", "hlg", "pq", "logc3", "logc4", OCIO)
KEYPOINTS = ("corners", "flow-most", "flow-least")

_STAGES: dict[str, tuple[str, tuple[str, ...]]] = {
    Stage.MEDIA: ("media.stage", ("video", "size", "colour")),
    Stage.LANDMARKS: ("head_sync.landmarks_stage", ("landmarker",)),
    Stage.HEAD_SYNC: ("head_sync.stage", ("keypoints", "bundle_adjustment", "face_model")),
    Stage.FACE_SYNC: ("face_sync.stage", ("audio_offset_ms",)),
    Stage.PORTRAIT_SYNC: ("portrait_sync.stage", ("no_covers",)),
}
"""Module of a stage and the options that it takes. It is imported when its turn comes."""


@dataclass(frozen=True)
class Options(CheckedOptions):
    video: Path | None = option("the clip; may be left out to resume a workspace", None, positional=True)
    workspace: Path = option("folder of the subject")
    stage: str | None = option("run this stage only; the ones before it must be done", None, choices=STAGES)
    size: int = option("largest side of the working frame, pixels; a smaller face crop keeps its own size", 512)
    colour: str | None = option(
        "how the clip's values encode light, where its tags do not say it; auto for the tags (which camera logs have none for)",
        None,
        choices=COLOURS,
    )
    ocio_config: Path | None = option("of --colour ocio: the file of an OpenColorIO config", None)
    ocio_space: str | None = option("of --colour ocio: the clip's colour space in that config", None, metavar="NAME")
    landmarker: str = option(
        "which landmark model: task (face_landmarker.task must be present), mesh (in the mediapipe package) or auto",
        "auto",
        flag="--landmarks",
        choices=LANDMARKERS,
    )
    keypoints: str = option(
        "head points: corners, or the third whose optical flow bends most or least",
        "corners",
        choices=KEYPOINTS,
    )
    bundle_adjustment: str = option(
        "sparse Levenberg-Marquardt, or Adam as in the paper", "sparse", choices=("sparse", "adam")
    )
    face_model: Path | None = option("a Basel Face Model file (.mat, .h5) for the face's relief", None)
    audio_offset_ms: float | str | None = option(
        "how late the audio is: milliseconds; auto measures and corrects it (the default of the first "
        "run), measure only reports it",
        None,
        flag="--audio-offset",
        metavar="MS",
        choices=("auto", "measure"),
    )
    no_covers: bool = option("do not look for what covers the face, such as a microphone or glare on glasses", False)
    consent: str | None = option(HELP, None, metavar="NAME")
    footage: bool = option("also write the complete source frames, where the working frames are a part of them", False)

    def __post_init__(self) -> None:
        """
        Raises:
            UsageError: a text is none of its choices, or what belongs to --colour ocio is given apart.
        """
        super().__post_init__()
        given = self.ocio_config is not None, bool(self.ocio_space)
        if self.colour == OCIO and not all(given):
            raise UsageError("--colour ocio needs --ocio-config FILE and --ocio-space NAME")
        if self.colour != OCIO and any(given):
            raise UsageError("--ocio-config and --ocio-space belong to --colour ocio")


@dataclass(frozen=True)
class Result:
    """What docs/protocol.md lists as the result of `process`."""

    workspace: Path
    format: int
    name: str
    source: str
    frames: int
    fps: float
    duration_s: float
    source_size: tuple[int, int]
    crop: dict[str, float] | None
    size: int
    audio_offset_ms: float
    stages: dict[str, str]
    trained: dict[str, Any] | None
    consent: dict[str, Any]
    paths: dict[str, str]
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, root: Path, warnings: tuple[str, ...] = ()) -> Result:
        """What a workspace holds.

        Raises:
            WorkspaceError: there is none.
        """
        from ..workspace.store import Workspace

        workspace = Workspace.open(root)
        subject, crop = workspace.subject, workspace.subject.crop
        audio_path, audio_offset_ms = workspace.aligned_audio
        animations = sorted(workspace.renders.glob("*/animation.npz"), key=lambda path: path.stat().st_mtime)
        return cls(
            workspace=workspace.root,
            format=subject.format,
            name=subject.name,
            source=subject.source,
            frames=subject.frames,
            fps=subject.fps,
            duration_s=subject.duration_s,
            source_size=subject.source_size,
            crop=None if crop is None else {"x": crop.x, "y": crop.y, "size": crop.size},
            size=subject.size,
            audio_offset_ms=audio_offset_ms,
            stages={name: workspace.stage_state(name) for name in STAGES},
            trained=_trained(workspace),
            consent=subject.consent,
            paths={
                "footage": str(workspace.root / "frames" / "%06d.jpg"),
                "plate": str(workspace.root / "plate" / "%06d.jpg"),
                "audio": str(audio_path),
                "tracking": str(workspace.tracking_path),
                "face_mesh": str(workspace.root / "face_mesh.npz"),
                "animation": str(animations[-1]) if animations else "",
            },
            warnings=warnings,
        )


def run(options: Options, reporter: Reporter, stages: tuple[str, ...] = STAGES) -> Result:
    """Run the preprocessing stages that are not done yet.

    Args:
        stages: those that are wanted, where the options name none.

    Raises:
        SyncTalkError: the clip or the workspace cannot be used.
        Cancelled: what was finished is kept.
    """
    from ..media.footage import write_footage
    from ..workspace.heap import reused_memory, trim_heap
    from ..workspace.store import Workspace

    workspace = Workspace.create(options.workspace)
    stages = stages if options.stage is None else (options.stage,)
    early: Early | None = None
    with workspace.locked(), reused_memory(), contextlib.ExitStack() as limits, Beside() as beside:
        if options.consent:
            record_consent(workspace, options.consent)
        _plan(workspace, stages, options.footage, reporter)
        for name in stages:
            before = len(reporter.warnings)
            if name == Stage.MEDIA and len(stages) > 1:
                beside.start(_import_stages)  # while the clip is read in a process of its own
            elif name != Stage.MEDIA:
                _compute_alone(limits)
                trim_heap()  # of what the stages before it have freed; two are to run beside each other
            if name == Stage.HEAD_SYNC and Stage.PORTRAIT_SYNC in stages:
                poses: Future[PoseTrack] = Future()
                early = _portrait_sync_beside(workspace, options, reporter, beside, poses)
            if name == Stage.PORTRAIT_SYNC and early is not None:
                early.follow(reporter)
            else:
                _run_stage(name, workspace, options, reporter)
            workspace.keep_warnings(name, reporter.warnings[before:])
            tie_consent_to_clip(workspace, renewed=bool(options.consent))
            if name == Stage.MEDIA:
                _plan(workspace, stages, options.footage, reporter)
            if name == Stage.HEAD_SYNC:
                if early is not None:
                    poses.set_result(workspace.pose_track())
                _report_head_sync(workspace, reporter, None if name == stages[-1] else beside)
        if options.footage:
            write_footage(workspace, reporter)
        beside.finish()
    return Result.of(workspace.root, tuple(reporter.warnings))


def in_words(result: Result) -> str:
    """The fields that a user reads."""
    return (
        f"workspace: {result.workspace}\nsource: {result.source}\n"
        f"{result.frames} frames at {result.fps:g} a second, {result.duration_s:.2f} s; working frames of {result.size} px\n"
        f"audio offset: {result.audio_offset_ms:+.0f} ms"
    )


def _run_stage(name: str, workspace: Workspace, options: Options, reporter: Reporter, **more: Any) -> None:
    from ..media.guard import guarded
    from ..workspace.store import Workspace

    module_name, names = _STAGES[name]
    module = importlib.import_module(f"..{module_name}", __package__)
    taken = {option_name: getattr(options, option_name) for option_name in names}
    if name != Stage.MEDIA:
        module.run(workspace, reporter, **taken, **more)
        return
    if options.colour == OCIO:
        taken["colour"] = _ocio_space(options)
    folders = (workspace.root,)
    guarded(module.run_in, workspace.root, *taken.values(), reporter=reporter, about=options.video, folders=folders)
    workspace.subject = Workspace.open(workspace.root).subject


def _ocio_space(options: Options) -> str:
    from ..media.ocio import OcioSpace

    assert options.ocio_config is not None and options.ocio_space is not None
    return OcioSpace.of(options.ocio_config, options.ocio_space).name


def _compute_alone(limits: contextlib.ExitStack) -> None:
    """BLAS without threads until `limits` end: stages solve many small systems, for which they cost more than they gain, on a busy
    machine fifty times the time."""
    from threadpoolctl import threadpool_limits

    limits.pop_all().close()  # libraries that were loaded since are limited too
    limits.enter_context(threadpool_limits(1, "blas"))


def _portrait_sync_beside(
    workspace: Workspace, options: Options, reporter: Reporter, beside: Beside, poses: Future[PoseTrack]
) -> Early:
    """Begin `portrait_sync` beside `head_sync`, whose poses it needs when the model of the clip is made, and `face_sync`."""
    import numpy as np

    from ..head_sync.landmarks_stage import Landmarks
    from ..portrait_sync.stage import TrackToCome
    from ..protocol import BLENDSHAPE_NAMES
    from ..workspace.head_track import HeadTrack

    landmarks = Landmarks.read(workspace.root / "landmarks.npz")
    points_px = landmarks.points_px.astype(np.float32)

    def track(own: Reporter) -> HeadTrack:
        found = awaited(poses, own)
        none = np.zeros((len(found.valid), len(BLENDSHAPE_NAMES)))
        return HeadTrack(found.camera, found.head_to_camera, found.valid, points_px, none, fps=workspace.subject.fps)

    def run_stage(own: Reporter) -> None:
        own.plan({Stage.PORTRAIT_SYNC: workspace.subject.frames})  # so that its time is kept
        to_come = TrackToCome(points_px, landmarks.detected, track)
        _run_stage(Stage.PORTRAIT_SYNC, workspace, options, own, track=to_come)

    return Early(beside, run_stage, reporter.history)


def _import_stages() -> None:
    """Import what the stages need; some of it they would import in the middle of their work."""
    for module_name, _ in _STAGES.values():
        importlib.import_module(f"..{module_name}", __package__)
    for name in ("librosa.filters", "torch._dynamo"):  # by the spectra, and by the first step of an optimiser
        importlib.import_module(name)


def _report_head_sync(workspace: Workspace, reporter: Reporter, beside: Beside | None) -> None:
    """Write the report of the tracking, beside the next stages where there are any."""
    from ..evaluation.tracking.report import write_head_sync_report

    if beside is None:
        write_head_sync_report(workspace, reporter)
        return
    if reporter.stage == Stage.HEAD_SYNC:  # the stage left a part of its progress to the report
        reporter.progress(Stage.HEAD_SYNC, workspace.subject.frames, workspace.subject.frames)
    beside.start(write_head_sync_report, workspace, beside.reporter())


def _plan(workspace: Workspace, stages: tuple[str, ...], footage: bool, reporter: Reporter) -> None:
    """Announce how many frames the stages process; before a clip was read the first of them finds that out."""
    more = [Stage.FOOTAGE] if footage and not workspace.subject.is_full_frame else []
    reporter.plan(dict.fromkeys([*stages, *more], workspace.subject.frames or None))


def _trained(workspace: Workspace) -> dict[str, Any] | None:
    from ..workspace.checkpoint_index import readiness_of, training_config

    config = training_config(workspace.checkpoints)
    try:
        found = {name: config[name] for name in ("step", "preset", "psnr")}
        readiness = readiness_of(workspace.checkpoints)
        return {**found, "minutes": config["elapsed_s"] / 60, "readiness": readiness}
    except KeyError:
        return None
