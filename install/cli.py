"""The verbs of `python3 install`."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

from . import backend_environment, blender_environment, checkout, checks, demo, extension, relock, removal, test_run
from .errors import Cancelled, InstallError

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".venvs"

_Verb = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb: 0, 1 after an error the user can act on (one sentence), 2 for usage, 130 for Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = _parser(arguments)
    options, rest = parser.parse_known_args(arguments)
    if rest and options.verb != "test":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    options.rest = rest
    try:
        return options.run(options)
    except KeyboardInterrupt:
        print("\nStopped. Run the same command to continue.", file=sys.stderr)
        return 130
    except Exception as error:
        if options.debug:
            traceback.print_exc()
        elif not isinstance(error, InstallError) and not hasattr(error, "kind"):
            raise
        print(error, file=sys.stderr)
        return 130 if isinstance(error, Cancelled) else 1


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    device = argparse.ArgumentParser(add_help=False)
    device.add_argument(
        "--device", choices=backend_environment.DEVICES, help="what torch runs on (default: cuda if available)"
    )
    device.add_argument("--python", type=Path, metavar="FILE", help="the Python for the backend's environment")
    parser = argparse.ArgumentParser(prog="python3 install", description="Install, try and test SyncTalk for Blender.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, run: _Verb, description: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, parents=[common, *parents], help=description)
        made.set_defaults(run=run)
        return made

    demo_verb = verb("demo", _demo, "make the environments and run every step once", device)
    demo_verb.add_argument("--video", type=Path, help="a clip of one person (default: the embedded synthetic speaker)")
    demo_verb.add_argument("--audio", type=Path, help="the new words (default: the embedded second sentence)")
    _out(demo_verb, "folder for the results", Path("demo"))
    demo_verb.add_argument("--minutes", type=float, help="training time (default: 2, or 6 for a clip of your own)")
    demo_verb.add_argument(
        "--consent", metavar="NAME", help="who agreed to a synthetic likeness of the person; recorded"
    )

    test = verb("test", _test, "make the environments and run the tests", device)
    test.epilog = (
        "Paths and pytest's options select tests. --quick omits tests that process clips or train heads; "
        "--slow and --gui add those that take minutes or need a windowed Blender."
    )
    test.add_argument(
        "--blender",
        nargs="+",
        choices=blender_environment.VERSIONS,
        default=[blender_environment.VERSIONS[0]],
        metavar="VERSION",
        help=f"Blender versions to test in, of {', '.join(blender_environment.VERSIONS)} (default: %(default)s)",
    )

    extras = test.add_mutually_exclusive_group()
    for package, where in (
        ("triton", "Triton is, without a GPU (Linux)"),
        ("ray", "Ray is"),
        ("opencolorio", "OpenColorIO is"),
    ):
        purpose = f"run the backend's tests where {where}"
        extras.add_argument(f"--{package}", action="store_const", const=package, dest="extra", help=purpose)

    backend = verb("backend", _backend, "make the backend's environment", device)
    backend.add_argument("--root", type=Path, default=ENVIRONMENTS, help="folder to make it in (default: %(default)s)")
    models = verb("models", _models, "list or fetch optional weights")
    if list(arguments[:1]) == ["models"]:  # its verbs are the backend's, which no other verb needs
        _backend_cli().add_verbs(models, import_module("backend.commands").VERBS["models"].verbs, arguments[1:])
    _out(verb("extension", _extension, "build and validate the extension's zip"), "folder for the zip", ROOT / "dist")
    verb("check", _check, "for developers: ruff and mypy, in a separate environment")
    docs = verb("docs", _docs, "for developers: pages of the API, from docstrings")
    _out(docs, "folder for the pages", ROOT / "dist" / "api")
    lock = verb("lock", _lock, "for developers: resolve the lock files again")
    lock.add_argument("names", nargs="*", help="lock files, such as backend (default: all)")
    remove = verb("remove", _remove, "delete the environments and the built zips")
    remove.add_argument("--yes", action="store_true", help="do not ask")
    remove.add_argument("--user", action="store_true", help="also delete what Blender's Install button made")
    return parser


def _out(parser: argparse.ArgumentParser, what: str, default: Path) -> None:
    parser.add_argument("--out", type=Path, default=default, help=f"{what} (default: %(default)s)")


def _demo(options: argparse.Namespace) -> int:
    job = demo.job(ROOT, options.video, options.audio, options.out, options.consent, options.minutes)
    return demo.run(ROOT, ENVIRONMENTS, job, options.device, options.python)


def _test(options: argparse.Namespace) -> int:
    return test_run.run(
        ROOT, ENVIRONMENTS, options.blender, options.device, options.python, options.rest, options.extra
    )


def _backend(options: argparse.Namespace) -> int:
    print(checkout.make_backend(options.root, options.device, options.python))
    return 0


def _models(options: argparse.Namespace) -> int:
    return _backend_cli().run(options)


def _backend_cli() -> ModuleType:
    """The backend's command line. By its name at run time: in the extension the packages have other full names."""
    return import_module("backend.cli")


def _extension(options: argparse.Namespace) -> int:
    print(extension.build(ROOT, checkout.make_blender(ENVIRONMENTS), options.out))
    return 0


def _check(options: argparse.Namespace) -> int:
    return checks.run(ROOT, ENVIRONMENTS)


def _docs(options: argparse.Namespace) -> int:
    from . import api_pages

    return api_pages.run(ROOT, ENVIRONMENTS, options.out)


def _lock(options: argparse.Namespace) -> int:
    checkout.make_tools(ENVIRONMENTS)  # and with it uv
    relock.relock(ENVIRONMENTS, options.names)
    return 0


def _remove(options: argparse.Namespace) -> int:
    return removal.run(ROOT, ENVIRONMENTS, options.yes, options.user)
