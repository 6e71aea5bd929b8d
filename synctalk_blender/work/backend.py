"""Step Backend: install, remove and start it, download its models."""

from __future__ import annotations

from pathlib import Path

import bpy

from ...backend import protocol
from ...install import backend_environment
from .. import preferences
from ..client.errors import BackendError
from ..client.shared import close_shared_backend
from ..install_task import InstallTask
from ..job import Job, Request, Work
from ..jobs import runtime
from ..steps import Step


def install_job() -> Job:
    """Download and install the backend's packages into the user's folder, then start it."""

    def work() -> Work:
        root, device = preferences.environment_root(), preferences.preferences().device
        if backend_environment.needs_network(root, device):
            require_online("Installing the backend")
        close_shared_backend()  # on Windows the files of a running program cannot be replaced
        task = InstallTask(root, device, former=preferences.former_root())
        yield task
        greeting = yield from _greet()
        deleted = (
            f" The unfinished installation of an earlier version in {task.removed} was deleted." if task.removed else ""
        )
        return f"{greeting} It is in {root / backend_environment.NAME}.{deleted}"

    return Job(Step.BACKEND, "Installing the backend", work())


def remove_job() -> Job:
    """End the backend and delete the environment that “Install” made."""

    def work() -> Work:
        close_shared_backend()
        root = preferences.environment_root()

        def remove(root: Path, _device: str, **_watchers: object) -> Path:
            backend_environment.remove(root)
            return root

        yield InstallTask(root, "cpu", remove)
        runtime.models = None
        return f"The backend in {root / backend_environment.NAME} was deleted."

    return Job(Step.BACKEND, "Removing the backend", work())


def start_job() -> Job:
    """Start the backend, or restart it."""

    def work() -> Work:
        close_shared_backend()
        return (yield from _greet())

    return Job(Step.BACKEND, "Starting the backend", work())


def fetch_model_job(name: str) -> Job:
    """Download one of the models that the backend can use."""

    def work() -> Work:
        require_online("Downloading a model")
        yield Request("models.fetch", {"names": [name]})
        runtime.models = yield Request("models.list")
        return f"The model {name} was downloaded: the next tracking uses it."

    return Job(Step.BACKEND, f"Downloading {name}", work())


def _greet() -> Work:
    hello = yield Request("hello", {"protocol": protocol.VERSION, "client": f"Blender {bpy.app.version_string}"})
    runtime.models = yield Request("models.list")
    device = yield Request("device")
    return f"SyncTalk {hello['backend']}, PyTorch {hello['torch']}, on {device['device']}."


def require_online(what: str) -> None:
    """Raise unless Blender may go online.

    Raises:
        BackendError: of kind `offline`.
    """
    if bpy.app.online_access:
        return
    if bpy.app.online_access_override:
        way = "Blender was started with --offline-mode: restart it without"
    else:
        way = "allow it with “Allow Online Access” here, or in Preferences, System, Network"
    raise BackendError(f"{what} needs the internet: {way}.", "offline")
