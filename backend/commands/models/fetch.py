"""`models fetch`: download models that are not there yet."""

from __future__ import annotations

from dataclasses import dataclass

from ... import models
from ...errors import Cancelled
from ...progress import Reporter
from ..option import option


@dataclass(frozen=True)
class Options:
    names: tuple[str, ...] = option("names as `models list` shows them", positional=True, nargs="+", metavar="NAME")
    accept_licence: bool = option("agree to a licence narrower than the project's", False)


def run(options: Options, reporter: Reporter) -> dict[str, str]:
    """The path of each model by its name.

    Raises:
        ModelError, StorageError: a model is unknown or cannot be downloaded.
    """
    return {name: str(_fetch(name, options.accept_licence, reporter)) for name in options.names}


def in_words(paths: dict[str, str]) -> str:
    """The paths, a line each."""
    return "\n".join(paths.values())


def _fetch(name: str, accept_licence: bool, reporter: Reporter):
    def report(done: int, total: int | None) -> None:
        reporter.progress(f"fetch {name}", done / 1e6, (total or max(done, 1)) / 1e6, "MB")

    def cancelled() -> bool:
        try:
            reporter.check_cancelled()
        except Cancelled:
            return True
        return False

    return models.fetch(name, report, cancelled, accept_licence)
