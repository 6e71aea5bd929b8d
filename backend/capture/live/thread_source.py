"""What a live source is: faces for its inbox, from a thread of its own."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod

from ...errors import SyncTalkError
from .inbox import Inbox
from .recorder import AudioKeeper

_CLOSES_WITHIN_S = 5.0


class Source(ABC):
    """Puts faces into its inbox, on a thread of its own from `start` to `close`.

    Args:
        place: where it listens or what it reads, for a person.
        audio: keeps what it hears; None of a source that hears nothing.
    """

    def __init__(self, place: str, audio: AudioKeeper | None = None) -> None:
        self.inbox = Inbox()
        self.place = place
        self.audio = audio
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="synctalk live", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End, and free what it uses."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(_CLOSES_WITHIN_S)
        self._free()

    @abstractmethod
    def _receive(self) -> None:
        """Put faces into the inbox until `_closing`; on the thread."""

    @abstractmethod
    def _free(self) -> None:
        """Free what it uses; the thread has ended, or never began."""

    def _run(self) -> None:
        try:
            self._receive()
        except SyncTalkError as error:
            self.inbox.note = str(error)
        except Exception as error:  # else it would only fall silent
            self.inbox.note = (
                f"{self.place} has stopped because of a bug ({type(error).__name__}: {error}): start live again."
            )
            raise
