"""The rig as OSC: what a receiver of the VMC protocol gets over UDP, read by python-osc's own parser."""

from __future__ import annotations

import socket

import numpy as np
import pytest
from pythonosc.osc_packet import OscPacket
from scipy.spatial.transform import Rotation

from backend.capture.streaming.vmc import MAX_DATAGRAM, VmcSender
from backend.errors import NetworkError
from backend.protocol import BLENDSHAPE_NAMES
from backend.workspace.poses import rotation_exp

SHAPES = np.linspace(0, 1, 52, dtype=np.float32)
TURN = rotation_exp(np.array([0.1, -0.4, 0.05]))


@pytest.fixture
def packets():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(2)
        sender = VmcSender(f"127.0.0.1:{receiver.getsockname()[1]}")
        sender.send(SHAPES, TURN)
        sender.close()
        found = [receiver.recv(65536)]
        while not found[-1].startswith(b"/VMC/Ext/Blend/Apply"):
            found.append(receiver.recv(65536))
    return found


def messages(packets):
    return [(item.message.address, item.message.params) for packet in packets for item in OscPacket(packet).messages]


def test_every_shape_arrives_as_a_float_before_the_message_that_applies_them(packets):
    found = messages(packets)
    values = dict(params for address, params in found if address == "/VMC/Ext/Blend/Val")
    assert list(values) == list(BLENDSHAPE_NAMES)
    np.testing.assert_allclose(list(values.values()), SHAPES, atol=1e-6)
    assert all(type(value) is float for value in values.values()), "0 and 1 as well"
    assert found[-1] == ("/VMC/Ext/Blend/Apply", []) and len(OscPacket(packets[-1]).messages) == 1
    assert {address for address, _ in found} == {
        "/VMC/Ext/OK", "/VMC/Ext/T", "/VMC/Ext/Bone/Pos", "/VMC/Ext/Blend/Val", "/VMC/Ext/Blend/Apply"
    }  # fmt: skip


def test_no_datagram_is_beyond_what_networks_carry_in_one_piece(packets):
    assert len(packets) > 2 and max(map(len, packets)) <= MAX_DATAGRAM


def test_the_heads_turn_keeps_its_matrix_in_unitys_axes(packets):
    ((name, *numbers),) = (params for address, params in messages(packets) if address == "/VMC/Ext/Bone/Pos")
    assert name == "Head" and len(numbers) == 7
    np.testing.assert_allclose(Rotation.from_quat(numbers[3:]).as_matrix(), TURN, atol=1e-6)
    # A head that turns to its left, the right of the image: Unity's forward axis turns to -x, the figure's left.
    left = rotation_exp(np.array([0.0, -0.5, 0.0]))
    assert (left @ [0, 0, -1])[0] > 0.4 and (left @ [0, 0, 1])[0] < -0.4


def test_a_receiver_that_is_not_there_costs_nothing():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    sender = VmcSender(f"127.0.0.1:{port}")
    for _ in range(5):
        sender.send(SHAPES, TURN)
    sender.close()


@pytest.mark.parametrize(
    "target", ["", "39539", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:x", ":39539", "127.0.0.1:99999"]
)
def test_what_is_no_address_is_one_sentence(target):
    with pytest.raises(NetworkError, match="is no address to send OSC to: give --osc HOST:PORT"):
        VmcSender(target)
