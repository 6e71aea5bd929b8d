"""`models list|fetch|path`: the weights' verb, for `python -m backend` and `python3 install` alike."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from . import models
from .errors import ModelError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments on `parser`."""
    what = parser.add_subparsers(dest="models_verb", required=True, metavar="list|fetch|path")
    listing = what.add_parser("list", help="what there is, what it is for, and which are on this machine")
    listing.add_argument("--json", action="store_true", help="for machines")
    fetching = what.add_parser("fetch", help="download models that are not there yet")
    fetching.add_argument("names", nargs="+", metavar="NAME", help="names as `models list` shows them")
    fetching.add_argument(
        "--accept-licence", action="store_true", help="agree to a licence narrower than the project's"
    )
    fetching.add_argument("--json", action="store_true", help="for machines")
    place = what.add_parser("path", help="where a model is, or where all of them are looked for")
    place.add_argument("name", nargs="?", metavar="NAME")
    place.add_argument("--json", action="store_true", help="for machines")


def run(options: argparse.Namespace) -> int:
    """Run the verb that `add_arguments` declared.

    Raises:
        ModelError, StorageError: a sentence for the user.
    """
    return {"list": _list, "fetch": _fetch, "path": _path}[options.models_verb](options)


def _list(options: argparse.Namespace) -> int:
    rows = models.describe()
    if options.json:
        print(json.dumps(rows, indent=1))
        return 0
    for row in rows:
        here = row["path"] or row["fault"] or "not here"
        size = _size_in_words(row)
        print(f"{row['name']}: {row['purpose']}\n    {size}, {row['licence']}; {here}")
    return 0


def _size_in_words(row: dict[str, Any]) -> str:
    if row["size"]:
        return f"{row['size']:,} bytes"
    return f"about {row['about'] / 1e6:.0f} MB" if row["about"] else "size unknown"


def _fetch(options: argparse.Namespace) -> int:
    paths = {}
    for name in options.names:
        paths[name] = str(models.fetch(name, _progress(name), accept_licence=options.accept_licence))
        if not options.json:
            print(paths[name])
    if options.json:
        print(json.dumps(paths, indent=1))
    return 0


def _progress(name: str) -> Callable[[int, int | None], None]:
    def show(done: int, total: int | None) -> None:
        if sys.stderr.isatty():
            share = f" of {total / 1e6:.1f}" if total else ""
            end = "\n" if done == total else ""
            sys.stderr.write(f"\r{name}: {done / 1e6:.1f}{share} MB{end}")
            sys.stderr.flush()

    return show


def _path(options: argparse.Namespace) -> int:
    if options.name is None:
        places = [str(folder) for folder in models.folders()]
        print(json.dumps(places) if options.json else "\n".join(places))
        return 0
    path = models.find(options.name)
    if path is None:
        model = models.record(options.name)
        raise ModelError(
            f"{model.file} is in none of {', '.join(map(str, models.folders()))}: run `models fetch {model.name}`."
        )
    print(json.dumps({options.name: str(path)}) if options.json else path)
    return 0
