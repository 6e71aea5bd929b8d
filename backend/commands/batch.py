"""`batch`: many subjects, takes and deliveries from one TOML file (docs/batch.md)."""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..progress import Reporter, format_duration
from .option import option


@dataclass(frozen=True)
class Options:
    file: Path = option("the TOML file", positional=True)
    out: Path | None = option("folder of records, logs, deliveries and the summary (the file's name with .batch)", None)
    jobs: int = option("how many jobs run at a time on this machine", 1)
    threads: int | None = option(
        "threads of each job (the processor's, shared out over the jobs; what Ray reserves for each: 4)", None
    )
    ray: str | None = option(
        "run on the machines of a Ray cluster that share the folders (HOST:PORT, auto), or on an embedded one (local)",
        None,
        metavar="ADDRESS",
    )
    gpus: float = option("GPUs that Ray reserves for each job", 0.0)
    retries: int = option("how often a job whose process died is started again", 1)
    only: str | None = option(
        "one job by its name, for a render farm that hands out the jobs; those that it needs must be done",
        None,
        metavar="JOB",
    )
    dry_run: bool = option("check the file and list the commands; run none", False)

    def __post_init__(self) -> None:
        """
        Raises:
            UsageError: a number that is too small.
        """
        for name, least in (("jobs", 1), ("threads", 1), ("retries", 0), ("gpus", 0)):
            if (value := getattr(self, name)) is not None and value < least:
                raise UsageError(f"--{name} must be at least {least}, not {value}")
        if self.gpus and not self.ray:
            raise UsageError("--gpus is of --ray: on one machine every job sees its GPUs")
        if self.only is not None and (self.ray or self.jobs > 1):
            raise UsageError("--only runs one job here: leave --ray and --jobs out")


@dataclass(frozen=True)
class Result:
    """What became of the jobs.

    Attributes:
        unchanged: of `done`, those that an earlier run had done.
        jobs: of each its name, state, seconds, error, and command.
    """

    page: Path | None
    done: int
    unchanged: int
    failed: int
    skipped: int
    jobs: tuple[dict[str, Any], ...]


def run(options: Options, reporter: Reporter) -> Result:
    """Run the jobs that are not done yet.

    Raises:
        UsageError: a mistake in the file.
        WorkspaceError: another batch works in the folder.
        Cancelled: the running jobs have completed their files; the same command resumes.
    """
    from ..batch import engine, plan, summary
    from ..batch.job import Place
    from ..batch.pools import opened

    file = options.file.absolute()
    place = Place((options.out or file.with_suffix(".batch")).absolute())
    jobs = plan.plan(file, place.root)
    if options.dry_run:
        rows = [engine.Row(job) for job in jobs]
        return _result(None, rows)
    if options.only is not None:
        return _result(
            place.page, [engine.run_one(options.only, jobs, place, options.threads, options.retries, reporter)]
        )
    how = (options.jobs, options.threads, options.retries, options.ray, options.gpus)
    with engine.locked(place), opened(place, *how) as pool:
        page = summary.Page(place, file.stem)
        rows = engine.Engine(jobs, place, pool, reporter, page.show).run()
    return _result(place.page, rows)


def in_words(result: Result) -> str:
    """What was done; of a list its commands."""
    if result.page is None:
        quoted = subprocess.list2cmdline if sys.platform == "win32" else shlex.join
        return "\n".join(quoted(job["command"]) for job in result.jobs)
    failed = [f"{job['name']}: {job['error']}" for job in result.jobs if job["state"] == "failed"]
    spent = format_duration(sum(job["seconds"] for job in result.jobs if not job["unchanged"]))
    counts = f"{result.done} done ({result.unchanged} unchanged), {result.failed} failed, {result.skipped} skipped"
    return "\n".join([f"{counts}; {spent} of work", *failed, str(result.page)])


def exit_status(result: Result) -> int:
    """1 where a job failed."""
    return 1 if result.failed else 0


def _result(page: Path | None, rows: Any) -> Result:
    from ..batch.execution import command_of
    from ..batch.job import DONE, FAILED, SKIPPED

    jobs = tuple(
        {
            "name": row.job.name,
            "state": row.state,
            "unchanged": row.unchanged,
            "seconds": row.seconds,
            "error": row.error,
            "needs": list(row.job.needs),
            "command": command_of(row.job),
        }
        for row in rows
    )
    states = [row.state for row in rows]
    unchanged = sum(row.unchanged for row in rows)
    return Result(page, states.count(DONE), unchanged, states.count(FAILED), states.count(SKIPPED), jobs)
