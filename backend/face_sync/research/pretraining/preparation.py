"""The preparation of a corpus: each clip once, in reader processes, on this machine or by Ray on many.

A clip that cannot be used is one line of `left_out.tsv`, and is not tried again while its file is the same.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from ....errors import MediaError
from ....media.guard import guarded_items
from ....progress import Reporter
from ....workspace.files import atomic_path
from ...audio_offset import NOTABLE_MS
from .face_windows import read_clips
from .prepared import Item, write_item

STAGE = "preparing clips"
CLIPS_A_JOB = 200
"""A job begins in seconds, and some minutes of work are lost at most with its machine."""


MAX_WARNINGS = 20
"""So many clips are warned of one by one."""


@dataclass(frozen=True)
class LeftOut:
    """A clip that cannot be used, and the file that it was: size in bytes, modification time in ns."""

    name: str
    size: int
    time_ns: int
    path: str
    why: str

    @classmethod
    def of(cls, name: str, path: Path, why: str) -> LeftOut:
        return cls(name, *_file_of(path), str(path), " ".join(why.split()))

    def is_of(self, path: Path) -> bool:
        """Whether the clip's file is still the one that could not be used."""
        return (self.size, self.time_ns) == _file_of(path)


@dataclass(frozen=True)
class Workers:
    """Who prepares: `jobs` processes of this machine, or the Ray cluster at an address."""

    jobs: int = 1
    ray: str | None = None


def report_path(folder: Path) -> Path:
    """The list of the clips that are left out, in the folder of prepared ones."""
    return folder / "left_out.tsv"


def prepare(
    clips: Mapping[str, Path], folder: Path, reporter: Reporter, workers: Workers | None = None
) -> list[LeftOut]:
    """Prepare every clip that is not in `folder` yet.

    Args:
        clips: prepared name to path.
        workers: None for this process, one clip after the other.

    Returns:
        The clips that are left out, those of earlier runs among them.

    Raises:
        Cancelled: what is prepared stays.
        SyncTalkError: the folder cannot be written to, or there is no such cluster.
    """
    folder.mkdir(parents=True, exist_ok=True)
    left_out = [item for item in _read_report(folder) if item.name in clips and item.is_of(clips[item.name])]
    missing = _missing(clips, folder, {item.name for item in left_out})
    before = len(left_out)
    try:
        if workers is None:
            _prepare_here(missing, folder, reporter, left_out)
        else:
            _prepare_by(workers, missing, folder, reporter, left_out)
    finally:
        _write_report(folder, left_out)
    if len(left_out) > before:
        reporter.warning(
            f"{len(left_out)} of {len(clips)} clips are left out: {report_path(folder)} has a line for each."
        )
    return left_out


def prepare_listed(clips: Mapping[str, Path], folder: Path, reporter: Reporter) -> list[LeftOut]:
    """Prepare some clips of a corpus, in this process, and leave its report to who gave the list: as `prepare`."""
    folder.mkdir(parents=True, exist_ok=True)
    left_out: list[LeftOut] = []
    _prepare_here(_missing(clips, folder, set()), folder, reporter, left_out)
    return left_out


