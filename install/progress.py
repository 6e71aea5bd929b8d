"""The one form in which an installation reports its progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

MB = 1_000_000


@dataclass(frozen=True)
class Progress:
    """One event of an installation.

    Attributes:
        state: "prepare" | "download" | "install" | "check" | "compile" | "ready", in this order, except that "download"
            and "install" come twice (the packages of the lock, then torch).
        message: what is being done, for people: "numba 0.68.1".
        done, total: packages and compiled parts finished, and in all; `done` never falls within one installation.
        bytes_done, bytes_total: the download, in bytes; packages found in uv's cache count as downloaded.
    """

    state: str
    message: str
    done: int = 0
    total: int = 0
    bytes_done: int = 0
    bytes_total: int = 0

    @property
    def fraction(self) -> float:
        """How much of the work is finished, in [0, 1]: three parts of four for bytes, one for packages put in place."""
        if self.state == "ready":
            return 1.0
        downloaded = self.bytes_done / self.bytes_total if self.bytes_total else 0.0
        installed = self.done / self.total if self.total else 0.0
        return min(1.0, 0.75 * downloaded + 0.25 * installed)


Report = Callable[[Progress], None]
"""Called with each event, on the thread that installs."""

IsCancelled = Callable[[], bool]
"""Polled at least five times a second, on the thread that installs; True stops the installation with `Cancelled`."""


def megabytes(size: int) -> str:
    """Bytes as people read them: `18 MB`, `1.3 GB`."""
    if size >= 1000 * MB:
        return f"{size / (1000 * MB):.1f} GB"
    return f"{size / MB:.0f} MB" if size >= 10 * MB else f"{size / MB:.1f} MB"
