"""How many threads work on an image: a few on compiled work, which lets them run side by side, and one on OpenCV's."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import cv2

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


@contextlib.contextmanager
def opencv_on_one_thread() -> Iterator[None]:
    """Within the block, in all of the process: its threads would compete with those of the encoder and the decoder."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
