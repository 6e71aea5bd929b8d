"""`python -m backend VERB`: arguments, progress on a terminal, `--json`, exit status 0, 1 (a sentence) or 2 (usage)."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from . import __version__
from .errors import Cancelled, ConsentError, SyncTalkError, storage_error
from .options import BUNDLE_ADJUSTMENTS, KEYPOINTS, LANDMARKERS, ProcessOptions
from .progress import Reporter, terminal_reporter
from .workspace.subject import STAGES

_OWN_COMMANDS = {
    "encoder": "face_sync.research.command",
    "models": "models_command",
    "bench": "bench_command",
    "actor": "actor.command",
}
"""Verbs whose arguments live in their own room: a module with `add_arguments(parser)` and `run(args)`."""

_OWN_HELP = {
    "encoder": "the audio-visual encoder: pretrain, features, evaluate",
    "models": "weights: list, fetch, path",
    "bench": "a benchmark: figures, and their ratio to a reference of the same run",
    "actor": "make the synthetic speaker: clip, sound and truth",
}


def main(argv: list[str] | None = None) -> int:
    """Run one verb; the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    parser = _parser(argv[0] if argv else None)
    args = parser.parse_args(argv)
    stop = threading.Event()
    try:
        _stop_on_signals(stop)
        result = args.run(args, stop)
    except (KeyboardInterrupt, Cancelled) as error:
        print(str(error) or "Cancelled.", file=sys.stderr)
        return 1
    except SyncTalkError as error:
        return _failed(args, str(error), error)
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        return _failed(args, str(storage_error(error, error.filename or "a file")), error)
    if isinstance(result, int):
        return result
    if result is not None and getattr(args, "json", False):
        print(json.dumps(result, indent=1))
    elif result is not None:
        print(_in_words(result))
    return 0


def _failed(args: argparse.Namespace, sentence: str, error: Exception) -> int:
    if getattr(args, "debug", False):
        traceback.print_exception(error)
    print(f"Error: {sentence}", file=sys.stderr)
    return 1


def _stop_on_signals(stop: threading.Event) -> None:
    """The first Ctrl-C asks the stage to stop at its next whole file; the second one stops at once."""

    def ask(number: int, frame: Any) -> None:
        del number, frame
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        print("\nStopping at the next safe place (Ctrl-C again stops at once) …", file=sys.stderr)

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, ask)
        signal.signal(signal.SIGTERM, ask)


def _in_words(result: dict[str, Any]) -> str:
    lines = []
    for name, value in result.items():
        if isinstance(value, float):
            value = f"{value:.3f}".rstrip("0").rstrip(".")
        if isinstance(value, str | int):
            lines.append(f"{name.replace('_', ' ')}: {value}")
        elif isinstance(value, dict) and name == "readiness":
            lines += [f"{part}: {value[part]['grade']}" for part in ("mouth", "eyes")]
            lines += [value["advice"]] if value["advice"] else []
        elif isinstance(value, dict) and name == "by_sound":
            lines += [f"{line}, by sound" for line in _in_words(value).splitlines() if line.startswith(("lip", "lmd"))]
    return "\n".join(lines)


def _reporter(stop: threading.Event) -> Reporter:
    return terminal_reporter(cancelled=stop.is_set)


# -- verbs ------------------------------------------------------------------------------------------------------------


def _process(args: argparse.Namespace, stop: threading.Event) -> dict[str, Any]:
    from . import pipeline

    offset = args.audio_offset
    options = ProcessOptions(
        video=args.video,
        size=args.size,
        landmarker=args.landmarks,
        keypoints=args.keypoints,
        bundle_adjustment=args.bundle_adjustment,
        face_model=args.face_model,
        audio_offset_ms=offset if offset in (None, "auto", "measure") else _milliseconds(offset),
    )
    workspace = pipeline.process(args.workspace, options, _reporter(stop), consent_by=args.consent, only=args.stage)
    return pipeline.info(workspace.root)


def _milliseconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SyncTalkError(f"--audio-offset takes milliseconds, auto or measure, not {text}.") from None


def _train(args: argparse.Namespace, stop: threading.Event) -> dict[str, Any]:
    from . import pipeline

    if args.consent:
        _consent(args.workspace, args.consent)
    elif sys.stdin.isatty():
        _ask_consent(args.workspace)
    return pipeline.train(args.workspace, args.preset, args.minutes, _reporter(stop), args.seed, args.steps, args.set)


