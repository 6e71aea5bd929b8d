"""`models fetch`: download missing models."""

from __future__ import annotations

from dataclasses import dataclass

from ... import models
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
    return {name: str(models.fetch(name, reporter, options.accept_licence)) for name in options.names}


def in_words(paths: dict[str, str]) -> str:
    """The paths, a line each."""
    return "\n".join(paths.values())
