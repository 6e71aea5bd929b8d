"""A batch on Ray: as on one machine, also when a node dies amid its work. `python3 install test --ray --slow tests/backend/batch`."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from backend.batch.job import Place
from backend.batch.ray_pool import VERSION
from backend.media.decode import frames
from backend.workspace.files import read_arrays
from install import locks

HAS_RAY = importlib.util.find_spec("ray") is not None
WITH_RAY = pytest.mark.skipif(not HAS_RAY, reason="ray is not in this environment: install test --ray has one")

BATCH = """
[defaults.process]
size = 128
consent = "nobody: a synthetic speaker"
[subjects.fresh]
workspace = "fresh"
video = "{clip}"
train = {{ steps = 40, head = "field" }}
[subjects.beside]
workspace = "beside"
video = "{clip}"
process.stage = "media"
[takes.one]
subjects = ["fresh"]
audio = "one.wav"
[takes.two]
subjects = ["fresh"]
audio = "two.wav"
speak = {{ strength = 1.4 }}
[deliveries.small]
subjects = ["fresh"]
render = {{ size = 64, unsigned = true, head = "field" }}
"""
JOBS = 7


def batch(root: Path, file: Path, *options: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "backend", "batch", str(file), "--json", "--threads", "1", *options]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def written(short_clip, sample, tmp_path):
    """What makes a folder with the batch's file and all that it names."""
    from backend.media.audio import read_audio, write_wav

    speech = read_audio(sample / "drive.wav", 16000)

    def write(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for index, take in enumerate(("one", "two")):
            write_wav(folder / f"{take}.wav", [speech[16000 * index : 16000 * (index + 1)]], 16000)
        (folder / "jobs.toml").write_text(BATCH.format(clip=short_clip), encoding="utf-8")
        return folder / "jobs.toml"

    return write


@pytest.mark.skipif(HAS_RAY, reason="ray is in this environment")
def test_without_ray_the_sentence_says_how_to_add_it(root, tmp_path):
    workspace = tmp_path / "speaker"
    workspace.mkdir()
    (workspace / "subject.json").write_text("{}")
    (tmp_path / "jobs.toml").write_text('[subjects.a]\nworkspace = "speaker"\n')
    process = batch(root, tmp_path / "jobs.toml", "--ray", "local")
    error = process.communicate()[1]
    assert process.returncode == 2 and f"pip install ray=={VERSION}" in error.splitlines()[-1]


def test_the_release_that_is_named_is_the_one_that_is_tested():
    assert re.search(rf"^ray=={re.escape(VERSION)} ", (locks.FOLDER / "backend.in").read_text("utf-8"), re.MULTILINE)
    for platform in locks.EXTRAS["ray"]:
        lock = locks.read(locks.with_extra("ray"), (3, 11), platform=platform)
        assert f"ray=={VERSION} " in lock.text
    assert "ray==" not in locks.read("backend", (3, 11)).text


def made_by(file: Path) -> dict[str, object]:
    """What the jobs of a batch made, to be compared."""
    folder = file.parent
    made: dict[str, object] = {}
    for path in sorted(folder.rglob("*.mp4")):
        made[str(path.relative_to(folder))] = np.stack([frame for _, frame in frames(path)])
    for path in sorted(folder.rglob("animation.npz")):
        for name, value in read_arrays(path).items():
            made[f"{path.relative_to(folder)} {name}"] = value
    from safetensors.numpy import load_file

    for path in sorted((folder / "fresh" / "checkpoints").glob("*.safetensors")):
        for name, value in load_file(path).items():
            made[f"{path.name} {name}"] = value
    return made


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


def worker_of(place: Place, name: str, process: subprocess.Popen) -> psutil.Process:
    """The worker that a job runs in, once it reports progress."""
    while process.poll() is None:
        if place.progress(name).exists():
            return psutil.Process(json.loads(place.lease(name).read_text())["pids"][0])
        time.sleep(0.05)
    raise AssertionError(process.communicate()[1])


@WITH_RAY
@pytest.mark.slow
def test_with_a_node_killed_amid_work_all_is_done_once_and_as_by_one_process(root, written, nodes):
    here = written("here")
    process = batch(root, here)
    out, error = process.communicate()
    assert process.returncode == 0, error
    assert json.loads(out)["done"] == JOBS

    cluster, two = nodes
    there = written("there")
    place = Place(there.with_suffix(".batch"))
    process = batch(root, there, "--ray", cluster.address)
    worker = worker_of(place, "train+fresh", process)
    (node,) = (node for node in two if raylet_of(node) == worker.ppid())
    lost = {path.stem for path in place.lease("").parent.glob("*.lease")}
    before = {path.name: path.stat().st_mtime_ns for path in place.record("").parent.glob("*.json")}
    cluster.remove_node(node, allow_graceful=False)
    out, error = process.communicate()
    assert process.returncode == 0, error
    result = json.loads(out)
    assert result["done"] == JOBS and result["failed"] == 0 and "train+fresh" in lost
    after = {path.name: path.stat().st_mtime_ns for path in place.record("").parent.glob("*.json")}
    assert len(after) == JOBS and all(after[name] == written_at for name, written_at in before.items())
    assert not list(place.lease("").parent.iterdir())  # no lease and no progress is left

    expected, made = made_by(here), made_by(there)
    assert expected.keys() == made.keys() and len(expected) > 20
    for name, value in expected.items():
        assert np.array_equal(value, made[name], equal_nan=np.asarray(value).dtype.kind == "f"), name

    out, error = batch(root, there).communicate()  # what Ray did counts for processes too
    assert json.loads(out)["unchanged"] == JOBS, error


@WITH_RAY
@pytest.mark.slow
def test_an_embedded_cluster_needs_no_address(root, written):
    file = written("here")
    process = batch(root, file, "--ray", "local")
    out, error = process.communicate()
    assert process.returncode == 0 and json.loads(out)["done"] == JOBS, error
    process = batch(root, file, "--ray", "local", "--gpus", "64")
    assert "No machine of the cluster at local has" in process.communicate()[1] and process.returncode == 2
