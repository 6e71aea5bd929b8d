"""Memory for images is taken from the system once."""

from __future__ import annotations

import subprocess
import sys

import pytest

# A process of its own, as `process` is: what other tests left on the heap decides otherwise what is free at its end.
COUNTS = """
import resource
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from backend.workspace.heap import reused_memory

PAGE, IMAGES, BYTES = 4096, 8, 3 << 20

def page_faults(times):
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    for _ in range(times):
        [np.ones(BYTES, np.uint8) for _ in range(IMAGES)]
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before

with reused_memory(), ThreadPoolExecutor(1) as other:
    for run in (page_faults, lambda times: other.submit(page_faults, times).result()):
        run(2)
        print(run(20) * PAGE / (IMAGES * BYTES))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the C library is glibc on Linux alone")
def test_freed_images_are_used_again_in_every_thread(root):
    done = subprocess.run([sys.executable, "-c", COUNTS], cwd=root, capture_output=True, text=True, check=True)
    shares = [float(line) for line in done.stdout.split()]
    assert len(shares) == 2 and max(shares) < 2, "new memory each time would be 20"
