"""A render farm runs a batch job by job: the Flamenco job type makes tasks whose commands do that."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from backend.batch.engine import run_one
from backend.batch.job import Job, Place
from backend.errors import UsageError, WorkspaceError
from backend.media.audio import write_wav
from backend.progress import Reporter

NODE = shutil.which("node")
COMPILE = """
const fs = require("fs"), vm = require("vm");
const made = [];
const author = {
  Task: (name, type) => ({ name, type, commands: [], needs: [],
    addCommand(command) { this.commands.push(command); }, addDependency(task) { this.needs.push(task.name); } }),
  Command: (name, parameters) => ({ name, parameters }),
};
const job = { ...JSON.parse(fs.readFileSync(0, "utf8")), addTask: task => made.push(task) };
const context = vm.createContext({ author, job });
vm.runInContext(fs.readFileSync(process.argv[1], "utf8") + "; compileJob(job); this.type = JOB_TYPE", context);
console.log(JSON.stringify({ tasks: made, type: context.type }));
"""
"""What Flamenco's Manager does with a job type: it runs the script with `author`, and calls `compileJob`."""

BATCH = """
[subjects.speaker]
workspace = "speaker"
video = "{clip}"
consent = "nobody: a synthetic speaker"
process = {{ size = 128, stage = "media" }}
[deliveries.model.export]
format = "glb"
"""


@pytest.fixture
def submitted(root, short_clip, tmp_path) -> dict:
    (tmp_path / "jobs.toml").write_text(BATCH.format(clip=short_clip), encoding="utf-8")
    command = [sys.executable, root / "examples" / "flamenco" / "submit.py", tmp_path / "jobs.toml"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.long
@pytest.mark.skipif(NODE is None, reason="needs node, a JavaScript engine")
def test_the_job_type_makes_a_task_a_job_whose_commands_run_the_batch(root, submitted, tmp_path):
    script = root / "examples" / "flamenco" / "synctalk-batch.js"
    compiled = subprocess.run(
        [NODE, "-e", COMPILE, script], input=json.dumps(submitted), capture_output=True, text=True, check=True
    )
    made = json.loads(compiled.stdout)
    assert submitted["type"] == script.stem
    assert {setting["key"] for setting in made["type"]["settings"]} == set(submitted["settings"])
    assert {task["name"]: task["needs"] for task in made["tasks"]} == {
        "process+speaker": [],
        "export+speaker+model": ["process+speaker"],
        "summary": ["process+speaker", "export+speaker+model"],
    }
    place = Place(tmp_path / "jobs.batch")
    for task, status in zip(made["tasks"], (0, 1, 1), strict=True):
        (command,) = task["commands"]
        assert command["name"] == "exec"
        words = [command["parameters"]["exe"], *command["parameters"]["args"]]
        assert subprocess.run(words, cwd=tmp_path, capture_output=True, check=False).returncode == status
    assert place.read_record("process+speaker").runs == 1  # the summary's run found it done
    assert place.read_record("export+speaker+model").state == "failed"  # no head was tracked, nor trained
    assert "1 of 2" in place.page.read_text()


def test_one_job_needs_those_before_it(tmp_path):
    audio = tmp_path / "words.wav"
    write_wav(audio, [np.random.default_rng(1).normal(0, 0.1, 16000).astype(np.float32)], 16000)
    place = Place(tmp_path / "jobs.batch")
    words = {name: (str(audio), f"--out={tmp_path / name}.npz", "--encoder=log-mel") for name in ("one", "two")}
    verb = ("encoder", "features")
    jobs = [Job("one", verb, words["one"]), Job("two", verb, words["two"], ("one",))]

    def run(name: str) -> str:
        return run_one(name, jobs, place, None, 0, Reporter()).state

    with pytest.raises(UsageError, match="there is no job three"):
        run("three")
    with pytest.raises(WorkspaceError, match="needs encoder features, which is not done"):
        run("two")
    assert run("one") == run("two") == "done"
    made = Path(tmp_path / "two.npz").stat().st_mtime_ns
    assert run("two") == "done" and Path(tmp_path / "two.npz").stat().st_mtime_ns == made
