"""`measure`: whether mouth and eyes of the head that is drawn move; see `training.readiness`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..progress import Reporter
from ..protocol import Stage
from .device import device_option
from .head import head_option
from .option import CheckedOptions, option
from .train import readiness_in_words


@dataclass(frozen=True)
class Options(CheckedOptions):
    workspace: Path = option("a workspace with a trained head", positional=True)
    head: str = head_option()
    device: str = device_option()


@dataclass(frozen=True)
class Result:
    readiness: dict[str, Any] | None
    """None where no landmarker is installed."""


def run(options: Options, reporter: Reporter) -> Result:
    """Measure the head.

    Raises:
        DeviceError: there is no such device.
        WorkspaceError: nothing was trained.
        Cancelled: the checkpoint stays, not measured.
    """
    from ..renderer import devices
    from ..training import readiness
    from ..workspace.store import Workspace

    devices.select(options.device, reporter)
    workspace = Workspace.open(options.workspace)
    with workspace.locked():
        reporter.plan({Stage.READINESS: readiness.RENDERED})
        ready = readiness.measure(workspace, reporter, options.head)
    return Result(None if ready is None else ready.to_json())


def in_words(result: Result) -> str:
    """The grades."""
    return "\n".join(readiness_in_words(result.readiness))
