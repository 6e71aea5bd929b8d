"""`encoder prepare`: face windows and audio features of talking clips, for `encoder pretrain`."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ...progress import Reporter
from ..option import option


@dataclass(frozen=True)
class Options:
    clips: Path = option(
        "a folder of talking clips, or a list of them: a line each, prepared name, tab, path",
        positional=True,
        metavar="DIR",
    )
    prepared: Path = option("folder of the prepared clips, the --prepared of encoder pretrain")
    jobs: int = option("processes of this machine", 1)
    ray: str | None = option("a Ray cluster: HOST:PORT, auto, or local (docs/batch.md)", None, metavar="ADDRESS")


@dataclass(frozen=True)
class Result:
    prepared: Path
    clips: int
    """That are prepared now, those of earlier runs among them."""
    left_out: tuple[tuple[Any, ...], ...]
    """Of each clip that cannot be used its prepared name, size, modification time, path, and why."""


def run(options: Options, reporter: Reporter) -> Result:
    """Prepare the clips that are not prepared yet.

    Raises:
        SyncTalkError: there is no clip, or the folder cannot be written to.
        Cancelled: what is prepared stays.
    """
    from ...face_sync.research.pretraining import face_windows, preparation

    if options.clips.is_file():
        if options.ray or options.jobs > 1:
            raise UsageError("a list is for one process: --jobs and --ray are of a folder of clips")
        found = preparation.read_list(options.clips)
        left_out = preparation.prepare_listed(found, options.prepared, reporter)
    else:
        found = face_windows.find_clips(options.clips)
        workers = preparation.Workers(options.jobs, options.ray) if options.ray or options.jobs > 1 else None
        left_out = preparation.prepare(found, options.prepared, reporter, workers)
    ready = preparation.prepared_names(options.prepared) & set(found)
    return Result(options.prepared, len(ready), tuple(map(astuple, left_out)))


def in_words(result: Result) -> str:
    """How many."""
    return f"{result.clips} clips prepared in {result.prepared}, {len(result.left_out)} left out"
