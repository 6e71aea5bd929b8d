"""The server as Blender meets it: a real process, real messages, real images in shared memory."""

from __future__ import annotations

import importlib.metadata
import io
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from backend import protocol
from backend.commands import process
from backend.server import Server
from backend.workspace.files import read_arrays
from backend.workspace.store import Workspace
from tests.backend.server_client import Client

pytestmark = pytest.mark.long


def frame_params(workspace: Path, memory: Path, size: int = 64, index: int = 5) -> dict:
    track = Workspace.open(workspace).head_track()
    scale = size / Workspace.open(workspace).subject.size
    return {
        "workspace": str(workspace),
        "width": size,
        "height": size,
        "focal_px": track.focal_px * scale,
        "principal_px": (track.principal_px * scale).tolist(),
        "head_to_camera": track.head_to_camera[index].ravel().tolist(),
        "blendshapes": track.blendshapes[index].tolist(),
        "memory": str(memory),
    }


def test_hello_names_what_is_there_and_refuses_another_protocol(client):
    hello = client.call("hello", protocol=protocol.VERSION, client="test")
    assert hello["pid"] == client.process.pid
    assert client.call("device")["kernel"] in ("numba", "torch")
    assert "install the backend again" in client.fails("hello", protocol=99)["message"]


def test_hello_is_answered_where_pytorch_is_missing_and_device_reports_it(monkeypatch):
    def missing(_name):
        raise importlib.metadata.PackageNotFoundError("torch")

    monkeypatch.setattr(importlib.metadata, "version", missing)
    monkeypatch.setitem(sys.modules, "torch", None)  # as Python marks a module that cannot be imported
    monkeypatch.delitem(sys.modules, "backend.live", raising=False)
    requests = [("hello", {"protocol": protocol.VERSION, "client": "test"}), ("device", {})]
    lines = [protocol.encode(protocol.request(number, *request)) for number, request in enumerate(requests, 1)]
    written = io.BytesIO()
    served = Server(io.BytesIO(b"".join(lines)), written)
    served.run()
    end = time.monotonic() + 20
    while written.getvalue().count(b"\n") < 2 and time.monotonic() < end:
        time.sleep(0.05)
    hello, device = (protocol.decode(line) for line in written.getvalue().splitlines())
    assert hello["result"]["torch"] == ""
    assert device["error"]["code"] == protocol.USER_ERROR
    assert "install it again" in device["error"]["message"]


def test_nonsense_is_answered_and_survived(client):
    client.raw(b"\xff\xfenonsense\n")
    assert client.answer(None)["error"]["code"] == protocol.PARSE_ERROR
    client.raw(b'{"jsonrpc":"2.0","id":7,"method":5}\n')
    assert client.answer(None)["error"]["code"] == protocol.INVALID_REQUEST
    assert client.fails("no.such.method")["code"] == protocol.METHOD_NOT_FOUND
    assert client.fails("measure")["data"]["kind"] == "protocol"
    assert client.call("ping") == {}


def test_a_missing_workspace_is_one_sentence(client, tmp_path):
    error = client.fails("measure", workspace=str(tmp_path / "nothing"))
    assert error["code"] == protocol.USER_ERROR and error["data"]["kind"] == "workspace"
    assert "is not a workspace" in error["message"]


def test_a_frame_lies_in_shared_memory_premultiplied_and_turns_with_the_head(client, trained_once, tmp_path):
    memory = tmp_path / "frame"
    memory.write_bytes(b"\0" * (64 * 64 * 16))
    params = frame_params(trained_once, memory)
    assert client.call("frame", **params)["width"] == 64
    first = np.fromfile(memory, np.float32).reshape(64, 64, 4)
    assert first[..., 3].max() > 0.8 and (first[..., :3] <= first[..., 3:] + 1e-5).all()
    pose = np.array(params["head_to_camera"]).reshape(4, 4)
    pose[0, 3] += 0.03
    client.call("frame", **{**params, "head_to_camera": pose.ravel().tolist()})
    moved = np.fromfile(memory, np.float32).reshape(64, 64, 4)
    columns = np.arange(64)
    centre = [(alpha.sum(0) @ columns) / alpha.sum() for alpha in (first[..., 3], moved[..., 3])]
    assert centre[1] - centre[0] > 1


