"""Jobs, their records, and where a batch keeps both."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import WorkspaceError
from ..workspace.files import key_of, read_object, sha256_of, write_json

DONE, FAILED, SKIPPED, CANCELLED = "done", "failed", "skipped", "cancelled"
WAITING, RUNNING = "waiting", "running"


@dataclass(frozen=True)
class Job:
    """One run of a command.

    Attributes:
        name: unique in its batch, and the name of its files: letters, digits, `.`, `_`, `-` and `+`.
        verb: of `python -m backend`, such as ("capture", "import").
        arguments: what follows the verb, with absolute paths.
        needs: names of the jobs that must be done before.
        inputs: files and folders whose contents it depends on.
        workspace: one whose state it depends on and which no job of the batch changes after those that it needs.
        subject, take, delivery: of the batch's file; empty where it belongs to none.
    """

    name: str
    verb: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    inputs: tuple[Path, ...] = ()
    workspace: Path | None = None
    subject: str = ""
    take: str = ""
    delivery: str = ""

    @property
    def title(self) -> str:
        return " ".join([*self.verb, *filter(None, [self.subject, self.take, self.delivery])])


@dataclass(frozen=True)
class Record:
    """How a job ended; one small file.

    Attributes:
        state: `done`, `failed` or `cancelled`.
        key: of what it depended on (`key_of_job`).
        result: the command's own, from `--json`.
        files: absolute paths that the result names, with their sizes in bytes (-1 for a folder).
        inputs: path to [size, modification time in ns, sha256], so that an unchanged file is not read again.
        runs: how often its process was started.
        host: the machine that it ran on.
    """

    name: str
    state: str
    key: str
    seconds: float = 0.0
    error: str = ""
    warnings: tuple[str, ...] = ()
    result: Any = None
    files: dict[str, int] = field(default_factory=dict)
    inputs: dict[str, list[Any]] = field(default_factory=dict)
    runs: int = 0
    host: str = ""
    ended: str = ""

    @property
    def is_done(self) -> bool:
        return self.state == DONE

    @property
    def result_key(self) -> str:
        """What jobs that need this one depend on."""
        return key_of(self.key, self.result)

    def files_are_there(self) -> bool:
        """Whether all that it made is still as it was left."""
        return all(_size(Path(path)) == size for path, size in self.files.items())


@dataclass(frozen=True)
class Place:
    """The folder of a batch: a record, a log, a lease and a progress file a job, and the summary page."""

    root: Path

    @property
    def page(self) -> Path:
        return self.root / "summary.html"

    @property
    def cancel(self) -> Path:
        """While it is there, jobs stop: also those on other machines."""
        return self.root / ".cancel"

    def record(self, name: str) -> Path:
        return self.root / "records" / f"{name}.json"

    def log(self, name: str) -> Path:
        return self.root / "logs" / f"{name}.txt"

    def progress(self, name: str) -> Path:
        return self.root / "running" / f"{name}.json"

    def lease(self, name: str) -> Path:
        return self.root / "running" / f"{name}.lease"

    def image(self, name: str) -> Path:
        return self.root / "images" / f"{name}.jpg"

    def make(self) -> None:
        """Make its folders."""
        for path in (self.record(""), self.log(""), self.progress(""), self.image("")):
            path.parent.mkdir(parents=True, exist_ok=True)

    def read_record(self, name: str) -> Record | None:
        """A job's record; None where there is none, or none that can be read: the job runs again."""
        found = read_object(self.record(name))
        try:
            return Record(**{**found, "warnings": tuple(found["warnings"])})
        except (TypeError, KeyError):
            return None

    def write_record(self, record: Record) -> None:
        """Write it, atomically."""
        write_json(self.record(record.name), dataclasses.asdict(record))


def check_names(jobs: Sequence[Job]) -> None:
    """
    Raises:
        WorkspaceError: two jobs have one name, also where capitals do not count.
    """
    seen: dict[str, str] = {}
    for job in jobs:
        other = seen.setdefault(job.name.casefold(), job.title)
        if other != job.title:
            raise WorkspaceError(f"The jobs {other} and {job.title} would share their files: rename one.")


def key_of_job(job: Job, needed: Mapping[str, str], known: Record | None) -> tuple[str, dict[str, list[Any]]]:
    """What a job's result depends on: its command, its inputs' contents, what it needs, and this version of SyncTalk.

    Args:
        needed: result keys of the jobs that it needs.
        known: its record, whose hashes count for files that have neither another size nor another time.

    Returns:
        The key, and the inputs as a record keeps them.
    """
    before = {} if known is None else known.inputs
    inputs = {str(path): _digest(path, before.get(str(path))) for path in job.inputs}
    hashes = {path: found[2] for path, found in inputs.items()}
    state = None if job.workspace is None else _workspace_state(job.workspace)
    return key_of(__version__, job.verb, job.arguments, hashes, dict(needed), state), inputs


def files_of(result: Any) -> dict[str, int]:
    """The absolute paths among a result's values that exist, with their sizes."""
    values = result.values() if isinstance(result, dict) else ()
    named = [Path(value) for value in values if isinstance(value, str) and value]
    return {str(path): size for path in named if path.is_absolute() and (size := _size(path)) is not None}


def _size(path: Path) -> int | None:
    try:
        return -1 if path.is_dir() else path.stat().st_size
    except (OSError, ValueError):  # ValueError: a text that no path can be
        return None


def _digest(path: Path, known: list[Any] | None) -> list[Any]:
    """[size, time, hash] of a file; of a folder, by the names, sizes and times of its files."""
    try:
        if path.is_dir():
            entries = sorted((entry.name, entry.stat().st_size, entry.stat().st_mtime_ns) for entry in path.iterdir())
            return [-1, 0, key_of(entries)]
        found = path.stat()
        if known is not None and known[:2] == [found.st_size, found.st_mtime_ns]:
            return known
        return [found.st_size, found.st_mtime_ns, sha256_of(path)]
    except OSError:
        return [0, 0, ""]


def _workspace_state(root: Path) -> list[Any]:
    """Which clip a workspace is of, how it was processed, and how far its head is trained."""
    from ..workspace.checkpoint_index import training_config
    from ..workspace.store import Workspace

    try:
        subject = Workspace.open(root).subject
    except WorkspaceError:
        return []
    stages = {name: stage.get("key") for name, stage in subject.stages.items()}
    return [subject.source_sha256, stages, training_config(root / "checkpoints").get("step")]
