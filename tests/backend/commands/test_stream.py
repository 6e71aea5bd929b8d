"""`stream` as a user runs it: an address, a viewer, Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from backend.commands import stream
from backend.errors import ConsentError, UsageError
from backend.progress import Reporter
from backend.workspace.store import Workspace
from tests.backend.capture.streaming.marks import Client


@pytest.fixture
def started(trained_once):
    """A stream of the trained head at 96², its address, and every line that it has printed."""
    running = []

    def start(*more: str):
        command = [
            sys.executable,
            "-m",
            "backend",
            "stream",
            str(trained_once),
            "--port",
            "0",
            "--size",
            "96",
            "--json",
            *more,
        ]
        flags = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP} if os.name == "nt" else {}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **flags)
        running.append(process)
        lines: list[str] = []
        opened = threading.Event()

        def read() -> None:
            for line in process.stderr:
                lines.append(line)
                if "Ctrl-C ends the stream" in line:
                    opened.set()
            opened.set()

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        opened.wait(120)
        found = re.search(r"Open (http://127\.0\.0\.1:\d+/\?token=\S+)", "".join(lines))
        assert found, lines
        return process, found[1], lines, reader

    yield start
    for process in running:
        process.kill()
        process.wait()


def stop(process) -> tuple[int, dict]:
    process.send_signal(signal.CTRL_BREAK_EVENT if os.name == "nt" else signal.SIGINT)
    out = process.stdout.read()
    return process.wait(30), json.loads(out)


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C cannot be sent to one process alone on Windows")
def test_a_viewer_sees_the_head_and_ctrl_c_ends_it(started):
    process, url, lines, reader = started()

    async def watch() -> np.ndarray:
        client = Client()
        assert await client.watch(url.replace("/?", "/offer?")) == 200
        for _ in range(3):
            frame = await asyncio.wait_for(client.tracks["video"].recv(), 60)
        await asyncio.wait_for(client.tracks["audio"].recv(), 60)
        await client.connection.close()
        return frame.to_ndarray(format="rgb24")

    image = asyncio.run(watch())
    assert image.shape == (96, 96, 3) and image.std() > 15
    status, result = stop(process)
    reader.join(10)
    assert status == 0 and result["viewers"] == 1 and result["frames"] >= 3
    assert "1 viewer\n" in lines and "0 viewers\n" in lines
    token = url.rpartition("=")[2]
    assert len(token) >= 32 and "".join(lines).count(token) == 1, "printed once"


@pytest.mark.skipif(os.name == "nt", reason="as above")
def test_the_rig_is_sent_while_nobody_watches(started):
    from pythonosc.osc_packet import OscPacket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(60)
        process, *_ = started("--osc", f"127.0.0.1:{receiver.getsockname()[1]}")
        seen = set()
        while "/VMC/Ext/Blend/Apply" not in seen:
            seen |= {item.message.address for item in OscPacket(receiver.recv(65536)).messages}
    assert stop(process)[0] == 0
    assert "/VMC/Ext/Blend/Val" in seen


def test_without_recorded_consent_nothing_is_streamed(trained):
    workspace = Workspace.open(trained)
    workspace.subject.consent = {}
    workspace.save()
    with pytest.raises(ConsentError):
        stream.run(stream.Options(workspace=trained, port=0), Reporter())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"background": "blue"}, "--background must be footage, alpha or a colour"),
        ({"no_token": True, "host": "0.0.0.0"}, "--no-token is of a stream that this computer alone can reach"),
        ({"port": 70000}, "--port must be from 0 to 65535"),
        ({"viewers": 0}, "--viewers must be 1 or more"),
        ({"size": 8}, "--size must be from 64 to 4096"),
        ({"live": "osc", "directions": Path("a.npz")}, "--live and --directions do not go together"),
        ({"live": "radio"}, "live must be a path or one of osc, livelink"),
    ],
)
def test_options_that_cannot_be_are_one_sentence(options, sentence):
    with pytest.raises(UsageError, match=re.escape(sentence)):
        stream.Options(workspace=Path("ws"), **options)


def test_tokens_are_random_or_the_users_own_and_long(monkeypatch):
    monkeypatch.delenv(stream.TOKEN_VARIABLE, raising=False)
    options = stream.Options(workspace=Path("ws"))
    assert options.token != options.token and len(options.token) >= 32
    assert stream.Options(workspace=Path("ws"), no_token=True).token == ""
    monkeypatch.setenv(stream.TOKEN_VARIABLE, "x" * 16)
    assert options.token == "x" * 16
    monkeypatch.setenv(stream.TOKEN_VARIABLE, "x" * 15)
    with pytest.raises(UsageError, match="must have 16 characters or more"):
        _ = options.token
