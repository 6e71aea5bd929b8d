"""Memory for images is taken from the system once."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from backend.workspace.heap import reused_memory

PAGE, IMAGES, BYTES = 4096, 8, 3 << 20


def _page_faults(times: int) -> int:
    """Of this thread, while it makes and frees some images so many times."""
    import resource

    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    for _ in range(times):
        [np.ones(BYTES, np.uint8) for _ in range(IMAGES)]
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the C library is glibc on Linux alone")
def test_freed_images_are_used_again_in_every_thread():
    with reused_memory(), ThreadPoolExecutor(1) as other:
        for run in (_page_faults, lambda times: other.submit(_page_faults, times).result()):
            run(2)
            assert run(20) < 2 * IMAGES * BYTES // PAGE  # new memory each time would be 20 times the pages
