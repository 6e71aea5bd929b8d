"""Memory that is free but still the process's: kept for the next array, or given back. Only glibc is asked; others decide."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import sys
from collections.abc import Iterator

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Parameters of `mallopt`, malloc.h."""

_LARGE = 32 << 20
"""Bytes from which an array is memory of its own; the largest that every glibc takes."""

_HEAPS = 4
"""Else every thread begins one, and each keeps what was free in it."""

KEPT = 128 << 20
"""Bytes that stay free at the heap's end."""


@functools.cache
def _libc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        libc = ctypes.CDLL("libc.so.6")
        return libc if libc.malloc_trim and libc.mallopt else None  # glibc's alone
    except (OSError, AttributeError):
        return None


def trim_heap() -> None:
    """Give it back, where the C library can. Arrays of many sizes leave holes that it keeps: 2 GB in five minutes of training."""
    if libc := _libc():
        libc.malloc_trim(0)


@contextlib.contextmanager
def reused_memory() -> Iterator[None]:
    """Within the block freed memory is kept for the next array, up to `KEPT` a heap.

    Else every image of some megabytes is new memory, which the kernel clears page by page: a quarter of the time of a matte.
    """
    libc = _libc()
    if libc is None:
        yield
        return
    libc.mallopt(_ARENA_MAX, _HEAPS)
    libc.mallopt(_MMAP_THRESHOLD, _LARGE)
    libc.mallopt(_TRIM_THRESHOLD, KEPT)
    try:
        yield
    finally:
        libc.mallopt(_ARENA_MAX, 0)  # as many as glibc's own rule allows
        libc.mallopt(
            _TRIM_THRESHOLD, 2 * _LARGE
        )  # what glibc's own rule arrives at where arrays of this size are freed
        libc.malloc_trim(0)