def _consent(root: Path, by: str) -> None:
    from . import pipeline
    from .workspace.store import Workspace

    workspace = Workspace.open(root)
    with workspace.locked():
        pipeline.record_consent(workspace, by)


def _ask_consent(root: Path) -> None:
    from .workspace.store import Workspace

    if Workspace.open(root).subject.consent.get("given"):
        return
    print(
        "This makes a synthetic likeness of the person shown. Who gave the permission for it? (empty: nobody)",
        file=sys.stderr,
    )
    name = input("> ").strip()
    if not name:
        raise ConsentError("Without the person's permission no head is trained.")
    _consent(root, name)


def _render(args: argparse.Namespace, stop: threading.Event) -> dict[str, Any]:
    from .performance import render, render_split

    delivery = {name: getattr(args, name) for name in ("strength", "smoothing_ms", "offset_ms", "close_in_silence")}
    if args.split:
        return render_split(args.workspace, args.out, _reporter(stop), size=args.size)
    return render(
        args.workspace,
        args.out,
        _reporter(stop),
        audio=args.audio,
        directions=args.directions,
        size=args.size,
        delivery=delivery,
    )


def _evaluate(args: argparse.Namespace, stop: threading.Event) -> dict[str, Any]:
    if args.workspace is None:
        return _evaluate_videos(args, stop)
    if unfit := _given(args, "video", "reference", "matte", "report"):
        args.usage_error(f"give a workspace or --video and --reference, not both: {unfit} goes with the latter")
    from .performance import evaluate

    size = 256 if args.size is None else args.size
    films, landmarks = args.film or [], args.landmarks
    return evaluate(
        args.workspace, _reporter(stop), size=size, report=not args.no_report, films=films, landmarks=landmarks
    )


def _evaluate_videos(args: argparse.Namespace, stop: threading.Event) -> dict[str, Any]:
    if args.video is None or args.reference is None:
        args.usage_error("give a workspace, or --video and --reference")
    if unfit := _given(args, "size", "film", "no_report"):
        args.usage_error(f"{unfit} goes with a workspace only")
    from .evaluation.videos import evaluate_videos

    evaluation = evaluate_videos(args.video, args.reference, args.matte, _reporter(stop), args.landmarks)
    figures = evaluation.figures
    if args.report is not None:
        from .evaluation.report import write_comparison

        report = write_comparison(args.video, args.reference, args.report, evaluation, args.matte)
        figures["report"] = str(report)
    return figures


def _given(args: argparse.Namespace, *names: str) -> str | None:
    """The first of these options that was given, as it is typed."""
    return next((f"--{name.replace('_', '-')}" for name in names if getattr(args, name) not in (None, False)), None)


def _serve(args: argparse.Namespace, stop: threading.Event) -> None:
    del args
    # Blender closes stdin to end the server; a signal must not be taken for a job's cancel request.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    from .server import serve

    serve()


# -- arguments --------------------------------------------------------------------------------------------------------


