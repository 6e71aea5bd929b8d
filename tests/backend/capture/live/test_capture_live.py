"""`capture live` and the requests `live.…`: a real sender, a recording, and what its take holds."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from backend import protocol
from backend.benchmarks.live import sender
from backend.capture.files import read_capture
from backend.progress import Reporter
from backend.protocol import BLENDSHAPE_NAMES
from backend.workspace.store import Workspace

pytestmark = pytest.mark.long


@contextmanager
def sending(port: int, workspace: Path, seconds: float = 60, rubbish: float = 0.0):
    command = [sys.executable, "-m", sender.__name__, str(port), str(workspace / "tracking.npz"), str(seconds)]
    process = subprocess.Popen([*command, "--rubbish", str(rubbish)], cwd=Path(__file__).parents[4])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def wait_for_face(client, after=0, within_s=180):
    end = time.monotonic() + within_s
    while (state := client.call("live.state", after=after))["face"] is None:
        assert time.monotonic() < end, state
        time.sleep(0.01)
    return state


def test_the_server_gives_the_newest_face_and_keeps_a_recording(client, processed_once, tmp_path):
    assert client.call("live.state")["status"] == "off"
    place = client.call("live.start", workspace=str(processed_once), source="livelink", port=0)["place"]
    port = int(place.split()[2])
    assert client.call("live.state")["status"] == "waiting"
    with sending(port, processed_once, rubbish=0.5):
        first = wait_for_face(client)["face"]
        assert len(first["blendshapes"]) == 52 and len(first["head_turn"]) == 9
        client.call("live.record")
        later = wait_for_face(client, after=first["number"] + 120)
        assert later["recorded_s"] > 0.5
        assert later["status"] == "live" and later["rate"] > 0
        assert later["refused"] and later["note"].startswith("Not taken: ")
        out = tmp_path / "take.csv"
        kept = client.call("live.keep", out=str(out))
    assert kept["file"] == str(out)
    capture = read_capture(out, Reporter())
    assert capture.times_s[-1] == pytest.approx(kept["seconds"], abs=1e-3)
    assert capture.head_turn is not None and float(capture.rate) == pytest.approx(60, abs=1)
    assert client.call("live.keep", out=str(out)) == {"file": None, "seconds": 0.0}
    client.call("live.stop")
    assert client.call("live.state")["status"] == "off"
    assert client.call("live.start", workspace=str(processed_once), source="livelink", port=port)["place"] == place


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"source": "phone"}, "source must be"),
        ({"source": "osc", "port": 70000}, "from 0 to 65535"),
        ({"source": "osc", "host": "203.0.113.7"}, "cannot be listened to"),
        ({"source": "osc", "workspace": "/nowhere"}, "not a workspace"),
    ],
)
def test_what_cannot_be_started_is_refused_in_a_sentence(client, processed_once, params, sentence):
    error = client.fails("live.start", **{"workspace": str(processed_once), **params})
    assert error["code"] == protocol.USER_ERROR and sentence in error["message"]
    assert "No live source runs" in client.fails("live.record")["message"]


def test_the_command_records_a_take(root, processed_once, tmp_path):
    out = tmp_path / "take.npz"
    command = [sys.executable, "-m", "backend", "capture", "live", "--workspace", str(processed_once)]
    command += ["--source", "livelink", "--port", "0", "--record", str(out), "--json"]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        port = int(process.stderr.readline().split("UDP port ")[1].split()[0])
        with sending(port, processed_once):
            for line in process.stderr:
                recorded = re.search(r"a second, delay .*; recorded ([\d.]+) s", line)
                if recorded and float(recorded[1]) > 4:
                    break
            process.send_signal(signal.SIGINT)
            printed, _ = process.communicate(timeout=120)
    result = json.loads(printed)
    assert process.returncode == 0
    workspace = Workspace.open(processed_once)
    taken = workspace.animation(out)
    assert taken.rate == workspace.subject.rate
    assert result["frames"] == taken.frames > 2 * workspace.subject.fps
    own = workspace.head_track().blendshapes[:, BLENDSHAPE_NAMES.index("jawOpen")]
    assert np.ptp(taken.blendshapes[:, BLENDSHAPE_NAMES.index("jawOpen")]) > 0.5 * np.ptp(own)
    assert out.with_name("take-live.csv").exists()


def test_a_recording_of_nothing_is_refused(root, processed_once, tmp_path):
    command = [
        sys.executable,
        "-m",
        "backend",
        "capture",
        "live",
        "--workspace",
        str(processed_once),
        "--source",
        "osc",
    ]
    command += ["--port", "0", "--record", str(tmp_path / "take.npz"), "--seconds", "0.3"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "Error: Nothing came from UDP port" in done.stderr
