"""Faces over UDP: a thread that receives, decodes, and keeps the newest. Whatever comes, it does not stop."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from typing import Protocol

from ...errors import CaptureError, UsageError
from . import livelink, osc
from .inbox import SILENT_AFTER_S
from .sample import LiveFace, Unusable
from .source_names import LIVELINK, LOOPBACK, OSC
from .thread_source import Source

OTHER_SENDER, STALE = "packets of a second sender", osc.STALE

_BUFFER = 1 << 18
"""Bytes that the system keeps while this process is busy: at 60 packets a second of 3 kB, more than a second."""

_STALE_S, _STALE_COUNT = 1.0, 5
"""Packets that lie further back, or so many in a row that lie back, are of a sender that has started again."""


class Channel(Protocol):
    """What makes faces of packets."""

    def decode(self, packet: bytes, address: str, now_s: float) -> tuple[LiveFace | None, list[str]]:
        """The face that is complete with the packet, if one is, and the kinds of fault of what was not taken.

        Raises:
            Unusable: nothing of it is taken.
        """
        ...

    @property
    def note(self) -> str:
        """What the sender itself has to report, as one sentence."""
        ...

    @property
    def session(self) -> int:
        """Changes when another sender begins, or one starts again: with its clock."""
        ...


class UdpSource(Source):
    """Receives packets.

    Args:
        port: 0 for any that is free; see `port`.
        host: the address to listen at; only this computer's own by default.
    """

    def __init__(self, channel: Channel, port: int, host: str = LOOPBACK) -> None:
        self._channel = channel
        self._socket = _bound(host, port)
        super().__init__(f"UDP port {self.port} of {host}")

    @property
    def port(self) -> int:
        return self._socket.getsockname()[1]

    def _free(self) -> None:
        self._socket.close()

    def _receive(self) -> None:
        self._socket.settimeout(0.1)
        session = self._channel.session
        while not self._closing.is_set():
            try:
                packet, address = self._socket.recvfrom(65536)
            except TimeoutError:
                continue
            except OSError:  # on Windows, a packet of ours that nobody received; or the network changes
                time.sleep(0.05)
                continue
            now_s = time.monotonic()
            try:
                face, faults = self._channel.decode(packet, address[0], now_s)
            except Unusable as fault:
                self.inbox.refuse(str(fault), now_s)
                continue
            for fault_text in faults:
                self.inbox.refuse(fault_text, now_s)
            self.inbox.note = self._channel.note
            if self._channel.session != session:
                session = self._channel.session
                self.inbox.new_sender()
            if face is not None:
                self.inbox.take(face, now_s)


class OscChannel:
    """OSC of one computer at a time."""

    note = ""
    session = 0

    def __init__(self) -> None:
        self._place = _OnePlace()
        self._decoder = osc.OscDecoder()
        self._has_shapes = False

    def decode(self, packet: bytes, address: str, now_s: float) -> tuple[LiveFace | None, list[str]]:
        if self._place.changes(address, now_s):
            self._decoder, self._has_shapes = osc.OscDecoder(), False
            self.session += 1
        face, faults = self._decoder.decode(packet)
        self._place.heard(address, now_s)
        self._has_shapes |= face is not None
        if self._decoder.has_restarted:
            self.session += 1
        if not self._decoder.is_loaded:
            self.note = "The sender has no avatar loaded: load one there."
        elif not self._has_shapes and osc.NO_SHAPES in faults:
            self.note = "The sender names none of ARKit’s 52 shapes: switch on Perfect Sync (ARKit blendshapes) there."
        else:
            self.note = ""
        return face, faults


class LiveLinkChannel:
    """Live Link Face of one device and subject at a time."""

    note = ""
    session = 0

    def __init__(self) -> None:
        self._place = _OnePlace()
        self._newest_s = -1e18
        self._behind = 0

    def decode(self, packet: bytes, address: str, now_s: float) -> tuple[LiveFace | None, list[str]]:
        del address
        read = livelink.parse(packet)
        name = f"{read.device}/{read.subject}"
        changes = self._place.changes(name, now_s)
        face = read.face()
        assert face.sent_s is not None
        behind_s = self._newest_s - face.sent_s
        if not changes and 0 <= behind_s < _STALE_S and self._behind < _STALE_COUNT:
            self._behind += 1
            raise Unusable(STALE)
        self.session += changes or behind_s > 0
        self._behind, self._newest_s = 0, face.sent_s
        self._place.heard(name, now_s)
        return face, []


class _OnePlace:
    """Keeps to one sender while it sends: two at once would make the face jump between them."""

    def __init__(self) -> None:
        self._name = ""
        self._heard_s = -1e9

    def changes(self, name: str, now_s: float) -> bool:
        """Whether another sender takes the place.

        Raises:
            Unusable: the one that has it still sends.
        """
        if name == self._name:
            return False
        if self._name and now_s - self._heard_s < SILENT_AFTER_S:
            raise Unusable(OTHER_SENDER)
        return True

    def heard(self, name: str, now_s: float) -> None:
        """Something that can be used came from it."""
        self._name, self._heard_s = name, now_s


def _bound(host: str, port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        with contextlib.suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        found.bind((host, port))
    except OverflowError as error:
        found.close()
        raise UsageError(f"The port must be from 0 to 65535, not {port}.") from error
    except OSError as error:
        found.close()
        raise CaptureError(
            f"The port {port} of {host} cannot be listened to ({error.strerror}): close the program that uses it, or choose another."
        ) from error
    return found


CHANNELS: dict[str, tuple[Callable[[], Channel], int]] = {
    OSC: (OscChannel, osc.PORT),
    LIVELINK: (LiveLinkChannel, livelink.PORT),
}
"""The channel of each source over UDP, and the port that its senders commonly use."""
