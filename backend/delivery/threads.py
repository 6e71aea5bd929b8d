"""Compiled work on an image, shared by a few threads, which it lets run side by side."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

_THREADS = min(4, os.cpu_count() or 1)


def on_threads(kernel: Callable[..., None], *arguments: Any) -> None:
    """Call `kernel(part, parts, *arguments)` for each part."""
    waiting = [_pool().submit(kernel, part, _THREADS, *arguments) for part in range(1, _THREADS)]
    kernel(0, _THREADS, *arguments)
    for done in waiting:
        done.result()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, _THREADS - 1), "layers")
