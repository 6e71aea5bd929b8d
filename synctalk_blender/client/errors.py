"""The one error of the backend's client."""

from __future__ import annotations


class BackendError(Exception):
    """What went wrong with a request, as one sentence to show.

    Attributes:
        kind: `cancelled`; one of the backend's own (docs/protocol.md: `media face audio workspace storage model consent
            protocol error`); `defect` for a bug in the backend; or what happened to the process: `missing` (not
            installed), `start`, `died`, `hangs`, `nonsense`, `timeout`, `closed`.
    """

    def __init__(self, message: str, kind: str = "error") -> None:
        super().__init__(message)
        self.kind = kind

    def again(self) -> BackendError:
        """A fresh exception of the same text: raising one object repeatedly would make its traceback grow without end."""
        return BackendError(str(self), self.kind)


def shortened(text: str, limit: int = 160) -> str:
    """`text` on one line of at most `limit` characters."""
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
