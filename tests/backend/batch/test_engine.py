"""A batch does each job once: it resumes, survives the death of its jobs and its own, stops cleanly, and shares nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import psutil
import pytest

from backend.batch.engine import Engine, locked
from backend.batch.execution import LOG_BYTES, Settings, Ticket, _Log, execute
from backend.batch.job import Job, Place, key_of_job
from backend.batch.lease import leased
from backend.batch.processes import Processes
from backend.batch.summary import Page
from backend.errors import WorkspaceError
from backend.media.audio import write_wav
from backend.progress import Reporter

FEATURES = ("encoder", "features")
POSIX = pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")


def write_noise(path: Path, seed: int) -> None:
    """One second that is no silence."""
    write_wav(path, [np.random.default_rng(seed).normal(0, 0.1, 16000).astype(np.float32)], 16000)


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "jobs.batch")


@pytest.fixture
def audio(tmp_path):
    path = tmp_path / "words.wav"
    write_noise(path, 1)
    return path


def features_job(name: str, audio: Path, needs: tuple[str, ...] = ()) -> Job:
    """A quick command with an input and an output."""
    out = audio.parent / f"{name}.npz"
    words = (str(audio), f"--out={out}", "--encoder=log-mel")
    return Job(name, FEATURES, words, needs, (audio,), subject=name)


def ran(jobs: list[Job], place: Place, count: int = 1, retries: int = 1) -> dict:
    """The rows of one run, by name."""
    with locked(place):
        pool, page = Processes(place, Settings(retries=retries), count), Page(place, "jobs")
        return {row.job.name: row for row in Engine(jobs, place, pool, Reporter(), page.show).run()}


@pytest.mark.long
def test_what_is_done_and_unchanged_is_not_done_again(place, audio):
    other = Path(shutil.copy(audio, audio.with_name("other.wav")))
    jobs = [features_job("one", audio), features_job("two", other, ("one",))]

    def again() -> dict[str, bool]:
        rows = ran(jobs, place)
        assert all(row.state == "done" for row in rows.values()), rows
        return {name: row.unchanged for name, row in rows.items()}

    assert again() == {"one": False, "two": False}
    made = (audio.parent / "one.npz").stat().st_mtime_ns
    assert again() == {"one": True, "two": True}
    os.utime(audio)  # touched, with the same contents
    assert again() == {"one": True, "two": True}
    assert (audio.parent / "one.npz").stat().st_mtime_ns == made
    (audio.parent / "two.npz").unlink()
    assert again() == {"one": True, "two": False}
    write_noise(audio, 2)
    assert again() == {"one": False, "two": False}  # the follower too: what it needs is another


@pytest.mark.long
def test_a_failure_is_one_sentence_and_stops_only_what_needs_it(place, audio):
    missing = audio.with_name("missing.wav")
    jobs = [
        features_job("bad", missing),
        features_job("after", audio, ("bad",)),
        features_job("last", audio, ("after",)),
        features_job("good", audio),
    ]
    rows = ran(jobs, place, count=2)
    assert {name: row.state for name, row in rows.items()} == {
        "bad": "failed",
        "after": "skipped",
        "last": "skipped",
        "good": "done",
    }
    assert "missing.wav" in rows["bad"].error and "\n" not in rows["bad"].error
    page = place.page.read_text()
    assert rows["bad"].error.split("/")[0] in page and "1 of 4" in page and "http-equiv" not in page
    links = [unquote(link) for link in re.findall(r'href="([^"#]+)"', page)]
    assert links and all((place.root / link).exists() for link in links)
    write_noise(missing, 1)
    assert {row.state for row in ran(jobs, place, count=2).values()} == {"done"}


@pytest.mark.long
def test_a_job_that_ends_with_its_own_sentence_is_not_started_again(place, audio):
    (row,) = ran([Job("bad", FEATURES, ("The process.wav", f"--out={audio}.npz"))], place, retries=2).values()
    assert row.error.startswith("The process.wav does not exist") and place.read_record("bad").runs == 1


def test_two_batches_over_one_folder_do_not_run_at_once(place):
    with locked(place), pytest.raises(WorkspaceError, match="is in use by another batch"), locked(place):
        pass
    with locked(place):
        pass


@pytest.mark.long
def test_two_that_want_one_job_do_it_once(place, audio):
    place.make()
    job = features_job("one", audio)
    ticket = Ticket(job, *key_of_job(job, {}, None))
    records = []
    threads = [
        threading.Thread(target=lambda: records.append(execute(ticket, place, Settings(), lambda: False)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert records[0] == records[1] and records[0].is_done
    assert not list(place.lease("one").parent.iterdir())


def test_a_lease_of_a_dead_process_is_free_at_once_and_a_living_ones_is_not(place):
    place.make()
    path = place.lease("one")
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    with leased(path, lambda: False):
        content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "token": "other", "pids": [int(dead.stdout)]}))
    asked = []
    with leased(path, lambda: bool(asked.append(1))) as lease:
        assert lease is not None and len(asked) == 1
        waited = []
        with leased(path, lambda: len(waited) > 2 or bool(waited.append(1))) as second:
            assert second is None
        path.write_text(json.dumps({**content, "token": "another"}))
        lease.renew()
        assert lease.lost.is_set()
    assert json.loads(path.read_text())["token"] == "another"  # the one that lost it leaves it


def test_a_log_keeps_its_end_and_stays_small(tmp_path):
    path = tmp_path / "log.txt"
    log = _Log(path)
    for number in range(20000):
        log.write(f"line {number}\n".encode())
    assert path.stat().st_size <= LOG_BYTES and path.read_text() == log.text()
    assert log.text().endswith("line 19999\n") and log.text().startswith("line ")


BATCH = """
[subjects.speaker]
workspace = "speaker"
video = "{clip}"
consent = "nobody: a synthetic speaker"
size = 128
process.stage = "media"
"""


@pytest.fixture
def started(root, short_clip, tmp_path):
    """A batch of one job that takes some seconds, started; and what waits until its process works."""
    (tmp_path / "jobs.toml").write_text(BATCH.format(clip=short_clip))
    command = [sys.executable, "-m", "backend", "batch", str(tmp_path / "jobs.toml"), "--json"]
    place = Place(tmp_path / "jobs.batch")
    processes = []

    def start() -> tuple[subprocess.Popen, int]:
        process = subprocess.Popen(
            command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        processes.append(process)
        while process.poll() is None:
            found = place.progress("process+speaker")
            if found.exists():
                return process, json.loads(place.lease("process+speaker").read_text())["pids"][1]
            time.sleep(0.05)
        raise AssertionError(process.stderr.read())

    yield start, place
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def finished(process: subprocess.Popen) -> tuple[int, dict, str]:
    out, error = process.communicate(timeout=300)
    return process.returncode, json.loads(out) if out.strip() else {}, error


def gone(pid: int) -> bool:
    until = time.monotonic() + 20
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


@POSIX
@pytest.mark.long
def test_a_job_whose_process_is_killed_is_started_again(started):
    start, place = started
    process, pid = start()
    os.kill(pid, signal.SIGKILL)
    status, result, error = finished(process)
    assert status == 0, error
    assert result["done"] == 1 and place.read_record("process+speaker").runs == 2


@POSIX
@pytest.mark.long
def test_a_killed_batch_leaves_no_job_behind_and_the_next_one_finishes(started):
    start, place = started
    process, pid = start()
    process.kill()
    assert gone(pid)
    assert place.read_record("process+speaker") is None
    status, result, error = finished(start()[0])
    assert status == 0 and result["done"] == 1, error


@POSIX
@pytest.mark.long
def test_a_cancelled_batch_lets_its_jobs_stop_and_resumes(started):
    start, place = started
    process, pid = start()
    process.send_signal(signal.SIGINT)
    status, _, error = finished(process)
    assert status == 1 and "run the same command again" in error and "Traceback" not in error
    assert not psutil.pid_exists(pid) and "cancelled" in place.page.read_text()
    status, result, error = finished(start()[0])
    assert status == 0 and result["done"] == 1, error
