"""The receiver on a real socket: a sender of its own process, one that dies, two at once, rubbish between."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from backend.capture.live import osc, udp
from backend.errors import SyncTalkError
from backend.protocol import BLENDSHAPE_NAMES
from tests.backend.capture.live.packets import every_shape, live_link, vmc

JAW = BLENDSHAPE_NAMES.index("jawOpen")

SENDER = """
import socket, sys, time
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
packets = [bytes.fromhex(line) for line in sys.stdin.read().split()]
for packet in packets:
    out.sendto(packet, ("127.0.0.1", int(sys.argv[1])))
    time.sleep(0.01)
"""


def send_from_a_process(port, packets):
    subprocess.run(
        [sys.executable, "-c", SENDER, str(port)], input="\n".join(map(bytes.hex, packets)), text=True, check=True
    )


@pytest.fixture
def listening():
    opened = []

    def listen(channel):
        source = udp.UdpSource(channel, 0)
        opened.append(source)
        source.start()
        return source

    yield listen
    for source in opened:
        source.close()


@pytest.fixture
def send():
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    yield lambda source, packet: out.sendto(packet, ("127.0.0.1", source.port))
    out.close()


def wait_for(condition, what="it", within_s=30.0):
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.005)


def counted(source):
    """Packets that were taken or refused so far."""
    state = source.inbox.state()
    return state.samples + sum(state.refused.values())


def jaw(source):
    return float(source.inbox.newest.face.blendshapes[JAW])


def test_faces_of_another_process_arrive(listening):
    source = listening(udp.OscChannel())
    assert source.inbox.state().status == "waiting"
    send_from_a_process(source.port, [vmc(every_shape(scale)) for scale in np.linspace(0.1, 1, 40)])
    wait_for(lambda: source.inbox.newest is not None and source.inbox.newest.number == 40, "the last face")
    np.testing.assert_allclose(source.inbox.newest.face.blendshapes, list(every_shape().values()), atol=1e-6)
    assert source.inbox.state().samples == 40 and source.inbox.state().refused == {}


def test_rubbish_among_the_packets_is_counted_named_and_stops_nothing(listening, send):
    source = listening(udp.LiveLinkChannel())
    for frame in range(30):
        send(source, live_link({"JawOpen": frame / 100}, frame))
        send(source, bytes([frame]) * 300)
        send(source, live_link({"JawOpen": 0.9}, frame)[:200])
        send(source, b"\x06" * 30_000)
        wait_for(
            lambda sent=4 * frame + 4: counted(source) == sent, "all of a round"
        )  # the system keeps a quarter of a megabyte
    state = source.inbox.state()
    assert jaw(source) == pytest.approx(0.29) and sum(state.refused.values()) == 90
    assert state.samples == 30 and len(state.refused) <= 3
    assert state.note.startswith("Not taken: ") and "packets that are not Live Link Face’s" in state.note


def test_a_sender_that_dies_and_starts_again_is_picked_up(listening, send):
    source = listening(udp.LiveLinkChannel())
    for frame in range(5000, 5010):
        send(source, live_link({"JawOpen": 0.2}, frame))
    wait_for(lambda: source.inbox.newest is not None and source.inbox.newest.number == 10)
    wait_for(lambda: source.inbox.state().status == "lost", "its silence")
    assert "Nothing has come for" in source.inbox.state().note
    send(source, live_link({"JawOpen": 0.6}, 0))  # its frames count from the beginning again
    wait_for(lambda: jaw(source) == pytest.approx(0.6), "the new face")
    assert source.inbox.state().status == "live"
    assert source.inbox.state().delay_ms < 1000  # the new clock is not measured against the old one


def test_a_packet_older_than_the_newest_is_left_out(listening, send):
    source = listening(udp.LiveLinkChannel())
    for frame, value in ((10, 0.1), (12, 0.3), (11, 0.2)):
        send(source, live_link({"JawOpen": value}, frame))
    wait_for(lambda: source.inbox.state().refused == {osc.STALE: 1}, "the refusal")
    assert jaw(source) == pytest.approx(0.3)


def test_a_second_sender_waits_until_the_first_is_silent(listening, send):
    source = listening(udp.LiveLinkChannel())
    send(source, live_link({"JawOpen": 0.1}, 1, subject="Anna"))
    send(source, live_link({"JawOpen": 0.9}, 1, subject="Ben"))
    wait_for(lambda: source.inbox.state().refused == {udp.OTHER_SENDER: 1}, "the refusal")
    assert jaw(source) == pytest.approx(0.1)
    wait_for(lambda: source.inbox.state().status == "lost", "Anna's silence")
    send(source, live_link({"JawOpen": 0.9}, 2, subject="Ben"))
    wait_for(lambda: jaw(source) == pytest.approx(0.9), "Ben's face")


def test_a_sender_without_arkit_names_is_advised(listening, send):
    source = listening(udp.OscChannel())
    send(source, vmc({"A": 0.5, "Blink": 1.0, "Joy": 0.2}))
    wait_for(lambda: "Perfect Sync" in source.inbox.state().note, "the advice")
    assert source.inbox.newest is None
    send(source, vmc({"A": 0.5, "JawOpen": 0.4}))
    wait_for(lambda: source.inbox.newest is not None and jaw(source) == pytest.approx(0.4), "a face")
    assert "Perfect Sync" not in source.inbox.state().note


def test_a_port_in_use_is_named(listening):
    source = listening(udp.OscChannel())
    with pytest.raises(SyncTalkError, match=f"port {source.port} of 127.0.0.1 cannot be listened to"):
        udp.UdpSource(udp.OscChannel(), source.port)


def test_strangers_on_the_network_are_not_heard_by_default(listening):
    source = listening(udp.OscChannel())
    assert source._socket.getsockname()[0] == "127.0.0.1"