def read_list(path: Path) -> dict[str, Path]:
    """Clips of a list: a line each, its prepared name, a tab, its path.

    Raises:
        MediaError: it is no such list.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        found = {name: Path(place) for name, place in (line.split("\t") for line in lines)}
    except (OSError, ValueError) as error:
        raise MediaError(f"{path} is no list of clips ({error}): give a folder of talking clips.") from error
    if not found:
        raise MediaError(f"{path} names no clip: it has a line for each, its prepared name, a tab, its path.")
    return found


def prepared_names(folder: Path) -> set[str]:
    """Of the clips that are prepared."""
    return {path.stem for path in folder.glob("*.npz")}


def _missing(clips: Mapping[str, Path], folder: Path, passed: set[str]) -> dict[str, Path]:
    passed = passed | prepared_names(folder)
    return {name: path for name, path in clips.items() if name not in passed}


def _prepare_here(clips: Mapping[str, Path], folder: Path, reporter: Reporter, left_out: list[LeftOut]) -> None:
    """A reader process for all; where it dies, the clip that it read is left out, and another takes the rest."""
    waiting = list(clips.items())
    done = 0
    while done < len(waiting):
        paths = [path for _, path in waiting[done:]]
        try:
            with contextlib.closing(guarded_items(read_clips, paths, reporter=reporter, about=paths[0])) as items:
                for found, offset_ms in items:
                    reporter.progress(STAGE, done, len(waiting), "clips")
                    _keep(*waiting[done], found, offset_ms, folder, reporter, left_out)
                    done += 1
        except MediaError as error:
            _keep(*waiting[done], str(error), 0.0, folder, reporter, left_out)
            done += 1
    reporter.progress(STAGE, len(waiting), len(waiting), "clips")


def _keep(
    name: str,
    path: Path,
    found: Item | str,
    offset_ms: float,
    folder: Path,
    reporter: Reporter,
    left_out: list[LeftOut],
) -> None:
    if isinstance(found, str):
        left_out.append(LeftOut.of(name, path, found))
        if len(left_out) <= MAX_WARNINGS:
            reporter.warning(f"{path} is left out: {found}")
        return
    if abs(offset_ms) >= NOTABLE_MS:
        late = "late" if offset_ms > 0 else "early"
        reporter.info(f"The audio of {path} is about {abs(round(offset_ms, -1)):.0f} ms {late}: corrected.")
    write_item(folder / f"{name}.npz", found)


def _prepare_by(
    workers: Workers, clips: Mapping[str, Path], folder: Path, reporter: Reporter, left_out: list[LeftOut]
) -> None:
    """By jobs of a batch, each `encoder prepare` of a list. Their records and logs go with the end, unless one has failed: the
    prepared clips are the record."""
    from ....batch.engine import Engine, locked
    from ....batch.job import DONE, Job, Place
    from ....batch.pools import opened

    place = Place((folder / "jobs").absolute())
    with locked(place):
        jobs = []
        for number, names in enumerate(_chunks(list(clips))):
            path = place.root / f"{number:05d}.txt"
            text = "".join(f"{name}\t{clips[name].absolute()}\n" for name in names)
            with atomic_path(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
            words = (str(path), f"--prepared={folder.absolute()}")
            jobs.append(Job(f"prepare+{number:05d}", ("encoder", "prepare"), words, inputs=(path,)))
            place.record(jobs[-1].name).unlink(missing_ok=True)  # of an earlier list
        try:
            with opened(place, workers.jobs, None, retries=1, ray=workers.ray) as pool:
                rows = Engine(jobs, place, pool, reporter, lambda rows: None, STAGE).run()
        finally:
            for job in jobs:
                record = place.read_record(job.name)
                if record is not None and record.is_done:
                    left_out += [LeftOut(*row) for row in record.result["left_out"]]
    failed = sum(row.state != DONE for row in rows)
    if failed:
        reporter.warning(
            f"{failed} of {len(rows)} parts of the preparation failed: {place.log('').parent} has their logs. "
            "The same command prepares what is missing."
        )
        return
    shutil.rmtree(place.root, ignore_errors=True)


def _chunks(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(names), CLIPS_A_JOB):
        yield names[first : first + CLIPS_A_JOB]


def _file_of(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
        return found.st_size, found.st_mtime_ns
    except OSError:
        return -1, 0


def _read_report(folder: Path) -> list[LeftOut]:
    """Empty where there is none, or none that can be read: those clips are tried again."""
    try:
        rows = [line.split("\t") for line in report_path(folder).read_text(encoding="utf-8").splitlines()[1:]]
        return [LeftOut(name, int(size), int(time_ns), path, why) for name, size, time_ns, path, why in rows]
    except (OSError, ValueError):
        return []


def _write_report(folder: Path, left_out: Sequence[LeftOut]) -> None:
    names = [field.name for field in fields(LeftOut)]
    rows = [names, *([str(getattr(item, name)) for name in names] for item in sorted(left_out, key=lambda i: i.path))]
    with atomic_path(report_path(folder)) as temporary:
        temporary.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
