"""`python -m backend VERB`: options from the commands, progress on a terminal, exit status 0, 1 (a sentence) or 2 (usage).

A command with `exit_status(result)` ends with that instead of 0.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from . import __version__
from .batch import child
from .commands import VERBS, Verb
from .commands.option import OptionField, option_fields, to_json
from .errors import Cancelled, SyncTalkError, UsageError, storage_error
from .progress import Reporter, terminal_reporter

os.environ.setdefault("GLOG_minloglevel", "2")  # MediaPipe's own log is of no use to a user
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(
        prog="python -m backend", description="SyncTalk for Blender: the backend. Every verb has its own --help."
    )
    parser.add_argument("--version", action="version", version=__version__)
    add_verbs(parser, VERBS, argv)
    return run(parser.parse_args(argv))


def add_verbs(parser: argparse.ArgumentParser, verbs: Mapping[str, Verb], argv: Sequence[str]) -> None:
    """Declare verbs; only of the one that `argv` names the options, for that imports its module."""
    subparsers = parser.add_subparsers(required=True, metavar="VERB")
    named = next((word for word in argv if word in verbs), None)
    for name, verb in verbs.items():
        sub = subparsers.add_parser(name, help=verb.help, description=verb.help)
        if name != named:
            continue
        if verb.verbs:
            add_verbs(sub, verb.verbs, argv[argv.index(name) + 1 :])
            continue
        for item in option_fields(verb.options):
            _add_option(sub, item)
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
        sub.add_argument("--json", action="store_true", help="print the result as JSON")
        sub.set_defaults(chosen=verb, usage_error=sub.error)


def run(args: argparse.Namespace) -> int:
    """Run the verb that was parsed; the exit status."""
    verb: Verb = args.chosen
    command = verb.load()
    given = {item.name: getattr(args, item.name) for item in option_fields(command.Options) if hasattr(args, item.name)}
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    stop = threading.Event()
    try:
        _stop_on_signals(stop, verb.stops_at_once)
        options = command.Options(**given)
        result = command.run(options, _reporter(stop))
    except UsageError as error:
        args.usage_error(str(error))
    except (KeyboardInterrupt, Cancelled) as error:
        print(str(error) or "Cancelled.", file=sys.stderr)
        return 1
    except SyncTalkError as error:
        return _failed(args, str(error), error)
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        return _failed(args, str(storage_error(error, error.filename or "a file")), error)
    if result is not None:
        in_words = getattr(command, "in_words", _in_words)
        print(json.dumps(to_json(result), indent=1) if args.json else in_words(result))
    return getattr(command, "exit_status", lambda _: 0)(result)


def _add_option(parser: argparse.ArgumentParser, item: OptionField) -> None:
    shown = "" if item.default in (None, False, ()) or item.required else f" ({_in_text(item.default)})"
    settings: dict[str, Any] = {"help": (item.help + shown).replace("%", "%%"), "default": argparse.SUPPRESS}
    if item.metavar:
        settings["metavar"] = item.metavar
    if item.types == (bool,):
        parser.add_argument(item.on_command_line, action="store_true", dest=item.name, **settings)
        return
    settings["type"] = _reader(item)
    if item.choices and item.types == (str,):
        settings["choices"] = item.choices
    if item.positional:
        settings["default"] = None if item.required else item.default
        parser.add_argument(item.name, nargs=item.nargs or (None if item.required else "?"), **settings)
        return
    if item.nargs:
        settings["nargs"] = item.nargs
    elif item.several:
        settings["action"] = "append"
    parser.add_argument(item.on_command_line, dest=item.name, required=item.required, **settings)


def _reader(item: OptionField) -> Any:
    def read(text: str) -> Any:
        try:
            return item.from_text(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def _in_text(value: Any) -> str:
    return (
        " ".join(map(str, value))
        if isinstance(value, tuple)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def _in_words(result: Any) -> str:
    fields = to_json(result).items()
    return "\n".join(f"{name.replace('_', ' ')}: {_in_text(value)}" for name, value in fields if value is not None)


def _failed(args: argparse.Namespace, sentence: str, error: Exception) -> int:
    if args.debug:
        traceback.print_exception(error)
    print(f"Error: {sentence}", file=sys.stderr)
    return 1


def _reporter(stop: threading.Event) -> Reporter:
    """On the terminal; a job of a batch also reports to what started it, and stops when that asks for it or has died."""
    if child.VARIABLE not in os.environ:
        return terminal_reporter(cancelled=stop.is_set)
    return terminal_reporter(cancelled=stop.is_set, follow=child.follow(stop))


def _stop_on_signals(stop: threading.Event, at_once: bool) -> None:
    """The first Ctrl-C asks the stage to stop where its files are complete; the second one, or `at_once`, ends it there."""

    def ask(number: int, frame: Any) -> None:
        del number, frame
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        print("\nStopping at the next safe place (Ctrl-C again stops at once) …", file=sys.stderr)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler if at_once else ask)
