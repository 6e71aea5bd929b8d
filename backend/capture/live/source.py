"""What a live source is, and how each is opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ...errors import UsageError
from . import udp
from .inbox import Inbox

WEBCAM = "webcam"
SOURCES = (*udp.CHANNELS, WEBCAM)
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


@dataclass(frozen=True)
class Place:
    """Where a source is.

    Attributes:
        port: of a source over UDP; None for the usual one, 0 for any that is free.
        host: the address to listen at.
        camera: the system's number of it, or a video file in its place.
    """

    port: int | None = None
    host: str = udp.LOOPBACK
    camera: int | Path = 0


def open_source(name: str, place: Place = Place()) -> Source:
    """A source that has not started.

    Args:
        name: of `SOURCES`.

    Raises:
        UsageError: there is none of this name, or no such port.
        CaptureError: the port is in use, or the camera cannot be opened.
    """
    if name == WEBCAM:
        from .webcam import WebcamSource  # its packages are of use to no other source

        return WebcamSource(place.camera)
    if name not in udp.CHANNELS:
        raise UsageError(f"There is no live source {name}: choose one of {', '.join(SOURCES)}.")
    channel, usual = udp.CHANNELS[name]
    return udp.UdpSource(channel(), usual if place.port is None else place.port, place.host)
