"""A batch on Ray: as on one machine, also when a node dies amid its work. `python3 install test --ray --slow tests/backend/batch`."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from backend.batch.engine import Engine, Row, locked
from backend.batch.job import Job, Place
from backend.batch.pools import opened
from backend.batch.ray_pool import VERSION
from backend.media.audio import read_audio, write_wav
from backend.progress import Reporter
from backend.workspace.files import read_arrays
from install import locks

HAS_RAY = importlib.util.find_spec("ray") is not None
WITH_RAY = pytest.mark.skipif(not HAS_RAY, reason="ray is not in this environment: install test --ray has one")

JOBS = 6
FEATURES = ("encoder", "features")


def features_jobs(folder: Path, speech: np.ndarray) -> list[Job]:
    """Small real jobs, the last of which needs two others: features of half a minute of speech each."""
    folder.mkdir()
    jobs = []
    for index in range(JOBS):
        audio, out = folder / f"{index}.wav", folder / f"{index}.npz"
        write_wav(audio, [np.roll(speech, 16000 * index)], 16000)
        needs = ("job0", "job1") if index == JOBS - 1 else ()
        jobs.append(Job(f"job{index}", FEATURES, (str(audio), f"--out={out}"), needs, (audio,)))
    return jobs


def run(jobs: list[Job], place: Place, ray: str | None = None) -> list[Row]:
    with locked(place), opened(place, 1, 1, retries=1, ray=ray) as pool:
        return Engine(jobs, place, pool, Reporter(), lambda rows: None).run()


@pytest.mark.skipif(HAS_RAY, reason="ray is in this environment")
def test_without_ray_the_sentence_says_how_to_add_it(root, tmp_path):
    workspace = tmp_path / "speaker"
    workspace.mkdir()
    (workspace / "subject.json").write_text("{}")
    (tmp_path / "jobs.toml").write_text('[subjects.a]\nworkspace = "speaker"\n')
    command = [sys.executable, "-m", "backend", "batch", tmp_path / "jobs.toml", "--ray", "local"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and f"pip install ray=={VERSION}" in done.stderr.splitlines()[-1]


def test_the_release_that_is_named_is_the_one_that_is_tested():
    assert re.search(rf"^ray=={re.escape(VERSION)} ", (locks.FOLDER / "backend.in").read_text("utf-8"), re.MULTILINE)
    for platform in locks.EXTRAS["ray"]:
        lock = locks.read(locks.with_extra("ray"), (3, 11), platform=platform)
        assert f"ray=={VERSION} " in lock.text
    assert "ray==" not in locks.read("backend", (3, 11)).text


@pytest.fixture
def nodes():
    """The address of a cluster of a head without processors and two nodes of one each, and the nodes."""
    from ray.cluster_utils import Cluster

    small = {"object_store_memory": 80 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
    try:
        yield cluster, [cluster.add_node(num_cpus=1, **small) for _ in range(2)]
    finally:
        cluster.shutdown()


def raylet_of(node) -> int:
    return node.all_processes["raylet"][0].process.pid


def kill_a_node_at_work(cluster, nodes, place: Place, lost: list[str]) -> None:
    """Kill the node of the first job that is found at work."""
    while not lost:
        for path in place.lease("").parent.glob("*.lease"):
            with contextlib.suppress(OSError, ValueError, psutil.Error, KeyError):
                worker, job = json.loads(path.read_text())["pids"]
                above = psutil.Process(worker).ppid()
                for node in nodes:
                    if raylet_of(node) == above and psutil.pid_exists(job):
                        cluster.remove_node(node, allow_graceful=False)
                        lost.append(path.stem)
                        return
        time.sleep(0.02)


@WITH_RAY
@pytest.mark.slow
def test_with_a_node_killed_amid_work_all_is_done_once_and_as_by_one_process(sample, tmp_path, nodes):
    speech = np.tile(read_audio(sample / "drive.wav", 16000), 4)
    here, there = (features_jobs(tmp_path / name, speech) for name in ("here", "there"))
    assert all(row.state == "done" for row in run(here, Place(tmp_path / "here.batch")))

    cluster, two = nodes
    place, lost = Place(tmp_path / "there.batch"), []
    place.make()
    killer = threading.Thread(target=kill_a_node_at_work, args=(cluster, two, place, lost), daemon=True)
    killer.start()
    rows = run(there, place, cluster.address)
    killer.join()
    assert all(row.state == "done" and not row.unchanged for row in rows), rows
    records = [place.read_record(job.name) for job in there]
    assert lost and all(record is not None and record.is_done and record.runs == 1 for record in records)
    assert not list(place.lease("").parent.iterdir())  # no lease and no progress is left
    for index in range(JOBS):
        expected, made = (read_arrays(tmp_path / name / f"{index}.npz") for name in ("here", "there"))
        assert expected.keys() == made.keys()
        assert all(np.array_equal(value, made[key]) for key, value in expected.items())
    assert all(row.unchanged for row in run(there, place))  # what Ray did counts for processes too
