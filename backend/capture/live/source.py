"""What a live source is, and how each is opened."""

from __future__ import annotations

from typing import Protocol

from ...errors import UsageError
from . import udp
from .inbox import Inbox

SOURCES = (*udp.CHANNELS,)
"""Names of the sources."""


class Source(Protocol):
    """Puts faces into its inbox, on a thread of its own from `start` to `close`.

    Attributes:
        place: where it listens or what it reads, for a person.
    """

    inbox: Inbox
    place: str

    def start(self) -> None:
        """Begin."""
        ...

    def close(self) -> None:
        """End, and free what it uses."""
        ...


def open_source(name: str, port: int | None = None, host: str = udp.LOOPBACK) -> Source:
    """A source that has not started.

    Args:
        name: of `SOURCES`.
        port: of a source over UDP; None for the usual one, 0 for any that is free.
        host: the address to listen at.

    Raises:
        UsageError: there is none of this name, or no such port.
        SyncTalkError: the port is in use.
    """
    if name not in udp.CHANNELS:
        raise UsageError(f"There is no live source {name}: choose one of {', '.join(SOURCES)}.")
    channel, usual = udp.CHANNELS[name]
    return udp.UdpSource(channel(), usual if port is None else port, host)
