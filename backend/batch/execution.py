"""One job: its lease, its process, its log, its record. Runs in the batch's own process, or in a worker of Ray."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..errors import SyncTalkError
from ..workspace.files import read_object
from . import child, images
from .job import CANCELLED, DONE, FAILED, Job, Place, Record, files_of
from .lease import Lease, leased

ROOT = Path(__file__).resolve().parents[2]
_PACKAGE = __package__.split(".")[-2]

LOG_BYTES = 64_000
"""Of a job's log its last this many bytes are kept."""
RESULT_BYTES = 32_000_000
GRACE_S = 30.0
"""Seconds that a cancelled command has to complete its files."""

_POLL_S = 0.2
_THREADS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Settings:
    """How every job of a batch is run.

    Attributes:
        threads: of each process; None for as many as it likes.
        retries: how often a job whose process died is started again; one that ends with an error's sentence is not.
    """

    threads: int | None = None
    retries: int = 1


@dataclass(frozen=True)
class Ticket:
    """A job that is to run now, with what it depends on."""

    job: Job
    key: str
    inputs: dict[str, list[Any]]


def command_of(job: Job) -> list[str]:
    """The words that run it, in the folder that holds the backend."""
    return [sys.executable, "-m", _PACKAGE, *job.verb, *job.arguments]


def execute(ticket: Ticket, place: Place, settings: Settings, cancelled: Callable[[], bool]) -> Record:
    """Run a job and write its record, unless another process has done the same meanwhile.

    Returns:
        The record, whatever happened; one that is `cancelled` is not written.
    """
    try:
        return _execute(ticket, place, settings, cancelled)
    except (SyncTalkError, OSError) as error:  # of the batch's own folder
        return Record(ticket.job.name, FAILED, ticket.key, error=str(error))
    except Exception as error:  # noqa: BLE001 (a defect of ours must not leave the batch waiting)
        return Record(ticket.job.name, FAILED, ticket.key, error=f"The batch met an internal error ({error!r}).")


def _execute(ticket: Ticket, place: Place, settings: Settings, cancelled: Callable[[], bool]) -> Record:
    job = ticket.job
    started = time.monotonic()
    if cancelled():
        return Record(job.name, CANCELLED, ticket.key)
    record = Record(job.name, CANCELLED, ticket.key, inputs=ticket.inputs, host=platform.node())
    place.make()
    with leased(place.lease(job.name), cancelled) as lease:
        if lease is None:
            return record
        found = place.read_record(job.name)
        if found is not None and found.is_done and found.key == ticket.key and found.files_are_there():
            return found
        for run in range(1, settings.retries + 2):
            record = dataclasses.replace(record, runs=run)
            ended, has_died = _run(job, place, settings, lambda: cancelled() or lease.lost.is_set(), lease)
            record = dataclasses.replace(record, **ended)
            if not has_died:
                break
        record = dataclasses.replace(
            record,
            seconds=round(time.monotonic() - started, 2),
            ended=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        )
        lease.renew()
        if lease.lost.is_set():
            return dataclasses.replace(record, state=CANCELLED)
        if record.is_done:
            images.write_first_image(job, record, place.image(job.name))
        if record.state != CANCELLED:
            place.write_record(record)
    return record


def _run(
    job: Job, place: Place, settings: Settings, cancelled: Callable[[], bool], lease: Lease
) -> tuple[dict[str, Any], bool]:
    """Fields of the record of one run of the process, and whether that died: it ended with no word of its own."""
    progress = place.progress(job.name)
    variables = {child.VARIABLE: str(progress), "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
    if settings.threads:
        variables |= dict.fromkeys(_THREADS, str(settings.threads))
    log = _Log(place.log(job.name))
    try:
        process = subprocess.Popen(
            [*command_of(job), "--json"],
            cwd=ROOT,
            env={**os.environ, **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            start_new_session=True,  # Ctrl-C is the batch's to handle: it lets the jobs complete their files
        )
    except OSError as error:
        return {"state": FAILED, "error": f"The command cannot be started ({error.strerror})."}, False
    assert process.stdin and process.stdout and process.stderr
    out = bytearray()
    readers = [
        threading.Thread(target=_collect, args=(process.stdout, out), daemon=True),
        threading.Thread(target=_copy, args=(process.stderr, log), daemon=True),
    ]
    for reader in readers:
        reader.start()
    was_cancelled = False
    try:
        lease.covers(process.pid)
        was_cancelled = _wait(process, cancelled)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        for reader in readers:
            reader.join(timeout=5)
        with contextlib.suppress(OSError):
            process.stdin.close()
        stage = str(read_object(progress).get("stage", ""))
        progress.unlink(missing_ok=True)
    if was_cancelled:
        return {"state": CANCELLED}, False
    return _ended(process.returncode, bytes(out), log.text(), stage)


def _wait(process: subprocess.Popen, cancelled: Callable[[], bool]) -> bool:
    """Wait for the end; True when it was cancelled, which leaves the process some time."""
    while not cancelled():
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_S)
            return False
    assert process.stdin
    with contextlib.suppress(OSError):
        process.stdin.write(child.CANCEL)
        process.stdin.flush()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_S)
    return True


def _ended(status: int, out: bytes, log: str, stage: str) -> tuple[dict[str, Any], bool]:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    warnings = tuple(line.removeprefix("Warning: ") for line in lines if line.startswith("Warning: "))[:20]
    errors = [line.removeprefix("Error: ") for line in lines if line.startswith("Error: ")]
    failed = {"state": FAILED, "warnings": warnings, "result": None}
    if status == 0:
        try:
            result = json.loads(out.decode("utf-8") or "null")
        except ValueError:
            return {**failed, "error": "The command's result is not JSON: see the log."}, False
        return {"state": DONE, "error": "", "warnings": warnings, "result": result, "files": files_of(result)}, False
    if status in (1, 2) and errors:
        return {**failed, "error": errors[-1]}, False
    during = f" during {stage}" if stage else ""
    if status == 2 and lines:  # usage
        return {**failed, "error": lines[-1]}, False
    if status == 1 and lines:  # a defect of ours: its traceback is in the log
        return {
            **failed,
            "error": f"The command ended{during} with an internal error ({lines[-1]}): see the log.",
        }, False
    died = f"The process {_death(status)}{during}: see the log, and free memory if it ran out."
    return {**failed, "error": died}, True


def _death(status: int) -> str:
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-status).name}"
    return f"died with status {status}"


def _collect(stream: IO[bytes], into: bytearray) -> None:
    while block := stream.read(65536):
        if len(into) < RESULT_BYTES:
            into += block


def _copy(stream: IO[bytes], log: _Log) -> None:
    while block := os.read(stream.fileno(), 65536):
        log.write(block)


class _Log:
    """A file that never grows beyond `LOG_BYTES`: then its older half goes."""

    def __init__(self, path: Path) -> None:
        self._path, self._kept = path, b""
        path.write_bytes(b"")

    def write(self, block: bytes) -> None:
        self._kept += block
        with contextlib.suppress(OSError):  # a full disk is the command's to report
            if len(self._kept) <= LOG_BYTES:
                with open(self._path, "ab") as file:
                    file.write(block)
                return
            self._kept = self._kept[-LOG_BYTES // 2 :]
            self._kept = self._kept[self._kept.find(b"\n") + 1 :]
            self._path.write_bytes(self._kept)

    def text(self) -> str:
        return self._kept.decode("utf-8", "replace")
