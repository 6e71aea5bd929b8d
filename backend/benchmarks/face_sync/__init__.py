"""`bench face-sync`: what features tell of the lips, what lips, face and regions of a trained head do, and the cost."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from pathlib import Path
from typing import Any

from ...errors import SyncTalkError
from ...progress import terminal_reporter
from ...workspace.store import Workspace
from .. import subject
from . import capture, cost, driving, lip_space, tables

HELP = "Face-Sync: lip space, sync, speech to lips, capture, disentanglement, cost"
PARTS = ("lip-space", "sync", "capture", "driving", "cost")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the benchmark's arguments on `parser`."""
    parser.add_argument("--clip", nargs="+", default=["sample"], help="videos, or sample (%(default)s)")
    parser.add_argument("--workspace", type=Path, help="a workspace with a trained head, for the part driving")
    parser.add_argument(
        "--sound-workspace", type=Path, help="the same clip with a head trained with lips=adapted, to compare with"
    )
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS), help="these parts alone")
    parser.add_argument("--encoder", nargs="+", help="encoders of the lip space (all that are here)")
    parser.add_argument("--size", type=int, default=512, help="side of the driven pictures, pixels (%(default)s)")
    parser.add_argument("--speech", nargs="*", type=Path, default=[], help="sounds for the head to speak, a film each")
    parser.add_argument("--out", type=Path, help="folder for the strip of frames and the films")
    parser.add_argument("--work", type=Path, help="keep the processed clips here for the next run")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """The figures of docs/benchmarks.md.

    Raises:
        SyncTalkError: a part needs what was not given.
    """
    reporter = terminal_reporter()
    result: dict[str, Any] = {"machine": subject.machine()}
    with contextlib.ExitStack() as stack:
        work = args.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        work.mkdir(parents=True, exist_ok=True)
        clips = []
        if {"lip-space", "sync", "capture", "cost"} & set(args.part):
            clips = [subject.tracked(clip, work, reporter) for clip in args.clip]
        if "lip-space" in args.part:
            result["lip_space"] = lip_space.measure(clips, args.encoder, reporter)
        if "sync" in args.part:
            result["sync"] = lip_space.shifts(clips, reporter)
        if "capture" in args.part:
            result["capture"] = capture.measure(clips, work, reporter)
        if "driving" in args.part:
            if args.workspace is None:
                if args.part != list(PARTS):
                    raise SyncTalkError("The part driving needs a trained head: give --workspace.")
                reporter.warning("Without --workspace there is no trained head: driving is left out.")
            else:
                head = Workspace.open(args.workspace)
                of_sound = Workspace.open(args.sound_workspace) if args.sound_workspace else None
                result["driving"] = driving.measure(head, of_sound, args.size, args.out, args.speech, reporter)
        if "cost" in args.part:
            result["cost"] = cost.measure(clips[0], work, reporter)
    return result


def in_words(result: dict[str, Any]) -> str:
    """The figures as text."""
    return tables.in_words(result)
