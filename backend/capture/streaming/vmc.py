"""The rig as OSC over UDP, as the VMC protocol has it (protocol.vmc.info): shapes by ARKit's names, and the head's turn."""

from __future__ import annotations

import socket
import time
from typing import Any

import numpy as np

from ...errors import NetworkError
from ...protocol import BLENDSHAPE_NAMES
from ...workspace.shapes import Float

MAX_DATAGRAM = 1200
"""Bytes: below what every network carries in one piece. All 52 shapes in one bundle have 2752."""


class VmcSender:
    """Sends to one receiver; one that is not there costs nothing.

    Args:
        target: `HOST:PORT`.

    Raises:
        NetworkError: it is no address.
    """

    def __init__(self, target: str) -> None:
        host, separator, port = target.rpartition(":")
        try:
            if not (separator and host and 0 < int(port) < 65536):
                raise ValueError
            found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)[0]
        except (ValueError, OSError) as error:
            raise NetworkError(
                f"{target} is no address to send OSC to: give --osc HOST:PORT, such as 127.0.0.1:39539."
            ) from error
        self._address = found[4]
        self._socket = socket.socket(found[0], socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def send(self, blendshapes: Float[np.ndarray, " 52"], turn: Float[np.ndarray, "3 3"]) -> None:
        """The state of the rig: several bundles, then Apply in a message of its own, by which the shapes count.

        Args:
            turn: of the head from its rest, in the head frame.
        """
        for packet in (*bundles(blendshapes, turn), _message("/VMC/Ext/Blend/Apply").dgram):
            try:
                self._socket.sendto(packet, self._address)
            except OSError:  # nobody listens there now, or the network is full: the next frame comes soon
                return

    def close(self) -> None:
        self._socket.close()


def bundles(blendshapes: Float[np.ndarray, " 52"], turn: Float[np.ndarray, "3 3"]) -> list[bytes]:
    """OSC bundles of at most `MAX_DATAGRAM` bytes with all but the closing Apply."""
    from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder

    messages = [
        _message("/VMC/Ext/OK", 1),
        _message("/VMC/Ext/T", time.monotonic()),
        _message("/VMC/Ext/Bone/Pos", "Head", 0.0, 0.0, 0.0, *_quaternion(turn)),
        *(
            _message("/VMC/Ext/Blend/Val", name, float(value))
            for name, value in zip(BLENDSHAPE_NAMES, blendshapes, strict=True)
        ),
    ]
    packets: list[bytes] = []
    builder, size = OscBundleBuilder(IMMEDIATELY), 16
    for message in messages:
        if size + 4 + message.size > MAX_DATAGRAM:
            packets.append(builder.build().dgram)
            builder, size = OscBundleBuilder(IMMEDIATELY), 16
        builder.add_content(message)
        size += 4 + message.size
    return [*packets, builder.build().dgram]


def _message(address: str, *values: float | int | str) -> Any:
    from pythonosc.osc_message_builder import OscMessageBuilder

    builder = OscMessageBuilder(address)
    for value in values:
        # Numbers are typed here: python-osc sends what is whole as an integer, which receivers of "f" leave out.
        builder.add_arg(value, "f" if isinstance(value, float) else None)
    return builder.build()


def _quaternion(turn: Float[np.ndarray, "3 3"]) -> list[float]:
    """x, y, z, w for Unity, whose axes (x to the figure's right, y up, z before it) are the head frame's reversed: a rotation keeps
    its matrix."""
    from scipy.spatial.transform import Rotation

    return [float(value) for value in Rotation.from_matrix(turn).as_quat()]
