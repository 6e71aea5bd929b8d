"""`bench NAME`: a benchmark, its figures and their ratio to a reference measured in the same run."""

from __future__ import annotations

import argparse
import importlib
import json
import signal
import threading
from typing import Any

_BENCHMARKS = {
    "face-sync": "benchmarks.face_sync",
    "head-sync": "benchmarks.head_sync.benchmark",
    "readiness": "benchmarks.readiness",
    "renderer": "benchmarks.renderer",
    "training": "benchmarks.training",
}
"""Modules with `HELP`, `add_arguments(parser)`, `run(args) -> dict` and `in_words(result) -> str`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments on `parser`."""
    names = parser.add_subparsers(dest="benchmark", required=True, metavar="NAME")
    for name, module in _BENCHMARKS.items():
        own = importlib.import_module(f".{module}", __package__)
        sub = names.add_parser(name, help=own.HELP, description=own.HELP)
        own.add_arguments(sub)
        sub.add_argument("--json", action="store_true", help="for machines")


def run(options: argparse.Namespace) -> int:
    """Run the benchmark that `add_arguments` declared and print its figures.

    Raises:
        SyncTalkError: a sentence for the user.
    """
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):  # there is nothing to save: Ctrl-C stops at once
            signal.signal(number, signal.default_int_handler)
    own = importlib.import_module(f".{_BENCHMARKS[options.benchmark]}", __package__)
    result: dict[str, Any] = own.run(options)
    print(json.dumps(result, indent=1) if options.json else own.in_words(result))
    return 0
