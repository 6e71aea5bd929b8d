"""`summary.html`: a row a job with its state, time, figures, first image, error, and links to what it made."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..evaluation.template import render
from ..progress import format_duration
from ..protocol import SYNTHETIC_MARK
from ..workspace.files import atomic_path
from .engine import Row
from .job import DONE, FAILED, RUNNING, SKIPPED, WAITING, Job, Place, Record

WRITTEN_EVERY_S = 5.0
MAX_FAILED = 20
"""So many failed jobs are named at the page's top."""

_TEMPLATE = Path(__file__).with_name("summary.html.j2")
_FIGURES = {
    "frames": "{:,} frames",
    "step": "step {:,}",
    "psnr": "PSNR {:.2f} dB",
    "psnr_head": "PSNR of the head {:.2f} dB",
    "ssim": "SSIM {:.4f}",
    "lmd_px": "LMD {:.2f} px",
    "gaussians": "{:,} Gaussians",
    "shape_keys": "{} shape keys",
}
"""What of a result is shown, and how."""


class Page:
    """The page of a batch; written when its rows have changed, and not more often than pays."""

    def __init__(self, place: Place, name: str) -> None:
        self._place, self._name = place, name
        self._due = 0.0

    def show(self, rows: Sequence[Row]) -> None:
        """Write the page, if it is due; at the end always.

        Raises:
            StorageError: the disk is full or the place is read-only.
        """
        running = any(row.state in (WAITING, RUNNING) for row in rows)
        started = time.monotonic()
        if running and started < self._due:
            return
        page = render(_TEMPLATE, **self._values(rows, running))
        with atomic_path(self._place.page) as temporary:
            temporary.write_text(page, encoding="utf-8")
        self._due = time.monotonic() + max(WRITTEN_EVERY_S, 10 * (time.monotonic() - started))

    def _values(self, rows: Sequence[Row], running: bool) -> dict[str, Any]:
        states = [row.state for row in rows]
        unchanged = sum(row.unchanged for row in rows)
        spent = sum(row.seconds for row in rows)
        cards = [
            {"value": f"{states.count(DONE)} of {len(rows)}", "name": "jobs done" + _of_them(unchanged, "unchanged")},
            {"value": states.count(FAILED), "name": "failed" + _of_them(states.count(SKIPPED), "skipped after them")},
            {"value": format_duration(spent), "name": "of work"},
        ]
        failed = [row for row in rows if row.state == FAILED]
        groups = itertools.groupby(sorted(rows, key=_subject_of(rows)), key=lambda row: row.job.subject)
        return {
            "name": self._name,
            "mark": SYNTHETIC_MARK,
            "lead": "The batch is running; this page follows it." if running else "What became of each job.",
            "running": running,
            "cards": cards,
            "failed": [_named(row) for row in failed[:MAX_FAILED]],
            "more_failed": max(len(failed) - MAX_FAILED, 0),
            "groups": ({"subject": subject, "rows": map(self._row, group)} for subject, group in groups),
        }

    def _row(self, row: Row) -> dict[str, Any]:
        job = row.job
        record = self._place.read_record(job.name) if row.state in (DONE, FAILED) else None
        image, log = self._place.image(job.name), self._place.log(job.name)
        files = list(record.files) if record is not None and row.state == DONE else []
        links = [
            *(_link(Path(path), self._place.root) for path in files),
            *([_link(log, self._place.root)] if log.exists() else []),
        ]
        return _named(row) | {
            "what": " ".join(job.verb),
            "of": ", ".join(filter(None, [job.take, job.delivery])),
            "state": row.state,
            "shown_state": "unchanged" if row.unchanged else row.state,
            "seconds": format_duration(row.seconds) if row.seconds else "",
            "figures": " · ".join(_figures(job, record)) if record is not None else row.stage,
            "warnings": record.warnings[:3] if record is not None else (),
            "image": _address(image, self._place.root) if row.state == DONE and image.exists() else "",
            "links": links,
        }


def _named(row: Row) -> dict[str, Any]:
    return {"title": row.job.title, "anchor": row.job.name, "error": row.error}


def _subject_of(rows: Sequence[Row]) -> Any:
    order = {subject: index for index, subject in enumerate(dict.fromkeys(row.job.subject for row in rows))}
    return lambda row: order[row.job.subject]


def _of_them(count: int, what: str) -> str:
    return f", {count} {what}" if count else ""


def _figures(job: Job, record: Record) -> Iterable[str]:
    result = record.result if isinstance(record.result, dict) else {}
    for name, shown in _FIGURES.items():
        if isinstance(value := result.get(name), int | float) and value:
            yield shown.format(value)
    readiness = result.get("readiness")
    for part in ("mouth", "eyes"):
        if isinstance(readiness, dict) and isinstance(grade := readiness.get(part), dict) and grade.get("grade"):
            yield f"{part} {grade['grade']}"
    if record.runs > 1:
        yield f"started {record.runs} times"


def _link(path: Path, page: Path) -> dict[str, str]:
    return {"name": "log" if path.parent == page / "logs" else path.name, "address": _address(path, page)}


def _address(path: Path, folder: Path) -> str:
    try:
        return quote(Path(os.path.relpath(path, folder)).as_posix())
    except ValueError:  # another drive of Windows
        return path.as_uri()
