"""A live face in Blender: a sender of its own process, the real backend, the rig that follows, and the take that is keyed."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from backend.capture.live import livelink
from backend.protocol import BLENDSHAPE_NAMES

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parent.parent.parent
YAW = 0.15
JAW = BLENDSHAPE_NAMES.index("jawOpen")

SENDER = """
import socket, sys, time
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
packets = [bytes.fromhex(line) for line in sys.stdin.read().split()]
for packet in packets:
    out.sendto(packet, ("127.0.0.1", int(sys.argv[1])))
    time.sleep(1 / 60)
"""


def faces(count, first=0):
    """Packets of a face that rests, then opens its mouth and turns its head; eyes and brows move a little."""
    found = []
    for frame in range(first, first + count):
        shapes = np.full(52, 0.02 + 0.02 * (frame % 7) / 7, np.float32)
        is_open = frame - first > count // 2
        shapes[JAW] = 0.7 if is_open else 0.05
        found.append(livelink.write("test", "Anna", frame, (60, 1), shapes, (YAW if is_open else 0.0, 0.0, 0.0)))
    return found


def send(port, packets):
    """From a process of its own, while this one goes on."""
    process = subprocess.Popen([sys.executable, "-c", SENDER, str(port)], stdin=subprocess.PIPE, text=True)
    process.stdin.write("\n".join(map(bytes.hex, packets)))
    process.stdin.close()
    return process


@pytest.fixture
def live(kit, rig, real_backend):
    """The add-on's live module, listening for Live Link Face, with the real backend."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = kit.scene.synctalk
    settings.workspace = str(rig.workspace)
    settings.live_source, settings.live_port = "livelink", port
    module = kit.part("live")
    module.start(kit.scene)
    advance(module, lambda: module.runtime.place, 180)
    yield module
    module.stop()


def advance(live, condition, within_s=20.0):
    """What the timer does, until the condition holds."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, live.state_line()
        time.sleep(min(live.advance(), 0.01))


def evaluated(kit, rig):
    """Shapes and head pose as the engine reads them."""
    import bpy

    depsgraph = bpy.context.evaluated_depsgraph_get()
    return kit.part("scene.rig").read_rig(rig, depsgraph)


def turned_deg(one, other):
    return np.degrees(np.arccos(np.clip((np.trace(one[:3, :3].T @ other[:3, :3]) - 1) / 2, -1, 1)))


def test_the_head_follows_a_live_face_and_gets_its_keys_back(kit, rig, live):
    before = evaluated(kit, rig)
    sender = send(live.runtime.place.split()[2], faces(120))
    advance(live, lambda: live.runtime.number >= 100)
    during = evaluated(kit, rig)
    assert live.state_line().startswith("Live: ")
    assert during.blendshapes[JAW] > before.blendshapes[JAW] + 0.1
    assert 3 < turned_deg(during.head_to_camera, before.head_to_camera) <= np.degrees(YAW) + 0.1
    turn = (np.linalg.inv(before.head_to_camera) @ during.head_to_camera)[:3, :3]
    assert (turn @ [0, 0, -1])[0] > 0.05, "a positive yaw turns the face to the right of the image"
    np.testing.assert_allclose(during.head_to_camera[:3, 3], before.head_to_camera[:3, 3], atol=1e-6)
    sender.wait()
    live.stop()
    after = evaluated(kit, rig)
    np.testing.assert_allclose(after.blendshapes, before.blendshapes, atol=1e-6)
    np.testing.assert_allclose(after.head_to_camera, before.head_to_camera, atol=1e-6)


def test_a_frame_change_keeps_the_live_face(kit, rig, live):
    kit.scene.frame_set(1)
    first = evaluated(kit, rig)
    kit.scene.frame_set(4)
    keyed = evaluated(kit, rig)
    assert turned_deg(first.head_to_camera, keyed.head_to_camera) > 1e-3
    sender = send(live.runtime.place.split()[2], faces(120))
    advance(live, lambda: live.runtime.number >= 100)
    at_four = evaluated(kit, rig)
    kit.scene.frame_set(1)
    at_one = evaluated(kit, rig)
    np.testing.assert_allclose(at_one.blendshapes, at_four.blendshapes, atol=1e-6)
    turn = np.linalg.inv(keyed.head_to_camera) @ at_four.head_to_camera
    np.testing.assert_allclose(at_one.head_to_camera, first.head_to_camera @ turn, atol=1e-5)
    sender.wait()
    live.stop()
    np.testing.assert_allclose(evaluated(kit, rig).head_to_camera, first.head_to_camera, atol=1e-6)


def test_a_job_that_reads_the_rig_reads_what_is_keyed(kit, rig, live):
    reading, jobs, job = kit.part("work.reading"), kit.part("jobs"), kit.part("job")
    frames = []

    def work():
        frames.append((yield from reading.read_rig(kit.scene, rig, (128, 128), 60, 1)))
        return "Read."

    def read(meanwhile):
        jobs.run(job.Job(kit.part("steps").Errand.EXPORT, "Reading the rig", work()), meanwhile)

    read(lambda _: None)
    sender = send(live.runtime.place.split()[2], faces(240))
    advance(live, lambda: live.runtime.number >= 150)
    shown = evaluated(kit, rig)
    read(lambda _: live.advance())
    keyed, during = (found.directions for found in frames)
    assert shown.blendshapes[JAW] > keyed[0].blendshapes[JAW] + 0.1
    for before, after in zip(keyed, during, strict=True):
        np.testing.assert_allclose(after.blendshapes, before.blendshapes, atol=1e-6)
        np.testing.assert_allclose(after.head_to_camera, before.head_to_camera, atol=1e-6)
    number = live.runtime.number
    advance(live, lambda: live.runtime.number > number)
    assert evaluated(kit, rig).blendshapes[JAW] > keyed[0].blendshapes[JAW] + 0.1, "the face has returned"
    sender.wait()


def test_a_recording_is_keyed_as_a_take(kit, rig, live):
    advance(live, lambda: live.runtime.status == "waiting")
    live.record()
    sender = send(live.runtime.place.split()[2], faces(120))
    advance(live, lambda: live.runtime.number >= 118)
    text = kit.part("jobs").run(live.keep_job(kit.scene))
    sender.wait()
    assert "of a live face" in text and not live.is_on()
    assert list((rig.workspace / "recordings").glob("live-001.csv"))
    frames = [evaluated(kit, rig) for frame in (3, 40) if kit.scene.frame_set(frame) is None]
    assert frames[1].blendshapes[JAW] > frames[0].blendshapes[JAW] + 0.1
    assert turned_deg(frames[0].head_to_camera, frames[1].head_to_camera) > 3


def test_a_taken_port_is_reported_and_live_is_off(kit, rig, real_backend):
    live, errors = kit.part("live"), kit.part("client.errors")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        kit.scene.synctalk.workspace = str(rig.workspace)
        kit.scene.synctalk.live_port = taken.getsockname()[1]
        live.start(kit.scene)
        with pytest.raises(errors.BackendError, match="cannot be listened to"):
            advance(live, lambda: False, 180)
    live.stop()
    assert not live.is_on()