def _parser(verb_named: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m backend", description="SyncTalk for Blender: the backend. Every verb has its own --help."
    )
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, help_text: str, run: Any, json_output: bool = True) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=help_text, description=help_text)
        sub.set_defaults(run=run)
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
        if json_output:
            sub.add_argument("--json", action="store_true", help="print the result as JSON")
        return sub

    def landmarks(sub: argparse.ArgumentParser, what: str) -> None:
        default = ProcessOptions.landmarker
        sub.add_argument("--landmarks", choices=LANDMARKERS, default=default, help=f"{what} (%(default)s)")

    sub = verb("process", "preprocess a video into a workspace, stage by stage; goes on where it stopped", _process)
    sub.add_argument("video", type=Path, nargs="?", help="the clip; may be left out to go on with a workspace")
    sub.add_argument("--workspace", type=Path, required=True, help="folder of the subject")
    sub.add_argument("--stage", choices=STAGES, help="this stage alone")
    sub.add_argument(
        "--size", type=int, default=ProcessOptions.size, help="largest side of the working frame, pixels (%(default)s)"
    )
    landmarks(sub, "which landmark model")
    sub.add_argument(
        "--audio-offset",
        metavar="MS",
        help="how late the sound runs: milliseconds; auto mends what is measured (as the first time without this); "
        "measure only tells",
    )
    sub.add_argument(
        "--keypoints",
        choices=KEYPOINTS,
        default=ProcessOptions.keypoints,
        help="head points: corners, or of those the third whose optical flow bends most or least (%(default)s)",
    )
    sub.add_argument(
        "--bundle-adjustment",
        choices=BUNDLE_ADJUSTMENTS,
        default=ProcessOptions.bundle_adjustment,
        help="sparse Levenberg-Marquardt, or Adam as in the paper (%(default)s)",
    )
    sub.add_argument("--face-model", type=Path, help="a Basel Face Model file (.mat, .h5) for the face's relief")
    sub.add_argument("--consent", metavar="NAME", help="who gave the permission to make a synthetic likeness; recorded")

    sub = verb("train", "train the head; goes on from the last checkpoint", _train)
    sub.add_argument("workspace", type=Path)
    sub.add_argument("--preset", default="preview", help="preview, standard or paper (%(default)s)")
    sub.add_argument("--minutes", type=float, help="training time (the preset's own)")
    sub.add_argument("--steps", type=int, help="this many steps instead of a time: the same result on any machine")
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument(
        "--set",
        action="append",
        metavar="NAME=VALUE",
        help="change a field of the preset (docs/training.md lists them)",
    )
    sub.add_argument("--consent", metavar="NAME", help="who gave the permission to make a synthetic likeness; recorded")

    sub = verb("render", "render a film (OUT.mp4) or a folder of RGBA frames", _render)
    sub.add_argument("workspace", type=Path)
    sub.add_argument("--out", type=Path, required=True, help="a path ending in .mp4, or a folder")
    sub.add_argument("--audio", type=Path, help="the sound to speak")
    sub.add_argument("--strength", type=float, default=1.0, help="of the mouth's motion about its rest (%(default)s)")
    sub.add_argument("--smoothing-ms", type=float, default=0.0, help="width of a filter over it (%(default)s)")
    sub.add_argument("--offset-ms", type=float, default=0.0, help="how late the new sound runs (%(default)s)")
    sub.add_argument("--close-in-silence", action="store_true", help="shut the lips in pauses")
    sub.add_argument("--directions", type=Path, help="an animation.npz with an artist's edits (docs/animation.md)")
    sub.add_argument("--split", choices=("test",), help="the held-out frames instead, as they would be compared")
    sub.add_argument("--size", type=int, help="longer side of the picture, pixels (the footage's own)")

    sub = verb(
        "evaluate",
        "the paper's metrics, on the held-out last 1/11 of a clip or on any film and its reference",
        _evaluate,
    )
    sub.set_defaults(usage_error=sub.error)
    sub.add_argument("workspace", type=Path, nargs="?", help="a trained head; or give --video and --reference")
    sub.add_argument("--size", type=int, help="side of the pictures compared, pixels (256)")
    sub.add_argument(
        "--film", type=Path, action="append", help="a film made by render, to show in the report; may be given again"
    )
    sub.add_argument("--no-report", action="store_true", help="figures only, no reports/report.html")
    sub.add_argument("--video", type=Path, help="a film or a folder of frames of any system, instead of a workspace")
    sub.add_argument(
        "--reference",
        type=Path,
        help="the true film or folder; of one that render --split test wrote its NNNNNN_truth.png",
    )
    landmarks(sub, "which landmark model reads the lips")
    sub.add_argument("--matte", type=Path, help="folder of the true heads' mattes: NNNNNN_head.png or NNNNNN.png")
    sub.add_argument("--report", type=Path, metavar="OUT.html", help="write a report of --video and --reference")

    verb("serve", "JSON-RPC over stdin and stdout for Blender (docs/protocol.md)", _serve, json_output=False)
    _add_own_commands(verbs, verb_named)
    return parser


def _run_own(own: Any, args: argparse.Namespace, stop: threading.Event) -> int:
    """Run a verb of another room; `args.cancelled()` tells it that the user asked to stop."""
    args.cancelled = stop.is_set
    return own.run(args)


def _add_own_commands(verbs: Any, verb_named: str | None) -> None:
    """The arguments of a verb that lives in its own room are read when it is named: its imports may be heavy."""
    for name, module in _OWN_COMMANDS.items():
        sub = verbs.add_parser(name, help=_OWN_HELP[name], description=_OWN_HELP[name])
        if name == verb_named:
            own = importlib.import_module(f".{module}", __package__)
            own.add_arguments(sub)
            sub.set_defaults(run=lambda args, stop, own=own: _run_own(own, args, stop))
        if not any("--debug" in action.option_strings for action in sub._actions):
            sub.add_argument("--debug", action="store_true", help="show the traceback of an error")


os.environ.setdefault("GLOG_minloglevel", "2")  # MediaPipe's own chatter is of no use to a user
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
