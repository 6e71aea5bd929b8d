"""`models path`: where a model is, or the folders that are searched for all."""

from __future__ import annotations

from dataclasses import dataclass

from ... import models
from ...errors import ModelError
from ...progress import Reporter
from ..option import option


@dataclass(frozen=True)
class Options:
    name: str | None = option("a model's name; all folders without it", None, positional=True, metavar="NAME")


def run(options: Options, reporter: Reporter) -> dict[str, str] | list[str]:
    """The path by the model's name, or the folders.

    Raises:
        ModelError: the model is unknown, or nowhere.
    """
    del reporter
    folders = [str(folder) for folder in models.folders()]
    if options.name is None:
        return folders
    path = models.find(options.name)
    if path is None:
        model = models.record(options.name)
        raise ModelError(f"{model.file} is in none of {', '.join(folders)}: run `models fetch {model.name}`.")
    return {options.name: str(path)}


def in_words(result: dict[str, str] | list[str]) -> str:
    """The paths, a line each."""
    return "\n".join(result.values() if isinstance(result, dict) else result)
