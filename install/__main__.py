"""`python3 install VERB`, or `python -m install VERB`: runs on every Python, to reject an old one with a message."""

import sys

if sys.version_info < (3, 10):
    sys.exit(
        "Python 3.10 or newer is needed and this is %d.%d (%s): run the same command with a newer one, such as "
        "python3.11; python.org and your system's packages have it."
        % (sys.version_info[0], sys.version_info[1], sys.executable)
    )

if not __package__:
    # Started as a folder: the checkout is what `install` and `backend` are imported from, not this folder.
    from pathlib import Path

    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from importlib import import_module

sys.exit(import_module("install.cli").main())
