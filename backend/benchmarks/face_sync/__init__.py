"""`bench face-sync`: how features predict the lips, how the lips, face and regions of a trained head move, and the cost."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

from ...errors import SyncTalkError
from ...progress import Reporter
from ...workspace.store import Workspace
from .. import pages, subject
from ..options import PARTS
from ..options import FaceSync as Options
from . import capture, cost, driving, lip_space, tables


def run(options: Options, reporter: Reporter) -> dict[str, Any]:
    """The figures of docs/benchmarks.md.

    Raises:
        SyncTalkError: a part needs what was not given.
    """
    result: dict[str, Any] = {"machine": subject.machine()}
    with contextlib.ExitStack() as stack:
        work = options.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        work.mkdir(parents=True, exist_ok=True)
        clips = []
        if {"lip-space", "sync", "capture", "cost"} & set(options.part):
            clips = [subject.tracked(clip, work, reporter) for clip in options.clip]
        if "lip-space" in options.part:
            result["lip_space"] = lip_space.measure(clips, options.encoder, reporter)
        if "sync" in options.part:
            result["sync"] = lip_space.shifts(clips, reporter)
        if "capture" in options.part:
            result["capture"] = capture.measure(clips, work, reporter)
        if "driving" in options.part:
            if options.workspace is None:
                if options.part != PARTS:
                    raise SyncTalkError("The part driving needs a trained head: give --workspace.")
                reporter.warning("Without --workspace there is no trained head: driving is left out.")
            else:
                head = Workspace.open(options.workspace)
                by_audio = Workspace.open(options.audio_workspace) if options.audio_workspace else None
                given = options.size, options.out, options.speech, options.head
                result["driving"] = driving.measure(head, by_audio, *given, reporter)
        if "cost" in options.part:
            result["cost"] = cost.measure(clips[0], work, reporter)
    return pages.kept("face-sync", options, result, in_words(result))


def in_words(result: dict[str, Any]) -> str:
    """The figures as text."""
    return tables.in_words(result)
