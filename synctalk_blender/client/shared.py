"""The one backend of this Blender: which Python runs it, when it is started and restarted."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from ...backend import protocol
from .child import child_environment
from .errors import BackendError
from .process import BackendProcess

EXTENSION_ROOT = Path(__file__).resolve().parent.parent.parent
ENVIRONMENT_VARIABLE = "SYNCTALK_BACKEND_PYTHON"

_shared: BackendProcess | None = None
_shared_lock = threading.Lock()


def backend_command() -> tuple[list[str], dict[str, str], Path]:
    """Command, environment and working folder of the backend.

    Raises:
        BackendError: of kind `missing`, when it is not installed.
    """
    python = backend_python()
    if python is None:
        raise BackendError("The backend is not installed: press Install in the Backend panel.", "missing")
    return [str(python), "-m", "backend", "serve"], child_environment(), EXTENSION_ROOT


def backend_python() -> Path | None:
    """The Python that runs the backend; None when that is not installed.

    The one that `SYNCTALK_BACKEND_PYTHON` names, else the preferences', else the one that “Install” made, else that of a
    development checkout.
    """
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        return Path(named)
    from .. import preferences  # needs bpy, which the rest of the client does without

    chosen = preferences.chosen_backend_python()
    if chosen is not None:
        return chosen
    from ...install import backend_environment

    root = preferences.environment_root()
    if backend_environment.state(root) in ("ready", "outdated"):
        return backend_environment.python_of(root)
    checkout = backend_environment.python_of(EXTENSION_ROOT / ".venvs")
    return checkout if checkout.exists() else None


def shared_backend(*, user_asked: bool = True) -> BackendProcess:
    """The one backend of this Blender, started when there is none; returns at once, before it has answered anything.

    Args:
        user_asked: whether a user action needs it. A redraw passes False: it does not restart a
            backend that has died (which may fail again), but raises the reason of its death.

    Raises:
        BackendError: it is not installed, cannot be started, or (`user_asked` False) has died.
    """
    global _shared
    with _shared_lock:
        if _shared is not None and not _shared.alive:
            if not user_asked and _shared.error is not None:
                raise _shared.error.again()
            _shared.close(0.0)
            _shared = None
        if _shared is None:
            command, environment, cwd = backend_command()
            _shared = BackendProcess(command, environment=environment, cwd=cwd)
            client = f"blender-python-{sys.version_info[0]}.{sys.version_info[1]}"
            _shared.submit("hello", {"protocol": protocol.VERSION, "client": client})
            _shared.submit("device")
        return _shared


def running_backend() -> BackendProcess | None:
    """The shared backend if there is one, running or ended; starts nothing."""
    return _shared


def close_shared_backend(timeout_s: float = 3.0) -> None:
    """End the shared backend, if there is one."""
    global _shared
    with _shared_lock:
        if _shared is not None:
            _shared.close(timeout_s)
            _shared = None
