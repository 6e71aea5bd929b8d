"""Which live sources there are, and how each is opened."""

from __future__ import annotations

from pathlib import Path

from ...errors import UsageError
from .source_names import FACE_SOURCES, LOOPBACK, MICROPHONE, WEBCAM
from .thread_source import Source
from .udp import CHANNELS, UdpSource


def open_source(name: str | Path, port: int | None = None, host: str = LOOPBACK, camera: int = 0) -> Source:
    """A source of faces that has not started.

    Args:
        name: of `FACE_SOURCES`, or a video file in the webcam's place.
        port: of a source over UDP; None for the usual one, 0 for any that is free.
        host: the address to listen at.
        camera: the system's number of the webcam.

    Raises:
        UsageError: there is none of this name, or no such port.
        CaptureError: the port is in use, or the camera cannot be opened.
    """
    if isinstance(name, Path) or name == WEBCAM:
        from .webcam import WebcamSource  # its packages are of use to no other source

        return WebcamSource(name if isinstance(name, Path) else camera)
    if name not in CHANNELS:
        raise UsageError(f"There is no live source {name}: choose one of {', '.join(FACE_SOURCES)}.")
    channel, usual = CHANNELS[name]
    return UdpSource(channel(), usual if port is None else port, host)


def is_voice(name: str | Path) -> bool:
    """Whether a source, of `SOURCES` or a file, is heard."""
    return name == MICROPHONE or (isinstance(name, Path) and name.suffix.lower() == ".wav")
