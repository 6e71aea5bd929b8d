"""The verbs of `python3 install`."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

from . import backend_environment, blender_environment, checkout, checks, demo, extension, relock, removal, test_run
from .errors import Cancelled, InstallError

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".venvs"


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
        print("\nStopped: what is finished stays, and the same command resumes from there.", file=sys.stderr)
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
        "--device", choices=backend_environment.DEVICES, help="what torch runs on (default: cuda if there)"
    )
    device.add_argument("--python", type=Path, metavar="FILE", help="the Python to make the backend's environment with")

    parser = argparse.ArgumentParser(prog="python3 install", description="Install, try and test SyncTalk for Blender.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    demo_verb = verbs.add_parser("demo", parents=[common, device], help="make the environments and run every step once")
    demo_verb.add_argument("--video", type=Path, help="a clip of one person (default: the embedded synthetic speaker)")
    demo_verb.add_argument("--audio", type=Path, help="the new words (default: the embedded second sentence)")
    demo_verb.add_argument(
        "--out", type=Path, default=Path("demo"), help="folder for the results (default: %(default)s)"
    )
    demo_verb.add_argument("--minutes", type=float, help="training time (default: 2, or 6 for a clip of your own)")
    demo_verb.add_argument(
        "--consent", metavar="NAME", help="who agreed to a synthetic likeness of the person; recorded"
    )
    demo_verb.set_defaults(run=_demo)

    test = verbs.add_parser(
        "test",
        parents=[common, device],
        help="make the environments and run the tests",
        epilog="Paths and pytest's options choose tests. --quick leaves out what processes clips or trains heads; --slow and "
        "--gui run what takes minutes or needs a windowed Blender too.",
    )
    test.add_argument(
        "--blender",
        nargs="+",
        choices=blender_environment.VERSIONS,
        default=[blender_environment.VERSIONS[0]],
        metavar="VERSION",
        help=f"Blender versions to test in, of {', '.join(blender_environment.VERSIONS)} (default: %(default)s)",
    )
    test.set_defaults(run=_test)

    backend = verbs.add_parser("backend", parents=[common, device], help="make the backend's environment")
    backend.add_argument("--root", type=Path, default=ENVIRONMENTS, help="folder to make it in (default: %(default)s)")
    backend.set_defaults(run=_backend)

    models = verbs.add_parser("models", parents=[common], help="list or fetch the weights a user may download")
    models.set_defaults(run=_models)
    if list(arguments[:1]) == ["models"]:  # its verbs are the backend's, which no other verb needs
        _backend_cli().add_verbs(models, import_module("backend.commands").VERBS["models"].verbs, arguments[1:])

    zipped = verbs.add_parser("extension", parents=[common], help="build and validate the extension's zip")
    zipped.add_argument("--out", type=Path, default=ROOT / "dist", help="folder for the zip (default: %(default)s)")
    zipped.set_defaults(run=_extension)

    check = verbs.add_parser(
        "check", parents=[common], help="for developers: ruff and mypy, in an environment of theirs"
    )
    check.set_defaults(run=_check)

    docs = verbs.add_parser("docs", parents=[common], help="for developers: pages of the API, from docstrings")
    docs.add_argument(
        "--out", type=Path, default=ROOT / "dist" / "api", help="folder for the pages (default: %(default)s)"
    )
    docs.set_defaults(run=_docs)

    lock = verbs.add_parser("lock", parents=[common], help="for developers: resolve the lock files again")
    lock.add_argument("names", nargs="*", help="lock files, such as backend (default: all)")
    lock.set_defaults(run=_lock)

    remove = verbs.add_parser("remove", parents=[common], help="delete the environments and the built zips")
    remove.add_argument("--yes", action="store_true", help="do not ask")
    remove.add_argument("--user", action="store_true", help="also delete what Blender's Install button made")
    remove.set_defaults(run=_remove)
    return parser


def _demo(options: argparse.Namespace) -> int:
    job = demo.job(ROOT, options.video, options.audio, options.out, options.consent, options.minutes)
    return demo.run(ROOT, ENVIRONMENTS, job, options.device, options.python)


def _test(options: argparse.Namespace) -> int:
    return test_run.run(ROOT, ENVIRONMENTS, options.blender, options.device, options.python, options.rest)


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
