"""That Triton's kernels are launched with the device of their tensors as the thread's current one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
import torch

from backend.renderer import devices


class _Watched:
    """A kernel whose launches are counted."""

    def __init__(self, kernel: Any, current: list[torch.device], launched: list[str]) -> None:
        self._kernel, self._current, self._launched = kernel, current, launched

    def __getitem__(self, grid: tuple[int, ...]):
        launch = self._kernel[grid]

        def checked(*arguments: object, **constants: object) -> object:
            wanted = {one.device for one in arguments if isinstance(one, torch.Tensor)}
            assert wanted == set(self._current), self._kernel
            self._launched.append(self._kernel.__name__)
            return launch(*arguments, **constants)

        return checked


def watch_launches(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> list[str]:
    """Names of the kernels that are launched from here on; a launch outside of `devices.on` fails."""
    current: list[torch.device] = []
    launched: list[str] = []

    @contextmanager
    def on(device: torch.device) -> Iterator[None]:
        current.append(device)
        yield
        current.pop()

    monkeypatch.setattr(devices, "on", on)
    for name in [name for name in vars(module) if name.endswith("_kernel")]:
        monkeypatch.setattr(module, name, _Watched(getattr(module, name), current, launched))
    return launched