def test_the_first_frame_reports_that_it_has_to_prepare(client, trained_once, tmp_path):
    memory = tmp_path / "frame"
    memory.write_bytes(b"\0" * (64 * 64 * 16))
    client.call("frame", **frame_params(trained_once, memory))
    notes = [note["params"] for note in client.notes if note["method"] == "progress"]
    assert [(note["stage"], note["done"]) for note in notes] == [
        ("preparing the renderer", 0),
        ("preparing the renderer", 1),
    ]
    client.notes.clear()
    client.call("frame", **frame_params(trained_once, memory))
    assert not client.notes


def test_serve_has_the_kernels_before_an_image_is_asked_for(root):
    pytest.importorskip("numba")
    code = (
        "import threading; from backend import live; imported = threading.Event(); live.prepare(imported)\n"
        "from backend.renderer.field.kernels import drawing\n"
        "print(imported.is_set(), len(drawing.draw.signatures))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "1"], done.stderr


def test_a_frame_that_cannot_be_drawn_says_why(client, processed_once, trained_once, tmp_path):
    memory = tmp_path / "frame"
    memory.write_bytes(b"\0" * 64)
    assert "no trained head" in client.fails("frame", **frame_params(processed_once, memory))["message"]
    assert "needs" in client.fails("frame", **frame_params(trained_once, memory))["message"]
    assert (
        "head_to_camera"
        in client.fails("frame", **{**frame_params(trained_once, memory), "head_to_camera": [1]})["message"]
    )


def wait_until_it_trains(client):
    """And answers meanwhile."""
    until = time.monotonic() + 300
    while not any(note["method"] == "progress" and note["params"]["stage"] == "training" for note in client.notes):
        assert client.call("ping") == {} and time.monotonic() < until
        time.sleep(0.1)


def test_a_long_job_reports_progress_answers_pings_and_can_be_cancelled(client, processed):
    job = client.send("train", workspace=str(processed), preset="preview", minutes=5)
    wait_until_it_trains(client)
    assert all(note["params"]["job"] == job for note in client.notes)
    client.raw(protocol.encode(protocol.notification("cancel", {"job": job})))
    error = client.answer(job)["error"]
    assert error["data"]["kind"] == "cancelled" and "resume from here" in error["message"]
    assert process.Result.of(processed).stages["portrait_sync"] == "done"


def test_training_without_consent_is_refused(client, processed):
    workspace = Workspace.open(processed)
    workspace.subject.consent = {}
    workspace.save()
    assert client.fails("train", workspace=str(processed))["data"]["kind"] == "consent"


def test_speaking_gives_an_animation_that_render_takes(client, trained, sample, tmp_path):
    spoken = client.call("speak", workspace=str(trained), audio=str(sample / "drive.wav"))
    assert Path(spoken["animation"]).exists() and Path(spoken["audio"]).exists()
    arrays = read_arrays(Path(spoken["animation"]))
    for name in ("blendshapes", "head_to_camera", "plate_frame", "frame_time_s"):
        arrays[name] = arrays[name][:6]
    directions = tmp_path / "directions.npz"
    np.savez(directions, **arrays)
    result = client.call(
        "render", workspace=str(trained), out=str(tmp_path / "frames"), directions=str(directions), size=128
    )
    assert result["frames"] == 6 and len(list((tmp_path / "frames").glob("*.png"))) == 6
    found = process.Result.of(trained)
    assert found.paths["animation"] == spoken["animation"] and found.trained["step"] > 0


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_head_is_measured_when_asked_and_the_job_says_how_far_it_is(client, trained):
    (trained / "checkpoints" / "readiness.json").unlink()
    assert process.Result.of(trained).trained["readiness"] is None
    measured = client.call("measure", workspace=str(trained))["readiness"]
    assert {"grade", "gain", "correlation"} <= set(measured["mouth"])
    assert process.Result.of(trained).trained["readiness"] == measured
    notes = [note["params"]["fraction"] for note in client.notes if note["method"] == "progress"]
    assert notes == sorted(notes)
    assert notes[-1] == 1


def test_killing_the_server_leaves_the_workspace_usable(root, processed):
    client = Client(root)
    client.send("train", workspace=str(processed), preset="preview", minutes=5)
    wait_until_it_trains(client)
    client.process.kill()
    client.process.wait()
    workspace = Workspace.open(processed)
    with workspace.locked():
        assert not list(processed.rglob(".*.tmp-*"))
