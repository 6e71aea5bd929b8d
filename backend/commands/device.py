"""The option that chooses a device."""

from __future__ import annotations

from typing import Any

from .option import option


def device_option() -> Any:
    """`auto`, or as `renderer.devices.select` takes it."""
    return option("what the head runs on: cpu, cuda, cuda:N or mps; auto takes an NVIDIA GPU if there is one", "auto")
